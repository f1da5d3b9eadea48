"""`aggregate.variance`: sample variance or standard deviation (docs/operations/variance.md).

It publishes the sum of the values, the sum of their squares and their number.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from policies.request import Use
from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.operation import (
    EXTRA_DIGITS,
    SUM_RISKS,
    Operation,
    Scales,
    Totals,
    column_of,
    fraction_text,
    measure_of,
    root_text,
)
from yingbi.plan.model import Aggregate, Column, Condition, Function

__all__ = ["OPERATION", "VarianceParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceParameters:
    """The variance of which number, in which rows; `root` for the standard deviation."""

    column: Column
    where: tuple[Condition, ...]
    root: bool


def _measures(aggregate: Aggregate) -> tuple[Measure, ...]:
    return (
        measure_of(MeasureKind.SQUARES, aggregate),
        measure_of(MeasureKind.SUM, aggregate),
        measure_of(MeasureKind.VALUES, aggregate),
    )


def _finish(aggregate: Aggregate, totals: Totals, scales: Scales) -> str | None:
    squares, total, number = (totals.get(measure) for measure in _measures(aggregate))
    if squares is None or total is None or number is None or number <= 1:
        return None
    scale = scales[column_of(aggregate)]
    variance = (squares - Fraction(total * total, number)) / ((number - 1) * 10 ** (2 * scale))
    if aggregate.function is Function.VARIANCE:
        return fraction_text(variance, 2 * scale + EXTRA_DIGITS)
    # Totals that were rounded one by one can contradict each other.
    return None if variance < 0 else root_text(variance, scale + EXTRA_DIGITS)


OPERATION: Final = Operation(
    name="aggregate.variance",
    summary="sample variance or standard deviation of a number's values in a cell",
    functions=frozenset({Function.VARIANCE, Function.STDDEV}),
    parameters=VarianceParameters,
    right=Use.AGGREGATE,
    risks=SUM_RISKS,
    docs="docs/operations/variance.md",
    passes=1,
    measures=_measures,
    finish=_finish,
)
