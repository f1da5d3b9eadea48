"""Jobs in their lives, with what each relies on (`policies.jobs` holds the table; docs/spec/standing.md, "Jobs")."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from policies.jobs import STEPS, JobLife, JobState, follow, submitted
from policies.model import JobApproval, OutputApproval
from policies.standing.agreements import AgreementRegister
from policies.standing.datasets import DatasetRegister
from policies.standing.freezes import FreezeRegister
from policies.standing.participants import ParticipantRegister, ParticipantState
from policies.standing.people import PeopleRegister
from policies.standing.refusals import Rule, StatementRefusedError, conflict
from policies.standing.said import Effect, Rules, Said
from yingbi.errors import ConflictError
from yingbi.events import EntryType
from yingbi.events.fields import DatasetVersion, Duty, RunningJobs
from yingbi.events.jobs import (
    ApprovalRoute,
    BudgetCommitted,
    BudgetMeasure,
    BudgetRefunded,
    BudgetReserved,
    JobApproved,
    JobCancelled,
    JobGate,
    JobLeased,
    JobRefused,
    JobStarted,
    JobSubmitted,
)
from yingbi.events.outputs import (
    CheckVerdict,
    OutputChecked,
    OutputDelivered,
    OutputHeld,
    OutputReleased,
)

__all__ = ["Check", "JobRegister", "JobStanding"]

# What an entry adds to the jobs that are charged to an agreement.
_CHARGES: Final = {
    EntryType.BUDGET_RESERVED: 1,
    EntryType.BUDGET_COMMITTED: 0,
    EntryType.BUDGET_REFUNDED: -1,
}
_AFTER_SUBMISSION: Final = (*STEPS, *_CHARGES)

_OF_BUREAU: Final = (Duty.BUREAU_REVIEWER, Duty.BUREAU_APPROVER)
_REVIEWERS: Final = (*_OF_BUREAU, Duty.UNIT_CDO)
_CHECKERS: Final = (Duty.OUTPUT_CHECKER, Duty.UNIT_CDO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a person or the node's gate said of a job's candidate."""

    by: str
    verdict: CheckVerdict
    candidate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStanding:
    """A job and what was said of it; `entries` are the indexes of its entries, its submission first."""

    id: str
    life: JobLife
    partner: str
    submitter: str
    submitted: JobSubmitted
    terms: str | None = None
    approvals: frozenset[Duty] = frozenset()
    approvers: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    candidate: str | None = None
    ciphertext: str | None = None
    charge: EntryType | None = None
    has_started: bool = False
    entries: tuple[int, ...] = ()

    @property
    def state(self) -> JobState:
        """Return where it is in its life."""
        return self.life.state

    @property
    def node(self) -> str | None:
        """Return the node that has its lease."""
        return self.life.node


