"""Rounding of what is released: to a base, the same way every time.

Conventional and deterministic: the nearest multiple of the base, halves away from zero, so that asking again teaches
nothing. Every value is rounded by itself, margins too: the rounded parts of a margin may miss it by up to half a base
each, and the table says which base was used. Means and variances are computed of rounded measures and tell no more.
"""

from dataclasses import replace
from typing import Final

from sandbox.candidate import MeasureValues
from sandbox.disclosure.facts import TableFacts
from sandbox.disclosure.quantiles import round_quantile
from sandbox.operations.measure import Measure, MeasureKind

__all__ = ["round_measure", "round_to_base"]

_COUNTS: Final = frozenset({MeasureKind.ROWS, MeasureKind.VALUES, MeasureKind.UNITS})


def round_to_base(value: int, base: int) -> int:
    """Round to the nearest multiple of `base`, halves away from zero."""
    rounded = (2 * abs(value) + base) // (2 * base) * base
    return rounded if value >= 0 else -rounded


def round_measure(measure: Measure, values: MeasureValues, base: int, facts: TableFacts) -> MeasureValues:
    """Round the totals of a measure: counts and sums to `base` in the column's own unit, quantiles to their digits."""
    if measure.kind is MeasureKind.QUANTILE:
        return replace(values, totals=tuple(None if t is None else round_quantile(t) for t in values.totals))
    if base == 1:
        return values
    scaled = base * 10 ** _decimals(measure, facts)
    return replace(values, totals=tuple(None if t is None else round_to_base(t, scaled) for t in values.totals))


def _decimals(measure: Measure, facts: TableFacts) -> int:
    if measure.kind in _COUNTS:
        return 0
    digits = sum(facts.columns[column].decimals for column in measure.columns if column in facts.columns)
    return 2 * digits if measure.kind is MeasureKind.SQUARES else digits
