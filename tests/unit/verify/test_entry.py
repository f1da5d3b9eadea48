"""Entries: the one accepted form, and every step away from it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.lib.examples import minimal_payload
from tests.lib.mini_log import MiniLog, b64, canonical, make_envelope, make_payload, signer
from yingbi.events import EntryType
from yingbi.verify.entry import MAX_ENTRY_BYTES, genesis, parse_entry, split_bundle
from yingbi.verify.strict import Malformed

DIGEST = "sha256:" + "ab" * 32


def make(entry_type: str = "job.submitted", **members: Any) -> dict[str, Any]:
    log = MiniLog()
    log.append(entry_type, **members)
    value: dict[str, Any] = json.loads(log.entries[0])
    return value


def test_a_good_entry_is_read() -> None:
    members: dict[str, Any] = {
        "on_behalf_of": "person:li-4",
        "subject": [{"id": "job-1", "digest": DIGEST}, {"id": "unit:futian-tax", "digest": None}],
        "refs": {"agreement": "agr-tax-1", "code": DIGEST, "by": "node:n1"},
        "body": {"text": "影壁", "list": [1, {"a": None}]},
    }
    log = MiniLog()
    log.append("job.submitted", [signer("a"), signer("b")], **members)
    entry = parse_entry(log.entries[0])
    assert (entry.seq, entry.prev, entry.type) == (0, genesis(log.origin), "job.submitted")
    assert entry.time == "2026-11-21T08:00:00.000000Z"
    assert entry.payload == make_payload("job.submitted", **members)
    assert entry.payload_bytes == canonical(entry.payload)
    assert entry.body == members["body"]
    assert [keyid for keyid, _ in entry.signatures] == sorted(signer(name).thumbprint for name in "ab")
    assert {len(signature) for _, signature in entry.signatures} == {64}


def change(**members: object) -> Callable[[dict[str, Any]], bytes]:
    return lambda value: canonical({**value, **members})


def change_statement(**members: object) -> Callable[[dict[str, Any]], bytes]:
    return lambda value: canonical({**value, "statement": {**value["statement"], **members}})


def change_payload(**members: object) -> Callable[[dict[str, Any]], bytes]:
    payload = make_payload("job.submitted", **members)
    return change_statement(payload=b64(canonical(payload)))


def change_signatures(edit: Callable[[list[dict[str, str]]], object]) -> Callable[[dict[str, Any]], bytes]:
    def apply(value: dict[str, Any]) -> bytes:
        rows = value["statement"]["signatures"]
        return canonical({**value, "statement": {**value["statement"], "signatures": edit(rows) or rows}})

    return apply


def without(name: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda value: canonical({key: item for key, item in value.items() if key != name})


def doubled(rows: list[dict[str, str]]) -> object:
    return rows + rows


def many(rows: list[dict[str, str]]) -> object:
    return [{**rows[0], "keyid": f"{number:043}"} for number in range(17)]


BAD: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "nothing": lambda _: b"",
    "not JSON": lambda _: b"{",
    "not canonical: spaces": lambda value: json.dumps(value, sort_keys=True).encode(),
    "not canonical: order": lambda value: json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode(),
    "newline at the end": lambda value: canonical(value) + b"\n",
    "version 2": change(v=2),
    "version true": change(v=True),
    "another member": change(extra=1),
    "no prev": without("prev"),
    "no statement": without("statement"),
    "prev in capitals": lambda value: canonical(value).replace(b"sha256:", b"SHA256:", 1),
    "prev of 31 bytes": change(prev="sha256:" + "0" * 62),
    "seq as text": change(seq="0"),
    "seq negative": change(seq=-1),
    "seq with a leading zero": lambda value: canonical(value).replace(b'"seq":0', b'"seq":00'),
    "seq as a float": change(seq=0.0),
    "seq 2^53": change(seq=2**53),
    "time without fraction": change(time="2026-11-21T08:00:00Z"),
    "time that does not exist": change(time="2026-02-30T08:00:00.000000Z"),
    "unknown type": change(type="job.invented"),
    "type of no form": change(type="job"),
    "another type than the payload": change(type="job.approved"),
    "another payloadType": change_statement(payloadType="application/json"),
    "envelope with another member": change_statement(extra=1),
    "payload not base64": change_statement(payload="!!!!"),
    "payload with stray bits": change_statement(payload="e31=" + "AB=="),
    "payload not JSON": change_statement(payload=b64(b"{")),
    "payload not canonical": change_statement(payload=b64(json.dumps(make_payload("job.submitted")).encode())),
    "payload a list": change_statement(payload=b64(b"[]")),
    "payload with another member": change_payload(extra=1),
    "payload without body": change_statement(
        payload=b64(canonical({key: item for key, item in make_payload("job.submitted").items() if key != "body"}))
    ),
    "no signatures": change_signatures(lambda _: [{}]),
    "empty signatures": lambda value: canonical({**value, "statement": {**value["statement"], "signatures": []}}),
    "17 signatures": change_signatures(many),
    "same key twice": change_signatures(doubled),
    "short keyid": change_signatures(lambda rows: [{**rows[0], "keyid": rows[0]["keyid"][:-1]}]),
    "short signature": change_signatures(lambda rows: [{**rows[0], "sig": b64(bytes(63))}]),
    "long signature": change_signatures(lambda rows: [{**rows[0], "sig": b64(bytes(65))}]),
    "signature with stray bits": change_signatures(lambda rows: [{**rows[0], "sig": "A" * 85 + "B=="}]),
    "signature with another member": change_signatures(lambda rows: [{**rows[0], "cert": ""}]),
    "id of no form": change_payload(id="job"),
    "id too long": change_payload(id="job-" + "a" * 77),
    "id with a newline": change_payload(id="job-1\n"),
    "issuer of no kind": change_payload(issuer="bank-a"),
    "issuer null": change_payload(issuer=None),
    "issuer in capitals": change_payload(issuer="partner:Bank"),
    "on_behalf_of of no kind": change_payload(on_behalf_of="li-4"),
    "on_behalf_of a number": change_payload(on_behalf_of=4),
    "issued_at a number": change_payload(issued_at=1),
    "issued_at that does not exist": change_payload(issued_at="2026-13-01T00:00:00.000000Z"),
    "nonce too short": change_payload(nonce="A" * 21),
    "nonce with padding": change_payload(nonce="A" * 22 + "=="),
    "subject an object": change_payload(subject={}),
    "65 subjects": change_payload(subject=[{"id": "job-1", "digest": None}] * 65),
    "subject without digest": change_payload(subject=[{"id": "job-1"}]),
    "subject with a bare digest": change_payload(subject=[{"id": "job-1", "digest": "ab" * 32}]),
    "subject of no form": change_payload(subject=[{"id": "x", "digest": None}]),
    "refs a list": change_payload(refs=[]),
    "33 refs": change_payload(refs={f"r{number}": DIGEST for number in range(33)}),
    "ref of no form": change_payload(refs={"a": "free text"}),
    "ref to a number": change_payload(refs={"a": 1}),
    "ref under no slug": change_payload(refs={"A b": DIGEST}),
    "body null": change_payload(body=None),
    "body a list": change_payload(body=[]),
    "body with a float": change_payload(body={"a": 0.5}),
    "too long": change_payload(body={"a": "x" * MAX_ENTRY_BYTES}),
}


@pytest.mark.parametrize("edit", BAD.values(), ids=BAD.keys())
def test_other_entries_are_refused(edit: Callable[[dict[str, Any]], bytes]) -> None:
    with pytest.raises(Malformed):
        parse_entry(edit(make()))


def test_entries_of_the_largest_size_are_read() -> None:
    sizes = []
    for count in range(11500, 12200):
        value = {
            **make(),
            "statement": make_envelope(make_payload("job.submitted", body={"a": "x" * count}), [signer("a")]),
        }
        data = canonical(value)
        if len(data) > MAX_ENTRY_BYTES:
            with pytest.raises(Malformed, match="at most"):
                parse_entry(data)
            break
        sizes.append(len(data))
    assert max(sizes) >= MAX_ENTRY_BYTES - 3
    assert parse_entry(canonical({**make()})).seq == 0


def test_sixteen_signatures_are_read() -> None:
    value = make()
    rows = [{**value["statement"]["signatures"][0], "keyid": f"{number:043}"} for number in range(16)]
    value["statement"]["signatures"] = rows
    assert len(parse_entry(canonical(value)).signatures) == 16


def bundle_of(*entries: bytes) -> bytes:
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def test_bundles_are_split() -> None:
    entries = [b"a", b"", b"c" * 65535]
    data = bundle_of(*entries)
    assert list(split_bundle(data, 3, exact=True)) == entries
    assert list(split_bundle(data, 2, exact=False)) == entries[:2]
    assert list(split_bundle(b"", 0, exact=True)) == []


@pytest.mark.parametrize(
    ("data", "count"),
    [(b"", 1), (b"\0", 1), (b"\0\1", 1), (b"\0\2a", 1), (bundle_of(b"a"), 2), (bundle_of(b"a") + b"\0", 2)],
)
def test_bundles_that_end_early_are_refused(data: bytes, count: int) -> None:
    with pytest.raises(Malformed):
        list(split_bundle(data, count, exact=False))


def test_bundles_that_go_on_are_refused_where_they_must_not() -> None:
    with pytest.raises(Malformed, match="nothing after"):
        list(split_bundle(bundle_of(b"a", b"b"), 1, exact=True))


@pytest.mark.parametrize("entry_type", sorted(EntryType))
def test_statements_that_the_kernel_makes_are_read(entry_type: EntryType) -> None:
    payload = minimal_payload(entry_type)
    log = MiniLog()
    log.append(str(entry_type), envelope=make_envelope(payload, [signer("a")]))
    assert parse_entry(log.entries[0]).payload == payload
