"""Exact sums of several units' data that were shown, and what they say together (docs/spec/federation.md, "Entries").

Who has two sums has their difference, and who has many has every combination of them. None may be that of one or two
parts: with a sum of two, each of both units would know the other's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Final

__all__ = ["APART", "Sums"]

APART: Final = 3
"""Of how many parts two sums differ on each side, and every combination of sums is made, at least."""

_Row = Mapping[str, Fraction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """All sums that were shown, as the sets of parts that they are of.

    `rows`: what they span, in reduced echelon form: each row by its pivot, which no other row has.
    """

    shown: frozenset[frozenset[str]] = frozenset()
    rows: Mapping[str, _Row] = field(default_factory=lambda: MappingProxyType({}))

    def add(self, parts: frozenset[str]) -> "Sums":
        """Return these sums with another one.

        Cost: O(rows x parts) fractions where it is new, nothing where it is not.
        """
        if parts in self.shown:
            return self
        rest: _Row = dict.fromkeys(parts, Fraction(1))
        for pivot in sorted(parts & self.rows.keys()):
            rest = _less(rest, self.rows[pivot], rest[pivot])
        shown = self.shown | {parts}
        if not rest:
            return Sums(shown=shown, rows=self.rows)
        pivot = min(rest)
        row = {name: value / rest[pivot] for name, value in rest.items()}
        others = {
            name: _less(other, row, other[pivot]) if pivot in other else other for name, other in self.rows.items()
        }
        return Sums(shown=shown, rows=MappingProxyType({**others, pivot: row}))

    def is_close(self, parts: frozenset[str]) -> bool:
        """Tell whether another sum differs from a new one by fewer than three parts on a side."""
        return any(min(len(parts - other), len(other - parts)) < APART for other in self.shown - {parts})

    def is_seen_through(self) -> bool:
        """Tell whether some combination of these sums is that of one or two parts.

        Such a combination has at most two pivots. With one it is a row; with two these are all that it has, so that
        two rows are alike in everything else.
        """
        alike = set()
        for pivot, row in self.rows.items():
            others = sorted((name, value) for name, value in row.items() if name != pivot)
            if len(others) < APART - 1:
                return True
            shape = tuple((name, value / others[0][1]) for name, value in others)
            if shape in alike:
                return True
            alike.add(shape)
        return False


def _less(row: _Row, other: _Row, times: Fraction) -> _Row:
    """Return a row less some times another one, without zeros."""
    values = {name: row.get(name, 0) - times * other.get(name, 0) for name in row.keys() | other.keys()}
    return {name: Fraction(value) for name, value in values.items() if value}
