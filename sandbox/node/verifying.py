"""What a node verifies by itself before a job runs, from the log that it followed and what it holds itself.

The hub's lease is a hint where to look. Two kinds of answer when something does not hold:

- `UntrueLeaseError`: the lease says what the log does not (another statement, another plan, another node, an attempt
  that is over). That is the hub's doing; it is reported, and nothing is said in the log about the job.
- `UnfitJobError`: by the log itself, by the unit's veto or by the node's own catalogue the job may not run here. The
  node says so in the log, with reasons.

A job that passes: its submission is in the log with effect and is byte for byte the leased one; the plan opens the
commitment in it; it is leased to this node, in this attempt, in time; the bureau's rules or the right people approved
it, and by the node's own judgement nobody else had to; its agreement is active in the very terms that were approved,
whose text was fetched by its digest, as was that of all others that the log has of it; partner, intermediary, unit and
node are admitted, and neither these nor who asked nor the data are frozen; every version is this node's own, with
schema and content that the node committed to; the plan is admitted; the result's key is one to which something can be
sealed; the unit has not stopped it; and no other question of its id was asked at this node.

Before anything of a lease is kept, `check_lease` holds it against the followed log: what a hub makes up is not kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from policies.approvals import State
from policies.compiled import CompiledAgreement, compile_agreement, covers
from policies.decision import Reason
from policies.jobs import ENDED, JobState
from policies.model import Agreement
from policies.standing import AgreementStanding, JobStanding, ParticipantState
from sandbox.catalog.model import DatasetVersion
from sandbox.catalog.store import CatalogueStore
from sandbox.node.following import Follower
from sandbox.node.gate import Gate
from sandbox.node.hub_client import Lease
from sandbox.node.judging import Asking, Judge
from sandbox.node.versions import Versions
from sandbox.node.veto import Veto, Vetoes, VetoKind
from yingbi.canonical import JsonValue, digest_bytes
from yingbi.clock import Clock, format_time
from yingbi.commitment import verify_opening
from yingbi.errors import ErrorCode, RefusedError, SandboxError, VerificationError
from yingbi.events import EntryType
from yingbi.events.fields import Duty, RunningJobs
from yingbi.events.jobs import Interruption, JobGate, JobSubmitted, RefusalReason
from yingbi.ids import dataset_id
from yingbi.plan.codec import parse_plan
from yingbi.plan.model import TrainingQuestion
from yingbi.sealing import seal

__all__ = [
    "HeldJobError",
    "JobVerifier",
    "MissingTermsError",
    "PastLeaseError",
    "UnfitJobError",
    "UntrueLeaseError",
    "VerifiedJob",
]

_CHECKERS: Final = (Duty.OUTPUT_CHECKER, Duty.UNIT_CDO)
_MAY_GO_ON: Final = frozenset({State.ACTIVE, State.SUSPENDED})
_STOPPED: Final = frozenset({ParticipantState.SUSPENDED, ParticipantState.OFFBOARDED})


class UntrueLeaseError(VerificationError):
    """A lease says what the log does not."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.PROOF_UNVERIFIED, message)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message,)


class PastLeaseError(UntrueLeaseError):
    """A lease that was true: its time is over, or the job went on meanwhile. Nobody lied."""


class UnfitJobError(RefusedError):
    """A job may not run here: `reasons`, judged at `gate` under `terms`."""

    def __init__(self, reasons: Sequence[Reason], *, gate: JobGate = JobGate.START, terms: str | None = None) -> None:
        super().__init__(ErrorCode.JOB_REFUSED, f"the job may not run here: {reasons[0].code}")
        self.reasons = tuple(reasons)
        self.gate = gate
        self.terms = terms

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reasons,), {"gate": self.gate, "terms": self.terms}


