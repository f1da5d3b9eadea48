"""Verdicts of the rules: pass, review or fail, with risk, rule and dimension, and never a value."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sandbox.operations.measure import Measure
from yingbi.events.outputs import CheckVerdict, Remedy, Risk

__all__ = ["CellState", "Finding", "Judgement"]


class CellState(StrEnum):
    """What happens to one value of a table; what a partner is told is only released or not."""

    RELEASED = "released"
    PRIMARY = "primary"
    SECONDARY = "secondary"
    HISTORY = "history"


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
    """What a stage of the gate says: which values must be suppressed (cells, by measure), findings and remedies."""

    suppress: dict[Measure, NDArray[np.bool_]]
    findings: tuple[Finding, ...]
    remedies: tuple[Remedy, ...] = ()
