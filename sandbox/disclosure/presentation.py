"""How released rows are laid out: `HAVING`, `ORDER BY` and `LIMIT`, on released values and on nothing else.

SECURITY: a suppressed value has no order and meets no condition; it is `None` here, so that no hidden value can select
or place a row.
"""

import itertools
import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sandbox.disclosure.released import ColumnKind, ReleasedColumn, ReleasedRow
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.model import Comparison, Direction, OrderBy, Presentation, ReleasedCondition, TableQuestion

__all__ = ["columns_of", "name_bins", "present"]

_COMPARE: Final[Mapping[Comparison, Callable[[Any, Any], bool]]] = {
    Comparison.EQ: operator.eq,
    Comparison.NE: operator.ne,
    Comparison.LT: operator.lt,
    Comparison.LE: operator.le,
    Comparison.GT: operator.gt,
    Comparison.GE: operator.ge,
}


def columns_of(presentation: Presentation, question: TableQuestion) -> tuple[ReleasedColumn, ...]:
    """Return the released columns: one a dimension, then one an aggregate.

    Raises:
        InvalidRequestError: another number of names, or columns that are not those names.
    """
    dimensions, names = len(question.group_by), presentation.names
    is_fitting = len(set(names)) == len(names) == dimensions + len(question.aggregates)
    if not is_fitting or sorted(presentation.columns or names) != sorted(names):
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected one name for each dimension and aggregate")
    return tuple(
        ReleasedColumn(name=name, kind=ColumnKind.DIMENSION if place < dimensions else ColumnKind.VALUE)
        for place, name in enumerate(names)
    )


def present(
    rows: tuple[ReleasedRow, ...], presentation: Presentation, columns: tuple[ReleasedColumn, ...]
) -> tuple[ReleasedRow, ...]:
    """Return the rows that meet every condition, in the asked order, at most `limit` of them.

    `rows` come sorted by dimension; equal rows of the asked order keep that order.

    Raises:
        InvalidRequestError: a condition or order names no output, or compares in a way that values do not have.
    """
    places = {column.name: place for place, column in enumerate(columns)}
    kept = [row for row in rows if all(_meets(row, condition, places) for condition in presentation.having)]
    for order in reversed(presentation.order_by):
        kept = _sorted(kept, order, places)
    return tuple(kept if presentation.limit is None else kept[: presentation.limit])


def name_bins(rows: tuple[ReleasedRow, ...], question: TableQuestion) -> tuple[ReleasedRow, ...]:
    """Return the rows with bins named by their edges instead of their numbers: `< 10`, `[10, 20)`, `>= 20`."""
    names = [None if one.edges is None else _bin_names(one.edges) for one in question.group_by]
    if not any(names):
        return rows
    return tuple(
        replace(row, keys=tuple(_renamed(key, by) for key, by in zip(row.keys, names, strict=True))) for row in rows
    )


def _bin_names(edges: tuple[str, ...]) -> dict[str, str]:
    inner = [f"[{low}, {high})" for low, high in itertools.pairwise(edges)]
    return {str(number): name for number, name in enumerate([f"< {edges[0]}", *inner, f">= {edges[-1]}"])}


def _renamed(key: str | None, names: dict[str, str] | None) -> str | None:
    return key if names is None or key is None else names.get(key, key)


def _meets(row: ReleasedRow, condition: ReleasedCondition, places: Mapping[str, int]) -> bool:
    compare = _COMPARE.get(condition.comparison)
    if compare is None:
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected a condition that compares with one number")
    found = _released(row, condition.output, places)
    if found is None:
        return False
    number, limit = _number(found), _number(str(condition.value))
    if number is None or limit is None:
        return compare(found, str(condition.value))
    return compare(number, limit)


def _sorted(rows: list[ReleasedRow], order: OrderBy, places: Mapping[str, int]) -> list[ReleasedRow]:
    known = [row for row in rows if _released(row, order.output, places) is not None]
    unknown = [row for row in rows if _released(row, order.output, places) is None]
    texts = [_released(row, order.output, places) or "" for row in known]
    numbers = [_number(text) for text in texts]
    is_numeric = all(number is not None for number in numbers)
    keys: list[Any] = list(numbers) if is_numeric else list(texts)
    by_value = sorted(range(len(known)), key=keys.__getitem__, reverse=order.direction is Direction.DESC)
    return [known[place] for place in by_value] + unknown


def _released(row: ReleasedRow, output: str, places: Mapping[str, int]) -> str | None:
    place = places.get(output)
    if place is None:
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected the name of an output")
    if place < len(row.keys):
        return row.keys[place]
    value = place - len(row.keys)
    return None if row.suppressed[value] else row.values[value]


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
