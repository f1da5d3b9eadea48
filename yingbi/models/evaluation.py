"""The evaluation of a model as a document: everything that the sums of its last exchange tell, and what they do not.

Counts are rounded. Curves have a point only where enough rows of both kinds lie between it and the next one. All
numbers are decimal strings with few places, so that members who compute it by themselves write the same bytes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from yingbi.canonical import JsonValue
from yingbi.models.gains import gains, hosmer_lemeshow
from yingbi.models.histogram import ScoreHistogram, group_rows, merge_small
from yingbi.models.membership import USUAL_RULE, MembershipRule, check_membership, losses_of_scores
from yingbi.models.metrics import (
    CONFIDENCE,
    Estimate,
    auc,
    brier,
    calibration_gap,
    gini,
    ks,
    log_loss,
    roc,
    separation,
)
from yingbi.models.numbers import rounded
from yingbi.models.stability import judge_stability, psi, psi_of_scores
from yingbi.models.woe import WoeRow, judge_strength, woe_table

__all__ = ["USUAL_RULES", "BinCounts", "EvaluationRules", "evaluate"]

_METRICS: Final = {"auc": auc, "gini": gini, "ks": ks, "brier": brier, "log_loss": log_loss}
_NEEDS_MORE: Final = ("psi_between_parties", "vintage", "swap_sets", "reject_inference")
"""What bank people ask for and sums over all parties cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRules:
    """How an evaluation is written: counts rounded to `rounding`, `least` rows of each kind to a point or group.

    `places`: decimal places of metrics.
    """

    rounding: int = 5
    least: int = 10
    places: int = 4
    groups: int = 10
    confidence: float = CONFIDENCE
    membership: MembershipRule = USUAL_RULE


@dataclass(frozen=True, slots=True, kw_only=True)
class BinCounts:
    """Rows of a characteristic's bins by sample and target, over all parties; `labels` say which bin is which."""

    labels: tuple[str, ...]
    goods: tuple[float, ...]
    bads: tuple[float, ...]
    hold_out: tuple[float, ...]


USUAL_RULES: Final = EvaluationRules()
"""How an evaluation is written where nothing else is said."""


def evaluate(
    training: ScoreHistogram,
    hold_out: ScoreHistogram,
    *,
    losses: tuple[Sequence[float], Sequence[float]] | None = None,
    characteristics: Mapping[str, BinCounts] | None = None,
    rules: EvaluationRules = USUAL_RULES,
) -> dict[str, JsonValue]:
    """Make the evaluation of a model from the histograms of its scores.

    Args:
        training: scores of rows that the model was trained on.
        hold_out: scores of the others.
        losses: rows by bin of loss, of both samples; taken from the scores where they are not given.
        characteristics: bins of features, for weights of evidence and their stability.
        rules: how it is written.

    Raises:
        InvalidRequestError: samples with different bins.
    """
    trained, others = losses or (losses_of_scores(training), losses_of_scores(hold_out))
    index = psi_of_scores(training, hold_out, rules.groups)
    tables = [_characteristic(name, counts, rules) for name, counts in (characteristics or {}).items()]
    return {
        "v": 1,
        "confidence": rounded(rules.confidence),
        "bins": len(training.goods),
        "rounding": rules.rounding,
        "least": rules.least,
        "samples": {
            "training": _sample(training, rules, is_hold_out=False),
            "hold_out": _sample(hold_out, rules, is_hold_out=True),
        },
        "stability": None if index is None else _index(index, rules),
        "characteristics": list[JsonValue](tables),
        "membership": check_membership(trained, others, rules.membership).to_json(),
        "not_computed": [*_NEEDS_MORE, *(() if characteristics else ("csi",))],
    }


def _sample(histogram: ScoreHistogram, rules: EvaluationRules, *, is_hold_out: bool) -> dict[str, JsonValue]:
    merged = merge_small(histogram, rules.least)
    at = separation(histogram)
    return {
        "rows": _count(histogram.rows, rules),
        "events": _count(histogram.bad, rules),
        "metrics": {name: _estimate(metric(histogram, rules.confidence), rules) for name, metric in _METRICS.items()},
        "ks_score": None if at is None else rounded(at.score, rules.places),
        "calibration_gap": _number(calibration_gap(histogram), rules),
        "hosmer_lemeshow": _fit(histogram, rules, is_hold_out=is_hold_out),
        "roc": [[rounded(x, 4), rounded(y, 4)] for x, y in roc(merged)] if merged.has_both else [],
        "separation": _distributions(merged),
        "gains": _gains(histogram, rules),
        "calibration": _calibration(histogram, rules),
    }


