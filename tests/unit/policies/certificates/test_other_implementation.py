"""SD-JWT and status lists beside an independent implementation (openvc): each reads what the other has issued."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvc.keys import Ed25519SigningKey, P256SigningKey
from openvc.proof.errors import ProofError
from openvc.proof.sd_jwt import SdJwtVcProofSuite
from openvc.status import token_status_list as other_lists

from policies.certificates.jose import parse_jws, sign_jws, verify_jws
from policies.certificates.sd_jwt import (
    MAX_BYTES,
    Hidden,
    KeyBinding,
    SdJwt,
    conceal,
    parse_sd_jwt,
    present,
    verify_key_binding,
)
from policies.certificates.status_list import StatusList
from yingbi.key_files import encode_base64url
from yingbi.keys import SigningKey

NOW = 1_795_000_000
ISSUER, HOLDER = SigningKey.from_seed(b"i" * 32), SigningKey.from_seed(b"h" * 32)
OTHERS = SdJwtVcProofSuite()
CLAIMS: dict[str, Any] = {
    "iss": "https://hub.example",
    "iat": NOW,
    "exp": NOW + 10**9,  # by the clock of the machine: it looks at no other
    "vct": "urn:example:licence",
    "cnf": {"jwk": HOLDER.public.to_jwk()},
    "subject": Hidden({"name": Hidden("福田科技"), "uscc": "9144"}),
    "elements": [Hidden({"name": "stability", "value": "B"}), "plain"],
}
PLAIN = CLAIMS | {
    "subject": {"name": "福田科技", "uscc": "9144"},
    "elements": [{"name": "stability", "value": "B"}, "plain"],
}
# RFC 9901, appendix A.5: the issuer's key.
P256 = P256SigningKey.from_jwk(
    {
        "kty": "EC",
        "crv": "P-256",
        "x": "b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ",
        "y": "Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8",
        "d": "Ur2bNKuBPOrAaxsRnbSH6hIhmNTxSGXshDSUD1a1y7g",
    },
    "issuer",
)
ED25519 = {
    alg: Ed25519SigningKey.from_jwk({**ISSUER.public.to_jwk(), "d": encode_base64url(b"i" * 32)}, "issuer", alg=alg)
    for alg in ("EdDSA", "Ed25519")
}


def issue(claims: dict[str, Any]) -> SdJwt:
    made = conceal(claims)
    jws = parse_jws(sign_jws({"typ": "dc+sd-jwt"}, json.dumps(made.payload).encode(), ISSUER), max_bytes=MAX_BYTES)
    return SdJwt(jws=jws, disclosures=tuple(made.disclosures.values()))


def others_claims(text: str, **asked: Any) -> dict[str, Any]:
    when = datetime.fromtimestamp(NOW + 1, UTC)
    found = OTHERS.verify(text, public_key_jwk=ISSUER.public.to_jwk(), now=when, **asked)
    claims: dict[str, Any] = found.claims
    return claims


def test_they_read_what_we_issue() -> None:
    everything = issue(CLAIMS)
    assert others_claims(everything.text) == everything.claims() == PLAIN
    nothing = everything.choose([])
    assert others_claims(nothing.text) == nothing.claims()
    assert "subject" not in nothing.claims()


def test_they_read_what_our_holder_shows() -> None:
    bound = KeyBinding(audience="partner:bank-a", nonce="n-1", issued_at=NOW)
    everything = issue(CLAIMS)
    shown = present(everything.choose([one.text for one in everything.disclosures[:2]]), bound, HOLDER)
    asked = {"audience": "partner:bank-a", "nonce": "n-1", "require_key_binding": True}
    assert others_claims(shown.text, **asked) == shown.claims()
    for wrong in ({**asked, "nonce": "n-2"}, {**asked, "audience": "partner:bank-b"}):
        with pytest.raises(ProofError):
            others_claims(shown.text, **wrong)
    more = SdJwt(jws=shown.jws, disclosures=everything.disclosures, binding=shown.binding)
    with pytest.raises(ProofError):
        others_claims(more.text, **asked)


@pytest.mark.parametrize("key", [P256, *ED25519.values()], ids=["ES256", *ED25519])
def test_we_read_what_they_issue(key: Any) -> None:
    claims = {"iss": "https://other.example", "vct": "urn:x", "name": "福", "numbers": [1, 2]}
    text = OTHERS.issue(
        claims, signing_key=key, disclosable=["name", "numbers"], holder_jwk=HOLDER.public.to_jwk(), decoys=3
    )
    found = parse_sd_jwt(text)
    verify_jws(found.jws, dict(key.public_jwk()), type_="dc+sd-jwt")
    read = found.claims()
    assert {name: read[name] for name in claims} == claims
    assert "name" not in found.choose([]).claims()


def test_we_read_what_their_holder_shows() -> None:
    holder = Ed25519SigningKey.from_jwk({**HOLDER.public.to_jwk(), "d": encode_base64url(b"h" * 32)}, "holder")
    text = OTHERS.issue(
        {"iss": "https://other.example", "vct": "urn:x", "name": "福"},
        signing_key=P256,
        disclosable=["name"],
        holder_jwk=HOLDER.public.to_jwk(),
    )
    shown = parse_sd_jwt(OTHERS.create_presentation(text, holder_key=holder, audience="a", nonce="n"))
    assert verify_key_binding(shown, HOLDER.public.to_jwk(), audience="a", nonce="n").nonce == "n"


@settings(max_examples=30)
@given(st.integers(1, 400), st.data())
def test_lists_are_the_same_bytes(size: int, data: st.DataObject) -> None:
    wanted = data.draw(st.dictionaries(st.integers(0, size - 1), st.integers(0, 3)))
    theirs = other_lists.new_status_list(size, bits=2)
    for index, status in wanted.items():
        other_lists.set_status(theirs, index, status, bits=2)
    ours = StatusList.of(size, wanted)
    assert ours.packed == bytes(theirs)
    assert ours.to_json()["lst"] == other_lists.encode_status_list(bytes(theirs))
    read = StatusList.from_json({"bits": 2, "lst": other_lists.encode_status_list(bytes(theirs))})
    assert [read[n] for n in range(size)] == [other_lists.get_status(bytes(theirs), n, bits=2) for n in range(size)]
