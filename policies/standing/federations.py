"""Federations in their lives (`policies.federations` holds the table; docs/spec/standing.md, "Federations").

Memory: of each completed round two digests, the names of who took part, and the indexes of its entries, so
O(rounds x members) numbers; the digests of contributions only of the last round and of the attempt that is open, which
are all that later rules look at. Cost of a contribution: O(members), about 20 us each for what their jobs rely on,
whatever the number of rounds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from policies.federations import (
    ENDED,
    Attempt,
    FederationLife,
    FederationState,
    Round,
    begin,
    follow,
)
from policies.jobs import JobState
from policies.standing.agreements import AgreementRegister
from policies.standing.jobs import JobRegister, JobStanding
from policies.standing.refusals import Rule, StatementRefusedError, conflict
from policies.standing.said import Effect, Rules, Said
from policies.standing.sums import Sums
from yingbi.errors import ConflictError
from yingbi.events import EntryType
from yingbi.events.federations import FederationContributed, FederationJoined, FederationMember, FederationStarted
from yingbi.events.outputs import DisclosureMode

__all__ = ["FederationRegister", "FederationStanding", "Joined"]

_ID: Final = "fed-"
_OPERATION: Final = "train.horizontal."
_TRAINING: Final = "train"
# What relies on the members' jobs; an end never does.
_RELYING: Final = frozenset(
    {EntryType.FEDERATION_STARTED, EntryType.FEDERATION_ROUND_STARTED, EntryType.FEDERATION_CONTRIBUTED}
)
_OF_BUREAU: Final = (
    EntryType.FEDERATION_ROUND_STARTED,
    EntryType.FEDERATION_ROUND_COMPLETED,
    EntryType.FEDERATION_INTERRUPTED,
    EntryType.FEDERATION_COMPLETED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What a node has said of one attempt of its member job: the terms it has checked, its key for the secure sum."""

    federation: str
    job: str
    attempt: int
    node: str
    terms: str
    key: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationStanding:
    """A federation and what was said of it.

    `joined`: what its members said when they joined it for its last start, in their order. `rounds`: the indexes of the
    entries of each completed round, all its attempts included; `recent`: of what came since.
    """

    id: str
    life: FederationLife
    partner: str
    joined: tuple[Joined, ...]
    rounds: tuple[tuple[int, ...], ...] = ()
    recent: tuple[int, ...] = ()

    @property
    def state(self) -> FederationState:
        """Return where it is in its life."""
        return self.life.state

    @property
    def started(self) -> FederationStarted:
        """Return what was said when it last began or went on: recipe, app, terms, members, quorum, rounds, epsilon."""
        return self.life.started

    @property
    def members(self) -> tuple[FederationMember, ...]:
        """Return its members, ascending by node."""
        return tuple(self.life.started.members)

    @property
    def completed(self) -> tuple[Round, ...]:
        """Return its completed rounds."""
        return self.life.completed

    @property
    def attempt(self) -> Attempt | None:
        """Return the attempt that is open, or nothing."""
        return self.life.open

    @property
    def entries(self) -> tuple[int, ...]:
        """Return the indexes of its entries in the order of the log, of those with which its members joined too."""
        return tuple(sorted(index for some in (*self.rounds, self.recent) for index in some))


