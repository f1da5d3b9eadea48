"""The agent and member jobs: joined with the start, waited for, sealed when interrupted, erased when they end."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from policies.decision import Reason
from policies.federations import FederationState
from policies.jobs import JobState
from policies.model import Agreement, to_json
from sandbox.candidate import TrainedCandidate
from sandbox.node.agent_home import NodeParts, OpenAgent
from sandbox.node.joint import JointState, SealedState
from sandbox.node.journal import JobStep, Journal
from sandbox.node.statements import Made, StatementMaker
from sandbox.node.verifying import VerifiedJob
from sandbox.node.veto import VetoKind
from tests.lib.agents import Scene
from tests.lib.alliance import TERMS, Alliance
from tests.lib.fake_hub import NODE, Answer, FakeHub
from tests.lib.nodes import NOW, PARTNER, PURPOSE
from yingbi.canonical import JsonValue, digest_json
from yingbi.clock import FixedClock
from yingbi.commitment import Opening, commit, verify_opening
from yingbi.errors import ErrorCode, RefusedError, SandboxError, UnavailableError
from yingbi.events.federations import FederationContributed, FederationJoined
from yingbi.events.fields import Destruction
from yingbi.events.jobs import Interruption, JobInterrupted, RefusalReason
from yingbi.events.outputs import DestroyedThing, OutputDestroyed
from yingbi.ids import dataset_id, new_id
from yingbi.keys import SigningKey
from yingbi.plan.codec import plan_to_json
from yingbi.plan.model import CodedFeature, Member, Plan, Recipe, Source, TrainingQuestion
from yingbi.sealing import ResultKey

TRAINING: Final = "agr-lab-train"
OPERATION: Final = "train.horizontal.logistic_regression"
DOCUMENT: Final[dict[str, JsonValue]] = {"model": {"weights": ["0.25"]}}
OTHERS: Final = ("a", "b")
STARTED: Final = ["job.submitted", "job.approved", "job.leased", "job.started", "budget.reserved", "federation.joined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A sealed checkpoint."""

    round: int
    opening: Opening


class FakeJoint:
    """Takes part in federations as `sandbox.node.joint.JointWork` says; tests say where they are.

    `calls`: what the agent asked of it, in order. `rounds`: of the job that runs, absent where nothing was computed.
    """

    def __init__(self) -> None:
        self.state = JointState.WAITING
        self.reason: Reason | None = None
        self.rounds: int | None = 7
        self.advantage: float | None = 0.01
        self.failure: SandboxError | None = None
        self.calls: list[tuple[object, ...]] = []
        self.checkpoints: dict[str, Checkpoint] = {}
        self.asked: list[TrainingQuestion | None] = []
        self._maker: StatementMaker | None = None

    @contextmanager
    def make(self, parts: NodeParts) -> Iterator["FakeJoint"]:
        """Take part for an open node."""
        self._maker = parts.maker
        yield self

    def refuse(self, found: VerifiedJob) -> Reason | None:
        """Return what tests say."""
        self.asked.append(found.training)
        return self.reason

    def join(self, found: VerifiedJob) -> Made:
        """Join; what was sealed goes on."""
        assert self._maker is not None
        assert found.training is not None
        self.calls.append(("join", found.attempt))
        self.checkpoints.pop(found.job, None)
        return self._maker.joined(
            found.training.federation,
            job=found.job,
            attempt=found.attempt,
            terms=TERMS,
            key=ResultKey.generate().public,
        )

    def look(self, found: VerifiedJob) -> JointState:
        """Return what tests say."""
        del found
        return self.state

    def result(self, question: TrainingQuestion) -> TrainedCandidate:
        """Return a model that may leave, or what tests say."""
        self.calls.append(("result",))
        if self.failure is not None:
            raise self.failure
        return TrainedCandidate(
            question=question, document=DOCUMENT, smallest=30, contributors=3, advantage=self.advantage
        )

    def seal(self, job: str) -> SealedState | None:
        """Seal what there is, once."""
        self.calls.append(("seal",))
        if self.rounds is None or job in self.checkpoints:
            return None
        self.checkpoints[job] = Checkpoint(round=self.rounds, opening=commit(digest_json(job)))
        return self.checkpoints[job]

    def sealed(self) -> tuple[tuple[str, str], ...]:
        """Return what is sealed."""
        return tuple((job, one.opening.commitment) for job, one in sorted(self.checkpoints.items()))

    def forget(self, job: str, *, with_state: bool) -> None:
        """Erase."""
        self.calls.append(("forget", with_state))
        if with_state:
            self.checkpoints.pop(job, None)


