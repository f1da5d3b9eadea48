"""What must hold of any log at any time, checked from its stored bytes by plain recomputation."""

from collections.abc import Sequence

from ledger.checkpoint import parse_checkpoint
from ledger.entry import genesis_hash, parse_entry
from ledger.note import NoteVerifier, parse_note, verify_note
from ledger.reader import LogReader
from ledger.store import LogReads
from ledger.tree import hash_leaf
from tests.lib.naive_tree import NaiveTree

__all__ = ["check_log", "read_all"]


def read_all(store: LogReads) -> list[bytes]:
    """Return all entries."""
    return store.read_entries(0, store.read_head().size)


def check_log(store: LogReads, verifiers: Sequence[NoteVerifier]) -> list[bytes]:
    """Check chain, sequence, times, root and signature of the stored log; return its entries."""
    head = store.read_head()
    entries = read_all(store)
    prev, time = genesis_hash(store.origin), ""
    for seq, data in enumerate(entries):
        entry = parse_entry(data)
        assert (entry.seq, entry.prev) == (seq, prev)
        assert entry.time >= time
        prev, time = hash_leaf(data), entry.time
    leaves = [hash_leaf(data) for data in entries]
    tree = NaiveTree(leaves)
    root = tree.root(len(leaves))
    assert (head.size, head.root) == (len(entries), root)
    assert (head.last_leaf, head.last_time) == (prev, time)
    note = parse_note(store.read_signed(head.size))
    assert verify_note(note, verifiers)
    checkpoint = parse_checkpoint(note.text)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (store.origin, head.size, root)
    published = LogReader(store).published().checkpoint
    assert published.size <= head.size
    assert published.root == tree.root(published.size)
    return entries
