"""Regression rules: coefficients are released only of a model that says nothing about a few units.

A saturated model repeats its data; a level of few units has a coefficient that is their mean; a unit of high leverage
determines its own prediction; coefficients that say more than a target of two values holds repeat it. Limits on degrees
of freedom follow ACRO's practice; the limit on leverage is Huber's (values of 0.5 and more are to be avoided).

A feature that is a code makes a model a table: its fitted values add up, level by level, to what was observed. History
is asked about these tables too.
"""

from math import lgamma, log
from typing import Final

import numpy as np

from policies.disclosure import DisclosureRules
from sandbox.candidate import MeasureValues, RegressionCandidate
from sandbox.catalog.model import Catalogue
from sandbox.disclosure.facts import TableFacts
from sandbox.disclosure.history_gate import Proposal, ProposedMeasure
from sandbox.disclosure.verdict import Finding, Judgement, RuleId
from sandbox.operations.registry import measures_of
from yingbi.events.outputs import CheckVerdict, Remedy, Risk
from yingbi.plan.model import (
    Aggregate,
    Column,
    Comparison,
    Condition,
    Dimension,
    Family,
    Function,
    RegressionQuestion,
    TableQuestion,
)

__all__ = [
    "BITS_PER_PARAMETER",
    "FEWEST_EVENTS",
    "MAX_LEVERAGE",
    "PERFECT_FIT",
    "UNITS_PER_PARAMETER",
    "check_regression",
    "propose_levels",
]

UNITS_PER_PARAMETER: Final = 3
BITS_PER_PARAMETER: Final = 20
"""Six decimal digits."""

FEWEST_EVENTS: Final = 0.05
"""The share of events that is assumed where a linear model of a column of two values does not count them."""

MAX_LEVERAGE: Final = 0.5
PERFECT_FIT: Final = 1 - 1e-9


def check_regression(candidate: RegressionCandidate, rules: DisclosureRules, facts: TableFacts) -> Judgement:
    """Fail the model as a whole where one rule does; there is no part of a model to suppress."""
    findings = (
        *_check_units(candidate, rules),
        *_check_size(candidate, rules),
        *_check_memory(candidate, facts),
        *_check_levels(candidate, rules.min_units),
        *_check_target(candidate, rules.min_units),
        *_check_fit(candidate),
    )
    remedies = (Remedy.FEWER_DIMENSIONS, Remedy.COARSER_LEVEL, Remedy.LONGER_PERIOD) if findings else ()
    return Judgement(findings=findings, remedies=remedies)


def propose_levels(candidate: RegressionCandidate, rules: DisclosureRules, catalogue: Catalogue) -> list[Proposal]:
    """Return the tables that a model gives away: for every code, totals of target and numbers by its levels."""
    features: dict[str, list[str]] = {}
    for feature, level in candidate.level_units:
        features.setdefault(feature, []).append(level)
    columns = {column.name: column for column in candidate.question.features}
    tables = [_level_table(candidate.question, columns[name], set(features), catalogue) for name in features]
    return [
        _proposal(table, name, candidate, rules, catalogue)
        for name, table in zip(features, tables, strict=True)
        if table.aggregates
    ]


def _level_table(question: RegressionQuestion, code: Column, codes: set[str], catalogue: Catalogue) -> TableQuestion:
    numbers = [column for column in question.features if column.name not in codes]
    if question.family is Family.LINEAR:
        numbers.append(question.target)
    aggregates = [Aggregate(function=Function.SUM, column=column) for column in sorted(set(numbers))]
    if question.family is Family.LOGISTIC:
        happened = Condition(column=question.target, comparison=Comparison.EQ, values=("true",))
        aggregates.append(Aggregate(function=Function.COUNT, where=(happened,)))
    return TableQuestion(
        source=question.source,
        where=question.where,
        group_by=(Dimension(column=code),),
        aggregates=tuple(aggregates),
    )


def _proposal(
    table: TableQuestion, feature: str, candidate: RegressionCandidate, rules: DisclosureRules, catalogue: Catalogue
) -> Proposal:
    levels = [(level, units) for (name, level), units in candidate.level_units.items() if name == feature]
    units = np.array([units for _, units in levels], dtype=np.int64)
    nothing = np.zeros(len(levels), dtype=np.bool_)
    zeros = (0,) * len(levels)
    # The engine does not compute these totals; history decides without them.
    values = MeasureValues(
        totals=(None,) * len(levels),
        rows=units,
        units=units,
        units_exact=~nothing,
        absolute=zeros,
        largest=zeros,
        second=zeros,
        largest_exact=nothing,
        negative=nothing,
    )
    asked = ProposedMeasure(values=values, publishable=~nothing, primary=nothing)
    return Proposal(
        question=table,
        keys=tuple((level,) for level, _ in levels),
        is_total=np.zeros((len(levels), 1), dtype=np.bool_),
        measures=dict.fromkeys(measures_of(table), asked),
        rules=rules,
        catalogue=catalogue,
    )


