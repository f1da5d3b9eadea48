"""Log entries: canonical JSON with the hash chain inside (docs/spec/log.md, Entry)."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from yingbi.canonical import parse_canonical
from yingbi.clock import parse_time
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events import EntryType
from yingbi.ids import DIGEST_PATTERN
from yingbi.receipts import MAX_TREE_SIZE
from yingbi.statement import Statement, parse_statement

__all__ = ["MAX_ENTRY_BYTES", "Entry", "encode_entry", "genesis_hash", "parse_entry"]

MAX_ENTRY_BYTES: Final = 16_384
_MEMBERS: Final = {"prev", "seq", "statement", "time", "type", "v"}
_PREFIX: Final = "sha256:"
_STATEMENT_START: Final = b'"statement":'
_STATEMENT_END: Final = b',"time":"'
_DIGEST: Final = re.compile(DIGEST_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A parsed entry."""

    seq: int
    prev: bytes
    time: str
    type: EntryType
    statement: Statement


def genesis_hash(origin: str) -> bytes:
    """Return the `prev` of entry 0: it binds every entry to one log."""
    return hashlib.sha256(f"yingbi.log.genesis.v1\n{origin}\n".encode()).digest()


def encode_entry(*, seq: int, prev: bytes, time: str, statement: Statement) -> bytes:
    """Encode an entry around a parsed statement, whose envelope is used as it came.

    The members stand in RFC 8785's order, so no encoder is needed; a test compares with one.

    Raises:
        InvalidRequestError: more than `MAX_ENTRY_BYTES`.
    """
    entry = b'{"prev":"sha256:%b","seq":%d,"statement":%b,"time":"%b","type":"%b","v":1}' % (
        prev.hex().encode(),
        seq,
        statement.envelope,
        time.encode(),
        statement.type.value.encode(),
    )
    if len(entry) > MAX_ENTRY_BYTES:
        raise InvalidRequestError(
            ErrorCode.ENTRY_TOO_LARGE,
            f"expected an entry of at most {MAX_ENTRY_BYTES} bytes, got {len(entry)}",
            hint="put the data elsewhere and its digest or commitment here",
        )
    return entry


def parse_entry(data: bytes) -> Entry:
    """Parse an entry strictly; neither chain nor signatures are verified.

    Raises:
        InvalidRequestError: too large, not canonical, other members, a time that does not exist, an unknown type, or a
            type that is not its statement's.
    """
    if len(data) > MAX_ENTRY_BYTES:
        raise InvalidRequestError(
            ErrorCode.ENTRY_TOO_LARGE, f"expected at most {MAX_ENTRY_BYTES} bytes, got {len(data)}"
        )
    value = parse_canonical(data, max_bytes=MAX_ENTRY_BYTES)
    if not isinstance(value, dict) or set(value) != _MEMBERS or value["v"] != 1 or value["v"] is True:
        raise _malformed("expected version 1 with exactly `prev`, `seq`, `statement`, `time`, `type` and `v`")
    seq, prev, time = value["seq"], value["prev"], value["time"]
    if not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq <= MAX_TREE_SIZE:
        raise _malformed("expected `seq` from 0 to 2^53 - 1")
    if not isinstance(prev, str) or not _DIGEST.fullmatch(prev):
        raise _malformed("expected `prev` as a digest")
    if not isinstance(time, str) or not _is_time(time):
        raise _malformed("expected `time` in UTC with six digits of a second")
    # INVARIANT: the data is canonical, so these bytes are the envelope exactly as it was signed.
    start = data.index(_STATEMENT_START) + len(_STATEMENT_START)
    statement = parse_statement(data[start : data.rindex(_STATEMENT_END)])
    if value["type"] != statement.type:
        raise _malformed("expected the `type` of the statement")
    return Entry(seq=seq, prev=bytes.fromhex(prev[len(_PREFIX) :]), time=time, type=statement.type, statement=statement)


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except InvalidRequestError:
        return False
    return True


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.ENTRY_MALFORMED, message)
