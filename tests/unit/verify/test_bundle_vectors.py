"""Digests and sums of vectors without arrays say the same as those of the nodes, which have arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.secure_sum import add, vector_digest
from yingbi.verify import bundle_vectors

NUMBERS = st.integers(0, 2**64 - 1)
TABLES = st.integers(1, 9).flatmap(
    lambda size: st.lists(st.lists(NUMBERS, min_size=size, max_size=size), min_size=3, max_size=6)
)


def to_bytes(numbers: list[int]) -> bytes:
    return np.array(numbers, np.uint64).astype("<u8").tobytes()


@given(st.lists(NUMBERS, min_size=1, max_size=9))
def test_digests_are_those_of_the_nodes(numbers: list[int]) -> None:
    assert bundle_vectors.vector_digest(to_bytes(numbers)) == vector_digest(np.array(numbers, np.uint64))


@given(TABLES)
def test_sums_are_those_of_the_nodes(table: list[list[int]]) -> None:
    total = add([np.array(numbers, np.uint64) for numbers in table])
    assert bundle_vectors.add_vectors(map(to_bytes, table)) == total.astype("<u8").tobytes()


def test_nothing_is_carried_from_one_number_into_the_next() -> None:
    full = to_bytes([2**64 - 1] * 5)
    assert bundle_vectors.add_vectors([full] * 64) == to_bytes([2**64 - 64] * 5)


def test_vectors_of_two_lengths_have_no_sum() -> None:
    assert bundle_vectors.add_vectors([bytes(8), bytes(16), bytes(8)]) is None
    assert bundle_vectors.add_vectors([bytes(16), bytes(8), bytes(16)]) is None
    assert bundle_vectors.add_vectors([]) is None


@pytest.mark.parametrize(("data", "is_one"), [(b"", False), (bytes(7), False), (bytes(8), True), (bytes(24), True)])
def test_a_vector_is_whole_numbers_and_not_empty(data: bytes, is_one: bool) -> None:
    assert bundle_vectors.is_vector(data) is is_one
