"""Tables that nobody asked for: of two answers that are made by different columns, what both add up to.

Who adds up a table by street and size, and another by street and sector, has two tables by street. Where conditions or
versions differ, so do these, though no cell of the one is in a cell of the other.
"""

from collections.abc import MutableMapping, Sequence

from sandbox.disclosure.history.partition import Layer, Space, cut_margin, public_dimensions
from sandbox.disclosure.history.scopes import Scope
from yingbi.plan.model import Dimension

__all__ = ["MarginName", "shared_margins"]

MarginName = tuple[Scope, tuple[Dimension, ...]]
Margin = tuple[int, Layer]


def shared_margins(
    space: Space, scopes: Sequence[Scope], new: int, known: MutableMapping[MarginName, Layer], *, most: int
) -> list[tuple[Margin, Margin]]:
    """Return pairs of margins, each with the place of its answer; the answers from place `new` on are with all others.

    Margins that are the same whatever the answers' dimensions are left out; `known` is a cache of at most `most` atoms
    in all, good for the very atoms. Time O(N) a pair of answers whose rows are not selected alike.
    """
    found: dict[tuple[bytes, bytes], tuple[Margin, Margin]] = {}
    for one in range(new, len(scopes)):
        own = public_dimensions(space, scopes[one])
        for other in range(one):
            others = public_dimensions(space, scopes[other])
            both = tuple(dimension for dimension in own if dimension in others)
            if len(both) == len(own) == len(others) or _selects_alike(space, scopes[one], scopes[other], both):
                continue
            if len(known) * space.atoms > most:
                known.clear()
            pair = tuple(_margin(space, scopes[place], both, known) for place in (one, other))
            if pair[0].split != pair[1].split:
                found.setdefault((pair[0].split, pair[1].split), ((one, pair[0]), (other, pair[1])))
    return list(found.values())


def _margin(
    space: Space, scope: Scope, dimensions: tuple[Dimension, ...], known: MutableMapping[MarginName, Layer]
) -> Layer:
    name = (scope, dimensions)
    if name not in known:
        known[name] = cut_margin(space, scope, dimensions)
    return known[name]


def _selects_alike(space: Space, one: Scope, other: Scope, dimensions: Sequence[Dimension]) -> bool:
    """Return whether two answers are about the same rows, split alike, as far as public columns tell."""
    names = {*one.present, *(dimension.column.dataset for dimension in dimensions)}
    conditions = [
        [item for item in scope.conditions if (item.column, scope.version(item.column.dataset)) in space.public]
        for scope in (one, other)
    ]
    names |= {item.column.dataset for item in conditions[0]}
    return (
        one.present == other.present
        and conditions[0] == conditions[1]
        and all(one.version(name) == other.version(name) for name in names)
    )