def _fail(risk: Risk, rule: RuleId, dimension: str | None = None) -> Finding:
    return Finding(risk=risk, rule=rule.value, verdict=CheckVerdict.FAIL, dimension=dimension)


def _check_units(candidate: RegressionCandidate, rules: DisclosureRules) -> list[Finding]:
    found = []
    if candidate.units < rules.min_units:
        found.append(_fail(Risk.THRESHOLD, RuleId.THRESHOLD_CELL))
    # Rows that are selected but have a missing value take no part: they are a complement like any other.
    rest = candidate.selected.units - candidate.units
    if candidate.selected.rows > candidate.rows and rest < rules.min_units:
        found.append(_fail(Risk.THRESHOLD, RuleId.THRESHOLD_COMPLEMENT))
    if candidate.outside.rows > 0 and candidate.outside.units < rules.min_units:
        found.append(_fail(Risk.DIFFERENCING, RuleId.THRESHOLD_OUTSIDE))
    return found


def _check_size(candidate: RegressionCandidate, rules: DisclosureRules) -> list[Finding]:
    found = []
    parameters = len(candidate.terms)
    # Units, not rows: many rows of one unit are one observation of what is protected.
    if min(candidate.units, candidate.rows) - parameters < rules.min_degrees_of_freedom:
        found.append(_fail(Risk.SATURATED_MODEL, RuleId.REGRESSION_FREEDOM))
    if UNITS_PER_PARAMETER * parameters > candidate.units:
        found.append(_fail(Risk.SATURATED_MODEL, RuleId.REGRESSION_PARAMETERS))
    return found


def _check_memory(candidate: RegressionCandidate, facts: TableFacts) -> list[Finding]:
    """Find a model of a target of two values that has room for the target itself.

    Each coefficient is an equation over the target, with features that a partner may know: `p` parameters of six
    digits name the events when they hold as many bits as there are ways to choose them (a knapsack). They may hold
    half of it.
    """
    target = facts.columns.get(candidate.question.target)
    if candidate.question.family is not Family.LOGISTIC and not (target is not None and target.is_two_valued):
        return []
    events = round(candidate.rows * FEWEST_EVENTS) if candidate.events is None else candidate.events
    # What a level's coefficient says is a count of events; feature names have no equals sign.
    told = [log(candidate.rows + 1, 2) if "=" in term else BITS_PER_PARAMETER for term in candidate.terms]
    if events <= candidate.rows and 2 * sum(told) <= _bits(candidate.rows, events):
        return []
    return [_fail(Risk.MODEL_MEMORY, RuleId.REGRESSION_PARAMETERS, candidate.question.target.name)]


def _bits(rows: int, events: int) -> float:
    """Return the binary logarithm of the ways to choose the events among the rows."""
    return (lgamma(rows + 1) - lgamma(events + 1) - lgamma(rows - events + 1)) / log(2)


def _check_levels(candidate: RegressionCandidate, min_units: int) -> list[Finding]:
    thin = {feature for (feature, _), units in candidate.level_units.items() if units < min_units}
    return [_fail(Risk.THRESHOLD, RuleId.REGRESSION_LEVELS, feature) for feature in sorted(thin)]


def _check_target(candidate: RegressionCandidate, min_units: int) -> list[Finding]:
    if candidate.question.family is not Family.LOGISTIC:
        return []
    events = candidate.events
    classes = candidate.target_units.values()
    is_thin = events is None or len(classes) < 2 or min(classes) < min_units
    if is_thin or events is None or min(events, candidate.rows - events) < min_units:
        return [_fail(Risk.CLASS_DISCLOSURE, RuleId.REGRESSION_EVENTS, candidate.question.target.name)]
    return []


def _check_fit(candidate: RegressionCandidate) -> list[Finding]:
    found = []
    # A logistic fit that does not converge separates its classes perfectly.
    finite = bool(np.isfinite(candidate.coefficients).all() and np.isfinite(candidate.standard_errors).all())
    # SECURITY: written so that a fit that is not a number fails.
    is_imperfect = candidate.r_squared is None or candidate.r_squared < PERFECT_FIT
    if candidate.question.family is Family.LINEAR and candidate.r_squared is None:
        is_imperfect = False
    if not (candidate.converged and finite and is_imperfect):
        found.append(_fail(Risk.SATURATED_MODEL, RuleId.REGRESSION_FIT))
    if not candidate.leverage < MAX_LEVERAGE:
        found.append(_fail(Risk.MODEL_MEMORY, RuleId.REGRESSION_LEVERAGE))
    return found
