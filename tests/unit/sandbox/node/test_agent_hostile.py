"""The agent between a partner that chooses ids and a hub that answers what it likes: nothing mixed up, nothing ends."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from sandbox.disclosure.held import HeldQueue
from sandbox.node.agent import Agent
from sandbox.node.agent_home import OpenAgent
from sandbox.node.journal import JobRow, JobStep, Journal
from sandbox.node.judging import Asking
from sandbox.node.questions import QuestionBook, QuestionState
from sandbox.node.reports import Report
from sandbox.node.stopping import report_stop
from sandbox.node.verifying import JobVerifier
from sandbox.node.wiring import open_gate
from tests.lib.agents import AGREEMENT, BY_STREET, LONELY, FailingCage, Scene
from tests.lib.in_process import InProcessCage
from tests.lib.nodes import PARTNER, PURPOSE, broad_agreement
from tests.lib.realm import BUREAU
from tests.lib.waiting import wait_until
from yingbi.errors import ErrorCode, SandboxError, TamperDetectedError, UnavailableError
from yingbi.ids import new_id

RIVAL = "partner:bank-b"
BY_INDUSTRY = "select industry, count(*) from lab.firms group by industry"
LEASED = ["job.submitted", "job.approved", "job.leased"]

# --- ids --------------------------------------------------------------------------------------------------------------


def asked_before(scene: Scene, sql: str, partner: str = RIVAL, *, agreement: str = "agr-rival-1", **more: Any) -> str:
    """Have the node's own people ask a question (`yingbi node ask`); return its id."""
    with scene.home() as home:
        terms = broad_agreement(home.catalogue.load().datasets.values(), name=agreement, assignee=partner)
        with open_gate(home, [terms], cage=more.get("cage", InProcessCage())) as gate:
            answer = gate.answer(Asking(partner=partner, purpose=PURPOSE, sql=sql))
            return answer.question


def failed_before(scene: Scene) -> str:
    return asked_before(scene, BY_INDUSTRY, cage=FailingCage(UnavailableError(ErrorCode.ENGINE_FAILED, "x")))


BEFORE: dict[str, tuple[Callable[[Scene], str], QuestionState]] = {
    "released to another": (lambda scene: asked_before(scene, BY_INDUSTRY), QuestionState.RELEASED),
    "released to the same": (
        lambda scene: asked_before(scene, BY_STREET, PARTNER, agreement=AGREEMENT),
        QuestionState.RELEASED,
    ),
    "held": (lambda scene: asked_before(scene, LONELY), QuestionState.HELD),
    "failed": (failed_before, QuestionState.FAILED),
}


@pytest.mark.parametrize("name", BEFORE)
def test_a_job_that_has_the_id_of_another_question_is_refused(scene: Scene, name: str) -> None:
    ask, state = BEFORE[name]
    taken = ask(scene)
    charged = scene.charged()
    job = scene.ask(job=taken)
    scene.work(2)
    assert scene.hub.told(job) == [*LEASED, "job.refused"]
    body = scene.entries(job)[-1].payload.body
    assert [one["reason"] for one in body["refusals"]] == ["parameter-not-allowed"]
    assert (scene.hub.uploads, scene.charged()) == ([], charged)
    with scene.home() as home:
        row = QuestionBook(home.database, home.clock).get(taken)
        assert (row.state, row.submission) == (state, None), "and the other question is as it was"


