"""The release door: the one way from a candidate to something that leaves the node.

`release` runs the rules, asks history, holds back what either says, turns measures into columns, lays them out, records
the answer, and only then returns it. It returns a `Held` where a person must look, where too little would be left, or
where a model fails.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Final

import numpy as np

from policies.disclosure import DisclosureRules
from sandbox.candidate import Candidate, MeasureValues, RegressionCandidate, TrainedCandidate
from sandbox.catalog.model import Catalogue
from sandbox.disclosure.approval import Approval
from sandbox.disclosure.evidence import finding_json, model_evidence, table_evidence
from sandbox.disclosure.facts import TableFacts, facts_of
from sandbox.disclosure.form import check_form
from sandbox.disclosure.grid import complete_grid
from sandbox.disclosure.history_gate import HistoryGate, HistoryVerdict, Proposal
from sandbox.disclosure.json_form import model_json, table_json, training_json
from sandbox.disclosure.layout import is_layout_public, sort_key
from sandbox.disclosure.presentation import columns_of, name_bins, present
from sandbox.disclosure.regression import propose_levels
from sandbox.disclosure.released import (
    RELEASE_DOOR,
    Held,
    Outgoing,
    ReleasedModel,
    ReleasedRow,
    ReleasedTable,
    ReleasedTerm,
    ReleasedTraining,
)
from sandbox.disclosure.rounding import round_measure, round_to_base
from sandbox.disclosure.rules import judge_model, judge_table
from sandbox.disclosure.rules_digest import rules_digest
from sandbox.disclosure.secondary import propose_model, propose_table
from sandbox.disclosure.trained import judge_trained, trained_evidence
from sandbox.disclosure.verdict import RISKS_OF_VALUES, Bools, Finding, Judgement, Masks, RuleId, merge_masks
from sandbox.operations.measure import Measure
from sandbox.operations.registry import estimate_text, finish, measures_of
from yingbi.canonical import JsonValue, digest_json
from yingbi.errors import ErrorCode, RefusedError, UnavailableError
from yingbi.events.outputs import CheckVerdict, DisclosureMode, Remedy, Risk
from yingbi.plan.codec import question_digest
from yingbi.plan.model import Presentation, TableQuestion

__all__ = ["LEAST_SHARE", "ReleaseContext", "release"]

LEAST_SHARE: Final = Fraction(1, 10)
"""A table of which less than this share of its values is left is held: another question would serve better."""

_OBSERVATION_BASE: Final = 10
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseContext:
    """What the door needs besides candidate, rules and history.

    `catalogue` has the versions that the question pins. `presentation` lays out a table (absent: all columns, named by
    their place). `approval` is a person's decision on this candidate when it was held. `is_checked`: the agreement
    asks for such a decision on every result.
    """

    catalogue: Catalogue
    presentation: Presentation | None = None
    approval: Approval | None = None
    is_checked: bool = False


def release(
    candidate: Candidate | RegressionCandidate | TrainedCandidate,
    rules: DisclosureRules,
    history: HistoryGate,
    *,
    context: ReleaseContext,
) -> Outgoing | Held:
    """Return what may come out of `candidate` under `rules` and `history`, recorded before it is returned.

    Raises:
        RefusedError: the agreement allows private mode only, or history is at its bound.
        UnavailableError: the engine broke its contract, or other answers were checked all the time.
        InvalidRequestError: the presentation does not fit the question.
    """
    if isinstance(candidate, TrainedCandidate):
        return _release_training(candidate, rules, context)
    if rules.mode is not DisclosureMode.EXACT:
        raise RefusedError(ErrorCode.JOB_REFUSED, "expected an agreement that allows exact mode")
    if isinstance(candidate, RegressionCandidate):
        return _release_model(candidate, rules, history, context)
    return _release_table(candidate, rules, history, context)


# --- tables -----------------------------------------------------------------------------------------------------------


def _release_table(
    candidate: Candidate, rules: DisclosureRules, history: HistoryGate, context: ReleaseContext
) -> ReleasedTable | Held:
    check_form(candidate)
    presentation = context.presentation or _plain(candidate.question)
    facts = facts_of(candidate.question, context.catalogue)
    candidate = complete_grid(candidate, facts)
    judgement = judge_table(candidate, rules, facts)
    evidence = _Evidence(lambda: table_evidence(candidate, judgement))
    judged = _after_review(judgement, context.approval, evidence)
    proposal = propose_table(candidate, judged, rules, context.catalogue)
    for _ in range(_ATTEMPTS):
        verdict = history.judge(proposal)
        hidden = _hidden(candidate, judged, verdict)
        found = (*judged.findings, *verdict.findings, *_check_emptiness(candidate, hidden))
        findings = (*found, *_agreed_check(context))
        if _is_held(findings, context.approval, evidence, history=verdict.findings):
            history.discard(verdict.token)
            is_final = _is_fatal(findings, verdict.findings)
            return _hold(candidate, rules, findings, judged.remedies, evidence, verdict, is_final=is_final)
        risks = _risks(judged.findings, verdict, facts)
        table = _table(candidate, rules, facts, presentation, hidden, findings, risks)
        if _recorded(history, verdict):
            return table
    raise UnavailableError(ErrorCode.HISTORY_BUSY, "expected a moment without other answers, got none")


def _plain(question: TableQuestion) -> Presentation:
    names = [f"dimension_{place}" for place in range(len(question.group_by))]
    names += [f"value_{place}" for place in range(len(question.aggregates))]
    return Presentation(names=tuple(names))


class _Evidence:
    """Evidence and its digest, made when somebody needs them: most tables are released without."""

    def __init__(self, make: Callable[[], dict[str, JsonValue]]) -> None:
        self._make = make

    @cached_property
    def json(self) -> dict[str, JsonValue]:
        return self._make()

    @cached_property
    def digest(self) -> str:
        return digest_json(self.json)


def _after_review(judgement: Judgement, approval: Approval | None, evidence: _Evidence) -> Judgement:
    """Hold back what was reviewed, where the reviewer wants that."""
    if approval is None or not approval.suppress_reviewed or approval.candidate != evidence.digest:
        return judgement
    return replace(
        judgement,
        suppress=merge_masks(judgement.suppress, judgement.review),
        protect=merge_masks(judgement.protect, judgement.review),
    )


def _hidden(candidate: Candidate, judgement: Judgement, verdict: HistoryVerdict) -> dict[Measure, Bools]:
    """Return what is suppressed of each measure, by the rules or by history."""
    unknown = set(verdict.suppress) - set(candidate.measures)
    if unknown or any(len(mask) != candidate.cells for mask in verdict.suppress.values()):
        raise UnavailableError(ErrorCode.ENGINE_FAILED, "history judged another table than it was given")
    return merge_masks(judgement.suppress, verdict.suppress)


def _agreed_check(context: ReleaseContext) -> tuple[Finding, ...]:
    if not context.is_checked:
        return ()
    return (Finding(risk=Risk.UNCHECKED, rule=RuleId.AGREED_CHECK.value, verdict=CheckVerdict.REVIEW),)


def _check_emptiness(candidate: Candidate, hidden: Masks) -> tuple[Finding, ...]:
    """Find a table of which too little is left; what is empty anyway does not count."""
    question = candidate.question
    counted = candidate.rows > 0 if candidate.rows.any() else np.ones(candidate.cells, dtype=np.bool_)
    masks = [_aggregate_mask(question, place, hidden) for place in range(len(question.aggregates))]
    values = len(masks) * int(counted.sum())
    left = sum(int((~mask & counted).sum()) for mask in masks)
    if values > 0 and left >= LEAST_SHARE * values:
        return ()
    verdict = CheckVerdict.REVIEW if left else CheckVerdict.FAIL
    return (Finding(risk=Risk.THRESHOLD, rule=RuleId.TABLE_EMPTY.value, verdict=verdict, cells=values - left),)


def _is_held(
    findings: tuple[Finding, ...], approval: Approval | None, evidence: _Evidence, *, history: tuple[Finding, ...]
) -> bool:
    """Return whether a finding keeps the table inside: failed values are suppressed, the rest needs an approval."""
    if _is_fatal(findings, history):
        return True
    reviews = [finding for finding in findings if finding.verdict is CheckVerdict.REVIEW]
    return any(approval is None or not approval.covers(evidence.digest, finding) for finding in reviews)


def _is_fatal(findings: tuple[Finding, ...], history: tuple[Finding, ...]) -> bool:
    """Return whether nothing may come out, whoever approves it: nothing is left, or history finds no part that can."""
    fatal = {finding for finding in findings if finding.rule == RuleId.TABLE_EMPTY.value} | set(history)
    return any(finding.verdict is CheckVerdict.FAIL for finding in fatal)


def _hold(
    candidate: Candidate | RegressionCandidate | TrainedCandidate,
    rules: DisclosureRules,
    findings: tuple[Finding, ...],
    remedies: tuple[Remedy, ...],
    evidence: _Evidence,
    verdict: HistoryVerdict | None = None,
    *,
    is_final: bool,
) -> Held:
    findings = _telling(findings, verdict)
    offered = {*remedies, Remedy.PRIVATE_MODE}
    if any(finding.verdict is CheckVerdict.REVIEW for finding in findings):
        offered.add(Remedy.SUPPRESS_CELLS)
    if any(finding.risk in (Risk.DIFFERENCING, Risk.SECONDARY_DISCLOSURE, Risk.THRESHOLD) for finding in findings):
        offered |= {Remedy.COARSER_LEVEL, Remedy.FEWER_DIMENSIONS, Remedy.LONGER_PERIOD}
    return Held(
        question=question_digest(candidate.question),
        rules=rules_digest(rules),
        findings=findings,
        remedies=tuple(remedy for remedy in Remedy if remedy in offered),
        candidate=evidence.digest,
        evidence={
            "candidate": evidence.json,
            "findings": [finding_json(finding) for finding in findings],
            "history": None if verdict is None else dict(verdict.evidence),
        },
        is_final=is_final,
    )


def _telling(findings: tuple[Finding, ...], verdict: HistoryVerdict | None) -> tuple[Finding, ...]:
    """Return the findings that say why; one that passes does only where history suppressed something for it."""
    has_suppressed = verdict is not None and any(bool(mask.any()) for mask in verdict.suppress.values())
    return tuple(one for one in findings if has_suppressed or one.verdict is not CheckVerdict.PASS)


def _recorded(history: HistoryGate, verdict: HistoryVerdict) -> bool:
    """Record the answer; tell whether nothing was recorded since it was judged."""
    try:
        history.record(verdict.token)
    except UnavailableError as error:
        if error.code is not ErrorCode.HISTORY_BUSY:
            raise
        return False
    return True


# --- from what is left to columns -------------------------------------------------------------------------------------


def _table(
    candidate: Candidate,
    rules: DisclosureRules,
    facts: TableFacts,
    presentation: Presentation,
    hidden: Masks,
    findings: tuple[Finding, ...],
    risks: tuple[Risk, ...],
) -> ReleasedTable:
    columns = columns_of(presentation, candidate.question)
    rows = present(_rows(candidate, rules, facts, hidden), presentation, columns)
    rows = name_bins(rows, candidate.question)
    table = ReleasedTable(
        question=question_digest(candidate.question),
        rules=rules_digest(rules),
        columns=columns,
        order=presentation.columns or presentation.names,
        rows=rows,
        risks=risks,
        rounding=rules.rounding,
        findings=tuple(replace(finding, cells=None) for finding in findings),
        digest="",
        door=RELEASE_DOOR,
    )
    return replace(table, digest=digest_json(table_json(table)), door=RELEASE_DOOR)


def _rows(candidate: Candidate, rules: DisclosureRules, facts: TableFacts, hidden: Masks) -> tuple[ReleasedRow, ...]:
    """Return rows sorted by dimension; a row without any released value is there only where all rows are public."""
    question = candidate.question
    released = {m: _released_totals(m, v, rules, facts, hidden) for m, v in candidate.measures.items()}
    scales = {column: fact.decimals for column, fact in facts.columns.items()}
    columns = finish(question, released, scales)
    masks = [_aggregate_mask(question, place, hidden) for place in range(len(question.aggregates))]
    totals = [tuple(flags) for flags in candidate.is_total.tolist()]
    order = sorted(
        range(candidate.cells), key=lambda cell: sort_key(candidate.keys[cell], totals[cell], question, facts)
    )
    shown = is_layout_public(question, facts)
    return tuple(
        ReleasedRow(
            keys=candidate.keys[cell],
            totals=totals[cell],
            # SECURITY: what is suppressed is dropped here again, whatever an operation made of the rest.
            values=tuple(None if mask[cell] else column[cell] for mask, column in zip(masks, columns, strict=True)),
            suppressed=tuple(bool(mask[cell]) for mask in masks),
        )
        for cell in order
        if shown or not all(mask[cell] for mask in masks)
    )


def _released_totals(
    measure: Measure, values: MeasureValues, rules: DisclosureRules, facts: TableFacts, hidden: Masks
) -> list[int | None]:
    rounded = round_measure(measure, values, rules.rounding, facts)
    return [None if gone else total for total, gone in zip(rounded.totals, hidden[measure].tolist(), strict=True)]


def _aggregate_mask(question: TableQuestion, place: int, hidden: Masks) -> Bools:
    """Return where an aggregate is suppressed: wherever one of its measures is."""
    alone = replace(question, aggregates=(question.aggregates[place],))
    mask: Bools = np.logical_or.reduce([hidden[measure] for measure in measures_of(alone)])
    return mask


def _risks(findings: tuple[Finding, ...], verdict: HistoryVerdict, facts: TableFacts) -> tuple[Risk, ...]:
    """Return why values are suppressed: what rules found, and history where it held something back.

    SECURITY: rules that look at confidential values are told as one. Of a table with one suppressed cell, `zeros`
    alone would say that nobody there paid, and `class-disclosure` alone that everybody is of one kind.
    """
    found = {finding.risk for finding in findings}
    is_public = facts.is_membership_public and not any(map(facts.is_confidential, facts.columns))
    if not is_public and found & RISKS_OF_VALUES:
        found |= RISKS_OF_VALUES
    if any(bool(mask.any()) for mask in verdict.suppress.values()):
        found |= {finding.risk for finding in verdict.findings} or {Risk.DIFFERENCING}
    return tuple(risk for risk in Risk if risk in found)


# --- models -----------------------------------------------------------------------------------------------------------


def _release_model(
    candidate: RegressionCandidate, rules: DisclosureRules, history: HistoryGate, context: ReleaseContext
) -> ReleasedModel | Held:
    facts = facts_of(candidate.question, context.catalogue)
    judgement = judge_model(candidate, rules, facts)
    evidence = _Evidence(lambda: model_evidence(candidate))
    if judgement.findings:
        # A model has no part that could come out without the rest.
        return _hold(candidate, rules, judgement.findings, judgement.remedies, evidence, is_final=True)
    for table in propose_levels(candidate, rules, context.catalogue):
        refused = _record_levels(history, table, context.approval, evidence)
        if refused is not None:
            is_final = _is_final_model(refused)
            findings = refused.findings or (_differencing(),)
            return _hold(candidate, rules, findings, (), evidence, refused, is_final=is_final)
    proposal = propose_model(candidate, rules, context.catalogue)
    for _ in range(_ATTEMPTS):
        verdict = history.judge(proposal)
        found = (*verdict.findings, *_agreed_check(context))
        is_final = _is_final_model(verdict)
        if is_final or _is_held(found, context.approval, evidence, history=verdict.findings):
            history.discard(verdict.token)
            return _hold(candidate, rules, found or (_differencing(),), (), evidence, verdict, is_final=is_final)
        model = _model(candidate, rules, verdict.findings)
        if _recorded(history, verdict):
            return model
    raise UnavailableError(ErrorCode.HISTORY_BUSY, "expected a moment without other answers, got none")


def _record_levels(
    history: HistoryGate, proposal: Proposal, approval: Approval | None, evidence: _Evidence
) -> HistoryVerdict | None:
    """Record a table that a model gives away, or return the verdict that keeps it inside.

    Recorded before the model itself is judged: where that is held after all, history has overstated what came out.
    """
    for _ in range(_ATTEMPTS):
        verdict = history.judge(proposal)
        if _is_model_held(verdict, approval, evidence):
            history.discard(verdict.token)
            return verdict
        if _recorded(history, verdict):
            return None
    raise UnavailableError(ErrorCode.HISTORY_BUSY, "expected a moment without other answers, got none")


def _is_model_held(verdict: HistoryVerdict, approval: Approval | None, evidence: _Evidence) -> bool:
    return _is_final_model(verdict) or _is_held(verdict.findings, approval, evidence, history=verdict.findings)


def _is_final_model(verdict: HistoryVerdict) -> bool:
    """Return whether history keeps a model inside for good; there is no part of it to suppress."""
    is_suppressed = any(bool(mask.any()) for mask in verdict.suppress.values())
    return is_suppressed or _is_fatal((), verdict.findings)


def _differencing() -> Finding:
    return Finding(risk=Risk.DIFFERENCING, rule=RuleId.HISTORY.value, verdict=CheckVerdict.FAIL)


def _model(candidate: RegressionCandidate, rules: DisclosureRules, findings: tuple[Finding, ...]) -> ReleasedModel:
    terms = zip(candidate.terms, candidate.coefficients.tolist(), candidate.standard_errors.tolist(), strict=True)
    model = ReleasedModel(
        question=question_digest(candidate.question),
        rules=rules_digest(rules),
        family=candidate.question.family.value,
        terms=tuple(
            ReleasedTerm(name=name, coefficient=estimate_text(coefficient), standard_error=estimate_text(error))
            for name, coefficient, error in terms
        ),
        observations=str(round_to_base(candidate.rows, max(rules.rounding, _OBSERVATION_BASE))),
        r_squared=None if candidate.r_squared is None else estimate_text(candidate.r_squared),
        findings=tuple(replace(finding, cells=None) for finding in findings),
        digest="",
        door=RELEASE_DOOR,
    )
    return replace(model, digest=digest_json(model_json(model)), door=RELEASE_DOOR)


# --- what federations train -------------------------------------------------------------------------------------------


def _release_training(
    candidate: TrainedCandidate, rules: DisclosureRules, context: ReleaseContext
) -> ReleasedTraining | Held:
    """Judge what was trained by itself.

    History is about what one node tells of its own data; a federation's sums are over three units at least, and which
    sums may be told beside each other is the log's rule of sets (docs/spec/federation.md).
    """
    evidence = _Evidence(lambda: trained_evidence(candidate))
    findings = (*judge_trained(candidate, rules), *_agreed_check(context))
    is_final = any(one.verdict is CheckVerdict.FAIL for one in findings)
    if is_final or _is_held(findings, context.approval, evidence, history=()):
        return _hold(candidate, rules, findings, (), evidence, is_final=is_final)
    training = ReleasedTraining(
        question=question_digest(candidate.question),
        rules=rules_digest(rules),
        document=candidate.document,
        findings=findings,
        digest="",
        door=RELEASE_DOOR,
    )
    return replace(training, digest=digest_json(training_json(training)), door=RELEASE_DOOR)
