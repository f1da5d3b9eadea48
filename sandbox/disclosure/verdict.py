"""Verdicts of the rules: pass, review or fail, with risk, rule and dimension, and never a value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandbox.operations.measure import Measure
from yingbi.events.outputs import CheckVerdict, Remedy, Risk

__all__ = [
    "RISKS_OF_VALUES",
    "Bools",
    "CellState",
    "Finding",
    "Judgement",
    "Masks",
    "RuleId",
    "find",
    "merge_masks",
]

Bools = NDArray[np.bool_]
Masks = Mapping[Measure, Bools]


class CellState(StrEnum):
    """What happens to one value of a table; what a partner is told is only released or not."""

    RELEASED = "released"
    PRIMARY = "primary"
    SECONDARY = "secondary"
    HISTORY = "history"


class RuleId(StrEnum):
    """Every rule of exact mode, by the name it has in findings, in log entries and in docs/disclosure.md."""

    THRESHOLD_CELL = "threshold.cell"
    THRESHOLD_COMPLEMENT = "threshold.complement"
    THRESHOLD_OUTSIDE = "threshold.outside"
    DOMINANCE_TOP = "dominance.top-n"
    DOMINANCE_P_PERCENT = "dominance.p-percent"
    NEGATIVE = "negative"
    ZEROS = "zeros"
    CLASS_SLICE = "class.slice"
    CLASS_CONDITION = "class.condition"
    CLASS_CONSTANT = "class.constant"
    CLASS_INDICATOR = "class.indicator"
    QUANTILE_FRACTION = "quantile.fraction"
    QUANTILE_SIDES = "quantile.sides"
    REGRESSION_FREEDOM = "regression.freedom"
    REGRESSION_PARAMETERS = "regression.parameters"
    REGRESSION_LEVELS = "regression.levels"
    REGRESSION_EVENTS = "regression.events"
    REGRESSION_FIT = "regression.fit"
    REGRESSION_LEVERAGE = "regression.leverage"
    TRAINING_ENTITIES = "training.entities"
    TRAINING_CONTRIBUTORS = "training.contributors"
    TRAINING_MEMBERSHIP = "training.membership"
    TABLE_EMPTY = "table.empty"
    HISTORY = "history"
    AGREED_CHECK = "agreed-check"


RISKS_OF_VALUES: Final = frozenset({Risk.CLASS_DISCLOSURE, Risk.DOMINANCE, Risk.THRESHOLD, Risk.ZEROS})
"""Risks whose rules look at confidential values: a partner is told that one of them holds, and not which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says of one risk, in one dimension (a column's name) where it has one.

    `cells` counts the cells it concerns and is for the reviewer at the node only.
    """

    risk: Risk
    rule: str
    verdict: CheckVerdict
    dimension: str | None = None
    cells: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """What a stage of the gate says: findings, remedies, and by measure which values must not come out.

    `suppress`: values that fail. `review`: values that only a person may let out. `protect`: of those that fail, the
    ones that must stay unknown (a target of history); absent for a measure, all that fail are.
    """

    suppress: Masks = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    review: Masks = field(default_factory=dict)
    protect: Masks = field(default_factory=dict)


def find(
    risk: Risk, rule: RuleId, masks: Iterable[Bools], dimension: str | None, verdict: CheckVerdict = CheckVerdict.FAIL
) -> tuple[Finding, ...]:
    """Return one finding for the cells that any of `masks` marks, or none where nothing is marked."""
    arrays = [mask for mask in masks if mask.any()]
    if not arrays:
        return ()
    cells = int(np.logical_or.reduce(arrays).sum())
    return (Finding(risk=risk, rule=rule.value, verdict=verdict, dimension=dimension, cells=cells),)


def merge_masks(*several: Masks) -> dict[Measure, Bools]:
    """Return the union of masks, measure by measure; nothing given is changed."""
    merged: dict[Measure, Bools] = {}
    for masks in several:
        for measure, mask in masks.items():
            merged[measure] = mask.copy() if measure not in merged else merged[measure] | mask
    return merged
