"""The tree and its proofs against RFC 6962's definitions and the published reference tree."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib import mini_log
from tests.lib.vectors import load_vectors
from yingbi.verify.merkle import (
    EMPTY_ROOT,
    ProofError,
    TileTree,
    fold,
    hash_leaf,
    root_from_inclusion,
    roots_from_consistency,
    verify_consistency,
    verify_inclusion,
)

VECTORS = load_vectors("rfc6962/reference_tree.json")
LEAVES = [hash_leaf(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(root) for root in VECTORS["roots"]]


def make_leaves(count: int) -> list[bytes]:
    return [hash_leaf(b"%d" % number) for number in range(count)]


def test_reference_tree_has_its_published_roots() -> None:
    assert VECTORS["leaves"][:6] == ["", "00", "10", "2021", "3031", "40414243"]
    assert bytes.fromhex(VECTORS["empty_root"]) == EMPTY_ROOT == fold([])
    assert [fold(LEAVES[: size + 1]) for size in range(8)] == ROOTS


@pytest.mark.parametrize("case", VECTORS["inclusion"], ids=lambda case: f"{case['index']} of {case['size']}")
def test_reference_inclusion_proofs(case: dict[str, list[str] | int]) -> None:
    index, size = int(str(case["index"])), int(str(case["size"]))
    path = [bytes.fromhex(str(item)) for item in case["path"]]  # type: ignore[union-attr]
    verify_inclusion(index, size, LEAVES[index], path, ROOTS[size - 1])


@pytest.mark.parametrize("size", range(1, 66))
def test_every_inclusion_proof_of_small_trees_verifies(size: int) -> None:
    leaves = make_leaves(size)
    for index in range(size):
        verify_inclusion(index, size, leaves[index], mini_log.inclusion_path(index, leaves), mini_log.tree_hash(leaves))


def test_every_consistency_proof_of_small_trees_verifies() -> None:
    leaves = make_leaves(33)
    roots = [mini_log.tree_hash(leaves[:size]) for size in range(34)]
    for new in range(34):
        for old in range(new + 1):
            verify_consistency(old, new, roots[old], roots[new], mini_log.consistency_proof(old, leaves[:new]))


@pytest.mark.parametrize(
    ("old", "new", "roots"),
    [(1, 0, (1, 0)), (0, 5, (1, 5)), (0, 0, (0, 1)), (5, 5, (5, 4)), (-1, 5, (0, 5)), (6, 5, (6, 5))],
)
def test_sizes_that_do_not_fit_are_refused(old: int, new: int, roots: tuple[int, int]) -> None:
    was, now = (mini_log.tree_hash(make_leaves(6)[:size]) for size in roots)
    with pytest.raises(ProofError):
        verify_consistency(old, new, was, now, [])


def test_a_proof_beside_the_tree_is_refused() -> None:
    for index, size in [(0, 0), (5, 5), (-1, 5)]:
        with pytest.raises(ProofError):
            root_from_inclusion(index, size, b"\0" * 32, [])
    for old, new in [(3, 3), (0, 3), (0, 0), (4, 3)]:
        with pytest.raises(ProofError):
            roots_from_consistency(old, new, b"\0" * 32, [])


@given(st.integers(0, 2**53 - 2), st.integers(1, 2**53 - 1))
def test_huge_trees_take_no_longer_a_path_than_63(index: int, size: int) -> None:
    index %= size
    with pytest.raises(ProofError, match=r"expected [0-9]+ hashes"):
        root_from_inclusion(index, size, b"", [b""] * 64)


@given(st.integers(0, 200))
def test_fold_is_the_tree_hash(count: int) -> None:
    leaves = make_leaves(count)
    assert fold(leaves) == mini_log.tree_hash(leaves)


def test_folding_tiles_gives_the_tree_and_its_tiles() -> None:
    # A tile of 256 equal leaves folds to one hash: the tree above level 0 can be large while the test stays quick.
    tile = fold([hash_leaf(b"")] * 256)
    roots = [hashlib.sha256(tile + b"%d" % number).digest() for number in range(256 * 256 + 300)]
    tree, tiles = TileTree(), {}
    for root in roots:
        tiles.update({(level, number): hashes for level, number, hashes in tree.add(root)})
    tiles.update({(level, number): hashes for level, number, hashes in tree.partial_tiles()})
    rows = {1: roots}
    for level in (2, 3):
        below = rows[level - 1]
        rows[level] = [fold(below[at : at + 256]) for at in range(0, len(below) // 256 * 256, 256)]
    expected = {
        (level, at // 256): row[at : at + 256] for level, row in rows.items() for at in range(0, len(row), 256) if row
    }
    assert tiles == expected
    assert tree.root() == fold(roots)
    assert tree.root([b"a" * 32, b"b" * 32]) == fold([*roots, fold([b"a" * 32, b"b" * 32])])


def test_the_empty_tile_tree() -> None:
    assert TileTree().root() == EMPTY_ROOT
    assert TileTree().root(LEAVES) == ROOTS[7]
    assert TileTree().partial_tiles() == []
