"""Deciding about jobs: by the bureau's rules at once, or by people; a refusal is recorded with its reasons.

The hub decides with the same judge as a node does, over the catalogue and the agreement as they stand at the time of
the entry. It decides first, so that a refusal is told at once; the node decides again and believes nobody.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from api.bureau import Bureau
from api.catalogue import HubCatalogue
from api.federation_groups import FederationGroups
from api.rules import DECLARATION, ApprovalRule, find_rule
from api.submissions import Follow, Submission
from api.usage import Usage
from ledger.store import LogReads
from policies.codec import reason_to_json
from policies.compiled import compile_agreement, covers
from policies.decision import Reason
from policies.request import Consumption
from policies.standing import JobStanding, Rule, Standing, StatementRefusedError
from sandbox.catalog.model import Catalogue
from sandbox.node.judging import Asking, Explanation, Judge
from sandbox.query.recipes import RecipeCheck, refuse_recipes
from sandbox.query.uses import datasets, operations
from yingbi.canonical import JsonValue
from yingbi.clock import FixedClock, parse_time
from yingbi.commitment import commit
from yingbi.errors import SandboxError
from yingbi.events import EntryType
from yingbi.events.fields import Duty
from yingbi.events.jobs import ApprovalRoute, JobGate, RefusalReason
from yingbi.ids import dataset_id
from yingbi.plan.codec import parse_plan
from yingbi.plan.model import Plan, TrainingQuestion

__all__ = ["Decider", "Judged"]

_NOWHERE: Final = "node:nowhere"
_ANY_OPERATION: Final = "plan"
_CLAUSE: Final = re.compile(r"[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*")
_MAX_CLAUSE: Final = 64
_MAX_REFUSALS: Final = 32
_EVERYBODY: Final = frozenset(Duty)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is decided about a question: why it is refused, or whose approval it needs, and what it would take."""

    explanation: Explanation
    reasons: tuple[Reason, ...]
    versions: dict[str, int]
    job_duties: tuple[Duty, ...] = ()

    @property
    def operations(self) -> tuple[str, ...]:
        """Return the operations that are asked for."""
        plan = self.explanation.plan
        return () if plan is None else operations(plan)


