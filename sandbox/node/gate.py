"""The way of a question through a node: judged, charged, run in a cage, judged again, recorded, released.

Whatever fails on the way ends in a refusal, a failure or a held result; nothing else leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from sandbox.candidate import Candidate, RegressionCandidate, TrainedCandidate
from sandbox.catalog.model import Catalogue
from sandbox.catalog.store import CatalogueStore
from sandbox.disclosure.approval import Approval
from sandbox.disclosure.held import HeldOutput, HeldQueue, HeldState
from sandbox.disclosure.history_gate import HistoryGate
from sandbox.disclosure.json_form import model_json, table_json, training_json
from sandbox.disclosure.release import ReleaseContext, release
from sandbox.disclosure.released import Held, Outgoing, ReleasedModel, ReleasedTable, ReleasedTraining
from sandbox.isolation.cage import Cancel
from sandbox.isolation.limits import Limits
from sandbox.node.judging import Asking, Explanation, Judge
from sandbox.node.questions import NewQuestion, QuestionBook, QuestionState, submission_of
from sandbox.node.running import Running
from sandbox.query.admit import Admitted, AdmittedTraining
from sandbox.query.uses import operations
from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    RefusedError,
    SandboxError,
    TamperDetectedError,
    UnavailableError,
)
from yingbi.events.fields import Duty
from yingbi.events.jobs import RefusalReason
from yingbi.ids import new_id
from yingbi.plan.codec import plan_to_json, question_digest

__all__ = ["Answer", "Failed", "Gate", "HeldBack", "Refused", "Released", "RunsQuestions", "reject_held"]

_ATTEMPTS: Final = 5

OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A question that did not run, and why."""

    question: str
    explanation: Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A question that ran and gave nothing; what it was charged stays charged."""

    question: str
    problem: SandboxError


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """A result that waits for a person, or must not come out."""

    question: str
    output: HeldOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A released table or model, and the id under which the node keeps it."""

    question: str
    output: str
    result: Outgoing


Answer = Refused | Failed | HeldBack | Released


class RunsQuestions(Protocol):
    """The engine, as the gate sees it."""

    def run(
        self,
        admitted: Admitted | AdmittedTraining,
        *,
        limits: Limits,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
    ) -> Candidate | RegressionCandidate | TrainedCandidate:
        """Return the confidential answer of an admitted question."""


