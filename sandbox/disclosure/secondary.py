"""Secondary suppression: cells that follow from margins and from the cells beside them.

There is no second algorithm for it: a suppressed cell is a target, the released cells and margins of the same table
are answers, and history's worlds decide whether another world exists. Here the proposal to it is put together.
"""

import numpy as np

from policies.disclosure import DisclosureRules
from sandbox.candidate import Bools, Candidate, MeasureValues, RegressionCandidate
from sandbox.catalog.model import Catalogue
from sandbox.disclosure.history_gate import Proposal, ProposedMeasure
from sandbox.disclosure.verdict import Judgement
from sandbox.operations.measure import Measure

__all__ = ["propose_model", "propose_table"]


def propose_table(candidate: Candidate, judgement: Judgement, rules: DisclosureRules, catalogue: Catalogue) -> Proposal:
    """Propose what is left after the rules; every value that failed is a target, unless its zero is public."""
    measures = {measure: _proposed(measure, values, judgement) for measure, values in candidate.measures.items()}
    return Proposal(
        question=candidate.question,
        keys=candidate.keys,
        is_total=candidate.is_total,
        measures=measures,
        rules=rules,
        catalogue=catalogue,
    )


def propose_model(candidate: RegressionCandidate, rules: DisclosureRules, catalogue: Catalogue) -> Proposal:
    """Propose a model that passed: one cell, all of whose measures are published."""
    published = np.ones(1, dtype=np.bool_)
    measures = {
        measure: ProposedMeasure(values=values, publishable=published.copy(), primary=~published)
        for measure, values in candidate.measures.items()
    }
    return Proposal(
        question=candidate.question,
        keys=((),),
        is_total=np.zeros((1, 0), dtype=np.bool_),
        measures=measures,
        rules=rules,
        catalogue=catalogue,
    )


def _proposed(measure: Measure, values: MeasureValues, judgement: Judgement) -> ProposedMeasure:
    nothing: Bools = np.zeros(len(values.rows), dtype=np.bool_)
    failed = judgement.suppress.get(measure, nothing)
    primary = judgement.protect.get(measure, failed)
    return ProposedMeasure(values=values, publishable=~failed, primary=primary.copy())
