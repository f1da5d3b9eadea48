"""What the hub does about federations, by how they stand: begins, runs, calls off; each its own, and no other's."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from api.bureau import Bureau
from api.changes import Changes
from api.federating import Federating
from federated.rounds.coordinator import RoundLimits
from policies.federations import FederationState
from policies.jobs import JobState
from policies.standing import Rule, StatementRefusedError
from tests.lib.hubs import BUREAU, fixed_key
from tests.lib.waiting import wait_until
from tests.unit.api.test_federation_groups import ASKED, OTHER, Hub, others
from yingbi.clock import FixedClock, format_time
from yingbi.errors import ErrorCode, UnavailableError
from yingbi.plan.codec import common_digest
from yingbi.statement import Statement


class Recorder:
    """Keeps what is said; what `refuses` is not."""

    def __init__(self, hub: Hub, clock: FixedClock) -> None:
        self._hub, self._clock = hub, clock
        self.changes = Changes()
        self.said: list[Statement] = []
        self.refuses: StatementRefusedError | None = None
        self.worklist = SimpleNamespace(open_jobs=lambda standing: [j for j in hub.jobs.values() if j.state in OPEN])

    @property
    def standing(self) -> Any:
        standing = self._hub.standing
        standing.federations.joined = self.joined
        standing.judge = self.judge
        standing.jobs.check_reliance = lambda job, terms, at: None
        return standing

    def joined(self, job: str, attempt: int) -> Any:
        found = self._hub.jobs[job]
        joined = getattr(found, "joined", None)
        return None if joined is None else SimpleNamespace(attempt=attempt, node=f"node:{job}", terms=joined)

    def judge(self, statement: Statement, *, at: str) -> None:
        if self.refuses is not None and statement.type == "federation.started":
            raise self.refuses

    def record(self, submission: Any) -> Any:
        made = submission.then(self.standing, format_time(self._clock.now()))
        self.said += made.statements
        return SimpleNamespace(entries=())

    def told(self) -> list[tuple[str, str]]:
        return [(str(one.type), one.payload.id) for one in self.said]


OPEN = (JobState.SUBMITTED, JobState.APPROVED, JobState.LEASED, JobState.STARTED, JobState.INTERRUPTED)


class Way:
    """A way that leads nowhere; notes which runs were opened."""

    app = "sha256:" + "a" * 64

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.held = threading.Event()
        self.is_held = False

    @contextmanager
    def open(self, federation: str, nodes: Sequence[str]) -> Iterator[Any]:
        self.opened.append(federation)
        if self.is_held:
            self.held.wait(10)
        if self.opened:
            raise UnavailableError(ErrorCode.NODE_UNAVAILABLE, "nobody is there")
        yield None

    def register(self, node: str, public_key: bytes) -> Any:
        raise AssertionError("nobody registers")

    def connected(self) -> dict[str, bool]:
        return {}


class World:
    def __init__(self, clock: FixedClock) -> None:
        self.hub, self.way = Hub(), Way()
        self.recorder = Recorder(self.hub, clock)
        self.federating = Federating(
            recorder=self.recorder,  # type: ignore[arg-type]
            bureau=Bureau(BUREAU, fixed_key("service")),
            groups=self.hub.groups,
            store=SimpleNamespace(),  # type: ignore[arg-type]
            way=self.way,
            clock=clock,
            limits=RoundLimits(),
        )

    def join_all(self, asked: Any = ASKED) -> None:
        for member in asked.members:
            self.hub.jobs[member.job].state = JobState.STARTED
            self.hub.jobs[member.job].joined = common_digest(asked)

    def look(self) -> list[tuple[str, str]]:
        self.recorder.said.clear()
        self.federating.look()
        return self.recorder.told()


@pytest.fixture
def world(clock: FixedClock) -> World:
    return World(clock)


def test_it_begins_when_all_have_joined_on_the_same_terms(world: World) -> None:
    world.hub.submit_all()
    assert world.look() == []
    world.join_all()
    world.hub.jobs["job-bao"].joined = "sha256:" + "0" * 64
    assert world.look() == []
    world.join_all()
    assert world.look() == [("federation.started", "fed-1")]
    body = world.recorder.said[0].payload.body
    assert (body["app"], body["terms"], body["quorum"]) == (Way.app, common_digest(ASKED), 3)
    assert [one["job"] for one in body["members"]] == [one.job for one in ASKED.members]


def test_what_does_not_fit_now_does_not_begin(world: World) -> None:
    world.hub.submit_all()
    world.join_all()
    world.recorder.refuses = StatementRefusedError(Rule.FROZEN, "not now")
    assert world.look() == []


def test_what_was_interrupted_goes_on_when_all_have_joined_anew(world: World) -> None:
    world.hub.submit_all()
    world.join_all()
    world.hub.start(FederationState.INTERRUPTED)
    assert world.look() == [], "the nodes have not heard of it"
    for number, member in enumerate(ASKED.members, 1):
        world.hub.jobs[member.job].life.attempt = 2
        assert world.look() == ([("federation.started", "fed-1")] if number == len(ASKED.members) else [])


@pytest.mark.parametrize("state", [JobState.REFUSED, JobState.CANCELLED, JobState.REJECTED])
def test_where_one_member_is_over_the_others_are_called_off(world: World, state: JobState) -> None:
    world.hub.submit_all()
    world.hub.jobs["job-futian"].state = state
    assert world.look() == [("job.cancelled", "job-bao"), ("job.cancelled", "job-luohu")]
    assert {one.payload.body["reason"] for one in world.recorder.said} == {"federation-ended"}


def test_what_was_interrupted_and_has_lost_a_member_is_aborted(world: World) -> None:
    world.hub.submit_all(state=JobState.INTERRUPTED)
    world.hub.start(FederationState.INTERRUPTED)
    world.hub.started["fed-1"].completed = ()
    world.hub.jobs["job-luohu"].state = JobState.CANCELLED
    assert world.look()[0] == ("federation.aborted", "fed-1")
    assert world.recorder.said[0].payload.body["reason"] == "member-ended"


def test_nobody_elses_jobs_are_called_off(world: World) -> None:
    """A partner names another's jobs as his members, and ends one of his own."""
    world.hub.submit_all()
    spy = replace(others(), federation="fed-2", members=(*others().members[:2], ASKED.members[2]))
    for place in (0, 1):
        world.hub.submit(place, asked=spy, partner=OTHER)
    world.hub.jobs[spy.members[0].job].state = JobState.CANCELLED
    assert world.look() == [("job.cancelled", spy.members[1].job)]


