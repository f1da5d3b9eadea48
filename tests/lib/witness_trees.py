"""A log that keeps its leaves in a list, and that can misbehave: it forks, forgets and signs whatever it is told."""

from ledger.checkpoint import format_checkpoint
from ledger.note import NoteVerifier, TextSigner, sign_note
from ledger.proof import prove_consistency
from ledger.tree import hash_leaf, root_of
from tests.lib.trees import ListTiles
from yingbi.keys import SigningKey
from yingbi.receipts import Checkpoint, ConsistencyProof, SignedCheckpoint

ORIGIN = "log.futian.example/2026"


class ListLog:
    """A log with one key; `fork` shares the key and the first leaves."""

    def __init__(self, *, origin: str = ORIGIN, seed: int = 1, leaves: list[bytes] | None = None) -> None:
        self.origin = origin
        self.seed = seed
        self.signer = TextSigner(origin, SigningKey.from_seed(bytes([seed]) * 32))
        self.leaves = leaves or []

    @property
    def verifier(self) -> NoteVerifier:
        return self.signer.verifier

    def grow(self, count: int, *, mark: str = "") -> "ListLog":
        start = len(self.leaves)
        self.leaves += [hash_leaf(f"{mark}/{index}".encode()) for index in range(start, start + count)]
        return self

    def fork(self, size: int, *, mark: str) -> "ListLog":
        """Return a log with the same key and the first `size` leaves, then others, as many as this one has."""
        twin = ListLog(origin=self.origin, seed=self.seed, leaves=self.leaves[:size])
        return twin.grow(len(self.leaves) - size, mark=mark)

    def root(self, size: int) -> bytes:
        return root_of(self.leaves[:size])

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        size = len(self.leaves) if size is None else size
        return Checkpoint(origin=self.origin, size=size, root=self.root(size))

    def signed(self, size: int | None = None) -> SignedCheckpoint:
        checkpoint = self.checkpoint(size)
        return SignedCheckpoint(checkpoint=checkpoint, note=sign_note(format_checkpoint(checkpoint), [self.signer]))

    def prove(self, old_size: int, new_size: int | None = None) -> ConsistencyProof:
        new_size = len(self.leaves) if new_size is None else new_size
        return prove_consistency(ListTiles(self.leaves).tree(), old_size, new_size)
