"""Families of wrong proofs, each named after its mutation; every one must be refused.

The families are those that implementations of RFC 6962 test against each other: wrong index, wrong size, wrong leaf,
wrong root, garbage at either end, a flipped bit, a removed, inserted, doubled or swapped hash.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from ledger.proof import verify_consistency, verify_inclusion
from ledger.tree import EMPTY_ROOT
from yingbi.errors import InvalidRequestError, VerificationError
from yingbi.receipts import ConsistencyProof, InclusionProof

__all__ = [
    "ConsistencyClaim",
    "InclusionClaim",
    "is_consistency_accepted",
    "is_inclusion_accepted",
    "mutate_consistency",
    "mutate_inclusion",
]

SOME_HASH: Final = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")


@dataclass(frozen=True, slots=True)
class InclusionClaim:
    """What a verifier is told: not yet a proof, for many mutations cannot even be one."""

    index: int
    size: int
    leaf: bytes
    root: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ConsistencyClaim:
    """What a verifier is told about two trees."""

    old_size: int
    new_size: int
    old_root: bytes
    new_root: bytes
    path: tuple[bytes, ...]


def is_inclusion_accepted(claim: InclusionClaim) -> bool:
    """Tell whether our verifier accepts the claim; anything but a refusal by error propagates."""
    try:
        proof = InclusionProof(index=claim.index, size=claim.size, path=claim.path)
        verify_inclusion(proof, claim.leaf, claim.root)
    except (InvalidRequestError, VerificationError):
        return False
    return True


def is_consistency_accepted(claim: ConsistencyClaim) -> bool:
    """Tell whether our verifier accepts the claim; anything but a refusal by error propagates."""
    try:
        proof = ConsistencyProof(old_size=claim.old_size, new_size=claim.new_size, path=claim.path)
        verify_consistency(proof, claim.old_root, claim.new_root)
    except (InvalidRequestError, VerificationError):
        return False
    return True


def mutate_inclusion(claim: InclusionClaim) -> Iterator[tuple[str, InclusionClaim]]:
    """List wrong claims that are near `claim`."""
    yield "index - 1", replace(claim, index=claim.index - 1)
    yield "index + 1", replace(claim, index=claim.index + 1)
    yield "index ^ 2", replace(claim, index=claim.index ^ 2)
    yield "size * 2", replace(claim, size=claim.size * 2)
    yield "size / 2", replace(claim, size=claim.size // 2)
    yield "wrong leaf", replace(claim, leaf=b"WrongLeaf")
    yield "short leaf", replace(claim, leaf=claim.leaf[:-1])
    yield "another leaf", replace(claim, leaf=SOME_HASH)
    yield "empty root", replace(claim, root=EMPTY_ROOT)
    yield "random root", replace(claim, root=SOME_HASH)
    yield "no root", replace(claim, root=b"")
    for name, path in _mutate_path(claim.path, {"root": claim.root, "leaf": claim.leaf}):
        yield name, replace(claim, path=path)


def mutate_consistency(claim: ConsistencyClaim) -> Iterator[tuple[str, ConsistencyClaim]]:
    """List wrong claims that are near `claim`, which is about two different trees that are not empty."""
    yield "old size - 1", replace(claim, old_size=claim.old_size - 1)
    yield "old size + 1", replace(claim, old_size=claim.old_size + 1)
    yield "old size ^ 2", replace(claim, old_size=claim.old_size ^ 2)
    yield "new size * 2", replace(claim, new_size=claim.new_size * 2)
    yield "new size / 2", replace(claim, new_size=claim.new_size // 2)
    yield "wrong old root", replace(claim, old_root=b"WrongRoot")
    yield "wrong new root", replace(claim, new_root=b"WrongRoot")
    yield "another old root", replace(claim, old_root=SOME_HASH)
    yield "another new root", replace(claim, new_root=SOME_HASH)
    yield "empty old root", replace(claim, old_root=EMPTY_ROOT)
    yield "swapped roots", replace(claim, old_root=claim.new_root, new_root=claim.old_root)
    yield "swapped sizes", replace(claim, old_size=claim.new_size, new_size=claim.old_size)
    yield "empty proof", replace(claim, path=())
    for name, path in _mutate_path(claim.path, {"old root": claim.old_root, "new root": claim.new_root}):
        yield name, replace(claim, path=path)


def _mutate_path(path: tuple[bytes, ...], named: dict[str, bytes]) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    for name, garbage in {"garbage": b"", "hash": SOME_HASH, **named}.items():
        yield f"trailing {name}", (*path, garbage)
        yield f"preceding {name}", (garbage, *path)
    for at, item in enumerate(path):
        yield f"modified hash {at}", (*path[:at], bytes([item[0] ^ 8]) + item[1:], *path[at + 1 :])
        yield f"short hash {at}", (*path[:at], item[:-1], *path[at + 1 :])
        yield f"removed hash {at}", (*path[:at], *path[at + 1 :])
        yield f"doubled hash {at}", (*path[:at], item, *path[at:])
        yield f"inserted before {at}", (*path[:at], SOME_HASH, *path[at:])
    for at in range(1, len(path)):
        if path[at - 1] != path[at]:
            yield f"swapped {at - 1} and {at}", (*path[: at - 1], path[at], path[at - 1], *path[at + 1 :])
