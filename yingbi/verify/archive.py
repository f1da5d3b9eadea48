"""Zip files from anybody: nothing is unpacked, and nothing is read before its place and size are known to be harmless.

A zip file says twice where its members are, may nest them over each other, call them anything and promise any size.
What is accepted here is less than what the format allows: plain files with plain names inside of one folder.
"""

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from yingbi.verify.strict import Malformed

__all__ = ["MAX_BYTES", "MAX_FILE_BYTES", "MAX_MEMBERS", "Archive", "open_archive"]

MAX_MEMBERS: Final = 1 << 18
MAX_BYTES: Final = 4 << 30
MAX_FILE_BYTES: Final = 64 << 20
_MAX_RATIO: Final = 100
_SMALL_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 1 << 20
_LOCAL_HEADER_BYTES: Final = 30
_ENCRYPTED: Final = 1
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PART: Final = r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*"
_NAME: Final = re.compile(rf"(?P<folder>{_PART})(?:/{_PART})*(?P<slash>/?)")
_MAX_NAME: Final = 240
# What a damaged member makes the standard library raise.
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError)


class Archive:
    """The files of a checked archive, by their `paths` below its one folder. Use as a context manager."""

    def __init__(self, file: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> None:
        self._file = file
        self._members = members
        self.paths = frozenset(members)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def size(self, path: str) -> int:
        """Return the size of a file, as it was declared and as reading enforces it."""
        return self._members[path].file_size

    def read(self, path: str) -> bytes:
        """Return a file; this is a `Source` of the verifier.

        Raises:
            LookupError: there is none.
            Malformed: it is damaged, or larger than any file that is read whole.
        """
        if self.size(path) > MAX_FILE_BYTES:
            raise Malformed(f"expected `{path}` of at most {MAX_FILE_BYTES} bytes")
        return b"".join(self.chunks(path))

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file in parts of bounded size.

        Raises:
            LookupError: there is none.
            Malformed: its bytes are damaged, or not of the declared size or sum.
        """
        member = self._members[path]
        done = 0
        try:
            with self._file.open(member) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    done += len(chunk)
                    yield chunk
        except _DAMAGED:
            raise Malformed(f"expected `{path}` undamaged") from None
        if done != member.file_size:
            raise Malformed(f"expected {member.file_size} bytes in `{path}`, got {done}")


def open_archive(path: Path) -> Archive:
    """Open a zip file whose members are plain files in one folder, each once, none over another, none too large.

    Raises:
        Malformed: it is not such a file.
        OSError: it cannot be read.
    """
    total = path.stat().st_size
    try:
        file = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise
    except _DAMAGED:
        raise Malformed("expected a zip file") from None
    try:
        return Archive(file, _check(file, total))
    except BaseException:
        file.close()
        raise


def _check(file: zipfile.ZipFile, total: int) -> dict[str, zipfile.ZipInfo]:
    infos = file.infolist()
    if len(infos) > MAX_MEMBERS:
        raise Malformed(f"expected at most {MAX_MEMBERS} files in the archive")
    _check_sizes(infos, total)
    _check_places(infos, file.start_dir)
    members: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for info in infos:
        folder, path = _check_member(info)
        folders.add(folder)
        if path in members:
            raise Malformed("expected each file of the archive once")
        if path:
            members[path] = info
    if len(folders) != 1:
        raise Malformed("expected one folder in the archive")
    _check_collisions(members)
    return members


def _check_sizes(infos: list[zipfile.ZipInfo], total: int) -> None:
    # SECURITY: a bomb is told by what it promises, and reading never yields more than was promised.
    unpacked = sum(info.file_size for info in infos)
    if unpacked > min(MAX_BYTES, max(_SMALL_BYTES, _MAX_RATIO * total)):
        raise Malformed("expected an archive that does not unpack to so much more than it is")


def _check_places(infos: list[zipfile.ZipInfo], end: int) -> None:
    # SECURITY: members that lie over each other let a small file unpack to a large one, and one byte have two readers.
    at = 0
    for info in sorted(infos, key=lambda item: item.header_offset):
        if info.header_offset < at:
            raise Malformed("expected members that do not lie over each other")
        at = info.header_offset + _LOCAL_HEADER_BYTES + len(info.orig_filename) + info.compress_size
    if at > end:
        raise Malformed("expected members that lie before the archive's directory")


def _check_member(info: zipfile.ZipInfo) -> tuple[str, str]:
    """Return the member's folder and its path below it; an empty path stands for a folder."""
    # `orig_filename`: the standard library cuts names at a NUL and turns separators of other systems.
    match = _NAME.fullmatch(info.orig_filename) if len(info.orig_filename) <= _MAX_NAME else None
    if match is None or info.filename != info.orig_filename:
        raise Malformed("expected names of letters, digits, dots, hyphens and underscores, in one folder")
    is_folder = bool(match["slash"])
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
        raise Malformed("expected plain files: no links, no devices")
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
        raise Malformed("expected files that are stored or deflated, and not encrypted")
    if is_folder:
        if info.file_size:
            raise Malformed("expected folders without content")
        return match["folder"], ""
    path = info.orig_filename.removeprefix(match["folder"]).removeprefix("/")
    if not path:
        raise Malformed("expected one folder in the archive, and all files in it")
    return match["folder"], path


def _check_collisions(members: dict[str, zipfile.ZipInfo]) -> None:
    # SECURITY: on a disk that does not tell cases apart, one of two files would take the place of the other.
    plain = {path.lower() for path in members}
    if len(plain) != len(members):
        raise Malformed("expected names that differ in more than case")
    for path in plain:
        parts = path.split("/")
        if any("/".join(parts[:depth]) in plain for depth in range(1, len(parts))):
            raise Malformed("expected no file where another has its folder")
