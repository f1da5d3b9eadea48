"""Writing a bag (BagIt 1.0, RFC 8493) as one zip file, whose bytes depend on what is in it and on nothing else.

Files are stored, not deflated: what a compressor writes differs between its versions, and a bundle's digest should not.
What would need zip64 is not written, since verifiers read none of it.
"""

import os
import zipfile
from contextlib import suppress
from hashlib import sha512
from pathlib import Path
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["FOLDER", "BagWriter"]

FOLDER: Final = "evidence"
_DECLARATION: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can tell
_MODE: Final = 0o100644 << 16
_UNIX: Final = 3
_MAX_MEMBERS: Final = 0xFFFE  # of verifiers


class BagWriter:
    """Takes payload files in any order and writes the bag. Use as a context manager; `finish` makes it whole.

    Until then the file stands under a temporary name, which is removed if anything fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._file = zipfile.ZipFile(self._temporary, "x", zipfile.ZIP_STORED, allowZip64=False)
        self._digests: dict[str, str] = {}
        self._sizes: dict[str, int] = {}

    def __enter__(self) -> "BagWriter":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(zipfile.LargeZipFile):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the payload files so far, in ascending order."""
        return tuple(sorted(self._digests))

    def add(self, path: str, data: bytes) -> None:
        """Add a payload file, at a path below `data/`.

        Raises:
            InvalidRequestError: the bag becomes larger than verifiers take.
        """
        name = f"data/{path}"
        self._sizes[name] = len(data)
        self._put(name, data, self._digests)

    def finish(self, info: dict[str, str]) -> None:
        """Write the tag files, with further rows for `bag-info.txt`, and give the bag its name.

        Raises:
            InvalidRequestError: the bag becomes larger than verifiers take.
        """
        oxum = f"{sum(self._sizes.values())}.{len(self._sizes)}"
        rows = {**info, "Payload-Oxum": oxum}
        tags: dict[str, str] = {}
        self._put("bagit.txt", _DECLARATION, tags)
        self._put("bag-info.txt", "".join(f"{name}: {text}\n" for name, text in rows.items()).encode(), tags)
        self._put("manifest-sha512.txt", _manifest(self._digests), tags)
        self._put("tagmanifest-sha512.txt", _manifest(tags), {})
        try:
            self._file.close()
        except zipfile.LargeZipFile:
            raise _too_large() from None
        with self._temporary.open("rb") as file:
            os.fsync(file.fileno())
        self._temporary.replace(self._path)

    def _put(self, name: str, data: bytes, digests: dict[str, str]) -> None:
        item = zipfile.ZipInfo(f"{FOLDER}/{name}", date_time=_EPOCH)
        item.external_attr, item.create_system = _MODE, _UNIX
        if len(self._file.filelist) == _MAX_MEMBERS:
            raise _too_large()
        try:
            self._file.writestr(item, data)
        except zipfile.LargeZipFile:
            raise _too_large() from None
        digests[name] = sha512(data).hexdigest()


def _too_large() -> InvalidRequestError:
    message = f"the bundle would have more than {_MAX_MEMBERS} files, or 2 GiB"
    return InvalidRequestError(ErrorCode.USAGE, message, hint="choose jobs: --job or --since")


def _manifest(digests: dict[str, str]) -> bytes:
    """Return a manifest as `sha512sum` writes it."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()