class AlliedHub(FakeHub, Alliance):
    """A hub in whose log other units do their part of a federation, as statements that are really signed."""

    def _load(self) -> None:
        super()._load()
        self.texts = _Published(self.texts, self.documents)
        self.standing = self.replayed()


class _Published(dict[str, Agreement]):
    """Texts of terms, each of which the hub hands out from when it is known."""

    def __init__(self, texts: Mapping[str, Agreement], documents: dict[str, JsonValue]) -> None:
        super().__init__(texts)
        self._documents = documents

    def __setitem__(self, digest: str, terms: Agreement) -> None:
        super().__setitem__(digest, terms)
        self._documents[digest] = to_json(terms)


@pytest.fixture
def joint() -> FakeJoint:
    return FakeJoint()


@pytest.fixture(autouse=True)
def agreed(scene: Scene) -> Agreement:
    """An agreement under which this node's data may be trained on."""
    limits = replace(scene.terms.limits, rounds=100, jobs=50)
    return scene.hub.agree_on(replace(scene.terms, id=TRAINING, operations=("train",), limits=limits))


def takes_all(question: TrainingQuestion, /) -> tuple[str, ...]:
    return ()


def open_with(scene: Scene, joint: FakeJoint | None) -> AbstractContextManager[OpenAgent]:
    options = {} if joint is None else {"make_joint": joint.make}
    return scene.agent(check_recipe=takes_all, **options)


def work(scene: Scene, joint: FakeJoint | None, times: int = 1) -> None:
    with open_with(scene, joint) as opened:
        for _ in range(times):
            opened.agent.work()


def question_of(job: str, federation: str, version: int | None) -> TrainingQuestion:
    own = Member(agreement=TRAINING, dataset="lab/firms", job=job, node=NODE)
    others = [
        Member(agreement=f"agr-{name}", dataset=f"{name}/credit", job=f"job-{name}", node=f"node:{name}")
        for name in OTHERS
    ]
    return TrainingQuestion(
        source=Source(dataset="lab/firms", version=version),
        federation=federation,
        members=tuple(sorted([own, *others], key=lambda one: one.node)),
        quorum=3,
        rounds=3,
        min_entities=10,
        recipe=Recipe.LOGISTIC_REGRESSION,
        target="penalised",
        positive="true",
        features=(CodedFeature(name="size", codes=("large", "medium", "small")),),
    )


def ask(scene: Scene, *, federation: str | None = None, version: int | None = None) -> str:
    """Ask for a member job as the bank; the plan names no version where nothing is said, the job always does."""
    hub, job = scene.hub, new_id("job")
    plan = plan_to_json(Plan(question=question_of(job, federation or new_id("fed"), version)))
    opening, recipient = commit(plan), ResultKey.generate()
    hub.openings[job], hub.recipients[job] = opening, recipient
    hub.tick()
    body = {
        "agreement": TRAINING,
        "certificate": None,
        "purpose": PURPOSE,
        "operation": OPERATION,
        "datasets": [{"dataset": dataset_id("lab/firms"), "version": 2}],
        "plan": opening.commitment,
        "code": None,
        "epsilon": None,
        "result_key": recipient.public,
        "expires_at": hub.later(hours=24),
    }
    hub.say("job.submitted", job, body, PARTNER)
    terms = hub.standing.agreements.get(TRAINING)
    assert terms is not None
    hub.say("job.approved", job, hub.approval(terms.agreement), "bureau:futian")
    hub.give(job)
    return job


