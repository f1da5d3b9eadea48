"""`aggregate.count_values`: the rows of a cell in which a column has a value (docs/operations/count_values.md)."""

from dataclasses import dataclass
from typing import Final

from policies.request import Use
from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.operation import TABLE_RISKS, Operation, Scales, Totals, measure_of
from yingbi.events.outputs import Risk
from yingbi.plan.model import Aggregate, Column, Condition, Function

__all__ = ["OPERATION", "CountValuesParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountValuesParameters:
    """Values of which column, in which rows."""

    column: Column
    where: tuple[Condition, ...]


def _measures(aggregate: Aggregate) -> tuple[Measure, ...]:
    return (measure_of(MeasureKind.VALUES, aggregate),)


def _finish(aggregate: Aggregate, totals: Totals, _: Scales) -> str | None:
    total = totals.get(measure_of(MeasureKind.VALUES, aggregate))
    return None if total is None else str(total)


OPERATION: Final = Operation(
    name="aggregate.count_values",
    summary="rows of a cell in which a column is not null",
    functions=frozenset({Function.COUNT_VALUES}),
    parameters=CountValuesParameters,
    right=Use.AGGREGATE,
    risks=TABLE_RISKS | {Risk.ZEROS},
    docs="docs/operations/count_values.md",
    passes=0,
    measures=_measures,
    finish=_finish,
)
