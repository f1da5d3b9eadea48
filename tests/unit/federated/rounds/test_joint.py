"""Where a member job's federation is, as its node sees it."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from federated.rounds.joint import NodeJoint
from policies.federations import FederationState, Round
from policies.jobs import JobState
from sandbox.node.joint import JointState
from tests.unit.federated.rounds.test_course import question
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, TamperDetectedError, UnavailableError
from yingbi.events.jobs import RefusalReason
from yingbi.plan.codec import common_digest

QUESTION = question()
TERMS = common_digest(QUESTION)
NODES = tuple(one.node for one in QUESTION.members)


class Node:
    """What a node's joint work stands on, as much of it as looking needs."""

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.federation: Any = None
        self.final: Any = None
        self.calls: list[str] = []
        note = self.calls.append
        standing = SimpleNamespace(
            federations=SimpleNamespace(get=lambda _: self.federation), jobs=SimpleNamespace(get=self.jobs.get)
        )
        parts: dict[str, Any] = {
            "member": SimpleNamespace(
                final_state=lambda _: self.final,
                forget=lambda job, *, with_state: note(f"forget {with_state}"),
                join=lambda found, **how: how,
            ),
            "compute": SimpleNamespace(
                refuse=lambda found, course: None,
                forget=lambda job: note("close"),
                settle=lambda job: note("settle"),
            ),
            "sealed": SimpleNamespace(
                seal=lambda job: note("seal"),
                destroy=lambda job: note("destroy"),
                unseal=lambda job: note("unseal"),
            ),
            "binnings": SimpleNamespace(find_other=lambda _: (), note=lambda _: note("bins")),
            "follower": SimpleNamespace(lock=nullcontext(), standing=standing),
            "candidate": lambda *args: args,
        }
        self.joint = NodeJoint(**parts)

    def job(self, name: str, state: JobState, *, is_retryable: bool = False) -> None:
        self.jobs[name] = SimpleNamespace(state=state, life=SimpleNamespace(is_retryable=is_retryable))

    def started(self, state: FederationState, *, terms: str = TERMS, last: tuple[str, ...] = NODES) -> None:
        members = [SimpleNamespace(job=one.job, attempt=1, node=one.node) for one in QUESTION.members]
        done = Round(number=1, attempt=1, participants=last, aggregate="", state="")
        self.federation = SimpleNamespace(
            state=state, members=members, completed=(done,), started=SimpleNamespace(terms=terms)
        )

    def look(self, attempt: int = 1) -> JointState:
        found: Any = SimpleNamespace(training=QUESTION, job="job-bao", attempt=attempt)
        return self.joint.look(found)


@pytest.fixture
def node() -> Node:
    return Node()


def test_before_it_starts_it_is_waited_for_unless_a_member_is_over(node: Node) -> None:
    assert node.look() is JointState.WAITING
    node.job("job-luohu", JobState.STARTED)
    assert node.look() is JointState.WAITING
    node.job("job-luohu", JobState.FAILED, is_retryable=True)
    assert node.look() is JointState.WAITING
    for state in (JobState.FAILED, JobState.CANCELLED, JobState.REFUSED):
        node.job("job-luohu", state)
        assert node.look() is JointState.ABORTED


def test_what_has_its_id_on_other_terms_is_another_federation(node: Node) -> None:
    for state in FederationState:
        node.started(state, terms="sha256:" + "0" * 64)
        assert node.look() is JointState.ABORTED


def test_it_runs_is_interrupted_or_ends(node: Node) -> None:
    node.started(FederationState.RUNNING)
    assert node.look() is JointState.WAITING
    node.started(FederationState.ABORTED)
    assert node.look() is JointState.ABORTED
    node.started(FederationState.INTERRUPTED)
    assert node.look() is JointState.INTERRUPTED
    assert node.look(attempt=2) is JointState.WAITING


def test_it_is_finished_where_its_state_is_here(node: Node) -> None:
    node.started(FederationState.COMPLETED)
    assert node.look() is JointState.WAITING
    node.final = object()
    assert node.look() is JointState.FINISHED


def test_who_was_left_out_waits_for_nothing(node: Node) -> None:
    node.started(FederationState.COMPLETED, last=NODES[1:])
    assert node.look() is JointState.ABORTED


def test_a_result_is_there_or_not(node: Node) -> None:
    with pytest.raises(UnavailableError):
        node.joint.result(QUESTION)
    node.started(FederationState.COMPLETED)
    node.final = object()
    made: Any = node.joint.result(QUESTION)
    assert (made[0], made[2], made[3]) == (QUESTION, node.final, node.federation)


def test_what_its_recipe_does_not_take_is_refused(node: Node) -> None:
    found: Any = SimpleNamespace(training=question(parameters='{"code":"1"}'), job="job-bao", attempt=1)
    reason = node.joint.refuse(found)
    assert reason is not None
    assert reason.code is RefusalReason.PLAN_NOT_ADMITTED
    assert node.joint.refuse(SimpleNamespace(training=QUESTION)) is None  # type: ignore[arg-type]


def test_it_joins_on_the_terms_that_it_has_read(node: Node) -> None:
    made: Any = node.joint.join(SimpleNamespace(training=QUESTION, job="job-bao"))  # type: ignore[arg-type]
    assert made == {"federation": "fed-1", "terms": TERMS}
    assert node.calls == ["unseal", "bins"]
    with pytest.raises((RefusedError, InvalidRequestError)):
        node.joint.join(SimpleNamespace(training=None, job="job-bao"))  # type: ignore[arg-type]


def test_what_is_sealed_is_not_added_to_and_what_is_over_is_settled(node: Node) -> None:
    """The keys go first: what is computed meanwhile is not kept any more then."""
    node.joint.seal("job-bao")
    assert node.calls == ["forget False", "seal"]
    node.calls.clear()
    node.joint.forget("job-bao", with_state=False)
    assert node.calls == ["forget False", "close"]
    node.calls.clear()
    node.joint.forget("job-bao", with_state=True)
    assert node.calls == ["forget True", "close", "destroy", "settle"]


def test_a_checkpoint_that_cannot_be_opened_ends_no_node(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: str) -> None:
        raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "a sealed checkpoint cannot be opened")

    monkeypatch.setattr(node.joint._sealed, "unseal", broken)
    found: Any = SimpleNamespace(training=QUESTION, job="job-bao", attempt=2)
    made: Any = node.joint.join(found)
    assert made == {"federation": QUESTION.federation, "terms": TERMS}
    assert node.calls == ["destroy", "bins"]
