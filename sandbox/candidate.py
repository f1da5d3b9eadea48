"""What the engine hands to the release gate: a table with everything that the rules need, still confidential.

A candidate never leaves the node. Arrays have one element a cell, in the canonical order of cells (dimension by
dimension, totals last).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandbox.operations.measure import Measure
from yingbi.canonical import JsonValue
from yingbi.plan.model import RegressionQuestion, TableQuestion, TrainingQuestion

__all__ = ["Candidate", "MeasureValues", "Population", "RegressionCandidate", "TrainedCandidate"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasureValues:
    """One measure in every cell.

    `totals`: exact Python integers in fixed point (quantiles: the value itself; absent for MODEL). `rows`: rows that
    contribute. `units`: distinct privacy units that contribute, exact where `units_exact`, elsewhere a lower bound.
    `largest`, `second`: absolute totals of the two largest units, exact where `largest_exact`, elsewhere upper bounds
    (Python integers, same scale as `totals`). `negative`: whether any contribution is below zero.
    `absolute`: sum of absolute unit totals where `largest_exact`, elsewhere sum of absolute row values.
    `below`, `above` (quantiles only): distinct units strictly on each side.
    """

    totals: tuple[int | None, ...]
    rows: Ints
    units: Ints
    units_exact: Bools
    absolute: tuple[int, ...]
    largest: tuple[int, ...]
    second: tuple[int, ...]
    largest_exact: Bools
    negative: Bools
    below: Ints | None = None
    above: Ints | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """How many rows and units a set has; `units` is exact where `units_exact`, else a lower bound."""

    rows: int
    units: int
    units_exact: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """The answer to a `TableQuestion`, before the gate.

    `keys`: one tuple of canonical texts (or None for null) a dimension, one element a cell. `is_total`: cells x
    dimensions, true where the cell sums over that dimension (margins). `rows`, `units`, `units_exact`: of the cell as
    such. `measures`: what each operation publishes. `selected`: what the filter selects; `outside`: the rest of the
    data set (its complement).
    """

    question: TableQuestion
    keys: tuple[tuple[str | None, ...], ...]
    is_total: Bools
    rows: Ints
    units: Ints
    units_exact: Bools
    measures: dict[Measure, MeasureValues]
    selected: Population
    outside: Population

    @property
    def cells(self) -> int:
        """Return the number of cells."""
        return len(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegressionCandidate:
    """The answer to a `RegressionQuestion`, before the gate.

    `terms`: names of parameters, intercept first; `coefficients`, `standard_errors`: float64, one a term.
    `level_units`: distinct units of every indicator's level, the reference level included, by (feature, level).
    `target_units`: distinct units by class of a logistic target. `events`: rows with a target of one (logistic).
    `leverage`: largest leverage of one unit. `converged`: logistic fits only.
    """

    question: RegressionQuestion
    terms: tuple[str, ...]
    coefficients: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    rows: int
    units: int
    level_units: dict[tuple[str, str], int]
    target_units: dict[str, int]
    events: int | None
    leverage: float
    r_squared: float | None
    converged: bool
    measures: dict[Measure, MeasureValues]
    selected: Population
    outside: Population


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedCandidate:
    """What a federation has made of several units' sums, before the gate.

    `document`: what would leave, as JSON. `smallest`: fewest entities in anything that it tells apart (a bin, a leaf, a
    class), absent where noise hides them. `contributors`: how many units gave to every round. `advantage`: how much
    better than a guess a loss-threshold attack tells training rows from held-out ones; absent where the recipe has no
    rows of its own to remember (counts) or noise hides them.
    """

    question: TrainingQuestion
    document: Mapping[str, JsonValue]
    smallest: int | None
    contributors: int
    advantage: float | None
