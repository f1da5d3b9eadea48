"""The Merkle tree of RFC 6962 §2.1, its proofs from the verifier's side, and C2SP tlog-tiles folded on the way."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

__all__ = [
    "EMPTY_ROOT",
    "MAX_PATH",
    "TILE_WIDTH",
    "ProofError",
    "Tile",
    "TileTree",
    "fold",
    "hash_leaf",
    "hash_node",
    "root_from_inclusion",
    "roots_from_consistency",
    "verify_consistency",
    "verify_inclusion",
]

EMPTY_ROOT: Final = sha256(b"").digest()
MAX_PATH: Final = 63
TILE_WIDTH: Final = 256

Tile = tuple[int, int, list[bytes]]
"""Level, index within the level, and hashes of a tile."""


class ProofError(ValueError):
    """A proof that has the wrong length or leads elsewhere."""


def hash_leaf(entry: bytes) -> bytes:
    """Return the leaf hash of an entry (RFC 6962 §2.1)."""
    return sha256(b"\x00" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962 §2.1)."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over the hashes of equally large full subtrees, the last may be smaller (RFC 6962 §2.1)."""
    if not hashes:
        return EMPTY_ROOT
    row = list(hashes)
    while len(row) > 1:
        odd = row[-1:] if len(row) % 2 else []
        row = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row) - 1, 2)] + odd
    return row[0]


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """Return the root to which `path` leads from `leaf` at `index` of a tree of `size` leaves (RFC 6962 §2.1.1).

    Raises:
        ProofError: the index is not below the size, or the path does not have exactly the right length.
    """
    if not 0 <= index < size:
        raise ProofError(f"expected an index below the size {size}, got {index}")
    inner, border = _shape(index, size - 1)
    if len(path) != inner + border:
        raise ProofError(f"expected {inner + border} hashes in the path, got {len(path)}")
    node = leaf
    for sibling in path[:inner]:
        node = sha256(b"\x01" + sibling + node if index & 1 else b"\x01" + node + sibling).digest()
        index >>= 1
    for sibling in path[inner:]:
        node = sha256(b"\x01" + sibling + node).digest()
    return node


def roots_from_consistency(old_size: int, new_size: int, old_root: bytes, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the old and new root to which a consistency proof leads (RFC 6962 §2.1.2), for 0 < old size < new size.

    Raises:
        ProofError: the sizes do not fit, or the path does not have exactly the right length.
    """
    if not 0 < old_size < new_size:
        raise ProofError(f"expected sizes in ascending order from 1 on, got {old_size} and {new_size}")
    # The proof is that of the last full subtree of the old tree: 2^level leaves at `index`, counted in such subtrees.
    level = (old_size & -old_size).bit_length() - 1
    index = (old_size - 1) >> level
    inner, border = _shape(index, (new_size - 1) >> level)
    # Where that subtree is the whole old tree, its hash is the old root, which the proof leaves out.
    rest = list(path) if index else [old_root, *path]
    if len(rest) != inner + border + 1:
        raise ProofError(f"expected {inner + border + bool(index)} hashes in the path, got {len(path)}")
    old = new = rest[0]
    for sibling in rest[1 : inner + 1]:
        if index & 1:
            old, new = hash_node(sibling, old), hash_node(sibling, new)
        else:
            new = hash_node(new, sibling)
        index >>= 1
    for sibling in rest[inner + 1 :]:
        old, new = hash_node(sibling, old), hash_node(sibling, new)
    return old, new


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Verify that `leaf` is at `index` of the tree of `size` leaves with this `root`.

    Raises:
        ProofError: it is not, as far as this proof shows.
    """
    if root_from_inclusion(index, size, leaf, path) != root:
        raise ProofError("the path leads to another root")


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Verify that the tree of `new_size` leaves begins with the tree of `old_size` leaves.

    Raises:
        ProofError: it does not, as far as this proof shows.
    """
    if old_size in (0, new_size):
        expected = new_root if old_size else EMPTY_ROOT
        if path or old_root != expected or (not new_size and new_root != EMPTY_ROOT):
            raise ProofError("expected an empty path and the same root, or that of the empty tree")
    elif roots_from_consistency(old_size, new_size, old_root, path) != (old_root, new_root):
        raise ProofError("the path leads to other roots")


def _shape(index: int, last: int) -> tuple[int, int]:
    """Return how many siblings lie below the point where the ways to `index` and `last` part, and above it.

    Below, bit i of `index` says on which side the sibling stands; above, all are on the left (RFC 6962 §2.1.1).
    """
    inner = (index ^ last).bit_length()
    return inner, (index >> inner).bit_count()


class TileTree:
    """The tree over a stream of full level-0 tiles; it holds the right edge only: at most 255 hashes a level."""

    def __init__(self) -> None:
        self._rows: list[list[bytes]] = []
        self._done: list[int] = []

    def add(self, root: bytes) -> list[Tile]:
        """Add the root of the next full level-0 tile; return the tiles above that this completes (C2SP tlog-tiles)."""
        full: list[Tile] = []
        for level in range(len(self._rows) + 1):
            if level == len(self._rows):
                self._rows.append([])
                self._done.append(0)
            row = self._rows[level]
            row.append(root)
            if len(row) < TILE_WIDTH:
                break
            full.append((level + 1, self._done[level], row))
            root = fold(row)
            self._rows[level] = []
            self._done[level] += 1
        return full

    def partial_tiles(self) -> list[Tile]:
        """Return the tiles above level 0 that are not full."""
        edge = enumerate(zip(self._done, self._rows, strict=True), 1)
        return [(level, number, row) for level, (number, row) in edge if row]

    def root(self, rest: Sequence[bytes] = ()) -> bytes:
        """Return the root over all tiles added and the leaf hashes `rest` of a last, partial one."""
        edge = [fold(rest)] if rest else []
        for row in self._rows:
            edge = [fold([*row, *edge])] if row or edge else []
        return edge[0] if edge else EMPTY_ROOT
