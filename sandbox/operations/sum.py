"""`aggregate.sum`: the sum of a number over a cell (docs/operations/sum.md)."""

from dataclasses import dataclass
from typing import Final

from policies.request import Use
from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.operation import (
    SUM_RISKS,
    Operation,
    Scales,
    Totals,
    column_of,
    fixed_point_text,
    measure_of,
)
from yingbi.plan.model import Aggregate, Column, Condition, Function

__all__ = ["OPERATION", "SumParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SumParameters:
    """Which number is added up, in which rows."""

    column: Column
    where: tuple[Condition, ...]


def _measures(aggregate: Aggregate) -> tuple[Measure, ...]:
    return (measure_of(MeasureKind.SUM, aggregate),)


def _finish(aggregate: Aggregate, totals: Totals, scales: Scales) -> str | None:
    total = totals.get(measure_of(MeasureKind.SUM, aggregate))
    return None if total is None else fixed_point_text(total, scales[column_of(aggregate)])


OPERATION: Final = Operation(
    name="aggregate.sum",
    summary="sum of a number over a cell",
    functions=frozenset({Function.SUM}),
    parameters=SumParameters,
    right=Use.AGGREGATE,
    risks=SUM_RISKS,
    docs="docs/operations/sum.md",
    passes=1,
    measures=_measures,
    finish=_finish,
)
