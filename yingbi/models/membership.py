"""Membership inference: how well a row's loss tells whether the model was trained on it.

The attack of Yeom, Giacomelli, Fredrikson and Jha (Privacy Risk in Machine Learning, CSF 2018) says "member" where the
loss is under a threshold. Its advantage is hits less false alarms; here of the best threshold, which is the distance
of two distributions, so nobody who uses one threshold on the loss has a larger one (at the bins' resolution).

*Not protected*: attacks that train shadow models or calibrate the loss row by row may do better. Where the counts carry
noise, the bound does not: it is about which rows were drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.histogram import ScoreHistogram
from yingbi.models.numbers import ln, rounded

__all__ = [
    "USUAL_RULE",
    "MembershipCheck",
    "MembershipReason",
    "MembershipRule",
    "check_membership",
    "losses_of_scores",
]


class MembershipReason(StrEnum):
    """Why a model is held back."""

    ADVANTAGE = "advantage"
    BOUND = "bound"
    TOO_FEW = "too_few"


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipRule:
    """What is let pass: an advantage of at most `most` and, if that is said, an upper bound of at most `most_bound`.

    `least_rows`: with fewer rows in either sample nothing can be said, and the model is held.
    """

    most: float = 0.1
    most_bound: float | None = None
    least_rows: float = 100
    confidence: float = 0.95

    def to_json(self) -> dict[str, JsonValue]:
        """Return the rule as canonical JSON has it."""
        return {
            "most": rounded(self.most),
            "most_bound": None if self.most_bound is None else rounded(self.most_bound),
            "least_rows": rounded(self.least_rows, 0),
            "confidence": rounded(self.confidence),
        }


USUAL_RULE: Final = MembershipRule()
"""What is let pass where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipCheck:
    """The advantage, the bound that it stays under with the rule's confidence, and why the model is held, if it is.

    It passes where `reasons` is empty.
    """

    advantage: float
    bound: float
    reasons: tuple[MembershipReason, ...]
    rule: MembershipRule

    @property
    def is_passed(self) -> bool:
        """Tell whether nothing speaks against a release."""
        return not self.reasons

    def to_json(self) -> dict[str, JsonValue]:
        """Return the check as canonical JSON has it; counts are not in it."""
        return {
            "advantage": rounded(self.advantage),
            "bound": rounded(self.bound),
            "verdict": "pass" if self.is_passed else "hold",
            "reasons": [str(reason) for reason in self.reasons],
            "rule": self.rule.to_json(),
        }


def check_membership(
    trained: Sequence[float], hold_out: Sequence[float], rule: MembershipRule = USUAL_RULE
) -> MembershipCheck:
    """Judge a model by how its losses on rows it was trained on differ from those on rows it has not seen.

    Args:
        trained: rows in each bin of loss, ascending, of the training rows.
        hold_out: the same of the other rows.
        rule: what is let pass.

    The bound is that of Dvoretzky, Kiefer, Wolfowitz and Massart (1990), half of the error for each sample: it holds
    for all thresholds at once.

    Raises:
        InvalidRequestError: the samples have different bins.
    """
    if len(trained) != len(hold_out) or not len(trained):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected the same bins of loss in both samples")
    members, others = ([max(float(count), 0.0) for count in sample] for sample in (trained, hold_out))
    sizes = sum(members), sum(others)
    if not all(map(math.isfinite, sizes)):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected finite counts")
    if min(sizes) <= 0:
        return MembershipCheck(advantage=1.0, bound=1.0, reasons=(MembershipReason.TOO_FEW,), rule=rule)
    advantage = _distance(members, others, sizes)
    slack = sum(math.sqrt(ln(4 / (1 - rule.confidence)) / (2 * size)) for size in sizes)
    bound = min(advantage + slack, 1.0)
    return MembershipCheck(
        advantage=advantage, bound=bound, reasons=tuple(_reasons(advantage, bound, min(sizes), rule)), rule=rule
    )


def losses_of_scores(histogram: ScoreHistogram) -> tuple[float, ...]:
    """Return rows by loss, ascending, from rows by score: a loss depends on the probability given to what came alone.

    Raises:
        InvalidRequestError: the bins are not symmetric, so that a bin of one kind is none of the other.
    """
    edges = histogram.edges
    if any(abs(low + high - edges[0] - edges[-1]) > 1e-9 for low, high in zip(edges, reversed(edges), strict=True)):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected bins of score that are symmetric")
    return tuple(bad + good for bad, good in zip(reversed(histogram.bads), histogram.goods, strict=True))


def _distance(members: Sequence[float], others: Sequence[float], sizes: tuple[float, float]) -> float:
    best = hits = alarms = 0.0
    for member, other in zip(members, others, strict=True):
        hits, alarms = hits + member, alarms + other
        best = max(best, abs(hits / sizes[0] - alarms / sizes[1]))
    return min(best, 1.0)


def _reasons(advantage: float, bound: float, least: float, rule: MembershipRule) -> list[MembershipReason]:
    found = []
    if least < rule.least_rows:
        found.append(MembershipReason.TOO_FEW)
    if advantage > rule.most:
        found.append(MembershipReason.ADVANTAGE)
    if rule.most_bound is not None and bound > rule.most_bound:
        found.append(MembershipReason.BOUND)
    return found
