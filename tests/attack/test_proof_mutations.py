"""Every accepted proof, mutated every way, is refused, unless it is the same proof in other words.

The families bear the names that transparency-dev/merkle uses. An RFC 6962 proof is a recipe: which of its hashes goes
to which side of which other. A proof made for one index and size says the same under another pair exactly if the
recipes are equal (index 0 of 3 and of 4 leaves: two hashes to the right), and no verifier can tell these apart; it is
harmless, as size and root come from the same signed checkpoint. The recipes here come from the recursive definitions,
the verifier's from bit arithmetic; acceptance must equal equality of recipes.
"""

import hashlib
from collections.abc import Iterator
from functools import cache

import pytest

from tests.lib.mini_log import (
    NOW,
    NOW_S,
    MiniLog,
    consistency_proof,
    inclusion_path,
    leaf_hash,
    tree_hash,
    witness,
)
from yingbi.verify import Verdict, load_trust, verify_receipt
from yingbi.verify.merkle import EMPTY_ROOT, ProofError, verify_consistency, verify_inclusion

LEAVES = [leaf_hash(b"%d" % number) for number in range(40)]
ROOTS = [tree_hash(LEAVES[:size]) for size in range(41)]
OTHER = hashlib.sha256(b"other").digest()
SIZE = 18

Inclusion = tuple[int, int, bytes, list[bytes], bytes]
Consistency = tuple[int, int, bytes, bytes, list[bytes]]


def split(n: int) -> int:
    return 1 << ((n - 1).bit_length() - 1)


@cache
def inclusion_recipe(m: int, n: int) -> tuple[str, ...]:
    """On which side each hash of PATH(m, D[n]) stands, from RFC 6962 §2.1.1."""
    if n == 1:
        return ()
    k = split(n)
    return (*inclusion_recipe(m, k), "right") if m < k else (*inclusion_recipe(m - k, n - k), "left")


@cache
def consistency_recipe(m: int, n: int, *, complete: bool = True) -> tuple[str, str, int]:
    """Old root, new root and number of hashes of SUBPROOF(m, D[n], complete), from RFC 6962 §2.1.2."""
    if m == n:
        return ("old", "old", 0) if complete else ("p0", "p0", 1)
    k = split(n)
    if m <= k:
        old, new, used = consistency_recipe(m, k, complete=complete)
        return old, f"({new} p{used})", used + 1
    old, new, used = consistency_recipe(m - k, n - k, complete=False)
    return f"(p{used} {old})", f"(p{used} {new})", used + 1


def path_mutations(path: list[bytes], root: bytes) -> Iterator[tuple[str, list[bytes]]]:
    yield "trailing garbage", [*path, b""]
    yield "trailing garbage hash", [*path, OTHER]
    yield "trailing root", [*path, root]
    yield "preceding garbage", [b"", *path]
    yield "preceding garbage hash", [OTHER, *path]
    yield "preceding root", [root, *path]
    for at in range(len(path)):
        rest = path[at + 1 :]
        yield f"truncated to {at}", path[:at]
        yield f"component {at} removed", [*path[:at], *rest]
        yield f"component {at} doubled", [*path[: at + 1], path[at], *rest]
        yield f"garbage before component {at}", [*path[:at], OTHER, *path[at:]]
        yield f"component {at} replaced", [*path[:at], OTHER, *rest]
        yield f"component {at} empty", [*path[:at], b"", *rest]
        yield f"component {at} cut short", [*path[:at], path[at][:-1], *rest]
        yield f"component {at} too long", [*path[:at], path[at] + b"\0", *rest]
        if rest and path[at] != rest[0]:
            yield f"components {at} and {at + 1} swapped", [*path[:at], rest[0], path[at], *rest[1:]]
    if path:
        yield "empty proof", []
        yield "preceding proof[0]", [path[0], *path]