def last(scene: Scene, job: str) -> tuple[str, Mapping[str, Any]]:
    """Return type and body of the last entry about a job."""
    payload = scene.entries(job)[-1].payload
    return str(payload.type), payload.body


def running(scene: Scene, joint: FakeJoint) -> str:
    """Return a member job that waits for its federation."""
    job = ask(scene)
    work(scene, joint)
    assert scene.row(job).step is JobStep.STARTED
    joint.calls.clear()
    return job


def interrupted(scene: Scene, joint: FakeJoint) -> str:
    """Return a member job whose federation was interrupted."""
    job = running(scene, joint)
    joint.state = JointState.INTERRUPTED
    work(scene, joint)
    assert scene.row(job).step is JobStep.INTERRUPTED
    joint.calls.clear()
    return job


def cancel(scene: Scene, job: str) -> None:
    scene.hub.say("job.cancelled", job, {"reason": "request", "note": None}, PARTNER)


def end_agreement(scene: Scene, how: str) -> None:
    found = scene.hub.standing.agreements.get(TRAINING)
    assert found is not None
    until = {"until": None} if how == "suspended" else {}
    body = {"terms": found.terms, "reason": "request", "running_jobs": "stop", "note": None, **until}
    scene.hub.say(f"agreement.{how}", TRAINING, body, "person:approver")


# --- refused ----------------------------------------------------------------------------------------------------------


def test_a_node_that_takes_no_part_in_federations_refuses_a_training(scene: Scene) -> None:
    job = ask(scene)
    work(scene, None)
    kind, body = last(scene, job)
    assert kind == "job.refused"
    assert body["gate"] == "start"
    assert body["refusals"] == [{"reason": "operation-not-granted", "clause": None}]
    assert scene.row(job).step is JobStep.REFUSED
    notice = scene.hub.notices[job]
    assert isinstance(notice, dict)
    assert "this node takes no part in federations" in str(notice["reasons"])
    assert scene.charged(TRAINING) == 0
    assert "budget.reserved" not in scene.hub.told(job)


def test_a_node_without_recipes_admits_no_training(scene: Scene, joint: FakeJoint) -> None:
    job = ask(scene)
    with scene.agent(make_joint=joint.make) as opened:
        opened.agent.work()
    kind, body = last(scene, job)
    assert (kind, body["gate"]) == ("job.refused", "admission")
    assert (joint.asked, joint.calls) == ([], []), "nobody is asked to take part in what is not admitted"


def test_whoever_takes_part_may_refuse(scene: Scene, joint: FakeJoint) -> None:
    joint.reason = Reason(code=RefusalReason.BUDGET_EXHAUSTED, rule=None, message="too much")
    job = ask(scene)
    work(scene, joint)
    kind, body = last(scene, job)
    assert (kind, body["refusals"]) == ("job.refused", [{"reason": "budget-exhausted", "clause": None}])
    assert joint.calls == [], "who refuses does not join"
    assert "too much" in str(scene.hub.notices[job])


@pytest.mark.parametrize("version", [None, 2])
def test_a_member_job_is_of_the_version_that_it_names(scene: Scene, joint: FakeJoint, version: int | None) -> None:
    ask(scene, version=version)
    work(scene, joint)
    (asked,) = joint.asked
    assert asked is not None
    # SECURITY: however a plan is spelled, what was done with a version is found again by its number.
    assert asked.source == Source(dataset="lab/firms", version=2)


# --- started, and waiting ---------------------------------------------------------------------------------------------


def test_a_start_joins_with_it(scene: Scene, joint: FakeJoint) -> None:
    job = ask(scene, federation="fed-together")
    work(scene, joint)
    assert scene.hub.told(job) == STARTED
    kind, body = last(scene, job)
    assert (kind, body["job"], body["attempt"], body["terms"]) == ("federation.joined", job, 1, TERMS)
    assert scene.entries(job)[-1].payload.id == "fed-together"
    assert scene.hub.standing.federations.joined(job, 1) is not None
    assert joint.calls == [("join", 1)]