class HeldJobError(RefusedError):
    """The unit lets a job wait: it may run once the hold is lifted."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.JOB_REFUSED, "the unit holds its node", hint="wait until it lifts the hold")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()


class MissingTermsError(UnfitJobError):
    """The log has terms of the job's agreement whose text the hub does not give."""

    def __init__(self) -> None:
        message = "a text of the agreement's terms is not here"
        super().__init__([Reason(code=RefusalReason.AGREEMENT_NOT_ACTIVE, rule=None, message=message)])

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedJob:
    """A job that this node has verified. `gate`: the node's gate under the job's agreement and nothing else."""

    job: str
    attempt: int
    partner: str
    submitter: str
    submitted: JobSubmitted
    agreement: Agreement
    terms: str
    asking: Asking
    gate: Gate
    charge: str | None

    @property
    def submission(self) -> str:
        """Return the digest of the partner's statement, by which the node's book knows the job."""
        return str(self.asking.submission)

    @property
    def versions(self) -> tuple[tuple[str, int], ...]:
        """Return ids and versions of the data sets, in the order of the submission."""
        return tuple((item.dataset, item.version) for item in self.submitted.datasets)

    @property
    def is_joint(self) -> bool:
        """Tell whether it is a federation's member job."""
        return self.submitted.operation.startswith("train.")

    @property
    def training(self) -> TrainingQuestion | None:
        """Return what a member job asks, of the version that it names, or nothing of any other job."""
        question = parse_plan(self.asking.plan).question if self.is_joint else None
        if not isinstance(question, TrainingQuestion):
            return None
        # SECURITY: a plan may leave the version out; whatever is remembered of a version is remembered of this one.
        version = dict(self.versions).get(dataset_id(question.source.dataset))
        return replace(question, source=replace(question.source, version=version))

    @property
    def rounds(self) -> int:
        """Return how many rounds it takes of its agreement's."""
        training = self.training
        return 0 if training is None else training.rounds

    @property
    def targets(self) -> frozenset[str]:
        """Return what a veto of this job may name."""
        terms = self.agreement
        parties = {self.partner, self.submitter, terms.assigner, terms.intermediary} - {None}
        return frozenset({self.job, terms.id, *map(str, parties), *(name for name, _ in self.versions)})


