"""RFC 6962 §2.1 hashes over SHA-256, and the compact form of a growing tree."""

import hashlib
from collections.abc import Sequence
from typing import Final

__all__ = ["EMPTY_ROOT", "Frontier", "hash_leaf", "hash_node", "largest_power_below", "root_of"]

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def hash_leaf(entry: bytes) -> bytes:
    """Hash an entry into its leaf hash: SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Hash two subtree roots into their parent: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def largest_power_below(size: int) -> int:
    """Return the largest power of two smaller than `size` (RFC 6962's k), for size > 1."""
    return 1 << (size - 1).bit_length() - 1


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes, in O(n): for tests and small trees."""
    frontier = Frontier()
    for item in hashes:
        frontier.append(item)
    return frontier.root()


class Frontier:
    """The roots of the complete subtrees of a growing tree, largest first: all that appending needs.

    Memory and each append are O(log size).
    """

    __slots__ = ("_nodes", "size")

    def __init__(self, size: int = 0, nodes: Sequence[bytes] = ()) -> None:
        if len(nodes) != size.bit_count():
            raise ValueError("expected one node for every bit set in the size")
        self.size = size
        self._nodes = list(nodes)

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """Return the roots of the complete subtrees, largest first."""
        return tuple(self._nodes)

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        node = leaf
        trailing = self.size
        while trailing & 1:
            node = hash_node(self._nodes.pop(), node)
            trailing >>= 1
        self._nodes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            root = hash_node(node, root)
        return root
