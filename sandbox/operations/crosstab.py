"""`aggregate.crosstab`: a table with the totals of every subset of its dimensions (docs/operations/crosstab.md).

It publishes no measure of its own; the totals are cells like others, and the gate suppresses over them.
"""

from dataclasses import dataclass
from typing import Final

from policies.request import Use
from sandbox.operations.operation import TABLE_RISKS, Operation
from yingbi.plan.model import Dimension

__all__ = ["OPERATION", "CrosstabParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrosstabParameters:
    """Which dimensions are added up, each alone and all together."""

    dimensions: tuple[Dimension, ...]


OPERATION: Final = Operation(
    name="aggregate.crosstab",
    summary="totals over every subset of the dimensions",
    parameters=CrosstabParameters,
    right=Use.GROUP,
    risks=TABLE_RISKS,
    docs="docs/operations/crosstab.md",
    passes=1,
)
