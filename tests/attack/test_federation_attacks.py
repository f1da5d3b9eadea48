"""Attacks on federations by whoever takes part in them: the hub's operator, a partner, a unit. None may succeed.

The operator here has what a real one has: the bureau's key, the log, which takes whatever he appends, and the way to
the members. He has no key of a node, a unit or a partner.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from api.submissions import Submission
from federated.content import Content
from federated.horizontal.state import State
from federated.rounds.chain import Course, take_step
from federated.rounds.course import course_of
from federated.rounds.member_store import Joined, MemberStore
from federated.rounds.messages import Ask, RoundRequest, parse_reply, write_request
from federated.secure_sum import add, encode
from federated.secure_sum.masks import pair_key, stream
from policies.federations import MAX_ATTEMPTS, FederationState
from policies.standing import StatementRefusedError
from sandbox.node.agent_home import OpenAgent
from sandbox.node.recording import Recorder
from sandbox.node.veto import VetoKind
from sandbox.privacy.accountant import Accountant, ReservationState
from tests.lib.federation import PARTNER, UNITS, FederatedWorld, open_federation, terms, training_rows
from tests.lib.waiting import wait_until
from yingbi.canonical import canonical_bytes
from yingbi.clock import FixedClock, format_time
from yingbi.errors import (
    ErrorCode,
    InvalidRequestError,
    RefusedError,
    SandboxError,
    VerificationError,
)
from yingbi.events import EntryType
from yingbi.ids import new_id
from yingbi.key_files import decode_base64url, encode_base64url
from yingbi.plan.codec import common_digest, common_json
from yingbi.plan.model import Member, Recipe, TrainingPrivacy, TrainingQuestion
from yingbi.statement import Statement

OTHER = "partner:bank-b"
FOUR = (*UNITS, "nanshan")
BAO, FUTIAN, LUOHU = (f"node:{unit}" for unit in UNITS)
THREE_ROUNDS: dict[str, Any] = {"parameters": '{"max_steps":2}', "rounds": 3}
NOISE = TrainingPrivacy(epsilon="0.5", delta="0.000001", clip=None)

Vectors = dict[str, NDArray[np.uint64]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FederatedWorld]:
    """Three units in exact mode, and two banks; a test is the hub's coordinator."""
    with open_federation(tmp_path_factory.mktemp("exact"), shut=True) as opened:
        opened.hub.admit(OTHER, "bank")
        for unit in UNITS:
            opened.agree(terms(unit, id=f"agr-b-{unit}", assignee=OTHER), unit)
        yield opened


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FederatedWorld]:
    """Four units in private mode; a test is the hub's coordinator."""
    with open_federation(tmp_path_factory.mktemp("noisy"), private=True, rows=60, units=FOUR, shut=True) as opened:
        yield opened


def step(world: FederatedWorld) -> None:
    """Let each agent take one turn; where its member follows the log at the same time, it may have to wait."""
    for unit in world.units:
        with suppress(SandboxError):
            world.agents[unit].agent.work()


def forge(world: FederatedWorld, statement: Statement) -> int:
    """Append a statement to the log, whatever the rules say; return its index."""
    recorder = world.hub.hub.recorder
    index = recorder._log.append_batch([statement]).start
    recorder._is_sound = False  # it is brought up from the log, like that of a hub that starts anew
    recorder.record(Submission())
    return index


@dataclass
class Operator:
    """The hub's operator, who runs one federation as he likes."""

    world: FederatedWorld
    question: TrainingQuestion
    state: State = field(init=False)
    given: Vectors = field(default_factory=dict)
    round: int = 1

    def __post_init__(self) -> None:
        self.state = self.course.start()

    @property
    def course(self) -> Course:
        return course_of(self.question)

    @property
    def standing(self) -> Any:
        return self.world.standing.federations.get(self.question.federation)

    def states(self, kind: EntryType, body: Mapping[str, object]) -> Statement:
        at, name = format_time(self.world.clock.now()), self.question.federation
        return self.world.hub.hub.bureau.state(kind, name, body, at=at, subject=[(name, None)])

    def say(self, kind: EntryType, body: Mapping[str, object]) -> int:
        """Record what fits; return its index."""
        done = self.world.hub.hub.recorder.record(Submission(statements=(self.states(kind, body),)))
        return done.entries[0].index

    def force(self, kind: EntryType, body: Mapping[str, object]) -> int:
        """Append what does not fit; return its index."""
        statement = self.states(kind, body)
        with pytest.raises(StatementRefusedError):
            self.world.hub.hub.recorder.record(Submission(statements=(statement,)))
        return forge(self.world, statement)

    def opening(self, attempt: int = 1, **changes: object) -> dict[str, object]:
        return {
            "round": self.round,
            "attempt": attempt,
            "participants": [one.node for one in self.question.members],
            "round_input": self.state.digest(),
            "expires_at": format_time(self.world.clock.now() + timedelta(hours=1)),
        } | changes

    def open(self, attempt: int = 1, **changes: object) -> RoundRequest:
        """Open an attempt; return what asks for it."""
        entry = self.say(EntryType.FEDERATION_ROUND_STARTED, self.opening(attempt, **changes))
        return self.request(attempt=attempt, entry=entry)

    def request(self, **changes: Any) -> RoundRequest:
        usual: dict[str, Any] = {
            "ask": Ask.CONTRIBUTE,
            "federation": self.question.federation,
            "round": self.round,
            "attempt": 1,
            "entry": 0,
            "given": self.given,
        }
        return RoundRequest(**(usual | changes))

    def ask(self, unit: str, request: RoundRequest, *, app: str | None = None) -> NDArray[np.uint64]:
        content = self.world.members[unit].handle(write_request(request), app=app or self.world.way.app)
        vector = parse_reply(content).vector
        assert vector is not None
        return vector

    def collect(self, request: RoundRequest, units: Sequence[str] | None = None) -> Vectors:
        return {f"node:{unit}": self.ask(unit, request) for unit in units or self.world.units}

    def closing(self, vectors: Vectors | None, attempt: int = 1, **changes: object) -> dict[str, object]:
        step = None if vectors is None else take_step(self.course, self.state, vectors)
        given = self.standing.attempt.contributions
        return {
            "round": self.round,
            "attempt": attempt,
            "contributions": [{"party": node, "digest": given[node]} for node in sorted(given)],
            "aggregate": None if step is None else step.aggregate,
            "state": None if step is None else step.state.digest(),
        } | changes

    def close(self, vectors: Vectors, attempt: int = 1, **changes: object) -> None:
        """Close a round as it was, but for `changes`."""
        self.say(EntryType.FEDERATION_ROUND_COMPLETED, self.closing(vectors, attempt, **changes))
        self.state = take_step(self.course, self.state, vectors).state
        self.given, self.round = vectors, self.round + 1

    def give_up(self, attempt: int = 1) -> None:
        self.say(EntryType.FEDERATION_ROUND_COMPLETED, self.closing(None, attempt))

    def play(self) -> None:
        """Run one round as it should be."""
        self.close(self.collect(self.open()))

    def contributions(self) -> list[dict[str, Any]]:
        """Return what nodes have said in the log that they give."""
        said = [self.world.hub.hub.recorder.read(index).statement for index in self.standing.entries]
        return [dict(one.payload.body) for one in said if one.type is EntryType.FEDERATION_CONTRIBUTED]


