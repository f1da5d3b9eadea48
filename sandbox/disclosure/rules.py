"""The order of the rules, and the one list of them.

Threshold, dominance, zeros, class disclosure, quantiles; then secondary suppression and history (one question to
`history_gate`), then rounding. Every rule sees the whole candidate: none relies on what another held back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from policies.disclosure import DisclosureRules
from sandbox.candidate import Bools, Candidate, RegressionCandidate
from sandbox.disclosure.class_disclosure import check_class_disclosure
from sandbox.disclosure.dominance import check_dominance
from sandbox.disclosure.facts import TableFacts
from sandbox.disclosure.quantiles import check_quantiles
from sandbox.disclosure.regression import check_regression
from sandbox.disclosure.threshold import check_threshold
from sandbox.disclosure.verdict import Finding, Judgement, RuleId, merge_masks
from sandbox.disclosure.zeros import check_zeros
from sandbox.operations.measure import Measure
from yingbi.events.outputs import Remedy

__all__ = ["MODEL_STAGE", "TABLE_STAGES", "Stage", "judge_model", "judge_table"]

_TableCheck = Callable[[Candidate, DisclosureRules, TableFacts], Judgement]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One module of rules: its name (the module's), the check, and the rules whose findings it may return."""

    name: str
    check: _TableCheck
    rules: tuple[RuleId, ...]


TABLE_STAGES: Final = (
    Stage(
        name="threshold",
        check=check_threshold,
        rules=(RuleId.THRESHOLD_CELL, RuleId.THRESHOLD_COMPLEMENT, RuleId.THRESHOLD_OUTSIDE),
    ),
    Stage(
        name="dominance",
        check=check_dominance,
        rules=(RuleId.DOMINANCE_TOP, RuleId.DOMINANCE_P_PERCENT, RuleId.NEGATIVE),
    ),
    Stage(name="zeros", check=check_zeros, rules=(RuleId.ZEROS,)),
    Stage(
        name="class_disclosure",
        check=check_class_disclosure,
        rules=(RuleId.CLASS_SLICE, RuleId.CLASS_CONDITION, RuleId.CLASS_CONSTANT, RuleId.CLASS_INDICATOR),
    ),
    Stage(name="quantiles", check=check_quantiles, rules=(RuleId.QUANTILE_FRACTION, RuleId.QUANTILE_SIDES)),
)

MODEL_STAGE: Final = "regression"
"""The module of `judge_model`; its rules begin with that name, besides the thresholds on the model's units."""


def judge_table(candidate: Candidate, rules: DisclosureRules, facts: TableFacts) -> Judgement:
    """Return what all rules together say of a table.

    `protect` is complete: it has a mask for every measure. A value is a target as soon as one rule that holds it back
    makes it one. What fails anyway needs no review.
    """
    stages = [stage.check(candidate, rules, facts) for stage in TABLE_STAGES]
    nothing: dict[Measure, Bools] = {m: np.zeros(candidate.cells, dtype=np.bool_) for m in candidate.measures}
    suppress = merge_masks(nothing, *(one.suppress for one in stages))
    protect = merge_masks(nothing, *({**one.suppress, **one.protect} for one in stages))
    review = {m: mask & ~suppress[m] for m, mask in merge_masks(nothing, *(one.review for one in stages)).items()}
    findings = tuple(finding for one in stages for finding in one.findings if _still_holds(finding, review))
    return Judgement(suppress=suppress, review=review, protect=protect, findings=findings, remedies=_remedies(stages))


def judge_model(candidate: RegressionCandidate, rules: DisclosureRules, facts: TableFacts) -> Judgement:
    """Return what the rules say of a regression."""
    return check_regression(candidate, rules, facts)


def _still_holds(finding: Finding, review: dict[Measure, Bools]) -> bool:
    return finding.rule != RuleId.NEGATIVE.value or any(mask.any() for mask in review.values())


def _remedies(stages: list[Judgement]) -> tuple[Remedy, ...]:
    asked = {remedy for one in stages for remedy in one.remedies}
    return tuple(remedy for remedy in Remedy if remedy in asked)