class JobRegister:
    """All jobs that were ever submitted."""

    def __init__(
        self,
        *,
        bureau: str,
        people: PeopleRegister,
        participants: ParticipantRegister,
        datasets: DatasetRegister,
        agreements: AgreementRegister,
        freezes: FreezeRegister,
    ) -> None:
        self._bureau = bureau
        self._people = people
        self._participants = participants
        self._datasets = datasets
        self._agreements = agreements
        self._freezes = freezes
        self._all: dict[str, JobStanding] = {}
        self._charged: dict[str, int] = {}

    def get(self, job: str) -> JobStanding | None:
        """Return a job, or nothing."""
        return self._all.get(job)

    def items(self) -> Iterator[JobStanding]:
        """Yield all jobs, in the order they were submitted."""
        yield from list(self._all.values())

    def charged(self, agreement: str) -> int:
        """Return how many jobs were charged to an agreement."""
        return self._charged.get(agreement, 0)

    def node_of(self, datasets: list[DatasetVersion]) -> str | None:
        """Return the one node that holds all of some data sets, or nothing."""
        found = {None if (one := self._datasets.get(item.dataset)) is None else one.node for item in datasets}
        return found.pop() if len(found) == 1 else None

    def fork(
        self,
        *,
        people: PeopleRegister,
        participants: ParticipantRegister,
        datasets: DatasetRegister,
        agreements: AgreementRegister,
        freezes: FreezeRegister,
    ) -> "JobRegister":
        """Return a copy that changes by itself."""
        copy = JobRegister(
            bureau=self._bureau,
            people=people,
            participants=participants,
            datasets=datasets,
            agreements=agreements,
            freezes=freezes,
        )
        copy._all, copy._charged = dict(self._all), dict(self._charged)
        return copy

    def rules(self) -> Rules:
        """Return what judges the entries about jobs, their outputs and what they are charged."""
        return {EntryType.JOB_SUBMITTED: self._submit} | dict.fromkeys(_AFTER_SUBMISSION, self.judge_step)

    def _submit(self, said: Said) -> Effect:
        body: JobSubmitted = said.body
        on_behalf_of = said.statement.payload.on_behalf_of
        partner = said.issuer if said.issuer.startswith("partner:") else on_behalf_of
        if partner is None or not partner.startswith("partner:") or not self._may_submit(partner, said):
            raise StatementRefusedError(Rule.SIGNER, "expected the partner's key or one of its analysts")
        found = self._participants.get(partner)
        if found is None or found.state not in (ParticipantState.ADMITTED, ParticipantState.SUSPENDED):
            raise StatementRefusedError(Rule.PARTICIPANT, "expected a partner that takes part")
        if said.about in self._all:
            raise StatementRefusedError(Rule.STATE, "a job of this id was submitted already")
        if body.expires_at <= said.at:
            raise StatementRefusedError(Rule.TIME, "the job is over before it begins")
        job = JobStanding(id=said.about, life=submitted(body), partner=partner, submitter=said.issuer, submitted=body)
        return lambda index: self._put(job, said.type, index)

    def judge_step(self, said: Said) -> Effect:
        """Judge an entry about a job that was submitted.

        Raises:
            StatementRefusedError: it has no effect.
        """
        found = self._all.get(getattr(said.body, "job", said.about))
        if found is None:
            raise StatementRefusedError(Rule.STATE, "expected a job that was submitted")
        self._check_signer(found, said)
        after = self._judge(found, said)
        if said.type not in _CHARGES:
            try:
                after = replace(after, life=follow(found.life, said.type, said.body, at=said.at))
            except ConflictError as error:
                raise conflict(error) from None
        return lambda index: self._put(after, said.type, index)

    def _put(self, job: JobStanding, kind: EntryType, index: int) -> None:
        self._all[job.id] = replace(job, entries=(*job.entries, index))
        agreement = job.submitted.agreement
        self._charged[agreement] = self.charged(agreement) + _CHARGES.get(kind, 0)

    def _may_submit(self, partner: str, said: Said) -> bool:
        analysts = self._people.with_duty(said.signers, Duty.PARTNER_ANALYST, at=said.at)
        return partner in said.signers.owners or any(self._people.employer(one) == partner for one in analysts)

    def _check_signer(self, job: JobStanding, said: Said) -> None:
        is_bureau, is_node = self._bureau in said.signers.owners, job.node in said.signers.owners
        match said.body:
            case JobApproved() as body:
                is_right = body.route is ApprovalRoute.REVIEWED or is_bureau
            case JobRefused() as body:
                is_right = is_bureau if body.gate is JobGate.SUBMISSION else is_node
            case JobLeased() | OutputDelivered():
                is_right = is_bureau
            case JobCancelled():
                is_right = is_bureau or self.may_cancel(job, said)
            case OutputChecked():
                is_right = is_node or bool(self._checkers(job, said))
            case _:
                is_right = is_node
        if not is_right:
            raise StatementRefusedError(Rule.SIGNER, "nobody signed who may say this of the job")

    def may_cancel(self, job: JobStanding, said: Said) -> bool:
        """Tell whether somebody signed, the bureau's key apart, who may call a job off."""
        is_own = not {job.partner, job.submitter}.isdisjoint(said.signers.owners)
        officers = self._people.with_duty(said.signers, Duty.UNIT_CDO, at=said.at)
        is_owners = any(self._people.employer(one) in self.owners(job) for one in officers)
        return is_own or is_owners or bool(self._people.with_duty(said.signers, Duty.BUREAU_APPROVER, at=said.at))

    def owners(self, job: JobStanding) -> set[str]:
        """Return the units whose data a job asks for."""
        found = (self._datasets.get(item.dataset) for item in job.submitted.datasets)
        return {dataset.owner for dataset in found if dataset is not None}

    def _checkers(self, job: JobStanding, said: Said) -> list[str]:
        able = self._people.with_duty(said.signers, *_CHECKERS, at=said.at)
        # SECURITY: a checker is of the bureau or of a unit whose data it is; never of whoever asked.
        return [one for one in able if self._people.employer(one) in {self._bureau, *self.owners(job)}]

    def _judge(self, job: JobStanding, said: Said) -> JobStanding:
        match said.body:
            case JobApproved() as body:
                return self._approve(job, body, said)
            case JobLeased() as body:
                self._check_lease(job, body, at=said.at)
            case JobStarted() as body:
                self._check_start(job, body, at=said.at)
                # What was said of an earlier attempt's candidate says nothing of this one's.
                return replace(job, checks=(), candidate=None, has_started=True)
            case OutputChecked() as body:
                by = next(iter(self._checkers(job, said)), job.node or "")
                check = Check(by=by, verdict=body.verdict, candidate=body.candidate)
                return replace(job, checks=(*job.checks, check))
            case OutputHeld() as body:
                return replace(job, candidate=body.candidate)
            case OutputReleased() as body:
                self._check_release(job, at=said.at)
                return replace(job, ciphertext=body.ciphertext)
            case OutputDelivered() as body:
                if body.ciphertext != job.ciphertext or body.recipient != job.partner:
                    raise StatementRefusedError(Rule.STATE, "expected the delivery of what was released to its partner")
            case BudgetReserved() | BudgetCommitted() | BudgetRefunded() as body:
                return self._charge(job, body)
        return job

    def _approve(self, job: JobStanding, body: JobApproved, said: Said) -> JobStanding:
        self.check_reliance(job, body.terms, at=said.at)
        found = self._agreements.get(job.submitted.agreement)
        if body.route is ApprovalRoute.REVIEWED:
            people = [one for one in said.signers.people if self._may_review(job, one, at=said.at)]
            if not people:
                raise StatementRefusedError(Rule.APPROVAL, "nobody signed who may approve this job")
            held = (self._people.duties(one, at=said.at) for one in people)
            duties = frozenset[Duty]().union(*held) & frozenset(_REVIEWERS)
            return replace(job, terms=body.terms, approvals=duties, approvers=tuple(people))
        if body.rule is None or found is None or found.agreement.approvals.job is not JobApproval.AUTOMATIC:
            raise StatementRefusedError(Rule.APPROVAL, "the agreement does not let jobs be approved by a rule")
        return replace(job, terms=body.terms)

    def _may_review(self, job: JobStanding, person: str, *, at: str) -> bool:
        # SECURITY: a reviewer is of the bureau or of a unit whose data it is; never of whoever asked.
        wanted = {self._bureau: _OF_BUREAU} | dict.fromkeys(self.owners(job), (Duty.UNIT_CDO,))
        return not self._people.duties(person, at=at).isdisjoint(wanted.get(self._people.employer(person) or "", ()))

    def _check_lease(self, job: JobStanding, body: JobLeased, *, at: str) -> None:
        if self.node_of(job.submitted.datasets) != body.node:
            raise StatementRefusedError(Rule.LEASE, "expected the node that holds the job's data")
        if body.expires_at <= at:
            raise StatementRefusedError(Rule.TIME, "the lease is over before it begins")
        self.check_reliance(job, job.terms, at=at)

    def _check_start(self, job: JobStanding, body: JobStarted, *, at: str) -> None:
        if body.terms != job.terms or body.datasets != job.submitted.datasets:
            raise StatementRefusedError(Rule.VERSION, "the job starts with other terms or versions than were asked")
        if job.life.leased_until is not None and at > job.life.leased_until:
            raise StatementRefusedError(Rule.LEASE, "the node's lease is over")
        self.check_reliance(job, body.terms, at=at)

    def _check_release(self, job: JobStanding, *, at: str) -> None:
        self._check_not_stopped(job, at=at)
        if job.charge is not EntryType.BUDGET_RESERVED:
            raise StatementRefusedError(Rule.BUDGET, "nothing leaves that was not charged")
        found = self._agreements.get(job.submitted.agreement)
        by_people = job.life.state is JobState.HELD
        if found is not None and found.agreement.approvals.output is OutputApproval.CHECKED:
            by_people = True
        passed = [check for check in job.checks if check.verdict is CheckVerdict.PASS]
        # SECURITY: what a person has passed is the candidate that is held, and no other.
        if by_people:
            passed = [one for one in passed if one.by.startswith("person:") and one.candidate == job.candidate]
        if not passed:
            raise StatementRefusedError(Rule.CHECK, "nothing leaves unchecked, nor without a person where one is due")
        if any(check.verdict is CheckVerdict.FAIL for check in job.checks):
            raise StatementRefusedError(Rule.CHECK, "a check of this candidate has failed")

    def _check_not_stopped(self, job: JobStanding, *, at: str) -> None:
        """Refuse the release of something that was stopped since it began; what may finish finishes."""
        asked = job.submitted
        names = [item.dataset for item in asked.datasets]
        if self._freezes.holds(job.partner, job.submitter, job.node, asked.agreement, *names, *self.owners(job)):
            raise StatementRefusedError(Rule.FROZEN, "nothing is released of what is frozen")
        if not all(self._participants.is_admitted(party, at=at) for party in (job.partner, *self.owners(job))):
            raise StatementRefusedError(Rule.PARTICIPANT, "expected a partner and a unit that are admitted")
        found = self._agreements.get(asked.agreement)
        if found is None or found.running_jobs is RunningJobs.STOP:
            raise StatementRefusedError(Rule.AGREEMENT, "the agreement was ended together with its running jobs")
        listed = (self._datasets.get(name) for name in names)
        if any(one is None or (one.is_withdrawn and one.running_jobs is RunningJobs.STOP) for one in listed):
            raise StatementRefusedError(Rule.VERSION, "the data were withdrawn together with their running jobs")

    def check_reliance(self, job: JobStanding, terms: str | None, *, at: str) -> None:
        """Refuse a step that relies on an agreement, a partner or data that do not hold now.

        Raises:
            StatementRefusedError: one of them does not; `rule` says which.
        """
        asked = job.submitted
        found = self._agreements.get(asked.agreement)
        if found is None or not found.is_active(at) or found.terms != terms or found.agreement.assignee != job.partner:
            raise StatementRefusedError(Rule.AGREEMENT, "expected an active agreement of the partner, in these terms")
        names = [item.dataset for item in asked.datasets]
        node, owners = self.node_of(asked.datasets), self.owners(job)
        if self._freezes.holds(job.partner, job.submitter, asked.agreement, node, *owners, *names):
            raise StatementRefusedError(Rule.FROZEN, "something that the job relies on is frozen")
        if not all(self._participants.is_admitted(party, at=at) for party in (job.partner, *owners)):
            raise StatementRefusedError(Rule.PARTICIPANT, "expected a partner and a unit that are admitted")
        for item in asked.datasets:
            dataset = self._datasets.get(item.dataset)
            if dataset is None or not dataset.is_usable(item.version):
                raise StatementRefusedError(Rule.VERSION, "expected versions of data sets that may be used")

    def _charge(self, job: JobStanding, body: BudgetReserved | BudgetCommitted | BudgetRefunded) -> JobStanding:
        agreement = self._agreements.get(job.submitted.agreement)
        before = job.charge
        if isinstance(body, BudgetReserved):
            limit = 0 if agreement is None else agreement.agreement.limits.jobs
            if body.measure is not BudgetMeasure.JOBS or body.amount != "1":
                raise StatementRefusedError(Rule.BUDGET, "a job is charged as one job")
            if job.state not in (JobState.LEASED, JobState.STARTED):
                raise StatementRefusedError(Rule.BUDGET, "a job is charged when it starts")
            if before not in (None, EntryType.BUDGET_REFUNDED):
                raise StatementRefusedError(Rule.BUDGET, "a job is charged once")
            if self.charged(job.submitted.agreement) >= limit:
                raise StatementRefusedError(Rule.BUDGET, "the agreement's jobs are used up")
            return replace(job, charge=EntryType.BUDGET_RESERVED)
        if before is not EntryType.BUDGET_RESERVED:
            raise StatementRefusedError(Rule.BUDGET, "expected a charge that was reserved and is not settled")
        if isinstance(body, BudgetRefunded):
            if job.has_started:
                raise StatementRefusedError(Rule.BUDGET, "what has started is never refunded")
            return replace(job, charge=EntryType.BUDGET_REFUNDED)
        return replace(job, charge=EntryType.BUDGET_COMMITTED)
