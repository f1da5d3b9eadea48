"""What a batch of statements does to the tree: pure, so that a failed commit leaves nothing behind."""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.entry import encode_entry
from ledger.store import Head
from ledger.tiles import TILE_HEIGHT, TILE_WIDTH, TileCoordinate, TiledTree, TileReader
from ledger.tree import Frontier, hash_leaf, root_of
from yingbi.receipts import HASH_BYTES
from yingbi.statement import Statement

__all__ = ["Plan", "TreeState", "load_state", "plan_batch"]

_FULL: int = TILE_WIDTH * HASH_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeState:
    """A head with what appending needs: the rightmost, incomplete tile of every level and the frontier's nodes."""

    head: Head
    edges: tuple[bytes, ...]
    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write, and the state after it."""

    entries: list[bytes]
    tiles: dict[tuple[int, int], bytes]
    state: TreeState


def load_state(reader: TileReader, head: Head) -> TreeState:
    """Read the state of a stored tree: O(log₂₅₆ size) tiles."""
    edges = []
    level = 0
    while count := head.size >> TILE_HEIGHT * level:
        index, width = divmod(count, TILE_WIDTH)
        edges.append(reader.read_tile(TileCoordinate(level, index, width)) if width else b"")
        level += 1
    return TreeState(head=head, edges=tuple(edges), nodes=_frontier_nodes(TiledTree(reader), head.size))


def plan_batch(state: TreeState, statements: Sequence[Statement], time: str) -> Plan:
    """Plan the entries, tiles and head that `statements` make, in O(count) hashes.

    Raises:
        InvalidRequestError: an entry would be too large; nothing of the batch is kept.
    """
    head = state.head
    frontier = Frontier(head.size, state.nodes)
    edges = _Edges(state)
    entries = []
    prev = head.last_leaf
    for statement in statements:
        entry = encode_entry(seq=frontier.size, prev=prev, time=time, statement=statement)
        prev = hash_leaf(entry)
        entries.append(entry)
        frontier.append(prev)
        edges.append(0, prev)
    new = Head(size=frontier.size, root=frontier.root(), last_leaf=prev, last_time=time)
    tiles = edges.finish()
    after = TreeState(head=new, edges=tuple(bytes(edge) for edge in edges.edges), nodes=frontier.nodes)
    return Plan(entries=entries, tiles=tiles, state=after)


class _Edges:
    """The incomplete tiles of all levels while leaves are added."""

    def __init__(self, state: TreeState) -> None:
        self.edges = [bytearray(edge) for edge in state.edges]
        self._next = [state.head.size >> TILE_HEIGHT * (level + 1) for level in range(len(self.edges))]
        self._complete: dict[tuple[int, int], bytes] = {}
        self._touched: set[int] = set()

    def append(self, level: int, node: bytes) -> None:
        """Add a hash to a level; a completed tile adds one to the level above."""
        if level == len(self.edges):
            self.edges.append(bytearray())
            self._next.append(0)
        edge = self.edges[level]
        edge += node
        self._touched.add(level)
        if len(edge) == _FULL:
            tile = bytes(edge)
            self._complete[level, self._next[level]] = tile
            self._next[level] += 1
            edge.clear()
            self.append(level + 1, root_of([tile[at : at + HASH_BYTES] for at in range(0, _FULL, HASH_BYTES)]))

    def finish(self) -> dict[tuple[int, int], bytes]:
        """Return all tiles that changed."""
        partial = {(level, self._next[level]): bytes(self.edges[level]) for level in self._touched if self.edges[level]}
        return self._complete | partial


def _frontier_nodes(tree: TiledTree, size: int) -> tuple[bytes, ...]:
    nodes = []
    start = 0
    for height in reversed(range(size.bit_length())):
        if size >> height & 1:
            nodes.append(tree.node(height, start >> height, size))
            start += 1 << height
    return tuple(nodes)
