"""RFC 6962 §2.1 hashes: published vectors, and an independent recursive oracle."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tree import EMPTY_ROOT, Frontier, hash_leaf, hash_node, largest_power_below, root_of
from tests.lib.naive_tree import NaiveTree
from tests.lib.trees import make_hashes
from tests.lib.vectors import load_vectors

REFERENCE = load_vectors("rfc6962/reference_tree.json")
LEAVES = [bytes.fromhex(leaf) for leaf in REFERENCE["leaves"]]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert EMPTY_ROOT.hex() == REFERENCE["empty_root"]
    assert root_of([]) == EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 9))
def test_reference_tree_has_its_published_roots(size: int) -> None:
    assert root_of([hash_leaf(leaf) for leaf in LEAVES[:size]]).hex() == REFERENCE["roots"][size - 1]


def test_leaf_and_node_hashes_are_told_apart_by_their_first_byte() -> None:
    left, right = hash_leaf(b"left"), hash_leaf(b"right")
    assert hash_leaf(b"x") == hashlib.sha256(b"\x00x").digest()
    assert hash_node(left, right) == hashlib.sha256(b"\x01" + left + right).digest()
    assert hash_leaf(left + right) != hash_node(left, right)


def test_every_small_tree_has_the_root_of_the_oracle() -> None:
    hashes = make_hashes(70)
    oracle = NaiveTree(hashes)
    for size in range(71):
        assert root_of(hashes[:size]) == oracle.root(size), size


def test_random_large_trees_have_the_root_of_the_oracle() -> None:
    hashes = make_hashes(70_000)
    oracle = NaiveTree(hashes)
    sizes = {255, 256, 257, 65_535, 65_536, 65_537, 70_000, *random.Random(6962).sample(range(70_000), 12)}
    frontier = Frontier()
    for item in hashes:
        frontier.append(item)
        if frontier.size in sizes:
            assert frontier.root() == oracle.root(frontier.size), frontier.size


@given(split=st.integers(0, 300), more=st.integers(0, 300))
def test_a_frontier_resumes_from_the_roots_of_its_complete_subtrees(split: int, more: int) -> None:
    hashes = make_hashes(split + more)
    oracle = NaiveTree(hashes)
    nodes, start = [], 0
    for height in reversed(range(split.bit_length())):
        if split >> height & 1:
            nodes.append(oracle.mth(start, start + (1 << height)))
            start += 1 << height
    frontier = Frontier(split, nodes)
    for item in hashes[split:]:
        frontier.append(item)
    assert frontier.size == split + more
    assert frontier.root() == oracle.root(split + more)


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 0), (1, 2), (6, 1), (6, 3), (8, 0)])
def test_a_frontier_refuses_another_number_of_nodes(size: int, count: int) -> None:
    with pytest.raises(ValueError, match="one node for every bit"):
        Frontier(size, make_hashes(count))


def test_a_frontier_does_not_change_the_nodes_it_was_given() -> None:
    nodes = make_hashes(1)
    Frontier(1, nodes).append(b"\x00" * 32)
    assert nodes == make_hashes(1)


@given(st.integers(2, 2**53))
def test_largest_power_below_is_the_k_of_rfc_6962(size: int) -> None:
    k = largest_power_below(size)
    assert k.bit_count() == 1
    assert k < size <= 2 * k