class JobVerifier:
    """Verifies jobs for one node, which is its unit's."""

    def __init__(
        self,
        *,
        node: str,
        unit: str,
        follower: Follower,
        gate: Gate,
        catalogue: CatalogueStore,
        versions: Versions,
        vetoes: Vetoes,
        clock: Clock,
    ) -> None:
        self._node = node
        self._unit = unit
        self._follower = follower
        self._gate = gate
        self._catalogue = catalogue
        self._versions = versions
        self._vetoes = vetoes
        self._clock = clock
        self._compiled: dict[str, CompiledAgreement] = {}

    def verify(self, lease: Lease) -> VerifiedJob:
        """Verify a job that is leased and has not started.

        Raises:
            UntrueLeaseError, UnfitJobError: see above; MissingTermsError among the latter.
            HeldJobError: it has to wait.
            SandboxError: the followed log is not good enough to work on.
        """
        with self._follower.lock:
            self._follower.require_current()
            self._check_terms(self._find(lease).submitted.agreement)
            job = self._check_in_time(lease, JobState.LEASED)
            found = self._describe(lease, job)
            self._check_standing(found, job)
        self._check_versions(found)
        self._check_question(found)
        return found

    def check_lease(self, lease: Lease) -> None:
        """Check that the followed log leases this very job to this node, in this attempt or a later one.

        Where terms are withheld, the log may do so and this node cannot know: the job is then refused, not passed over.

        Raises:
            UntrueLeaseError: it does not.
        """
        with self._follower.lock:
            if not self._follower.lacks_terms(self._find(lease).submitted.agreement):
                self._find_leased(lease)

    def describe(self, lease: Lease, *states: JobState) -> VerifiedJob:
        """Return a job that this node has started and recorded, for its later steps.

        Raises:
            UntrueLeaseError: the log does not have it so.
        """
        with self._follower.lock:
            self._follower.require_sound()
            return self._describe(lease, self._check_in_time(lease, *states))

    def find_stop(self, found: VerifiedJob) -> Interruption | None:
        """Return why a job that has started must stop now, by the unit's veto or the followed log, or nothing."""
        if self.is_vetoed(found):
            return Interruption.FROZEN
        with self._follower.lock:
            standing = self._follower.standing
            if standing.freezes.holds(*self._relied_on(found)):
                return Interruption.FROZEN
            if self._is_ended(standing.agreements.get(found.agreement.id), found.terms):
                return Interruption.AGREEMENT_SUSPENDED
            for party in (found.partner, found.agreement.intermediary, self._unit):
                participant = None if party is None else standing.participants.get(party)
                if participant is not None and participant.state in _STOPPED:
                    return Interruption.PARTICIPANT_SUSPENDED
            datasets = [standing.datasets.get(name) for name, _ in found.versions]
            if any(one is None or one.running_jobs is RunningJobs.STOP for one in datasets):
                return Interruption.FROZEN
        return None

    def is_vetoed(self, found: VerifiedJob) -> bool:
        """Tell whether the unit has stopped a job at this node; waits for nobody."""
        return self._veto(found.targets) is not None

    def is_all_held(self) -> bool:
        """Tell whether the unit holds all that its node does."""
        veto = self._veto(frozenset())
        return veto is not None and veto.kind is VetoKind.HOLD

    def checkers(self, found: VerifiedJob, seq: int) -> tuple[str, ...]:
        """Return the people who said what an `output.checked` entry says: who signed it, and may check this job."""
        with self._follower.lock:
            standing, signers = self._follower.standing, self._follower.signers_of_check(seq)
            if signers is None:
                return ()
            # SECURITY: as for the standing, a checker is of the bureau or of a unit whose data it is.
            owners = {one.owner for name, _ in found.versions if (one := standing.datasets.get(name)) is not None}
            able = standing.people.with_duty(signers, *_CHECKERS, at=self._now())
            return tuple(one for one in able if standing.people.employer(one) in {standing.bureau, *owners})

    def is_hopeless(self, job: str) -> bool:
        """Tell whether an interrupted job can never go on: it has ended, or its agreement has."""
        with self._follower.lock:
            found = self._follower.standing.jobs.get(job)
            if found is None or found.state in ENDED or found.state is JobState.FAILED:
                return True
            agreement = self._follower.standing.agreements.get(found.submitted.agreement)
            return agreement is None or agreement.life.state not in _MAY_GO_ON

    def state(self, job: str) -> JobState | None:
        """Return where a job is by the followed log."""
        with self._follower.lock:
            found = self._follower.standing.jobs.get(job)
            return None if found is None else found.state

    def is_charged(self, job: str) -> bool:
        """Tell whether by the followed log this node has set something aside for a job, and not given it back."""
        with self._follower.lock:
            found = self._follower.standing.jobs.get(job)
            charged = (EntryType.BUDGET_RESERVED, EntryType.BUDGET_COMMITTED)
            return found is not None and found.node == self._node and found.charge in charged

    # --- the lease and the log ---------------------------------------------------------------------------------------

    def _check_terms(self, agreement: str) -> None:
        """Refuse an agreement of which terms are in the log and not here, after another try to get them."""
        if self._follower.lacks_terms(agreement):
            self._follower.fetch_missing()
        if self._follower.lacks_terms(agreement):
            raise MissingTermsError

    def _find(self, lease: Lease) -> JobStanding:
        """Return the job that a lease is of: what was submitted, with the plan in it."""
        job = self._follower.standing.jobs.get(lease.job)
        if job is None:
            raise UntrueLeaseError("the log has no such job")
        entry = self._follower.entry(job.entries[0])
        if entry is None or entry.statement.envelope != lease.statement.envelope:
            raise UntrueLeaseError("the log has another submission of this job")
        try:
            verify_opening(job.submitted.plan, lease.plan)
        except VerificationError:
            raise UntrueLeaseError("the plan is not the one that the partner committed to") from None
        return job

    def _find_leased(self, lease: Lease) -> JobStanding:
        job = self._find(lease)
        if job.node != self._node or job.life.attempt < lease.attempt:
            raise UntrueLeaseError("the log does not lease this attempt of the job to this node")
        return job

    def _check_in_time(self, lease: Lease, *states: JobState) -> JobStanding:
        job = self._find_leased(lease)
        if job.life.attempt > lease.attempt or job.state not in states:
            raise PastLeaseError("the job went on without this lease")
        if job.state is JobState.LEASED and (job.life.leased_until or "") <= self._now():
            raise PastLeaseError("the lease is over")
        return job

    def _describe(self, lease: Lease, job: JobStanding) -> VerifiedJob:
        terms, digest = self._agreement(job)
        plan: JsonValue = json.loads(lease.plan.value)
        asking = Asking(
            partner=job.partner,
            purpose=job.submitted.purpose,
            plan=plan,
            intermediary=terms.intermediary,
            approvals=job.approvals,
            submission=digest_bytes(lease.statement.payload_bytes),
            job=job.id,
        )
        return VerifiedJob(
            job=job.id,
            attempt=job.life.attempt,
            partner=job.partner,
            submitter=job.submitter,
            submitted=job.submitted,
            agreement=terms,
            terms=digest,
            asking=asking,
            gate=self._gate.under(self._judge(self._compile(terms, digest))),
            charge=None if job.charge is None else str(job.charge),
        )

    def _agreement(self, job: JobStanding) -> tuple[Agreement, str]:
        """Return a job's terms and their digest; where nobody may rely on these any more, those that it began with."""
        found = self._follower.standing.agreements.get(job.submitted.agreement)
        if found is None and self._follower.fetch_missing():
            found = self._follower.standing.agreements.get(job.submitted.agreement)
        if found is not None:
            return found.agreement, found.terms
        terms = None if job.terms is None else self._follower.find_terms(job.terms)
        if terms is None or job.terms is None:
            raise _unfit(RefusalReason.AGREEMENT_NOT_ACTIVE, "the agreement is not in the log, or its text is not here")
        return terms, job.terms

    def _compile(self, agreement: Agreement, terms: str) -> CompiledAgreement:
        """Return an agreement ready for decisions; the last terms of each are remembered."""
        found = self._compiled.get(agreement.id)
        if found is None or found.terms != terms:
            found = self._compiled[agreement.id] = compile_agreement(agreement)
        return found

    def _judge(self, agreement: CompiledAgreement) -> Judge:
        standing = self._follower.standing
        frozen = standing.frozen
        names = self._catalogue.load().datasets
        return Judge(
            place=self._node,
            agreements=[agreement],
            clock=self._clock,
            licensed=standing.participants.licensed(at=self._now()),
            frozen=frozen | {name for name in names if dataset_id(name) in frozen},
        )

    def _check_standing(self, found: VerifiedJob, job: JobStanding) -> None:
        """Refuse a job that relies on what does not hold now, by the followed log or by the unit's veto."""
        standing, now = self._follower.standing, self._now()
        veto = self._veto(found.targets)
        if veto is not None and veto.kind is VetoKind.HOLD:
            raise HeldJobError
        if veto is not None:
            raise _unfit(RefusalReason.FROZEN, "the unit has stopped it")
        if standing.freezes.holds(*self._relied_on(found)):
            raise _unfit(RefusalReason.FROZEN, "something that the job relies on is frozen")
        agreement = standing.agreements.get(found.agreement.id)
        is_active = agreement is not None and agreement.is_active(now)
        if not is_active or found.terms != job.terms or found.agreement.assignee != job.partner:
            raise _unfit(RefusalReason.AGREEMENT_NOT_ACTIVE, "the agreement is not active in the approved terms")
        if (job.life.approved_until or "") <= now:
            raise _unfit(RefusalReason.APPROVAL_MISSING, "the approval of the job is over")
        for party in (job.partner, found.agreement.intermediary, self._unit):
            if party is not None and not standing.participants.is_admitted(party, at=now):
                raise _unfit(RefusalReason.SUBJECT_NOT_GRANTED, "a party of the agreement is not admitted")
        if found.submitted.code is not None:
            raise _unfit(RefusalReason.CODE_NOT_APPROVED, "no code of partners runs here")

    def _veto(self, targets: frozenset[str]) -> Veto | None:
        # What names this node or its unit names all that it does.
        return self._vetoes.find({*targets, self._node, self._unit})

    def _relied_on(self, found: VerifiedJob) -> tuple[str | None, ...]:
        standing = self._follower.standing
        owners = {one.owner for name, _ in found.versions if (one := standing.datasets.get(name)) is not None}
        return (*found.targets, *owners, self._node, self._unit, standing.keys.organisation(self._node))

    @staticmethod
    def _is_ended(agreement: AgreementStanding | None, terms: str) -> bool:
        """Tell whether an agreement has ended in a way that stops running jobs; one whose time is over does not."""
        if agreement is None or agreement.terms != terms:
            return True
        is_going = agreement.life.state in (State.ACTIVE, State.EXPIRED)
        return not is_going and agreement.running_jobs is not RunningJobs.FINISH

    # --- what the node holds itself ----------------------------------------------------------------------------------

    def _check_versions(self, found: VerifiedJob) -> None:
        """Refuse versions that are not this node's own, exactly as it committed to them."""
        own = self._own_versions()
        standing = self._follower.standing
        for name, number in found.versions:
            known, mine = standing.datasets.get(name), own.get((name, number))
            version = None if known is None else known.versions.get(number)
            is_own = known is not None and known.node == self._node and known.is_usable(number)
            if not is_own or mine is None or version is None or version.schema_digest != mine.schema_digest:
                raise _unfit(RefusalReason.DATASET_VERSION_MISMATCH, "a version is not one of this node's own")
            if not self._versions.is_content(version.content, mine):
                raise _unfit(RefusalReason.DATASET_VERSION_MISMATCH, "a version is not what the node committed to")

    def _own_versions(self) -> Mapping[tuple[str, int], DatasetVersion]:
        return {
            (dataset_id(name), number): version for (name, number), version in self._catalogue.load().versions.items()
        }

    def _check_question(self, found: VerifiedJob) -> None:
        """Refuse what the node's own judge refuses, a question over other versions than the job names, a taken id."""
        try:
            found.gate.book.find_job(found.job, found.submission)
        except RefusedError:
            message = "another question of this id was asked at this node"
            raise _unfit(RefusalReason.PARAMETER_NOT_ALLOWED, message) from None
        seen = found.gate.explain(found.asking)
        if seen.problem is not None:
            reason = Reason(code=RefusalReason.PLAN_NOT_ADMITTED, rule=None, message=seen.problem.message)
            raise UnfitJobError([reason], gate=JobGate.ADMISSION, terms=found.terms)
        admitted = seen.admitted or seen.training
        if admitted is None:
            raise UnfitJobError(seen.reasons, gate=JobGate.ADMISSION, terms=found.terms)
        versions = {(dataset_id(one.version.dataset), one.version.version) for one in admitted.datasets}
        if versions != set(found.versions):
            raise _unfit(RefusalReason.DATASET_VERSION_MISMATCH, "the plan is over other versions than the job names")
        asked = frozenset({found.submitted.operation})
        if not any(covers(asked, operation) for operation in admitted.operations):
            raise _unfit(RefusalReason.OPERATION_NOT_GRANTED, "the plan does something else than the job names")
        try:
            seal(b"", found.submitted.result_key, {})
        except SandboxError:
            raise _unfit(RefusalReason.PARAMETER_NOT_ALLOWED, "nothing can be sealed to the result's key") from None

    def _now(self) -> str:
        return format_time(self._clock.now())


def _unfit(code: RefusalReason, message: str) -> UnfitJobError:
    return UnfitJobError([Reason(code=code, rule=None, message=message)])
