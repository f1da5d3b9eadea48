"""Zip files from anybody: nothing is unpacked, and nothing is read before its place and size are known to be harmless.

A zip file says twice where its members are, and leaves room before, between and after them, so that two programs may
read two archives in one file. What is accepted here is less than what the format allows, and the same for every
program: plain files with plain names inside of one folder, one after the other from the first byte to the directory,
the directory up to its end record, the end record at the end. The standard library's reader is more lenient, and reads
a directory of any length into memory; so the little that is needed is read here.
"""

import os
import re
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from yingbi.verify.strict import Malformed

__all__ = ["MAX_BYTES", "MAX_FILE_BYTES", "MAX_MEMBERS", "Archive", "open_archive"]

MAX_MEMBERS: Final = 0xFFFE  # the number after it sends readers to the records of zip64, of which there are none here
MAX_BYTES: Final = 4 << 30
MAX_FILE_BYTES: Final = 64 << 20
_MAX_RATIO: Final = 100
_SMALL_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 1 << 20
# APPNOTE.TXT 4.3.16, 4.3.12 and 4.3.7: end record, header in the directory, local header.
_END: Final = struct.Struct("<4s4H2IH")
_HEADER: Final = struct.Struct("<4s6H3I5H2I")
_LOCAL_BYTES: Final = 30
_SAME_IN_LOCAL: Final = (slice(8, 30), slice(6, 28))  # flags, method, time, sum, sizes, length of the name
_LENIENT_FLAGS: Final = 0x0806  # how hard it was deflated, and names in UTF-8, which begins with ASCII
_STORED, _DEFLATED = 0, 8
_DOS_FOLDER: Final = 0x10
_PART: Final = r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*"
_NAME: Final = re.compile(rf"(?P<folder>{_PART})(?P<path>(?:/{_PART})*)(?P<slash>/?)")
_MAX_NAME: Final = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A file or folder of the directory: its header there, its name, and where its bytes begin."""

    header: bytes
    name: str
    is_deflated: bool
    crc: int
    packed: int
    size: int
    start: int


class Archive:
    """The files of a checked archive, by their `paths` below its one folder. Use as a context manager."""

    def __init__(self, file: BinaryIO, members: dict[str, _Member]) -> None:
        self._file = file
        self._members = members
        self.paths = frozenset(members)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def size(self, path: str) -> int:
        """Return the size of a file, as it was declared and as reading enforces it."""
        return self._members[path].size

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
        done, crc = 0, 0
        packed = self._packed(member)
        try:
            for chunk in _inflate(packed) if member.is_deflated else packed:
                done, crc = done + len(chunk), zlib.crc32(chunk, crc)
                if done > member.size:
                    break
                yield chunk
        except zlib.error:
            raise Malformed(f"expected `{path}` undamaged") from None
        if (done, crc) != (member.size, member.crc):
            raise Malformed(f"expected `{path}` undamaged, with {member.size} bytes")

    def _packed(self, member: _Member) -> Iterator[bytes]:
        end = member.start + member.packed
        for at in range(member.start, end, _CHUNK_BYTES):
            self._file.seek(at)
            yield self._file.read(min(_CHUNK_BYTES, end - at))


def open_archive(path: Path) -> Archive:
    """Open a zip file whose members are plain files in one folder, each once, none over another, none too large.

    Raises:
        Malformed: it is not such a file.
        OSError: it cannot be read.
    """
    file = path.open("rb")
    try:
        return Archive(file, _read_members(file))
    except BaseException:
        file.close()
        raise


def _inflate(packed: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what was deflated; where the data ends before or after what they are packed in, they are damaged."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for data in packed:
        rest = data
        while rest and not inflater.eof:
            yield inflater.decompress(rest, _CHUNK_BYTES)
            rest = inflater.unconsumed_tail
        if inflater.unused_data or rest:
            raise zlib.error("data after the end")
    yield inflater.flush()
    if not inflater.eof:
        raise zlib.error("no end")


def _read_members(file: BinaryIO) -> dict[str, _Member]:
    """Return the files of an archive by their paths."""
    total = file.seek(0, os.SEEK_END)
    directory, count = _read_directory(file, total)
    listed = list(_parse_directory(directory, count))
    # SECURITY: a bomb is told by what it promises, and reading never yields more than was promised.
    if sum(member.size for member in listed) > min(MAX_BYTES, max(_SMALL_BYTES, _MAX_RATIO * total)):
        raise Malformed("expected an archive that does not unpack to so much more than it is")
    _check_places(file, listed, total - _END.size - len(directory))
    return _check_names(listed)


def _read_directory(file: BinaryIO, total: int) -> tuple[bytes, int]:
    """Return the directory, which is as long as its end record says, and the number of its members."""
    end = total - _END.size
    if end < 0:
        raise Malformed("expected a zip file")
    file.seek(end)
    signature, disk, first_disk, here, count, size, start, comment = _END.unpack(file.read(_END.size))
    if signature != b"PK\x05\x06" or (disk, first_disk, here, comment) != (0, 0, count, 0):
        raise Malformed("expected a zip file of one disk, whose end record is at its end, without a comment")
    if count > MAX_MEMBERS:
        raise Malformed(f"expected at most {MAX_MEMBERS} files in the archive")
    if start + size != end or size > count * (_HEADER.size + _MAX_NAME):
        raise Malformed("expected the archive's directory right before its end record, with nothing but its members")
    file.seek(start)
    return file.read(size), count


def _parse_directory(directory: bytes, count: int) -> Iterator[_Member]:
    """Yield the members in the order of the directory, which is the order of their bytes from the first one on."""
    at, place = 0, 0
    for _ in range(count):
        header, at = directory[at : at + _HEADER.size], at + _HEADER.size
        if len(header) < _HEADER.size:
            raise Malformed("expected as many members in the archive's directory as its end record says")
        signature, _, _, flags, method, _, _, crc, packed, size, length, *rest, mode, offset = _HEADER.unpack(header)
        extra, comment, disk, internal = rest
        name, at = directory[at : at + length], at + length
        if signature != b"PK\x01\x02" or extra or comment or disk or internal > 1:
            raise Malformed("expected members without extra fields or comments in the archive's directory")
        if flags & ~_LENIENT_FLAGS or method not in (_STORED, _DEFLATED):
            raise Malformed("expected files that are stored or deflated, not encrypted, sizes before the data")
        if offset != place:
            raise Malformed("expected members one after the other from the first byte on, none over each other")
        is_folder = name.endswith(b"/")
        kind, of_dos = stat.S_IFMT(mode >> 16), mode & 0xFFFF
        if kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG) or of_dos not in (0, _DOS_FOLDER * is_folder):
            raise Malformed("expected plain files: no links, no devices")
        start = place + _LOCAL_BYTES + length
        place = start + packed
        yield _Member(
            header=header,
            name=name.decode("latin-1"),
            is_deflated=method == _DEFLATED,
            crc=crc,
            packed=packed,
            size=size,
            start=start,
        )
    if at != len(directory):
        raise Malformed("expected as many members in the archive's directory as its end record says")


def _check_places(file: BinaryIO, listed: Iterable[_Member], end: int) -> None:
    # SECURITY: members that lie over each other let a small file unpack to a large one, and bytes that are no member's
    # may be another archive for a program that reads from the front.
    place = 0
    there, here = _SAME_IN_LOCAL
    for member in listed:
        file.seek(place)
        local = file.read(member.start - place)
        if local[:4] != b"PK\x03\x04" or local[here] != member.header[there] or local[28:30] != bytes(2):
            raise Malformed("expected members that say the same of themselves as the archive's directory")
        if local[_LOCAL_BYTES:] != member.name.encode("latin-1"):
            raise Malformed("expected members that bear the names of the archive's directory")
        place = member.start + member.packed
        if place > end:
            raise Malformed("expected members that lie before the archive's directory")
    if place != end:
        raise Malformed("expected nothing between the last member and the archive's directory")


def _check_names(listed: Iterable[_Member]) -> dict[str, _Member]:
    """Return the files by their paths below the one folder."""
    folders: set[str] = set()
    places: set[str] = set()
    members: dict[str, _Member] = {}
    seen: set[str] = set()
    for member in listed:
        match = _NAME.fullmatch(member.name) if len(member.name) <= _MAX_NAME else None
        if match is None:
            raise Malformed("expected names of letters, digits, dots, hyphens and underscores, in one folder")
        if member.name in seen:
            raise Malformed("expected each file of the archive once")
        seen.add(member.name)
        folders.add(match["folder"])
        if match["slash"]:
            if member.size or member.packed:
                raise Malformed("expected folders without content")
            places.add(match["path"][1:])
        elif match["path"]:
            members[match["path"][1:]] = member
        else:
            raise Malformed("expected one folder in the archive, and all files in it")
    if len(folders) != 1:
        raise Malformed("expected one folder in the archive")
    if not places <= {"", *(parent for path in members for parent in _parents(path))}:
        raise Malformed("expected no folder without a file in it")
    _check_collisions(members)
    return members


def _check_collisions(members: Iterable[str]) -> None:
    # SECURITY: on a disk that does not tell cases apart, one of two files would take the place of the other.
    paths = list(members)
    plain = {path.lower() for path in paths}
    if len(plain) != len(paths):
        raise Malformed("expected names that differ in more than case")
    if any(parent in plain for path in plain for parent in _parents(path)):
        raise Malformed("expected no file where another has its folder")


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))