@pytest.mark.parametrize("name", BEFORE)
def test_a_job_that_has_started_is_not_given_what_is_there_under_its_id(
    scene: Scene, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = BEFORE[name][0](scene)
    job = scene.ask(job=taken)
    with monkeypatch.context() as patch:
        patch.setattr(JobVerifier, "_check_question", lambda self, found: None)
        scene.work()
    told = scene.hub.told(job)
    assert told == [*LEASED, "job.started", "budget.reserved", "job.failed", "budget.committed"]
    failed = next(one for one in scene.entries(job) if one.type == "job.failed").payload.body
    assert (failed["reason"], failed["retryable"]) == ("protocol-error", False)
    assert scene.hub.uploads == []


def test_what_people_at_the_node_reject_before_the_log_has_it_as_held_fails(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = scene.ask(LONELY)
    with monkeypatch.context() as patch:
        patch.setattr(Agent, "_hold", lambda self, row, found: False)
        scene.work()
    with scene.home() as home:
        queue = HeldQueue(home.database, home.folder / "held", home.clock)
        (held,) = queue.waiting()
        queue.reject(held.id, "person:cdo")
    scene.work()
    assert scene.hub.told(job)[-2:] == ["job.failed", "budget.committed"]
    assert scene.row(job).step is JobStep.FAILED


# --- leases -----------------------------------------------------------------------------------------------------------


def reports_of(scene: Scene) -> tuple[Report, ...]:
    with scene.agent() as opened:
        return opened.reports.unresolved()


def kept(scene: Scene) -> tuple[JobRow, ...]:
    with scene.home() as home:
        return Journal(home.database, home.clock).jobs()


def forged(scene: Scene, job: str) -> dict[str, Any]:
    """Return a lease of a job that the log does not have, as large as an answer may be."""
    name = new_id("job")
    body = scene.entries(job)[0].payload.body
    said = scene.hub.statement("job.submitted", name, body, BUREAU, issuer=PARTNER, on_behalf_of=BUREAU)
    plan = {"salt": "A" * 43, "value": {}}
    return {"job": name, "attempt": 1, "statement": json.loads(said.envelope), "plan": plan, "more": "A" * 900_000}


def test_leases_that_the_log_does_not_have_leave_one_report(scene: Scene) -> None:
    job = scene.ask(is_leased=False)
    scene.hub.leases += [forged(scene, job) for _ in range(5)]
    with scene.agent() as opened:
        assert [opened.agent.work() for _ in range(5)] == [False] * 5, "none of them is new, and a break follows"
    assert kept(scene) == ()
    assert [(one.message, one.job) for one in reports_of(scene)] == [("the log has no such job", None)]


def test_an_attempt_that_the_log_does_not_have_is_not_kept_and_the_true_one_is(scene: Scene) -> None:
    job = scene.ask()
    true = scene.hub.leases[0]
    scene.hub.leases[:] = [{**true, "attempt": attempt} for attempt in (2, 2**53 - 1)]
    scene.work(2)
    assert kept(scene) == ()
    expected = [("the log does not lease this attempt of the job to this node", job)]
    assert [(one.message, one.job) for one in reports_of(scene)] == expected
    scene.hub.leases.append(true)
    scene.work()
    assert scene.hub.uploads == [job]


def test_of_a_true_lease_no_more_is_kept_than_is_read(scene: Scene) -> None:
    job = scene.ask()
    scene.hub.leases[0]["more"] = "A" * 900_000
    scene.hub.leases[0]["plan"]["more"] = [10**30, 1.5]
    scene.work()
    assert scene.hub.uploads == [job]
    (row,) = kept(scene)
    assert len(json.dumps(dict(row.lease))) < 10_000


# --- answers ----------------------------------------------------------------------------------------------------------

INDICES = [10**30, 2**63, 2**53, -1, -(10**30), True, None, "1", 1.0]


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("path", ["steps", "incidents"])
def test_an_index_that_is_none_is_an_error_of_the_hubs(scene: Scene, path: str, index: object) -> None:
    route = scene.hub.route

    def lying(method: str, parts: list[str], key: Any, body: bytes) -> Any:
        status, content = route(method, parts, key, body)
        if parts[-1] != path:
            return status, content
        value = json.loads(content)
        for row in value["entries"]:
            row["index"] = index
        return status, json.dumps(value).encode()

    scene.hub.route = lying  # type: ignore[method-assign,assignment]
    job = scene.ask()
    if path == "incidents":
        with scene.home() as home:
            report_stop(home, PARTNER, person="person:cdo", key=scene.hub.key("person:cdo"))
    with scene.agent() as opened, suppress(SandboxError):
        opened.agent.work()
    scene.hub.route = route  # type: ignore[method-assign]
    scene.work()
    assert scene.hub.uploads == [job], "it goes on where it was"


NUMBERS = [10**30, 2**63, 2**53, 0, -1, True, None, "1", 1.0, [1]]


@pytest.mark.parametrize("attempt", NUMBERS, ids=str)
def test_an_attempt_that_is_none_is_an_error_of_the_hubs(scene: Scene, attempt: object) -> None:
    job = scene.ask()
    true = scene.hub.leases[0]
    scene.hub.leases[0] = {**true, "attempt": attempt}
    with scene.agent() as opened:
        with pytest.raises(SandboxError) as caught:
            opened.agent.work()
        assert caught.value.code is ErrorCode.JSON_MALFORMED
        scene.hub.leases.append(true)
        opened.agent.work()
    assert scene.hub.uploads == [job]


NASTY: list[object] = [10**400, -1, 1.5, True, None, [], {}, "", "\ud800", "\0", "A" * 70_000, [[]] * 3, {"\u00e9": 1}]


@pytest.mark.parametrize("member", ["job", "statement", "plan", "salt", "value"])
def test_whatever_a_lease_holds_nothing_but_our_own_errors_come_of_it(scene: Scene, member: str) -> None:
    job = scene.ask()
    true = scene.hub.leases.pop()
    poll = scene.hub.poll
    with scene.agent() as opened:
        for nasty in NASTY:
            lease = json.loads(json.dumps(true))
            (lease["plan"] if member in ("salt", "value") else lease)[member] = nasty
            scene.hub.poll = lambda _, lease=lease: (200, json.dumps(lease).encode())  # type: ignore[method-assign,misc]
            with suppress(SandboxError):
                opened.agent.work()
        scene.hub.poll = poll  # type: ignore[method-assign]
        scene.hub.leases.append(true)
        opened.agent.work()
    assert scene.hub.uploads == [job]


# --- what nobody foresaw ----------------------------------------------------------------------------------------------


class UnforeseenError(Exception):
    """Something that no code expects."""


def failing(monkeypatch: pytest.MonkeyPatch, name: str, job: str | None, error: Exception) -> None:
    """Have a step of the agent fail for a job, or for all."""
    step = getattr(Agent, name)

    def fail(self: Agent, row: JobRow) -> bool:
        if job in (None, row.job):
            raise error
        return bool(step(self, row))

    monkeypatch.setattr(Agent, name, fail)


def running(opened: OpenAgent, stop: threading.Event, ended: list[Exception]) -> threading.Thread:
    def run() -> None:
        try:
            opened.agent.run(stop, wait_s=0.0)
        except (SandboxError, UnforeseenError) as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_an_accident_in_one_job_ends_neither_the_agent_nor_other_jobs(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job, other = scene.ask(), scene.ask(BY_INDUSTRY)
    stop = threading.Event()
    ended: list[Exception] = []
    with monkeypatch.context() as patch:
        failing(patch, "_compute", job, UnforeseenError("500000 yuan"))
        with scene.agent() as opened:
            thread = running(opened, stop, ended)
            wait_until(lambda: scene.hub.uploads == [other])
            stop.set()
            thread.join(20)
    assert ended == []
    assert any("UnforeseenError" in one.getMessage() for one in caplog.records), "it is logged"
    assert "500000" not in "".join(one.getMessage() for one in caplog.records), "and not what it holds"
    assert scene.row(job).step is JobStep.STARTED
    scene.work()
    assert scene.hub.uploads == [other, job]


def test_a_contradiction_that_a_job_finds_ends_the_agent(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.ask()
    failing(monkeypatch, "_compute", None, TamperDetectedError(ErrorCode.LOG_FORKED, "two heads"))
    ended: list[Exception] = []
    with scene.agent() as opened:
        running(opened, threading.Event(), ended).join(20)
    assert [type(one) for one in ended] == [TamperDetectedError]
