"""Regression rules: coefficients are released only of a model that says nothing about a few units.

A saturated model repeats its data; a level of few units has a coefficient that is their mean; a unit of high leverage
determines its own prediction. Limits on degrees of freedom follow ACRO's practice; the limit on leverage is Huber's
(values of 0.5 and more are to be avoided).
"""

from typing import Final

import numpy as np

from policies.disclosure import DisclosureRules
from sandbox.candidate import RegressionCandidate
from sandbox.disclosure.facts import TableFacts
from sandbox.disclosure.verdict import Finding, Judgement, RuleId
from yingbi.events.outputs import CheckVerdict, Remedy, Risk
from yingbi.plan.model import Family

__all__ = ["MAX_LEVERAGE", "PERFECT_FIT", "UNITS_PER_PARAMETER", "check_regression"]

UNITS_PER_PARAMETER: Final = 3
MAX_LEVERAGE: Final = 0.5
PERFECT_FIT: Final = 1 - 1e-9


def check_regression(candidate: RegressionCandidate, rules: DisclosureRules, facts: TableFacts) -> Judgement:
    """Fail the model as a whole where one rule does; there is no part of a model to suppress."""
    del facts
    findings = (
        *_check_units(candidate, rules),
        *_check_size(candidate, rules),
        *_check_levels(candidate, rules.min_units),
        *_check_target(candidate, rules.min_units),
        *_check_fit(candidate),
    )
    remedies = (Remedy.FEWER_DIMENSIONS, Remedy.COARSER_LEVEL, Remedy.LONGER_PERIOD) if findings else ()
    return Judgement(findings=findings, remedies=remedies)


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
