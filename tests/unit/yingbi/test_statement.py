"""Statements: DSSE envelopes, several signatures, one form for everything, nothing identifying in clear."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.examples import minimal_payload
from yingbi.canonical import canonical_bytes
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.events import EntryType
from yingbi.keys import SigningKey
from yingbi.statement import (
    MAX_ENVELOPE_BYTES,
    MAX_SIGNATURES,
    PAYLOAD_TYPE,
    Statement,
    add_signature,
    encode_pae,
    parse_statement,
    sign,
    verify_signatures,
)

KEYS = sorted(
    (SigningKey.from_seed(bytes([number]) * 32) for number in range(1, MAX_SIGNATURES + 2)),
    key=lambda key: key.public.thumbprint,
)
ALICE, BOB = KEYS[0], KEYS[1]
PUBLIC = [key.public for key in KEYS]
PAYLOAD = minimal_payload(EntryType.JOB_SUBMITTED)
SIGNED = sign(PAYLOAD, [ALICE])


def _envelope(**changes: Any) -> bytes:
    value = {**json.loads(SIGNED.envelope), **changes}
    return canonical_bytes({name: item for name, item in value.items() if item is not ...})


def _with_payload(payload: object, *, raw: bytes | None = None) -> bytes:
    data = canonical_bytes(payload) if raw is None else raw
    sig = base64.b64encode(ALICE.sign(encode_pae(PAYLOAD_TYPE, data))).decode()
    rows = [{"keyid": ALICE.public.thumbprint, "sig": sig}]
    return _envelope(payload=base64.b64encode(data).decode(), signatures=rows)


def _row(key: SigningKey) -> dict[str, str]:
    sig = base64.b64encode(key.sign(encode_pae(PAYLOAD_TYPE, SIGNED.payload_bytes))).decode()
    return {"keyid": key.public.thumbprint, "sig": sig}


def _refuse(envelope: bytes) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse_statement(envelope)
    return caught.value


# Signing and verifying


def test_pae_is_that_of_the_dsse_protocol() -> None:
    assert encode_pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert encode_pae("", b"") == b"DSSEv1 0  0 "
    assert encode_pae("é", b"\x00\xff") == b"DSSEv1 2 \xc3\xa9 2 \x00\xff"  # lengths count bytes


@pytest.mark.parametrize("entry_type", EntryType)
def test_every_type_can_be_signed_parsed_and_verified(entry_type: EntryType) -> None:
    statement = sign(minimal_payload(entry_type), [ALICE])
    assert parse_statement(statement.envelope) == statement
    assert statement.type is entry_type
    assert verify_signatures(statement, [ALICE.public]) == (ALICE.public.thumbprint,)


def test_the_envelope_is_dsse() -> None:
    value = json.loads(SIGNED.envelope)
    assert set(value) == {"payload", "payloadType", "signatures"}
    assert value["payloadType"] == "application/vnd.yingbi.statement.v1+json"
    assert base64.b64decode(value["payload"]) == canonical_bytes(PAYLOAD) == SIGNED.payload_bytes
    (row,) = value["signatures"]
    message = encode_pae(PAYLOAD_TYPE, SIGNED.payload_bytes)
    assert row["keyid"] == ALICE.public.thumbprint
    assert ALICE.public.is_valid(base64.b64decode(row["sig"]), message)


def test_signatures_stand_in_ascending_order_whoever_signs_first() -> None:
    one, other = sign(PAYLOAD, [ALICE, BOB]), sign(PAYLOAD, [BOB, ALICE])
    third = add_signature(sign(PAYLOAD, [BOB]), ALICE)
    assert one.envelope == other.envelope == third.envelope
    assert [item.keyid for item in one.signatures] == [ALICE.public.thumbprint, BOB.public.thumbprint]
    assert verify_signatures(one, PUBLIC) == (ALICE.public.thumbprint, BOB.public.thumbprint)


def test_a_second_signature_is_over_the_same_bytes() -> None:
    both = add_signature(SIGNED, BOB)
    assert both.payload_bytes == SIGNED.payload_bytes
    assert both.payload == SIGNED.payload
    assert SIGNED.signatures[0] in both.signatures


def test_nobody_signs_twice() -> None:
    with pytest.raises(InvalidRequestError, match="different keys"):
        add_signature(SIGNED, ALICE)
    with pytest.raises(InvalidRequestError, match="different keys"):
        sign(PAYLOAD, [ALICE, ALICE])


def test_one_to_sixteen_sign() -> None:
    assert len(sign(PAYLOAD, KEYS[:MAX_SIGNATURES]).signatures) == MAX_SIGNATURES == 16
    for keys in ([], KEYS[: MAX_SIGNATURES + 1]):
        with pytest.raises(InvalidRequestError, match="expected 1 to 16 signatures"):
            sign(PAYLOAD, keys)


def test_every_signature_must_be_by_a_known_key() -> None:
    both = sign(PAYLOAD, [ALICE, BOB])
    for known in ([], [ALICE.public], [BOB.public], [KEYS[2].public]):
        with pytest.raises(VerificationError, match="unknown key") as caught:
            verify_signatures(both, known)
        assert caught.value.code is ErrorCode.STATEMENT_UNVERIFIED


def test_every_signature_must_verify() -> None:
    rows = json.loads(sign(PAYLOAD, [ALICE, BOB]).envelope)["signatures"]
    for at in range(2):
        swapped = [dict(row) for row in rows]
        swapped[at]["sig"] = rows[1 - at]["sig"]
        with pytest.raises(VerificationError, match="does not verify"):
            verify_signatures(parse_statement(_envelope(signatures=swapped)), PUBLIC)


def test_a_signature_is_bound_to_the_payload_type() -> None:
    other = base64.b64encode(ALICE.sign(encode_pae("text/plain", SIGNED.payload_bytes))).decode()
    bare = base64.b64encode(ALICE.sign(SIGNED.payload_bytes)).decode()
    for sig in (other, bare):
        rows = [{"keyid": ALICE.public.thumbprint, "sig": sig}]
        with pytest.raises(VerificationError):
            verify_signatures(parse_statement(_envelope(signatures=rows)), PUBLIC)


def test_no_flipped_bit_goes_unseen() -> None:
    for statement, bits in ((SIGNED, range(8)), (sign(PAYLOAD, [ALICE, BOB]), [0])):
        for at in range(len(statement.envelope)):
            for bit in bits:
                flipped = bytearray(statement.envelope)
                flipped[at] ^= 1 << bit
                with pytest.raises(SandboxError):
                    verify_signatures(parse_statement(bytes(flipped)), PUBLIC)


@given(st.integers(0, len(SIGNED.envelope)), st.integers(0, 40), st.binary(max_size=20))
def test_no_other_splice_goes_unseen(start: int, length: int, junk: bytes) -> None:
    changed = SIGNED.envelope[:start] + junk + SIGNED.envelope[start + length :]
    if changed == SIGNED.envelope:
        return
    with pytest.raises(SandboxError):
        verify_signatures(parse_statement(changed), PUBLIC)


def test_what_was_signed_is_kept_as_it_came() -> None:
    parsed = parse_statement(SIGNED.envelope)
    assert parsed.envelope == SIGNED.envelope
    assert parsed.payload_bytes == SIGNED.payload_bytes
    assert parsed == SIGNED


# Envelopes

PADDED = base64.b64encode(canonical_bytes(PAYLOAD)).decode()
ROW = _row(ALICE)
SIG = ROW["sig"]
BROKEN_ENVELOPES: dict[str, bytes] = {
    "nothing": b"",
    "no object": b"[]",
    "a string": b'"envelope"',
    "pretty printed": json.dumps(json.loads(SIGNED.envelope), indent=1).encode(),
    "members in another order": json.dumps(dict(reversed(json.loads(SIGNED.envelope).items()))).encode(),
    "a newline after": SIGNED.envelope + b"\n",
    "no payload": _envelope(payload=...),
    "no payload type": _envelope(payloadType=...),
    "no signatures": _envelope(signatures=...),
    "another member": _envelope(more=1),
    "a member in another case": _envelope(PayloadType=PAYLOAD_TYPE, payloadType=...),
    "another payload type": _envelope(payloadType="application/vnd.yingbi.statement.v2+json"),
    "the payload type of in-toto": _envelope(payloadType="application/vnd.in-toto+json"),
    "the payload type in upper case": _envelope(payloadType=PAYLOAD_TYPE.upper()),
    "no payload type but null": _envelope(payloadType=None),
    "an empty payload": _envelope(payload=""),
    "a payload that is no string": _envelope(payload=json.loads(SIGNED.payload_bytes)),
    "a payload in base64url": _envelope(payload=base64.urlsafe_b64encode(b"\xff\xff\xff").decode()),
    "a payload without padding": _with_payload(None, raw=b"{}  ").replace(b"==", b""),
    "a payload with spaces": _envelope(payload=f" {PADDED}"),
    "a payload with newlines": _envelope(payload=PADDED[:76] + "\n" + PADDED[76:]),
    "a payload that is no ASCII": _envelope(payload="é" + PADDED),
    "an empty list of signatures": _envelope(signatures=[]),
    "signatures that are no list": _envelope(signatures=ROW),
    "signatures that are null": _envelope(signatures=None),
    "a signature that is a string": _envelope(signatures=[SIG]),
    "a signature that is a number": _envelope(signatures=[5]),
    "a signature that is null": _envelope(signatures=[None]),
    "the same signature twice": _envelope(signatures=[ROW, ROW]),
    "two signatures of one key": _envelope(signatures=[ROW, {**ROW, "sig": _row(BOB)["sig"]}]),
    "signatures in descending order": _envelope(signatures=[_row(BOB), ROW]),
    "17 signatures": _envelope(signatures=[_row(key) for key in KEYS]),
    "a signature without keyid": _envelope(signatures=[{"sig": SIG}]),
    "a signature without sig": _envelope(signatures=[{"keyid": ROW["keyid"]}]),
    "a signature with a certificate": _envelope(signatures=[{**ROW, "cert": ""}]),
    "an empty keyid": _envelope(signatures=[{**ROW, "keyid": ""}]),
    "a keyid that is null": _envelope(signatures=[{**ROW, "keyid": None}]),
    "a keyid that is a number": _envelope(signatures=[{**ROW, "keyid": 1}]),
    "a keyid with padding": _envelope(signatures=[{**ROW, "keyid": ROW["keyid"] + "="}]),
    "a keyid of 42 characters": _envelope(signatures=[{**ROW, "keyid": ROW["keyid"][:-1]}]),
    "a keyid with a newline": _envelope(signatures=[{**ROW, "keyid": ROW["keyid"] + "\n"}]),
    "a keyid in plain base64": _envelope(signatures=[{**ROW, "keyid": "+/" + ROW["keyid"][2:]}]),
    "an empty sig": _envelope(signatures=[{**ROW, "sig": ""}]),
    "a sig that is null": _envelope(signatures=[{**ROW, "sig": None}]),
    "a sig of 63 bytes": _envelope(signatures=[{**ROW, "sig": base64.b64encode(bytes(63)).decode()}]),
    "a sig of 65 bytes": _envelope(signatures=[{**ROW, "sig": base64.b64encode(bytes(65)).decode()}]),
    "a sig without padding": _envelope(signatures=[{**ROW, "sig": SIG.rstrip("=")}]),
    "a sig with trailing bits": _envelope(
        signatures=[{**ROW, "sig": base64.b64encode(bytes(64)).decode()[:-3] + "B=="}]
    ),
    "a sig in base64url": _envelope(signatures=[{**ROW, "sig": "_" * 85 + "w=="}]),
    "a sig in hexadecimal": _envelope(signatures=[{**ROW, "sig": "00" * 64}]),
}


@pytest.mark.parametrize("name", BROKEN_ENVELOPES)
def test_broken_envelopes_are_refused(name: str) -> None:
    error = _refuse(BROKEN_ENVELOPES[name])
    assert error.code in {ErrorCode.STATEMENT_MALFORMED, ErrorCode.JSON_MALFORMED, ErrorCode.JSON_NOT_CANONICAL}
    assert "\n" not in error.message


def test_the_parts_of_the_broken_envelopes_make_a_good_envelope() -> None:
    assert _envelope(signatures=[ROW]) == _with_payload(PAYLOAD) == SIGNED.envelope


def test_a_name_twice_in_an_envelope_is_refused() -> None:
    doubled = SIGNED.envelope.replace(b'{"payload":', b'{"payload":"","payload":', 1)
    assert _refuse(doubled).code is ErrorCode.JSON_NOT_CANONICAL


def test_a_large_envelope_is_refused() -> None:
    assert len(_envelope(payload="A" * MAX_ENVELOPE_BYTES)) > MAX_ENVELOPE_BYTES
    assert _refuse(_envelope(payload="A" * MAX_ENVELOPE_BYTES)).code is ErrorCode.ENTRY_TOO_LARGE


def test_an_envelope_has_at_most_15900_bytes() -> None:
    assert MAX_ENVELOPE_BYTES == 15_900
    assert _refuse(b" " * MAX_ENVELOPE_BYTES).code is ErrorCode.JSON_MALFORMED
    assert _refuse(b" " * (MAX_ENVELOPE_BYTES + 1)).code is ErrorCode.ENTRY_TOO_LARGE


# Payloads

DIGEST = "sha256:" + "0" * 64
ITEM = {"id": "obj-1", "digest": None}


def _broken_payloads() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in PAYLOAD:
        yield f"no {name}", {key: value for key, value in PAYLOAD.items() if key != name}
    changes: dict[str, dict[str, Any]] = {
        "an unknown member": {"more": 1},
        "an unknown type": {"type": "job.exploded"},
        "a type in upper case": {"type": "JOB.SUBMITTED"},
        "a type that is null": {"type": None},
        "the body of another type": {"type": "job.approved"},
        "an id without kind": {"id": "1"},
        "an id of 81 characters": {"id": "job-" + "1" * 77},
        "an id with a newline": {"id": "job-1\n"},
        "an issuer of an unknown kind": {"issuer": "bank:a"},
        "an issuer that is null": {"issuer": None},
        "an issuer in Chinese": {"issuer": "partner:银行"},
        "an issuer with a newline": {"issuer": "partner:bank-a\n"},
        "on behalf of a name": {"on_behalf_of": "Alice"},
        "on behalf of nobody in particular": {"on_behalf_of": ""},
        "a time without microseconds": {"issued_at": "2026-11-21T08:00:00Z"},
        "a time in another zone": {"issued_at": "2026-11-21T08:00:00.000000+08:00"},
        "a time that does not exist": {"issued_at": "2026-02-30T08:00:00.000000Z"},
        "a time at 25 o'clock": {"issued_at": "2026-11-21T25:00:00.000000Z"},
        "a time in Arabic digits": {"issued_at": "٢٠٢٦-11-21T08:00:00.000000Z"},
        "a time in full-width digits": {"issued_at": "２０２６-11-21T08:00:00.000000Z"},
        "a time as a number": {"issued_at": 1_795_248_000},
        "a nonce of 21 characters": {"nonce": "A" * 21},
        "a nonce of 23 characters": {"nonce": "A" * 23},
        "a nonce with trailing bits": {"nonce": "A" * 21 + "B"},
        "a nonce in plain base64": {"nonce": "+/" + "A" * 20},
        "subjects that are no list": {"subject": ITEM},
        "65 subjects": {"subject": [ITEM] * 65},
        "a subject without digest": {"subject": [{"id": "obj-1"}]},
        "a subject with another member": {"subject": [{**ITEM, "name": "x"}]},
        "a subject with half a digest": {"subject": [{**ITEM, "digest": "sha256:00"}]},
        "a subject with a digest in upper case": {"subject": [{**ITEM, "digest": "sha256:" + "A" * 64}]},
        "a subject with another hash": {"subject": [{**ITEM, "digest": "sha512:" + "0" * 64}]},
        "references that are a list": {"refs": []},
        "33 references": {"refs": {f"r{number}": DIGEST for number in range(33)}},
        "a reference with a name in upper case": {"refs": {"Agreement": DIGEST}},
        "a reference with a name of 41 characters": {"refs": {"r" * 41: DIGEST}},
        "a reference to text": {"refs": {"agreement": "see above"}},
        "a reference to a URL": {"refs": {"agreement": "https://example.com/"}},
        "a reference to null": {"refs": {"agreement": None}},
        "a body that is a list": {"body": []},
        "a body that is null": {"body": None},
        "a body with another member": {"body": {**PAYLOAD["body"], "more": 1}},
        "a body that is empty": {"body": {}},
    }
    for name, change in changes.items():
        yield name, {**PAYLOAD, **change}


BROKEN_PAYLOADS = dict(_broken_payloads())


@pytest.mark.parametrize("name", BROKEN_PAYLOADS)
def test_broken_payloads_are_refused_when_signed_and_when_parsed(name: str) -> None:
    payload = BROKEN_PAYLOADS[name]
    with pytest.raises(InvalidRequestError) as caught:
        sign(payload, [ALICE])
    assert caught.value.code is ErrorCode.STATEMENT_MALFORMED
    assert "\n" not in caught.value.message
    assert _refuse(_with_payload(payload)).code is ErrorCode.STATEMENT_MALFORMED


def test_good_payloads_of_every_form() -> None:
    for change in (
        {"on_behalf_of": "person:alice"},
        {"subject": [ITEM] * 64},
        {"subject": [{"id": "partner:bank-a", "digest": DIGEST}]},
        {"refs": {"agreement": DIGEST, "job": "job-1", "node": "node:futian-tax"}},
        {"refs": {f"r{number}": DIGEST for number in range(32)}},
        {"nonce": "A" * 22},
        {"id": "job-" + "1" * 76},
    ):
        assert verify_signatures(sign({**PAYLOAD, **change}, [ALICE]), PUBLIC)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        SIGNED.payload_bytes + b" ",
        SIGNED.payload_bytes.replace(b":", b": ", 1),
        SIGNED.payload_bytes.replace(b'"subject":[]', b'"subject":[],"subject":[]'),
        json.dumps(dict(reversed(PAYLOAD.items())), separators=(",", ":")).encode(),
        b"\xff",
    ],
    ids=["nothing", "null", "list", "object", "string", "space", "spaces", "doubled name", "order", "no UTF-8"],
)
def test_a_payload_that_is_not_canonical_is_refused_though_it_is_signed(raw: bytes) -> None:
    _refuse(_with_payload(None, raw=raw))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({**PAYLOAD, "issuer": "nobody"}, "payload member `issuer`: string pattern mismatch"),
        ({**PAYLOAD, "subject": [ITEM, {**ITEM, "id": 1}]}, "payload member `subject.1.id`: string type"),
        ({**PAYLOAD, "Issuer": 1}, "payload member `?`: extra forbidden"),
        ([], "payload member `payload`: model type"),
    ],
)
def test_a_refusal_says_which_member_is_wrong_and_how(payload: object, message: str) -> None:
    assert _refuse(_with_payload(payload)).message == message


# Nothing identifying in clear; nothing secret in messages

USCC, RESIDENT, PHONE = "91350100M000100Y43", "11010519491231002X", "13800138000"
IDENTIFYING = {"uscc": USCC, "resident": RESIDENT, "phone": PHONE}


def _places(value: str) -> Iterator[dict[str, Any]]:
    yield {**PAYLOAD, "id": f"job-{value}"}
    yield {**PAYLOAD, "subject": [{"id": f"obj-{value}", "digest": None}]}
    yield {**PAYLOAD, "refs": {"job": f"job-{value}"}}
    yield {**PAYLOAD, "issuer": f"subject:{value.lower()}"}
    yield {**PAYLOAD, "on_behalf_of": f"person:x-{value.lower()}"}


@pytest.mark.parametrize("kind", IDENTIFYING)
def test_identifying_values_are_refused_wherever_they_may_stand(kind: str) -> None:
    value = IDENTIFYING[kind]
    for payload in _places(value):
        with pytest.raises(InvalidRequestError) as when_signed:
            sign(payload, [ALICE])
        for error in (when_signed.value, _refuse(_with_payload(payload))):
            assert error.code is ErrorCode.STATEMENT_IDENTIFYING
            assert value.casefold() not in f"{error.message} {error.hint} {error.detail}".casefold()


@pytest.mark.parametrize("value", [USCC, RESIDENT, PHONE, "Alice Zhang", "x\ny"])
def test_a_refusal_names_members_and_no_values(value: str) -> None:
    for change in (
        {value[:30]: 1} if value.isprintable() else {"more": value},
        {"body": {**PAYLOAD["body"], "more": value}},
        {"body": {**PAYLOAD["body"], value.replace("\n", " "): 1}},
        {"refs": {value.replace("\n", " "): DIGEST}},
        {"refs": {"agreement": value}},
        {"issuer": value},
        {"issued_at": value},
        {"type": value},
    ):
        with pytest.raises(InvalidRequestError) as caught:
            sign({**PAYLOAD, **change}, [ALICE])
        assert value not in f"{caught.value.message} {caught.value.hint} {caught.value.detail}"
        assert value not in repr(caught.value)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_by_error_only(data: bytes) -> None:
    _refuse(data)


def test_a_statement_cannot_be_changed() -> None:
    statement: Statement = SIGNED
    with pytest.raises(AttributeError):
        statement.payload_bytes = b""  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        statement.payload.id = "job-2"  # type: ignore[misc]
