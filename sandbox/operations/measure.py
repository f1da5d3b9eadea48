"""What an answer publishes about the data, in the terms that disclosure control needs.

Every statistic is made of a few measures: a mean publishes a sum and a number of values, a variance a sum of squares
besides. Rules and history work on measures, so that `AVG` x `COUNT` and `SUM` are one answer.
"""

from dataclasses import dataclass
from enum import StrEnum

from yingbi.plan.model import Column, Condition

__all__ = ["Measure", "MeasureKind"]


class MeasureKind(StrEnum):
    """The function of a row that is added up; `UNITS`, `QUANTILE` and `MODEL` are not sums but are guarded as if."""

    ROWS = "rows"
    VALUES = "values"
    UNITS = "units"
    SUM = "sum"
    SQUARES = "squares"
    PRODUCT = "product"
    QUANTILE = "quantile"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A function of a row, added up over the rows of a cell that meet `where` (sorted, canonical).

    ROWS and UNITS have no column, PRODUCT two (sorted), QUANTILE and MODEL name the columns that took part (a model its
    target first), the others have one. VALUES counts rows where the column is not null. Fixed-point: a column of d
    decimals adds up to an integer of scale d, SQUARES to 2d, PRODUCT to the sum of both.
    """

    kind: MeasureKind
    columns: tuple[Column, ...] = ()
    where: tuple[Condition, ...] = ()
    fraction: str | None = None
