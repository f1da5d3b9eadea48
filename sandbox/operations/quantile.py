"""`aggregate.quantile`: a quantile or the median of a number (docs/operations/quantile.md)."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from policies.request import Use
from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.operation import (
    TABLE_RISKS,
    Operation,
    Scales,
    Totals,
    column_of,
    fixed_point_text,
)
from yingbi.events.outputs import Risk
from yingbi.plan.model import Aggregate, Column, Condition, Function

__all__ = ["FRACTIONS", "OPERATION", "QuantileParameters"]

FRACTIONS: Final = tuple(Decimal(text) for text in ("0.1", "0.25", "0.5", "0.75", "0.9"))
"""The only quantiles there are: bisection has nowhere to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileParameters:
    """Which quantile of which number, in which rows; `fraction` is one of `FRACTIONS`."""

    column: Column
    fraction: str
    where: tuple[Condition, ...]


def _measures(aggregate: Aggregate) -> tuple[Measure, ...]:
    column = column_of(aggregate)
    return (Measure(kind=MeasureKind.QUANTILE, columns=(column,), where=aggregate.where, fraction=aggregate.fraction),)


def _finish(aggregate: Aggregate, totals: Totals, scales: Scales) -> str | None:
    value = totals.get(_measures(aggregate)[0])
    return None if value is None else fixed_point_text(value, scales[column_of(aggregate)])


OPERATION: Final = Operation(
    name="aggregate.quantile",
    summary="quantile of a number's values in a cell",
    functions=frozenset({Function.QUANTILE}),
    parameters=QuantileParameters,
    right=Use.AGGREGATE,
    risks=TABLE_RISKS | {Risk.QUANTILE},
    docs="docs/operations/quantile.md",
    passes=2,
    measures=_measures,
    finish=_finish,
)
