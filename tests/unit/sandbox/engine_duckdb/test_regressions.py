"""Regressions against an independent computation in floating point on the whole design matrix."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

from sandbox.candidate import RegressionCandidate
from sandbox.engine_duckdb import regressions
from tests.unit.sandbox.engine_duckdb.world import FILINGS, FIRMS, Row, column, home
from yingbi.plan.model import Column, Comparison, Condition, Family, Join, JoinKind, RegressionQuestion, Source

Floats = NDArray[np.float64]
SCALE = {"turnover": 100, "profit": 100, "year": 1, "staff": 1}
JOINED = Source(dataset=FILINGS, version=1, joins=(Join(dataset=FIRMS, kind=JoinKind.LEFT, version=1),))


def asked(family: Family, target: str, *features: Column, **rest: Any) -> RegressionQuestion:
    rest.setdefault("source", Source(dataset=FILINGS, version=1))
    return RegressionQuestion(family=family, target=column(target), features=features, **rest)


def design(rows: list[Row], target: str, names: list[str]) -> tuple[Floats, Floats, list[int], list[str]]:
    """Complete rows as a matrix with an intercept, built one row at a time."""
    complete = [row for row in rows if all(row.get(name) is not None for name in [target, *names])]
    terms, columns = ["intercept"], [[1.0] * len(complete)]
    for name in names:
        if name in SCALE:
            terms.append(name)
            columns.append([row[name] / SCALE[name] for row in complete])
            continue
        for level in sorted({str(row[name]).lower() if isinstance(row[name], bool) else row[name] for row in complete})[
            1:
        ]:
            terms.append(f"{name}={level}")
            columns.append(
                [float((str(r[name]).lower() if isinstance(r[name], bool) else r[name]) == level) for r in complete]
            )
    y = np.array([float(row[target]) / SCALE.get(target, 1) for row in complete])
    return np.array(columns).T, y, [row["_unit"] for row in complete], terms


def unit_leverage(values: Floats, units: list[int]) -> float:
    sums: dict[int, float] = {}
    for unit, value in zip(units, values.tolist(), strict=True):
        sums[unit] = sums.get(unit, 0.0) + value
    return max(sums.values())


def merged(rows: list[Row], firms: list[Row]) -> list[Row]:
    by_unit = {row["_unit"]: row for row in firms}
    return [{**by_unit.get(row["_unit"], {}), **row} for row in rows]


@pytest.mark.parametrize(
    "names", [["turnover"], ["turnover", "year", "sector"], ["sector", "active"], ["staff", "size", "street"]]
)
def test_a_linear_regression_equals_least_squares_on_the_whole_matrix(tmp_path: Path, names: list[str]) -> None:
    made, rows, firms = home(tmp_path, units=150)
    features = [column(name, FIRMS if name in ("staff", "size") else FILINGS) for name in names]
    found = made.ask(asked(Family.LINEAR, "profit", *features, source=JOINED))
    x, y, units, terms = design(merged(rows, firms), "profit", names)
    beta, *_ = np.linalg.lstsq(x, y, rcond=None)
    residual = y - x @ beta
    inverse = np.linalg.inv(x.T @ x)
    sigma = residual @ residual / (len(y) - x.shape[1])
    assert isinstance(found, RegressionCandidate)
    assert found.terms == tuple(terms)
    np.testing.assert_allclose(found.coefficients, beta, rtol=1e-6)
    np.testing.assert_allclose(found.standard_errors, np.sqrt(sigma * np.diag(inverse)), rtol=1e-6)
    assert found.r_squared == pytest.approx(1 - residual @ residual / ((y - y.mean()) @ (y - y.mean())), rel=1e-6)
    assert found.leverage == pytest.approx(unit_leverage(np.einsum("ij,jk,ik->i", x, inverse, x), units), rel=1e-6)
    assert (found.rows, found.units) == (len(y), len(set(units)))
    assert found.selected.rows == len(rows)
    assert found.converged


def test_large_offsets_do_not_cancel(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=100)
    shifted = [
        dict(row, turnover=10**11 + row["year"] * 3 - 6000, profit=10**12 + row["year"] + row["_unit"] % 3)
        for row in rows
    ]
    made.publish(FILINGS, shifted, version=2)
    found = made.ask(asked(Family.LINEAR, "profit", column("turnover"), source=Source(dataset=FILINGS, version=2)))
    x = np.array([row["year"] * 3 - 6000 for row in shifted], dtype=float)
    y = np.array([row["year"] + row["_unit"] % 3 for row in shifted], dtype=float)
    slope = ((x - x.mean()) @ (y - y.mean())) / ((x - x.mean()) @ (x - x.mean()))
    assert found.coefficients[1] == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize("names", [["year"], ["year", "sector"], ["staff", "size"]])
def test_a_logistic_regression_is_the_maximum_of_the_likelihood(tmp_path: Path, names: list[str]) -> None:
    made, rows, firms = home(tmp_path, units=150)
    features = [column(name, FIRMS if name in ("staff", "size") else FILINGS) for name in names]
    found = made.ask(asked(Family.LOGISTIC, "active", *features, source=JOINED))
    x, y, units, terms = design(merged(rows, firms), "active", names)
    centre = np.concatenate(([0.0], x[:, 1:].mean(axis=0)))
    spread = np.concatenate(([1.0], x[:, 1:].std(axis=0)))
    z = (x - centre) / spread

    def loss(weights: Floats) -> float:
        return float(np.logaddexp(0, z @ weights).sum() - y @ (z @ weights))

    best = optimize.minimize(loss, np.zeros(x.shape[1]), method="BFGS", options={"gtol": 1e-8}).x
    slopes = best[1:] / spread[1:]
    beta = np.concatenate(([best[0] - slopes @ centre[1:]], slopes))
    chance = 1 / (1 + np.exp(-(x @ beta)))
    weighted = x * (chance * (1 - chance))[:, None]
    inverse = np.linalg.inv(weighted.T @ x)
    assert found.terms == tuple(terms)
    np.testing.assert_allclose(found.coefficients, beta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.standard_errors, np.sqrt(np.diag(inverse)), rtol=1e-3)
    leverages = np.einsum("ij,jk,ik->i", weighted, inverse, x)
    assert found.leverage == pytest.approx(unit_leverage(leverages, units), rel=1e-3)
    assert found.converged
    assert found.events == int(y.sum())
    by_class = {
        name: len({u for u, value in zip(units, y, strict=True) if value == number})
        for number, name in enumerate(("false", "true"))
    }
    assert found.target_units == by_class


def test_separated_classes_do_not_converge(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=60)
    made.publish(FILINGS, [dict(row, active=row["turnover"] > 2000) for row in rows], version=2)
    found = made.ask(asked(Family.LOGISTIC, "active", column("turnover"), source=Source(dataset=FILINGS, version=2)))
    assert not found.converged
    assert found.leverage == 1.0
    assert all(math.isnan(value) for value in found.coefficients)


def test_terms_that_do_not_determine_a_model_give_none(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=60)
    made.publish(FILINGS, [dict(row, turnover=row["year"] * 200 + 7) for row in rows], version=2)
    source = Source(dataset=FILINGS, version=2)
    found = made.ask(asked(Family.LINEAR, "profit", column("turnover"), column("year"), source=source))
    assert not found.converged
    assert all(math.isnan(value) for value in found.coefficients)
    nobody = (Condition(column=column("year"), comparison=Comparison.GE, values=("2029",)),)
    assert not made.ask(asked(Family.LINEAR, "profit", column("turnover"), where=nobody)).converged


def test_units_of_every_level_are_counted_with_the_reference(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=60)
    found = made.ask(asked(Family.LINEAR, "profit", column("sector"), column("active")))
    complete = [row for row in rows if row["profit"] is not None and row["sector"] is not None]
    for (feature, level), units in found.level_units.items():
        assert units == len({row["_unit"] for row in complete if str(row[feature]).lower() == level.lower()})
    assert {feature for feature, _ in found.level_units} == {"sector", "active"}
    assert len(found.level_units) == 5


def test_pieces_change_nothing_even_within_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, rows, _ = home(tmp_path, units=60)
    # One unit has the extreme rows, so that its leverage is what counts and spans pieces.
    made.publish(
        FILINGS, [dict(row, turnover=10**9 - row["year"] if row["_unit"] == 4 else row["turnover"]) for row in rows], 2
    )
    source = Source(dataset=FILINGS, version=2)
    linear = asked(Family.LINEAR, "profit", column("turnover"), column("year"), source=source)
    logistic = asked(Family.LOGISTIC, "active", column("year"), column("sector"), source=source)
    whole = [made.ask(linear), made.ask(logistic)]
    monkeypatch.setattr(regressions, "_BATCH_ROWS", 1)
    for one, other in zip(whole, [made.ask(linear), made.ask(logistic)], strict=True):
        np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-9)
        assert one.leverage == pytest.approx(other.leverage, rel=1e-9)