class Decider:
    """Judges questions against a standing, and says what the bureau records about a job."""

    def __init__(
        self,
        bureau: Bureau,
        catalogue: HubCatalogue,
        store: LogReads,
        usage: Usage,
        *,
        groups: FederationGroups,
        rules: tuple[ApprovalRule, ...] = (),
        check_recipe: RecipeCheck = refuse_recipes,
    ) -> None:
        self._bureau = bureau
        self._rules = rules
        self._check_recipe = check_recipe
        self._groups = groups
        self._catalogue = catalogue
        self._store = store
        self._usage = usage

    def judge(
        self,
        standing: Standing,
        *,
        at: str,
        partner: str,
        purpose: str,
        agreement: str,
        plan: JsonValue,
        apart_from: str | None = None,
    ) -> Judged:
        """Judge a question as if it were asked at a time; `apart_from` is the job that asks, and is not counted."""
        found = standing.agreements.get(agreement)
        is_theirs = found is not None and found.is_active(at) and found.agreement.assignee == partner
        terms = found.agreement if found is not None and is_theirs else None
        catalogue = self._catalogue.catalogue(standing)
        judge = Judge(
            place=_place(standing, plan),
            agreements=[] if terms is None else [compile_agreement(terms)],
            clock=FixedClock(parse_time(at)),
            licensed=standing.participants.licensed(at=at),
            frozen=_frozen(standing, catalogue),
            check_recipe=self._check_recipe,
        )
        asking = Asking(
            partner=partner,
            purpose=purpose,
            plan=plan,
            intermediary=None if terms is None else terms.intermediary,
            approvals=_EVERYBODY,
            job=apart_from,
        )
        seen = {agreement: self.consumption(standing, agreement, at=at, apart_from=apart_from)}
        explanation = judge.judge(asking, catalogue, seen)
        return Judged(
            explanation=explanation,
            reasons=_reasons(explanation),
            versions=_versions(explanation, catalogue),
            job_duties=() if explanation.decision is None else explanation.decision.job_duties,
        )

    def judge_job(self, standing: Standing, job: JobStanding, plan: JsonValue, *, at: str) -> Judged:
        """Judge a job that was submitted, with what its statement says."""
        asked = job.submitted
        judged = self.judge(
            standing,
            at=at,
            partner=job.partner,
            purpose=asked.purpose,
            agreement=asked.agreement,
            plan=plan,
            apart_from=job.id,
        )
        return judged if judged.reasons else replace(judged, reasons=_contradictions(judged, job))

    def decide(self, submission: Submission) -> Follow:
        """Return what follows from the submission of one job: an approval by rule, a refusal, or nothing yet."""
        payload = submission.statements[0].payload

        def then(standing: Standing, at: str) -> Submission:
            found = standing.jobs.get(payload.id)
            if found is None:
                return Submission()
            plan = next((one for one in submission.openings if one.commitment == found.submitted.plan), None)
            if plan is None:
                return self._refuse(standing, found, (_no_plan(),), at=at)
            judged = self.judge_job(standing, found, json.loads(plan.value), at=at)
            if judged.reasons:
                return self._refuse(standing, found, judged.reasons, at=at)
            if judged.job_duties:
                return Submission()
            rule = find_rule(self._rules, found.submitted.purpose)
            if rule.route is ApprovalRoute.DECLARED and payload.refs.get(DECLARATION) not in submission.documents:
                return self._refuse(standing, found, (_no_declaration(rule),), at=at)
            return self._approve(standing, found, rule, at=at)

        return then

    def plan_of(self, job: JobStanding) -> JsonValue:
        """Return the plan of a job.

        Raises:
            NotFoundError: its opening was erased.
        """
        plan: JsonValue = json.loads(self._store.read_opening(job.submitted.plan).value)
        return plan

    def _approve(self, standing: Standing, job: JobStanding, rule: ApprovalRule, *, at: str) -> Submission:
        agreement = standing.agreements.get(job.submitted.agreement)
        if agreement is None:
            return Submission()
        body = {
            "route": rule.route.value,
            "rule": rule.name,
            "terms": agreement.terms,
            "expires_at": rule.until(at, job.life.expires_at),
        }
        statement = self._bureau.state(EntryType.JOB_APPROVED, job.id, body, at=at)
        try:
            standing.judge(statement, at=at)
        except StatementRefusedError as error:
            # It relies on something that was stopped and that no terms name, such as the unit whose data it is.
            code = RefusalReason.FROZEN if error.rule is Rule.FROZEN else RefusalReason.AGREEMENT_NOT_ACTIVE
            return self._refuse(standing, job, (_refused(code, error.message),), at=at)
        return Submission(statements=(statement,))

    def _refuse(self, standing: Standing, job: JobStanding, reasons: Sequence[Reason], *, at: str) -> Submission:
        agreement = standing.agreements.get(job.submitted.agreement)
        explanation = commit({"reasons": [reason_to_json(reason) for reason in reasons]})
        body = {
            "gate": JobGate.SUBMISSION.value,
            "refusals": _refusals(reasons),
            "terms": None if agreement is None else agreement.terms,
            "explanation": explanation.commitment,
        }
        statement = self._bureau.state(EntryType.JOB_REFUSED, job.id, body, at=at)
        return Submission(statements=(statement,), openings=(explanation,))

    def consumption(self, standing: Standing, agreement: str, *, at: str, apart_from: str | None = None) -> Consumption:
        """Return what was used of an agreement's limits."""
        return self._usage.consumption(
            standing, agreement, at=at, apart_from=apart_from, rounds_of=self._groups.rounds_of
        )


