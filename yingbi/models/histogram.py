"""Samples as sums: how many rows with and without the event have a score in each bin. All that metrics are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["Group", "ScoreHistogram", "group_rows", "make_histogram", "merge_small"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreHistogram:
    """Rows of one sample by bin of score, which ascends: a score is the probability of the event (`bad`).

    `edges` are one more than the bins. Counts are not negative; with noise they need not be whole.
    """

    goods: tuple[float, ...]
    bads: tuple[float, ...]
    edges: tuple[float, ...]

    @property
    def good(self) -> float:
        """Return the rows without the event."""
        return sum(self.goods)

    @property
    def bad(self) -> float:
        """Return the rows with the event."""
        return sum(self.bads)

    @property
    def rows(self) -> float:
        """Return the rows."""
        return self.good + self.bad

    @property
    def has_both(self) -> bool:
        """Tell whether there are rows of both kinds: without them nothing can be told apart."""
        return self.good > 0 and self.bad > 0

    @property
    def middles(self) -> tuple[float, ...]:
        """Return the score that stands for each bin."""
        return tuple((low + high) / 2 for low, high in pairwise(self.edges))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of rows with neighbouring scores, `score` their mean; a bin that a border cuts is shared out evenly."""

    good: float
    bad: float
    score: float

    @property
    def rows(self) -> float:
        """Return the rows."""
        return self.good + self.bad


def make_histogram(
    goods: Sequence[float], bads: Sequence[float], edges: Sequence[float] | None = None
) -> ScoreHistogram:
    """Make a histogram of sums; where noise made a count negative it is none. Without edges, bins divide 0..1 evenly.

    Raises:
        InvalidRequestError: other numbers of bins, edges that do not ascend, or a count that is no number.
    """
    bins = len(goods)
    borders = [place / bins for place in range(bins + 1)] if edges is None and bins else list(edges or ())
    if bins < 1 or len(bads) != bins or len(borders) != bins + 1:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected as many bins of each kind, and one edge more")
    if any(not low < high for low, high in pairwise(borders)):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected edges that ascend")
    return ScoreHistogram(goods=_counts(goods), bads=_counts(bads), edges=tuple(map(float, borders)))


def merge_small(histogram: ScoreHistogram, least: float) -> ScoreHistogram:
    """Merge neighbouring bins from below until each has `least` rows of both kinds: what a curve may be drawn with."""
    goods, bads, edges = [0.0], [0.0], [histogram.edges[0]]
    for good, bad, edge in zip(histogram.goods, histogram.bads, histogram.edges[1:], strict=True):
        goods[-1], bads[-1] = goods[-1] + good, bads[-1] + bad
        if goods[-1] >= least and bads[-1] >= least:
            edges.append(edge)
            goods.append(0.0)
            bads.append(0.0)
    rest_good, rest_bad = goods.pop(), bads.pop()
    if not goods:
        return make_histogram([rest_good], [rest_bad], [histogram.edges[0], histogram.edges[-1]])
    goods[-1], bads[-1], edges[-1] = goods[-1] + rest_good, bads[-1] + rest_bad, histogram.edges[-1]
    return make_histogram(goods, bads, edges)


def group_rows(histogram: ScoreHistogram, groups: int) -> tuple[Group, ...]:
    """Divide a sample into groups of equal size by score, the highest first (deciles: 10 groups)."""
    size, places = histogram.rows / groups, range(len(histogram.goods))
    if size <= 0:
        return ()
    found: list[Group] = []
    room, sums = size, [0.0, 0.0, 0.0]
    for place in reversed(places):
        good, bad, middle = histogram.goods[place], histogram.bads[place], histogram.middles[place]
        rows = left = good + bad
        while left > 0:
            taken = left if len(found) == groups - 1 else min(left, room)
            sums = [sums[0] + good * taken / rows, sums[1] + bad * taken / rows, sums[2] + middle * taken]
            left, room = left - taken, room - taken
            if room <= 0 and len(found) < groups - 1:
                found.append(_group(sums))
                room, sums = size, [0.0, 0.0, 0.0]
    return (*found, _group(sums))


def _group(sums: Sequence[float]) -> Group:
    good, bad, total = sums
    rows = good + bad
    return Group(good=good, bad=bad, score=total / rows if rows > 0 else 0.0)


def _counts(values: Sequence[float]) -> tuple[float, ...]:
    counts = tuple(max(float(value), 0.0) for value in values)
    if not all(0 <= count < float("inf") for count in counts):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected finite counts")
    return counts
