"""A chain in memory with the rules of LogAnchor, blocks, a pool, reorganisations and outages; and a log to anchor."""

import hashlib
import itertools
import json
from dataclasses import dataclass, replace

from ledger.anchor import ChainHead, ChainView, Submission, TransactionState
from yingbi.errors import ErrorCode, TamperDetectedError, UnavailableError
from yingbi.receipts import Checkpoint, SignedCheckpoint

__all__ = ["ORIGIN", "FakeChain", "FakeLog", "make_checkpoint", "make_root"]

ORIGIN = "log.example/1"
_GENESIS = hashlib.sha256(b"genesis").digest()


def make_root(size: int, branch: str = "") -> bytes:
    """Return the root that the log `branch` has at `size`."""
    return hashlib.sha256(f"{branch}:{size}".encode()).digest()


def make_checkpoint(size: int, branch: str = "") -> Checkpoint:
    """Return the checkpoint of `size` of the log `branch`."""
    return Checkpoint(origin=ORIGIN, size=size, root=make_root(size, branch))


class FakeLog:
    """A `HeadSource` whose history can be cut or rewritten."""

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.branch = ""
        self.cosigned_root: bytes | None = None

    def latest_cosigned(self) -> SignedCheckpoint | None:
        """Return the newest head."""
        if self.size == 0:
            return None
        root = self.cosigned_root or make_root(self.size, self.branch)
        return SignedCheckpoint(checkpoint=Checkpoint(origin=ORIGIN, size=self.size, root=root), note=b"note")

    def root_at(self, size: int) -> bytes:
        """Return the root of a prefix; asking beyond the end is a fault of the caller."""
        if not 0 < size <= self.size:
            raise AssertionError("asked for a root beyond the log")
        return make_root(size, self.branch)


@dataclass(frozen=True)
class _Transaction:
    nonce: int
    size: int
    root: str
    follows: str
    fee: int
    sender: str

    @classmethod
    def parse(cls, data: bytes) -> "_Transaction":
        return cls(**json.loads(data))

    def encode(self) -> bytes:
        return json.dumps(self.__dict__, sort_keys=True).encode()


@dataclass(frozen=True)
class _Block:
    head: ChainHead
    used: int  # transactions of the anchorer up to here
    transaction: bytes | None = None
    worked: bool = False


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class FakeChain:
    """An `Anchor`. Blocks come from `mine` only; `pool` holds at most one transaction a nonce, as nodes do."""

    def __init__(self, confirmations: int = 2, sender: str = "anchorer") -> None:
        self.confirmations = confirmations
        self.sender = sender
        self.anchorer = "anchorer"
        self.pool: dict[int, bytes] = {}
        self.is_down = False
        self.signed: list[bytes] = []
        head = ChainHead(size=0, root=bytes(32), chain_value=_GENESIS, block_number=0)
        self.blocks = [_Block(head=head, used=0)]

    @property
    def heads(self) -> list[int]:
        """Return the anchored sizes in the order of the chain, one an anchor."""
        sizes = [block.head.size for block in self.blocks]
        return [size for before, size in itertools.pairwise(sizes) if size != before]

    @property
    def paid(self) -> int:
        """Return how many transactions the chain has, whether they worked or not."""
        return self.blocks[-1].used

    def latest(self) -> ChainView:
        """Read the last head."""
        self._reach()
        confirmed = self.blocks[max(len(self.blocks) - 1 - self.confirmations, 0)].head
        return ChainView(tip=self.blocks[-1].head, confirmed=confirmed)

    def prepare(self, checkpoint: Checkpoint, tip: ChainHead, *, replaces: Submission | None = None) -> Submission:
        """Sign, after a trial."""
        self._reach()
        fee = _Transaction.parse(replaces.transaction).fee + 1 if replaces is not None else 1
        transaction = _Transaction(
            nonce=self.blocks[-1].used,
            size=checkpoint.size,
            root=checkpoint.root.hex(),
            follows=tip.chain_value.hex(),
            fee=fee,
            sender=self.sender,
        )
        if not self._is_allowed(transaction):
            if transaction.follows != self.blocks[-1].head.chain_value.hex():
                raise UnavailableError(ErrorCode.ANCHOR_UNAVAILABLE, "another head came first")
            raise TamperDetectedError(ErrorCode.ANCHOR_REFUSED, "the contract refuses")
        data = transaction.encode()
        self.signed.append(data)
        return Submission(tx_hash=_hash(data), transaction=data, follows=tip.chain_value)

    def submit(self, submission: Submission) -> None:
        """Put into the pool what could be mined and pays more than what it replaces."""
        self._reach()
        new = _Transaction.parse(submission.transaction)
        old = self.pool.get(new.nonce)
        if old == submission.transaction or self._find(submission.tx_hash) is not None:
            return
        if new.nonce != self.blocks[-1].used or (old is not None and _Transaction.parse(old).fee >= new.fee):
            raise UnavailableError(ErrorCode.ANCHOR_UNAVAILABLE, "nonce too low, or underpriced")
        self.pool[new.nonce] = submission.transaction

    def status(self, submission: Submission) -> TransactionState:
        """Tell what became of it."""
        self._reach()
        block = self._find(submission.tx_hash)
        if block is not None:
            return TransactionState.INCLUDED if block.worked else TransactionState.REFUSED
        nonce = _Transaction.parse(submission.transaction).nonce
        if nonce < self.blocks[-1].used:
            return TransactionState.REPLACED
        pooled = self.pool.get(nonce) == submission.transaction
        return TransactionState.PENDING if pooled else TransactionState.UNKNOWN

    def mine(self, count: int = 1) -> None:
        """Make blocks."""
        for _ in range(count):
            last = self.blocks[-1]
            data = self.pool.pop(last.used, None)
            head = replace(last.head, block_number=last.head.block_number + 1)
            if data is None:
                self.blocks.append(_Block(head=head, used=last.used))
                continue
            transaction = _Transaction.parse(data)
            worked = self._is_allowed(transaction)
            head = self._extend(head, transaction) if worked else head
            self.blocks.append(_Block(head=head, used=last.used + 1, transaction=data, worked=worked))

    def reorganise(self, depth: int, *, forgets: bool) -> None:
        """Replace the last blocks by empty ones; their transactions return to the pool, or are forgotten by all."""
        depth = min(depth, len(self.blocks) - 1)
        cut = self.blocks[len(self.blocks) - depth :]
        del self.blocks[len(self.blocks) - depth :]
        self.pool = {}
        self.mine(depth)
        if not forgets:
            cut_out = [block.transaction for block in cut if block.transaction is not None]
            self.pool = {_Transaction.parse(data).nonce: data for data in cut_out}

    def _reach(self) -> None:
        if self.is_down:
            raise UnavailableError(ErrorCode.ANCHOR_UNAVAILABLE, "down")

    def _find(self, tx_hash: bytes) -> _Block | None:
        mined = (block for block in self.blocks if block.transaction is not None)
        return next((block for block in mined if _hash(block.transaction or b"") == tx_hash), None)

    def _is_allowed(self, transaction: _Transaction) -> bool:
        head = self.blocks[-1].head
        return (
            transaction.sender == self.anchorer
            and transaction.follows == head.chain_value.hex()
            and transaction.size > head.size
        )

    @staticmethod
    def _extend(head: ChainHead, transaction: _Transaction) -> ChainHead:
        root = bytes.fromhex(transaction.root)
        value = _hash(head.chain_value + transaction.size.to_bytes(32) + root)
        return replace(head, size=transaction.size, root=root, chain_value=value)
