"""Federations when processes die: a node's between two steps of a round, the hub's in the middle of one.

Whatever dies, nothing is debited twice, computed twice or given twice, the run goes on where it was, and the budgets of
node and log agree in the end.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from api.federation_store import FederationStore
from federated.flower.local_grid import Fault
from federated.rounds.coordinator import RoundLimits
from federated.rounds.course import course_of
from federated.rounds.member_store import MemberStore
from sandbox.node.recording import Recorder
from sandbox.privacy.accountant import Accountant, ReservationState
from tests.lib.federation import UNITS, Died, FederatedWorld, open_federation
from tests.lib.waiting import wait_until
from yingbi.events import EntryType
from yingbi.plan.model import Recipe, TrainingPrivacy, TrainingQuestion

NOISE = TrainingPrivacy(epsilon="0.5", delta="0.000001", clip=None)
TREES: dict[str, Any] = {"recipe": Recipe.GRADIENT_BOOSTED_TREES, "parameters": '{"depth":1,"trees":1}', "rounds": 3}
DONE = ("released", "delivered")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FederatedWorld]:
    limits = RoundLimits(deadline=timedelta(seconds=5), attempts=5)
    with open_federation(tmp_path_factory.mktemp("noisy"), private=True, limits=limits) as opened:
        yield opened


@pytest.fixture(autouse=True)
def working(world: FederatedWorld) -> Iterator[None]:
    """All nodes work before a test, and no fault is left after it."""
    world.run_all()
    yield
    world.way.fault = lambda _node, _exchange: None


def said(world: FederatedWorld, question: TrainingQuestion, kind: EntryType) -> list[dict[str, Any]]:
    """Return what entries of a federation say."""
    federation = world.standing.federations.get(question.federation)
    entries = [world.hub.hub.recorder.read(index).statement for index in federation.entries]
    return [dict(one.payload.body) for one in entries if one.type is kind]


def rounds_spent(world: FederatedWorld, question: TrainingQuestion) -> None:
    """Check that the run is completed, and that node and log have the same of each unit's budget, spent once."""
    federation = world.wait_for(question, "completed")
    world.wait_for_jobs(question, *DONE)
    course = course_of(question)
    (end,) = said(world, question, EntryType.FEDERATION_COMPLETED)
    assert end["rho"] == course.spent(len(federation.completed))
    given = said(world, question, EntryType.FEDERATION_CONTRIBUTED)
    for member in question.members:
        unit = member.node.partition(":")[2]
        accountant = Accountant(world.homes[unit].database, clock=world.clock)
        wait_until(lambda a=accountant, j=member.job: a.reservation(j).state is ReservationState.COMMITTED)  # type: ignore[misc]
        assert course.rho is not None
        assert accountant.reservation(member.job).spent == course.rho * len(federation.completed)
        mine = [one for one in given if one["job"] == member.job]
        assert {one["rho"] for one in mine} == {course.spent(1)}
        # Attempts of one round are paid for once.
        assert {one["round"] for one in mine} == {one.number for one in federation.completed}


Seam = Callable[[pytest.MonkeyPatch, FederatedWorld, list[str]], None]


def dies_before_it_is_kept(patch: pytest.MonkeyPatch, world: FederatedWorld, died: list[str]) -> None:
    """Between debit and record: what was computed is lost with the process."""
    put = MemberStore.put_computed

    def put_computed(self: MemberStore, job: str, number: int, computed: Any) -> None:
        if not died and is_of(world, self, "futian"):
            died.append("futian")
            raise Died
        put(self, job, number, computed)

    patch.setattr(MemberStore, "put_computed", put_computed)


def dies_before_it_is_recorded(patch: pytest.MonkeyPatch, world: FederatedWorld, died: list[str]) -> None:
    """Between what is kept and what the log has of it."""
    put = MemberStore.put_sent

    def put_sent(self: MemberStore, job: str, number: int, attempt: int, statement: Any) -> None:
        put(self, job, number, attempt, statement)
        if not died and is_of(world, self, "futian"):
            died.append("futian")
            raise Died

    patch.setattr(MemberStore, "put_sent", put_sent)


