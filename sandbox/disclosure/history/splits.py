"""How a column is split by everything asked of it: into values, or into ranges between cuts; null is a class too.

A split depends on declarations and questions only. Classes are numbered from 0; the last one is null (or absent).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sandbox.catalog.literals import decimal_text
from sandbox.catalog.model import DataItem, ItemType
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.model import Comparison, Condition, Dimension, Scalar

__all__ = ["Ranges", "Split", "Values", "condition_cuts", "cut_texts", "is_ordered", "point_of"]

Bools = NDArray[np.bool_]

_ORDERED = frozenset({ItemType.INTEGER, ItemType.DECIMAL, ItemType.DATE})
_NEGATED = frozenset({Comparison.NE, Comparison.NOT_IN})


def is_ordered(item: DataItem) -> bool:
    """Return whether an item is compared by order (a number or date)."""
    return item.type in _ORDERED


def point_of(item: DataItem, literal: Scalar) -> int:
    """Return a literal of a number or date as an integer: fixed point, or the day.

    Raises:
        InvalidRequestError: no such literal.
    """
    try:
        if item.type is ItemType.DATE:
            return date.fromisoformat(str(literal)).toordinal()
        return int(Decimal(str(literal)).scaleb(item.decimals))
    except (ArithmeticError, ValueError) as error:
        raise InvalidRequestError(ErrorCode.LITERAL_INVALID, "expected a bound literal") from error


def cut_texts(item: DataItem, cuts: Iterable[int]) -> tuple[str, ...]:
    """Return cuts in the item's literal form."""
    if item.type is ItemType.DATE:
        return tuple(date.fromordinal(cut).isoformat() for cut in cuts)
    return tuple(decimal_text(Decimal(cut).scaleb(-item.decimals)) for cut in cuts)


def condition_cuts(item: DataItem, condition: Condition) -> frozenset[int]:
    """Return the cuts at which a condition on a number or date changes: those of its ranges."""
    return frozenset(cut for low, high in _ranges(item, condition) for cut in (low, high) if cut is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """A split by values: class i is `labels[i]`."""

    labels: tuple[str, ...]

    @property
    def classes(self) -> int:
        """Return the number of classes, null included."""
        return len(self.labels) + 1

    def accepted(self, item: DataItem, condition: Condition) -> Bools:
        """Return which classes meet a condition; null meets none but `is null`."""
        if condition.comparison in (Comparison.IS_NULL, Comparison.NOT_NULL):
            return _null_test(self.classes, condition)
        if is_ordered(item):
            points = [point_of(item, label) for label in self.labels]
            inside = np.array([_in_ranges(point, _ranges(item, condition)) for point in points], dtype=bool)
        else:
            wanted = {_text(value) for value in condition.values}
            inside = np.array([label in wanted for label in self.labels], dtype=bool)
            inside ^= condition.comparison in _NEGATED
        return np.append(inside, False)

    def categories(self, item: DataItem, dimension: Dimension) -> NDArray[np.int64]:
        """Return the category of each class under a dimension; the last category is null."""
        if dimension.edges is None:
            return np.arange(self.classes)
        edges = [point_of(item, edge) for edge in dimension.edges]
        bins = np.searchsorted(edges, [point_of(item, label) for label in self.labels], side="right")
        return np.append(bins, len(edges) + 1).astype(np.int64)

    def category_names(self, dimension: Dimension) -> dict[str | None, int]:
        """Return the category that each possible key of a released cell names."""
        if dimension.edges is not None:
            return _bin_names(dimension.edges)
        return {label: number for number, label in enumerate(self.labels)} | {None: len(self.labels)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """A split of a number or date by ascending cuts: class i holds what has i cuts at or below it."""

    cuts: tuple[int, ...]

    @property
    def classes(self) -> int:
        """Return the number of classes, null included."""
        return len(self.cuts) + 2

    def accepted(self, item: DataItem, condition: Condition) -> Bools:
        """Return which classes meet a condition whose cuts are all among these."""
        if condition.comparison in (Comparison.IS_NULL, Comparison.NOT_NULL):
            return _null_test(self.classes, condition)
        inside = np.zeros(self.classes, dtype=bool)
        for low, high in _ranges(item, condition):
            start = 0 if low is None else self.cuts.index(low) + 1
            stop = len(self.cuts) + 1 if high is None else self.cuts.index(high) + 1
            inside[start:stop] = True
        return inside

    def categories(self, item: DataItem, dimension: Dimension) -> NDArray[np.int64]:
        """Return the category (bin) of each class under a binned dimension; the last category is null."""
        edges = [point_of(item, edge) for edge in dimension.edges or ()]
        lowest = np.searchsorted(edges, self.cuts, side="right")
        return np.concatenate(([0], lowest, [len(edges) + 1])).astype(np.int64)

    def category_names(self, dimension: Dimension) -> dict[str | None, int]:
        """Return the bin that each possible key of a released cell names."""
        return _bin_names(dimension.edges or ())


Split = Values | Ranges


def _bin_names(edges: tuple[str, ...]) -> dict[str | None, int]:
    """Return the numbers of bins by key: how many edges are at or below them; null has the last one.

    A key is the text of the bin as cells have it (docs/spec/plan.md), or its number.
    """
    names: dict[str | None, int] = {str(number): number for number in range(len(edges) + 1)}
    texts = pairwise(["-inf", *edges, "+inf"])
    names |= {f"[{low}, {high})": number for number, (low, high) in enumerate(texts)}
    return names | {None: len(edges) + 1}


def _null_test(classes: int, condition: Condition) -> Bools:
    inside = np.full(classes, condition.comparison is Comparison.NOT_NULL)
    inside[-1] = not inside[-1]
    return inside


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ranges(item: DataItem, condition: Condition) -> list[tuple[int | None, int | None]]:
    """Return the half-open ranges of points that meet a condition (none for the null tests)."""
    points = sorted({point_of(item, value) for value in condition.values})
    match condition.comparison:
        case Comparison.LT:
            return [(None, points[0])]
        case Comparison.LE:
            return [(None, points[0] + 1)]
        case Comparison.GT:
            return [(points[0] + 1, None)]
        case Comparison.GE:
            return [(points[0], None)]
        case Comparison.EQ | Comparison.IN:
            return [(point, point + 1) for point in points]
        case Comparison.NE | Comparison.NOT_IN:
            bounds: list[int | None] = [None]
            for point in points:
                bounds += [point, point + 1]
            bounds.append(None)
            return list(zip(bounds[::2], bounds[1::2], strict=True))
        case _:
            return []


def _in_ranges(point: int, ranges: list[tuple[int | None, int | None]]) -> bool:
    return any((low is None or point >= low) and (high is None or point < high) for low, high in ranges)
