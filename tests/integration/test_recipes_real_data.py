"""Recipes on real credit data: default-credit in FATE's horizontal split, three parties of 8,000 rows, 6,000 to test.

Parties' sums go through the fixed point of the secure sum with the bounds of a governed run.
"""

import csv
import gzip
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from federated.horizontal import trees_rounds
from federated.horizontal.design import bins_of
from federated.horizontal.evaluation import totals
from federated.horizontal.parameters import (
    LogisticParameters,
    Missing,
    NetworkParameters,
    Parameters,
    RecipeName,
    TreesParameters,
    WoeParameters,
)
from federated.horizontal.prepare import prepare
from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import MAX_ROWS, Feature, Kind, TrainingSpec
from federated.horizontal.state import State
from federated.horizontal.table import Table
from tests.lib.shared_data import shared_data
from tests.unit.federated.horizontal.examples import through_fixed_point, train
from tests.unit.federated.horizontal.pooled import design, fit_logistic
from yingbi.models.scoring import log_odds, score, woe_columns

Columns = dict[str, NDArray[Any]]

TARGET = "default.payment.next.month"
PARTIES = ("guest", "host_1", "host_2")
CODED = {"SEX": "12", "EDUCATION": "2013456", "MARRIAGE": "2013"}
LIMITS = (20, 30, 50, 80, 100, 120, 150, 180, 200, 230, 260, 300, 360, 420, 500)
BILLS = (-1, 1, 1000, 2500, 5000, 10_000, 20_000, 30_000, 50_000, 75_000, 100_000, 150_000, 200_000, 300_000, 400_000)
PAYMENTS = (1, 500, 1000, 1500, 2000, 3000, 4000, 5000, 7500, 10_000, 15_000, 20_000, 50_000, 100_000)


def numeric(name: str, bounds: tuple[float, float], edges: Sequence[float]) -> Feature:
    return Feature(name=name, kind=Kind.NUMERIC, bounds=bounds, edges=tuple(float(edge) for edge in edges))


def features_of(names: Sequence[str]) -> tuple[Feature, ...]:
    """Return public facts of the columns: round numbers, not quantiles of the data."""
    found = []
    for name in names:
        if name in CODED:
            found.append(Feature(name=name, kind=Kind.CODED, codes=tuple(CODED[name])))
        elif name.startswith("PAY_AMT"):
            found.append(numeric(name, (0.0, 100_000.0), PAYMENTS))
        elif name.startswith("BILL_AMT"):
            found.append(numeric(name, (-50_000.0, 600_000.0), BILLS))
        elif name.startswith("PAY_"):
            found.append(numeric(name, (-2.0, 8.0), range(-1, 9)))
        elif name == "AGE":
            found.append(numeric(name, (20.0, 80.0), range(24, 66, 3)))
        else:
            found.append(numeric(name, (0.0, 500_000.0), [1000 * limit for limit in LIMITS]))
    return tuple(found)


