"""Which federations there are, by what member jobs ask; ids are the asker's choice and bind nobody else."""

import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from api.federation_groups import FederationGroups, Group
from policies.federations import FederationState
from policies.jobs import JobState
from tests.unit.federated.rounds.test_course import question
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.plan.codec import common_digest, plan_to_json
from yingbi.plan.model import Plan, Source, TrainingQuestion

ASKED = question()
BANK, OTHER = "partner:bank-a", "partner:bank-b"


@dataclass
class Hub:
    """Jobs, their plans, and the federations that were started."""

    jobs: dict[str, Any] = field(default_factory=dict)
    plans: dict[str, Any] = field(default_factory=dict)
    started: dict[str, Any] = field(default_factory=dict)
    reads: int = 0

    def __post_init__(self) -> None:
        self.groups = FederationGroups(self)  # type: ignore[arg-type]

    @property
    def standing(self) -> Any:
        jobs = SimpleNamespace(get=self.jobs.get, items=lambda: iter(self.jobs.values()))
        return SimpleNamespace(jobs=jobs, federations=SimpleNamespace(get=self.started.get))

    def read_opening(self, commitment: str) -> Any:
        self.reads += 1
        if commitment not in self.plans:
            raise NotFoundError(ErrorCode.THING_NOT_FOUND, "erased")
        return SimpleNamespace(value=json.dumps(self.plans[commitment]))

    def submit(
        self, place: int, *, asked: TrainingQuestion = ASKED, partner: str = BANK, state: JobState = JobState.APPROVED
    ) -> Any:
        """Submit the job of a member."""
        member = asked.members[place]
        own = replace(asked, source=Source(dataset=member.dataset, version=1))
        self.plans[f"plan-{member.job}"] = plan_to_json(Plan(question=own))
        submitted = SimpleNamespace(operation="train.horizontal.logistic_regression", plan=f"plan-{member.job}")
        life = SimpleNamespace(attempt=1)
        job = SimpleNamespace(id=member.job, partner=partner, submitted=submitted, state=state, life=life)
        self.jobs[member.job] = job
        return job

    def submit_all(self, asked: TrainingQuestion = ASKED, **how: Any) -> list[Any]:
        return [self.submit(place, asked=asked, **how) for place in range(len(asked.members))]

    def start(self, state: FederationState, *, asked: TrainingQuestion = ASKED, partner: str = BANK) -> None:
        members = [SimpleNamespace(job=one.job, attempt=1) for one in asked.members]
        started = SimpleNamespace(terms=common_digest(asked), members=members)
        self.started[asked.federation] = SimpleNamespace(
            state=state, partner=partner, started=started, life=SimpleNamespace(started=started)
        )


@pytest.fixture
def hub() -> Hub:
    return Hub()


def others() -> TrainingQuestion:
    """Return what another bank asks under the same id."""
    members = tuple(replace(one, job=f"{one.job}-b", agreement=f"{one.agreement}-b") for one in ASKED.members)
    return replace(ASKED, members=members)


def test_a_federation_is_its_member_jobs(hub: Hub) -> None:
    jobs = [hub.submit(place) for place in (2, 0)]
    (group,) = hub.groups.all(hub.standing)
    assert (group.id, group.terms, group.partner) == ("fed-1", common_digest(ASKED), BANK)
    assert group.jobs(hub.standing) == (jobs[1], jobs[0])
    assert hub.groups.find(hub.standing, "fed-1") == (group,)
    assert hub.groups.find(hub.standing, "fed-2") == ()
    assert hub.groups.rounds_of(jobs[0]) == ASKED.rounds
    assert hub.reads == 2


def test_what_asks_nothing_together_is_of_none(hub: Hub) -> None:
    job = hub.submit(0)
    job.submitted.operation = "aggregate"
    assert hub.groups.of_job(job) is None
    assert hub.groups.rounds_of(job) == 0
    assert hub.groups.may_lease(job, hub.standing)
    erased = hub.submit(1)
    hub.plans.clear()
    assert hub.groups.of_job(erased) is None
    assert not hub.groups.may_lease(erased, hub.standing)


def test_another_partners_jobs_are_not_ones_own(hub: Hub) -> None:
    theirs = hub.submit_all()
    mine = hub.submit(0, asked=replace(others(), members=(others().members[0], *ASKED.members[1:])), partner=OTHER)
    group = hub.groups.of_job(mine)
    assert group is not None
    assert group.jobs(hub.standing) == (mine,)
    victim = hub.groups.of_job(theirs[0])
    assert victim is not None
    assert victim.jobs(hub.standing) == tuple(theirs)


