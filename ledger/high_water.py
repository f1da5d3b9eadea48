"""The high-water mark: the newest head that this log may have shown to anybody, kept outside the database.

A database that was restored from an old backup is behind its mark, and the log refuses to sign. Keep the file on
another volume than the database, and out of the database's backups.

Two slots are written in turn, so that a torn write leaves the one before. O(1) a write: one `pwrite`, one `fdatasync`.
"""

import os
from pathlib import Path
from typing import Final

from ledger.checkpoint import parse_checkpoint
from ledger.note import NoteVerifier, parse_note, verify_note
from yingbi.errors import ConflictError, ErrorCode, NotFoundError, SandboxError, TamperDetectedError
from yingbi.receipts import Checkpoint

__all__ = ["HighWaterMark"]

_SLOT_BYTES: Final = 4096
_SLOTS: Final = 2


class HighWaterMark:
    """The mark's file. One process, one writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0

    @property
    def path(self) -> Path:
        """Return where the mark is kept."""
        return self._path

    def create(self, note: bytes) -> None:
        """Make the file with a first mark.

        Raises:
            ConflictError: the file exists; a mark is never silently replaced.
        """
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ConflictError(
                ErrorCode.LOG_EXISTS,
                f"high-water file `{self._path.name}` exists",
                hint="it belongs to a log; move neither",
            ) from None
        try:
            os.pwrite(handle, _pad(note) + bytes(_SLOT_BYTES), 0)
            os.fsync(handle)
        finally:
            os.close(handle)
        _sync_folder(self._path.parent)
        self._next = 1

    def read(self, verifiers: tuple[NoteVerifier, ...]) -> Checkpoint:
        """Return the newest mark that the log's own key signed.

        Raises:
            NotFoundError: there is no file.
            TamperDetectedError: neither slot holds a mark that verifies.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            raise NotFoundError(ErrorCode.LOG_NOT_FOUND, f"no high-water file `{self._path.name}`") from None
        marks = [_parse_slot(data[at * _SLOT_BYTES : (at + 1) * _SLOT_BYTES], verifiers) for at in range(_SLOTS)]
        found = [(mark.size, slot, mark) for slot, mark in enumerate(marks) if mark is not None]
        if not found:
            raise TamperDetectedError(ErrorCode.LOG_ROLLED_BACK, "high-water file holds no mark that verifies")
        _, slot, newest = max(found, key=lambda item: item[:2])
        self._next = (slot + 1) % _SLOTS
        return newest

    def write(self, note: bytes) -> None:
        """Raise the mark durably, over the older slot.

        Raises:
            OSError: the disk refused; nothing signed may be shown.
        """
        handle = os.open(self._path, os.O_WRONLY)
        try:
            os.pwrite(handle, _pad(note), self._next * _SLOT_BYTES)
            os.fdatasync(handle)
        finally:
            os.close(handle)
        self._next = (self._next + 1) % _SLOTS


def _pad(note: bytes) -> bytes:
    if len(note) > _SLOT_BYTES:
        raise ValueError("expected a note that fits a slot")
    return note.ljust(_SLOT_BYTES, b"\x00")


def _parse_slot(slot: bytes, verifiers: tuple[NoteVerifier, ...]) -> Checkpoint | None:
    try:
        note = parse_note(slot.rstrip(b"\x00"))
        verify_note(note, verifiers)
        return parse_checkpoint(note.text)
    except SandboxError:
        return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