def test_a_start_that_was_not_recorded_is_sent_again_and_not_joined_anew(scene: Scene, joint: FakeJoint) -> None:
    job = ask(scene)
    record = scene.hub.record

    def fail(*_: object, **__: object) -> list[int]:
        raise UnavailableError(ErrorCode.QUORUM_NOT_MET, "too few witnesses")

    scene.hub.record = fail  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        work(scene, joint)
    scene.hub.record = record  # type: ignore[method-assign]
    work(scene, joint)
    assert scene.hub.told(job) == STARTED
    assert joint.calls == [("join", 1)]


def test_a_member_job_waits_and_keeps_no_other_from_its_turn(scene: Scene, joint: FakeJoint) -> None:
    job = running(scene, joint)
    other = scene.ask()
    work(scene, joint)
    assert scene.hub.uploads == [other]
    assert scene.row(job).step is JobStep.STARTED
    assert joint.calls == []
    assert scene.hub.told(job) == STARTED


def test_who_waits_for_a_federation_does_not_wait_for_the_hub(scene: Scene, joint: FakeJoint) -> None:
    waits: list[float] = []
    poll = scene.hub.poll

    def poll_at_once(wait_s: float) -> Answer:
        waits.append(wait_s)
        return poll(0)

    scene.hub.poll = poll_at_once  # type: ignore[method-assign]
    job = ask(scene)
    with open_with(scene, joint) as opened:
        for _ in range(2):
            opened.agent.work(wait_s=20)
        cancel(scene, job)
        opened.agent.work(wait_s=20)
    assert waits == [20.0, 1.0, 20.0]


# --- interrupted ------------------------------------------------------------------------------------------------------


def test_an_interrupted_federation_leaves_a_sealed_state(scene: Scene, joint: FakeJoint) -> None:
    job = running(scene, joint)
    joint.state = JointState.INTERRUPTED
    work(scene, joint)
    checkpoint = joint.checkpoints[job]
    kind, body = last(scene, job)
    assert kind == "job.interrupted"
    assert body == {
        "attempt": 1,
        "reason": "federation-interrupted",
        "round": 7,
        "sealed_state": checkpoint.opening.commitment,
    }
    assert joint.calls == [("seal",), ("forget", False)], "the keys go, the sealed state stays"
    assert scene.row(job).step is JobStep.INTERRUPTED
    assert scene.charged(TRAINING) == 1
    assert "budget.committed" not in scene.hub.told(job), "it may go on"


def test_the_opening_goes_with_the_statement(scene: Scene, joint: FakeJoint) -> None:
    job = running(scene, joint)
    joint.state = JointState.INTERRUPTED
    work(scene, joint)
    with scene.home() as home:
        journal = Journal(home.database, home.clock)
        (made,) = journal.statements(journal.get(job), JobStep.INTERRUPTING)
    (opening,) = made.openings
    verify_opening(str(made.statement.payload.body["sealed_state"]), opening)
    assert opening == joint.checkpoints[job].opening


def test_where_nothing_was_computed_nothing_is_sealed(scene: Scene, joint: FakeJoint) -> None:
    job = running(scene, joint)
    joint.state, joint.rounds = JointState.INTERRUPTED, None
    work(scene, joint)
    _, body = last(scene, job)
    assert (body["round"], body["sealed_state"]) == (None, None)
    assert joint.calls == [("seal",), ("forget", False)]


@pytest.mark.parametrize("state", [JointState.WAITING, JointState.FINISHED])
def test_what_the_unit_stops_is_sealed_too_wherever_it_is(scene: Scene, joint: FakeJoint, state: JointState) -> None:
    job = running(scene, joint)
    joint.state = state
    with open_with(scene, joint) as opened:
        opened.vetoes.set(VetoKind.VETO, job)
        opened.agent.work()
    kind, body = last(scene, job)
    assert (kind, body["reason"], body["round"]) == ("job.interrupted", "frozen", 7)
    assert joint.calls == [("seal",), ("forget", False)]
    assert list(joint.checkpoints) == [job]


