"""How well a score tells rows with the event from those without: AUC, Gini, KS, Brier, log loss, from sums alone.

Rows in one bin are ties. AUC counts a tie as half (the trapezoid rule), so it is exact for the binned score. The
uncertainty of a metric is that of drawing the rows; noise that was added to the sums comes on top of it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from yingbi.models.histogram import ScoreHistogram
from yingbi.models.numbers import ln

__all__ = [
    "CONFIDENCE",
    "Estimate",
    "Separation",
    "auc",
    "brier",
    "calibration_gap",
    "delong_variance",
    "gini",
    "hanley_mcneil_variance",
    "ks",
    "log_loss",
    "roc",
    "separation",
]

CONFIDENCE: Final = 0.95

Loss = Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A metric with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """Where the two distributions of scores are furthest apart: below `score`, `goods` and `bads` of each are found."""

    score: float
    goods: float
    bads: float

    @property
    def value(self) -> float:
        """Return the distance: Kolmogorov and Smirnov's statistic."""
        return abs(self.goods - self.bads)


def roc(histogram: ScoreHistogram) -> tuple[tuple[float, float], ...]:
    """Return the points (false alarms, hits) of the ROC curve, the strictest threshold first."""
    points, good, bad = [(0.0, 0.0)], 0.0, 0.0
    for goods, bads in zip(reversed(histogram.goods), reversed(histogram.bads), strict=True):
        good, bad = good + goods, bad + bads
        points.append((_share(good, histogram.good), _share(bad, histogram.bad)))
    return tuple(points)


def auc(
    histogram: ScoreHistogram, confidence: float = CONFIDENCE, *, is_hanley_mcneil: bool = False
) -> Estimate | None:
    """Return the area under the ROC curve: how often a row with the event has the higher score, ties as half.

    The interval is DeLong's, exact for the binned scores, or Hanley and McNeil's, from AUC and sizes alone.

    Sources: Hanley and McNeil, Radiology 143 (1982) 29-36; DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988).
    """
    if not histogram.has_both:
        return None
    value = _auc(histogram)
    if is_hanley_mcneil:
        variance = hanley_mcneil_variance(value, histogram.bad, histogram.good)
    else:
        variance = delong_variance(histogram)
    return _estimate(value, variance, confidence)


def gini(histogram: ScoreHistogram, confidence: float = CONFIDENCE) -> Estimate | None:
    """Return Gini's coefficient of the score (Somers' D): twice the AUC less one."""
    area = auc(histogram, confidence)
    return None if area is None else Estimate(value=2 * area.value - 1, low=2 * area.low - 1, high=2 * area.high - 1)


def hanley_mcneil_variance(area: float, bad: float, good: float) -> float:
    """Return the variance of an AUC by Hanley and McNeil (1982): of exponentially distributed scores."""
    both_bad, both_good = area / (2 - area), 2 * area * area / (1 + area)
    spread = (bad - 1) * (both_bad - area * area) + (good - 1) * (both_good - area * area)
    return (area * (1 - area) + spread) / (bad * good)


def delong_variance(histogram: ScoreHistogram) -> float:
    """Return the variance of an AUC by DeLong and others (1988), from bins; infinite with fewer than two of a kind."""
    good, bad, area = histogram.good, histogram.bad, _auc(histogram)
    if good <= 1 or bad <= 1:
        return math.inf
    below_good = below_bad = of_bad = of_good = 0.0
    for goods, bads in zip(histogram.goods, histogram.bads, strict=True):
        of_bad += bads * ((below_good + goods / 2) / good - area) ** 2
        of_good += goods * ((bad - below_bad - bads / 2) / bad - area) ** 2
        below_good, below_bad = below_good + goods, below_bad + bads
    return of_bad / (bad - 1) / bad + of_good / (good - 1) / good


def separation(histogram: ScoreHistogram) -> Separation | None:
    """Return where Kolmogorov and Smirnov's distance is reached first."""
    if not histogram.has_both:
        return None
    best, good, bad = Separation(score=histogram.edges[0], goods=0.0, bads=0.0), 0.0, 0.0
    for place, (goods, bads) in enumerate(zip(histogram.goods, histogram.bads, strict=True)):
        good, bad = good + goods, bad + bads
        found = Separation(score=histogram.edges[place + 1], goods=good / histogram.good, bads=bad / histogram.bad)
        best = found if found.value > best.value else best
    return best


def ks(histogram: ScoreHistogram, confidence: float = CONFIDENCE) -> Estimate | None:
    """Return Kolmogorov and Smirnov's distance; its interval takes the threshold where it is reached as given."""
    at = separation(histogram)
    if at is None:
        return None
    variance = at.goods * (1 - at.goods) / histogram.good + at.bads * (1 - at.bads) / histogram.bad
    return _estimate(at.value, variance, confidence)


def brier(histogram: ScoreHistogram, confidence: float = CONFIDENCE) -> Estimate | None:
    """Return Brier's score: the mean squared error of the probabilities, each taken as the middle of its bin."""
    return _mean(histogram, lambda score: score * score, lambda score: (1 - score) ** 2, confidence)


def log_loss(histogram: ScoreHistogram, confidence: float = CONFIDENCE) -> Estimate | None:
    """Return the mean of minus the logarithm of the probability that was given to what came, from middles of bins."""
    return _mean(histogram, lambda score: -ln(1 - score), lambda score: -ln(score), confidence)


def calibration_gap(histogram: ScoreHistogram) -> float | None:
    """Return the mean probability less the share of rows with the event: calibration in the large."""
    if histogram.rows <= 0:
        return None
    triples = zip(histogram.goods, histogram.bads, histogram.middles, strict=True)
    return (sum((good + bad) * score for good, bad, score in triples) - histogram.bad) / histogram.rows


def _auc(histogram: ScoreHistogram) -> float:
    wins = below = 0.0
    for goods, bads in zip(histogram.goods, histogram.bads, strict=True):
        wins += bads * (below + goods / 2)
        below += goods
    return wins / (histogram.good * histogram.bad)


def _mean(histogram: ScoreHistogram, of_good: Loss, of_bad: Loss, confidence: float) -> Estimate | None:
    """Return the mean of a loss over rows, with the interval of a mean."""
    if histogram.rows <= 1:
        return None
    total = squares = 0.0
    for goods, bads, score in zip(histogram.goods, histogram.bads, histogram.middles, strict=True):
        for rows, loss in ((goods, of_good), (bads, of_bad)):
            value = loss(score) if rows > 0 else 0.0
            total, squares = total + rows * value, squares + rows * value * value
    mean = total / histogram.rows
    variance = max(squares / histogram.rows - mean * mean, 0.0) / (histogram.rows - 1)
    return _estimate(mean, variance, confidence, highest=math.inf)


def _estimate(value: float, variance: float, confidence: float, *, highest: float = 1.0) -> Estimate:
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(max(variance, 0.0))
    return Estimate(value=value, low=max(value - half, 0.0), high=min(value + half, highest))


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
