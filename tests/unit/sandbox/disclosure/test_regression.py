"""Regressions: each limit at its boundary."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policies.disclosure import DisclosureRules
from sandbox.candidate import Population, RegressionCandidate
from sandbox.disclosure.facts import facts_of
from sandbox.disclosure.regression import check_regression, propose_levels
from sandbox.disclosure.verdict import RuleId
from sandbox.operations.measure import MeasureKind
from tests.unit.sandbox.disclosure.tables import DATASET, catalogue, column
from yingbi.plan.model import Family, RegressionQuestion, Source

RULES = DisclosureRules(min_units=10)


def model(family: Family = Family.LINEAR, **changes: Any) -> RegressionCandidate:
    """A model of 100 firms and three parameters that passes."""
    whole = RegressionCandidate(
        question=RegressionQuestion(
            source=Source(dataset=DATASET, version=1),
            family=family,
            target=column("tax" if family is Family.LINEAR else "penalised"),
            features=(column("size"), column("rate")),
        ),
        terms=("(intercept)", "size=m", "rate"),
        coefficients=np.array([1.23456789, -0.5, 1e-7]),
        standard_errors=np.array([0.1, 0.2, 0.3]),
        rows=100,
        units=100,
        level_units={("size", "l"): 50, ("size", "m"): 50},
        target_units={} if family is Family.LINEAR else {"false": 60, "true": 40},
        events=None if family is Family.LINEAR else 40,
        leverage=0.2,
        r_squared=0.5 if family is Family.LINEAR else None,
        converged=True,
        measures={},
        selected=Population(rows=100, units=100, units_exact=True),
        outside=Population(rows=0, units=0, units_exact=True),
    )
    return replace(whole, **changes)


def rules_that_fail(candidate: RegressionCandidate) -> set[str]:
    return {
        finding.rule
        for finding in check_regression(candidate, RULES, facts_of(candidate.question, catalogue())).findings
    }


@pytest.mark.parametrize("family", list(Family))
def test_an_ordinary_model_passes(family: Family) -> None:
    assert rules_that_fail(model(family)) == set()


def _size(units: int, terms: int = 3) -> dict[str, Any]:
    names = tuple(f"x{n}" for n in range(terms))
    population = Population(rows=units, units=units, units_exact=True)
    numbers = np.ones(terms)
    return {
        "units": units,
        "rows": units,
        "selected": population,
        "terms": names,
        "coefficients": numbers,
        "standard_errors": numbers,
    }


LINEAR: dict[str, tuple[dict[str, Any], set[RuleId]]] = {
    "12 units leave 9 degrees of freedom": (_size(12), {RuleId.REGRESSION_FREEDOM}),
    "13 units leave 10": (_size(13), set()),
    "9 units are under the threshold": (_size(9), {RuleId.THRESHOLD_CELL, RuleId.REGRESSION_FREEDOM}),
    "29 units are too few for 10 parameters": (_size(29, 10), {RuleId.REGRESSION_PARAMETERS}),
    "30 units are enough for 10 parameters": (_size(30, 10), set()),
    "many rows of few units are few": (
        {**_size(12), "rows": 1000, "selected": Population(rows=1000, units=12, units_exact=True)},
        {RuleId.REGRESSION_FREEDOM},
    ),
    "a level of 9 units": ({"level_units": {("size", "l"): 91, ("size", "m"): 9}}, {RuleId.REGRESSION_LEVELS}),
    "a level of 10 units": ({"level_units": {("size", "l"): 90, ("size", "m"): 10}}, set()),
    "a thin reference level": ({"level_units": {("size", "l"): 9, ("size", "m"): 91}}, {RuleId.REGRESSION_LEVELS}),
    "a perfect fit": ({"r_squared": 1.0}, {RuleId.REGRESSION_FIT}),
    "a fit that is not a number": ({"r_squared": math.nan}, {RuleId.REGRESSION_FIT}),
    "a fit that is not known": ({"r_squared": None}, {RuleId.REGRESSION_FIT}),
    "a coefficient that is not finite": ({"coefficients": np.array([1.0, math.inf, 0.0])}, {RuleId.REGRESSION_FIT}),
    "leverage of one half": ({"leverage": 0.5}, {RuleId.REGRESSION_LEVERAGE}),
    "leverage that is not a number": ({"leverage": math.nan}, {RuleId.REGRESSION_LEVERAGE}),
    "leverage under one half": ({"leverage": 0.4999}, set()),
    "9 units outside the filter": (
        {"outside": Population(rows=9, units=9, units_exact=True)},
        {RuleId.THRESHOLD_OUTSIDE},
    ),
    "10 units outside the filter": ({"outside": Population(rows=10, units=10, units_exact=True)}, set()),
    "3 units with missing values": (
        {"selected": Population(rows=103, units=103, units_exact=True)},
        {RuleId.THRESHOLD_COMPLEMENT},
    ),
}

FEW = {RuleId.REGRESSION_EVENTS, RuleId.REGRESSION_PARAMETERS}
MANY: dict[str, Any] = {
    "rows": 10_000,
    "units": 10_000,
    "selected": Population(rows=10_000, units=10_000, units_exact=True),
    "level_units": {("size", "l"): 5_000, ("size", "m"): 5_000},
}

LOGISTIC: dict[str, tuple[dict[str, Any], set[RuleId]]] = {
    "9 events": ({"events": 9, "target_units": {"false": 91, "true": 9}}, FEW),
    "10 events": ({**MANY, "events": 10, "target_units": {"false": 9_990, "true": 10}}, set()),
    "9 non-events": ({"events": 91, "target_units": {"false": 9, "true": 91}}, FEW),
    "5 non-events, whatever their units": ({"events": 95}, FEW),
    "many events of few units": ({"events": 40, "target_units": {"false": 60, "true": 3}}, {RuleId.REGRESSION_EVENTS}),
    "one class": ({"events": 100, "target_units": {"true": 100}}, FEW),
    "events that are not known": ({"events": None}, FEW),
    "perfect separation": ({"converged": False}, {RuleId.REGRESSION_FIT}),
    # Three coefficients, of which one is a level's, are 47 bits; 40 of 100 firms can be chosen in 2^93 ways.
    "room for half of the target": ({"events": 40}, set()),
    "room for more than half of it": ({"events": 37}, {RuleId.REGRESSION_PARAMETERS}),
    "a number instead of a level": ({"terms": ("(intercept)", "age", "rate")}, {RuleId.REGRESSION_PARAMETERS}),
}


def test_a_linear_model_of_two_values_needs_many_rows() -> None:
    indicator = replace(model().question, target=column("penalised"))
    assert rules_that_fail(model(question=indicator)) == {RuleId.REGRESSION_PARAMETERS.value}
    assert rules_that_fail(model(question=indicator, **MANY)) == set()


def test_history_is_asked_about_the_tables_that_a_model_gives_away() -> None:
    (linear,) = propose_levels(model(), RULES, catalogue())
    (logistic,) = propose_levels(model(Family.LOGISTIC), RULES, catalogue())
    assert linear.keys == logistic.keys == (("l",), ("m",))
    assert {(one.kind, one.columns) for one in linear.measures} == {
        (MeasureKind.SUM, (column("tax"),)),
        (MeasureKind.SUM, (column("rate"),)),
    }
    assert {one.kind for one in logistic.measures} == {MeasureKind.SUM, MeasureKind.ROWS}
    assert all(one.publishable.all() and not one.primary.any() for one in linear.measures.values())


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name: str) -> None:
    changes, expected = LINEAR[name]
    assert rules_that_fail(model(**changes)) == {rule.value for rule in expected}


@pytest.mark.parametrize("name", LOGISTIC)
def test_logistic(name: str) -> None:
    changes, expected = LOGISTIC[name]
    assert rules_that_fail(model(Family.LOGISTIC, **changes)) == {rule.value for rule in expected}
