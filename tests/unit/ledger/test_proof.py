"""Inclusion and consistency proofs: published vectors, a recursive oracle, and families of wrong proofs."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.proof import prove_consistency, prove_inclusion, verify_consistency, verify_inclusion
from ledger.tree import EMPTY_ROOT, hash_leaf
from tests.lib.naive_tree import NaiveTree
from tests.lib.proof_mutations import (
    ConsistencyClaim,
    InclusionClaim,
    is_consistency_accepted,
    is_inclusion_accepted,
    mutate_consistency,
    mutate_inclusion,
)
from tests.lib.trees import ListTiles, make_hashes
from tests.lib.vectors import load_vectors
from yingbi.errors import ErrorCode, InvalidRequestError, VerificationError
from yingbi.receipts import ConsistencyProof, InclusionProof

REFERENCE = load_vectors("rfc6962/reference_tree.json")
LEAVES = [hash_leaf(bytes.fromhex(leaf)) for leaf in REFERENCE["leaves"]]
ROOTS = [EMPTY_ROOT, *map(bytes.fromhex, REFERENCE["roots"])]

BIG = 70_000
HASHES = make_hashes(BIG)
TILES = ListTiles(HASHES)
TREE = TILES.tree()
ORACLE = NaiveTree(HASHES)

NONE: tuple[bytes, ...] = ()
A, B = bytes([1]) * 32, bytes([2]) * 32


def _inclusion_claim(index: int, size: int) -> InclusionClaim:
    return InclusionClaim(index, size, HASHES[index], ORACLE.root(size), prove_inclusion(TREE, index, size).path)


def _consistency_claim(old: int, new: int) -> ConsistencyClaim:
    return ConsistencyClaim(old, new, ORACLE.root(old), ORACLE.root(new), prove_consistency(TREE, old, new).path)


@pytest.mark.parametrize("vector", REFERENCE["inclusion"], ids=lambda v: f"{v['index']} of {v['size']}")
def test_published_inclusion_proofs(vector: dict[str, object]) -> None:
    index, size = vector["index"], vector["size"]
    assert isinstance(index, int)
    assert isinstance(size, int)
    proof = prove_inclusion(ListTiles(LEAVES).tree(), index, size)
    assert [item.hex() for item in proof.path] == vector["path"]
    verify_inclusion(proof, LEAVES[index], ROOTS[size])


@pytest.mark.parametrize("vector", REFERENCE["consistency"], ids=lambda v: f"{v['old_size']} to {v['new_size']}")
def test_published_consistency_proofs(vector: dict[str, object]) -> None:
    old, new = vector["old_size"], vector["new_size"]
    assert isinstance(old, int)
    assert isinstance(new, int)
    proof = prove_consistency(ListTiles(LEAVES).tree(), old, new)
    assert [item.hex() for item in proof.path] == vector["path"]
    verify_consistency(proof, ROOTS[old], ROOTS[new])


def test_every_small_inclusion_proof_is_that_of_the_oracle() -> None:
    for size in range(1, 71):
        root = ORACLE.root(size)
        for index in range(size):
            proof = prove_inclusion(TREE, index, size)
            assert proof.path == ORACLE.path(index, size), (index, size)
            verify_inclusion(proof, HASHES[index], root)


def test_every_small_consistency_proof_is_that_of_the_oracle() -> None:
    for new in range(71):
        for old in range(new + 1):
            proof = prove_consistency(TREE, old, new)
            assert proof.path == (ORACLE.proof(old, new) if 0 < old < new else ()), (old, new)
            verify_consistency(proof, ORACLE.root(old), ORACLE.root(new))


@given(st.data())
def test_random_inclusion_proofs_are_those_of_the_oracle(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, BIG))
    index = data.draw(st.integers(0, size - 1))
    proof = prove_inclusion(TREE, index, size)
    assert proof.path == ORACLE.path(index, size)
    verify_inclusion(proof, HASHES[index], ORACLE.root(size))


@given(st.data())
def test_random_consistency_proofs_are_those_of_the_oracle(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, BIG))
    old = data.draw(st.integers(1, new))
    proof = prove_consistency(TREE, old, new)
    assert proof.path == ORACLE.proof(old, new)
    verify_consistency(proof, ORACLE.root(old), ORACLE.root(new))


@pytest.mark.parametrize("size", range(1, 21))
def test_every_mutated_inclusion_proof_is_refused(size: int) -> None:
    for index in range(size):
        claim = _inclusion_claim(index, size)
        assert is_inclusion_accepted(claim)
        accepted = [name for name, wrong in mutate_inclusion(claim) if is_inclusion_accepted(wrong)]
        assert accepted == [], index


@pytest.mark.parametrize("new", range(2, 21))
def test_every_mutated_consistency_proof_is_refused(new: int) -> None:
    for old in range(1, new):
        claim = _consistency_claim(old, new)
        assert is_consistency_accepted(claim)
        accepted = [name for name, wrong in mutate_consistency(claim) if is_consistency_accepted(wrong)]
        assert accepted == [], old


def test_mutated_proofs_of_large_trees_are_refused() -> None:
    choose = random.Random(6962)
    for _ in range(40):
        size = choose.randrange(2, BIG)
        inclusion = _inclusion_claim(choose.randrange(size), size)
        consistency = _consistency_claim(choose.randrange(1, size), size)
        assert is_inclusion_accepted(inclusion)
        assert is_consistency_accepted(consistency)
        assert [name for name, wrong in mutate_inclusion(inclusion) if is_inclusion_accepted(wrong)] == []
        assert [name for name, wrong in mutate_consistency(consistency) if is_consistency_accepted(wrong)] == []


def test_no_leaf_but_the_right_one_is_proved() -> None:
    for index in range(13):
        claim = _inclusion_claim(index, 13)
        proof = InclusionProof(index=index, size=13, path=claim.path)
        for other in range(13):
            if other != index:
                with pytest.raises(VerificationError):
                    verify_inclusion(proof, HASHES[other], claim.root)


@pytest.mark.parametrize(
    ("leaf", "root", "is_accepted"),
    [(A, A, True), (A, B, False), (A, b"", False), (b"", A, False), (b"", b"", False), (A[1:], A[1:], False)],
)
def test_a_tree_of_one_leaf_has_its_hash_as_root(leaf: bytes, root: bytes, is_accepted: bool) -> None:
    assert is_inclusion_accepted(InclusionClaim(0, 1, leaf, root, ())) is is_accepted


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (1, 0), (1, 1), (2, 1), (-1, 1), (-1, 0), (0, -1), (0, 2**53), (2**53, 2**53)]
)
def test_an_index_outside_of_its_tree_is_no_proof(index: int, size: int) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        InclusionProof(index=index, size=size, path=())
    assert caught.value.code is ErrorCode.PROOF_MALFORMED


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (6, 5), (-1, 5)])
def test_no_proof_is_made_for_an_index_outside_of_the_tree(index: int, size: int) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        prove_inclusion(TREE, index, size)
    assert caught.value.code is ErrorCode.PROOF_MALFORMED


@pytest.mark.parametrize(("old", "new"), [(1, 0), (6, 5), (-1, 5)])
def test_time_does_not_run_backwards(old: int, new: int) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        prove_consistency(TREE, old, new)
    assert caught.value.code is ErrorCode.PROOF_MALFORMED
    with pytest.raises(InvalidRequestError):
        ConsistencyProof(old_size=old, new_size=new, path=())


@pytest.mark.parametrize(
    ("old", "new", "old_root", "new_root", "path", "is_accepted"),
    [
        (0, 0, EMPTY_ROOT, EMPTY_ROOT, NONE, True),
        (0, 1, EMPTY_ROOT, A, NONE, True),
        (1, 1, A, A, NONE, True),
        (0, 0, A, A, NONE, False),
        (0, 0, A, EMPTY_ROOT, NONE, False),
        (0, 0, EMPTY_ROOT, A, NONE, False),
        (0, 1, A, B, NONE, False),
        (1, 1, A, B, NONE, False),
        (1, 1, EMPTY_ROOT, A, NONE, False),
        (1, 2, A, B, NONE, False),
        (1, 2, A, A, NONE, False),
        (0, 0, EMPTY_ROOT, EMPTY_ROOT, (A,), False),
        (0, 1, EMPTY_ROOT, A, (A,), False),
        (1, 1, A, A, (A,), False),
        (0, 0, b"", b"", NONE, False),
        (0, 1, EMPTY_ROOT, b"", NONE, False),
        (3, 3, b"short", b"short", NONE, False),
    ],
)
def test_equal_and_empty_trees(
    old: int, new: int, old_root: bytes, new_root: bytes, path: tuple[bytes, ...], is_accepted: bool
) -> None:
    assert is_consistency_accepted(ConsistencyClaim(old, new, old_root, new_root, path)) is is_accepted


@given(st.data())
def test_invented_proofs_are_refused(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 300))
    old = data.draw(st.integers(1, new - 1))
    honest = prove_consistency(TREE, old, new).path
    path = tuple(data.draw(st.binary(min_size=32, max_size=32)) for _ in honest)
    claim = ConsistencyClaim(old, new, ORACLE.root(old), ORACLE.root(new), path)
    assert is_consistency_accepted(claim) is (path == honest)


def test_proofs_are_as_short_as_rfc_6962_says() -> None:
    for size in [2, 3, 255, 256, 257, 65_535, 65_536, 65_537, BIG]:
        height = (size - 1).bit_length()
        assert max(len(ORACLE.path(index, size)) for index in (0, size // 2, size - 1)) <= height
        assert len(prove_inclusion(TREE, 0, size).path) == height
        assert len(prove_consistency(TREE, size - 1, size).path) <= height + 1