def test_two_partners_that_ask_the_same_word_for_word_are_two(hub: Hub) -> None:
    for place, partner in ((0, BANK), (1, BANK), (2, OTHER)):
        hub.submit(place, partner=partner)
    groups = list(hub.groups.all(hub.standing))
    assert [group.partner for group in groups] == [BANK, OTHER]
    assert not any(hub.groups.is_agreed(group, hub.standing) for group in groups)
    assert not any(hub.groups.may_lease(job, hub.standing) for job in hub.jobs.values())


def test_of_one_id_the_one_that_was_started_comes_first(hub: Hub) -> None:
    hub.submit_all(others(), partner=OTHER)
    hub.submit_all()
    assert [group.partner for group in hub.groups.find(hub.standing, "fed-1")] == [OTHER, BANK]
    hub.start(FederationState.RUNNING)
    first, second = hub.groups.find(hub.standing, "fed-1")
    assert (first.partner, second.partner) == (BANK, OTHER)
    assert first.started(hub.standing) is hub.started["fed-1"]
    assert second.started(hub.standing) is None
    assert (first.is_taken(hub.standing), second.is_taken(hub.standing)) == (False, True)


def test_an_id_on_the_same_terms_is_the_partners_that_started_it(hub: Hub) -> None:
    job = hub.submit(0)
    hub.start(FederationState.RUNNING, partner=OTHER)
    group = hub.groups.of_job(job)
    assert group is not None
    assert group.started(hub.standing) is None
    assert group.is_taken(hub.standing)


def test_members_agree_when_all_ask_the_same_each_of_its_own(hub: Hub) -> None:
    def is_agreed() -> bool:
        group = hub.groups.of_job(hub.jobs["job-bao"])
        return group is not None and hub.groups.is_agreed(group, hub.standing)

    for place in (0, 1):
        hub.submit(place)
        assert not is_agreed()
    hub.submit(2)
    assert is_agreed()


def test_members_that_ask_something_else_do_not_agree(hub: Hub) -> None:
    hub.submit(0)
    hub.submit(1)
    hub.submit(2, asked=replace(ASKED, min_entities=11))
    group = hub.groups.of_job(hub.jobs["job-bao"])
    assert group is not None
    assert not hub.groups.is_agreed(group, hub.standing)


def test_a_member_over_anothers_data_does_not_agree(hub: Hub) -> None:
    hub.submit_all()
    wrong = replace(ASKED, source=Source(dataset="bao/loans", version=1))
    hub.plans["plan-job-luohu"] = plan_to_json(Plan(question=wrong))
    group = hub.groups.of_job(hub.jobs["job-bao"])
    assert group is not None
    assert not hub.groups.is_agreed(group, hub.standing)


def leases(hub: Hub) -> set[bool]:
    return {hub.groups.may_lease(job, hub.standing) for job in hub.jobs.values()}


def test_members_are_leased_together_when_all_can_run(hub: Hub) -> None:
    for place in (0, 1):
        hub.submit(place)
    assert leases(hub) == {False}
    last = hub.submit(2, state=JobState.SUBMITTED)
    assert leases(hub) == {False}
    for state in (JobState.APPROVED, JobState.LEASED, JobState.STARTED, JobState.INTERRUPTED):
        last.state = state
        assert leases(hub) == {True}, state
    for state in (JobState.REFUSED, JobState.CANCELLED, JobState.RELEASED, JobState.FAILED):
        last.state = state
        assert leases(hub) == {False}, state


def test_what_runs_or_has_ended_is_not_leased_and_what_is_interrupted_is(hub: Hub) -> None:
    jobs = hub.submit_all(state=JobState.INTERRUPTED)
    for state in (FederationState.RUNNING, FederationState.COMPLETED, FederationState.ABORTED):
        hub.start(state)
        assert leases(hub) == {False}, state
    hub.start(FederationState.INTERRUPTED)
    assert leases(hub) == {True}
    # One that is still in the attempt that the federation has left is waited for.
    jobs[1].state = JobState.STARTED
    assert leases(hub) == {False}
    jobs[1].life.attempt = 2
    assert leases(hub) == {True}


def test_what_has_lost_its_id_is_not_leased(hub: Hub) -> None:
    hub.submit_all()
    hub.start(FederationState.INTERRUPTED, asked=others(), partner=OTHER)
    assert leases(hub) == {False}


def test_a_group_is_known_by_id_terms_and_partner() -> None:
    group = Group(id="fed-1", terms="sha256:t", partner=BANK, question=ASKED)
    assert group.key == ("fed-1", "sha256:t", BANK)
