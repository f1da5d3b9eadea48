"""Zeros: a value to which nobody contributes, or to which everybody contributes nothing, tells something of everybody.

Where the agreement refuses zeros, they are held back like small cells, and look like them.
"""

from typing import Final

import numpy as np

from policies.disclosure import DisclosureRules, Zeros
from sandbox.candidate import Bools, Candidate, MeasureValues
from sandbox.disclosure.facts import TableFacts
from sandbox.disclosure.layout import finest_dimension
from sandbox.disclosure.verdict import Judgement, RuleId, find
from sandbox.operations.measure import Measure, MeasureKind
from yingbi.events.outputs import Remedy, Risk
from yingbi.plan.model import TableQuestion

__all__ = ["check_zeros", "is_emptiness_public", "zero_values"]

_ADDITIVE: Final = frozenset({MeasureKind.SUM, MeasureKind.SQUARES, MeasureKind.PRODUCT})


def check_zeros(candidate: Candidate, rules: DisclosureRules, facts: TableFacts) -> Judgement:
    """Fail zeros where the agreement refuses them; what everybody knows to be empty is held back but not a target."""
    if rules.zeros is Zeros.ALLOW:
        return Judgement()
    zero = {measure: zero_values(measure, values) for measure, values in candidate.measures.items()}
    protect = {
        measure: mask & ~((candidate.rows == 0) & is_emptiness_public(candidate.question, facts))
        for measure, mask in zero.items()
    }
    # SECURITY: that nobody in a cell meets a confidential condition is told as `class.condition`, like that all do.
    told = [mask & ~((candidate.rows > 0) & facts.has_confidential(m.where)) for m, mask in zero.items()]
    findings = find(Risk.ZEROS, RuleId.ZEROS, told, finest_dimension(candidate))
    remedies = (Remedy.COARSER_LEVEL, Remedy.FEWER_DIMENSIONS) if findings else ()
    return Judgement(suppress=zero, findings=findings, remedies=remedies, protect=protect)


def zero_values(measure: Measure, values: MeasureValues) -> Bools:
    """Return where no row contributes, or every contribution to a sum is zero."""
    empty: Bools = values.rows == 0
    if measure.kind not in _ADDITIVE:
        return empty
    return empty | np.array([absolute == 0 for absolute in values.absolute], dtype=np.bool_)


def is_emptiness_public(question: TableQuestion, facts: TableFacts) -> bool:
    """Return whether everybody knows which cells have rows: membership, dimensions and filter are public."""
    dimensions = any(facts.is_confidential(dimension.column) for dimension in question.group_by)
    return facts.is_membership_public and not dimensions and not facts.has_confidential(question.where)
