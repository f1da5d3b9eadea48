"""Signed requests: RFC 9421's own example, and everything that an accepted request must not lack."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

from yingbi.clock import FixedClock
from yingbi.errors import AuthenticationError, ErrorCode
from yingbi.http_signing import CLOCK_SKEW, LIFETIME, SignedRequest, sign_request, verify_request
from yingbi.keys import SigningKey, VerifyKey

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
KEY, OTHER = SigningKey.generate(), SigningKey.generate()
URL = "https://hub.example/v1/jobs?cursor=a"
BODY = b'{"payload":"x"}'
Headers = dict[str, str]


def signed(*, at: datetime = NOW, body: bytes = BODY, **more: str) -> Headers:
    headers = {"Content-Type": "application/json", "Idempotency-Key": "key-1", "User-Agent": "test", **more}
    sign_request("POST", URL, headers, body, key=KEY, clock=FixedClock(at))
    return headers


def find(keyid: str) -> VerifyKey | None:
    return KEY.public if keyid == KEY.public.thumbprint else None


def verified(
    headers: Headers,
    *,
    method: str = "POST",
    url: str = URL,
    body: bytes = BODY,
    at: datetime = NOW,
    find_key: Callable[[str], VerifyKey | None] = find,
) -> SignedRequest:
    return verify_request(method, url, headers, body, find_key=find_key, clock=FixedClock(at))


def refused(headers: Headers, **changes: Any) -> None:
    with pytest.raises(AuthenticationError) as raised:
        verified(headers, **changes)
    assert raised.value.code is ErrorCode.REQUEST_UNSIGNED
    assert "sign method" in str(raised.value.hint)


def test_the_librarys_signatures_are_those_of_rfc_9421() -> None:
    """RFC 9421, appendix B.2.6."""

    class Keys(HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
            assert key_id == "test-key-ed25519"
            raw = base64.urlsafe_b64decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs=")
            return Ed25519PublicKey.from_public_bytes(raw)

        def resolve_private_key(self, key_id: str) -> Any:
            raise NotImplementedError

    request = SimpleNamespace(
        method="POST",
        url="https://example.com/foo?param=Value&Pet=dog",
        headers={
            "Host": "example.com",
            "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
            "Content-Type": "application/json",
            "Content-Length": "18",
            "Signature-Input": 'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"',
            "Signature": "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5"
            "WPpBKRCw==:",
        },
    )
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Keys())
    (result,) = verifier.verify(request, max_age=None)
    assert result.parameters["created"] == 1618884473


def test_a_signed_request_verifies_and_says_who_signed_it() -> None:
    found = verified(signed())
    assert found.key == KEY.public
    assert found.expires_at == NOW + LIFETIME + CLOCK_SKEW
    assert verified(signed()).nonce != found.nonce


def test_a_request_without_a_body_is_signed_over_its_absence() -> None:
    headers: Headers = {}
    sign_request("GET", URL, headers, b"", key=KEY, clock=FixedClock(NOW))
    assert verified(headers, method="GET", body=b"").key == KEY.public
    refused(headers, method="GET", body=b"x")


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "PUT"},
        {"url": URL + "b"},
        {"url": "https://other.example/v1/jobs?cursor=a"},
        {"url": "http://hub.example/v1/jobs?cursor=a"},
        {"body": BODY + b" "},
        {"body": b""},
        {"find_key": lambda _: None},
        {"find_key": lambda _: OTHER.public},
        {"at": NOW + LIFETIME + CLOCK_SKEW + timedelta(seconds=1)},
        {"at": NOW - CLOCK_SKEW - timedelta(seconds=1)},
    ],
)
def test_nothing_of_it_can_be_changed(changes: dict[str, Any]) -> None:
    refused(signed(), **changes)


@pytest.mark.parametrize("at", [NOW + LIFETIME, NOW + LIFETIME + CLOCK_SKEW, NOW - CLOCK_SKEW])
def test_clocks_may_differ_a_little(at: datetime) -> None:
    assert verified(signed(), at=at).key == KEY.public


@pytest.mark.parametrize("name", ["Content-Type", "Idempotency-Key", "Content-Digest", "Signature", "Signature-Input"])
def test_signed_fields_can_neither_be_changed_nor_removed(name: str) -> None:
    headers = signed()
    refused(headers | {name: headers[name].replace("k", "m", 1) + "1"})
    refused({field: value for field, value in headers.items() if field != name})


@pytest.mark.parametrize("name", ["If-Match", "Idempotency-Key"])
def test_a_field_that_changes_what_a_request_does_cannot_be_added(name: str) -> None:
    headers: Headers = {}
    sign_request("POST", URL, headers, BODY, key=KEY, clock=FixedClock(NOW))
    verified(headers)
    refused(headers | {name: "x"})


def test_other_fields_are_the_networks_business() -> None:
    headers = signed()
    verified(headers | {"User-Agent": "proxy", "Via": "1.1 proxy"})


def by_hand(*, components: tuple[str, ...] = ("@method", "@target-uri", "content-digest"), **options: Any) -> Headers:
    """Sign as somebody else would."""
    headers: Headers = {}
    request = SimpleNamespace(method="POST", url=URL, headers=headers)
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519)
    wanted: dict[str, Any] = {"created": NOW, "expires": NOW + LIFETIME, "nonce": "n" * 22, "tag": "yingbi-request"}
    prepared = signer.prepare(
        request, key_id=KEY.public.thumbprint, covered_component_ids=components, body=BODY, **wanted | options
    )
    signer.apply(request, prepared, KEY.sign(prepared.signature_base))
    return headers


def test_anybody_who_follows_the_standard_can_sign() -> None:
    assert verified(by_hand()).nonce == "n" * 22


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"components": ("@method", "content-digest")}, id="no target"),
        pytest.param({"components": ("@target-uri", "content-digest")}, id="no method"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"nonce": "short"}, id="a nonce that can be guessed"),
        pytest.param({"nonce": "n" * 65}, id="a nonce that fills the memory"),
        pytest.param({"expires": None}, id="no end"),
        pytest.param({"expires": NOW + LIFETIME + timedelta(seconds=1)}, id="a long life"),
        pytest.param({"tag": "other-application"}, id="for another application"),
        pytest.param({"tag": None}, id="for any application"),
        pytest.param({"include_alg": False}, id="no algorithm"),
    ],
)
def test_a_signature_that_says_less_is_refused(options: dict[str, Any]) -> None:
    refused(by_hand(**options))


def test_two_signatures_are_one_too_many() -> None:
    headers = by_hand()
    more = by_hand(label="second", nonce="m" * 22)
    both = {name: f"{headers[name]}, {more[name]}" for name in ("Signature", "Signature-Input")}
    refused(headers | both)


@pytest.mark.parametrize("value", ["", "x", "yingbi=1", 'yingbi=("a")', "\x00", "yingbi=();created=9999999999999999"])
def test_garbage_is_refused(value: str) -> None:
    refused(signed() | {"Signature-Input": value})
    refused(signed() | {"Signature": value})


def test_signing_again_replaces_the_signature() -> None:
    headers = signed()
    sign_request("POST", URL, headers, b"other", key=KEY, clock=FixedClock(NOW))
    assert verified(headers, body=b"other").key == KEY.public
    assert sum(name.lower() == "signature" for name in headers) == 1