def _place(standing: Standing, plan: JsonValue) -> str:
    """Return the one node that holds what a plan reads, or a place that no terms name."""
    try:
        names = datasets(parse_plan(plan))
    except SandboxError:
        return _NOWHERE
    listed = [standing.datasets.get(dataset_id(name)) for name in names]
    nodes = {None if one is None else one.node for one in listed}
    return (nodes.pop() if len(nodes) == 1 else None) or _NOWHERE


def _frozen(standing: Standing, catalogue: Catalogue) -> frozenset[str]:
    """Return what is frozen, with data sets also by the names that plans have for them."""
    frozen = standing.frozen
    return frozen | {name for name in catalogue.datasets if dataset_id(name) in frozen}


def _versions(explanation: Explanation, catalogue: Catalogue) -> dict[str, int]:
    if explanation.plan is None:
        return {}
    current = {name: catalogue.current(name) for name in datasets(explanation.plan)}
    return {dataset_id(name): version.version for name, version in current.items() if version is not None}


def _reasons(explanation: Explanation) -> tuple[Reason, ...]:
    if explanation.problem is not None:
        return (_refused(RefusalReason.PLAN_NOT_ADMITTED, explanation.problem.message),)
    if explanation.admitted is None and explanation.training is None and not explanation.reasons:
        return (_refused(RefusalReason.RULE_ERROR, "the question could not be judged"),)
    return explanation.reasons


def _contradictions(judged: Judged, job: JobStanding) -> tuple[Reason, ...]:
    """Return where the statement of a job says something else than its plan."""
    asked, found = job.submitted, []
    if {one.dataset: one.version for one in asked.datasets} != judged.versions:
        message = "the job names other versions than those that can be computed on now"
        found.append(_refused(RefusalReason.DATASET_VERSION_MISMATCH, message))
    if asked.operation != _ANY_OPERATION and not all(
        covers(frozenset({asked.operation}), one) for one in judged.operations
    ):
        message = "the job names another operation than its plan asks for"
        found.append(_refused(RefusalReason.OPERATION_NOT_GRANTED, message))
    if (None if asked.epsilon is None else Decimal(asked.epsilon)) != _epsilon(judged.explanation.plan):
        message = "the job names another epsilon than its plan asks for"
        found.append(_refused(RefusalReason.PARAMETER_NOT_ALLOWED, message))
    if asked.code is not None:
        found.append(_refused(RefusalReason.CODE_NOT_APPROVED, "no code of partners runs here"))
    if asked.certificate is not None:
        found.append(_refused(RefusalReason.CERTIFICATE_NOT_VALID, "no certificate of this number is known"))
    return tuple(found)


def _epsilon(plan: Plan | None) -> Decimal | None:
    """Return what a plan spends of its agreement's budget; nothing in exact mode."""
    question = None if plan is None else plan.question
    if not isinstance(question, TrainingQuestion) or question.privacy is None:
        return None
    return Decimal(question.privacy.epsilon)


def _no_declaration(rule: ApprovalRule) -> Reason:
    message = f"the bureau's rule `{rule.name}` asks for a declaration: name its digest in `refs`, and send it along"
    return replace(_refused(RefusalReason.APPROVAL_MISSING, message), allowed=(DECLARATION,))


def _no_plan() -> Reason:
    return _refused(RefusalReason.PLAN_NOT_ADMITTED, "the plan was not sent with the job")


def _refused(code: RefusalReason, message: str) -> Reason:
    return Reason(code=code, rule=None, message=message)


def _refusals(reasons: Sequence[Reason]) -> list[dict[str, str | None]]:
    pairs = dict.fromkeys((reason.code.value, _clause(reason)) for reason in reasons)
    return [{"reason": code, "clause": clause} for code, clause in list(pairs)[:_MAX_REFUSALS]]


def _clause(reason: Reason) -> str | None:
    """Return the path in the agreement, where it has the form that a statement takes."""
    path = None if reason.rule is None else reason.rule.path
    return path if path is not None and len(path) <= _MAX_CLAUSE and _CLAUSE.fullmatch(path) else None
