"""Columns and bins of rows, and that a row gives the same alone and among others."""

import numpy as np
import pytest

from federated.horizontal.design import (
    MAX_MARGIN,
    bins_of,
    combine,
    design_matrix,
    losses,
    probabilities,
    squared_lengths,
)
from federated.horizontal.encoding import bin_counts, bin_offsets, terms_of
from federated.horizontal.parameters import Missing
from federated.horizontal.table import Table
from tests.unit.federated.horizontal.examples import AGE, DEBT, FEATURES, TRADE

TABLE = Table(
    columns={
        "age": np.array([0.0, 25.0, 50.0, 60.0, np.nan, -1.0]),
        "debt": np.array([-10.0, -11.0, 5.0, np.nan, 0.0, 2.5]),
        "trade": np.array([0, 1, 2, 3, -1, 0]),
    },
    target=np.zeros(6, dtype=np.int64),
    is_held_out=np.zeros(6, dtype=np.bool_),
)


def test_columns_are_what_the_specification_says() -> None:
    indicator = [
        [1, 1, 1, 1, 1, 1],
        [-1, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 1],
        [-1, -1, 0.5, 0, 0, 0.25],
        [0, 0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
    ]
    assert design_matrix(FEATURES, terms_of(FEATURES, Missing.INDICATOR), TABLE).tolist() == indicator
    neutral = [indicator[row] for row in (0, 1, 3, 5, 6, 7)]
    assert design_matrix(FEATURES, terms_of(FEATURES, Missing.NEUTRAL), TABLE).tolist() == neutral


def test_bins_begin_at_their_edges() -> None:
    edges = np.array([-100.0, 4.999, 5.0, 9.0, 10.0, 20.0, 34.9, 35.0, 1e9, np.nan, -1.0])
    assert bins_of(AGE, edges, with_special=True).tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 6]
    assert bins_of(AGE, edges, with_special=False).tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 5]
    assert bins_of(TRADE, np.array([0, 3, -1]), with_special=True).tolist() == [0, 3, 4]
    assert bin_counts(FEATURES, with_special=True) == (7, 6, 5)
    assert bin_counts(FEATURES, with_special=False) == (6, 6, 5)
    assert bin_offsets((7, 6, 5)) == (0, 7, 13, 18)
    assert DEBT.special == ()


@pytest.mark.parametrize("results", [(), (5,)])
def test_a_record_gives_the_same_alone_and_among_others(results: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    weights, matrix = random.normal(size=(*results, 37)), random.normal(size=(37, 501))
    among, lengths = combine(weights, matrix), squared_lengths(matrix)
    assert np.allclose(among, weights @ matrix)
    for record in range(501):
        alone = np.ascontiguousarray(matrix[:, [record]])
        assert np.array_equal(combine(weights, alone)[..., 0], among[..., record])
        assert squared_lengths(alone)[0] == lengths[record]


def test_margins_beyond_all_measure_have_finite_losses() -> None:
    margins = np.array([-1e308, -50.0, 0.0, 50.0, 1e308])
    assert probabilities(margins)[2] == 0.5
    assert ((probabilities(margins) > 0.0) & (probabilities(margins) <= 1.0)).all()
    for target in (0, 1):
        found = losses(margins, np.full(5, target))
        assert found.max() == pytest.approx(MAX_MARGIN)
        assert found.max() < 37.0
        assert found[2] == pytest.approx(np.log(2.0))
