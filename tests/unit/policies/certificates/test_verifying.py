"""Verification: what is good, and every way in which something is not, each told as what it is."""

from dataclasses import replace
from typing import Any

import pytest

from policies.certificates.credential import credential_digest, sign_credential
from policies.certificates.jose import parse_jws, sign_jws
from policies.certificates.sd_jwt import MAX_BYTES, KeyBinding, SdJwt, parse_sd_jwt, present
from policies.certificates.status_list import Status, StatusToken
from policies.certificates.verifying import MAX_AGE_S, Check, Request, verify_certificate
from tests.unit.policies.certificates.certificates import (
    AT,
    CREDENTIAL,
    HOLDER,
    ISSUER,
    ORIGIN,
    find_key,
    seconds,
    status,
)
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, SandboxError, VerificationError
from yingbi.keys import SigningKey

REQUEST = Request(audience="partner:bank-a", nonce="n-1")
SIGNED = sign_credential(CREDENTIAL, ISSUER)


def bound(**changes: Any) -> KeyBinding:
    return KeyBinding(**{"audience": "partner:bank-a", "nonce": "n-1", "issued_at": seconds(AT), **changes})


def shown(signed: SdJwt = SIGNED, key: SigningKey = HOLDER, **changes: Any) -> SdJwt:
    return parse_sd_jwt(present(signed, bound(**changes), key).text)


def test_what_was_checked_is_told_and_nothing_else() -> None:
    alone = verify_certificate(SIGNED, find_key=find_key, at=AT)
    assert alone.checks == (Check.SIGNATURE, Check.DISCLOSURES, Check.PERIOD)
    assert (alone.credential, alone.digest) == (CREDENTIAL, credential_digest(SIGNED))
    full = verify_certificate(shown(), find_key=find_key, at=AT, status=status(), request=REQUEST)
    assert full.checks == tuple(Check)
    assert full.digest == alone.digest


def test_one_element_is_shown_to_a_bank() -> None:
    (growth,) = [one for one in SIGNED.disclosures if isinstance(one.value, dict) and one.value["name"] == "growth"]
    found = verify_certificate(
        shown(SIGNED.choose([growth.text])), find_key=find_key, at=AT, status=status(), request=REQUEST
    )
    assert [(one.name, one.value) for one in found.credential.elements] == [("growth", "A")]
    assert found.credential.holder is None


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-11-22T02:00:00.000000Z", "not valid before"),
        ("2027-02-22T02:01:00.000000Z", "has expired"),
    ],
)
def test_it_is_good_in_its_period(at: str, told: str) -> None:
    with pytest.raises(RefusedError, match=told) as caught:
        verify_certificate(SIGNED, find_key=find_key, at=at)
    assert caught.value.code is ErrorCode.CERTIFICATE_NOT_VALID
    for edge in (CREDENTIAL.valid_from, CREDENTIAL.valid_until):
        verify_certificate(SIGNED, find_key=find_key, at=edge)


@pytest.mark.parametrize(
    ("of", "told"), [(Status.INVALID, "not valid any more"), (Status.SUSPENDED, "suspended"), (3, "not valid any more")]
)
def test_a_list_stops_it(of: int, told: str) -> None:
    with pytest.raises(RefusedError, match=told) as caught:
        verify_certificate(SIGNED, find_key=find_key, at=AT, status=status(of=of))
    assert caught.value.code is ErrorCode.CERTIFICATE_NOT_VALID


@pytest.mark.parametrize(
    "listed",
    [replace(status(), uri="https://hub.example/v1/status/2"), replace(status(), origin=ORIGIN + ".evil")],
    ids=["address", "log"],
)
def test_another_list_says_nothing(listed: StatusToken) -> None:
    with pytest.raises(VerificationError, match="another one"):
        verify_certificate(SIGNED, find_key=find_key, at=AT, status=listed)