class FederationRegister:
    """All federations that were ever started, and who has joined which."""

    def __init__(self, *, bureau: str, agreements: AgreementRegister, jobs: JobRegister) -> None:
        self._bureau = bureau
        self._agreements = agreements
        self._jobs = jobs
        self._all: dict[str, FederationStanding] = {}
        self._joined: dict[tuple[str, int], Joined] = {}
        self._keys: set[str] = set()
        self._of_job: dict[str, str] = {}
        self._sums = Sums()

    def fork(self, *, agreements: AgreementRegister, jobs: JobRegister) -> "FederationRegister":
        """Return a copy that changes by itself."""
        copy = FederationRegister(bureau=self._bureau, agreements=agreements, jobs=jobs)
        copy._all, copy._joined, copy._keys = dict(self._all), dict(self._joined), set(self._keys)
        copy._of_job, copy._sums = dict(self._of_job), self._sums
        return copy

    def rules(self) -> Rules:
        """Return what judges the entries about federations, and the release of what they have trained."""
        return {
            EntryType.FEDERATION_JOINED: self._join,
            EntryType.FEDERATION_STARTED: self._start,
            EntryType.FEDERATION_ROUND_STARTED: self._follow,
            EntryType.FEDERATION_CONTRIBUTED: self._follow,
            EntryType.FEDERATION_ROUND_COMPLETED: self._follow,
            EntryType.FEDERATION_INTERRUPTED: self._follow,
            EntryType.FEDERATION_ABORTED: self._follow,
            EntryType.FEDERATION_COMPLETED: self._follow,
            EntryType.OUTPUT_RELEASED: self._release,
        }

    def get(self, federation: str) -> FederationStanding | None:
        """Return a federation, or nothing."""
        return self._all.get(federation)

    def items(self) -> Iterator[FederationStanding]:
        """Yield all federations, in the order they were started."""
        yield from list(self._all.values())

    def joined(self, job: str, attempt: int) -> Joined | None:
        """Return what was said when an attempt of a job joined a federation, or nothing."""
        return self._joined.get((job, attempt))

    def of_job(self, job: str) -> FederationStanding | None:
        """Return the federation of which a job is a member, or nothing where it is of none that was started."""
        found = self._all.get(self._of_job.get(job, ""))
        return found if found is not None and any(item.job == job for item in found.members) else None

    # --- joining -----------------------------------------------------------------------------------------------------

    def _join(self, said: Said) -> Effect:
        body: FederationJoined = said.body
        job = self._jobs.get(body.job)
        if job is None or job.node not in said.signers.owners:
            raise StatementRefusedError(Rule.SIGNER, "expected the node that has the job")
        self._check_running(job, body.attempt)
        self._check_member(job)
        self._check_first(said.about, body)
        self._jobs.check_reliance(job, job.terms, at=said.at)
        return lambda index: self._take_joined(
            Joined(
                federation=said.about,
                job=body.job,
                attempt=body.attempt,
                node=str(job.node),
                terms=body.terms,
                key=body.key,
                index=index,
            )
        )

    def _check_first(self, federation: str, body: FederationJoined) -> None:
        if not federation.startswith(_ID):
            raise StatementRefusedError(Rule.TERMS, f"expected the id of a federation, `{_ID}…`")
        found = self._all.get(federation)
        if found is not None and found.state in ENDED:
            raise StatementRefusedError(Rule.STATE, "the federation has ended")
        if self._of_job.get(body.job, federation) != federation:
            raise StatementRefusedError(Rule.STATE, "a job is a member of one federation")
        if (body.job, body.attempt) in self._joined:
            raise StatementRefusedError(Rule.STATE, "an attempt of a job joins once")
        # SECURITY: masks from a key that was used before could be taken off with the sums of both.
        if body.key in self._keys:
            raise StatementRefusedError(Rule.KEY, "a key is joined with once, by nobody twice")

    def _take_joined(self, joined: Joined) -> None:
        self._joined[joined.job, joined.attempt] = joined
        self._keys.add(joined.key)
        self._of_job[joined.job] = joined.federation

    def _check_member(self, job: JobStanding) -> None:
        asked = job.submitted
        if not asked.operation.startswith(_OPERATION):
            raise StatementRefusedError(Rule.TERMS, f"expected a job of an operation `{_OPERATION}…`")
        # SECURITY: the rule of sets counts data sets, and means units: each member brings one.
        if len(asked.datasets) != 1:
            raise StatementRefusedError(Rule.TERMS, "expected a job over one data set")

    # --- starting ----------------------------------------------------------------------------------------------------

    def _start(self, said: Said) -> Effect:
        body: FederationStarted = said.body
        if self._bureau not in said.signers.owners:
            raise StatementRefusedError(Rule.SIGNER, "expected the bureau")
        found = self._all.get(said.about)
        try:
            life = begin(body) if found is None else follow(found.life, said.type, body, at=said.at)
        except ConflictError as error:
            raise conflict(error) from None
        jobs = [self._member(item, at=said.at) for item in body.members]
        joined = [self._joined_with(said.about, body, item) for item in body.members]
        self._check_together(body, jobs)
        sums = self._add_sums(jobs) if life.is_exact else self._sums
        fresh = FederationStanding(id=said.about, life=life, partner=jobs[0].partner, joined=tuple(joined))
        after = fresh if found is None else replace(found, life=life, joined=tuple(joined))
        known = () if found is None else found.joined
        new = tuple(item.index for item in joined if item not in known)
        return lambda index: self._take_started(replace(after, recent=(*after.recent, *new, index)), sums)

    def _take_started(self, federation: FederationStanding, sums: Sums) -> None:
        self._all[federation.id] = federation
        self._sums = sums

    def _joined_with(self, federation: str, body: FederationStarted, member: FederationMember) -> Joined:
        found = self._joined.get((member.job, member.attempt))
        if found is None or (found.federation, found.terms) != (federation, body.terms):
            raise StatementRefusedError(Rule.TERMS, "expected members that have joined this federation, on these terms")
        return found

    def _check_together(self, body: FederationStarted, jobs: list[JobStanding]) -> None:
        """Refuse jobs that do not belong together, or to what is started."""
        units = {owner for job in jobs for owner in self._jobs.owners(job)}
        if len({job.partner for job in jobs}) != 1 or len(units) != len(jobs):
            raise StatementRefusedError(Rule.PARTICIPANT, "expected jobs of one partner, over data of different units")
        told = (f"{_OPERATION}{body.recipe}", body.epsilon)
        if any((job.submitted.operation, job.submitted.epsilon) != told for job in jobs):
            raise StatementRefusedError(Rule.TERMS, "expected jobs that ask for this recipe and this epsilon")
        mode = DisclosureMode.EXACT if body.epsilon is None else DisclosureMode.PRIVATE
        for job in jobs:
            found = self._agreements.get(job.submitted.agreement)
            if found is None or found.agreement.disclosure.mode is not mode:
                raise StatementRefusedError(Rule.TERMS, "expected agreements that are in the mode of the federation")
            if body.quorum < found.agreement.disclosure.min_contributors:
                raise StatementRefusedError(Rule.TERMS, "the quorum is smaller than a member's agreement wants")

    def _add_sums(self, jobs: list[JobStanding]) -> Sums:
        """Return the sums in exact mode with another one, which must not give a unit away (the rule of sets).

        Whatever was started counts, also what was interrupted or aborted: its rounds may have been seen. It holds for
        data sets and for versions of them: with a version that one unit alone has changed, the change would be seen.
        """
        asked = [job.submitted.datasets[0] for job in jobs]
        sums = self._sums
        for parts in ({item.dataset for item in asked}, {f"{item.dataset}/{item.version}" for item in asked}):
            if sums.is_close(frozenset(parts)):
                raise StatementRefusedError(Rule.SETS, "an earlier sum differs by the data of fewer than three units")
            sums = sums.add(frozenset(parts))
        if sums.is_seen_through():
            raise StatementRefusedError(Rule.SETS, "with earlier sums, this one shows the data of one or two units")
        return sums

    # --- rounds and ends ---------------------------------------------------------------------------------------------

    def _follow(self, said: Said) -> Effect:
        found = self._all.get(said.about)
        if found is None:
            raise StatementRefusedError(Rule.STATE, "expected a federation that was started")
        self._check_signer(said, found)
        try:
            after = replace(found, life=follow(found.life, said.type, said.body, at=said.at))
        except ConflictError as error:
            raise conflict(error) from None
        if said.type in _RELYING:
            for member in after.members:
                self._member(member, at=said.at)
        return lambda index: self._put(after, said.type, index)

    def _put(self, federation: FederationStanding, kind: EntryType, index: int) -> None:
        life, recent = federation.life, (*federation.recent, index)
        if kind is EntryType.FEDERATION_ROUND_STARTED and life.open is not None:
            life = replace(life, open=replace(life.open, started=index))
        after = replace(federation, life=life, recent=recent)
        if len(life.completed) > len(federation.rounds):
            after = replace(after, rounds=(*federation.rounds, recent), recent=())
        self._all[federation.id] = after

    def _check_signer(self, said: Said, found: FederationStanding) -> None:
        is_bureau = self._bureau in said.signers.owners
        if said.type in _OF_BUREAU:
            is_right = is_bureau
        elif isinstance(said.body, FederationContributed):
            job = self._jobs.get(said.body.job)
            is_right = job is not None and job.node in said.signers.owners
        else:
            is_right = is_bureau or self._may_abort(found, said)
        if not is_right:
            raise StatementRefusedError(Rule.SIGNER, "nobody signed who may say this of the federation")

    def _may_abort(self, found: FederationStanding, said: Said) -> bool:
        """Tell whether one of the members' jobs could be called off by a signer: that ends them all."""
        jobs = [self._jobs.get(item.job) for item in found.members]
        return any(job is not None and self._jobs.may_cancel(job, said) for job in jobs)

    def _member(self, member: FederationMember, *, at: str) -> JobStanding:
        """Return a member's job, which is started in the attempt that joined and relies on what holds."""
        job = self._jobs.get(member.job)
        if job is None or job.node != member.node:
            raise StatementRefusedError(Rule.MEMBER, "expected the jobs of the members, each at its node")
        self._check_running(job, member.attempt)
        self._jobs.check_reliance(job, job.terms, at=at)
        return job

    def _check_running(self, job: JobStanding, attempt: int) -> None:
        if job.state is not JobState.STARTED or job.life.attempt != attempt:
            raise StatementRefusedError(Rule.MEMBER, "expected a job that is started, in this attempt")

    # --- releases ----------------------------------------------------------------------------------------------------

    def _release(self, said: Said) -> Effect:
        """Judge a release as the jobs' rules do; what was trained together leaves when that is completed."""
        effect = self._jobs.judge_step(said)
        job = self._jobs.get(said.body.job)
        if job is not None and job.submitted.operation.split(".")[0] == _TRAINING:
            found = self.of_job(job.id)
            if found is None or found.state is not FederationState.COMPLETED:
                raise StatementRefusedError(Rule.MEMBER, "expected a member of a federation that is completed")
        return effect
