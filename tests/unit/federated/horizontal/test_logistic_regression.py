"""Logistic regression: the maximum of the pooled likelihood, its errors, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from federated.horizontal import logistic_rounds
from federated.horizontal.layout import Layout
from federated.horizontal.logistic_rounds import Outcome, Use
from federated.horizontal.parameters import LogisticParameters, Missing, RecipeName
from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import MAX_ROWS, Feature, TrainingSpec
from federated.horizontal.state import Phase, State
from federated.horizontal.table import Table
from tests.unit.federated.horizontal.examples import (
    AGE,
    DEBT,
    FEATURES,
    Sums,
    add,
    contribution,
    make_spec,
    make_table,
    private,
    split,
    through_fixed_point,
    train,
)
from tests.unit.federated.horizontal.pooled import design, fit_logistic
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError

NAME = RecipeName.LOGISTIC_REGRESSION
RECIPE = RECIPES[NAME]


def plain_rows(table: Table, features: tuple[Feature, ...] = FEATURES) -> list[dict[str, Any]]:
    """Return rows of plain values, None where missing."""
    rows = []
    for n in range(table.rows):
        row: dict[str, Any] = {}
        for feature in features:
            value = table.columns[feature.name][n]
            if feature.codes:
                row[feature.name] = feature.codes[value] if value >= 0 else None
            else:
                row[feature.name] = None if np.isnan(value) else float(value)
        rows.append(row)
    return rows


def pooled_fit(spec: TrainingSpec, table: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    parameters = logistic_rounds.parameters_of(spec)
    rows = table.training
    x = design(plain_rows(rows, spec.features), spec.features, indicator=parameters.missing is Missing.INDICATOR)
    beta, covariance = fit_logistic(x, rows.target, parameters.l2)
    return beta, covariance


@pytest.mark.parametrize("missing", list(Missing))
@pytest.mark.parametrize("l2", [0.0, 3.0])
@pytest.mark.parametrize("parties", [1, 3, 7])
def test_the_pooled_maximum_is_found(missing: Missing, l2: float, parties: int) -> None:
    spec = make_spec(NAME, LogisticParameters(l2=l2, missing=missing))
    table = make_table(3000)
    state, states = train(spec, split(table, parties))
    beta, covariance = pooled_fit(spec, table)
    assert np.abs(state.arrays["coefficients"] - beta).max() < 1e-9
    model: Any = RECIPE.model(spec, state)
    assert model["fit"]["outcome"] == "converged"
    assert len(states) <= 9
    found = [model["intercept"], *model["columns"]]
    errors = [float(column["scaled"]["standard_error"]) for column in found]
    assert errors == pytest.approx(np.sqrt(np.diag(covariance)).tolist(), rel=1e-5)


@pytest.mark.parametrize("parties", [3, 40])
def test_fixed_point_of_the_largest_bounds_costs_no_digit_that_matters(parties: int) -> None:
    spec = make_spec(NAME, max_rows=MAX_ROWS)
    table = make_table(3000)
    state, exchanges = through_fixed_point(spec, split(table, parties))
    beta, _ = pooled_fit(spec, table)
    assert np.abs(state.arrays["coefficients"] - beta).max() < 1e-6
    assert state.arrays["progress"][0] == Outcome.CONVERGED
    assert exchanges <= 10


def test_original_units_are_those_of_the_columns() -> None:
    """The same fit on unscaled values has these coefficients and errors."""
    spec = make_spec(NAME, LogisticParameters(missing=Missing.NEUTRAL), features=(AGE, DEBT))
    table = make_table(2000, missing=0.0, held_out=0.0)
    inside = (table.columns["age"] >= 0) & (table.columns["age"] <= 50) & (abs(table.columns["debt"]) <= 10)
    table = table.part(inside)
    model: Any = RECIPE.model(spec, train(spec, [table])[0])
    x = np.column_stack([np.ones(table.rows), table.columns["age"], table.columns["debt"]])
    beta, covariance = fit_logistic(x, table.target)
    found = [model["intercept"]["original"], *(column["original"] for column in model["columns"])]
    assert [float(each["value"]) for each in found] == pytest.approx(beta.tolist(), abs=1e-8)
    errors = np.sqrt(np.diag(covariance))
    assert [float(each["standard_error"]) for each in found] == pytest.approx(errors.tolist(), rel=1e-6)
    assert [float(each["z"]) for each in found] == pytest.approx((beta / errors).tolist(), rel=1e-6)
    assert all(0.0 <= float(each["p_value"]) <= 1.0 for each in found)


def test_likelihoods_rows_and_degrees_of_freedom() -> None:
    spec = make_spec(NAME)
    table = make_table(3000)
    model: Any = RECIPE.model(spec, train(spec, split(table, 3))[0])
    rows = table.training
    beta, _ = pooled_fit(spec, table)
    margin = design(plain_rows(rows), FEATURES, indicator=True) @ beta
    log_likelihood = float((rows.target * margin - np.log1p(np.exp(margin))).sum())
    share = float(rows.target.mean())
    null = rows.rows * (share * np.log(share) + (1 - share) * np.log(1 - share))
    fit = model["fit"]
    assert float(fit["log_likelihood"]) == pytest.approx(log_likelihood, rel=1e-9)
    assert float(fit["null_log_likelihood"]) == pytest.approx(null, rel=1e-12)
    assert (fit["rows"], fit["events"]) == (rows.rows, int(rows.target.sum()))
    assert fit["degrees_of_freedom"] == rows.rows - 9


def test_held_out_rows_change_nothing() -> None:
    spec = make_spec(NAME)
    table = make_table(1500)
    other = Table(
        columns=table.columns,
        target=np.where(table.is_held_out, 1 - table.target, table.target),
        is_held_out=table.is_held_out,
    )
    one, another = (train(spec, [each])[0].arrays["coefficients"] for each in (table, other))
    assert np.array_equal(one, another)


def test_codes_of_too_few_rows_go_to_the_reference() -> None:
    table = make_table(2000, missing=0.0, held_out=0.0)
    trade = table.columns["trade"].copy()
    trade[trade == 3] = 0
    trade[:4] = 3
    table = Table(columns={**table.columns, "trade": trade}, target=table.target, is_held_out=table.is_held_out)
    spec = make_spec(NAME, LogisticParameters(missing=Missing.NEUTRAL))
    state, _ = train(spec, split(table, 3))
    assert state.arrays["uses"].tolist() == [0, 0, 0, 0, 0, Use.MERGED]
    merged = Table(
        columns={**table.columns, "trade": np.where(trade == 3, 0, trade)},
        target=table.target,
        is_held_out=table.is_held_out,
    )
    again, _ = train(spec, [merged])
    assert np.abs(again.arrays["coefficients"] - state.arrays["coefficients"]).max() < 1e-9
    five = np.where(np.arange(2000) == 4, 3, trade)
    enough = Table(columns={**table.columns, "trade": five}, target=table.target, is_held_out=table.is_held_out)
    assert train(spec, [enough])[0].arrays["uses"].tolist() == [0] * 6


def test_a_reference_of_too_few_rows_takes_the_smallest_code() -> None:
    table = make_table(2000, missing=0.0, held_out=0.0)
    trade = np.where(table.columns["trade"] == 0, 1, table.columns["trade"])
    trade[:2] = 0
    table = Table(columns={**table.columns, "trade": trade}, target=table.target, is_held_out=table.is_held_out)
    state, _ = train(make_spec(NAME, LogisticParameters(missing=Missing.NEUTRAL)), [table])
    assert state.arrays["uses"].tolist() == [0, 0, 0, 0, 0, Use.MERGED]


def test_columns_that_others_explain_are_marked_and_the_rest_is_fitted() -> None:
    twin = replace(DEBT, name="twin")
    spec = make_spec(NAME, LogisticParameters(missing=Missing.NEUTRAL), features=(DEBT, twin, AGE))
    table = make_table(1000, held_out=0.0)
    table = Table(
        columns={**table.columns, "twin": table.columns["debt"]}, target=table.target, is_held_out=table.is_held_out
    )
    state, _ = train(spec, split(table, 2))
    assert state.arrays["uses"].tolist() == [0, 0, Use.ALIASED, 0]
    without = make_spec(NAME, LogisticParameters(missing=Missing.NEUTRAL), features=(DEBT, AGE))
    beta, _ = pooled_fit(without, table)
    assert np.abs(state.arrays["coefficients"][[0, 1, 3]] - beta).max() < 1e-9
    model: Any = RECIPE.model(spec, state)
    assert [column["use"] for column in model["columns"]] == ["estimated", "aliased", "estimated"]
    assert model["columns"][1]["scaled"] == {"value": "0.0", "standard_error": None, "z": None, "p_value": None}


@pytest.mark.parametrize(
    ("changes", "parameters", "expected"),
    [
        ({"min_entities": 400}, LogisticParameters(), "at least 400 rows of each target"),
        ({}, LogisticParameters(min_events_per_variable=60), "at least 60 events and as many others for each of 8"),
    ],
)
def test_too_few_events_are_refused(changes: Any, parameters: LogisticParameters, expected: str) -> None:
    spec = make_spec(NAME, parameters, **changes)
    with pytest.raises(RefusedError, match=expected) as caught:
        train(spec, split(make_table(1000), 3))
    assert caught.value.code is ErrorCode.JOB_REFUSED


def test_separation_ends_without_a_claim() -> None:
    table = make_table(400, missing=0.0, held_out=0.0)
    table = Table(
        columns=table.columns,
        target=(table.columns["debt"] > 0).astype(np.int64),
        is_held_out=table.is_held_out,
    )
    spec = make_spec(NAME, LogisticParameters(max_steps=50, min_events_per_variable=0))
    state, _ = train(spec, [table])
    assert state.arrays["progress"][0] == Outcome.STOPPED
    model: Any = RECIPE.model(spec, state)
    assert model["fit"]["outcome"] == "stopped"
    assert np.isfinite(state.arrays["coefficients"]).all()


def run_with(spec: TrainingSpec, tables: list[Table], change: Any) -> State:
    state = RECIPE.start(spec)
    while state.phase is Phase.TRAIN:
        state = RECIPE.advance(spec, state, change(state, add([contribution(spec, state, t) for t in tables])), 1)
    return state


def test_a_step_that_makes_it_worse_is_halved_until_it_does_not() -> None:
    spec = make_spec(NAME)
    tables = split(make_table(2000), 2)
    expected, _ = train(spec, tables)

    def too_far(state: State, sums: Sums) -> Sums:
        # A Hessian that is far too flat asks for a step that is far too long.
        return {**sums, "hessian": sums["hessian"] / 16.0} if state.step == 0 else sums

    state = run_with(spec, tables, too_far)
    assert state.arrays["progress"][0] == Outcome.CONVERGED
    assert np.abs(state.arrays["coefficients"] - expected.arrays["coefficients"]).max() < 1e-8


def test_halving_that_never_helps_ends_where_it_was() -> None:
    spec = make_spec(NAME)
    tables = split(make_table(2000), 2)

    def worse(state: State, sums: Sums) -> Sums:
        return {**sums, "loss": sums["loss"] * (1.0 + state.step)}

    state = run_with(spec, tables, worse)
    assert state.arrays["progress"][0] == Outcome.STOPPED
    assert not state.arrays["coefficients"].any()
    assert state.step <= 15


def test_parameters_of_another_recipe_are_refused() -> None:
    with pytest.raises(InvalidRequestError):
        logistic_rounds.parameters_of(make_spec(RecipeName.WOE_BINS))


def test_only_the_last_exchange_evaluates() -> None:
    _, states = train(make_spec(NAME), split(make_table(1000), 2))
    assert [state.phase for state in states] == [Phase.TRAIN] * (len(states) - 1) + [Phase.EVALUATE]
    assert [state.step for state in states] == list(range(len(states)))


# --- private mode -----------------------------------------------------------------------------------------------------


def gaussian(sigma: float, seed: int) -> Any:
    random = np.random.default_rng(seed)

    def noise(layout: Layout, sums: Sums) -> Sums:
        return {
            name: array + random.normal(0.0, sigma * layout.sensitivity, array.shape) for name, array in sums.items()
        }

    return noise


def test_without_noise_and_with_a_wide_clip_private_training_nears_the_pooled_maximum() -> None:
    spec = make_spec(NAME, LogisticParameters(max_steps=50), privacy=private(NAME, clip=2.0))
    table = make_table(3000)
    state, states = train(spec, split(table, 3))
    beta, _ = pooled_fit(spec, table)
    assert len(states) == 51
    assert np.abs(state.arrays["coefficients"] - beta).max() < 1e-3
    model: Any = RECIPE.model(spec, state)
    assert model["fit"] == {"outcome": "fixed", "l2": "0.0"}
    assert model["columns"][0]["scaled"]["standard_error"] is None


def test_a_narrow_clip_is_a_weight_and_so_changes_little() -> None:
    spec = make_spec(NAME, LogisticParameters(max_steps=50), privacy=private(NAME, clip=0.7))
    table = make_table(20_000)
    state, _ = train(spec, [table])
    beta, covariance = pooled_fit(spec, table)
    assert (np.abs(state.arrays["coefficients"] - beta) < 4.0 * np.sqrt(np.diag(covariance))).all()


def test_noise_of_a_usable_epsilon_leaves_a_usable_model() -> None:
    """Noise of 5 sensitivities in each of 11 exchanges at three nodes: about epsilon 4 at delta 1e-6."""
    spec = make_spec(NAME, LogisticParameters(max_steps=10, l2=1.0), privacy=private(NAME, clip=1.0))
    table = make_table(20_000)
    state, _ = train(spec, split(table, 3), gaussian(5.0, 7))
    beta, _ = pooled_fit(spec, table)
    x = design(plain_rows(table.training), FEATURES, indicator=True)
    chance, expected = (1.0 / (1.0 + np.exp(-x @ b)) for b in (state.arrays["coefficients"], beta))
    assert float(np.abs(chance - expected).mean()) < 0.05


@pytest.mark.parametrize("sigma", [1e3, 1e6])
def test_noise_beyond_all_measure_gives_a_finite_model(sigma: float) -> None:
    spec = make_spec(NAME, LogisticParameters(max_steps=5), privacy=private(NAME))
    state, _ = train(spec, split(make_table(300), 3), gaussian(sigma, 3))
    assert np.abs(state.arrays["coefficients"]).max() <= 20.0


def test_private_contributions_tell_no_exact_count() -> None:
    spec = make_spec(NAME, privacy=private(NAME))
    state = RECIPE.start(spec)
    assert {part.name for part in RECIPE.layout(spec, state).parts} == {"gradient", "hessian"}
