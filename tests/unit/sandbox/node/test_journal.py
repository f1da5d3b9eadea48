"""The journal: a total table of steps, statements stored before they are sent, and nothing taken twice."""

from collections.abc import Iterator

import pytest

from sandbox.node.hub_client import Lease, parse_lease
from sandbox.node.journal import ENDS, TRANSITIONS, JobStep, Journal
from sandbox.node.statements import Made, StatementMaker, explanation_json
from tests.lib.agents import AGREEMENT, Scene
from tests.lib.fake_hub import NODE
from tests.lib.nodes import PARTNER
from yingbi.commitment import commit
from yingbi.errors import ConflictError, InvalidRequestError, NotFoundError
from yingbi.events.jobs import FailureReason


@pytest.fixture
def journal(scene: Scene) -> Iterator[Journal]:
    with scene.home() as home:
        yield Journal(home.database, home.clock)


def lease(scene: Scene, attempt: int = 1) -> Lease:
    job = next(iter(scene.hub.openings), None) or scene.ask()
    return parse_lease({**scene.hub.lease_of(job, attempt), "attempt": attempt})


def failed(scene: Scene, job: str) -> Made:
    maker = StatementMaker(NODE, scene.hub.key(NODE), scene.clock)
    return maker.failed(job, attempt=1, reason=FailureReason.ENGINE_ERROR, is_retryable=True)


def test_every_step_has_its_answer_and_ends_lead_nowhere_but_to_a_new_lease() -> None:
    assert set(TRANSITIONS) == set(JobStep)
    assert {step for step in JobStep if TRANSITIONS[step] <= {JobStep.TAKEN}} == ENDS
    assert all(TRANSITIONS[step] for step in JobStep if step.value.endswith("ing"))


def test_a_lease_is_kept_as_it_came_and_taken_once(scene: Scene, journal: Journal) -> None:
    first = lease(scene)
    assert journal.take(first)
    assert not journal.take(first)
    row = journal.get(first.job)
    assert (row.step, row.attempt, row.agreement, row.partner) == (JobStep.TAKEN, 1, AGREEMENT, PARTNER)
    assert parse_lease(row.lease) == first
    assert journal.jobs(is_open=True) == (row,)
    with pytest.raises(NotFoundError):
        journal.get("job-unknown")


@pytest.mark.parametrize("step", [step for step in JobStep if JobStep.TAKEN in TRANSITIONS[step]])
def test_only_a_later_attempt_is_taken_after_an_end(scene: Scene, journal: Journal, step: JobStep) -> None:
    first = lease(scene)
    journal.take(first)
    way = {
        JobStep.LOST: [JobStep.LOST],
        JobStep.FAILED: [JobStep.STARTING, JobStep.STARTED, JobStep.FAILING, JobStep.FAILED],
        JobStep.INTERRUPTED: [JobStep.STARTING, JobStep.STARTED, JobStep.INTERRUPTING, JobStep.INTERRUPTED],
    }
    for after in way[step]:
        journal.move(journal.get(first.job), after)
    assert not journal.take(first)
    assert journal.take(lease(scene, 2))
    assert (journal.get(first.job).attempt, journal.get(first.job).step) == (2, JobStep.TAKEN)


def test_statements_are_stored_with_the_step_and_read_back_byte_for_byte(scene: Scene, journal: Journal) -> None:
    first = lease(scene)
    journal.take(first)
    opening = commit(explanation_json([]))
    made = [failed(scene, first.job), Made(statement=failed(scene, first.job).statement, openings=(opening,))]
    journal.prepare(journal.get(first.job), JobStep.STARTING, made, notice={"a": 1}, cause="because")
    row = journal.get(first.job)
    assert (row.step, row.notice, row.cause) == (JobStep.STARTING, {"a": 1}, "because")
    assert journal.statements(row, JobStep.STARTING) == tuple(made)
    assert journal.statements(row, JobStep.FAILING) == ()
    journal.recorded(row, JobStep.STARTED, [7, 8])
    assert journal.get(first.job).step is JobStep.STARTED


def test_a_step_that_is_not_possible_stores_nothing(scene: Scene, journal: Journal) -> None:
    first = lease(scene)
    journal.take(first)
    row = journal.get(first.job)
    with pytest.raises(ConflictError):
        journal.prepare(row, JobStep.RELEASING, [failed(scene, first.job)])
    assert journal.statements(row, JobStep.RELEASING) == ()
    journal.move(row, JobStep.LOST)
    with pytest.raises(ConflictError):
        journal.move(row, JobStep.STARTING)


def test_runs_are_counted_before_they_begin(scene: Scene, journal: Journal) -> None:
    first = lease(scene)
    journal.take(first)
    assert [journal.count_run(journal.get(first.job)) for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("change", [{"job": "job-other"}, {"attempt": "1"}, {"statement": []}, {"plan": None}])
def test_a_lease_of_another_form_is_none(scene: Scene, change: dict[str, object]) -> None:
    job = scene.ask()
    with pytest.raises(InvalidRequestError):
        parse_lease({**scene.hub.lease_of(job, 1), **change})
