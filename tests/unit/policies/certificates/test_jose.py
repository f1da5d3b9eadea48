"""Compact JWS: what is signed verifies, and nothing else does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.certificates.jose import Jws, parse_json, parse_jws, sign_jws, verify_jws
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.key_files import encode_base64url
from yingbi.keys import SigningKey

KEY = SigningKey.from_seed(b"k" * 32)
JWK = KEY.public.to_jwk()
# RFC 8037, appendix A: a key, and a signature by the older name of the algorithm.
RFC_JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC_JWS = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
# RFC 7515, appendix A.3: ES256.
ES256_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
ES256_JWS = (
    "eyJhbGciOiJFUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)


def parsed(text: str) -> Jws:
    return parse_jws(text, max_bytes=10_000)


@pytest.mark.parametrize(("text", "jwk"), [(RFC_JWS, RFC_JWK), (ES256_JWS, ES256_JWK)])
def test_the_standards_examples_verify(text: str, jwk: dict[str, str]) -> None:
    verify_jws(parsed(text), jwk, type_=None)


@given(st.binary(max_size=40))
def test_what_is_signed_verifies(payload: bytes) -> None:
    jws = parsed(sign_jws({"typ": "t"}, payload, KEY))
    assert jws.payload == payload
    assert jws.header == {"alg": "Ed25519", "typ": "t"}
    verify_jws(jws, JWK, type_="t")


def headed(header: Any, payload: bytes = b"{}") -> str:
    """Return a JWS with any header, signed by our key."""
    signed = encode_base64url(json.dumps(header).encode()) + "." + encode_base64url(payload)
    return f"{signed}.{encode_base64url(KEY.sign(signed.encode()))}"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"alg": "ed25519"},
        {"alg": None},
        {},
        {"alg": "Ed25519", "crit": ["b64"], "b64": False},
        {"alg": "Ed25519", "crit": []},
        {"alg": "Ed25519", "typ": "other"},
        {"alg": ["Ed25519"], "typ": "t"},
    ],
)
def test_other_headers_are_refused(header: Any) -> None:
    with pytest.raises(VerificationError):
        verify_jws(parsed(headed(header)), JWK, type_="t" if "typ" in header else None)


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": JWK["x"]},
        {"kty": "RSA"},
        SigningKey.from_seed(b"o" * 32).public.to_jwk(),
        ES256_JWK,
        {**JWK, "crv": "Ed448"},
        {"kty": "OKP", "crv": "Ed25519"},
    ],
)
def test_other_keys_verify_nothing(jwk: dict[str, str]) -> None:
    with pytest.raises(SandboxError):
        verify_jws(parsed(sign_jws({}, b"{}", KEY)), jwk, type_=None)


@pytest.mark.parametrize(
    "change",
    [{"y": ES256_JWK["x"]}, {"crv": "P-384"}, {"x": "AA"}, {"d": ES256_JWK["x"]}, {"x": None}, {"y": "!"}],
)
def test_a_key_that_is_no_point_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        verify_jws(parsed(ES256_JWS), {**ES256_JWK, **change}, type_=None)
    assert caught.value.code is ErrorCode.KEY_MALFORMED


@pytest.mark.parametrize("text", [RFC_JWS, ES256_JWS], ids=["Ed25519", "ES256"])
def test_no_letter_can_change(text: str) -> None:
    jwk = RFC_JWK if text is RFC_JWS else ES256_JWK
    for place in range(0, len(text), 3):
        other = "A" if text[place] != "A" else "B"
        with pytest.raises(SandboxError):
            verify_jws(parsed(text[:place] + other + text[place + 1 :]), jwk, type_=None)


def test_a_signature_has_one_length() -> None:
    head, payload, _ = ES256_JWS.split(".")
    for length in (0, 63, 65, 72):
        with pytest.raises(VerificationError):
            verify_jws(parsed(f"{head}.{payload}.{encode_base64url(bytes(length))}"), ES256_JWK, type_=None)


@pytest.mark.parametrize(
    "text", ["", "a.b", "a.b.c.d", "e30.e30.!", "e30.e30.AB", "W10.e30.", "e30=.e30.", "é.e30.", "bm9uZQ.e30.", "." * 9]
)
def test_what_is_no_jws_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parsed(text)
    assert caught.value.code is ErrorCode.CERTIFICATE_MALFORMED


def test_a_jws_has_a_size() -> None:
    with pytest.raises(InvalidRequestError):
        parse_jws(sign_jws({}, bytes(100), KEY), max_bytes=100)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"a":1,"a":2}',
        b'[{"b":{"a":1,"a":1}}]',
        b"1.5",
        b"1e3",
        b"NaN",
        b"Infinity",
        b'"\\ud800"',
        b"\xff",
        b"[" * 40 + b"]" * 40,
        b"[" * 100_000,
        b"9" * 5000,
        b"{} {}",
    ],
)
def test_json_is_read_strictly(data: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_json(data)


def test_plain_json_is_read() -> None:
    assert parse_json(b' {"a": [1, true, null, "\\u5f71"]} ') == {"a": [1, True, None, "影"]}