@contextmanager
def operating(world: FederatedWorld, **changes: Any) -> Iterator[Operator]:
    """Let a federation start, and call it off in the end."""
    usual: dict[str, Any] = {"recipe": Recipe.LOGISTIC_REGRESSION, **THREE_ROUNDS}
    operator = Operator(world, world.question(**(usual | changes)))
    assert {one.status_code for one in world.submit(operator.question)} == {202}

    def is_running() -> bool:
        step(world)
        return operator.standing is not None

    wait_until(is_running)
    try:
        yield operator
    finally:
        rounds = len(operator.standing.completed)
        with suppress(StatementRefusedError):
            operator.say(EntryType.FEDERATION_ABORTED, {"reason": "request", "rounds": rounds, "note": None})
        step(world)


@pytest.fixture
def operator(world: FederatedWorld) -> Iterator[Operator]:
    with operating(world) as opened:
        yield opened


@contextmanager
def nothing_leaves(operator: Operator) -> Iterator[None]:
    """Check that nobody computes and nobody gives."""
    runs = {unit: app.runs for unit, app in operator.world.apps.items()}
    before = operator.contributions()
    yield
    assert {unit: app.runs for unit, app in operator.world.apps.items()} == runs
    assert operator.contributions() == before


def all_refuse(operator: Operator, request: RoundRequest, *, app: str | None = None) -> None:
    """Check that each member refuses, computes nothing and gives nothing."""
    with nothing_leaves(operator):
        for unit in operator.world.units:
            with pytest.raises((RefusedError, VerificationError)):
                operator.ask(unit, request, app=app)


# --- a hub that alters the model -------------------------------------------------------------------------------------


def altered(vectors: Vectors) -> Vectors:
    changed = vectors[LUOHU].copy()
    changed[0] += np.uint64(1)
    return vectors | {LUOHU: changed}


GIVEN: dict[str, Callable[[Vectors], Vectors]] = {
    "one number of one of them is another": altered,
    "one of them is missing": lambda given: {node: given[node] for node in (BAO, FUTIAN)},
    "one more is there": lambda given: given | {"node:zoo": given[LUOHU]},
    "two of them are swapped": lambda given: given | {BAO: given[LUOHU], LUOHU: given[BAO]},
    "none is there": lambda given: {},
}


def test_contributions_of_the_last_round_are_those_of_the_log(operator: Operator) -> None:
    operator.play()
    request = operator.open()
    for change in GIVEN.values():
        all_refuse(operator, replace(request, given=change(operator.given)))
    assert set(operator.collect(request)) == {BAO, FUTIAN, LUOHU}


@pytest.mark.parametrize("lie", ["aggregate", "state"])
def test_a_round_that_is_closed_untruly_is_the_last_one(operator: Operator, lie: str) -> None:
    moved = replace(operator.state, step=operator.state.step + 1)
    operator.close(operator.collect(operator.open()), 1, **{lie: moved.digest()})
    if lie == "state":
        operator.state = moved
    all_refuse(operator, operator.open())


def test_a_hub_chooses_no_first_state(operator: Operator) -> None:
    all_refuse(operator, operator.open(round_input=replace(operator.state, step=7).digest()))


def test_a_result_is_what_the_members_have_computed(operator: Operator) -> None:
    for _ in range(2):
        operator.play()
    vectors = operator.collect(operator.open())
    last = take_step(operator.course, operator.state, vectors).state
    moved = replace(last, step=last.step + 1).digest()
    operator.close(vectors, state=moved)
    body = {"rounds": 3, "participants": [BAO, FUTIAN, LUOHU], "result": moved, "rho": None}
    entry = operator.say(EntryType.FEDERATION_COMPLETED, body)
    request = operator.request(ask=Ask.FINISH, round=3, entry=entry)
    for unit in UNITS:
        with pytest.raises(VerificationError):
            operator.world.members[unit].handle(write_request(request), app=operator.world.way.app)
        assert operator.world.members[unit].final_state(operator.question.federation) is None
    step(operator.world)
    jobs = [operator.world.standing.jobs.get(one.job).state.value for one in operator.question.members]
    assert jobs == ["started"] * 3