@cache
def default_credit() -> tuple[Columns, NDArray[np.str_]]:
    """Return all columns as numbers, and the part of each row."""
    folder = shared_data("default-credit")
    with gzip.open(folder / "UCI_Credit_Card.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    with gzip.open(folder / "fate_homo_split_ids.csv.gz", "rt") as file:
        part = {row["id"]: row["part"] for row in csv.DictReader(file)}
    columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    return columns, np.array([part[row["ID"]] for row in rows])


def features() -> tuple[Feature, ...]:
    return features_of([name for name in default_credit()[0] if name not in ("ID", TARGET)])


def spec_of(recipe: RecipeName, parameters: Parameters, **changes: Any) -> TrainingSpec:
    members: dict[str, Any] = {"min_entities": 10, "max_rows": MAX_ROWS, "hold_out": 0.0, "features": features()}
    return TrainingSpec(recipe=recipe, parameters=parameters, target=TARGET, positive="1", **{**members, **changes})


def table_of(spec: TrainingSpec, *parts: str) -> Table:
    columns, part = default_credit()
    own = np.isin(part, parts)
    keys = [str(int(number)).encode() for number in columns["ID"][own]]
    return prepare(spec, {name: column[own] for name, column in columns.items()}, keys=keys, secret=bytes(32))


def trained(spec: TrainingSpec) -> tuple[State, State]:
    """Return the last state of three parties, and that of the pooled rows without any fixed point."""
    state, _ = through_fixed_point(spec, [table_of(spec, party) for party in PARTIES])
    return state, train(spec, [table_of(spec, *PARTIES)])[0]


def test_rows() -> tuple[Columns, NDArray[np.float64]]:
    columns, part = default_credit()
    own = part == "test"
    return {name: column[own] for name, column in columns.items()}, columns[TARGET][own]


test_rows.__test__ = False  # type: ignore[attr-defined]  # rows, no test


def auc(scores: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Return the share of pairs in order, by counting in sorted scores."""
    good, bad = np.sort(scores[target == 0]), scores[target == 1]
    below, to = np.searchsorted(good, bad, side="left"), np.searchsorted(good, bad, side="right")
    return float((below + to).sum()) / (2.0 * len(good) * len(bad))


def test_auc_of(spec: TrainingSpec, state: State) -> float:
    columns, target = test_rows()
    return auc(score(RECIPES[spec.recipe].model(spec, state), columns), target)


test_auc_of.__test__ = False  # type: ignore[attr-defined]  # a figure, no test


def plain_design(spec: TrainingSpec, table: Table) -> NDArray[np.float64]:
    rows = [
        {
            feature.name: feature.codes[int(table.columns[feature.name][n])]
            if feature.codes
            else float(table.columns[feature.name][n])
            for feature in spec.features
        }
        for n in range(table.rows)
    ]
    return design(rows, spec.features, indicator=False)


def test_logistic_regression_is_the_pooled_maximum() -> None:
    spec = spec_of(RecipeName.LOGISTIC_REGRESSION, LogisticParameters(missing=Missing.NEUTRAL))
    state, pooled_state = trained(spec)
    table = table_of(spec, *PARTIES)
    kept = state.arrays["uses"] == 0
    assert kept.sum() >= 29
    x = plain_design(spec, table)[:, kept]
    beta, covariance = fit_logistic(x, table.target)
    assert np.abs(state.arrays["coefficients"][kept] - beta).max() < 1e-6
    assert np.abs(pooled_state.arrays["coefficients"][kept] - beta).max() < 1e-6
    model: Any = RECIPES[spec.recipe].model(spec, state)
    found = [each for each in (model["intercept"], *model["columns"]) if each.get("use") in (None, "estimated")]
    errors = [float(each["scaled"]["standard_error"]) for each in found]
    assert errors == pytest.approx(np.sqrt(np.diag(covariance)).tolist(), rel=1e-5)
    assert totals(state.arrays)["training"].rows == 24_000
    assert totals(state.arrays)["training"].events == 5327
    assert test_auc_of(spec, state) == pytest.approx(test_auc_of(spec, pooled_state), abs=1e-6)
    assert 0.72 < test_auc_of(spec, state) < 0.75


def test_logistic_regression_is_scikit_learns() -> None:
    for l2 in (0.0, 10.0):
        spec = spec_of(RecipeName.LOGISTIC_REGRESSION, LogisticParameters(missing=Missing.NEUTRAL, l2=l2))
        state, _ = trained(spec)
        table = table_of(spec, *PARTIES)
        kept = state.arrays["uses"] == 0
        x = plain_design(spec, table)[:, kept][:, 1:]
        oracle = LogisticRegression(
            C=1.0 / l2 if l2 else np.inf, solver="newton-cholesky", tol=1e-12, max_iter=200
        ).fit(x, table.target)
        found = state.arrays["coefficients"][kept]
        assert np.abs(found[1:] - oracle.coef_[0]).max() < 1e-6
        assert abs(found[0] - oracle.intercept_[0]) < 1e-6


def test_trees_are_the_pooled_ones_bit_for_bit_and_as_good_as_published() -> None:
    spec = spec_of(RecipeName.GRADIENT_BOOSTED_TREES, TreesParameters())
    state, pooled_state = trained(spec)
    assert state.digest() == pooled_state.digest()
    assert 0.777 < test_auc_of(spec, state) < 0.787


def test_trees_are_xgboosts_on_the_same_bins() -> None:
    spec = spec_of(RecipeName.GRADIENT_BOOSTED_TREES, TreesParameters(trees=20), min_entities=1)
    state, _ = trained(spec)
    table, (columns, _) = table_of(spec, *PARTIES), test_rows()
    asked = prepare(spec, columns, keys=[str(n).encode() for n in range(6000)], secret=bytes(32))
    matrices = [xgboost.DMatrix(_plain_bins(spec, each), label=each.target) for each in (table, asked)]
    settings = {
        "objective": "binary:logistic", "tree_method": "hist", "max_depth": 3, "eta": 0.2, "lambda": 1.0,
        "min_child_weight": 1.0, "base_score": float(table.target.mean()), "nthread": 1, "max_bin": 64,
    }  # fmt: skip
    expected = xgboost.train(settings, matrices[0], num_boost_round=20).predict(matrices[1], output_margin=True)
    found = log_odds(RECIPES[spec.recipe].model(spec, state), columns)
    assert np.abs(found - expected).max() < 1e-5
    assert len(trees_rounds.model_arrays(state)["feature"]) == 20


def _plain_bins(spec: TrainingSpec, table: Table) -> NDArray[np.float64]:
    made: list[NDArray[Any]] = []
    for feature in spec.features:
        bins = bins_of(feature, table.columns[feature.name], with_special=False)
        made += [bins == code for code in range(len(feature.codes))] or [bins]
    return np.column_stack(made).astype(np.float64)


def test_a_small_network_learns_what_the_pooled_rows_teach() -> None:
    parameters = NetworkParameters(missing=Missing.NEUTRAL, steps=60, learning_rate=0.05)
    spec = spec_of(RecipeName.SMALL_NETWORK, parameters)
    state, pooled_state = trained(spec)
    assert test_auc_of(spec, state) == pytest.approx(test_auc_of(spec, pooled_state), abs=0.002)
    assert test_auc_of(spec, state) > 0.72


def test_bins_of_the_parties_are_those_of_the_pooled_rows() -> None:
    spec = spec_of(RecipeName.WOE_BINS, WoeParameters())
    state, pooled_state = trained(spec)
    model: Any = RECIPES[spec.recipe].model(spec, state)
    assert model == RECIPES[spec.recipe].model(spec, pooled_state)
    by_name = {variable["feature"]: variable for variable in model["variables"]}
    assert by_name["PAY_0"]["band"] == "suspicious"
    assert by_name["BILL_AMT6"]["band"] == "unpredictive"
    table = table_of(spec, *PARTIES)
    columns, part = default_credit()
    woe = woe_columns(model, {name: column[part != "test"] for name, column in columns.items()})
    for name, values in woe.items():
        information = 0.0
        for value in np.unique(values):
            own = values == value
            good = float((table.target[own] == 0).sum()) / float((table.target == 0).sum())
            bad = float(table.target[own].sum()) / float(table.target.sum())
            assert value == pytest.approx(math.log(good / bad), abs=1e-12)
            information += (good - bad) * math.log(good / bad)
        assert float(by_name[name]["iv"]) == pytest.approx(information, rel=1e-9)


def test_texts_as_codes_make_a_scorecard_of_german_credit() -> None:
    with gzip.open(shared_data("german-credit") / "germancredit_labelled.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    target = next(name for name in columns if set(columns[name]) == {"good", "bad"})
    names = [name for name in columns if name != target and not columns[name][0].replace(".", "").isdigit()]
    chosen = [Feature(name=_safe(name), kind=Kind.CODED, codes=tuple(sorted(set(columns[name])))) for name in names]
    numbers = numeric("duration", (0.0, 72.0), (6.5, 12.5, 24.5, 36.5))
    spec = spec_of(RecipeName.WOE_BINS, WoeParameters(min_events=5), features=(*chosen, numbers))
    spec = TrainingSpec.from_json({**spec.to_json(), "positive": "bad", "target": "creditability"})
    given: dict[str, Any] = {_safe(name): columns[name] for name in names} | {"creditability": columns[target]}
    months = next(name for name in columns if name.startswith("duration"))
    given["duration"] = [float(value) for value in columns[months]]
    table = prepare(spec, given, keys=[str(n).encode() for n in range(len(rows))], secret=bytes(32))
    assert int(table.target.sum()) == 300
    places = np.arange(table.rows) % 3
    state, _ = through_fixed_point(spec, [table.part(places == party) for party in range(3)])
    model: Any = RECIPES[spec.recipe].model(spec, state)
    for variable in model["variables"]:
        assert sum(item["rows"] for item in variable["bins"]) == 1000
        assert all(item["rows"] >= 10 for item in variable["bins"])
    strongest = max(model["variables"], key=lambda variable: float(variable["iv"]))
    assert strongest["feature"].startswith("status")
    assert 0.6 < float(strongest["iv"]) < 0.7


def _safe(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name)
