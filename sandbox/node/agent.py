"""The node's agent: takes leases, and brings each job to its end, one step at a time.

No receipt, no run: a job is computed only after `job.started` and its reservation are in the followed log. No receipt,
no release: the sealed result leaves only after the entry that names its ciphertext is there. What is sent is made once
and stored before; what comes next is read from journal, book and log, so that a process that dies anywhere goes on,
charges nothing twice and releases nothing twice.

The unit's veto is looked at before every step and, while a computation runs, several times a second, by a watcher that
also follows the log: what is suspended, frozen or vetoed stops within one look. What the unit's officer has the log
told of that (`sandbox.node.stopping`) waits for neither poll nor computation.

A job's accident, foreseen or not, is logged and keeps no other job from its turn. What nobody foresaw outside of jobs
ends the agent: its next start reads the log and the journal anew.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event
from time import monotonic
from typing import Final

from policies.decision import Reason
from policies.jobs import ENDED, JobState
from sandbox.disclosure.held import HeldOutput, HeldState
from sandbox.node.declaring import Declarer
from sandbox.node.following import Follower
from sandbox.node.gate import Failed, Gate, Refused
from sandbox.node.hub_client import HubClient, Lease, parse_lease
from sandbox.node.joint import JointState, JointWork
from sandbox.node.journal import JobRow, JobStep, Journal
from sandbox.node.questions import QuestionState
from sandbox.node.recording import Recorder, UnfittingError
from sandbox.node.reports import Reports
from sandbox.node.results import seal_result
from sandbox.node.statements import Charge, Made, StatementMaker, explanation_json
from sandbox.node.stopping import Outbox
from sandbox.node.verifying import (
    HeldJobError,
    JobVerifier,
    MissingTermsError,
    PastLeaseError,
    UnfitJobError,
    UntrueLeaseError,
    VerifiedJob,
)
from sandbox.node.watching import Watcher
from yingbi.canonical import JsonValue, digest_bytes
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    NotFoundError,
    RefusedError,
    SandboxError,
    TamperDetectedError,
)
from yingbi.events import EntryType
from yingbi.events.jobs import FailureReason, Interruption, JobGate, RefusalReason
from yingbi.events.outputs import CheckVerdict, OutputChecked

__all__ = ["Agent"]

_LOG: Final = logging.getLogger(__name__)
_MAX_RERUNS: Final = 2
_BREAK_S: Final = 1.0
_DECLARE_EVERY_S: Final = 5.0
_HELD_AGAIN_S: Final = 60.0
_HELD_AGAIN_AT_MOST_S: Final = 3600.0
_BACKOFF_S: Final = (0.2, 1.0, 5.0, 15.0)
_RUNNING: Final = (JobState.STARTED,)

_FAILURES: Final[Mapping[ErrorCode, tuple[FailureReason, bool]]] = {
    ErrorCode.CAGE_UNAVAILABLE: (FailureReason.ISOLATION_ERROR, True),
    ErrorCode.ENGINE_FAILED: (FailureReason.ENGINE_ERROR, True),
    ErrorCode.HISTORY_BUSY: (FailureReason.ENGINE_ERROR, True),
    ErrorCode.HISTORY_LIMIT: (FailureReason.OUT_OF_RESOURCES, False),
    ErrorCode.NODE_UNAVAILABLE: (FailureReason.OUT_OF_RESOURCES, True),
    ErrorCode.RESOURCE_LIMIT: (FailureReason.OUT_OF_RESOURCES, False),
    ErrorCode.JOB_REFUSED: (FailureReason.PROTOCOL_ERROR, False),
}
"""What a failure is called in the log, and whether the job may be tried again; all else is an engine error for good."""


class Agent:
    """One node's agent. One thread calls it; one process a node.

    Args:
        node: its party.
        hub: the hub.
        follower: the log.
        verifier: verifies jobs.
        recorder: has statements recorded.
        gate: the node's gate, over its own engine and books; each job brings its agreement.
        journal: where jobs are.
        outbox: tells the log what the unit stopped.
        reports: what is to be said against the hub.
        maker: makes and signs statements.
        software: the digest of what runs here.
        declarer: tells the log of versions that are published here.
        joint: takes part in federations; without it, member jobs are refused.
    """

    def __init__(
        self,
        *,
        node: str,
        hub: HubClient,
        follower: Follower,
        verifier: JobVerifier,
        recorder: Recorder,
        gate: Gate,
        journal: Journal,
        outbox: Outbox,
        reports: Reports,
        maker: StatementMaker,
        software: str,
        declarer: Declarer | None = None,
        joint: JointWork | None = None,
    ) -> None:
        self._node = node
        self._hub = hub
        self._follower = follower
        self._verifier = verifier
        self._recorder = recorder
        self._gate = gate
        self._journal = journal
        self._held_tries: dict[str, int] = {}
        self._held_until: dict[str, float] = {}
        self._outbox = outbox
        self._reports = reports
        self._maker = maker
        self._software = software
        self._declarer = declarer
        self._joint = joint
        self._declared_at = -_DECLARE_EVERY_S
        self._steps: Final[Mapping[JobStep, Callable[[JobRow], bool]]] = {
            JobStep.TAKEN: self._verify,
            JobStep.REFUSING: self._record_refusal,
            JobStep.STARTING: self._record_start,
            JobStep.STARTED: self._compute,
            JobStep.HOLDING: self._record_hold,
            JobStep.HELD: self._look_at_checks,
            JobStep.REJECTING: self._record_rejection,
            JobStep.RELEASING: self._record_release,
            JobStep.RELEASED: self._upload,
            JobStep.FAILING: self._record_failure,
            JobStep.INTERRUPTING: self._record_interruption,
        }

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self, stop: Event, *, wait_s: float = 20.0) -> None:
        """Work until `stop` is set.

        Raises:
            TamperDetectedError: the log contradicts itself; a person has to look.
        """
        failures = 0
        with self._outbox:
            while not stop.is_set():
                try:
                    if not self.work(wait_s=wait_s):
                        # A hub that hands out what this node has dealt with already is not asked without a break.
                        stop.wait(_BREAK_S)
                    failures = 0
                except TamperDetectedError:
                    raise
                except SandboxError as error:
                    _LOG.warning("%s: %s", error.code, error.message)
                    stop.wait(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
                    failures += 1

    def work(self, *, wait_s: float = 0.0) -> bool:
        """Go on with what is open, then ask for one lease and bring it as far as it goes.

        Returns false where the lease is one that this node knows already, and where the unit holds its node: it asks
        for no work then, and jobs wait at the hub.

        Raises:
            SandboxError: something did not work out now; everything may be called again.
        """
        self._follower.require_sound()
        failed = self.resume()
        lease = None
        is_held = self._verifier.is_all_held()
        if not is_held:
            # A job that is stuck keeps no other from its turn, and is looked at again soon.
            is_waiting = failed is not None or self._is_joint()
            lease = self._poll(min(wait_s, _BREAK_S) if is_waiting else wait_s)
        is_new = not is_held and (lease is None or self._take(lease))
        if lease is not None and is_new:
            self.advance(lease.job)
        elif failed is not None:
            # Where there was other work, a job that is stuck is looked at again at the next turn.
            raise failed
        return is_new

    def resume(self) -> SandboxError | None:
        """Follow the log, and bring all open jobs as far as they go; return the first failure of a job, or nothing.

        Raises:
            SandboxError: the log cannot be followed.
        """
        self._follower.follow()
        self._outbox.send()
        self._declare()
        self._destroy_sealed()
        failed: SandboxError | None = None
        for row in self._journal.jobs(is_open=True):
            try:
                self.advance(row.job)
            except TamperDetectedError:
                raise
            except SandboxError as error:
                failed = failed or error
        return failed

    def advance(self, job: str) -> JobStep:
        """Bring one job as far as it goes now; return where it is.

        Raises:
            SandboxError: a step did not work out now.
        """
        while True:
            row = self._journal.get(job)
            step = self._steps.get(row.step)
            if step is None or not _taken(step, row):
                return row.step

    def _destroy_sealed(self) -> None:
        """Destroy the checkpoints of jobs that never go on, and have the log told where the job waits still."""
        if self._joint is None:
            return
        for job, commitment in self._joint.sealed():
            if not self._verifier.is_hopeless(job):
                continue
            if self._verifier.state(job) is JobState.INTERRUPTED:
                try:
                    self._recorder.record(job, [self._maker.unsealable(job, commitment=commitment)])
                except UnfittingError as error:
                    _LOG.info("a sealed state is destroyed without its entry: %s", error.message)
            self._joint.forget(job, with_state=True)

    def _poll(self, wait_s: float) -> Lease | None:
        polled = self._hub.poll(self._node, wait_s)
        self._follower.follow()
        return polled.lease

    def _is_joint(self) -> bool:
        """Tell whether a member job waits for its federation, whose end nobody tells this thread."""
        if self._joint is None:
            return False
        return any(row.step is JobStep.STARTED for row in self._journal.jobs(is_open=True))

    def _take(self, lease: Lease) -> bool:
        """Keep a lease; tell whether it is new.

        SECURITY: what the log does not lease to this node is not kept, however much of it a hub hands out; it is
        reported once, by name only where the log has the job.
        """
        try:
            self._verifier.check_lease(lease)
        except UntrueLeaseError as error:
            known = self._verifier.state(lease.job) is not None
            self._reports.add(error.code, error.message, job=lease.job if known else None)
            return False
        return self._journal.take(lease)

    def _declare(self) -> None:
        """Now and then, tell the log of versions that were published since."""
        if self._declarer is not None and monotonic() - self._declared_at >= _DECLARE_EVERY_S:
            self._declarer.declare()
            self._declared_at = monotonic()

    # --- before the run ----------------------------------------------------------------------------------------------

    def _verify(self, row: JobRow) -> bool:
        lease = parse_lease(row.lease)
        try:
            found = self._verifier.verify(lease)
        except HeldJobError:
            return False
        except PastLeaseError:
            self._journal.move(row, JobStep.LOST, cause="past-lease")
        except UntrueLeaseError as error:
            self._reports.add(error.code, error.message, job=row.job)
            self._journal.move(row, JobStep.LOST, cause="untrue-lease")
        except UnfitJobError as error:
            if isinstance(error, MissingTermsError):
                self._reports.add(ErrorCode.TERMS_NOT_FOUND, error.reasons[0].message, job=row.job)
            made = self._maker.refused(row.job, error.reasons, gate=error.gate, terms=error.terms)
            notice = explanation_json(error.reasons)
            self._journal.prepare(row, JobStep.REFUSING, [made], notice=notice, cause=error.reasons[0].code.value)
        else:
            reason = self._cannot_join(found)
            if reason is not None:
                return self._refuse_to_join(row, found, reason)
            self._journal.prepare(row, JobStep.STARTING, self._start(found))
        return True

    def _cannot_join(self, found: VerifiedJob) -> Reason | None:
        if not found.is_joint:
            return None
        if self._joint is None:
            message = "this node takes no part in federations"
            return Reason(code=RefusalReason.OPERATION_NOT_GRANTED, rule=None, message=message)
        return self._joint.refuse(found)

    def _refuse_to_join(self, row: JobRow, found: VerifiedJob, reason: Reason) -> bool:
        made = self._maker.refused(row.job, [reason], gate=JobGate.START, terms=found.terms)
        notice = explanation_json([reason])
        self._journal.prepare(row, JobStep.REFUSING, [made], notice=notice, cause=reason.code.value)
        return True

    def _start(self, found: VerifiedJob) -> list[Made]:
        """Make the statements of a start; a job that is tried again was charged at its first start."""
        started = self._maker.started(
            found.job,
            attempt=found.attempt,
            datasets=found.versions,
            terms=found.terms,
            software=self._software,
            head=self._follower.head,
        )
        joined = [self._joint.join(found)] if self._joint is not None and found.is_joint else []
        if found.charge is not None:
            return [started, *joined]
        used = self._gate.book.consumption([found.agreement.id])[found.agreement.id].jobs
        return [started, self._maker.reserved(found.job, self._charge(found, used + 1)), *joined]

    def _charged(self, found: VerifiedJob) -> Charge:
        """Charge a job whose reservation is in the log, once however often; return what is left."""
        return self._charge(found, self._gate.book.charge(found.job, found.agreement.id, rounds=found.rounds))

    def _charge(self, found: VerifiedJob, used: int) -> Charge:
        return Charge(budget=found.agreement.id, remaining=max(found.agreement.limits.jobs - used, 0))

    def _record_start(self, row: JobRow) -> bool:
        return self._record(row, JobStep.STARTED)

    def _record_refusal(self, row: JobRow) -> bool:
        return self._record(row, JobStep.REFUSED, before=self._put_notice)

    # --- the run -----------------------------------------------------------------------------------------------------

    def _compute(self, row: JobRow) -> bool:
        """Compute a job that has started, unless it must stop; or go on from what was computed before."""
        found = self._describe(row, *_RUNNING)
        if found is None:
            return True
        try:
            question = self._gate.book.find_job(row.job, found.submission)
        except RefusedError as error:
            # SECURITY: the partner chose the id; what was answered under it before is not this job's answer.
            _LOG.warning("job failed: %s", error.message)
            return self._fail(row, found, FailureReason.PROTOCOL_ERROR, is_retryable=False)
        if question is not None and question.state is QuestionState.RUNNING:
            # A database that failed in the middle left it so; nobody computes it now.
            return self._gate.end_dead() > 0
        if question is not None and question.state is QuestionState.RELEASED:
            return self._release(row, found, is_checked=True)
        if question is not None and question.state is QuestionState.HELD:
            return self._hold(row, found)
        if question is not None and question.state is QuestionState.REJECTED:
            # People at the node rejected it before the log had it that it is held.
            return self._fail(row, found, FailureReason.PROTOCOL_ERROR, is_retryable=False)
        stop = self._verifier.find_stop(found)
        if stop is None and not self._follower.is_fresh:
            # It started long ago, and nobody says that what it relies on still holds; a new lease will.
            stop = Interruption.NODE_STOPPED
        if stop is not None:
            return self._interrupt(row, found, stop)
        if found.is_joint and self._joint is not None:
            state = self._joint.look(found)
            if state is not JointState.FINISHED:
                return self._follow_federation(row, found, state)
        # What killed its node several times is given up; the first run needs no count.
        if question is not None and self._journal.count_run(row) >= _MAX_RERUNS:
            return self._fail(row, found, FailureReason.OUT_OF_RESOURCES, is_retryable=False)
        return self._answer(row, found)

    def _follow_federation(self, row: JobRow, found: VerifiedJob, state: JointState) -> bool:
        """Do with a member job what its federation does: wait, stop for now, or end."""
        if state is JointState.INTERRUPTED:
            return self._interrupt(row, found, Interruption.FEDERATION_INTERRUPTED)
        if state is JointState.ABORTED:
            return self._fail(row, found, FailureReason.QUORUM_LOST, is_retryable=False)
        return False

    def _answer(self, row: JobRow, found: VerifiedJob) -> bool:
        with Watcher(found, self._verifier, self._follower, self._hub) as watcher:
            answer = found.gate.answer_charged(row.job, found.asking, on_progress=watcher.tell, cancel=watcher.cancel)
        if isinstance(answer, Refused):
            # Between the decision and the run, something changed that the gate knows and the log does not.
            notice = explanation_json(answer.explanation.reasons or [_refusal(answer)])
            return self._fail(row, found, FailureReason.PROTOCOL_ERROR, is_retryable=False, notice=notice)
        if isinstance(answer, Failed):
            if answer.problem.code is ErrorCode.RUN_CANCELLED:
                return self._after_cancel(row, found, watcher)
            reason, is_retryable = _FAILURES.get(answer.problem.code, (FailureReason.ENGINE_ERROR, False))
            return self._fail(row, found, reason, is_retryable=is_retryable)
        # What was answered is read from the book, as after a crash: there is one way on, not two.
        return True

    def _after_cancel(self, row: JobRow, found: VerifiedJob, watcher: Watcher) -> bool:
        if watcher.interruption is not None:
            return self._interrupt(row, found, watcher.interruption)
        # The log went on without this node, or contradicts itself: the next look at it says what becomes of the job.
        self._follower.require_sound()
        return True

    def _release(self, row: JobRow, found: VerifiedJob, *, is_checked: bool) -> bool:
        """Seal what the gate released, and make the statements without which it does not leave."""
        charge = self._charged(found)
        question = self._gate.book.find_job(row.job, found.submission)
        kept = self._gate.book.output("" if question is None else question.output or "")
        result = seal_result(kept, job=row.job, agreement=found.agreement.id, recipient=found.submitted.result_key)
        made = []
        if is_checked:
            made.append(self._maker.checked(row.job, candidate=result.content, rules=result.rules, findings=()))
        made.append(
            self._maker.released(
                row.job,
                content=result.content,
                ciphertext=digest_bytes(result.sealed),
                software=self._software,
                rules=result.rules,
                charge=charge,
            )
        )
        made.append(self._maker.committed(row.job, charge))
        self._journal.prepare(row, JobStep.RELEASING, made, sealed=result.sealed)
        return True

    def _hold(self, row: JobRow, found: VerifiedJob) -> bool:
        held = next((one for one in self._gate.held.waiting() if one.question == row.job), None)
        if held is None:
            return self._fail(row, found, FailureReason.PROTOCOL_ERROR, is_retryable=False)
        made = self._maker.held(
            row.job, output=held.id, candidate=held.commitment, rules=held.rules, notice=held.notice
        )
        self._journal.prepare(row, JobStep.HOLDING, [made], notice=dict(held.notice))
        return True

    def _fail(
        self,
        row: JobRow,
        found: VerifiedJob,
        reason: FailureReason,
        *,
        is_retryable: bool,
        notice: JsonValue = None,
    ) -> bool:
        charge = self._charged(found)
        if not is_retryable:
            self._forget(found, with_state=True)
        made = [self._maker.failed(row.job, attempt=row.attempt, reason=reason, is_retryable=is_retryable)]
        if not is_retryable:
            made.append(self._maker.committed(row.job, charge))
        self._journal.prepare(row, JobStep.FAILING, made, notice=notice, cause=reason.value)
        return True

    def _interrupt(self, row: JobRow, found: VerifiedJob, reason: Interruption) -> bool:
        self._charged(found)
        sealed = self._joint.seal(row.job) if self._joint is not None and found.is_joint else None
        self._forget(found, with_state=False)
        made = self._maker.interrupted(
            row.job,
            attempt=row.attempt,
            reason=reason,
            number=None if sealed is None else sealed.round,
            sealed=None if sealed is None else sealed.opening,
        )
        self._journal.prepare(row, JobStep.INTERRUPTING, [made], cause=reason.value)
        return True

    # --- after the run -----------------------------------------------------------------------------------------------

    def _record_release(self, row: JobRow) -> bool:
        """Have the release recorded, unless the job was stopped since; what is in the log already stays released."""
        made = self._journal.statements(row, JobStep.RELEASING)
        entries = self._recorder.find(row.job, made)
        if entries is not None:
            self._journal.recorded(row, JobStep.RELEASED, entries)
            return True
        found = self._describe(row, JobState.STARTED, JobState.HELD)
        if found is None:
            return True
        stop = self._verifier.find_stop(found)
        if stop is None:
            return self._record(row, JobStep.RELEASED)
        if self._verifier.state(row.job) is JobState.STARTED:
            return self._interrupt(row, found, stop)
        return False

    def _upload(self, row: JobRow) -> bool:
        """Upload a result whose release is in the log; what was stopped since, or before and hidden, stays here."""
        found = self._describe(row, JobState.RELEASED, JobState.DELIVERED)
        if found is None or row.sealed is None:
            return False
        if self._released(row) != digest_bytes(row.sealed):
            raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "the sealed result is not what the log says")
        if self._verifier.find_stop(found) is not None:
            return False
        self._hub.put_result(row.job, row.sealed)
        self._forget(found, with_state=True)
        self._journal.move(row, JobStep.DONE)
        return True

    def _released(self, row: JobRow) -> str | None:
        """Return the ciphertext that the followed log names for a job."""
        entries = self._follower.entries_of(row.job)
        found = [entry for _, entry in entries if entry.type is EntryType.OUTPUT_RELEASED]
        return str(found[-1].statement.payload.body["ciphertext"]) if found else None

    def _record_hold(self, row: JobRow) -> bool:
        return self._record(row, JobStep.HELD, before=self._put_notice)

    def _look_at_checks(self, row: JobRow) -> bool:
        """Carry out what people said of a held candidate, once enough of them have, by the followed log."""
        found = self._describe(row, JobState.HELD)
        if found is None:
            return True
        (said,) = self._journal.statements(row, JobStep.HOLDING)
        payload = said.statement.payload
        self._gate.book.find_job(row.job, found.submission)
        self._take_checks(found, payload.id)
        state = self._gate.book.get(row.job).state
        if state is QuestionState.RELEASED:
            return self._release(row, found, is_checked=False)
        if state is QuestionState.REJECTED:
            gone = self._maker.destroyed(row.job, output=payload.id, candidate=str(payload.body["candidate"]))
            self._journal.prepare(row, JobStep.REJECTING, [gone, self._maker.committed(row.job, self._charged(found))])
            return True
        return False

    def _take_checks(self, found: VerifiedJob, output: str) -> None:
        """Tell the queue what people said, and carry out what follows, also where a process died in between."""
        queue = self._gate.held
        for person, verdict in self._checks(found, queue.find(output)):
            # Who has said so already says nothing new, who asked for the result nothing at all; and some may not leave
            # whoever lets them.
            with suppress(RefusedError, ConflictError):
                if verdict is CheckVerdict.FAIL:
                    queue.reject(output, person)
                elif queue.find(output).state is not HeldState.APPROVED:
                    queue.approve(output, person)
        state = queue.find(output).state
        if state is HeldState.REJECTED and self._gate.book.get(found.job).state is QuestionState.HELD:
            self._gate.book.end(found.job, QuestionState.REJECTED)
        is_due = self._held_until.get(output, 0.0) <= monotonic()
        if state is HeldState.APPROVED and is_due and self._verifier.find_stop(found) is None:
            try:
                found.gate.release_held(output, submission=found.submission)
            except (RefusedError, ConflictError) as error:
                _LOG.warning("approved, and still held: %s: %s", error.code, error.message)
                # SECURITY: it was computed again for this; one that stays held must not keep the node at it for ever.
                tries = self._held_tries.get(output, 0)
                self._held_tries[output] = tries + 1
                self._held_until[output] = monotonic() + min(_HELD_AGAIN_S * 2**tries, _HELD_AGAIN_AT_MOST_S)

    def _checks(self, job: VerifiedJob, held: HeldOutput) -> list[tuple[str, CheckVerdict]]:
        """Return what people said in the log of this very candidate: failures first, then those who let it pass."""
        found = []
        for seq, entry in self._follower.entries_of(job.job):
            if entry.type is EntryType.OUTPUT_CHECKED:
                body = OutputChecked.model_validate(entry.statement.payload.body)
                if (body.candidate, body.rules) == (held.commitment, held.rules):
                    # SECURITY: a check is of whoever signed it, whatever name it bears.
                    found += [(person, body.verdict) for person in self._verifier.checkers(job, seq)]
        return sorted(
            (one for one in found if one[1] is not CheckVerdict.REVIEW), key=lambda one: one[1] is CheckVerdict.PASS
        )

    def _record_rejection(self, row: JobRow) -> bool:
        return self._record(row, JobStep.REJECTED)

    def _record_failure(self, row: JobRow) -> bool:
        return self._record(row, JobStep.FAILED, before=self._put_notice)

    def _record_interruption(self, row: JobRow) -> bool:
        """Have an interruption recorded; where the release before it had reached the log after all, that stands."""
        released = self._journal.statements(row, JobStep.RELEASING)
        entries = self._recorder.find(row.job, released) if released else None
        if entries is not None:
            self._journal.recorded(row, JobStep.RELEASED, entries, of=JobStep.RELEASING)
            return True
        return self._record(row, JobStep.INTERRUPTED)

    # --- for all steps -----------------------------------------------------------------------------------------------

    def _describe(self, row: JobRow, *states: JobState) -> VerifiedJob | None:
        """Return the job as the log has it now; where the log has it elsewhere, the lease is lost."""
        try:
            return self._verifier.describe(parse_lease(row.lease), *states)
        except UntrueLeaseError:
            if row.step is not JobStep.RELEASED:
                self._lose(row)
            return None

    def _record(self, row: JobRow, step: JobStep, *, before: Callable[[JobRow], None] | None = None) -> bool:
        made = self._journal.statements(row, row.step)
        if before is not None:
            before(row)
        try:
            entries = self._recorder.record(row.job, made)
        except UnfittingError as error:
            _LOG.warning("job lost: %s", error.message)
            self._lose(row)
            return True
        self._journal.recorded(row, step, entries)
        return True

    def _forget(self, found: VerifiedJob, *, with_state: bool) -> None:
        if self._joint is not None and found.is_joint:
            self._joint.forget(found.job, with_state=with_state)

    def _lose(self, row: JobRow) -> None:
        """Let go of a job that the log has elsewhere now; what is set aside for it there is charged here too."""
        if self._verifier.is_charged(row.job):
            self._gate.book.charge(row.job, row.agreement)
        if self._joint is not None:
            self._joint.forget(row.job, with_state=self._verifier.state(row.job) in ENDED)
        self._journal.move(row, JobStep.LOST, cause=str(self._verifier.state(row.job)))

    def _put_notice(self, row: JobRow) -> None:
        """Tell the partner why, before the log says that it is so: who sees the state sees the reasons.

        The log has them in short: a hub that does not listen is no reason to wait.
        """
        if row.notice is not None:
            with suppress(ConflictError, RefusedError, NotFoundError):
                self._hub.put_notice(row.job, row.notice)


def _taken(step: Callable[[JobRow], bool], row: JobRow) -> bool:
    """Take a step; what nobody foresaw is this job's trouble, for its next turn, and ends neither agent nor others.

    Raises:
        SandboxError: it did not work out now.
    """
    try:
        return step(row)
    except SandboxError:
        raise
    except Exception as error:
        _LOG.error("job %s: step `%s` failed with %s", row.job, row.step, type(error).__name__)
        _LOG.debug("unforeseen", exc_info=True)
        raise SandboxError(
            ErrorCode.INTERNAL, "a step of a job failed unforeseen", detail=type(error).__name__
        ) from error


def _refusal(answer: Refused) -> Reason:
    problem = answer.explanation.problem
    message = "the question is not admitted" if problem is None else problem.message
    return Reason(code=RefusalReason.PLAN_NOT_ADMITTED, rule=None, message=message)
