"""What the registry knows of an operation, and the exact arithmetic that operations share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any, Final

from policies.request import Use
from sandbox.operations.measure import Measure, MeasureKind
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.outputs import Risk
from yingbi.plan.model import Aggregate, Column, Family, Function, Recipe

__all__ = [
    "EXTRA_DIGITS",
    "SUM_RISKS",
    "TABLE_RISKS",
    "Cost",
    "Operation",
    "Scales",
    "Totals",
    "column_of",
    "fixed_point_text",
    "fraction_text",
    "measure_of",
    "root_text",
]

EXTRA_DIGITS: Final = 6
"""Digits after the point that a mean, variance or deviation has beyond those of its column."""

TABLE_RISKS: Final = frozenset({Risk.THRESHOLD, Risk.DIFFERENCING, Risk.SECONDARY_DISCLOSURE, Risk.CLASS_DISCLOSURE})
"""What every table can give away: few units, class disclosure, and what follows from other answers."""

SUM_RISKS: Final = TABLE_RISKS | {Risk.DOMINANCE, Risk.NEGATIVE_VALUES, Risk.ZEROS}
"""What a table of sums can give away besides."""

Totals = Mapping[Measure, int]
"""The released totals of one cell, in fixed point; a measure that was suppressed is absent."""

Scales = Mapping[Column, int]
"""Digits after the point of every measured column."""

_ROOT_DIGITS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an answer costs: `rows` of the data set are read `passes` times."""

    rows: int
    passes: int

    @property
    def rows_scanned(self) -> int:
        """Return how many rows are read in all."""
        return self.rows * self.passes


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One computation of the whitelist.

    `name`: as agreements write it. `summary`: what it computes, one line. `functions`, `family`, `recipe`: what calls
    it in a plan; all empty for a layout (bins, margins). `parameters`: the type of its parameters. `right`: the use
    that every column among its parameters needs, none where no column takes part. `risks`: what the gate judges an
    answer of it for. `passes`: times that it reads the data beyond the one reading that every question takes; a
    federation reads once a round besides. `docs`: its page. `measures`: what it publishes.
    `finish`: the number of one cell from released totals, text of a decimal or nothing.
    """

    name: str
    summary: str
    parameters: type
    risks: frozenset[Risk]
    docs: str
    passes: int
    right: Use | None = None
    functions: frozenset[Function] = frozenset()
    family: Family | None = None
    recipe: Recipe | None = None
    measures: Callable[[Any], tuple[Measure, ...]] | None = None
    finish: Callable[[Aggregate, Totals, Scales], str | None] | None = None


def column_of(aggregate: Aggregate) -> Column:
    """Return the column of an aggregate that has one.

    Raises:
        InvalidRequestError: it has none, so that the plan was never checked.
    """
    if aggregate.column is None:
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, f"expected a column for `{aggregate.function}`")
    return aggregate.column


def measure_of(kind: MeasureKind, aggregate: Aggregate) -> Measure:
    """Return the measure of one column that an aggregate publishes."""
    return Measure(kind=kind, columns=(column_of(aggregate),), where=aggregate.where)


def fixed_point_text(total: int, scale: int) -> str:
    """Return an integer of `scale` digits after the point as text, exactly, with all of them: 1250, 2 is `12.50`."""
    return fraction_text(Fraction(total, 10**scale), scale)


def fraction_text(value: Fraction, digits: int) -> str:
    """Return a fraction with so many digits after the point; a tie goes to the even digit."""
    units = round(value * 10**digits)
    whole, part = divmod(abs(units), 10**digits)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{part:0{digits}d}" if digits else f"{sign}{whole}"


def root_text(value: Fraction, digits: int) -> str:
    """Return the square root of a fraction that is not negative, with so many digits after the point."""
    context = Context(prec=_ROOT_DIGITS, rounding=ROUND_HALF_EVEN)
    root = context.sqrt(context.divide(Decimal(value.numerator), Decimal(value.denominator)))
    return fraction_text(Fraction(root), digits)