class Gate:
    """A node's gate over its judge, catalogue, engine, history and books."""

    def __init__(
        self,
        *,
        judge: Judge,
        catalogue: CatalogueStore,
        engine: RunsQuestions,
        history: HistoryGate,
        book: QuestionBook,
        held: HeldQueue,
        running: Running,
        limits: Limits,
    ) -> None:
        self._judge = judge
        self._catalogue = catalogue
        self._engine = engine
        self._history = history
        self._book = book
        self._held = held
        self._running = running
        self._limits = limits

    @property
    def held(self) -> HeldQueue:
        """Return the queue of held results."""
        return self._held

    @property
    def book(self) -> QuestionBook:
        """Return the book of questions."""
        return self._book

    def end_dead(self) -> int:
        """End questions that nobody computes any more; return how many."""
        return self._book.end_dead(self._running.is_alive, self._held.holds)

    def under(self, judge: Judge) -> "Gate":
        """Return this gate with another judge: for a job, which brings its own agreement, and no recipes."""
        return Gate(
            judge=replace(judge, check_recipe=self._judge.check_recipe),
            catalogue=self._catalogue,
            engine=self._engine,
            history=self._history,
            book=self._book,
            held=self._held,
            running=self._running,
            limits=self._limits,
        )

    def explain(self, asking: Asking) -> Explanation:
        """Say what would happen to a question; runs, charges and records nothing."""
        seen = self._book.consumption(item.id for item in self._judge.agreements)
        return self._judge.judge(asking, self._catalogue.load(), seen)

    def answer(self, asking: Asking, *, on_progress: OnProgress | None = None, cancel: Cancel | None = None) -> Answer:
        """Take a question to its end (side effects: book, charges, history, queue of held results).

        Raises:
            UnavailableError: others kept asking under the same agreements, or the node cannot work.
        """
        for _ in range(_ATTEMPTS):
            catalogue = self._catalogue.load()
            seen = self._book.consumption(item.id for item in self._judge.agreements)
            found = self._judge.judge(asking, catalogue, seen)
            if found.admitted is None:
                return self._refuse(asking, found)
            question = _new_question(asking, found.admitted)
            with self._running.mark(question.id):
                try:
                    self._book.start(question, agreements=self._charges(found.admitted), seen=seen)
                except ConflictError:
                    continue
                return self._run(question, found, catalogue, on_progress, cancel)
        raise UnavailableError(ErrorCode.HISTORY_BUSY, "expected a moment without other questions, got none")

    def answer_charged(
        self, job: str, asking: Asking, *, on_progress: OnProgress | None = None, cancel: Cancel | None = None
    ) -> Answer:
        """Take a job whose charge is in the log to its end, under its own id (side effects: book, history, held queue).

        What was interrupted goes on: the limits that it was within are not asked again, and nothing is charged twice.

        Raises:
            RefusedError: its id is another question's.
            ConflictError: it is being computed, or has come to an end that stands.
        """
        catalogue = self._catalogue.load()
        found = self._judge.judge(asking, catalogue, {})
        admitted = found.admitted or found.training
        if admitted is None:
            return Refused(question=job, explanation=found)
        question = _new_question(asking, admitted, name=job)
        with self._running.mark(job):
            self._book.begin(question, self._charges(admitted))
            return self._run(question, found, catalogue, on_progress, cancel)

    def approve_held(self, output: str, person: str, *, suppress_reviewed: bool = False) -> Released | HeldOutput:
        """Approve a held candidate in the name of `person`; once enough people have, let it out.

        Where it is approved already but could not be let out, this lets it out and needs nobody's approval again.

        Raises:
            RefusedError, ConflictError: as for `HeldQueue.approve` and `release_held`.
        """
        row = self._held.find(output)
        if row.state is not HeldState.APPROVED:
            row = self._held.approve(output, person, suppress_reviewed=suppress_reviewed)
        return self.release_held(output) if row.state is HeldState.APPROVED else row

    def release_held(self, output: str, *, submission: str | None = None) -> Released:
        """Compute an approved candidate again and let it through the door, under today's agreements.

        May be called again after a crash: what was kept then is what is returned, once. With `submission`, only a
        candidate of that job.

        Raises:
            ConflictError: it is not approved, or it is not any more what was approved.
            RefusedError: the agreements do not permit the question any more, or it is another job's.
        """
        row = self._held.find(output)
        approval = self._held.approval(output)
        catalogue = self._catalogue.load()
        if submission is not None:
            self._book.find_job(row.question, submission)
        # It was charged when it was asked; the limits that it was within then are not asked again.
        found = self._judge.judge(_asked(self._book.get(row.question).asked), catalogue, {})
        admitted = found.admitted or found.training
        if admitted is None:
            raise RefusedError(ErrorCode.JOB_REFUSED, "the agreements in force do not permit this question any more")
        candidate = self._engine.run(admitted, limits=self._limits)
        result = self._release(candidate, found, catalogue, approval)
        if isinstance(result, Held):
            raise ConflictError(ErrorCode.TRANSITION_REFUSED, "what was approved is not what would come out now")
        released = self._kept(row.question, result) or self._keep(row.question, result)
        self._held.released(output)
        return released

    def _kept(self, question: str, result: Outgoing) -> Released | None:
        """Return what a process kept that died before the queue knew."""
        output = self._book.get(question).output
        if output is None:
            return None
        if self._book.output(output).digest != result.digest:
            raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "the result that was kept is not what comes out now")
        return Released(question=question, output=output, result=result)

    def _charges(self, admitted: Admitted | AdmittedTraining) -> dict[str, int]:
        rounds = admitted.question.rounds if isinstance(admitted, AdmittedTraining) else 0
        return {item.id: rounds for item in self._judge.agreements if item.terms in admitted.terms}

    def _refuse(self, asking: Asking, found: Explanation) -> Refused:
        first = found.reasons[0].code.value if found.reasons else RefusalReason.RULE_ERROR.value
        question = NewQuestion(
            id=new_id("job"),
            partner=asking.partner,
            purpose=asking.purpose,
            operations=() if found.plan is None else operations(found.plan),
            digest=None if found.plan is None else question_digest(found.plan.question),
        )
        self._book.refuse(question, code=first if found.problem is None else found.problem.code.value)
        return Refused(question=question.id, explanation=found)

    def _run(
        self,
        question: NewQuestion,
        found: Explanation,
        catalogue: Catalogue,
        on_progress: OnProgress | None,
        cancel: Cancel | None,
    ) -> Answer:
        try:
            candidate = self._engine.run(_admitted(found), limits=self._limits, on_progress=on_progress, cancel=cancel)
            result = self._release(candidate, found, catalogue, None)
        except SandboxError as error:
            state = QuestionState.CANCELLED if error.code is ErrorCode.RUN_CANCELLED else QuestionState.FAILED
            self._book.end(question.id, state, code=error.code.value)
            return Failed(question=question.id, problem=error)
        except KeyboardInterrupt:
            self._book.end(question.id, QuestionState.CANCELLED, code=ErrorCode.RUN_CANCELLED.value)
            raise
        except BaseException:
            self._book.end(question.id, QuestionState.FAILED, code=ErrorCode.INTERNAL.value)
            raise
        if isinstance(result, Held):
            is_checked = bool(found.output_duties)
            output = self._held.hold(
                result, question=question.id, requesters=(question.partner,), is_checked=is_checked
            )
            self._book.end(question.id, QuestionState.HELD)
            return HeldBack(question=question.id, output=output)
        return self._keep(question.id, result)

    def _release(
        self,
        candidate: Candidate | RegressionCandidate | TrainedCandidate,
        found: Explanation,
        catalogue: Catalogue,
        approval: Approval | None,
    ) -> Outgoing | Held:
        admitted = _admitted(found)
        context = ReleaseContext(
            catalogue=catalogue,
            presentation=admitted.plan.presentation,
            approval=approval,
            is_checked=bool(found.output_duties),
        )
        return release(candidate, admitted.rules, self._history, context=context)

    def _keep(self, question: str, result: Outgoing) -> Released:
        output = self._book.release(question, digest=result.digest, content=canonical_bytes(_form(result)))
        return Released(question=question, output=output, result=result)


