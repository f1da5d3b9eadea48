"""What a log proves to itself before it signs anything: it is not behind, and does not contradict, a head it signed.

Three sources outside the database are asked: the high-water mark, witnesses, and the last anchor on a chain.
"""

from collections.abc import Callable, Iterable

from ledger.checkpoint import parse_checkpoint
from ledger.entry import parse_entry
from ledger.note import NoteVerifier, parse_note, verify_note
from ledger.reader import LogReader
from ledger.store import Head, LogStore
from ledger.tiles import TILE_WIDTH, TileCoordinate
from ledger.tree import hash_leaf
from yingbi.errors import ErrorCode, SandboxError, TamperDetectedError
from yingbi.receipts import HASH_BYTES, Checkpoint

__all__ = ["HeadCheck", "check_against", "check_stored_head"]

HeadCheck = Callable[[LogReader, Head], None]
"""Compares the stored head with something outside the database; raises `TamperDetectedError` when it contradicts."""


def check_stored_head(store: LogStore, verifiers: tuple[NoteVerifier, ...]) -> Head:
    """Check that head, tiles, last entry and signed checkpoint of the database agree; return the head.

    Raises:
        TamperDetectedError: they do not.
    """
    head = store.read_head()
    reader = LogReader(store)
    if reader.root_at(head.size) != head.root:
        raise _forked(f"stored tiles do not have the root of the stored head of size {head.size}")
    if head.size:
        _check_last_entry(store, head)
    try:
        note = parse_note(store.read_signed(head.size))
        verify_note(note, verifiers)
    except SandboxError as error:
        raise TamperDetectedError(
            error.code, f"stored checkpoint of size {head.size} is not signed by this log's key", hint=error.hint
        ) from error
    if parse_checkpoint(note.text) != Checkpoint(origin=store.origin, size=head.size, root=head.root):
        raise _forked(f"stored checkpoint of size {head.size} differs from the stored head")
    return head


def check_against(reader: LogReader, head: Head, others: Iterable[tuple[str, Checkpoint]]) -> None:
    """Check the stored head against heads that somebody else remembers, named for the message.

    Raises:
        TamperDetectedError: the log is behind one of them, or has another root at its size.
    """
    for name, other in others:
        if other.origin != reader.origin:
            raise TamperDetectedError(ErrorCode.LOG_FORKED, f"{name} belongs to another log")
        if other.size > head.size:
            raise TamperDetectedError(
                ErrorCode.LOG_ROLLED_BACK,
                f"log has {head.size} entries, but {name} remembers {other.size}",
                hint="an old backup was restored; bring the newer database back, this one will not sign",
            )
        if reader.root_at(other.size) != other.root:
            raise _forked(f"log has another root at size {other.size} than {name} remembers")


def _check_last_entry(store: LogStore, head: Head) -> None:
    data = store.read_entries(head.size - 1, head.size)[0]
    index, offset = divmod(head.size - 1, TILE_WIDTH)
    stored = store.read_tile(TileCoordinate(0, index, offset + 1))[-HASH_BYTES:]
    entry = parse_entry(data)
    if not hash_leaf(data) == stored == head.last_leaf or entry.seq != head.size - 1 or entry.time != head.last_time:
        raise _forked(f"stored entry {head.size - 1} differs from the stored head")


def _forked(message: str) -> TamperDetectedError:
    return TamperDetectedError(ErrorCode.LOG_FORKED, message, hint="stop, keep the files, compare with witnesses")