def test_a_job_of_one_node_is_interrupted_without_a_seal(scene: Scene, joint: FakeJoint) -> None:
    job = scene.ask()
    upload = scene.hub.record

    def fail_release(statements: list[Any], **options: Any) -> list[int]:
        if any(one.type == "output.released" for one in statements):
            raise UnavailableError(ErrorCode.QUORUM_NOT_MET, "too few witnesses")
        return upload(statements, **options)

    scene.hub.record = fail_release  # type: ignore[method-assign,assignment]
    with open_with(scene, joint) as opened:
        with pytest.raises(UnavailableError):
            opened.agent.work()
        opened.vetoes.set(VetoKind.VETO, job)
        opened.agent.work()
    kind, body = last(scene, job)
    assert (kind, body["sealed_state"]) == ("job.interrupted", None)
    assert joint.calls == []


def test_an_interrupted_member_goes_on_with_its_next_lease(scene: Scene, joint: FakeJoint) -> None:
    job = interrupted(scene, joint)
    joint.state = JointState.WAITING
    scene.hub.give(job, attempt=2)
    work(scene, joint)
    assert scene.row(job).step is JobStep.STARTED
    assert joint.calls == [("join", 2)]
    assert scene.hub.told(job).count("budget.reserved") == 1, "it was charged at its first start"
    assert scene.hub.told(job)[-2:] == ["job.started", "federation.joined"]
    assert last(scene, job)[1]["attempt"] == 2
    assert scene.charged(TRAINING) == 1


# --- sealed states that are never opened ------------------------------------------------------------------------------


def test_a_sealed_state_stays_while_its_job_may_go_on(scene: Scene, joint: FakeJoint) -> None:
    job = interrupted(scene, joint)
    end_agreement(scene, "suspended")
    work(scene, joint, 2)
    assert joint.calls == []
    assert list(joint.checkpoints) == [job]
    assert scene.hub.told(job)[-1] == "job.interrupted"


def test_a_sealed_state_is_destroyed_with_its_agreement_and_the_log_is_told(scene: Scene, joint: FakeJoint) -> None:
    job = interrupted(scene, joint)
    commitment = joint.checkpoints[job].opening.commitment
    end_agreement(scene, "revoked")
    work(scene, joint, 2)
    kind, said = last(scene, job)
    assert kind == "output.destroyed"
    assert said == {"job": job, "thing": "sealed-state", "content": commitment, "method": "keys-erased"}
    assert scene.hub.told(job).count("output.destroyed") == 1
    assert joint.calls == [("forget", True)]
    assert joint.checkpoints == {}


def test_nothing_is_destroyed_before_the_log_is_told(scene: Scene, joint: FakeJoint) -> None:
    job = interrupted(scene, joint)
    end_agreement(scene, "revoked")
    record = scene.hub.record

    def fail(*_: object, **__: object) -> list[int]:
        raise UnavailableError(ErrorCode.QUORUM_NOT_MET, "too few witnesses")

    scene.hub.record = fail  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        work(scene, joint)
    assert (joint.calls, list(joint.checkpoints)) == ([], [job])
    scene.hub.record = record  # type: ignore[method-assign]
    work(scene, joint)
    assert joint.calls == [("forget", True)]


def test_the_sealed_state_of_a_job_that_ended_is_destroyed_without_a_word(scene: Scene, joint: FakeJoint) -> None:
    job = interrupted(scene, joint)
    cancel(scene, job)
    work(scene, joint)
    assert joint.calls == [("forget", True)]
    assert joint.checkpoints == {}
    assert scene.hub.told(job)[-1] == "job.cancelled", "the log has no place for it any more"


