"""Boosted trees: bit for bit those of the pooled rows, and those of XGBoost on the same bins."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from federated.horizontal import trees_rounds
from federated.horizontal.design import bins_of
from federated.horizontal.encoding import bin_counts, bin_offsets
from federated.horizontal.gradient_boosted_trees import tree_margins
from federated.horizontal.parameters import RecipeName, TreesParameters
from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import MAX_ROWS
from federated.horizontal.state import Phase
from federated.horizontal.table import Table
from tests.unit.federated.horizontal.examples import (
    AGE,
    FEATURES,
    contribution,
    make_spec,
    make_table,
    private,
    split,
    through_fixed_point,
    train,
)
from tests.unit.federated.horizontal.pooled import Boosting
from tests.unit.federated.horizontal.test_logistic_regression import gaussian
from yingbi.errors import InvalidRequestError, RefusedError

NAME = RecipeName.GRADIENT_BOOSTED_TREES
RECIPE = RECIPES[NAME]


def all_bins(table: Table) -> NDArray[np.int64]:
    return np.column_stack([bins_of(feature, table.columns[feature.name], with_special=False) for feature in FEATURES])


@pytest.mark.parametrize("depth", [1, 3, 6])
@pytest.mark.parametrize(("missing", "min_entities"), [(0.0, 1), (0.15, 1), (0.15, 25)])
def test_trees_are_those_of_the_pooled_rows(depth: int, missing: float, min_entities: int) -> None:
    parameters = TreesParameters(trees=5, depth=depth, learning_rate=0.3, min_child_weight=0.5)
    spec = make_spec(NAME, parameters, min_entities=min_entities)
    table = make_table(600, missing=missing)
    state, _ = train(spec, split(table, 3))
    rows = table.training
    events = int(rows.target.sum())
    oracle = Boosting(FEATURES, 5, depth, 0.3, 1.0, 0.5, 1e-6, min_entities)
    base = float(np.log(events / (rows.rows - events)))
    expected = oracle.fit(all_bins(rows).tolist(), rows.target.tolist(), base)
    found = tree_margins(FEATURES, trees_rounds.model_arrays(state), rows)
    assert len(state.arrays["feature"]) == 5
    assert np.abs(found - np.array(expected)).max() < 1e-13


@pytest.mark.parametrize("parties", [2, 5])
def test_however_rows_are_dealt_out_the_model_is_the_same_bit_for_bit(parties: int) -> None:
    spec = make_spec(NAME)
    table = make_table(3000)
    one, _ = train(spec, [table])
    many, states = train(spec, split(table, parties))
    shuffled = table.part(np.random.default_rng(1).permutation(table.rows))  # type: ignore[arg-type]  # places
    other, _ = train(spec, split(shuffled, parties))
    assert one.digest() == many.digest() == other.digest()
    assert len(states) == 1 + 4 * 3 + 1


@pytest.mark.parametrize("parties", [3, 40])
def test_the_secure_sum_changes_no_bit_of_the_largest_bounds(parties: int) -> None:
    spec = make_spec(NAME, max_rows=MAX_ROWS)
    table = make_table(3000)
    state, _ = through_fixed_point(spec, split(table, parties))
    assert state.digest() == train(spec, [table])[0].digest()


def test_xgboost_on_the_same_bins_gives_the_same_margins_to_6_digits() -> None:
    xgboost = pytest.importorskip("xgboost", reason="an oracle of development only")
    table = make_table(4000, held_out=0.0)
    spec = make_spec(NAME, TreesParameters(trees=20, depth=4, learning_rate=0.3, min_gain=1e-5), min_entities=1)
    state, _ = train(spec, split(table, 3))
    found = tree_margins(FEATURES, trees_rounds.model_arrays(state), table)
    bins = all_bins(table).astype(np.float64)
    bins[:, :2][bins[:, :2] == [5, 5]] = np.nan
    codes = np.column_stack([bins[:, 2] == code for code in range(5)]).astype(np.float64)
    matrix = xgboost.DMatrix(np.column_stack([bins[:, :2], codes]), label=table.target)
    share = float(table.target.mean())
    settings = {
        "objective": "binary:logistic", "tree_method": "hist", "max_depth": 4, "eta": 0.3, "lambda": 1.0,
        "min_child_weight": 1.0, "base_score": share, "nthread": 1, "max_bin": 64,
    }  # fmt: skip
    expected = xgboost.train(settings, matrix, num_boost_round=20).predict(matrix, output_margin=True)
    assert np.abs(found - expected).max() < 1e-5


def test_a_split_leaves_the_fewest_entities_on_both_sides() -> None:
    spec = make_spec(NAME, TreesParameters(trees=8, depth=4, min_child_weight=0.001), min_entities=60)
    table = make_table(1500)
    state, _ = train(spec, split(table, 3))
    arrays = trees_rounds.model_arrays(state)
    rows = table.training
    for number in range(len(arrays["feature"])):
        only = {name: array if name == "base" else array[[number]] for name, array in arrays.items()}
        leaves = tree_margins(FEATURES, only, rows)
        _, counts = np.unique(leaves, return_counts=True)
        assert counts.min() >= 60
    assert (arrays["feature"] >= 0).sum() > 8


@pytest.mark.parametrize(("edge", "is_left"), [(10.0, False), (35.0, True)])
def test_missing_values_nobody_has_go_with_the_greater_part(edge: float, is_left: bool) -> None:
    spec = make_spec(NAME, TreesParameters(trees=1, depth=1), features=(replace(AGE, edges=(edge,), special=()),))
    arrays = trees_rounds.model_arrays(train(spec, [make_table(1500, missing=0.0)])[0])
    assert arrays["feature"][0, 0] == 0
    assert bool(arrays["missing_left"][0, 0]) is is_left


def test_a_missing_value_can_be_what_matters() -> None:
    table = make_table(1500, missing=0.0, held_out=0.0)
    age = np.where(table.target == 1, np.nan, table.columns["age"])
    age[:200] = np.nan
    table = Table(columns={**table.columns, "age": age}, target=table.target, is_held_out=table.is_held_out)
    spec = make_spec(NAME, TreesParameters(trees=1, depth=1))
    state, _ = train(spec, split(table, 3))
    model: Any = RECIPE.model(spec, state)
    assert model["trees"][0]["nodes"][0] == {
        "node": 0, "feature": "age", "below": None, "missing": "right", "left": 1, "right": 2,
    }  # fmt: skip


def test_training_ends_early_where_nothing_can_be_split() -> None:
    spec = make_spec(NAME, TreesParameters(trees=50, min_gain=1e6))
    state, states = train(spec, split(make_table(500), 2))
    assert len(states) == 3
    model: Any = RECIPE.model(spec, state)
    assert model["trees"] == []


def test_a_target_of_too_few_rows_is_refused() -> None:
    with pytest.raises(RefusedError, match="at least 300 rows of each target"):
        train(make_spec(NAME, min_entities=300), split(make_table(700), 2))
    with pytest.raises(InvalidRequestError):
        trees_rounds.parameters_of(make_spec(RecipeName.WOE_BINS))


def test_histograms_are_on_the_grid_and_add_up_in_every_feature() -> None:
    spec = make_spec(NAME)
    table = make_table(1000)
    _, states = train(spec, [table])
    offsets = bin_offsets(bin_counts(FEATURES, with_special=False))
    for state in states[1:-1]:
        sums = contribution(spec, state, table)
        for name in ("gradient", "hessian", "count"):
            assert np.array_equal(sums[name] * 2.0**24, np.rint(sums[name] * 2.0**24))
            totals = [sums[name][:, a:b].sum(axis=1) for a, b in pairwise(offsets)]
            assert np.array_equal(totals[0], totals[1])
            assert np.array_equal(totals[0], totals[2])


def test_private_histograms_carry_no_counts_and_noise_leaves_a_finite_model() -> None:
    spec = make_spec(NAME, TreesParameters(trees=6), privacy=private(NAME))
    table = make_table(4000)
    state, states = train(spec, split(table, 3), gaussian(1.0, 5))
    assert {part.name for part in RECIPE.layout(spec, states[1]).parts} == {"gradient", "hessian"}
    assert np.abs(state.arrays["value"]).max() <= 4.0 * 0.2
    quiet, _ = train(spec, split(table, 3))
    exact, _ = train(make_spec(NAME, TreesParameters(trees=6), min_entities=1), split(table, 3))
    assert np.array_equal(quiet.arrays["value"], exact.arrays["value"])
    wild, _ = train(spec, split(table, 3), gaussian(1e6, 5))
    assert np.isfinite(wild.arrays["value"]).all()
    assert wild.phase is Phase.DONE
