"""What a certificate says: all of it reads back, what is hidden is hidden, and other claims are no certificate."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from policies.certificates.credential import Element, credential_digest, read_credential, sign_credential
from policies.certificates.sd_jwt import parse_sd_jwt
from tests.unit.policies.certificates.certificates import CREDENTIAL, ISSUER
from yingbi.errors import InvalidRequestError, SandboxError
from yingbi.events.certificates import AssetClass


@pytest.mark.parametrize(
    "credential",
    [
        CREDENTIAL,
        replace(CREDENTIAL, asset_class=AssetClass.LICENCE, elements=(), title=None),
        replace(CREDENTIAL, asset_class=AssetClass.REGISTRATION, parent=None, supersedes=None),
    ],
    ids=lambda item: item.asset_class.value,
)
def test_all_of_it_reads_back(credential: Any) -> None:
    signed = parse_sd_jwt(sign_credential(credential, ISSUER).text)
    assert read_credential(signed.claims()) == credential
    assert signed.jws.header == {"alg": "Ed25519", "typ": "dc+sd-jwt", "kid": ISSUER.public.thumbprint}


def test_the_holder_keeps_what_he_wants_to_keep() -> None:
    signed = sign_credential(CREDENTIAL, ISSUER)
    text = signed.jws.payload.decode()
    for secret in ("s-7f3a", "经营稳定性", "stability", "growth"):
        assert secret not in text
    nothing = read_credential(signed.choose([]).claims())
    assert nothing == replace(CREDENTIAL, holder=None, title=None, elements=())
    (one,) = [item for item in signed.disclosures if isinstance(item.value, dict) and item.value["name"] == "growth"]
    assert read_credential(signed.choose([one.text]).claims()).elements == (CREDENTIAL.elements[1],)


def test_the_log_names_it_whatever_is_shown() -> None:
    signed = sign_credential(CREDENTIAL, ISSUER)
    assert credential_digest(signed) == credential_digest(signed.choose([]))
    assert credential_digest(signed) != credential_digest(sign_credential(CREDENTIAL, ISSUER)), "salts are new"


def test_a_certificate_without_a_good_number_is_not_signed() -> None:
    with pytest.raises(InvalidRequestError, match="check digit"):
        sign_credential(replace(CREDENTIAL, number="DAC-440304-2026-000123-5"), ISSUER)


def test_a_certificate_has_so_many_elements() -> None:
    many = tuple(Element(name=f"e{number}", value="A", method="m") for number in range(65))
    with pytest.raises(InvalidRequestError, match="64 elements"):
        sign_credential(replace(CREDENTIAL, elements=many), ISSUER)
    assert len(sign_credential(replace(CREDENTIAL, elements=many[:64]), ISSUER).claims()["dac"]["elements"]) == 64  # type: ignore[index, call-overload, arg-type]


Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, Change] = {
    "another type": lambda c: c.update(vct="urn:yingbi:certificate:licence:1"),
    "another class": lambda c: c["dac"].update({"class": "licence"}),
    "no class": lambda c: c["dac"].update({"class": "deed"}),
    "a wrong digit": lambda c: c.update(jti="DAC-440304-2026-000123-5"),
    "no number": lambda c: c.update(jti="123"),
    "other seconds": lambda c: c.update(exp=c["exp"] + 1),
    "a time that is none": lambda c: c["dac"]["valid"].update({"from": "2026-02-30T00:00:00.000000Z"}),
    "a scope that is none": lambda c: c["dac"]["scope"].pop("uses"),
    "no key": lambda c: c.update(cnf={"jwk": {"kty": "oct", "k": "AA"}}),
    "a private key": lambda c: c["cnf"]["jwk"].update(d="AA"),
    "a place that is none": lambda c: c["status"]["status_list"].update(idx=-1),
    "more": lambda c: c.update(more=1),
    "more inside": lambda c: c["dac"].update(more=1),
    "an element with more": lambda c: c["dac"]["elements"][0].update(more=1),
    "an element without a method": lambda c: c["dac"]["elements"][0].pop("method"),
    "raw numbers": lambda c: c["dac"]["elements"][0].update(value=1_234_567),
}


@pytest.mark.parametrize("what", CHANGES)
def test_other_claims_are_no_certificate(what: str) -> None:
    claims: dict[str, Any] = copy.deepcopy(sign_credential(CREDENTIAL, ISSUER).claims())
    CHANGES[what](claims)
    with pytest.raises(SandboxError):
        read_credential(claims)


def test_every_claim_is_needed() -> None:
    claims = sign_credential(CREDENTIAL, ISSUER).claims()
    for name in claims:
        with pytest.raises(InvalidRequestError):
            read_credential({other: value for other, value in claims.items() if other != name})
    inner: Any = claims["dac"]
    for name in set(inner) - {"holder", "title"}:
        with pytest.raises(InvalidRequestError):
            read_credential({**claims, "dac": {other: value for other, value in inner.items() if other != name}})


def test_nothing_of_it_is_shown_in_errors() -> None:
    claims: Any = json.loads(json.dumps(sign_credential(CREDENTIAL, ISSUER).claims()))
    claims["dac"]["holder"] = 91440300
    with pytest.raises(InvalidRequestError) as caught:
        read_credential(claims)
    assert "91440300" not in str(caught.value)
