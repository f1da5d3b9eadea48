"""C2SP tlog-tiles: how a tree is cut into immutable files of 256 hashes, and entries into bundles.

Reading a proof needs O(log₂₅₆ size) tiles; a tile's inner nodes (255 hashes) are computed once and kept while it is
hot.
"""

import re
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ledger.tree import EMPTY_ROOT, hash_node
from yingbi.errors import ErrorCode, InvalidRequestError, TamperDetectedError
from yingbi.receipts import HASH_BYTES

__all__ = [
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "TileCoordinate",
    "TileReader",
    "TiledTree",
    "bundle_path",
    "decode_bundle",
    "encode_bundle",
    "parse_tile_path",
    "tile_path",
    "tiles_of",
]

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 256
_MAX_LEVEL: Final = 63
_CACHED_TILES: Final = 1024
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class TileCoordinate:
    """A tile: `level` (-1 for an entry bundle), `index` in the level, and how many of its 256 places are filled."""

    level: int
    index: int
    width: int = TILE_WIDTH


class TileReader(Protocol):
    """Where tiles are kept."""

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return `32 * tile.width` bytes of hashes.

        Raises:
            NotFoundError: the tile does not exist or is not that wide.
        """
        ...


def tile_path(tile: TileCoordinate) -> str:
    """Return the path under which a tile is published: `tile/<L>/<N>[.p/<W>]`."""
    level = "entries" if tile.level < 0 else str(tile.level)
    suffix = "" if tile.width == TILE_WIDTH else f".p/{tile.width}"
    return f"tile/{level}/{_encode_index(tile.index)}{suffix}"


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of an entry bundle."""
    return tile_path(TileCoordinate(-1, index, width))


def parse_tile_path(path: str) -> TileCoordinate:
    """Parse a published path; the inverse of `tile_path`.

    Raises:
        InvalidRequestError: any other spelling (leading zeros, a missing `x`, a width that is not 1 to 255), or an
            index of more than 18 digits.
    """
    match = _PATH.fullmatch(path)
    if match is None or not path.isascii():
        raise InvalidRequestError(ErrorCode.TILE_MALFORMED, "expected a path such as `tile/0/x001/234.p/5`")
    level = -1 if match["level"] == "entries" else int(match["level"])
    index = int(match["index"].replace("x", "").replace("/", ""))
    tile = TileCoordinate(level, index, int(match["width"] or TILE_WIDTH))
    if level > _MAX_LEVEL or tile.width > TILE_WIDTH or tile_path(tile) != path:
        raise InvalidRequestError(ErrorCode.TILE_MALFORMED, "expected a path such as `tile/0/x001/234.p/5`")
    return tile


def tiles_of(size: int, *, since: int = 0) -> Iterator[TileCoordinate]:
    """List the tiles of a tree of `size` that a tree of `since` leaves did not have in the same width.

    Level by level, without entry bundles.
    """
    level = 0
    while size >> TILE_HEIGHT * level:
        old, new = since >> TILE_HEIGHT * level, size >> TILE_HEIGHT * level
        if old != new:
            for index in range(old // TILE_WIDTH, (new + TILE_WIDTH - 1) // TILE_WIDTH):
                yield TileCoordinate(level, index, min(TILE_WIDTH, new - index * TILE_WIDTH))
        level += 1


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Encode entries as a bundle: each with its length as big-endian uint16."""
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def decode_bundle(data: bytes) -> list[bytes]:
    """Decode a bundle of 1 to 256 entries.

    Raises:
        InvalidRequestError: a length that leads beyond the end, no entries or too many.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) <= TILE_WIDTH:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise InvalidRequestError(ErrorCode.TILE_MALFORMED, "expected whole entries in a bundle")
        entries.append(data[at + 2 : end])
        at = end
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise InvalidRequestError(ErrorCode.TILE_MALFORMED, f"expected 1 to {TILE_WIDTH} entries in a bundle")
    return entries


class TiledTree:
    """Any node of a tree of any published size, computed from stored tiles.

    Safe to share between threads. The tiles are trusted: a caller that does not trust them compares roots.
    """

    def __init__(self, reader: TileReader) -> None:
        self._reader = reader
        self._pyramids: dict[tuple[int, int, int], list[list[bytes]]] = {}
        self._lock = threading.Lock()

    def root(self, size: int) -> bytes:
        """Return the root of the first `size` leaves (RFC 6962 §2.1)."""
        return self.range_root(0, size, size) if size else EMPTY_ROOT

    def range_root(self, start: int, end: int, size: int) -> bytes:
        """Return the root over leaves `start` to `end` of a tree of `size`; a subtree of RFC 6962's recursion."""
        count = end - start
        height = count.bit_length() - 1
        if count == 1 << height:
            return self.node(height, start >> height, size)
        split = start + (1 << height)
        return hash_node(self.range_root(start, split, size), self.range_root(split, end, size))

    def node(self, height: int, index: int, size: int) -> bytes:
        """Return the root of the complete subtree number `index` of `2**height` leaves, in a tree of `size`."""
        level, inner = divmod(height, TILE_HEIGHT)
        tile, offset = divmod(index << inner, TILE_WIDTH)
        return self._pyramid(level, tile, size)[inner][offset >> inner]

    def _pyramid(self, level: int, index: int, size: int) -> list[list[bytes]]:
        width = min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - index * TILE_WIDTH)
        # INVARIANT: a tile of a given width never changes, so what was computed once may be kept.
        pyramid = self._pyramids.get((level, index, width))
        return pyramid if pyramid is not None else self._load(TileCoordinate(level, index, width))

    def _load(self, tile: TileCoordinate) -> list[list[bytes]]:
        key = (tile.level, tile.index, tile.width)
        with self._lock:  # hundreds of callers want the tile of a new checkpoint at once; one computes it
            pyramid = self._pyramids.get(key)
            if pyramid is None:
                pyramid = _build_pyramid(self._read(tile))
                if len(self._pyramids) >= _CACHED_TILES:
                    self._pyramids.clear()
                self._pyramids[key] = pyramid
            return pyramid

    def _read(self, tile: TileCoordinate) -> bytes:
        data = self._reader.read_tile(tile)
        if len(data) != HASH_BYTES * tile.width:
            raise TamperDetectedError(ErrorCode.LOG_FORKED, f"tile `{tile_path(tile)}` has a wrong length")
        return data


def _build_pyramid(data: bytes) -> list[list[bytes]]:
    rows = [[data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]]
    while len(rows[-1]) > 1:
        row = rows[-1]
        rows.append([hash_node(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)])
    return rows


def _encode_index(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))