def _distributions(histogram: ScoreHistogram) -> list[JsonValue]:
    """Return [score, share of goods below, share of bads below] of every border of bins."""
    if not histogram.has_both:
        return []
    rows: list[JsonValue] = [[rounded(histogram.edges[0], 4), "0.0000", "0.0000"]]
    good = bad = 0.0
    for goods, bads, edge in zip(histogram.goods, histogram.bads, histogram.edges[1:], strict=True):
        good, bad = good + goods, bad + bads
        rows.append([rounded(edge, 4), rounded(good / histogram.good, 4), rounded(bad / histogram.bad, 4)])
    return rows


def _groups(histogram: ScoreHistogram, rules: EvaluationRules) -> int:
    """Return how many groups may be shown: each must have enough rows of both kinds."""
    for groups in range(rules.groups, 1, -1):
        found = group_rows(histogram, groups)
        if found and all(min(group.good, group.bad) >= rules.least for group in found):
            return groups
    return 1


def _gains(histogram: ScoreHistogram, rules: EvaluationRules) -> list[JsonValue]:
    rows = gains(histogram, _groups(histogram, rules))
    share = 1 / len(rows) if rows else 0.0
    return [
        {
            "depth": rounded(share * (place + 1), 4),
            "rate": rounded(row.rate, 4),
            "lift": rounded(row.lift, 4),
            "found": rounded(row.found, 4),
            "cumulative_lift": rounded(row.cumulative_lift, 4),
            "ks": rounded(row.ks, 4),
        }
        for place, row in enumerate(rows)
    ]


def _calibration(histogram: ScoreHistogram, rules: EvaluationRules) -> list[JsonValue]:
    """Return [mean probability, rate of events, half of its confidence interval] of every group, lowest first."""
    rows: list[JsonValue] = []
    normal = NormalDist().inv_cdf(0.5 + rules.confidence / 2)
    for group in reversed(group_rows(histogram, _groups(histogram, rules))):
        if group.rows > 0:
            rate = group.bad / group.rows
            half = normal * math.sqrt(rate * (1 - rate) / group.rows)
            rows.append([rounded(group.score, 4), rounded(rate, 4), rounded(half, 4)])
    return rows


def _fit(histogram: ScoreHistogram, rules: EvaluationRules, *, is_hold_out: bool) -> JsonValue:
    found = hosmer_lemeshow(histogram, rules.groups, is_hold_out=is_hold_out)
    if found is None:
        return None
    return {
        "statistic": rounded(found.statistic, 2),
        "freedom": found.freedom,
        "probability": rounded(found.probability, 4),
    }


def _characteristic(name: str, counts: BinCounts, rules: EvaluationRules) -> dict[str, JsonValue]:
    table = woe_table(counts.goods, counts.bads)
    trained = [row.rows for row in table.rows]
    index = psi(trained, counts.hold_out)
    hidden = _hidden(table.rows, rules.least)
    bins: list[JsonValue] = [
        {"label": label, **_bin(row, is_told=place not in hidden)}
        for place, (label, row) in enumerate(zip(counts.labels, table.rows, strict=True))
    ]
    return {
        "feature": name,
        "iv": rounded(table.iv, rules.places),
        "strength": str(judge_strength(table.iv)),
        "csi": None if index is None else _index(index, rules),
        "bins": bins,
    }


def _bin(row: WoeRow, *, is_told: bool) -> dict[str, JsonValue]:
    if not is_told:
        return dict.fromkeys(("share", "rate", "woe", "iv"))
    return {
        "share": rounded(row.share, 4),
        "rate": rounded(row.rate, 4),
        "woe": rounded(row.woe, 4),
        "iv": rounded(row.iv, 4),
    }


def _hidden(rows: Sequence[WoeRow], least: int) -> frozenset[int]:
    """Return the bins that are not told: small ones, and the next one, since a single gap follows from the totals."""
    filled = sorted((min(row.goods, row.bads), place) for place, row in enumerate(rows) if row.rows > 0)
    small = [place for count, place in filled if count < least]
    return frozenset([*small, *(place for _, place in filled[len(small) :][:1])] if small else [])


def _index(value: float, rules: EvaluationRules) -> dict[str, JsonValue]:
    return {"value": rounded(value, rules.places), "reading": str(judge_stability(value))}


def _estimate(estimate: Estimate | None, rules: EvaluationRules) -> JsonValue:
    if estimate is None or not all(map(math.isfinite, (estimate.value, estimate.low, estimate.high))):
        return None
    return {name: rounded(getattr(estimate, name), rules.places) for name in ("value", "low", "high")}


def _number(value: float | None, rules: EvaluationRules) -> JsonValue:
    return None if value is None else rounded(value, rules.places)


def _count(value: float, rules: EvaluationRules) -> int:
    return int(rules.rounding * round(value / rules.rounding))