def dies_before_it_replies(patch: pytest.MonkeyPatch, world: FederatedWorld, died: list[str]) -> None:
    """Between record and reply."""
    record = Recorder.record

    def recorded(self: Recorder, subject: str, made: Any) -> Any:
        entries = record(self, subject, made)
        is_given = made[0].statement.type is EntryType.FEDERATION_CONTRIBUTED
        if is_given and not died and made[0].statement.payload.issuer == "node:futian":
            died.append("futian")
            raise Died
        return entries

    patch.setattr(Recorder, "record", recorded)


def is_of(world: FederatedWorld, store: MemberStore, unit: str) -> bool:
    return store._database is world.homes[unit].database


SEAMS: dict[str, tuple[Seam, int]] = {
    "between debit and what is kept": (dies_before_it_is_kept, 1),
    "between what is kept and record": (dies_before_it_is_recorded, 0),
    "between record and reply": (dies_before_it_replies, 0),
}


@pytest.mark.parametrize("where", SEAMS)
def test_a_node_that_is_killed_goes_on(world: FederatedWorld, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    seam, again = SEAMS[where]
    died: list[str] = []
    seam(monkeypatch, world, died)
    runs = {unit: world.apps[unit].runs for unit in UNITS}
    question = world.question(privacy=NOISE, **TREES)
    world.submit(question)
    wait_until(lambda: died and "futian" not in world.members, seconds=30)
    world.start("futian", runs=True)
    rounds_spent(world, question)
    rounds = len(world.standing.federations.get(question.federation).completed)
    # What was lost with the process was computed again, of which nothing had left; nothing else was.
    assert {unit: world.apps[unit].runs - runs[unit] for unit in UNITS} == {
        "bao": rounds,
        "futian": rounds + again,
        "luohu": rounds,
    }


def close_and_open(world: FederatedWorld) -> None:
    world.close_hub()
    world.open_hub()


def test_a_hub_that_ends_in_the_middle_of_a_round_goes_on(world: FederatedWorld) -> None:
    """One reply of the second round has come when it ends, and one never does."""
    reached: list[str] = []

    def fault(node: str, exchange: int) -> Fault | None:
        if exchange == 1 and node == "node:luohu" and not reached:
            reached.append(node)
            return Fault.LOSE_REQUEST
        return None

    runs = {unit: world.apps[unit].runs for unit in UNITS}
    world.way.fault = fault
    question = world.question(privacy=NOISE, **TREES)
    world.submit(question)
    wait_until(lambda: reached and len(said(world, question, EntryType.FEDERATION_CONTRIBUTED)) == 5, seconds=30)
    close_and_open(world)
    rounds_spent(world, question)
    federation = world.standing.federations.get(question.federation)
    assert [one.attempt for one in federation.completed][1] == 2
    assert {world.apps[unit].runs - runs[unit] for unit in UNITS} == {len(federation.completed)}


@pytest.mark.parametrize("what", ["put_state", "put_vector", "note_round"])
def test_a_hub_whose_database_fails_once_goes_on(
    world: FederatedWorld, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Between the entry that closes a round and the state that it left, and before."""
    failed: list[str] = []
    works = getattr(FederationStore, what)

    def fails_once(self: FederationStore, federation: str, *rest: Any) -> None:
        if not failed and world.standing.federations.get(federation).completed:
            failed.append(federation)
            raise OSError("no space is left")
        works(self, federation, *rest)

    monkeypatch.setattr(FederationStore, what, fails_once)
    runs = {unit: world.apps[unit].runs for unit in UNITS}
    question = world.question(privacy=NOISE, **TREES)
    world.submit(question)
    wait_until(lambda: failed, seconds=30)
    if what == "put_state":
        close_and_open(world)
    rounds_spent(world, question)
    assert failed == [question.federation]
    rounds = len(world.standing.federations.get(question.federation).completed)
    assert {world.apps[unit].runs - runs[unit] for unit in UNITS} == {rounds}
    found = world.hub.hub.federation_store.state(question.federation)
    assert found is not None
    assert found.round == rounds
    assert found.state.digest() == world.standing.federations.get(question.federation).life.result
