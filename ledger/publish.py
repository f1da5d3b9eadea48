"""Publishing a log: its C2SP tlog-tiles files in a folder, for any static web server and any auditor's disk.

Files are written under a temporary name, synced and renamed, tiles before the checkpoint that needs them: whoever
reads the folder at any moment, or after a crash at any step, finds a checkpoint whose tiles are all there. Running
again continues: O(new entries).
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ledger.checkpoint import parse_checkpoint
from ledger.note import NoteVerifier, parse_note
from ledger.proof import verify_consistency
from ledger.reader import LogReader
from ledger.store import LogReads
from ledger.tiles import TILE_HEIGHT, TILE_WIDTH, bundle_path, encode_bundle, parse_tile_path, tile_path, tiles_of
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    TamperDetectedError,
    VerificationError,
)
from yingbi.receipts import Checkpoint, SignedCheckpoint

__all__ = ["CHECKPOINT_NAME", "VKEY_NAME", "Progress", "export_log", "read_published"]

CHECKPOINT_NAME: Final = "checkpoint"
VKEY_NAME: Final = "vkey"

Progress = Callable[[int, int], None]
"""Told how many entries are written, of how many."""


def export_log(
    store: LogReads, verifiers: tuple[NoteVerifier, ...], folder: Path, *, progress: Progress = lambda *_: None
) -> SignedCheckpoint:
    """Write the newest published checkpoint and everything it needs into `folder`; return the checkpoint.

    Raises:
        TamperDetectedError: the folder holds a checkpoint that this log does not continue.
        ConflictError: another export writes the folder.
        InvalidRequestError: the folder holds another log.
        OSError: the disk refused; the folder still holds its previous checkpoint, whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        return _export(store, verifiers, folder, progress)


def _export(store: LogReads, verifiers: tuple[NoteVerifier, ...], folder: Path, progress: Progress) -> SignedCheckpoint:
    reader = LogReader(store)
    signed = reader.published()
    size = signed.checkpoint.size
    old = _exported(folder)
    since = 0 if old is None else _check_continues(reader, old, signed.checkpoint)
    for tile in tiles_of(size, since=since):
        _write_file(folder / tile_path(tile), store.read_tile(tile))
    for index in range(since // TILE_WIDTH, -(-size // TILE_WIDTH)):
        start, stop = index * TILE_WIDTH, min((index + 1) * TILE_WIDTH, size)
        _write_file(folder / bundle_path(index, stop - start), encode_bundle(store.read_entries(start, stop)))
        progress(stop, size)
    _write_file(folder / VKEY_NAME, "".join(f"{verifier.encode()}\n" for verifier in verifiers).encode())
    _write_file(folder / CHECKPOINT_NAME, signed.note)
    return signed


def read_published(store: LogReads, path: str) -> bytes:
    """Return what is published under `path`: `checkpoint`, or a tile or entry bundle of the published tree.

    Raises:
        InvalidRequestError: no such path can exist.
        NotFoundError: the published tree does not have it in that width.
    """
    if path == CHECKPOINT_NAME:
        return LogReader(store).published().note
    tile = parse_tile_path(path)
    size = store.published_size() or 0
    level = max(tile.level, 0)
    available = (size >> TILE_HEIGHT * level) - tile.index * TILE_WIDTH
    if not 1 <= tile.width <= min(TILE_WIDTH, available):
        raise NotFoundError(ErrorCode.TILE_NOT_FOUND, "tile does not exist in that width")
    if tile.level >= 0:
        return store.read_tile(tile)
    start = tile.index * TILE_WIDTH
    return encode_bundle(store.read_entries(start, start + tile.width))


def _exported(folder: Path) -> Checkpoint | None:
    try:
        return parse_checkpoint(parse_note((folder / CHECKPOINT_NAME).read_bytes()).text)
    except FileNotFoundError:
        if any(folder.iterdir()) and not (folder / "tile").exists():
            raise InvalidRequestError(
                ErrorCode.USAGE, f"folder `{folder.name}` holds something else", hint="choose a new folder"
            ) from None
        return None


def _check_continues(reader: LogReader, old: Checkpoint, new: Checkpoint) -> int:
    if old.origin != new.origin:
        raise InvalidRequestError(ErrorCode.USAGE, "the folder holds another log", hint="choose a new folder")
    if old.size > new.size:
        raise TamperDetectedError(
            ErrorCode.LOG_ROLLED_BACK, f"the folder's checkpoint has {old.size} entries, the log {new.size}"
        )
    try:
        verify_consistency(reader.consistency(old.size, new.size), old.root, new.root)
    except VerificationError:
        raise TamperDetectedError(
            ErrorCode.LOG_FORKED,
            f"the folder's checkpoint of size {old.size} has another root than the log had",
            hint="stop, keep the folder: it is evidence",
        ) from None
    return old.size


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # Of two exports at a time the slower one could put an older checkpoint over a newer one.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(ErrorCode.LOG_BUSY, "another export writes the folder", hint="let it end") from None
        yield
    finally:
        os.close(handle)


def _write_file(path: Path, data: bytes) -> None:
    if path.exists() and path.read_bytes() == data:
        return  # a crashed run left this one whole
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
