"""What the log asks of a database: one transaction at a time for the sequencer, plain reads for everybody.

Two implementations pass the same tests: `store_memory` (experiments) and `store_sql` (SQLite and PostgreSQL).
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from ledger.note import NoteSignature
from ledger.tiles import TileCoordinate, TileReader
from yingbi.commitment import Opening

__all__ = ["Head", "LogReads", "LogStore", "StoreWriter", "Submission"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the log stands: `last_leaf` is the `prev` of the next entry, `last_time` its lower bound."""

    size: int
    root: bytes
    last_leaf: bytes
    last_time: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What was stored under an idempotency key: entries `start` to `start + count`, and the digest of what was sent."""

    key: str = field(repr=False)
    fingerprint: bytes
    start: int
    count: int


class LogReads(TileReader, Protocol):
    """The committed state, readable from any thread."""

    @property
    def origin(self) -> str:
        """Return the log's name."""
        ...

    def read_head(self) -> Head:
        """Return the newest committed head."""
        ...

    def read_entries(self, start: int, stop: int) -> list[bytes]:
        """Return the entries `start` to `stop`.

        Raises:
            NotFoundError: one of them does not exist.
        """
        ...

    def read_signed(self, size: int) -> bytes:
        """Return the signed note of the checkpoint of `size`, with the cosignatures known so far.

        Raises:
            NotFoundError: no checkpoint of that size was signed.
        """
        ...

    def published_size(self) -> int | None:
        """Return the size of the newest published checkpoint; None before the first."""
        ...

    def read_opening(self, commitment: str) -> Opening:
        """Return the opening of a commitment.

        Raises:
            NotFoundError: unknown or erased.
        """
        ...


class StoreWriter(Protocol):
    """The sequencer's transaction. Leaving it normally commits durably; an exception undoes everything."""

    def head(self) -> Head:
        """Return the head as this transaction sees it, locked against others."""
        ...

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return a tile as this transaction sees it."""
        ...

    def find_submissions(self, keys: Sequence[str]) -> dict[str, Submission]:
        """Return what is stored under those idempotency keys."""
        ...

    def add_submissions(self, submissions: Sequence[Submission]) -> None:
        """Remember idempotency keys."""
        ...

    def add_entries(self, start: int, entries: Sequence[bytes]) -> None:
        """Add entries from index `start` on."""
        ...

    def put_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Write tiles by (level, index), or wider states of them."""
        ...

    def add_openings(self, openings: Iterable[Opening]) -> None:
        """Keep openings of commitments, erasable."""
        ...

    def put_signed(self, size: int, note: bytes) -> None:
        """Keep the signed checkpoint of `size`."""
        ...

    def advance(self, old: Head, new: Head) -> None:
        """Move the head from `old` to `new`.

        Raises:
            ConflictError: the stored head is not `old`: another sequencer was here.
        """
        ...


class LogStore(LogReads, Protocol):
    """A log's database."""

    def acquire(self) -> None:
        """Become the only sequencer of this log, until `release` or the end of the process.

        Raises:
            ConflictError: another one holds the log.
        """
        ...

    def release(self) -> None:
        """Stop being the sequencer."""
        ...

    def write(self) -> AbstractContextManager[StoreWriter]:
        """Open the sequencer's transaction; the sequencer must have been acquired."""
        ...

    def publish(self, size: int, cosignatures: Sequence[NoteSignature]) -> None:
        """Add cosignatures to the checkpoint of `size` and serve it, unless a larger one is served already.

        Need not be durable: what is lost is published again at the next start.
        """
        ...

    def add_cosignatures(self, size: int, cosignatures: Sequence[NoteSignature]) -> None:
        """Add cosignatures to the checkpoint of `size`, published or not."""
        ...

    def erase_opening(self, commitment: str) -> None:
        """Erase an opening for good.

        Raises:
            NotFoundError: unknown or erased.
        """
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
