"""Reading a log: published checkpoint, receipts, proofs. No key, no writing; any number of readers and processes."""

from ledger.checkpoint import parse_checkpoint
from ledger.note import parse_note
from ledger.proof import prove_consistency, prove_inclusion
from ledger.store import LogReads
from ledger.tiles import TiledTree
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.receipts import ConsistencyProof, Receipt, SignedCheckpoint

__all__ = ["LogReader"]


class LogReader:
    """A log as the outside sees it. Thread-safe; a proof reads O(log₂₅₆ size) tiles, mostly from its cache."""

    def __init__(self, store: LogReads) -> None:
        self._store = store
        self._tree = TiledTree(store)

    @property
    def origin(self) -> str:
        """Return the log's name."""
        return self._store.origin

    def published(self) -> SignedCheckpoint:
        """Return the newest published checkpoint with its cosignatures.

        Raises:
            NotFoundError: nothing is published yet.
        """
        size = self._store.published_size()
        if size is None:
            raise NotFoundError(ErrorCode.LOG_NOT_FOUND, "no checkpoint is published yet")
        return self.signed(size)

    def signed(self, size: int) -> SignedCheckpoint:
        """Return the signed checkpoint of `size`."""
        note = self._store.read_signed(size)
        return SignedCheckpoint(checkpoint=parse_checkpoint(parse_note(note).text), note=note)

    def entry(self, index: int) -> bytes:
        """Return one published entry.

        Raises:
            NotFoundError: there is none yet.
        """
        if index >= self.published().checkpoint.size:
            raise NotFoundError(ErrorCode.ENTRY_NOT_FOUND, f"no entry {index} is published")
        return self._store.read_entries(index, index + 1)[0]

    def receipt(self, index: int, signed: SignedCheckpoint | None = None) -> Receipt:
        """Return the receipt of entry `index` under `signed`, by default the newest published checkpoint.

        Raises:
            NotFoundError: the checkpoint does not cover the entry.
        """
        signed = signed or self.published()
        size = signed.checkpoint.size
        if not 0 <= index < size:
            raise NotFoundError(ErrorCode.ENTRY_NOT_FOUND, f"no entry {index} is published; the log has {size}")
        return Receipt(proof=prove_inclusion(self._tree, index, size), signed=signed)

    def consistency(self, old_size: int, new_size: int) -> ConsistencyProof:
        """Prove that the tree of `old_size` is a prefix of that of `new_size`."""
        return prove_consistency(self._tree, old_size, new_size)

    def root_at(self, size: int) -> bytes:
        """Return the root of the first `size` entries, computed from tiles."""
        return self._tree.root(size)