def test_the_end_is_what_the_log_says(operator: Operator) -> None:
    """Before `federation.completed` nobody finishes; a forged one, of a run that goes on, ends nothing."""
    operator.play()
    members, app = operator.world.members, operator.world.way.app
    told = operator.request(ask=Ask.FINISH, round=1, entry=operator.standing.entries[-1])
    body = {"rounds": 1, "participants": [BAO, FUTIAN, LUOHU], "result": operator.state.digest(), "rho": "0.1"}
    forged = operator.force(EntryType.FEDERATION_COMPLETED, body)
    for request in (told, replace(told, entry=forged)):
        for unit in UNITS:
            with pytest.raises(RefusedError):
                members[unit].handle(write_request(request), app=app)
            assert members[unit].final_state(operator.question.federation) is None


# --- a hub that forms other rounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("participants", [[BAO], [BAO, FUTIAN], [BAO, FUTIAN, "node:zoo"]], ids=len)
def test_no_round_of_fewer_than_all(operator: Operator, participants: list[str]) -> None:
    entry = operator.force(EntryType.FEDERATION_ROUND_STARTED, operator.opening(participants=participants))
    all_refuse(operator, operator.request(entry=entry))


def test_no_round_of_fewer_than_a_quorum(noisy: FederatedWorld) -> None:
    with operating(noisy, **private()) as operator:
        entry = operator.force(EntryType.FEDERATION_ROUND_STARTED, operator.opening(participants=[BAO, FUTIAN]))
        all_refuse(operator, operator.request(entry=entry))


def private(**changes: Any) -> dict[str, Any]:
    return {"recipe": Recipe.WOE_BINS, "parameters": "{}", "rounds": 1, "privacy": NOISE, **changes}


def test_requests_of_other_rounds_and_attempts_are_refused(operator: Operator) -> None:
    first = operator.open()
    vectors = operator.collect(first)
    operator.close(vectors)
    all_refuse(operator, replace(first, given={}))
    one = operator.open()
    operator.collect(one)
    operator.give_up()
    all_refuse(operator, one)
    two = operator.open(attempt=2)
    for untrue in (
        one,
        first,
        replace(two, entry=one.entry),
        replace(two, attempt=1),
        replace(two, attempt=3),
        replace(two, round=3),
        replace(two, entry=two.entry - 1),
        replace(two, entry=two.entry + 1_000),
        replace(two, federation="fed-other"),
    ):
        all_refuse(operator, untrue)
    assert len(operator.collect(two)) == 3


