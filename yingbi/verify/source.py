"""Where a log's published files come from: a folder, or anything that reads a C2SP tlog-tiles path."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from yingbi.verify.merkle import TILE_WIDTH

__all__ = ["MAX_ABSENT", "Bundle", "Files", "Source", "read_folder", "tile_path"]

Source = Callable[[str], bytes]
"""Returns the bytes at a path of tlog-tiles; an `OSError` or `LookupError` means that they are not there."""

MAX_ABSENT: Final = 20
_MAX_FILE_BYTES: Final = TILE_WIDTH * (2 + 65_535)


def read_folder(folder: Path) -> Source:
    """Return a source that reads an exported log from a folder: regular files of bounded size only."""

    def read(path: str) -> bytes:
        handle = os.open(folder / path, os.O_RDONLY | os.O_NONBLOCK)  # SECURITY: a pipe must not stop the audit
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise FileNotFoundError(path)
            return file.read(_MAX_FILE_BYTES + 1)

    return read


def tile_path(level: int | None, number: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile, or with level `None` of an entry bundle (C2SP tlog-tiles)."""
    parts = [f"{number % 1000:03}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03}")
    kind = "entries" if level is None else str(level)
    return f"tile/{kind}/{'/'.join(parts)}" + (f".p/{width}" if width < TILE_WIDTH else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The `width` entries from index `first` on, and the level-0 tile of their hashes; `None` is what is not there.

    `exact` says that the entries must fill the file; a wider file may be served in place of a partial one.
    """

    first: int
    width: int
    entries: bytes | None
    tile: bytes | None
    exact: bool


class Files:
    """The files of a log, and the list of those that should be there and are not."""

    def __init__(self, source: Source | Path) -> None:
        self._read = read_folder(source) if isinstance(source, Path) else source
        self.absent: list[str] = []

    def again(self) -> "Files":
        """Return the same files, to be read once more from the start."""
        return Files(self._read)

    def read(self, path: str) -> bytes | None:
        """Return the bytes at `path`, or `None`."""
        try:
            return self._read(path)
        except (OSError, LookupError):
            return None

    def read_tile(self, level: int | None, number: int, width: int) -> tuple[bytes | None, bool]:
        """Return a tile or bundle, and whether it has the width asked for: a full one may stand for a partial one."""
        data = self.read(tile_path(level, number, width))
        if data is not None or width == TILE_WIDTH:
            exact = True
        else:
            data, exact = self.read(tile_path(level, number)), False
        if data is None:
            self.absent.append(tile_path(level, number, width))
        return data, exact

    def bundles(self, size: int, *, tiles: bool) -> Iterator[Bundle]:
        """Yield the bundles of a log of `size` entries in order, with their level-0 tiles if asked for."""
        for first in range(0, size, TILE_WIDTH):
            if len(self.absent) >= MAX_ABSENT:
                return
            number, width = first // TILE_WIDTH, min(TILE_WIDTH, size - first)
            entries, exact = self.read_tile(None, number, width)
            tile = self.read_hashes(0, number, width) if tiles else None
            yield Bundle(first=first, width=width, entries=entries, tile=tile, exact=exact)

    def read_hashes(self, level: int, number: int, width: int) -> bytes | None:
        """Return the hashes of a tile, cut to `width` where a full tile stood for a partial one (log.md, Tiles)."""
        data, exact = self.read_tile(level, number, width)
        return data if data is None or exact else data[: width * 32]
