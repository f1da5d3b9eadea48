"""Trees to check: a list-backed `TileReader`, and folders in the layout of C2SP tlog-tiles."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.checkpoint import format_checkpoint, parse_checkpoint
from ledger.note import NoteSigner, parse_note, sign_note
from ledger.tiles import (
    TILE_WIDTH,
    TileCoordinate,
    TiledTree,
    bundle_path,
    decode_bundle,
    encode_bundle,
    tile_path,
    tiles_of,
)
from ledger.tree import hash_leaf, root_of
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.receipts import Checkpoint

__all__ = [
    "FolderTiles",
    "ListTiles",
    "LogFolder",
    "make_entries",
    "make_hashes",
    "read_log_folder",
    "write_log_folder",
]


class ListTiles:
    """All hashes of all levels in lists; counts how many tiles were read."""

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self.levels: list[list[bytes]] = [[]]
        self.reads: list[TileCoordinate] = []
        self.extend(leaf_hashes)

    @property
    def size(self) -> int:
        """Return the number of leaves."""
        return len(self.levels[0])

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaf hashes."""
        self.levels[0].extend(leaf_hashes)
        level = 0
        while level < len(self.levels):
            rows = self.levels[level]
            above = self.levels[level + 1] if level + 1 < len(self.levels) else []
            for start in range(len(above) * TILE_WIDTH, len(rows) - TILE_WIDTH + 1, TILE_WIDTH):
                above.append(root_of(rows[start : start + TILE_WIDTH]))
            if above and level + 1 == len(self.levels):
                self.levels.append(above)
            level += 1

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return a tile, or say that it does not exist."""
        self.reads.append(tile)
        start = tile.index * TILE_WIDTH
        row = self.levels[tile.level] if tile.level < len(self.levels) else []
        if not 0 < tile.width <= len(row) - start:
            raise NotFoundError(ErrorCode.TILE_NOT_FOUND, f"no tile `{tile_path(tile)}`")
        return b"".join(row[start : start + tile.width])

    def tree(self) -> TiledTree:
        """Return a tree that reads these tiles."""
        return TiledTree(self)


class FolderTiles:
    """Tiles in files, in the layout of C2SP tlog-tiles; a full tile stands in for a partial one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return a tile, or say that it does not exist."""
        for path in (tile_path(tile), tile_path(TileCoordinate(tile.level, tile.index))):
            file = self._folder / path
            if file.is_file():
                return file.read_bytes()[: 32 * tile.width]
        raise NotFoundError(ErrorCode.TILE_NOT_FOUND, f"no tile `{tile_path(tile)}`")

    def tree(self) -> TiledTree:
        """Return a tree that reads these tiles."""
        return TiledTree(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFolder:
    """A log as files: what `yingbi log export` writes and any web server can serve."""

    path: Path
    vkey: str
    note: bytes
    checkpoint: Checkpoint
    entries: tuple[bytes, ...]

    def tree(self) -> TiledTree:
        """Return the tree over the folder's tiles."""
        return FolderTiles(self.path).tree()


def make_hashes(count: int) -> list[bytes]:
    """Return `count` different leaf hashes."""
    return [hash_leaf(entry) for entry in make_entries(count)]


def make_entries(count: int) -> list[bytes]:
    """Return `count` different entries of 0 to 63 bytes, the same every time."""
    return [hashlib.sha512(b"entry %d" % index).digest()[: index % 64] + b"%d" % index for index in range(count)]


def write_log_folder(folder: Path, origin: str, entries: Sequence[bytes], signers: Sequence[NoteSigner]) -> LogFolder:
    """Write tiles, bundles, checkpoint and the first signer's key under `folder`."""
    tiles = ListTiles(hash_leaf(entry) for entry in entries)
    for tile in tiles_of(len(entries)):
        _write(folder / tile_path(tile), tiles.read_tile(tile))
    for start in range(0, len(entries), TILE_WIDTH):
        bundle = entries[start : start + TILE_WIDTH]
        _write(folder / bundle_path(start // TILE_WIDTH, len(bundle)), encode_bundle(bundle))
    head = Checkpoint(origin=origin, size=len(entries), root=tiles.tree().root(len(entries)))
    _write(folder / "checkpoint", sign_note(format_checkpoint(head), signers))
    _write(folder / "vkey", f"{signers[0].verifier.encode()}\n".encode())
    return read_log_folder(folder)


def read_log_folder(folder: Path) -> LogFolder:
    """Read a folder that anybody wrote; nothing is verified."""
    note = (folder / "checkpoint").read_bytes()
    checkpoint = parse_checkpoint(parse_note(note).text)
    entries: list[bytes] = []
    while (left := checkpoint.size - len(entries)) > 0:
        bundle = bundle_path(len(entries) // TILE_WIDTH, min(left, TILE_WIDTH))
        entries += decode_bundle((folder / bundle).read_bytes())
    vkey = (folder / "vkey").read_text(encoding="utf-8").splitlines()[0]
    return LogFolder(path=folder, vkey=vkey, note=note, checkpoint=checkpoint, entries=tuple(entries))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
