"""The evaluation: every row once, by split, target, score and loss."""

import numpy as np
import pytest

from federated.horizontal.counting import count_scores
from federated.horizontal.evaluation import (
    AXES,
    LOSS_COUNTS,
    SCORE_COUNTS,
    SPLITS,
    Totals,
    evaluation_layout,
    evaluation_of,
    loss_edges,
    score_edges,
    totals,
)
from federated.horizontal.guard import guard
from federated.horizontal.parameters import RecipeName
from tests.unit.federated.horizontal.examples import make_spec, make_table, split, train

SPEC = make_spec(RecipeName.LOGISTIC_REGRESSION)


def test_every_row_is_counted_where_it_belongs() -> None:
    table = make_table(500)
    margins = np.random.default_rng(3).normal(0.0, 3.0, 500)
    counts = count_scores(table, margins)
    guard(evaluation_layout(SPEC), counts)
    expected = np.zeros((2, 2, 100))
    losses = np.zeros((2, 100))
    for row in range(500):
        chance = 1.0 / (1.0 + np.exp(-margins[row]))
        place = int(table.is_held_out[row]), int(table.target[row])
        expected[(*place, min(99, int(100 * chance)))] += 1
        loss = -np.log(chance if table.target[row] else 1.0 - chance)
        losses[place[0], min(99, int(np.sqrt(loss * 2000.0)))] += 1
    assert np.array_equal(counts[SCORE_COUNTS], expected)
    assert np.array_equal(counts[LOSS_COUNTS], losses)


@pytest.mark.parametrize(("margin", "score", "loss"), [(0.0, 50, 37), (1e9, 99, 0), (-1e9, 0, 99)])
def test_ends_have_bins(margin: float, score: int, loss: int) -> None:
    table = make_table(1, held_out=0.0)
    table = type(table)(columns=table.columns, target=np.ones(1, dtype=np.int64), is_held_out=table.is_held_out)
    counts = count_scores(table, np.array([margin]))
    assert counts[SCORE_COUNTS][0, 1, score] == 1.0
    assert counts[LOSS_COUNTS][0, loss] == 1.0


def test_axes_and_edges_say_what_the_arrays_are() -> None:
    shapes = {part.name: part.shape for part in evaluation_layout(SPEC).parts}
    lengths = {"split": len(SPLITS), "target": 2, "score_bin": len(score_edges()) - 1, "loss_bin": len(loss_edges())}
    assert {name: tuple(lengths[axis] for axis in axes) for name, axes in AXES.items()} == shapes
    assert (score_edges()[0], score_edges()[-1]) == (0.0, 1.0)
    assert loss_edges()[:3] == (0.0, 0.0005, 0.002)


@pytest.mark.parametrize("recipe", [name for name in RecipeName if name is not RecipeName.WOE_BINS])
def test_every_recipe_that_scores_ends_with_an_evaluation_of_all_rows(recipe: RecipeName) -> None:
    table = make_table(900)
    state, _ = train(make_spec(recipe), split(table, 3))
    arrays = evaluation_of(state)
    assert set(arrays) == set(AXES)
    held = table.is_held_out
    assert totals(arrays) == {
        "training": Totals(rows=float((~held).sum()), events=float(table.target[~held].sum())),
        "hold_out": Totals(rows=float(held.sum()), events=float(table.target[held].sum())),
    }
    assert arrays[LOSS_COUNTS].sum(axis=1).tolist() == arrays[SCORE_COUNTS].sum(axis=(1, 2)).tolist()


def test_bins_have_no_evaluation() -> None:
    state, _ = train(make_spec(RecipeName.WOE_BINS), [make_table(900)])
    assert evaluation_of(state) == {}
