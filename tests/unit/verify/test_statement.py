"""DSSE, JWK and thumbprints against published vectors; who signed, and whose key it was."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib import mini_log
from tests.lib.mini_log import MiniLog, Signer, b64, b64url, canonical, signer
from yingbi.verify.entry import Entry, parse_entry
from yingbi.verify.report import Finding
from yingbi.verify.statement import (
    SignerKey,
    StatementError,
    check_signer,
    encode_pae,
    parse_jwk,
    thumbprint,
    verify_signatures,
)
from yingbi.verify.strict import Malformed

# RFC 8037, appendix A.2 and A.3.
RFC8037_JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_thumbprint_of_rfc_8037() -> None:
    assert thumbprint(parse_jwk(RFC8037_JWK)) == RFC8037_THUMBPRINT


def test_pae_of_the_dsse_specification() -> None:
    assert encode_pae(b"http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert encode_pae(b"", b"") == b"DSSEv1 0  0 "


@given(st.binary(max_size=40), st.text(max_size=10))
def test_pae_counts_bytes(payload: bytes, kind: str) -> None:
    assert encode_pae(kind.encode(), payload) == b" ".join(
        [b"DSSEv1", str(len(kind.encode())).encode(), kind.encode(), str(len(payload)).encode(), payload]
    )


@given(st.binary(min_size=32, max_size=32))
def test_jwks_round_trip(public: bytes) -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64url(public)}
    assert parse_jwk(jwk) == public
    padded = base64.urlsafe_b64decode(thumbprint(public) + "=")
    assert len(padded) == 32


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        [],
        {},
        {**RFC8037_JWK, "kid": "a"},
        {**RFC8037_JWK, "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"},
        {**RFC8037_JWK, "kty": "EC"},
        {**RFC8037_JWK, "crv": "Ed448"},
        {**RFC8037_JWK, "x": None},
        {**RFC8037_JWK, "x": RFC8037_JWK["x"] + "="},
        {**RFC8037_JWK, "x": RFC8037_JWK["x"][:-1] + "p"},
        {**RFC8037_JWK, "x": RFC8037_JWK["x"][:-1]},
        {**RFC8037_JWK, "x": "+" + RFC8037_JWK["x"][1:]},
    ],
    ids=str,
)
def test_other_jwks_are_refused(jwk: object) -> None:
    with pytest.raises(Malformed):
        parse_jwk(jwk)


def entry_by(*signers: Signer, edit: Any = None, **members: Any) -> Entry:
    log = MiniLog()
    log.append("job.submitted", signers, **members)
    value = json.loads(log.entries[0])
    if edit:
        edit(value["statement"])
    return parse_entry(canonical(value))


def known(*signers: Signer) -> dict[str, SignerKey]:
    return {item.thumbprint: SignerKey(public=item.public, owner=item.owner) for item in signers}


A, B = signer("a"), signer("b", "person:li-4")


def test_all_signatures_verify() -> None:
    keys = verify_signatures(entry_by(A, B), known(A, B).get)
    assert {key.owner for key in keys} == {"partner:bank-a", "person:li-4"}


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(StatementError) as caught:
        verify_signatures(entry_by(A, B), known(A).get)
    assert (caught.value.finding, caught.value.actual) == (Finding.UNKNOWN_KEY, B.thumbprint)


def swap(statement: dict[str, Any]) -> None:
    first, second = statement["signatures"]
    first["sig"], second["sig"] = second["sig"], first["sig"]


def other_payload(statement: dict[str, Any]) -> None:
    statement["payload"] = b64(canonical(mini_log.make_payload("job.submitted", body={"other": 1})))


@pytest.mark.parametrize("edit", [swap, other_payload])
def test_signatures_bind_key_and_payload(edit: Any) -> None:
    with pytest.raises(StatementError) as caught:
        verify_signatures(entry_by(A, B, edit=edit), known(A, B).get)
    assert caught.value.finding is Finding.BAD_SIGNATURE


def test_the_payload_is_signed_as_pae_not_bare() -> None:
    def bare(statement: dict[str, Any]) -> None:
        statement["signatures"][0]["sig"] = b64(A.private.sign(base64.b64decode(statement["payload"])))

    with pytest.raises(StatementError):
        verify_signatures(entry_by(A, edit=bare), known(A).get)


@pytest.mark.parametrize(
    ("signers", "members", "allowed"),
    [
        ((A,), {"issuer": "partner:bank-a"}, True),
        ((A,), {"issuer": "partner:bank-b"}, False),
        ((A,), {"issuer": "partner:bank-b", "on_behalf_of": "partner:bank-a"}, False),
        ((B,), {"issuer": "partner:bank-a"}, False),
        ((A, B), {"issuer": "partner:bank-a"}, True),
        ((B,), {"issuer": "partner:bank-a", "on_behalf_of": "person:li-4"}, False),
    ],
)
def test_one_signer_is_the_issuer_whoever_it_acts_for(
    signers: tuple[Signer, ...], members: dict[str, str], allowed: bool
) -> None:
    entry = entry_by(*signers, **members)
    keys = verify_signatures(entry, known(A, B).get)
    if allowed:
        check_signer(entry, keys)
    else:
        with pytest.raises(StatementError) as caught:
            check_signer(entry, keys)
        assert caught.value.finding is Finding.WRONG_SIGNER


def test_nobodys_key_is_not_the_key_of_nobody() -> None:
    # A root has no owner, and most statements are on behalf of nobody: the two must not meet.
    entry = entry_by(A, issuer="partner:bank-b", on_behalf_of=None)
    with pytest.raises(StatementError):
        check_signer(entry, [SignerKey(public=A.public, owner=None)])