def _form(result: Outgoing) -> JsonValue:
    match result:
        case ReleasedTable():
            return table_json(result)
        case ReleasedModel():
            return model_json(result)
        case ReleasedTraining():
            return training_json(result)


def reject_held(queue: HeldQueue, book: QuestionBook, output: str, person: str) -> HeldOutput:
    """Reject a held candidate in the name of `person`, destroy it, and end its question.

    Raises:
        RefusedError: a requester, or somebody who has checked it already.
        ConflictError: it has ended already.
    """
    row = queue.reject(output, person)
    book.end(row.question, QuestionState.REJECTED)
    return row


def _admitted(found: Explanation) -> Admitted | AdmittedTraining:
    admitted = found.admitted or found.training
    if admitted is None:
        raise RefusedError(ErrorCode.JOB_REFUSED, "only an admitted question runs")
    return admitted


def _new_question(asking: Asking, admitted: Admitted | AdmittedTraining, *, name: str | None = None) -> NewQuestion:
    asked: JsonValue = {
        "intermediary": asking.intermediary,
        "partner": asking.partner,
        "plan": plan_to_json(admitted.plan),
        "purpose": asking.purpose,
        "submission": asking.submission,
    }
    return NewQuestion(
        id=name or new_id("job"),
        partner=asking.partner,
        purpose=asking.purpose,
        operations=admitted.operations,
        digest=admitted.digest,
        asked=asked,
    )


def _asked(value: JsonValue) -> Asking:
    match value:
        case {"partner": str(partner), "purpose": str(purpose), "plan": plan, "intermediary": None | str() as other}:
            # A job that ran had its approvals; they are not asked for again when its result is let out.
            every = frozenset(Duty)
            return Asking(
                partner=partner,
                purpose=purpose,
                plan=plan,
                intermediary=other,
                approvals=every,
                submission=submission_of(value),
            )
        case _:
            raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "the node's book holds a question in a wrong form")