def test_a_checkpoint_of_a_job_that_nobody_knows_is_destroyed(scene: Scene, joint: FakeJoint) -> None:
    joint.checkpoints["job-nobody"] = Checkpoint(round=1, opening=commit("x"))
    work(scene, joint)
    assert joint.calls == [("forget", True)]
    assert joint.checkpoints == {}


# --- ended ------------------------------------------------------------------------------------------------------------


def test_an_aborted_federation_ends_its_jobs_and_erases_all_of_them(scene: Scene, joint: FakeJoint) -> None:
    job = running(scene, joint)
    joint.state = JointState.ABORTED
    work(scene, joint)
    (failed,) = [one.payload.body for one in scene.entries(job) if one.type == "job.failed"]
    assert failed == {"attempt": 1, "reason": "quorum-lost", "retryable": False}
    assert scene.hub.told(job)[-1] == "budget.committed"
    assert joint.calls == [("forget", True)]


def test_a_failure_that_may_be_tried_again_erases_nothing(scene: Scene, joint: FakeJoint) -> None:
    job = running(scene, joint)
    joint.state = JointState.FINISHED
    joint.failure = UnavailableError(ErrorCode.ENGINE_FAILED, "not here")
    work(scene, joint)
    kind, body = last(scene, job)
    assert (kind, body["reason"], body["retryable"]) == ("job.failed", "engine-error", True)
    assert joint.calls == [("result",)]


def test_a_failure_for_good_erases_everything(scene: Scene, joint: FakeJoint) -> None:
    job = running(scene, joint)
    joint.state = JointState.FINISHED
    joint.failure = RefusedError(ErrorCode.RESOURCE_LIMIT, "too much")
    work(scene, joint)
    assert scene.hub.told(job)[-2:] == ["job.failed", "budget.committed"]
    assert joint.calls == [("result",), ("forget", True)]


def test_a_job_that_was_called_off_is_erased(scene: Scene, joint: FakeJoint) -> None:
    job = running(scene, joint)
    cancel(scene, job)
    work(scene, joint)
    assert scene.row(job).step is JobStep.LOST
    assert joint.calls == [("forget", True)]


def test_a_job_that_went_on_without_this_process_keeps_its_state(scene: Scene, joint: FakeJoint) -> None:
    job = running(scene, joint)
    body = {"attempt": 1, "reason": "node-stopped", "round": None, "sealed_state": None}
    scene.hub.say("job.interrupted", job, body, NODE)
    work(scene, joint)
    assert scene.row(job).step is JobStep.LOST
    assert joint.calls == [("forget", False)], "another attempt may need it"


# --- finished ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def allied(scene: Scene) -> Scene:
    """A scene with two more units, which have nodes and agreements of their own."""
    scene.hub.close()
    hub = AlliedHub(scene.folder / "hub", scene.clock)
    scene.hub = hub
    for name in OTHERS:
        hub.add(name)
    return scene


def finish(scene: Scene, joint: FakeJoint) -> str:
    """Return a member job whose federation is completed by the log."""
    hub, federation = scene.hub, new_id("fed")
    assert isinstance(hub, AlliedHub)
    job = ask(scene, federation=federation)
    work(scene, joint)
    joint.calls.clear()
    jobs = {name: hub.start_job(name) for name in OTHERS}
    for name, one in jobs.items():
        hub.take(hub.joining(federation, one, name))
    jobs[NODE.removeprefix("node:")] = job
    hub.take(hub.starting(federation, jobs))
    for _ in range(3):
        hub.run_round(federation)
    hub.take(hub.completing(federation))
    assert hub.of(federation).state is FederationState.COMPLETED
    joint.state = JointState.FINISHED
    return job


def test_what_was_trained_is_released_and_then_erased(allied: Scene, joint: FakeJoint) -> None:
    job = finish(allied, joint)
    work(allied, joint)
    assert allied.hub.uploads == [job]
    assert allied.row(job).step is JobStep.DONE
    result = allied.hub.result(job)["result"]
    assert (result["kind"], result["document"]) == ("training", DOCUMENT)
    assert joint.calls == [("result",), ("forget", True)]
    assert allied.charged(TRAINING) == 1