def test_an_attempt_whose_time_is_over_is_refused(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    request = operator.open()
    for unit in UNITS:
        late = FixedClock(operator.world.clock.now() + timedelta(hours=1))
        monkeypatch.setattr(operator.world.members[unit], "_clock", late)
    all_refuse(operator, request)


def test_a_request_that_comes_twice_is_answered_alike(operator: Operator) -> None:
    request = operator.open()
    first = operator.ask("bao", request)
    assert np.array_equal(operator.ask("bao", request), first)
    assert len(operator.contributions()) == 1


def test_what_was_given_up_meanwhile_does_not_leave(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub gives an attempt up as soon as a contribution is recorded, and would sum it with another attempt's."""
    world = operator.world
    record = Recorder.record

    def recorded(self: Recorder, subject: str, made: Any) -> Any:
        entries = record(self, subject, made)
        operator.give_up()
        world.agents["bao"].follower.follow()
        return entries

    request = operator.open()
    monkeypatch.setattr(Recorder, "record", recorded)
    with pytest.raises(RefusedError, match="another attempt is open, or none"):
        operator.ask("bao", request)


def test_a_run_of_another_app_is_refused(operator: Operator) -> None:
    request = operator.open()
    all_refuse(operator, request, app="sha256:" + "0" * 64)


def test_a_federation_of_another_app_is_refused(world: FederatedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    app, another = world.way.app, "sha256:" + "0" * 64
    monkeypatch.setattr(world.way, "app", another)
    with operating(world) as operator:
        request = operator.open()
        all_refuse(operator, request, app=another)
        all_refuse(operator, request, app=app)


def test_who_takes_no_part_is_not_asked(noisy: FederatedWorld) -> None:
    with operating(noisy, **private()) as operator:
        request = operator.open(participants=[BAO, FUTIAN, LUOHU])
        with nothing_leaves(operator), pytest.raises(RefusedError, match="takes no part"):
            operator.ask("nanshan", request)
        operator.collect(request, UNITS)


def test_what_is_stopped_while_it_computes_does_not_leave(operator: Operator) -> None:
    """The unit's veto comes when the round was begun already."""
    agent: OpenAgent = operator.world.agents["bao"]

    def stop(arrays: dict[str, Any]) -> dict[str, Any]:
        agent.vetoes.set(VetoKind.VETO, PARTNER)
        return arrays

    operator.world.apps["bao"].lies = stop
    try:
        with pytest.raises(RefusedError, match="must stop"):
            operator.ask("bao", operator.open())
        assert operator.contributions() == []
    finally:
        agent.vetoes.lift(VetoKind.VETO, PARTNER)
        operator.world.apps["bao"].lies = lambda arrays: arrays


# --- drop-outs that were none ----------------------------------------------------------------------------------------


def test_in_exact_mode_a_second_attempt_is_of_all_and_shows_nothing(operator: Operator) -> None:
    first = operator.collect(operator.open())
    operator.give_up()
    left = operator.opening(2, participants=[BAO, FUTIAN])
    operator.force(EntryType.FEDERATION_ROUND_STARTED, left)
    runs = {unit: app.runs for unit, app in operator.world.apps.items()}
    second = operator.collect(operator.open(2))
    # Computed once, and under other masks.
    assert {unit: app.runs for unit, app in operator.world.apps.items()} == runs
    assert np.array_equal(add(list(first.values())), add(list(second.values())))
    for node in (BAO, FUTIAN, LUOHU):
        assert looks_uniform(first[node] - second[node])
        mixed = first | {node: second[node]}
        with pytest.raises(InvalidRequestError, match="did not cancel"):
            take_step(operator.course, operator.state, mixed)


def test_in_private_mode_attempts_do_not_mix_and_who_left_stays_out(noisy: FederatedWorld) -> None:
    """A unit that is left out has given with its whole noise before, and what all sums say together is that."""
    with operating(noisy, **private()) as operator:
        first = operator.collect(operator.open())
        operator.give_up()
        second = operator.collect(operator.open(2, participants=[BAO, FUTIAN, LUOHU]), UNITS)
        for node in second:
            with pytest.raises(InvalidRequestError, match="did not cancel"):
                operator.course.sums(operator.state, add([*(second | {node: first[node]}).values()]))
        kept = store_of(noisy, "nanshan").computed(job_of(operator, "nanshan"), 1)
        assert kept is not None
        rest = add(list(first.values())) - add(list(second.values()))
        assert np.array_equal(rest, kept.vector)
        assert not np.array_equal(rest, unmasked(noisy, operator, "nanshan"))
        operator.give_up(2)
        operator.force(EntryType.FEDERATION_ROUND_STARTED, operator.opening(3))
        # It was paid for once by each.
        assert [one["rho"] for one in operator.contributions()] == [operator.course.spent(1)] * 7
        for unit in FOUR:
            assert reservation(noisy, operator, unit).spent == operator.course.rho


def store_of(world: FederatedWorld, unit: str) -> MemberStore:
    return MemberStore(world.homes[unit].database)


def job_of(operator: Operator, unit: str) -> str:
    return next(one.job for one in operator.question.members if one.node == f"node:{unit}")


def reservation(world: FederatedWorld, operator: Operator, unit: str) -> Any:
    accountant = Accountant(world.homes[unit].database, clock=world.clock)
    return accountant.reservation(job_of(operator, unit))


def unmasked(world: FederatedWorld, operator: Operator, unit: str) -> NDArray[np.uint64]:
    """Return what a unit would give to the first round without noise and masks."""
    course, start = operator.course, operator.course.start()
    table = world.apps[unit].table
    assert table is not None
    arrays = course.recipe.contribute(course.spec, start, table)
    return encode(arrays, course.layout(start), parties=course.members)


def looks_uniform(vector: NDArray[np.uint64]) -> bool:
    """Tell whether half of the bits are set, within six standard deviations: wrong once in a billion."""
    bits = np.unpackbits(vector.view(np.uint8))
    return bool(abs(bits.mean() - 0.5) < 3 / np.sqrt(bits.size))


# --- keys ------------------------------------------------------------------------------------------------------------


def context(operator: Operator) -> bytes:
    attempt = operator.standing.attempt
    name = operator.question.federation
    return canonical_bytes({"attempt": 1, "federation": name, "round": attempt.round, "started": attempt.started})


def private_key(operator: Operator, unit: str) -> X25519PrivateKey:
    found = store_of(operator.world, unit).find(job_of(operator, unit), 1)
    assert found is not None
    assert found.private_key is not None
    return X25519PrivateKey.from_private_bytes(found.private_key)


def stripped(operator: Operator, vector: NDArray[np.uint64], own: str, others: Sequence[str], key_of: str) -> Any:
    """Return a node's vector without the masks that it shares with others, as `key_of` can compute them."""
    result = vector.copy()
    for other in others:
        pair = {own, other}
        (peer,) = pair - {key_of} if key_of in pair else pair - {own}
        mine = private_key(operator, (key_of if key_of in pair else own).partition(":")[2])
        public = private_key(operator, peer.partition(":")[2]).public_key().public_bytes_raw()
        name = key_of if key_of in pair else own
        key = pair_key(mine, public, context=context(operator), own=name, peer=peer)
        for start, piece in stream(key, result.size):
            part = result[start : start + piece.size]
            result[start : start + piece.size] = part - piece if own < other else part + piece
    return result


def test_keys_are_those_of_the_log_and_of_nothing_that_a_hub_sends(operator: Operator) -> None:
    mine = encode_base64url(X25519PrivateKey.generate().public_key().public_bytes_raw())
    body = {"job": job_of(operator, "futian"), "attempt": 1, "terms": operator.standing.started.terms, "key": mine}
    operator.force(EntryType.FEDERATION_JOINED, body)
    request = operator.open()
    content = write_request(request)
    for more in ({"key": mine}, {"keys": mine}, {FUTIAN: mine}):
        with pytest.raises(InvalidRequestError):
            operator.world.members["bao"].handle(
                replace(content, values={**content.values, **more}), app=operator.world.way.app
            )
    vectors = operator.collect(request)
    told = {one.node: decode_base64url(one.key) for one in operator.standing.joined}
    for unit in UNITS:
        assert told[f"node:{unit}"] == private_key(operator, unit).public_key().public_bytes_raw()
    bare = stripped(operator, vectors[BAO], BAO, [FUTIAN, LUOHU], BAO)
    kept = store_of(operator.world, "bao").computed(job_of(operator, "bao"), 1)
    assert kept is not None
    assert np.array_equal(bare, kept.vector)


def test_with_ones_own_key_alone_the_others_are_noise(operator: Operator) -> None:
    vectors = operator.collect(operator.open())
    seen = {node: stripped(operator, vectors[node], node, [BAO], BAO) for node in (FUTIAN, LUOHU)}
    for node, vector in seen.items():
        assert looks_uniform(vector)
        assert looks_uniform(vectors[node])
    # What is left is their sum, and that is what everybody is to have.
    both = seen[FUTIAN] + seen[LUOHU]
    parts = [store_of(operator.world, unit).computed(job_of(operator, unit), 1) for unit in ("futian", "luohu")]
    assert np.array_equal(both, parts[0].vector + parts[1].vector)  # type: ignore[union-attr]


KEYS: dict[str, Callable[[bytes], bytes]] = {
    "another node's": lambda key: key,
    "one of small order": lambda key: (1).to_bytes(32, "little"),
}


@pytest.mark.parametrize("whose", KEYS)
def test_nobody_joins_with_a_key_that_is_not_its_own(world: FederatedWorld, whose: str) -> None:
    question = world.question(**THREE_ROUNDS)
    operator = Operator(world, question)
    world.submit(question)
    for unit in ("bao", "futian"):
        world.agents[unit].agent.work()
    key = private_key(operator, "bao").public_key().public_bytes_raw()
    lie = Joined(
        job=job_of(operator, "luohu"),
        attempt=1,
        federation=question.federation,
        public_key=KEYS[whose](key),
        private_key=bytes(range(32)),
    )
    store_of(world, "luohu").join(lie)
    if whose == "another node's":
        with pytest.raises(RefusedError):
            world.agents["luohu"].agent.work()
        assert world.standing.federations.joined(lie.job, 1) is None
    else:
        world.agents["luohu"].agent.work()
        wait_until(lambda: operator.standing is not None)
        request = operator.open()
        for unit in ("bao", "futian"):
            with pytest.raises(InvalidRequestError) as caught:
                operator.ask(unit, request)
            assert caught.value.code is ErrorCode.KEY_MALFORMED
        assert operator.contributions() == []
    call_off(world, question)


def call_off(world: FederatedWorld, question: TrainingQuestion, *, by: str = PARTNER) -> None:
    """Let a partner call off what is left of his jobs, and the nodes see it."""
    for member in question.members:
        cancel(world, member.job, by=by)
    step(world)


def cancel(world: FederatedWorld, job: str, *, by: str = PARTNER) -> httpx.Response:
    body = {"reason": "request", "note": None}
    statement = world.hub.state("job.cancelled", body, issuer=by, name=job)
    return world.hub.post(f"/v1/jobs/{job}/cancellation", statement, by=by)


# --- partners --------------------------------------------------------------------------------------------------------


def others(question: TrainingQuestion, **changes: Any) -> TrainingQuestion:
    """Return the same question of the other bank: under its own agreements and ids of jobs."""
    members = tuple(
        replace(one, agreement=one.agreement.replace("agr-", "agr-b-"), job=new_id("job")) for one in question.members
    )
    return replace(question, **({"members": members} | changes))


def state_of(world: FederatedWorld, job: str) -> str | None:
    found = world.standing.jobs.get(job)
    return None if found is None else found.state.value


def test_a_federations_id_shows_nothing_to_another_partner(operator: Operator) -> None:
    """Who knows an id, and the ids of jobs, asks for something under it."""
    operator.play()
    world, question = operator.world, operator.question
    own = others(question).members[0]
    spy = replace(question, members=(own, *question.members[1:]))
    assert world.submit_member(spy, own, by=OTHER).status_code == 202
    listed = world.hub.ask("GET", "/v1/federations", by=OTHER).json()["items"]
    (seen,) = [one for one in listed if one["federation"] == question.federation]
    assert (seen["state"], seen["rounds"], seen["open"], seen["entries"]) == ("waiting", [], None, [])
    assert [one["state"] for one in seen["members"][1:]] == [None, None]
    path = f"/v1/federations/{question.federation}"
    assert operator.state.digest() not in world.hub.ask("GET", path, by=OTHER).text
    world.hub.hub.federation_store.put_vector(question.federation, 1, 1, BAO, operator.given[BAO])
    seen_by = {who: world.hub.ask("GET", f"{path}/rounds/1/1/{BAO}", by=who).status_code for who in (PARTNER, OTHER)}
    assert seen_by == {PARTNER: 200, OTHER: 404}
    terms = {who: world.hub.ask("GET", f"/v1/documents/{common_digest(question)}", by=who) for who in (PARTNER, OTHER)}
    assert {who: answer.status_code for who, answer in terms.items()} == {PARTNER: 200, OTHER: 404}
    assert terms[PARTNER].content == canonical_bytes(common_json(question))
    # And takes nothing from whose it is.
    mine = world.hub.ask("GET", path, by=PARTNER).json()
    assert (mine["state"], len(mine["rounds"])) == ("running", 1)
    cancel(world, own.job, by=OTHER)


def test_terms_that_were_erased_are_handed_out_to_nobody(world: FederatedWorld) -> None:
    """They are in the members' plans and nowhere else; a hub that runs remembers them, and does not tell."""
    question = world.question(**THREE_ROUNDS)
    for member in question.members[:2]:
        assert world.submit_member(question, member).status_code == 202
    path = f"/v1/documents/{common_digest(question)}"
    for member in question.members[:2]:
        assert world.hub.ask("GET", path, by=PARTNER).content == canonical_bytes(common_json(question))
        job = world.standing.jobs.get(member.job)
        assert job is not None
        world.hub.hub.store.erase_opening(job.submitted.plan)
    assert world.hub.ask("GET", path, by=PARTNER).status_code == 404
    for member in question.members[:2]:
        cancel(world, member.job)


def test_a_member_that_asks_for_something_else_does_not_stand_in_for_erased_terms(world: FederatedWorld) -> None:
    question = world.question(**THREE_ROUNDS)
    other = replace(question, min_entities=question.min_entities + 1)
    first, second = question.members[:2]
    assert world.submit_member(question, first).status_code == 202
    assert world.submit_member(other, second).status_code == 202
    job = world.standing.jobs.get(first.job)
    assert job is not None
    path = "/v1/documents/{}".format
    assert world.hub.ask("GET", path(common_digest(question)), by=PARTNER).status_code == 200
    world.hub.hub.store.erase_opening(job.submitted.plan)
    assert world.hub.ask("GET", path(common_digest(question)), by=PARTNER).status_code == 404
    assert world.hub.ask("GET", path(common_digest(other)), by=PARTNER).content == canonical_bytes(common_json(other))
    for member in (first, second):
        cancel(world, member.job)


def test_a_federations_id_that_somebody_asked_for_first_is_still_ones_own(world: FederatedWorld) -> None:
    question = world.question(**THREE_ROUNDS)
    first = others(question)
    world.submit_member(first, first.members[0], by=OTHER)
    world.submit_member(question, question.members[0])
    for party, asked in ((PARTNER, question), (OTHER, first)):
        seen = world.hub.ask("GET", f"/v1/federations/{question.federation}", by=party).json()
        assert [one["job"] for one in seen["members"]] == [one.job for one in asked.members]
        cancel(world, asked.members[0].job, by=party)


def test_nobody_calls_off_anothers_jobs_by_naming_them_his_members(world: FederatedWorld) -> None:
    victim = world.question(**THREE_ROUNDS)
    world.submit_member(victim, victim.members[2])
    mine = others(world.question(**THREE_ROUNDS))
    mine = replace(mine, members=(*mine.members[:2], replace(mine.members[2], job=victim.members[2].job)))
    for member in mine.members[:2]:
        assert world.submit_member(mine, member, by=OTHER).status_code == 202
    cancel(world, mine.members[0].job, by=OTHER)
    wait_until(lambda: state_of(world, mine.members[1].job) == "cancelled")
    assert state_of(world, victim.members[2].job) == "approved"
    cancel(world, victim.members[2].job)


def test_of_two_federations_of_one_id_one_runs_and_the_other_ends(world: FederatedWorld) -> None:
    ours = world.question(**THREE_ROUNDS)
    theirs = others(ours)
    world.submit(ours)
    world.submit(theirs, by=OTHER)
    for _ in range(2):
        for unit in ("bao", "futian"):
            world.agents[unit].agent.work()
    world.agents["luohu"].agent.work()
    wait_until(lambda: world.standing.federations.get(ours.federation))
    operator = Operator(world, ours)
    assert operator.standing.partner == PARTNER

    def is_over() -> bool:
        step(world)
        return all(state_of(world, one.job) in ("failed", "cancelled") for one in theirs.members)

    wait_until(is_over)
    operator.play()
    assert [state_of(world, one.job) for one in ours.members] == ["started"] * 3
    call_off(world, ours)


REFUSED: dict[str, Callable[[TrainingQuestion], TrainingQuestion]] = {
    "an agreement of another partner": lambda asked: replace(
        asked, members=tuple(replace(one, agreement=one.agreement.replace("agr-b-", "agr-")) for one in asked.members)
    ),
    "one node twice": lambda asked: replace(
        asked, members=(asked.members[0], replace(asked.members[1], node=BAO), asked.members[2])
    ),
    "one data set twice": lambda asked: replace(
        asked, members=(asked.members[0], replace(asked.members[1], dataset="bao/loans"), asked.members[2])
    ),
    "two members": lambda asked: replace(asked, members=asked.members[:2], quorum=2),
    "a quorum of two": lambda asked: replace(asked, quorum=2),
    "a data set that is not its node's": lambda asked: replace(
        asked, members=(replace(asked.members[0], dataset="luohu/loans"), *asked.members[1:])
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_partner_asks_for_no(world: FederatedWorld, what: str) -> None:
    asked = REFUSED[what](others(world.question(**THREE_ROUNDS)))
    answer = world.submit_member(asked, asked.members[0], by=OTHER)
    assert answer.status_code != 202 or state_of(world, asked.members[0].job) == "refused"


def disagreeing(question: TrainingQuestion) -> list[tuple[TrainingQuestion, Member]]:
    last = replace(question, min_entities=question.min_entities + 1)
    return [(question, one) for one in question.members[:2]] + [(last, question.members[2])]


def with_a_strange_agreement(question: TrainingQuestion) -> list[tuple[TrainingQuestion, Member]]:
    """The last one is asked under an agreement that none of the plans names."""
    (last,) = question.members[2:]
    return [(question, one) for one in question.members[:2]] + [(question, replace(last, job=new_id("job")))]


NEVER: dict[str, Callable[[TrainingQuestion], list[tuple[TrainingQuestion, Member]]]] = {
    "alone": lambda question: [(question, question.members[0])],
    "without one": lambda question: [(question, one) for one in question.members[1:]],
    "that do not ask the same": disagreeing,
    "of another id than the plan's": with_a_strange_agreement,
}


@pytest.mark.parametrize("who", NEVER)
def test_nothing_is_leased_of_members(world: FederatedWorld, who: str) -> None:
    question = world.question(**THREE_ROUNDS)
    asked = NEVER[who](question)
    for one, member in asked:
        world.submit_member(one, member)
    for _ in range(2):
        step(world)
    states = {state_of(world, member.job) for _, member in asked}
    assert states <= {"approved", "refused"}
    assert world.standing.federations.get(question.federation) is None
    for _, member in asked:
        cancel(world, member.job)


def test_members_of_two_partners_are_not_leased(world: FederatedWorld) -> None:
    """The other bank's job bears the id that the plan names, and asks word for word the same."""
    ours = world.question(**THREE_ROUNDS)
    (last,) = ours.members[2:]
    theirs = replace(last, agreement="agr-b-luohu")
    ours = replace(ours, members=(*ours.members[:2], theirs))
    for member in ours.members[:2]:
        assert world.submit_member(ours, member).status_code == 202
    assert world.submit_member(ours, theirs, by=OTHER).status_code == 202
    for _ in range(2):
        step(world)
    assert {state_of(world, one.job) for one in ours.members} == {"approved"}
    for member in ours.members:
        cancel(world, member.job, by=OTHER if member == theirs else PARTNER)


def test_who_calls_off_one_member_in_mid_run_ends_all(operator: Operator) -> None:
    operator.play()
    world, question = operator.world, operator.question
    request = operator.open()
    operator.ask("bao", request)
    assert cancel(world, job_of(operator, "futian")).status_code == 201
    for unit in ("futian", "luohu"):
        with pytest.raises(SandboxError):
            operator.ask(unit, request)
    with pytest.raises(StatementRefusedError):
        operator.say(EntryType.FEDERATION_ROUND_STARTED, operator.opening(2))
    operator.say(EntryType.FEDERATION_INTERRUPTED, {"reason": "member-interrupted", "rounds": 1})

    def is_over() -> bool:
        step(world)
        return {state_of(world, one.job) for one in question.members} <= {"failed", "cancelled"}

    wait_until(is_over)
    assert operator.standing.state.value == "aborted"
    for unit in UNITS:
        kept = store_of(world, unit)
        assert kept.computed(job_of(operator, unit), 2) is None
        found = kept.find(job_of(operator, unit), 1)
        assert found is None or found.private_key is None


# --- nodes that lie --------------------------------------------------------------------------------------------------


def first(change: Callable[[Any], object]) -> Callable[[dict[str, Any]], dict[str, object]]:
    """Return what lies about the first array, and says the truth of the others."""

    def lie(arrays: dict[str, Any]) -> dict[str, object]:
        name = min(arrays)
        return arrays | {name: change(arrays[name].copy())}

    return lie


def with_one(value: float) -> Callable[[Any], object]:
    def change(array: Any) -> Any:
        array.flat[0] = value
        return array

    return change


class Sly(np.ndarray[Any, Any]):
    """An array that decides by itself what comparing means."""


LIES: dict[str, Callable[[dict[str, Any]], Mapping[str, object]]] = {
    "not a number": first(with_one(np.nan)),
    "infinite": first(with_one(np.inf)),
    "infinite, downwards": first(with_one(-np.inf)),
    "without a dimension": first(lambda array: np.float64(1.0)),
    "an array without a dimension": first(lambda array: np.array(1.0)),
    "huge": first(lambda array: array + 1e12),
    "beyond all bounds": first(lambda array: array + 1e300),
    "one number more": first(lambda array: np.append(array, 0.0)),
    "another shape": first(lambda array: array.reshape(1, *array.shape)),
    "half as precise": first(lambda array: array.astype(np.float32)),
    "whole numbers": first(lambda array: array.astype(np.int64)),
    "the other end first": first(lambda array: array.astype(">f8")),
    "objects": first(lambda array: array.astype(object)),
    "texts": first(lambda array: array.astype(str)),
    "a list": first(lambda array: array.tolist()),
    "a class of its own": first(lambda array: array.view(Sly)),
    "a negative count": first(with_one(-1.0)),
    "half a count": first(with_one(0.5)),
    "one array less": lambda arrays: {name: arrays[name] for name in sorted(arrays)[1:]},
    "one array more": lambda arrays: arrays | {"more": np.zeros(1)},
    "under other names": lambda arrays: {f"{name}s": array for name, array in arrays.items()},
    "nothing": lambda arrays: {},
}


def test_nothing_leaves_a_node_whose_app_lies(noisy: FederatedWorld) -> None:
    with operating(noisy, **private()) as operator:
        request = operator.open()
        try:
            for name, lie in LIES.items():
                noisy.apps["bao"].lies = lie
                with pytest.raises(InvalidRequestError):
                    operator.ask("bao", request)
                assert operator.contributions() == [], name
        finally:
            noisy.apps["bao"].lies = lambda arrays: arrays
        assert store_of(noisy, "bao").computed(job_of(operator, "bao"), 1) is None
        # Debited once, though nothing came of it; what leaves in the end is what was paid for.
        assert reservation(noisy, operator, "bao").spent == operator.course.rho
        operator.ask("bao", request)
        assert reservation(noisy, operator, "bao").spent == operator.course.rho


@contextmanager
def coordinated(world: FederatedWorld, **changes: Any) -> Iterator[TrainingQuestion]:
    """Submit what the hub's own coordinator is to run."""
    world.way.is_shut = False
    question = world.question(**changes)
    world.submit(question)
    try:
        yield question
    finally:
        world.way.is_shut = True


def bring(world: FederatedWorld, question: TrainingQuestion, state: str, *jobs: str) -> Any:
    """Let agents work until a federation and its jobs are where they are to be."""

    def is_there() -> bool:
        found = world.standing.federations.get(question.federation)
        if found is not None and found.state is FederationState.RUNNING:
            return False
        step(world)
        is_done = found is not None and found.state.value == state
        return is_done and all(state_of(world, one.job) in jobs for one in question.members)

    wait_until(is_there, seconds=120)
    return world.standing.federations.get(question.federation)


def test_a_run_with_a_liar_ends_and_what_was_debited_is_spent(noisy: FederatedWorld) -> None:
    noisy.apps["bao"].lies = LIES["not a number"]
    try:
        with coordinated(noisy, **private(quorum=4)) as question:
            federation = bring(noisy, question, "aborted", "failed", "cancelled")
    finally:
        noisy.apps["bao"].lies = lambda arrays: arrays
    assert (federation.completed, federation.life.attempts) == ((), MAX_ATTEMPTS)
    operator = Operator(noisy, question)
    assert {one["job"] for one in operator.contributions()} == {one.job for one in question.members[1:]}
    for unit in FOUR:
        found = reservation(noisy, operator, unit)
        assert found.spent == operator.course.rho, unit
        if state_of(noisy, job_of(operator, unit)) == "failed":
            assert found.state is ReservationState.COMMITTED, unit
        assert not noisy.hub.hub.results.has(job_of(operator, unit))


def test_in_private_mode_the_rest_goes_on_without_a_liar(noisy: FederatedWorld) -> None:
    noisy.apps["bao"].lies = LIES["not a number"]
    try:
        with coordinated(noisy, **private()) as question:
            federation = bring(noisy, question, "completed", "released", "delivered", "failed")
    finally:
        noisy.apps["bao"].lies = lambda arrays: arrays
    assert federation.completed[-1].participants == (FUTIAN, LUOHU, "node:nanshan")
    operator = Operator(noisy, question)
    assert state_of(noisy, job_of(operator, "bao")) == "failed"
    found = reservation(noisy, operator, "bao")
    assert (found.state, found.spent) == (ReservationState.COMMITTED, operator.course.rho)


# --- on the way ------------------------------------------------------------------------------------------------------


def test_what_was_changed_on_the_way_is_not_summed(world: FederatedWorld) -> None:
    """Of the first attempt at each round, one reply is another one; the second attempt is as it should be."""
    old: list[Content] = []

    def flipped(content: Content) -> Content:
        vector = content.arrays["vector"].copy()
        vector[-1] ^= np.uint64(1 << 63)
        return replace(content, arrays={"vector": vector})

    changes: dict[int, Callable[[Content], Content]] = {
        1: flipped,
        2: lambda content: replace(content, arrays={"vector": content.arrays["vector"][:-1]}),
        3: lambda content: old[0],
    }

    def on_the_way(unit: str, content: Content) -> Content:
        attempt = world.standing.federations.get(question.federation).attempt
        if unit != "luohu" or attempt is None or not content.arrays:
            return content
        old.append(content)
        return changes[attempt.round](content) if attempt.number == 1 else content

    runs = world.apps["luohu"].runs
    with coordinated(world, **THREE_ROUNDS) as question:
        world.on_the_way = on_the_way
        try:
            federation = bring(world, question, "completed", "released", "delivered")
        finally:
            world.on_the_way = lambda _, content: content
    assert [one.attempt for one in federation.completed] == [2, 2, 2]
    assert world.apps["luohu"].runs == runs + 3
    store = world.hub.hub.federation_store
    for number in (1, 2, 3):
        assert set(store.vectors(question.federation, number, 1)) == {BAO, FUTIAN}
        assert set(store.vectors(question.federation, number, 2)) == {BAO, FUTIAN, LUOHU}


def test_a_vector_that_is_no_part_of_a_sum_ends_the_run(world: FederatedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that says in the log what it sends, and sends too little."""
    member = world.members["luohu"]
    mask = member._mask
    monkeypatch.setattr(member, "_mask", lambda *args: mask(*args)[:-1])
    with coordinated(world, **THREE_ROUNDS) as question:
        federation = bring(world, question, "aborted", "failed", "cancelled")
    last = world.hub.hub.recorder.read(federation.entries[-1]).statement
    assert (last.payload.body["reason"], federation.completed) == ("reply-refused", ())


# --- what leaves a node ----------------------------------------------------------------------------------------------


def needles(arrays: Mapping[str, Any], course: Course, state: State) -> list[bytes]:
    """Return what would be seen of a unit's own sums: as numbers, as they are encoded, as texts."""
    vector = encode(arrays, course.layout(state), parties=course.members)
    values = [value for array in arrays.values() for value in array.ravel().tolist()]
    spans = [span.tobytes() for start in range(len(vector) - 3) if len(set(span := vector[start : start + 4])) == 4]
    texts = [text.encode() for text in map(repr, values) if len(text) > 9]
    return [*spans, *texts, *(array.tobytes() for array in arrays.values() if len(np.unique(array)) > 3)]


def files(folder: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_nothing_of_a_units_own_leaves_its_node(world: FederatedWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Rows, and sums over them, are looked for in requests and replies, the hub's database, logs and errors."""
    caplog.set_level(logging.DEBUG)
    course = course_of(world.question(**THREE_ROUNDS))
    entity = str(training_rows("bao")["uscc"][7])
    found: list[bytes] = [entity.encode()]
    tries: list[int] = []
    contribute = world.apps["bao"].contribute

    def watch(spec: Any, state: State, table: Any) -> Mapping[str, object]:
        arrays: Mapping[str, Any] = contribute(spec, state, table)
        found.extend(needles(arrays, course, state))
        tries.append(len(tries))
        if len(tries) == 1:
            raise ValueError(f"could not convert `{entity}` to a number")
        return arrays if len(tries) > 2 else {name: array * np.nan for name, array in arrays.items()}

    world.sent = {}
    world.apps["bao"].contribute = watch  # type: ignore[method-assign]
    try:
        with coordinated(world, **THREE_ROUNDS) as question:
            bring(world, question, "completed", "released", "delivered")
    finally:
        del world.apps["bao"].contribute
        sent, world.sent = world.sent["bao"], None
    assert len(found) > 50
    everything = b"\0".join([*sent, caplog.text.encode(), files(world.folder / "hub")])
    assert question.federation.encode() in everything
    for needle in found:
        assert needle not in everything, needle