def bit_mutations(path: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    for at, item in enumerate(path):
        for bit in range(256):
            flipped = bytes(byte ^ (1 << bit % 8 if bit // 8 == place else 0) for place, byte in enumerate(item))
            yield f"bit {bit} of component {at}", [*path[:at], flipped, *path[at + 1 :]]


def accepts_inclusion(proof: Inclusion) -> bool:
    try:
        verify_inclusion(*proof)
    except ProofError:
        return False
    return True


def accepts_consistency(proof: Consistency) -> bool:
    try:
        verify_consistency(*proof)
    except ProofError:
        return False
    return True


@pytest.mark.parametrize("size", range(1, SIZE))
def test_mutated_inclusion_proofs_are_refused(size: int) -> None:
    root = ROOTS[size]
    for index in range(size):
        path = inclusion_path(index, LEAVES[:size])
        assert accepts_inclusion((index, size, LEAVES[index], path, root))
        mutations: dict[str, Inclusion] = {
            "wrong leaf": (index, size, OTHER, path, root),
            "leaf of the neighbour": (index, size, LEAVES[index + 1], path, root),
            "wrong root": (index, size, LEAVES[index], path, OTHER),
            "empty root": (index, size, LEAVES[index], path, b""),
            "root of nothing": (index, size, LEAVES[index], path, EMPTY_ROOT),
            "root of the larger tree": (index, size, LEAVES[index], path, ROOTS[size + 1]),
        }
        mutations |= {name: (index, size, LEAVES[index], changed, root) for name, changed in path_mutations(path, root)}
        accepted = [name for name, proof in mutations.items() if accepts_inclusion(proof)]
        assert not accepted, (index, size)


@pytest.mark.parametrize("size", range(1, SIZE))
def test_an_inclusion_proof_holds_for_another_index_or_size_only_if_it_is_the_same_recipe(size: int) -> None:
    for index in range(size):
        path = inclusion_path(index, LEAVES[:size])
        for other_size in [*range(2 * size + 2), size * 2, size // 2]:
            for other_index in [*range(-1, other_size + 2), index ^ 2, index - 1, index + 1]:
                accepted = accepts_inclusion((other_index, other_size, LEAVES[index], path, ROOTS[size]))
                inside = 0 <= other_index < other_size
                same = inside and inclusion_recipe(other_index, other_size) == inclusion_recipe(index, size)
                assert accepted is same, (index, size, other_index, other_size)


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (2, 3), (4, 5), (3, 7), (6, 7), (5, 8), (8, 9), (10, 13)])
def test_every_single_bit_of_an_inclusion_proof_matters(index: int, size: int) -> None:
    path = inclusion_path(index, LEAVES[:size])
    accepted = [
        name
        for name, changed in bit_mutations(path)
        if accepts_inclusion((index, size, LEAVES[index], changed, ROOTS[size]))
    ]
    assert not accepted


@pytest.mark.parametrize("new", range(1, SIZE))
def test_mutated_consistency_proofs_are_refused(new: int) -> None:
    for old in range(1, new):
        path = consistency_proof(old, LEAVES[:new])
        was, now = ROOTS[old], ROOTS[new]
        assert accepts_consistency((old, new, was, now, path))
        mutations: dict[str, Consistency] = {
            "wrong old root": (old, new, OTHER, now, path),
            "wrong new root": (old, new, was, OTHER, path),
            "empty old root": (old, new, b"", now, path),
            "empty new root": (old, new, was, b"", path),
            "old root of nothing": (old, new, EMPTY_ROOT, now, path),
            "swapped roots": (old, new, now, was, path),
            "same roots": (old, new, now, now, path),
            "swapped sizes": (new, old, was, now, path),
            "swapped sizes and roots": (new, old, now, was, path),
        }
        for root in (was, now):
            mutations |= {name: (old, new, was, now, changed) for name, changed in path_mutations(path, root)}
        accepted = [name for name, proof in mutations.items() if accepts_consistency(proof)]
        assert not accepted, (old, new)


@pytest.mark.parametrize("new", range(1, 13))
def test_a_consistency_proof_holds_for_other_sizes_only_if_it_is_the_same_recipe(new: int) -> None:
    for old in range(1, new):
        path = consistency_proof(old, LEAVES[:new])
        for other_new in range(2 * new + 2):
            for other_old in range(other_new + 2):
                accepted = accepts_consistency((other_old, other_new, ROOTS[old], ROOTS[new], path))
                inside = 0 < other_old < other_new
                same = inside and consistency_recipe(other_old, other_new) == consistency_recipe(old, new)
                assert accepted is same, (old, new, other_old, other_new)


@pytest.mark.parametrize(("old", "new"), [(1, 2), (1, 3), (3, 4), (6, 8), (5, 7), (4, 8), (7, 9), (8, 13)])
def test_every_single_bit_of_a_consistency_proof_matters(old: int, new: int) -> None:
    path = consistency_proof(old, LEAVES[:new])
    accepted = [
        name
        for name, changed in bit_mutations(path)
        if accepts_consistency((old, new, ROOTS[old], ROOTS[new], changed))
    ]
    assert not accepted


@pytest.mark.parametrize("size", range(1, 6))
def test_the_empty_and_the_equal_tree_take_no_proof(size: int) -> None:
    root = ROOTS[size]
    assert accepts_consistency((0, size, EMPTY_ROOT, root, []))
    assert accepts_consistency((size, size, root, root, []))
    refused: list[Consistency] = [
        (0, size, EMPTY_ROOT, root, [root]),
        (0, size, root, root, []),
        (0, size, b"", root, []),
        (size, size, root, root, [root]),
        (size, size, root, OTHER, []),
        (size, size, EMPTY_ROOT, root, []),
        (0, 0, EMPTY_ROOT, root, []),
    ]
    assert not [proof for proof in refused if accepts_consistency(proof)]


@pytest.fixture(scope="module")
def witnessed() -> tuple[bytes, bytes, bytes]:
    """A receipt that one needed witness cosigned, its entry and the trust file."""
    log = MiniLog().fill(5)
    only = witness("w1")
    return log.receipt(3, cosign=[(only, NOW_S)]), log.entries[3], log.trust(witnesses=[only])


def test_every_single_bit_of_a_receipt_matters(witnessed: tuple[bytes, bytes, bytes]) -> None:
    receipt, entry, trust_file = witnessed
    trust = load_trust(trust_file)
    assert verify_receipt(receipt, entry, trust, now=NOW).verdict is Verdict.VERIFIED
    for bit in range(8 * len(receipt)):
        changed = bytearray(receipt)
        changed[bit // 8] ^= 1 << bit % 8
        assert verify_receipt(bytes(changed), entry, trust, now=NOW).verdict is not Verdict.VERIFIED, bit


def test_every_single_bit_of_an_entry_matters(witnessed: tuple[bytes, bytes, bytes]) -> None:
    receipt, entry, trust_file = witnessed
    trust = load_trust(trust_file)
    for bit in range(8 * len(entry)):
        changed = bytearray(entry)
        changed[bit // 8] ^= 1 << bit % 8
        assert verify_receipt(receipt, bytes(changed), trust, now=NOW).verdict is Verdict.INVALID, bit


def test_every_truncation_of_a_receipt_is_refused(witnessed: tuple[bytes, bytes, bytes]) -> None:
    receipt, entry, trust_file = witnessed
    trust = load_trust(trust_file)
    for size in range(len(receipt)):
        assert verify_receipt(receipt[:size], entry, trust, now=NOW).verdict is not Verdict.VERIFIED, size
