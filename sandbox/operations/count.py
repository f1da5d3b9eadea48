"""`aggregate.count`: the rows of a cell (docs/operations/count.md)."""

from dataclasses import dataclass
from typing import Final

from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.operation import TABLE_RISKS, Operation, Scales, Totals
from yingbi.events.outputs import Risk
from yingbi.plan.model import Aggregate, Condition, Function

__all__ = ["OPERATION", "CountParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountParameters:
    """Which rows count."""

    where: tuple[Condition, ...]


def _measures(aggregate: Aggregate) -> tuple[Measure, ...]:
    return (Measure(kind=MeasureKind.ROWS, where=aggregate.where),)


def _finish(aggregate: Aggregate, totals: Totals, _: Scales) -> str | None:
    total = totals.get(_measures(aggregate)[0])
    return None if total is None else str(total)


OPERATION: Final = Operation(
    name="aggregate.count",
    summary="rows of a cell",
    functions=frozenset({Function.COUNT}),
    parameters=CountParameters,
    risks=TABLE_RISKS | {Risk.ZEROS},
    docs="docs/operations/count.md",
    passes=0,
    measures=_measures,
    finish=_finish,
)
