"""What a node gives: debited before it is computed, guarded, noised; and what it must not give it does not."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from federated.horizontal.parameters import RecipeName
from federated.rounds.chain import Course
from federated.rounds.contribution import NodeCompute
from federated.rounds.member import MemberRun
from federated.rounds.member_store import Joined
from sandbox.privacy.accountant import Accountant, ReservationState
from sandbox.training_view import TrainingView
from tests.lib.nodes import new_node
from tests.unit.federated.horizontal.examples import make_table
from tests.unit.federated.rounds.examples import course_of_recipe
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError, RefusedError, SandboxError
from yingbi.events.jobs import RefusalReason

TABLE = make_table(300)
RHO = "0.001"


@dataclass
class Engine:
    """Reads the table, and counts how often."""

    reads: int = 0

    def view(self, admitted: object, *, secret: bytes, hold_out: object, **_: object) -> TrainingView:
        self.reads += 1
        return TrainingView(columns=TABLE.columns, target=TABLE.target, is_held_out=TABLE.is_held_out)

    def run(self, *_: object, **__: object) -> Any:
        raise AssertionError("nobody asks a table")


@dataclass
class App:
    """Computes, or does what a test says; notes what was spent when it was called."""

    accountant: Accountant
    gives: Callable[[Mapping[str, Any]], Mapping[str, object]] = lambda arrays: arrays
    spent: list[Decimal] = field(default_factory=list)

    def contribute(self, spec: Any, state: Any, table: Any) -> Mapping[str, object]:
        try:
            self.spent.append(self.accountant.reservation("job-1").spent)
        except NotFoundError:
            self.spent.append(Decimal(0))
        recipe = course_of_recipe(RecipeName.WOE_BINS).recipe
        return self.gives(recipe.contribute(spec, state, table))


@dataclass
class Node:
    accountant: Accountant
    engine: Engine
    app: App
    compute: NodeCompute

    def run(
        self, rho: str | None = None, *, epsilon: str | None = "4", rounds: int = 3, job: str = "job-1"
    ) -> MemberRun:
        """Return a run under an agreement with a budget of epsilon."""
        privacy = None if epsilon is None else SimpleNamespace(epsilon=Decimal(epsilon), delta=Decimal("1e-6"))
        training = SimpleNamespace(
            privacy=None if rho is None else object(),
            rounds=rounds,
            source=SimpleNamespace(dataset="bao/loans"),
        )
        found: Any = SimpleNamespace(
            job=job,
            training=training,
            agreement=SimpleNamespace(id="agr-1", privacy=privacy),
            asking=None,
            gate=SimpleNamespace(explain=lambda asking: SimpleNamespace(training=object())),
        )
        joined = Joined(job=job, attempt=1, federation="fed-1", public_key=b"", private_key=b"")
        return MemberRun(found=found, course=course_of_recipe(RecipeName.WOE_BINS, rho=rho), joined=joined)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    home = new_node(tmp_path / "node")
    accountant, engine = Accountant(home.database, clock=home.clock), Engine()
    app = App(accountant)
    yield Node(accountant, engine, app, NodeCompute(engine=engine, app=app, accountant=accountant, secret=b"s" * 32))
    home.close()


def give(node: Node, run: MemberRun, number: int = 1) -> Any:
    return node.compute(run, number, run.course.start())


def test_without_noise_it_is_what_was_computed(node: Node) -> None:
    first, again = give(node, node.run()), give(node, node.run())
    assert first.rho is None
    assert np.array_equal(first.vector, again.vector)
    assert node.engine.reads == 1
    node.compute.forget("job-1")
    give(node, node.run())
    assert node.engine.reads == 2
    with pytest.raises(NotFoundError):
        node.accountant.reservation("job-1")


def test_with_noise_it_is_debited_before_and_paid_for_once(node: Node) -> None:
    exact, run = give(node, node.run()), node.run(RHO)
    node.app.spent.clear()
    noisy = give(node, run)
    assert noisy.rho == RHO
    assert not np.array_equal(exact.vector, noisy.vector)
    layout = run.course.layout(run.course.start())
    noise = run.course.noise(layout)
    assert noise is not None
    apart = (noisy.vector - exact.vector).view(np.int64).astype(float)
    # Each entry has noise of its own, of the deviation that was planned: beyond eight of them once in 10^15.
    assert len(set(apart.tolist())) > len(apart) // 2
    assert np.abs(apart).max() < 8 * noise.deviation
    give(node, run)
    give(node, run, 2)
    assert node.app.spent == [Decimal(RHO), Decimal(RHO), 2 * Decimal(RHO)]
    assert node.accountant.reservation("job-1").reserved == 3 * Decimal(RHO)


def test_what_is_refused_or_fails_is_spent(node: Node) -> None:
    def fail(arrays: Mapping[str, Any]) -> Mapping[str, object]:
        raise SandboxError(ErrorCode.ENGINE_FAILED, "no")

    for gives, error in ((fail, SandboxError), (lambda arrays: {}, InvalidRequestError)):
        node.app.gives = gives
        with pytest.raises(error):
            give(node, node.run(RHO))
    assert node.accountant.reservation("job-1").spent == Decimal(RHO)
    node.compute.settle("job-1")
    found = node.accountant.reservation("job-1")
    assert (found.state, found.spent) == (ReservationState.COMMITTED, Decimal(RHO))
    assert node.accountant.balance("agr-1", "bao/loans").kept == 0
    node.compute.settle("job-1")
    node.compute.settle("job-of-nobody")
    node.app.gives = lambda arrays: arrays
    with pytest.raises(RefusedError):
        give(node, node.run(RHO), 2)


def test_a_job_that_the_budget_has_no_room_for_is_refused_before_it_starts(node: Node) -> None:
    def reason(run: MemberRun) -> object:
        found = node.compute.refuse(run.found, run.course)
        return None if found is None else found.code

    assert reason(node.run()) is None
    assert reason(node.run("0.1", epsilon=None)) is RefusalReason.BUDGET_EXHAUSTED
    assert reason(node.run("0.1", rounds=2)) is None
    assert reason(node.run("0.1", rounds=2)) is None
    # What the first keeps is not there for the second, until it is settled.
    assert reason(node.run("0.1", rounds=2, job="job-2")) is RefusalReason.BUDGET_EXHAUSTED
    node.compute.settle("job-1")
    assert reason(node.run("0.1", rounds=2, job="job-2")) is None


def test_nothing_is_computed_where_nothing_can_be_debited(node: Node) -> None:
    with pytest.raises(RefusedError):
        give(node, node.run("0.1", epsilon=None))
    with pytest.raises(RefusedError):
        give(node, node.run("0.1", rounds=1000))
    assert node.app.spent == []


def test_what_is_not_permitted_any_more_is_not_read(node: Node) -> None:
    run = node.run()
    gate = SimpleNamespace(explain=lambda asking: SimpleNamespace(training=None))
    found: Any = SimpleNamespace(**{**vars(run.found), "gate": gate})
    with pytest.raises(RefusedError):
        give(node, replace(run, found=found))
    assert (node.engine.reads, node.app.spent) == (0, [])


def test_what_is_no_training_has_no_course(node: Node) -> None:
    run = node.run(RHO)
    found: Any = SimpleNamespace(**{**vars(run.found), "training": None})
    course: Course = run.course
    answer = node.compute.refuse(found, course)
    assert answer is not None
    assert answer.code is RefusalReason.BUDGET_EXHAUSTED
