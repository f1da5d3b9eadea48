"""Tables by groups of equal size (deciles): gain and lift, calibration, Hosmer and Lemeshow's test."""

import math
from dataclasses import dataclass

from yingbi.models.histogram import Group, ScoreHistogram, group_rows

__all__ = ["Gain", "GoodnessOfFit", "chi_square_tail", "gains", "hosmer_lemeshow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """One group of the gains table, the highest scores first.

    `lift` is the group's rate of events over the sample's; `found` the share of all events in this and the groups
    before (gain), `cumulative_lift` that over the share of rows; `ks` the distance after this group.
    """

    group: Group
    rate: float
    lift: float
    found: float
    cumulative_lift: float
    ks: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodnessOfFit:
    """Hosmer and Lemeshow's statistic, its degrees of freedom and the probability of one as large."""

    statistic: float
    freedom: int
    probability: float


def gains(histogram: ScoreHistogram, groups: int = 10) -> tuple[Gain, ...]:
    """Return the gains table; empty where rows of either kind are missing."""
    if not histogram.has_both:
        return ()
    overall = histogram.bad / histogram.rows
    rows, good, bad = [], 0.0, 0.0
    for group in group_rows(histogram, groups):
        good, bad = good + group.good, bad + group.bad
        rate, found = group.bad / group.rows if group.rows > 0 else 0.0, bad / histogram.bad
        depth = (good + bad) / histogram.rows
        distance = found - good / histogram.good
        rows.append(
            Gain(group=group, rate=rate, lift=rate / overall, found=found, cumulative_lift=found / depth, ks=distance)
        )
    return tuple(rows)


def hosmer_lemeshow(histogram: ScoreHistogram, groups: int = 10, *, is_hold_out: bool = True) -> GoodnessOfFit | None:
    """Test whether events come as often as their probabilities say (Hosmer and Lemeshow 1980).

    Degrees of freedom are the groups for rows that the model has not seen, and two fewer for those it was fitted to.
    The probabilities are middles of bins. In very large samples the test finds errors that do not matter.
    """
    if not histogram.has_both:
        return None
    found = [group for group in group_rows(histogram, groups) if group.rows > 0 and 0 < group.score < 1]
    terms = ((g.bad - g.rows * g.score) ** 2 / (g.rows * g.score * (1 - g.score)) for g in found)
    statistic, freedom = sum(terms), len(found) - (0 if is_hold_out else 2)
    if freedom < 1:
        return None
    return GoodnessOfFit(statistic=statistic, freedom=freedom, probability=chi_square_tail(statistic, freedom))


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Return the probability that a chi-square variable is at least `statistic`.

    By the recurrence of the incomplete gamma function, Q(a + 1, x) = Q(a, x) + x^a e^-x / Γ(a + 1).
    """
    x = statistic / 2
    a, tail = (1.0, math.exp(-x)) if freedom % 2 == 0 else (0.5, math.erfc(math.sqrt(x)))
    while a < freedom / 2:
        tail += math.exp(a * math.log(x) - x - math.lgamma(a + 1)) if x > 0 else 0.0
        a += 1
    return min(tail, 1.0)
