"""Log entries: one form, the envelope kept as it was signed, the chain inside of the leaf."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.entry import MAX_ENTRY_BYTES, Entry, encode_entry, genesis_hash, parse_entry
from ledger.tree import hash_leaf
from tests.lib.examples import minimal_payload
from yingbi.canonical import canonical_bytes
from yingbi.clock import format_time
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events import EntryType
from yingbi.keys import SigningKey
from yingbi.receipts import MAX_TREE_SIZE
from yingbi.statement import MAX_ENVELOPE_BYTES, Statement, add_signature, sign

KEYS = [SigningKey.from_seed(bytes([number]) * 32) for number in range(1, 17)]
STATEMENT = sign(minimal_payload(EntryType.JOB_APPROVED), KEYS[:1])
TIME = "2026-11-21T08:00:00.000000Z"
PREV = genesis_hash("log.example/2026")
ENTRY = encode_entry(seq=12, prev=PREV, time=TIME, statement=STATEMENT)

times = st.datetimes(timezones=st.just(UTC)).map(format_time)
hashes = st.binary(min_size=32, max_size=32)
types = st.sampled_from(list(EntryType))


def _object(entry: bytes = ENTRY) -> dict[str, Any]:
    value = json.loads(entry)
    assert isinstance(value, dict)
    return value


def _changed(**changes: Any) -> bytes:
    value = {**_object(), **changes}
    return canonical_bytes({name: item for name, item in value.items() if item is not ...})


@given(st.integers(0, MAX_TREE_SIZE), hashes, times, types, st.integers(1, 3))
def test_entries_round_trip(seq: int, prev: bytes, time: str, entry_type: EntryType, signers: int) -> None:
    statement = sign(minimal_payload(entry_type), KEYS[:signers])
    data = encode_entry(seq=seq, prev=prev, time=time, statement=statement)
    entry = parse_entry(data)
    assert entry == Entry(seq=seq, prev=prev, time=time, type=entry_type, statement=statement)
    again = encode_entry(seq=entry.seq, prev=entry.prev, time=entry.time, statement=entry.statement)
    assert again == data


@given(st.integers(0, MAX_TREE_SIZE), hashes, times, types)
def test_entries_are_what_the_canonical_encoder_writes(seq: int, prev: bytes, time: str, entry_type: EntryType) -> None:
    statement = sign(minimal_payload(entry_type), KEYS[:1])
    expected = {
        "v": 1,
        "seq": seq,
        "prev": f"sha256:{prev.hex()}",
        "time": time,
        "type": str(entry_type),
        "statement": json.loads(statement.envelope),
    }
    assert encode_entry(seq=seq, prev=prev, time=time, statement=statement) == canonical_bytes(expected)


def test_the_envelope_is_kept_byte_for_byte() -> None:
    entry = parse_entry(ENTRY)
    assert entry.statement.envelope == STATEMENT.envelope
    assert STATEMENT.envelope in ENTRY


def test_entries_of_one_log_are_never_entries_of_another() -> None:
    assert genesis_hash("log.example/2026") == hashlib.sha256(b"yingbi.log.genesis.v1\nlog.example/2026\n").digest()
    assert genesis_hash("log.example/2026") != genesis_hash("log.example/2027")
    assert genesis_hash("a\nb") != genesis_hash("a")


def test_the_chain_is_made_of_leaf_hashes() -> None:
    prev, entries = genesis_hash("log.example/2026"), []
    for seq in range(3):
        entries.append(encode_entry(seq=seq, prev=prev, time=TIME, statement=STATEMENT))
        prev = hash_leaf(entries[-1])
    assert parse_entry(entries[2]).prev == hashlib.sha256(b"\x00" + entries[1]).digest()


# Size


def _largest_statement() -> Statement:
    """The largest envelope that parses: many subjects and references, then 16 signatures."""
    item = {"id": "obj-" + "1" * 76, "digest": "sha256:" + "0" * 64}
    payload = minimal_payload(EntryType.JOB_APPROVED)
    statement = sign(payload, KEYS)
    for count in range(1, 65):
        try:
            statement = sign({**payload, "subject": [item] * count}, KEYS)
        except InvalidRequestError:
            break
    return statement


def test_the_largest_statement_fits_into_an_entry() -> None:
    statement = _largest_statement()
    assert MAX_ENVELOPE_BYTES - 400 < len(statement.envelope) <= MAX_ENVELOPE_BYTES
    data = encode_entry(seq=MAX_TREE_SIZE, prev=PREV, time=TIME, statement=statement)
    assert parse_entry(data).statement == statement
    longest = max(len(entry_type) for entry_type in EntryType)
    overhead = len(data) - len(statement.envelope) - len(statement.type) + longest
    assert MAX_ENVELOPE_BYTES + overhead <= MAX_ENTRY_BYTES


def _padded(size: int) -> bytes:
    """Encode an entry of `size` bytes around an envelope that nobody parsed."""
    empty = replace(STATEMENT, envelope=b"")
    room = size - len(encode_entry(seq=0, prev=PREV, time=TIME, statement=empty))
    return encode_entry(seq=0, prev=PREV, time=TIME, statement=replace(STATEMENT, envelope=b" " * room))


def test_an_entry_has_at_most_16384_bytes() -> None:
    assert MAX_ENTRY_BYTES == 16_384
    assert len(_padded(MAX_ENTRY_BYTES)) == MAX_ENTRY_BYTES
    with pytest.raises(InvalidRequestError) as caught:
        _padded(MAX_ENTRY_BYTES + 1)
    assert caught.value.code is ErrorCode.ENTRY_TOO_LARGE
    for size, code in ((MAX_ENTRY_BYTES, ErrorCode.JSON_MALFORMED), (MAX_ENTRY_BYTES + 1, ErrorCode.ENTRY_TOO_LARGE)):
        with pytest.raises(InvalidRequestError) as caught:
            parse_entry(b" " * size)
        assert caught.value.code is code


# What is no entry


def _broken() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "a list", b"[]"
    yield "a number", b"5"
    yield "null", b"null"
    yield "no UTF-8", ENTRY.replace(b"job", b"j\xffb")
    yield "a newline after", ENTRY + b"\n"
    yield "spaces", json.dumps(_object(), sort_keys=True).encode()
    yield "members in another order", json.dumps(dict(reversed(_object().items())), separators=(",", ":")).encode()
    yield "a member twice", ENTRY.replace(b'"seq":12', b'"seq":12,"seq":12')
    yield "an escaped letter", ENTRY.replace(b'"type":"job', b'"type":"\\u006aob')
    for name in _object():
        yield f"no {name}", _changed(**{name: ...})
    changes: dict[str, dict[str, Any]] = {
        "another member": {"more": 1},
        "version 2": {"v": 2},
        "version 0": {"v": 0},
        "version true": {"v": True},
        "version as text": {"v": "1"},
        "a negative seq": {"seq": -1},
        "a seq that is true": {"seq": True},
        "a seq that is text": {"seq": "12"},
        "a seq that is null": {"seq": None},
        "a prev without its hash name": {"prev": "0" * 64},
        "a prev in upper case": {"prev": "sha256:" + "A" * 64},
        "half a prev": {"prev": "sha256:" + "0" * 32},
        "a prev with a newline": {"prev": "sha256:" + "0" * 64 + "\n"},
        "a prev in full-width digits": {"prev": "sha256:" + "０" * 64},
        "a prev that is null": {"prev": None},
        "a prev that holds a statement": {"prev": '"statement":{}'},
        "a time without microseconds": {"time": "2026-11-21T08:00:00Z"},
        "a time in another zone": {"time": "2026-11-21T08:00:00.000000+08:00"},
        "a time that does not exist": {"time": "2026-02-30T08:00:00.000000Z"},
        "a time at 25 o'clock": {"time": "2026-11-21T25:00:00.000000Z"},
        "a time in Arabic digits": {"time": "٢٠٢٦-11-21T08:00:00.000000Z"},
        "a time in full-width digits": {"time": "２０２６-11-21T08:00:00.000000Z"},
        "a time with a newline": {"time": TIME + "\n"},
        "a time as a number": {"time": 1_795_248_000},
        "the type of another statement": {"type": "job.refused"},
        "an unknown type": {"type": "job.exploded"},
        "a type in upper case": {"type": "JOB.APPROVED"},
        "a type that is null": {"type": None},
        "a type that holds a time": {"type": ',"time":"'},
        "a statement that is null": {"statement": None},
        "a statement as text": {"statement": STATEMENT.envelope.decode()},
        "a list of statements": {"statement": [_object()["statement"]]},
        "a statement with another member": {"statement": {**_object()["statement"], "time": "now"}},
        "an entry as statement": {"statement": _object()},
        "a statement without signatures": {"statement": {**_object()["statement"], "signatures": []}},
    }
    for name, change in changes.items():
        yield name, _changed(**change)


BROKEN = dict(_broken())


@pytest.mark.parametrize("name", BROKEN)
def test_broken_entries_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_entry(BROKEN[name])


def test_the_parts_of_the_broken_entries_make_a_good_entry() -> None:
    assert _changed() == ENTRY
    assert parse_entry(_changed(seq=0)).seq == 0


def test_no_flipped_bit_leaves_the_leaf_hash() -> None:
    """An entry that still parses is another entry: its hash differs, so no receipt covers it."""
    leaf = hash_leaf(ENTRY)
    for at in range(len(ENTRY)):
        changed = bytearray(ENTRY)
        changed[at] ^= 1 << at % 8
        try:
            entry = parse_entry(bytes(changed))
        except InvalidRequestError:
            continue
        assert entry != parse_entry(ENTRY)
        assert hash_leaf(bytes(changed)) != leaf


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_by_error_only(data: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_entry(data)


@given(st.integers(0, len(ENTRY)), st.integers(0, 40), st.binary(max_size=20))
def test_whatever_parses_encodes_to_itself(start: int, length: int, junk: bytes) -> None:
    data = ENTRY[:start] + junk + ENTRY[start + length :]
    try:
        entry = parse_entry(data)
    except InvalidRequestError:
        return
    assert encode_entry(seq=entry.seq, prev=entry.prev, time=entry.time, statement=entry.statement) == data


def test_two_signatures_make_another_entry() -> None:
    both = encode_entry(seq=12, prev=PREV, time=TIME, statement=add_signature(STATEMENT, KEYS[1]))
    assert parse_entry(both).statement.payload_bytes == STATEMENT.payload_bytes
    assert both != ENTRY
