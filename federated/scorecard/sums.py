"""From the sums of a federation's evaluation to its document, and to the decision whether the model may go.

INVARIANT: pure, and the same at every member: sums in a fixed order, decimal logarithms, all numbers rounded.
"""

from typing import Final

from federated.content import Arrays
from federated.horizontal.evaluation import LOSS_COUNTS, SCORE_COUNTS, score_edges
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.evaluation import USUAL_RULES, EvaluationRules, evaluate
from yingbi.models.histogram import ScoreHistogram, make_histogram
from yingbi.models.membership import USUAL_RULE, MembershipCheck, MembershipRule, check_membership

__all__ = ["check_sums", "evaluate_sums", "read_scores"]

_SPLITS: Final = 2
_KINDS: Final = 2


def evaluate_sums(sums: Arrays, rules: EvaluationRules = USUAL_RULES) -> dict[str, JsonValue]:
    """Make the evaluation of the sums of a last exchange (docs/spec/recipes.md).

    Args:
        sums: `score_counts` of shape (split, target, bins of score) and `loss_counts` of shape (split, bins of loss);
            splits are training and hold-out.
        rules: how it is written.

    Raises:
        InvalidRequestError: an array is missing or has another shape.
    """
    training, hold_out = read_scores(sums)
    trained, others = _losses(sums)
    return evaluate(training, hold_out, losses=(trained, others), rules=rules)


def check_sums(sums: Arrays, rule: MembershipRule = USUAL_RULE) -> MembershipCheck:
    """Decide by membership inference whether a model may be released; the reasons are in the answer.

    Raises:
        InvalidRequestError: an array is missing or has another shape.
    """
    return check_membership(*_losses(sums), rule)


def read_scores(sums: Arrays) -> tuple[ScoreHistogram, ScoreHistogram]:
    """Return the histograms of training and hold-out scores.

    Raises:
        InvalidRequestError: the array is missing or has another shape.
    """
    counts = sums.get(SCORE_COUNTS)
    edges = score_edges()
    if counts is None or counts.shape != (_SPLITS, _KINDS, len(edges) - 1):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected `{SCORE_COUNTS}` by split, target and bin")
    training, hold_out = (make_histogram(goods.tolist(), bads.tolist(), edges) for goods, bads in counts)
    return training, hold_out


def _losses(sums: Arrays) -> tuple[list[float], list[float]]:
    counts = sums.get(LOSS_COUNTS)
    if counts is None or counts.ndim != 2 or counts.shape[0] != _SPLITS:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected `{LOSS_COUNTS}` by split and bin")
    trained, others = counts.tolist()
    return trained, others