def test_nothing_is_erased_before_the_result_has_left(allied: Scene, joint: FakeJoint) -> None:
    job = finish(allied, joint)
    upload = allied.hub.upload
    allied.hub.upload = lambda job, body: (503, b"")  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        work(allied, joint)
    assert allied.row(job).step is JobStep.RELEASED
    assert joint.calls == [("result",)]
    allied.hub.upload = upload  # type: ignore[method-assign]
    work(allied, joint)
    assert joint.calls == [("result",), ("forget", True)]


def test_a_model_that_remembers_is_held_for_a_person(allied: Scene, joint: FakeJoint) -> None:
    joint.advantage = 0.5
    job = finish(allied, joint)
    work(allied, joint)
    kind, body = last(allied, job)
    assert kind == "output.held"
    assert [one["rule"] for one in body["findings"]] == ["training.membership"]
    found = allied.hub.standing.jobs.get(job)
    assert found is not None
    assert found.state is JobState.HELD
    assert joint.calls == [("result",)]


# --- what statements say ----------------------------------------------------------------------------------------------


@pytest.fixture
def maker() -> StatementMaker:
    return StatementMaker(NODE, SigningKey.generate(), FixedClock(NOW))


DIGEST: Final = "sha256:" + "1" * 64


def test_an_interruption_says_round_and_commitment(maker: StatementMaker) -> None:
    sealed = commit(DIGEST)
    made = maker.interrupted("job-a", attempt=2, reason=Interruption.NODE_STOPPED, number=0, sealed=sealed)
    body = JobInterrupted.model_validate(made.statement.payload.body)
    assert (body.attempt, body.round, body.sealed_state) == (2, 0, sealed.commitment)
    assert made.openings == (sealed,)
    plain = maker.interrupted("job-a", attempt=1, reason=Interruption.FROZEN)
    body = JobInterrupted.model_validate(plain.statement.payload.body)
    assert (body.round, body.sealed_state, plain.openings) == (None, None, ())


def test_a_destroyed_checkpoint_is_named_by_its_commitment(maker: StatementMaker) -> None:
    opening = commit(DIGEST)
    made = maker.unsealable("job-a", commitment=opening.commitment)
    payload = made.statement.payload
    body = OutputDestroyed.model_validate(payload.body)
    assert str(payload.type) == "output.destroyed"
    assert payload.id.startswith("out-")
    assert [one.id for one in payload.subject] == ["job-a"]
    assert (body.job, body.thing, body.content) == ("job-a", DestroyedThing.SEALED_STATE, opening.commitment)
    assert body.method is Destruction.KEYS_ERASED
    assert made.openings == (), "what is destroyed is not opened"
    assert maker.unsealable("job-a", commitment=DIGEST).statement.payload.id != payload.id


@pytest.mark.parametrize("rho", [None, "0.05"])
def test_federations_are_spoken_of_by_their_own_ids(maker: StatementMaker, rho: str | None) -> None:
    key = ResultKey.generate().public
    joined = maker.joined("fed-1", job="job-a", attempt=1, terms=DIGEST, key=key).statement.payload
    assert (str(joined.type), joined.id, joined.issuer) == ("federation.joined", "fed-1", NODE)
    body = FederationJoined.model_validate(joined.body)
    assert (body.job, body.attempt, body.terms, body.key) == ("job-a", 1, DIGEST, key)
    other = "sha256:" + "2" * 64
    given = maker.contributed(
        "fed-1", job="job-a", number=3, attempt=2, round_input=DIGEST, contribution=other, rho=rho
    ).statement.payload
    assert (str(given.type), given.id) == ("federation.contributed", "fed-1")
    said = FederationContributed.model_validate(given.body)
    assert (said.job, said.round, said.attempt) == ("job-a", 3, 2)
    assert (said.round_input, said.contribution, given.body["rho"]) == (DIGEST, other, rho)
