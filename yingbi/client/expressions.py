"""Conditions as pandas writes them, and what literals and functions are called in a plan."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, NoReturn

from yingbi.client.problems import OperationNotPermittedError
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.model import Column, Comparison, Condition, Function, Scalar

__all__ = ["FUNCTIONS", "Where", "condition", "fraction_text", "literal", "literals", "not_permitted"]

FUNCTIONS: Final[Mapping[str, Function]] = {
    "count": Function.COUNT,
    "size": Function.COUNT,
    "units": Function.COUNT_UNITS,
    "nunique": Function.COUNT_UNITS,
    "sum": Function.SUM,
    "mean": Function.MEAN,
    "avg": Function.MEAN,
    "var": Function.VARIANCE,
    "variance": Function.VARIANCE,
    "std": Function.STDDEV,
    "stddev": Function.STDDEV,
    "median": Function.QUANTILE,
    "quantile": Function.QUANTILE,
}
"""What an aggregate may be called, and which function it is."""

_NEGATED: Final[Mapping[Comparison, Comparison]] = {
    Comparison.EQ: Comparison.NE,
    Comparison.NE: Comparison.EQ,
    Comparison.LT: Comparison.GE,
    Comparison.LE: Comparison.GT,
    Comparison.GT: Comparison.LE,
    Comparison.GE: Comparison.LT,
    Comparison.IN: Comparison.NOT_IN,
    Comparison.NOT_IN: Comparison.IN,
    Comparison.IS_NULL: Comparison.NOT_NULL,
    Comparison.NOT_NULL: Comparison.IS_NULL,
}
_PLAIN_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True, eq=False)
class Where:
    """Conditions that all must be met: `&` joins them, `~` turns one around."""

    conditions: tuple[Condition, ...]

    def __and__(self, other: object) -> "Where":
        if hasattr(other, "__rand__") and not isinstance(other, Where | int):
            return NotImplemented
        if not isinstance(other, Where):
            raise not_permitted("`&` of a condition and something else", "conditions in brackets: (a == 1) & (b < 2)")
        return Where((*self.conditions, *other.conditions))

    def __invert__(self) -> "Where":
        if len(self.conditions) != 1:
            raise not_permitted("`~` of several conditions", "`~` of one condition")
        only = self.conditions[0]
        return Where((replace(only, comparison=_NEGATED[only.comparison]),))

    def __or__(self, _: object) -> NoReturn:
        raise not_permitted("`|` of conditions", "`&`, and `.isin([...])` for several values of one column")

    def __bool__(self) -> NoReturn:
        raise not_permitted("the truth of a condition", "`&` instead of `and`, `.between(low, high)` for a < x < b")


def literal(value: object) -> Scalar:
    """Return a Python value as a plan writes it: dates and decimals are texts.

    Raises:
        InvalidRequestError: it is no value that a column can have.
    """
    value = value.item() if hasattr(value, "item") and not isinstance(value, str) else value
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime):
        raise _not_literal("a date without a time")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | float):
        # The shortest text that means the same float: 0.1 is `0.1`, not its binary neighbour.
        text = format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
        if _PLAIN_NUMBER.fullmatch(text):
            return text
    raise _not_literal("a number, a text, a date or a boolean; `.isna()` finds what is absent")


def literals(values: Iterable[object]) -> tuple[Scalar, ...]:
    """Return several values as a plan writes them."""
    if isinstance(values, str):
        raise _not_literal("a list of values")
    return tuple(literal(value) for value in values)


def fraction_text(fraction: object) -> str:
    """Return the fraction of a quantile as a plan writes it.

    Raises:
        InvalidRequestError: it is not between 0 and 1.
    """
    try:
        number = Decimal(str(fraction))
    except InvalidOperation:
        number = Decimal(0)
    if not 0 < number < 1:
        raise InvalidRequestError(ErrorCode.LITERAL_INVALID, "expected a fraction between 0 and 1, such as 0.9")
    return format(number.normalize(), "f")


def condition(column: Column, comparison: Comparison, *values: Scalar) -> Where:
    """Return one condition."""
    return Where((Condition(column=column, comparison=comparison, values=values),))


def not_permitted(what: str, allowed: str) -> OperationNotPermittedError:
    """Return the error for what no plan can ask for; `allowed` names what can be asked instead."""
    return OperationNotPermittedError(
        ErrorCode.OPERATION_NOT_PERMITTED, f"{what} is never available", hint=f"try {allowed}"
    )


def _not_literal(expected: str) -> InvalidRequestError:
    # SECURITY: the value is not repeated; it may be an identifier.
    return InvalidRequestError(ErrorCode.LITERAL_INVALID, f"expected {expected}")