def test_what_has_lost_its_id_is_called_off_and_the_other_runs(world: World) -> None:
    world.hub.submit_all()
    world.hub.start(FederationState.RUNNING)
    asked = others()
    world.hub.submit_all(asked, partner=OTHER)
    told = world.look()
    assert told == [("job.cancelled", one.job) for one in asked.members]
    wait_until(lambda: world.way.opened == ["fed-1"])


def test_a_federation_runs_once_and_one_that_failed_waits(world: World) -> None:
    world.way.is_held = True
    world.hub.submit_all(state=JobState.STARTED)
    world.hub.start(FederationState.RUNNING)
    for _ in range(3):
        assert world.look() == []
    wait_until(lambda: world.way.opened)
    world.way.held.set()
    for thread in list(world.federating._runs.values()):
        thread.join(10)
    world.look()
    assert world.way.opened == ["fed-1"]


def test_a_completed_one_is_told_until_nobody_waits_for_it(world: World) -> None:
    world.hub.submit_all(state=JobState.STARTED)
    world.hub.start(FederationState.COMPLETED)
    world.hub.started["fed-1"].members = world.hub.started["fed-1"].started.members
    world.look()
    wait_until(lambda: world.way.opened == ["fed-1"])
    done = World(FixedClock(world.federating._clock.now()))
    done.hub.submit_all(state=JobState.RELEASED)
    done.hub.start(FederationState.COMPLETED)
    assert done.look() == []
    assert done.way.opened == []
