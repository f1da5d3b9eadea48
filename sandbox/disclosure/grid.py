"""Empty cells, made explicit: a cell that is missing from a table says zero as clearly as a printed one.

An engine returns cells that have rows. Unless everybody knows which cells have any, the others are added here, so that
the rule on zeros holds them back (or lets them out), they look like small cells in what is released, and history sees
them as answers or as targets.
"""

import itertools
from dataclasses import replace
from decimal import Decimal
from typing import Final

import numpy as np

from sandbox.candidate import Bools, Candidate, Ints, MeasureValues
from sandbox.disclosure.facts import ColumnFact, TableFacts
from sandbox.disclosure.zeros import is_emptiness_public
from sandbox.operations.measure import Measure, MeasureKind
from yingbi.plan.model import Column, Comparison, Condition, Dimension

__all__ = ["MAX_GRID", "complete_grid"]

MAX_GRID: Final = 5_000
"""Tables whose categories could make more cells than this stay as they are (docs/disclosure.md, limits)."""

_POSITIVE: Final = frozenset({Comparison.EQ, Comparison.IN})
_LISTED: Final = _POSITIVE | {Comparison.NE, Comparison.NOT_IN}

_Cell = tuple[tuple[str | None, ...], tuple[bool, ...]]


def complete_grid(candidate: Candidate, facts: TableFacts) -> Candidate:
    """Return the candidate with every combination of categories: declared ones, where not declared those that occur."""
    if not candidate.question.group_by or is_emptiness_public(candidate.question, facts):
        return candidate
    known = set(zip(candidate.keys, _flags(candidate), strict=True))
    missing = [cell for cell in _grid(candidate, facts) if cell not in known]
    return _with_empty(candidate, missing) if missing else candidate


def _flags(candidate: Candidate) -> list[tuple[bool, ...]]:
    return [tuple(flags) for flags in candidate.is_total.tolist()]


def _grid(candidate: Candidate, facts: TableFacts) -> list[_Cell]:
    dimensions = candidate.question.group_by
    categories = [_categories(candidate, place, dimension, facts) for place, dimension in enumerate(dimensions)]
    patterns = sorted(set(_flags(candidate)))
    choices = [
        [[None] if is_total else categories[place] for place, is_total in enumerate(pattern)] for pattern in patterns
    ]
    if sum(int(np.prod([len(one) for one in choice], dtype=object)) for choice in choices) > MAX_GRID:
        return []
    return [
        (key, pattern) for pattern, choice in zip(patterns, choices, strict=True) for key in itertools.product(*choice)
    ]


def _categories(candidate: Candidate, place: int, dimension: Dimension, facts: TableFacts) -> list[str | None]:
    flags = candidate.is_total[:, place].tolist()
    found = {key[place] for key, is_total in zip(candidate.keys, flags, strict=True) if not is_total}
    fact = facts.columns.get(dimension.column)
    if dimension.edges is not None:
        found |= {str(number) for number in range(len(dimension.edges) + 1) if _is_possible(number, dimension, fact)}
    elif fact is not None and fact.domain is not None:
        found |= {text for text in fact.domain if _is_selected(text, dimension.column, candidate.question.where)}
    return sorted(found, key=lambda text: (text is None, text or ""))


def _is_possible(number: int, dimension: Dimension, fact: ColumnFact | None) -> bool:
    """Return whether declared bounds leave anything in a bin; everybody knows that the others are empty."""
    if fact is None or fact.lower is None or fact.upper is None:
        return True
    edges = [Decimal(edge).scaleb(fact.decimals) for edge in dimension.edges or ()]
    is_above = number == 0 or edges[number - 1] <= fact.upper
    return is_above and (number == len(edges) or edges[number] > fact.lower)


def _is_selected(text: str, column: Column, conditions: tuple[Condition, ...]) -> bool:
    """Return whether the filter lets a category through; that it is empty otherwise is no news."""
    return all(
        (text in condition.values) is (condition.comparison in _POSITIVE)
        for condition in conditions
        if condition.column == column and condition.comparison in _LISTED
    )


def _with_empty(candidate: Candidate, missing: list[_Cell]) -> Candidate:
    count = len(missing)
    flags = np.array([flags for _, flags in missing], dtype=np.bool_).reshape(count, candidate.is_total.shape[1])
    return replace(
        candidate,
        keys=candidate.keys + tuple(key for key, _ in missing),
        is_total=np.concatenate([candidate.is_total, flags]),
        rows=_longer(candidate.rows, count),
        units=_longer(candidate.units, count),
        units_exact=_marked(candidate.units_exact, count, value=True),
        measures={measure: _longer_values(measure, values, count) for measure, values in candidate.measures.items()},
    )


def _longer(numbers: Ints, count: int) -> Ints:
    return np.concatenate([numbers, np.zeros(count, dtype=np.int64)])


def _marked(flags: Bools, count: int, *, value: bool) -> Bools:
    return np.concatenate([flags, np.full(count, value, dtype=np.bool_)])


def _longer_values(measure: Measure, values: MeasureValues, count: int) -> MeasureValues:
    nothing = (0,) * count
    has_total = measure.kind not in (MeasureKind.QUANTILE, MeasureKind.MODEL)
    return MeasureValues(
        totals=values.totals + (nothing if has_total else (None,) * count),
        rows=_longer(values.rows, count),
        units=_longer(values.units, count),
        units_exact=_marked(values.units_exact, count, value=True),
        absolute=values.absolute + nothing,
        largest=values.largest + nothing,
        second=values.second + nothing,
        largest_exact=_marked(values.largest_exact, count, value=True),
        negative=_marked(values.negative, count, value=False),
        below=None if values.below is None else _longer(values.below, count),
        above=None if values.above is None else _longer(values.above, count),
    )
