"""Sums modulo 2^64 and digests of vectors."""

import hashlib

import numpy as np
import pytest

from federated.secure_sum import add, vector_digest
from yingbi.errors import ErrorCode, InvalidRequestError


def test_a_sum_wraps_at_64_bits() -> None:
    vectors = [np.array([2**64 - 1, 5], np.uint64), np.array([1, 6], np.uint64), np.array([2**63, 7], np.uint64)]
    kept = [vector.copy() for vector in vectors]
    assert add(vectors).tolist() == [2**63, 18]
    assert all((vector == old).all() for vector, old in zip(vectors, kept, strict=True)), (
        "what was given is not changed"
    )


def test_a_sum_does_not_depend_on_the_order() -> None:
    vectors = [np.random.default_rng(seed).integers(0, 2**64, 50, np.uint64) for seed in range(5)]
    assert (add(vectors) == add(vectors[::-1])).all()


@pytest.mark.parametrize(
    "vectors",
    [
        [np.zeros(3, np.uint64)] * 2,
        [],
        [np.zeros(3, np.uint64)] * 2 + [np.zeros(1, np.uint64)],
        [np.zeros(3, np.int64)] * 3,
        [np.zeros((3, 1), np.uint64)] * 3,
        [np.zeros(0, np.uint64)] * 3,
        [np.zeros(3, ">u8")] * 3,
    ],
    ids=["two", "none", "one that would be broadcast", "signed", "two dimensions", "empty", "other byte order"],
)
def test_what_is_no_sum_is_refused(vectors: list[np.ndarray]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        add(vectors)
    assert caught.value.code is ErrorCode.DATA_INVALID


def test_a_digest_is_over_label_length_and_entries() -> None:
    vector = np.array([1, 2**64 - 2], np.uint64)
    written = b"yingbi/secure-sum/vector/v1\n" + bytes([2, 0, 0, 0, 0, 0, 0, 0])
    written += bytes([1, 0, 0, 0, 0, 0, 0, 0]) + bytes([254, 255, 255, 255, 255, 255, 255, 255])
    assert vector_digest(vector) == "sha256:" + hashlib.sha256(written).hexdigest()


def test_a_digest_does_not_depend_on_how_a_vector_lies_in_memory() -> None:
    wide = np.arange(20, dtype=np.uint64)
    assert vector_digest(wide[::2]) == vector_digest(wide[::2].copy())
    assert vector_digest(wide[::2]) != vector_digest(wide[:10])
    with pytest.raises(InvalidRequestError):
        vector_digest(wide.view(np.int64))
