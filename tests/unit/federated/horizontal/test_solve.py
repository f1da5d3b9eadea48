"""The solver against LAPACK."""

import numpy as np
import pytest

from federated.horizontal.solve import factor, packed_size, unpack


def spd(size: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    random = np.random.default_rng(seed)
    half = random.normal(size=(size + 5, size))
    return half.T @ half


@pytest.mark.parametrize("size", [1, 2, 5, 40, 128])
def test_systems_are_solved_and_inverted_as_lapack_does(size: int) -> None:
    matrix = spd(size, size)
    found = factor(matrix.tolist(), 1e-12, [True] * size)
    right = np.arange(1.0, size + 1.0)
    assert np.allclose(found.solve(right.tolist()), np.linalg.solve(matrix, right), rtol=1e-7)
    assert np.allclose(found.inverse(), np.linalg.inv(matrix), rtol=1e-7, atol=1e-9)


def test_packed_triangles_are_unpacked() -> None:
    matrix = spd(6, 1)
    packed = matrix[np.triu_indices(6)].tolist()
    assert len(packed) == packed_size(6)
    assert np.array_equal(unpack(packed, 6), np.triu(matrix) + np.triu(matrix, 1).T)


def test_columns_that_others_explain_take_no_part() -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=(50, 4))
    x = np.column_stack([x[:, 0], x[:, 1], x[:, 0] - 2 * x[:, 1], x[:, 2], np.zeros(50)])
    matrix = x.T @ x
    found = factor(matrix.tolist(), 1e-9, [True] * 5)
    assert [pivot > 0.0 for pivot in found.pivots] == [True, True, False, True, False]
    kept = [0, 1, 3]
    solution = found.solve([1.0, 2.0, 3.0, 4.0, 5.0])
    assert solution[2] == solution[4] == 0.0
    expected = np.linalg.solve(matrix[np.ix_(kept, kept)], [1.0, 2.0, 4.0])
    assert np.allclose([solution[n] for n in kept], expected)


def test_columns_can_be_left_out() -> None:
    matrix = spd(4, 3)
    found = factor(matrix.tolist(), 1e-12, [True, False, True, True])
    kept = [0, 2, 3]
    inverse = np.array(found.inverse())
    assert np.allclose(inverse[np.ix_(kept, kept)], np.linalg.inv(matrix[np.ix_(kept, kept)]))
    assert not inverse[1].any()
    assert not inverse[:, 1].any()


def test_what_is_not_positive_definite_has_no_positive_pivot_everywhere() -> None:
    found = factor([[1.0, 2.0], [2.0, 1.0]], 0.0, [True, True])
    assert found.pivots == [1.0, 0.0]
