"""Inclusion and consistency proofs: RFC 6962 §2.1.1 and §2.1.2, verified as RFC 9162 §2.1.3.2 and §2.1.4.2 describe.

Cost: O(log size) hashes; proving from tiles reads O(log₂₅₆ size) tiles.
"""

import hashlib
import hmac

from ledger.tiles import TiledTree
from ledger.tree import EMPTY_ROOT, hash_node, largest_power_below
from yingbi.errors import ErrorCode, InvalidRequestError, VerificationError
from yingbi.receipts import HASH_BYTES, ConsistencyProof, InclusionProof

__all__ = ["prove_consistency", "prove_inclusion", "verify_consistency", "verify_inclusion"]


def prove_inclusion(tree: TiledTree, index: int, size: int) -> InclusionProof:
    """Prove that leaf `index` is in the tree of `size` (RFC 6962 §2.1.1).

    Raises:
        InvalidRequestError: the index is not below the size.
    """
    if not 0 <= index < size:
        raise InvalidRequestError(ErrorCode.PROOF_MALFORMED, f"expected an index below {size}, got {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        split = start + largest_power_below(end - start)
        if index < split:
            path.append(tree.range_root(split, end, size))
            end = split
        else:
            path.append(tree.range_root(start, split, size))
            start = split
    return InclusionProof(index=index, size=size, path=tuple(reversed(path)))


def prove_consistency(tree: TiledTree, old_size: int, new_size: int) -> ConsistencyProof:
    """Prove that the tree of `old_size` is a prefix of that of `new_size` (RFC 6962 §2.1.2).

    Raises:
        InvalidRequestError: the old size is larger than the new one.
    """
    if not 0 <= old_size <= new_size:
        raise InvalidRequestError(ErrorCode.PROOF_MALFORMED, f"expected an old size of at most {new_size}")
    path: list[bytes] = []
    start, end = 0, new_size
    whole = True  # RFC 6962's b: the old tree is still the complete left part, whose root the verifier knows
    while 0 < old_size < new_size and end != old_size:
        split = start + largest_power_below(end - start)
        if old_size <= split:
            path.append(tree.range_root(split, end, new_size))
            end = split
        else:
            path.append(tree.range_root(start, split, new_size))
            start, whole = split, False
    if not whole:
        path.append(tree.range_root(start, end, new_size))
    return ConsistencyProof(old_size=old_size, new_size=new_size, path=tuple(reversed(path)))


def verify_inclusion(proof: InclusionProof, leaf: bytes, root: bytes) -> None:
    """Verify that the leaf hash `leaf` is at `proof.index` of the tree with `root` (RFC 9162 §2.1.3.2).

    Trusts `root`: verify the checkpoint first.

    Raises:
        VerificationError: the proof has the wrong length or leads to another root.
    """
    index, last = proof.index, proof.size - 1
    node = leaf
    for sibling in proof.path:
        if not last:
            raise _unverified("inclusion proof is too long")
        if index & 1 or index == last:
            node = hashlib.sha256(b"\x01" + sibling + node).digest()
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            node = hashlib.sha256(b"\x01" + node + sibling).digest()
        index >>= 1
        last >>= 1
    if last:
        raise _unverified("inclusion proof is too short")
    if len(root) != HASH_BYTES or not hmac.compare_digest(node, root):
        raise _unverified("inclusion proof leads to another root")


def verify_consistency(proof: ConsistencyProof, old_root: bytes, new_root: bytes) -> None:
    """Verify that the tree with `old_root` is a prefix of the one with `new_root` (RFC 9162 §2.1.4.2).

    Trusts both roots: verify their checkpoints first.

    Raises:
        VerificationError: the proof has the wrong length or leads to other roots.
    """
    if len(old_root) != HASH_BYTES or len(new_root) != HASH_BYTES:
        raise _unverified(f"expected roots of {HASH_BYTES} bytes")
    if proof.old_size in (0, proof.new_size):
        _verify_trivial(proof, old_root, new_root)
        return
    if not proof.path:
        raise _unverified("consistency proof is too short")
    seed, *rest = proof.path if proof.old_size.bit_count() > 1 else (old_root, *proof.path)
    _fold_consistency(proof, seed, rest, old_root, new_root)


def _verify_trivial(proof: ConsistencyProof, old_root: bytes, new_root: bytes) -> None:
    is_same = proof.old_size != proof.new_size or hmac.compare_digest(old_root, new_root)
    is_empty = proof.old_size != 0 or hmac.compare_digest(old_root, EMPTY_ROOT)
    if proof.path or not (is_same and is_empty):
        raise _unverified("consistency proof between equal or empty trees holds more than equality")


def _fold_consistency(
    proof: ConsistencyProof, seed: bytes, rest: list[bytes], old_root: bytes, new_root: bytes
) -> None:
    index, last = proof.old_size - 1, proof.new_size - 1
    while index & 1:
        index >>= 1
        last >>= 1
    old = new = seed
    for node in rest:
        if not last:
            raise _unverified("consistency proof is too long")
        if index & 1 or index == last:
            old, new = hash_node(node, old), hash_node(node, new)
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            new = hash_node(new, node)
        index >>= 1
        last >>= 1
    if last:
        raise _unverified("consistency proof is too short")
    if not hmac.compare_digest(old, old_root):
        raise _unverified("consistency proof leads to another old root")
    if not hmac.compare_digest(new, new_root):
        raise _unverified("consistency proof leads to another new root")


def _unverified(message: str) -> VerificationError:
    return VerificationError(ErrorCode.PROOF_UNVERIFIED, message)
