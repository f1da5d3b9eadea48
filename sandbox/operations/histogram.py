"""`aggregate.histogram`: a dimension of bins between declared edges (docs/operations/histogram.md).

It publishes no measure of its own: the cells that it makes hold the measures of the other operations.
"""

from dataclasses import dataclass
from typing import Final

from policies.request import Use
from sandbox.operations.operation import TABLE_RISKS, Operation
from yingbi.plan.model import Column

__all__ = ["OPERATION", "HistogramParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramParameters:
    """Which number or date, between which of its declared edges."""

    column: Column
    edges: tuple[str, ...]


OPERATION: Final = Operation(
    name="aggregate.histogram",
    summary="bins of a number or date as a dimension",
    parameters=HistogramParameters,
    right=Use.GROUP,
    risks=TABLE_RISKS,
    docs="docs/operations/histogram.md",
    passes=0,
)
