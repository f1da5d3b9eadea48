"""The coordinator over real rules: what it does next follows from log and store, and every end is a true one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from federated.content import Content
from federated.flower.grid import Arrived, Loss, Lost
from federated.horizontal.parameters import RecipeName
from federated.horizontal.state import State
from federated.rounds.chain import Course, take_step
from federated.rounds.coordinator import Coordinator, RoundFigures, RoundKept, RoundLimits
from federated.rounds.messages import Ask, Reply, parse_request, write_reply
from federated.secure_sum import vector_digest
from policies.federations import MAX_ATTEMPTS, FederationState
from policies.model import terms_digest
from policies.standing import Standing
from tests.lib.alliance import Alliance
from tests.lib.realm import BUREAU
from tests.unit.federated.rounds.examples import course_of_recipe, plain
from tests.unit.federated.secure_sum.parties import make_keys, mask_all
from yingbi.clock import FixedClock, parse_time
from yingbi.errors import ErrorCode, VerificationError
from yingbi.events import EntryType
from yingbi.ids import new_id
from yingbi.statement import Statement

NAMES = ("a", "b", "c")
NODES = tuple(f"node:{name}" for name in NAMES)
Vectors = dict[str, NDArray[np.uint64]]
Answer = Callable[[str, Content], Content | None]


class DiedError(Exception):
    """A process that ends between two steps."""


@dataclass
class Store:
    """Keeps in memory; `fails` is called before anything is put."""

    states: dict[str, RoundKept] = field(default_factory=dict)
    came: dict[tuple[int, int], Vectors] = field(default_factory=dict)
    figures: list[RoundFigures] = field(default_factory=list)
    fails: Callable[[str], None] = lambda what: None

    def state(self, federation: str) -> RoundKept | None:
        return self.states.get(federation)

    def put_state(self, federation: str, kept: RoundKept) -> None:
        self.fails("state")
        self.states[federation] = kept

    def vectors(self, federation: str, number: int, attempt: int) -> Mapping[str, NDArray[np.uint64]]:
        return dict(self.came.get((number, attempt), {}))

    def put_vector(self, federation: str, number: int, attempt: int, node: str, vector: NDArray[np.uint64]) -> None:
        self.fails("vector")
        self.came.setdefault((number, attempt), {})[node] = vector

    def note_round(self, federation: str, figures: RoundFigures) -> None:
        self.figures.append(figures)


@dataclass
class World:
    """A federation of three units that has started, and members who do what they are told."""

    alliance: Alliance
    federation: str
    jobs: dict[str, str]
    course: Course
    store: Store = field(default_factory=Store)
    answers: dict[str, Callable[[int, int, Content], Content | None]] = field(default_factory=dict)
    present: Callable[[], frozenset[str]] = lambda: frozenset(NODES)
    asked: list[tuple[Ask, int, int, tuple[str, ...]]] = field(default_factory=list)
    ending: Callable[[], bool] = lambda: False
    limits: RoundLimits = field(default_factory=lambda: RoundLimits(deadline=timedelta(seconds=60)))
    log: list[Statement] = field(default_factory=list)
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.course.start()

    # --- the log

    @property
    def standing(self) -> Standing:
        return self.alliance.standing

    def record(self, make: Callable[[Standing, str], Sequence[Statement]]) -> Sequence[int]:
        made = [self.alliance.take(one) for one in make(self.standing, self.alliance.at)]
        self.log += made
        return range(self.standing.size - len(made), self.standing.size)

    def says(self, kind: EntryType, name: str, body: Mapping[str, object], at: str) -> Statement:
        return self.alliance.statement(kind.value, name, dict(body), BUREAU)

    # --- the members

    def online(self) -> frozenset[str]:
        return self.present()

    def exchange(self, requests: Mapping[str, Content], *, deadline_s: float) -> Iterator[Arrived | Lost]:
        assert deadline_s > 0
        read = {node: parse_request(content) for node, content in requests.items()}
        one = next(iter(read.values()))
        self.asked.append((one.ask, one.round, one.attempt, tuple(sorted(requests))))
        if one.ask is Ask.FINISH:
            for node in requests:
                content = self.answer(node, one.round, one.attempt, write_reply(Reply(vector=None, entry=None)))
                yield self.outcome(node, content)
            return
        if one.given:
            self.state = self.kept_state(one.round - 1)
        vectors = mask_all(plain(self.course, self.state, NODES), {node: KEYS[node] for node in NODES})
        for node in requests:
            vector = vectors[node]
            name = node.removeprefix("node:")
            content = self.answer(node, one.round, one.attempt, write_reply(Reply(vector=vector, entry=1)))
            if content is not None:
                told = vector_digest(vector) if content.arrays.get("told") is None else str(content.values["digest"])
                body = {"contribution": told, "rho": self.course.spent(1)}
                self.alliance.take(self.alliance.contributing(self.federation, name, **body))
            yield self.outcome(node, content)

    def kept_state(self, number: int) -> State:
        kept = self.store.states[self.federation]
        assert kept.round == number
        return kept.state

    def answer(self, node: str, number: int, attempt: int, content: Content) -> Content | None:
        return self.answers[node](number, attempt, content) if node in self.answers else content

    @staticmethod
    def outcome(node: str, content: Content | None) -> Arrived | Lost:
        if content is None:
            return Lost(party=node, reason=Loss.REFUSED, code=ErrorCode.ROUND_REFUSED)
        arrays = {name: array for name, array in content.arrays.items() if name != "told"}
        values = {name: value for name, value in content.values.items() if name != "digest"}
        return Arrived(party=node, content=Content(arrays=arrays, values=values))

    # --- the coordinator

    def run(self) -> None:
        """Run a coordinator that knows nothing but log and store."""
        Coordinator(
            self.federation,
            self.course,
            recording=self,
            says=self.says,
            store=self.store,
            clock=FixedClock(parse_time(self.alliance.at)),
            limits=self.limits,
            on_change=lambda: None,
            is_ending=lambda: self.ending(),
        ).run(self)

    def said(self, kind: str) -> list[Mapping[str, Any]]:
        about = [one for one in self.log if one.payload.id == self.federation]
        return [one.payload.body for one in about if one.type == kind]


KEYS = dict(zip(NODES, make_keys(3).values(), strict=True))


@pytest.fixture(scope="module")
def settled() -> Alliance:
    return Alliance().settle(NAMES)


@pytest.fixture
def world(settled: Alliance) -> World:
    alliance = settled.forked()
    jobs = {name: alliance.start_job(name) for name in NAMES}
    return World(alliance, alliance.federate(jobs), jobs, course_of_recipe())


def state_of(world: World) -> FederationState:
    return world.alliance.of(world.federation).state


def test_it_runs_to_the_end_and_tells_all(world: World) -> None:
    world.run()
    found = world.alliance.of(world.federation)
    assert (found.state, [one.attempt for one in found.completed]) == (FederationState.COMPLETED, [1, 1, 1])
    assert world.asked[-1] == (Ask.FINISH, 3, 1, NODES)
    assert [one.round for one in world.store.figures] == [1, 2, 3]
    state = world.course.start()
    for number in (1, 2, 3):
        vectors = world.store.vectors(world.federation, number, 1)
        step = take_step(world.course, state, vectors)
        assert (found.completed[number - 1].aggregate, found.completed[number - 1].state) == (
            step.aggregate,
            step.state.digest(),
        )
        state = step.state
    assert found.life.result == state.digest()


def test_a_reply_that_does_not_come_costs_an_attempt(world: World) -> None:
    world.answers["node:b"] = lambda number, attempt, content: content if attempt == 2 or number != 2 else None
    world.run()
    assert [one.attempt for one in world.alliance.of(world.federation).completed] == [1, 2, 1]
    given_up = [one for one in world.said("federation.round_completed") if one["aggregate"] is None]
    (only,) = given_up
    assert (only["round"], [one["party"] for one in only["contributions"]]) == (2, ["node:a", "node:c"])


def other(change: Callable[[NDArray[np.uint64]], NDArray[np.uint64]]) -> Callable[[Content], Content]:
    return lambda content: Content(arrays={"vector": change(content.arrays["vector"])}, values=content.values)


REPLIES: dict[str, Callable[[Content], Content]] = {
    "another vector": other(lambda vector: vector + np.uint64(1)),
    "a shorter one": other(lambda vector: vector[:-1]),
    "no vector": lambda content: Content(arrays={}, values={}),
    "no reply at all": lambda content: Content(arrays={"x": np.zeros(1)}, values={}),
}


@pytest.mark.parametrize("name", REPLIES)
def test_what_the_log_does_not_name_is_not_kept(world: World, name: str) -> None:
    world.answers["node:c"] = lambda number, attempt, content: REPLIES[name](content) if attempt == 1 else content
    world.run()
    assert state_of(world) is FederationState.COMPLETED
    assert {frozenset(came) for (_, attempt), came in world.store.came.items() if attempt == 1} == {
        frozenset({"node:a", "node:b"})
    }


def test_what_cannot_be_summed_ends_it(world: World) -> None:
    """A node that says in the log what it sends, and that is no part of a sum."""

    def short(number: int, attempt: int, content: Content) -> Content:
        vector = content.arrays["vector"][:-1]
        values = {**content.values, "digest": vector_digest(vector)}
        return Content(arrays={"vector": vector, "told": vector}, values=values)

    world.answers["node:a"] = short
    world.run()
    assert state_of(world) is FederationState.ABORTED
    assert world.said("federation.aborted")[0]["reason"] == "reply-refused"


def test_it_is_interrupted_after_so_many_attempts_and_given_up_after_more(world: World) -> None:
    world.answers["node:a"] = lambda number, attempt, content: None
    world.run()
    assert state_of(world) is FederationState.INTERRUPTED
    assert world.said("federation.interrupted")[0] == {"reason": "quorum-lost", "rounds": 0}
    while state_of(world) is FederationState.INTERRUPTED:
        world.alliance.take(world.alliance.starting(world.federation, world.jobs))
        world.run()
    assert state_of(world) is FederationState.ABORTED
    assert len(world.said("federation.round_started")) == MAX_ATTEMPTS
    assert not world.alliance.of(world.federation).completed


Stop = Callable[[Alliance, dict[str, str]], None]


def suspend(alliance: Alliance, jobs: dict[str, str]) -> None:
    terms = alliance.terms_of("b")
    body = {"terms": terms_digest(terms), "running_jobs": "stop", "reason": "incident", "until": None, "note": None}
    alliance.say("agreement.suspended", terms.id, body, "person:sec")


def suspend_unit(alliance: Alliance, jobs: dict[str, str]) -> None:
    body = {"party": "unit:b", "reason": "incident", "until": None, "note": None}
    alliance.say("participant.suspended", new_id("par"), body, "person:sec")


def fail(alliance: Alliance, jobs: dict[str, str]) -> None:
    body = {"attempt": 1, "reason": "engine-error", "retryable": True}
    alliance.say("job.failed", jobs["b"], body, "node:b")


STOPS: dict[str, tuple[Stop, str]] = {
    "a suspended agreement": (suspend, "agreement-suspended"),
    "a suspended unit": (suspend_unit, "participant-suspended"),
    "a failed job": (fail, "member-interrupted"),
}


@pytest.mark.parametrize("what", STOPS)
def test_what_stops_a_member_interrupts_all_with_its_reason(world: World, what: str) -> None:
    stop, reason = STOPS[what]

    def stopped(number: int, attempt: int, content: Content) -> Content | None:
        if number == 1:
            return content
        stop(world.alliance, world.jobs)
        return None

    world.answers["node:c"] = stopped
    world.run()
    assert state_of(world) is FederationState.INTERRUPTED
    assert world.said("federation.interrupted")[0] == {"reason": reason, "rounds": 1}
    world.run()
    assert len(world.said("federation.round_started")) == 2


def dying(world: World, what: str, number: int) -> Callable[[str], None]:
    died: list[str] = []

    def fails(put: str) -> None:
        completed = len(world.alliance.of(world.federation).completed)
        if put == what and completed == number and not died:
            died.append(put)
            raise DiedError

    return fails


def test_a_state_that_was_recorded_and_not_kept_is_made_again(world: World) -> None:
    world.store.fails = dying(world, "state", 2)
    with pytest.raises(DiedError):
        world.run()
    assert world.store.states[world.federation].round == 1
    world.run()
    found = world.alliance.of(world.federation)
    assert (found.state, [one.attempt for one in found.completed]) == (FederationState.COMPLETED, [1, 1, 1])


def test_an_attempt_of_which_all_was_kept_is_closed_with_its_sum(world: World) -> None:
    """The process dies when everything has come, before it says so in the log."""
    record = world.record
    died: list[int] = []

    def dies(make: Callable[[Standing, str], Sequence[Statement]]) -> Sequence[int]:
        attempt = world.alliance.of(world.federation).attempt
        if attempt is not None and len(attempt.contributions) == 3 and not died:
            died.append(attempt.round)
            raise DiedError
        return record(make)

    world.record = dies  # type: ignore[method-assign]
    with pytest.raises(DiedError):
        world.run()
    world.run()
    assert [one.attempt for one in world.alliance.of(world.federation).completed] == [1, 1, 1]
    assert died == [1]


def test_an_attempt_of_which_something_is_missing_is_given_up(world: World) -> None:
    world.store.fails = dying(world, "vector", 1)
    with pytest.raises(DiedError):
        world.run()
    world.run()
    assert [one.attempt for one in world.alliance.of(world.federation).completed] == [1, 2, 1]


def test_a_store_that_was_altered_is_found(world: World) -> None:
    world.store.fails = dying(world, "state", 1)
    with pytest.raises(DiedError):
        world.run()
    world.store.came[1, 1]["node:a"] = world.store.came[1, 1]["node:a"] + np.uint64(1)
    with pytest.raises(VerificationError):
        world.run()


def test_a_process_that_ends_leaves_an_open_round_as_it_is(world: World) -> None:
    def stop(number: int, attempt: int, content: Content) -> Content | None:
        world.ending = lambda: True
        return None

    world.answers["node:c"] = stop
    world.run()
    found = world.alliance.of(world.federation)
    assert found.attempt is not None
    assert set(found.attempt.contributions) == {"node:a", "node:b"}
    asked = len(world.asked)
    world.run()
    assert len(world.asked) == asked


def test_members_that_are_away_are_waited_for(world: World) -> None:
    looks: list[int] = []

    def present() -> frozenset[str]:
        looks.append(len(world.asked))
        return frozenset(NODES if len(looks) > 2 else NODES[:2])

    world.present = present
    world.run()
    assert looks[:3] == [0, 0, 0]
    assert state_of(world) is FederationState.COMPLETED
    assert {one.attempt for one in world.alliance.of(world.federation).completed} == {1}


def test_the_end_is_told_to_those_who_wait_and_again_to_who_did_not_hear(world: World) -> None:
    deaf: list[str] = []

    def once(number: int, attempt: int, content: Content) -> Content | None:
        if content.arrays or deaf:
            return content
        deaf.append("node:b")
        return None

    world.answers["node:b"] = once
    world.run()
    assert [one[3] for one in world.asked if one[0] is Ask.FINISH] == [NODES, ("node:b",)]
    world.alliance.take(world.alliance.release(world.jobs["a"], "a"))
    world.run()
    assert world.asked[-1] == (Ask.FINISH, 3, 1, ("node:b", "node:c"))


def test_in_private_mode_who_is_lost_is_left_out(settled: Alliance) -> None:
    names = ("a", "b", "c", "d")
    alliance = settled.forked()
    alliance.add("d")
    jobs = {}
    for name in names:
        terms = alliance.agree_with(name, f"unit:{name}", private=True)
        operation = {"operation": "train.horizontal.woe_bins", "epsilon": "1"}
        jobs[name] = alliance.start_job(name, terms=terms, **operation)
    course = course_of_recipe(RecipeName.WOE_BINS, rho="0.01")
    federation = alliance.federate(jobs, recipe="woe_bins", epsilon="1", quorum=3)
    world = World(alliance, federation, jobs, course)
    world.present = lambda: frozenset((*NODES, "node:d"))
    exchange = world.exchange

    def without_d(requests: Mapping[str, Content], *, deadline_s: float) -> Iterator[Arrived | Lost]:
        yield from exchange({node: one for node, one in requests.items() if node != "node:d"}, deadline_s=deadline_s)
        if "node:d" in requests:
            yield Lost(party="node:d", reason=Loss.DEADLINE)

    world.exchange = without_d  # type: ignore[method-assign]
    world.run()
    (done,) = alliance.of(federation).completed
    assert (done.attempt, done.participants) == (2, NODES)
    assert world.said("federation.completed")[0]["rho"] == "0.01"
