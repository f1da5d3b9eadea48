"""A log in memory: for experiments and tests. It forgets everything when the process ends."""

import copy
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ledger.checkpoint import parse_checkpoint
from ledger.entry import genesis_hash
from ledger.note import NoteSignature, parse_note
from ledger.receipt import add_cosignatures
from ledger.store import Head, Submission
from ledger.tiles import TileCoordinate
from ledger.tree import EMPTY_ROOT
from yingbi.commitment import Opening
from yingbi.errors import ConflictError, ErrorCode, NotFoundError
from yingbi.receipts import HASH_BYTES, SignedCheckpoint

__all__ = ["MemoryStore"]


@dataclass
class _State:
    head: Head
    entries: list[bytes] = field(default_factory=list)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    signed: dict[int, bytes] = field(default_factory=dict)
    submissions: dict[str, Submission] = field(default_factory=dict)
    openings: dict[str, Opening] = field(default_factory=dict)
    published: int | None = None


class MemoryStore:
    """Implements `ledger.store.LogStore`. A transaction works on a copy: O(size), so keep logs small."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        head = Head(size=0, root=EMPTY_ROOT, last_leaf=genesis_hash(origin), last_time="")
        self._state = _State(head)
        self._lock = threading.RLock()
        self._is_held = False

    def acquire(self) -> None:
        """Become the only sequencer."""
        if self._is_held:
            raise ConflictError(ErrorCode.LOG_BUSY, "another sequencer holds the log")
        self._is_held = True

    def release(self) -> None:
        """Stop being the sequencer."""
        self._is_held = False

    def close(self) -> None:
        """Let go of nothing."""

    @contextmanager
    def write(self) -> Iterator["_MemoryWriter"]:
        """Open a transaction."""
        with self._lock:
            draft = copy.copy(self._state)
            for name in ("entries", "tiles", "signed", "submissions", "openings"):
                setattr(draft, name, getattr(draft, name).copy())
            yield _MemoryWriter(draft)
            self._state = draft

    def read_head(self) -> Head:
        """Return the newest head."""
        return self._state.head

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return a tile."""
        return _slice_tile(self._state.tiles.get((tile.level, tile.index), b""), tile)

    def read_entries(self, start: int, stop: int) -> list[bytes]:
        """Return entries."""
        entries = self._state.entries[start:stop]
        if not 0 <= start <= stop or len(entries) != stop - start:
            raise NotFoundError(ErrorCode.ENTRY_NOT_FOUND, f"no entries {start} to {stop}")
        return entries

    def read_signed(self, size: int) -> bytes:
        """Return a signed checkpoint."""
        if size not in self._state.signed:
            raise NotFoundError(ErrorCode.CHECKPOINT_NOT_FOUND, f"no checkpoint of size {size} was signed")
        return self._state.signed[size]

    def published_size(self) -> int | None:
        """Return the newest published size."""
        return self._state.published

    def publish(self, size: int, cosignatures: Sequence[NoteSignature]) -> None:
        """Serve the checkpoint of `size`."""
        with self._lock:
            self.add_cosignatures(size, cosignatures)
            published = self._state.published
            self._state.published = size if published is None else max(size, published)

    def add_cosignatures(self, size: int, cosignatures: Sequence[NoteSignature]) -> None:
        """Add cosignatures."""
        with self._lock:
            note = self.read_signed(size)
            signed = SignedCheckpoint(checkpoint=parse_checkpoint(parse_note(note).text), note=note)
            self._state.signed = {**self._state.signed, size: add_cosignatures(signed, cosignatures).note}

    def read_opening(self, commitment: str) -> Opening:
        """Return an opening."""
        try:
            return self._state.openings[commitment]
        except KeyError:
            raise NotFoundError(ErrorCode.OPENING_NOT_FOUND, "opening is unknown or erased") from None

    def erase_opening(self, commitment: str) -> None:
        """Erase an opening."""
        with self._lock:
            self.read_opening(commitment)
            del self._state.openings[commitment]


class _MemoryWriter:
    """Implements `ledger.store.StoreWriter` on a copy of the state."""

    def __init__(self, state: _State) -> None:
        self._state = state

    def head(self) -> Head:
        """Return the head."""
        return self._state.head

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return a tile."""
        return _slice_tile(self._state.tiles.get((tile.level, tile.index), b""), tile)

    def find_submissions(self, keys: Sequence[str]) -> dict[str, Submission]:
        """Return known idempotency keys."""
        return {key: self._state.submissions[key] for key in keys if key in self._state.submissions}

    def add_submissions(self, submissions: Sequence[Submission]) -> None:
        """Remember idempotency keys."""
        self._state.submissions.update({item.key: item for item in submissions})

    def add_entries(self, start: int, entries: Sequence[bytes]) -> None:
        """Add entries."""
        if start != len(self._state.entries):
            raise ConflictError(ErrorCode.LOG_BUSY, "another sequencer wrote entries")
        self._state.entries.extend(entries)

    def put_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Write tiles."""
        self._state.tiles.update(tiles)

    def add_openings(self, openings: Iterable[Opening]) -> None:
        """Keep openings."""
        self._state.openings.update({opening.commitment: opening for opening in openings})

    def put_signed(self, size: int, note: bytes) -> None:
        """Keep a signed checkpoint."""
        self._state.signed[size] = note

    def advance(self, old: Head, new: Head) -> None:
        """Move the head."""
        if self._state.head != old:
            raise ConflictError(ErrorCode.LOG_BUSY, "another sequencer moved the head")
        self._state.head = new


def _slice_tile(data: bytes, tile: TileCoordinate) -> bytes:
    if len(data) < HASH_BYTES * tile.width:
        raise NotFoundError(ErrorCode.TILE_NOT_FOUND, "tile does not exist in that width")
    return data[: HASH_BYTES * tile.width]
