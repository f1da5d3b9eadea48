"""`aggregate.mean`: the mean of a number's values (docs/operations/mean.md).

It publishes their sum and their number.
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
)
from yingbi.plan.model import Aggregate, Column, Condition, Function

__all__ = ["OPERATION", "MeanParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanParameters:
    """The mean of which number, in which rows."""

    column: Column
    where: tuple[Condition, ...]


def _measures(aggregate: Aggregate) -> tuple[Measure, ...]:
    return measure_of(MeasureKind.SUM, aggregate), measure_of(MeasureKind.VALUES, aggregate)


def _finish(aggregate: Aggregate, totals: Totals, scales: Scales) -> str | None:
    total, number = (totals.get(measure) for measure in _measures(aggregate))
    if total is None or not number:
        return None
    scale = scales[column_of(aggregate)]
    return fraction_text(Fraction(total, number * 10**scale), scale + EXTRA_DIGITS)


OPERATION: Final = Operation(
    name="aggregate.mean",
    summary="mean of a number's values in a cell",
    functions=frozenset({Function.MEAN}),
    parameters=MeanParameters,
    right=Use.AGGREGATE,
    risks=SUM_RISKS,
    docs="docs/operations/mean.md",
    passes=1,
    measures=_measures,
    finish=_finish,
)
