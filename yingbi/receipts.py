"""What a log hands out: checkpoints, proofs and receipts, as plain values.

These types hold bytes and numbers and check their own shape, nothing else. `ledger` makes and checks them for servers;
`yingbi.verify` reads the published text forms with code of its own.
"""

import re
from dataclasses import dataclass
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = [
    "HASH_BYTES",
    "MAX_TREE_SIZE",
    "Checkpoint",
    "ConsistencyProof",
    "InclusionProof",
    "Receipt",
    "SignedCheckpoint",
]

HASH_BYTES: Final = 32
MAX_TREE_SIZE: Final = 2**53 - 1
_MAX_PROOF_HASHES: Final = 63
_NOT_IN_LINE: Final = re.compile(r"[\x00-\x1f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head: the log `origin` had `size` entries with this `root` (C2SP tlog-checkpoint)."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or _NOT_IN_LINE.search(self.origin):
            raise InvalidRequestError(ErrorCode.CHECKPOINT_MALFORMED, "expected an origin of one line in UTF-8")
        if not 0 <= self.size <= MAX_TREE_SIZE:
            raise InvalidRequestError(ErrorCode.CHECKPOINT_MALFORMED, "expected a size from 0 to 2^53 - 1")
        if len(self.root) != HASH_BYTES:
            raise InvalidRequestError(
                ErrorCode.CHECKPOINT_MALFORMED, f"expected a root of {HASH_BYTES} bytes, got {len(self.root)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint and the signed note that carries it, cosignatures included, as published."""

    checkpoint: Checkpoint
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """The path from leaf `index` to the root of a tree of `size` leaves, sibling first (RFC 6962 §2.1.1)."""

    index: int
    size: int
    path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.size <= MAX_TREE_SIZE:
            raise InvalidRequestError(ErrorCode.PROOF_MALFORMED, "expected an index below the size of the tree")
        _check_path(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyProof:
    """The hashes that connect the tree of `old_size` to that of `new_size` (RFC 6962 §2.1.2)."""

    old_size: int
    new_size: int
    path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.old_size <= self.new_size <= MAX_TREE_SIZE:
            raise InvalidRequestError(ErrorCode.PROOF_MALFORMED, "expected an old size not above the new size")
        _check_path(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Evidence that an entry is in the log: its inclusion proof and the checkpoint it leads to."""

    proof: InclusionProof
    signed: SignedCheckpoint

    def __post_init__(self) -> None:
        if self.proof.size != self.signed.checkpoint.size:
            raise InvalidRequestError(ErrorCode.RECEIPT_MALFORMED, "expected a proof for the size of its checkpoint")


def _check_path(path: tuple[bytes, ...]) -> None:
    if len(path) > _MAX_PROOF_HASHES or any(len(item) != HASH_BYTES for item in path):
        raise InvalidRequestError(
            ErrorCode.PROOF_MALFORMED, f"expected at most {_MAX_PROOF_HASHES} hashes of {HASH_BYTES} bytes"
        )
