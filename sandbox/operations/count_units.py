"""`aggregate.count_units`: the distinct privacy units of a cell (docs/operations/count_units.md)."""

from dataclasses import dataclass
from typing import Final

from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.operation import TABLE_RISKS, Operation, Scales, Totals
from yingbi.events.outputs import Risk
from yingbi.plan.model import Aggregate, Condition, Function

__all__ = ["OPERATION", "CountUnitsParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountUnitsParameters:
    """Units with at least one row of which kind."""

    where: tuple[Condition, ...]


def _measures(aggregate: Aggregate) -> tuple[Measure, ...]:
    return (Measure(kind=MeasureKind.UNITS, where=aggregate.where),)


def _finish(aggregate: Aggregate, totals: Totals, _: Scales) -> str | None:
    total = totals.get(_measures(aggregate)[0])
    return None if total is None else str(total)


OPERATION: Final = Operation(
    name="aggregate.count_units",
    summary="distinct privacy units of a cell",
    functions=frozenset({Function.COUNT_UNITS}),
    parameters=CountUnitsParameters,
    risks=TABLE_RISKS | {Risk.ZEROS},
    docs="docs/operations/count_units.md",
    passes=1,
    measures=_measures,
    finish=_finish,
)
