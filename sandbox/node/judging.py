"""What a node decides about a question before it touches data: read it, ask the policies, admit it.

Everything here depends on the question, the agreements, the catalogue and what was charged; never on data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from policies.compiled import CompiledAgreement
from policies.decision import Decision, Reason
from policies.evaluate import evaluate
from policies.request import Consumption, Context, Request
from sandbox.catalog.model import Catalogue
from sandbox.catalog.view import CatalogueFacts
from sandbox.operations.operation import Cost
from sandbox.operations.registry import cost_of
from sandbox.query.admit import Admitted, AdmittedTraining, Rejection, admit
from sandbox.query.bind import bind
from sandbox.query.recipes import RecipeCheck, refuse_recipes
from sandbox.query.uses import operations, rounds, training, uses
from yingbi.canonical import JsonValue
from yingbi.clock import Clock
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError
from yingbi.events.fields import Duty
from yingbi.events.jobs import RefusalReason
from yingbi.ids import parse_party
from yingbi.plan.codec import parse_plan
from yingbi.plan.model import Plan, TrainingQuestion

__all__ = ["Asking", "Explanation", "Judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks what, for what: `sql` or `plan` (its JSON), never both.

    `approvals`: duties in whose name people approved this very job; whoever fills it in has verified their signatures.
    `submission`: the digest of the partner's statement in the log that asks it, which names partner, agreement,
    purpose, plan and versions; nothing where the node's own people ask. `job`: its id, which a member of a federation
    must have in its plan.
    """

    partner: str
    purpose: str
    sql: str | None = None
    plan: JsonValue = None
    intermediary: str | None = None
    approvals: frozenset[Duty] = frozenset()
    submission: str | None = None
    job: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would happen to a question.

    `problem`: it cannot be read or does not fit the catalogue. `reasons`: why it is refused. `plan`: as it was
    understood. `admitted`, `cost`: of a question that may run, and about what it would read; `training` instead of
    `admitted` where it is a member's part of a federation. `output_duties`: whose check its result needs.
    """

    plan: Plan | None = None
    reasons: tuple[Reason, ...] = ()
    problem: SandboxError | None = None
    decision: Decision | None = None
    admitted: Admitted | None = None
    training: AdmittedTraining | None = None
    cost: Cost | None = None

    @property
    def output_duties(self) -> tuple[Duty, ...]:
        """Return the duties that must check the result."""
        return () if self.decision is None else self.decision.output_duties


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A node's side of a decision.

    `place`: the node's own party, checked against the agreements' zones. `agreements`: those that are active here.
    `licensed`: credit bureaus with a licence. `frozen`: parties, data sets and agreements that are stopped.
    `check_recipe`: what recipes say of a training.
    """

    place: str
    agreements: Sequence[CompiledAgreement]
    clock: Clock
    licensed: frozenset[str] = field(default_factory=frozenset)
    frozen: frozenset[str] = field(default_factory=frozenset)
    check_recipe: RecipeCheck = refuse_recipes

    def judge(self, asking: Asking, catalogue: Catalogue, seen: Mapping[str, Consumption]) -> Explanation:
        """Say whether a question may run under what was charged before (`seen`), and if not, why."""
        try:
            parse_party(asking.partner)
            plan = bind(_read(asking), catalogue)
            decision = evaluate(self.agreements, self._request(asking, plan), self._context(catalogue, seen))
            reasons = decision.reasons if not decision.is_permitted else _missing(decision, asking)
            reasons = (*reasons, *_other_job(plan, asking))
            if reasons or not decision.is_permitted:
                return Explanation(plan=plan, decision=decision, reasons=reasons)
            admitted = admit(plan, catalogue, decision, check_recipe=self.check_recipe)
        except SandboxError as error:
            return Explanation(problem=error)
        if isinstance(admitted, Rejection):
            return Explanation(plan=plan, decision=decision, reasons=admitted.reasons)
        cost = cost_of(admitted.question, _told(admitted.base.version.rows))
        if isinstance(admitted, AdmittedTraining):
            return Explanation(plan=plan, decision=decision, training=admitted, cost=cost)
        return Explanation(plan=plan, decision=decision, admitted=admitted, cost=cost)

    def _request(self, asking: Asking, plan: Plan) -> Request:
        source = plan.question.source
        return Request(
            assignee=asking.partner,
            purpose=asking.purpose,
            operations=operations(plan),
            datasets=(source.dataset, *(join.dataset for join in source.joins)),
            uses=uses(plan),
            place=self.place,
            intermediary=asking.intermediary,
            rounds=rounds(plan),
            training=training(plan),
        )

    def _context(self, catalogue: Catalogue, seen: Mapping[str, Consumption]) -> Context:
        return Context(
            at=self.clock.now(),
            catalogue=CatalogueFacts(catalogue),
            consumption=seen,
            licensed_intermediaries=self.licensed,
            frozen=self.frozen,
        )


def _told(rows: int) -> int:
    """Round up to one digit.

    SECURITY: how many rows a data set has is its node's own; of a list of few, two versions would tell who is new.
    """
    unit = int(10 ** max(1, len(str(rows)) - 1))
    return -(-rows // unit) * unit


def _read(asking: Asking) -> Plan:
    if (asking.sql is None) == (asking.plan is None):
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected either SQL or a plan")
    if asking.sql is None:
        return parse_plan(asking.plan)
    # A hub judges plans and needs no reader of SQL.
    from sandbox.query.sql import parse_sql

    return parse_sql(asking.sql)


def _other_job(plan: Plan, asking: Asking) -> tuple[Reason, ...]:
    own = plan.question.own if isinstance(plan.question, TrainingQuestion) else None
    if own is None or asking.job in (None, own.job):
        return ()
    message = "the plan names another job for this data set than the one that asks"
    code = RefusalReason.PARAMETER_NOT_ALLOWED
    return (Reason(code=code, rule=None, clause="members", dataset=own.dataset, message=message),)


def _missing(decision: Decision, asking: Asking) -> tuple[Reason, ...]:
    return tuple(
        Reason(
            code=RefusalReason.APPROVAL_MISSING,
            rule=None,
            allowed=(duty.value,),
            message=f"the agreement asks for the approval of a `{duty}` before the job runs",
        )
        for duty in decision.job_duties
        if duty not in asking.approvals
    )