def test_a_key_verifies_what_it_signed_while_it_was_good() -> None:
    """Thirty years later too; and nothing that says to be of another time, or another issuer's."""
    verify_certificate(SIGNED, find_key=find_key, at=CREDENTIAL.valid_until)
    late = sign_credential(replace(CREDENTIAL, issued_at="2027-01-01T00:00:00.000000Z"), ISSUER)
    other = sign_credential(replace(CREDENTIAL, issuer="urn:yingbi:bureau:nanshan"), ISSUER)
    stranger = sign_credential(CREDENTIAL, SigningKey.from_seed(b"o" * 32))
    for wrong in (late, other, stranger):
        with pytest.raises(VerificationError, match="not signed with a key"):
            verify_certificate(wrong, find_key=find_key, at=AT)


def test_a_signature_is_the_keys_that_is_named() -> None:
    stranger = SigningKey.from_seed(b"o" * 32)
    signed = sign_credential(CREDENTIAL, stranger)
    with pytest.raises(VerificationError, match="not the key's"):
        verify_certificate(signed, find_key=lambda *_: ISSUER.public.to_jwk(), at=AT)


def test_a_certificate_that_was_altered_anywhere_is_refused() -> None:
    text = SIGNED.text
    for place in range(0, len(text), 11):
        other = "A" if text[place] != "A" else "B"
        with pytest.raises(SandboxError):
            verify_certificate(parse_sd_jwt(text[:place] + other + text[place + 1 :]), find_key=find_key, at=AT)


def test_a_disclosure_that_comes_twice_or_from_elsewhere_is_refused() -> None:
    elsewhere = sign_credential(CREDENTIAL, ISSUER).disclosures[0]
    for more in (SIGNED.disclosures[0], elsewhere):
        with pytest.raises(InvalidRequestError):
            verify_certificate(SdJwt(jws=SIGNED.jws, disclosures=(*SIGNED.disclosures, more)), find_key=find_key, at=AT)


@pytest.mark.parametrize(
    "presented",
    [
        shown(audience="partner:bank-b"),
        shown(nonce="n-2"),
        shown(key=SigningKey.from_seed(b"o" * 32)),
        shown(issued_at=seconds(AT) - MAX_AGE_S - 1),
        shown(issued_at=seconds(AT) + MAX_AGE_S + 1),
        SIGNED,
    ],
    ids=["for another", "another nonce", "another's key", "old", "of the future", "not bound"],
)
def test_a_presentation_of_somebody_else_or_another_time_is_refused(presented: SdJwt) -> None:
    with pytest.raises(VerificationError) as caught:
        verify_certificate(presented, find_key=find_key, at=AT, status=status(), request=REQUEST)
    assert caught.value.code is ErrorCode.CERTIFICATE_UNVERIFIED


@pytest.mark.parametrize("late", [-MAX_AGE_S, MAX_AGE_S])
def test_clocks_may_differ_a_little(late: int) -> None:
    verify_certificate(shown(issued_at=seconds(AT) + late), find_key=find_key, at=AT, request=REQUEST)


def test_a_presentation_is_no_certificate() -> None:
    """What the holder has signed is not taken for what the issuer has signed."""
    presentation = shown()
    assert presentation.binding is not None
    swapped = parse_sd_jwt(presentation.binding.text + "~")
    with pytest.raises(SandboxError):
        verify_certificate(swapped, find_key=lambda *_: HOLDER.public.to_jwk(), at=AT)


def test_another_type_of_token_by_the_issuer_is_no_certificate() -> None:
    header = {"typ": "statuslist+jwt", "kid": ISSUER.public.thumbprint}
    jws = parse_jws(sign_jws(header, SIGNED.jws.payload, ISSUER), max_bytes=MAX_BYTES)
    with pytest.raises(VerificationError, match="type"):
        verify_certificate(SdJwt(jws=jws, disclosures=SIGNED.disclosures), find_key=find_key, at=AT)
