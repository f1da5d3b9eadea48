"""The rule of sets, judged by code of its own: which parts can be worked out from sums of sets of them.

Whoever has sums has every combination of them, added and subtracted in any multiples. None may be that of one or two
parts (docs/spec/federation.md, "Entries"); two sums must differ by three on a side, whatever combinations give.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Final

__all__ = ["seen_through"]

_APART: Final = 3


def seen_through(sums: Sequence[frozenset[str]]) -> bool:
    """Tell whether these sums, of which the last is new, give away one or two parts.

    Parts that stand in the same sums cannot be told apart, so that only small groups of such parts are looked at. A
    combination that leaves nothing but one of them is one more than those that leave nothing at all.
    """
    new = sums[-1]
    if any(min(len(new - other), len(other - new)) < _APART for other in sums if other != new):
        return True
    groups: dict[tuple[bool, ...], int] = {}
    for part in frozenset().union(*sums):
        row = tuple(part in one for one in sums)
        groups[row] = groups.get(row, 0) + 1
    whole = _rank(groups)
    small = [row for row, size in groups.items() if size < _APART]
    pairs = (pair for pair in combinations(small, 2) if sum(groups[row] for row in pair) < _APART)
    return any(_rank(groups.keys() - set(left)) < whole for left in (*((row,) for row in small), *pairs))


def _rank(rows: Iterable[Sequence[bool]]) -> int:
    """Return the rank of a matrix over the rational numbers (elimination)."""
    left = [[Fraction(int(value)) for value in row] for row in rows]
    rank = 0
    for column in range(len(left[0]) if left else 0):
        pivot = next((row for row in left if row[column]), None)
        if pivot is None:
            continue
        left.remove(pivot)
        rank += 1
        left = [
            [value - row[column] / pivot[column] * other for value, other in zip(row, pivot, strict=True)]
            for row in left
        ]
    return rank
