"""Rules on what a federation has trained: enough entities and units behind all of it, and no memory of single rows.

Sums of several units are what is judged here; what each unit gave to them, nobody has seen.
"""

from typing import Final

from policies.disclosure import DisclosureRules
from sandbox.candidate import TrainedCandidate
from sandbox.disclosure.verdict import Finding, RuleId
from yingbi.canonical import JsonValue
from yingbi.events.outputs import CheckVerdict, Risk

__all__ = ["MAX_ADVANTAGE", "judge_trained", "trained_evidence"]

MAX_ADVANTAGE: Final = 0.1
"""The largest advantage of a membership attack (true positives less false ones) that leaves without a person's look."""


def judge_trained(candidate: TrainedCandidate, rules: DisclosureRules) -> tuple[Finding, ...]:
    """Return what the rules say against a trained model; nothing where it may leave.

    Too few entities or units fail, because no part of a model can be left out. A model that tells training rows from
    others is looked at by a person (Yeom et al. 2018: the attack by loss, which any holder of the model can carry out).
    """
    found = []
    if candidate.smallest is not None and candidate.smallest < rules.min_units:
        found.append(_finding(Risk.THRESHOLD, RuleId.TRAINING_ENTITIES, CheckVerdict.FAIL))
    if candidate.contributors < rules.min_contributors:
        found.append(_finding(Risk.THRESHOLD, RuleId.TRAINING_CONTRIBUTORS, CheckVerdict.FAIL))
    # Not `>`: what is no number is looked at.
    if candidate.advantage is not None and not candidate.advantage <= MAX_ADVANTAGE:
        found.append(_finding(Risk.MODEL_MEMORY, RuleId.TRAINING_MEMBERSHIP, CheckVerdict.REVIEW))
    return tuple(found)


def trained_evidence(candidate: TrainedCandidate) -> dict[str, JsonValue]:
    """Return what the reviewer at the node sees of a trained model."""
    return {
        "document": dict(candidate.document),
        "smallest": candidate.smallest,
        "contributors": candidate.contributors,
        "advantage": None if candidate.advantage is None else repr(candidate.advantage),
    }


def _finding(risk: Risk, rule: RuleId, verdict: CheckVerdict) -> Finding:
    return Finding(risk=risk, rule=rule.value, verdict=verdict)
