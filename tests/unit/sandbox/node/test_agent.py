"""The agent on the way of a job: released, refused, held, rejected, failed, stopped, tried again."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from policies.jobs import JobState
from policies.model import Agreement, Approvals, JobApproval, OutputApproval, terms_digest
from sandbox.disclosure.held import HeldQueue
from sandbox.node.agent import Agent
from sandbox.node.agent_home import OpenAgent
from sandbox.node.gate import Gate
from sandbox.node.journal import JobStep, Journal
from sandbox.node.questions import QuestionBook
from sandbox.node.veto import VetoKind
from tests.lib.agents import AGREEMENT, BY_STREET, LONELY, FailingCage, PausingCage, Scene
from tests.lib.attack_world import firms_dataset
from tests.lib.fake_hub import NODE, OWNER
from tests.lib.nodes import PARTNER, publish_table
from tests.lib.waiting import wait_until
from yingbi.canonical import digest_json
from yingbi.clock import FixedClock
from yingbi.commitment import Opening
from yingbi.errors import ConflictError, ErrorCode, RefusedError, SandboxError, UnavailableError
from yingbi.events.fields import Duty
from yingbi.ids import dataset_id, new_id
from yingbi.key_files import decode_base64url
from yingbi.statement import Statement

RELEASED = ["job.started", "budget.reserved", "output.checked", "output.released", "budget.committed"]
LEASED = ["job.submitted", "job.approved", "job.leased"]


def changed(scene: Scene, **changes: object) -> Agreement:
    """Bring another version of the agreement's terms into force, as a new agreement."""
    terms = replace(scene.terms, id="agr-lab-2026-02", **changes)  # type: ignore[arg-type]
    return scene.hub.agree_on(terms)


def checked(scene: Scene) -> Agreement:
    return changed(
        scene,
        approvals=Approvals(
            agreement=(Duty.UNIT_CDO, Duty.BUREAU_APPROVER), job=JobApproval.AUTOMATIC, output=OutputApproval.CHECKED
        ),
    )


def check(scene: Scene, job: str, person: str, verdict: str = "pass") -> None:
    """Have a person say in the log what he thinks of a held candidate."""
    with scene.home() as home:
        (held,) = HeldQueue(home.database, home.folder / "held", home.clock).waiting()
    body = {"job": job, "candidate": held.commitment, "rules": held.rules, "verdict": verdict, "findings": []}
    scene.hub.say("output.checked", new_id("check"), body, person)


def freeze(scene: Scene, target: str) -> None:
    body = {"target": target, "reason": "incident", "drill": False, "note": None}
    scene.hub.say("access.frozen", new_id("freeze"), body, "person:sec")


def unfreeze(scene: Scene, target: str) -> None:
    body = {"target": target, "drill": False, "note": None}
    scene.hub.say("access.unfrozen", new_id("freeze"), body, "person:sec", "person:approver")


def test_a_job_is_verified_run_recorded_sealed_and_uploaded(scene: Scene) -> None:
    job = scene.ask()
    scene.work()
    assert scene.hub.told(job) == [*LEASED, *RELEASED]
    assert scene.hub.uploads == [job]
    assert scene.row(job).step is JobStep.DONE
    plain = scene.hub.result(job)
    found = scene.hub.standing.jobs.get(job)
    assert found is not None
    released = next(one for one in scene.entries(job) if one.type == "output.released").payload.body
    opening = Opening(salt=decode_base64url(plain["content"]["salt"]), value=f'"{plain["content"]["value"]}"'.encode())
    assert opening.commitment == released["content"], "the wrapper opens what the log says of the result"
    assert plain["content"]["value"] == digest_json(plain["result"])
    assert released["budget"] == {"budget": AGREEMENT, "before": "1000000", "after": "999999"}
    assert released["rules"] == plain["result"]["rules"]


def test_one_job_takes_few_requests(scene: Scene) -> None:
    with scene.agent() as opened:
        opened.agent.work()
        scene.ask()
        scene.hub.asked.clear()
        opened.agent.work()
    asked = [one.split(" ")[0] + " " + one.split("/")[-1] for one in scene.hub.asked]
    assert len(asked) <= 11, asked


def test_jobs_follow_each_other_and_are_charged_each(scene: Scene) -> None:
    first, second = scene.ask(), scene.ask("select size, count(*) from lab.firms group by size")
    scene.work(2)
    assert scene.hub.uploads == [first, second]
    assert scene.charged() == 2
    left = [one.payload.body["remaining"] for one in scene.entries() if one.type == "budget.reserved"]
    assert left == ["999999", "999998"]


# --- refused before it runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select uscc, count(*) from lab.firms group by uscc", "parameter-not-allowed"),
        ("select sum(tax) from lab.nothing", "plan-not-admitted"),
    ],
)
def test_what_the_nodes_own_judge_refuses_does_not_start(scene: Scene, sql: str, reason: str) -> None:
    job = scene.ask(sql)
    scene.work()
    assert scene.hub.told(job) == [*LEASED, "job.refused"]
    body = scene.entries(job)[-1].payload.body
    assert body["gate"] == "admission"
    assert reason in {one["reason"] for one in body["refusals"]}
    assert digest_json(scene.hub.notices[job])
    assert (scene.charged(), scene.row(job).step) == (0, JobStep.REFUSED)


def test_a_job_over_another_version_than_its_plan_is_refused(scene: Scene) -> None:
    job = scene.ask(version=1)
    scene.work()
    assert [one["reason"] for one in scene.entries(job)[-1].payload.body["refusals"]] == ["dataset-version-mismatch"]


def test_a_key_to_which_nothing_can_be_sealed_is_refused(scene: Scene) -> None:
    job = scene.ask(result_key="A" * 43)
    scene.work()
    assert [one["reason"] for one in scene.entries(job)[-1].payload.body["refusals"]] == ["parameter-not-allowed"]


def test_an_agreement_that_ended_after_the_lease_lets_nothing_start(scene: Scene) -> None:
    job = scene.ask()
    suspend(scene)
    scene.work()
    assert scene.hub.told(job) == [*LEASED, "job.refused"]
    body = scene.entries(job)[-1].payload.body
    assert (body["gate"], body["refusals"][0]["reason"]) == ("start", "agreement-not-active")


def suspend(scene: Scene) -> None:
    body = {
        "terms": terms_digest(scene.terms),
        "reason": "incident",
        "running_jobs": "stop",
        "until": None,
        "note": None,
    }
    scene.hub.say("agreement.suspended", AGREEMENT, body, "person:approver")


@pytest.mark.parametrize("target", [PARTNER, AGREEMENT, OWNER, NODE, dataset_id("lab/firms")])
def test_what_is_frozen_does_not_start(scene: Scene, target: str) -> None:
    job = scene.ask()
    freeze(scene, target)
    scene.work()
    assert scene.entries(job)[-1].type == "job.refused"
    assert scene.entries(job)[-1].payload.body["refusals"] == [{"reason": "frozen", "clause": None}]


def test_the_agreements_limit_holds_at_the_node(scene: Scene) -> None:
    terms = changed(scene, limits=replace(scene.terms.limits, jobs=1, jobs_per_day=1))
    first, second = scene.hub.ask(BY_STREET, terms), scene.hub.ask("select count(*) from lab.firms", terms)
    scene.work(2)
    assert scene.row(first).step is JobStep.DONE
    assert scene.row(second).cause == "limit-reached"


# --- held -------------------------------------------------------------------------------------------------------------


def test_a_result_of_which_nothing_may_come_out_is_held_and_rejected_by_a_person(scene: Scene) -> None:
    job = scene.ask(LONELY)
    scene.work()
    assert scene.hub.told(job) == [*LEASED, "job.started", "budget.reserved", "output.held"]
    assert scene.hub.notices[job]["final"] is True  # type: ignore[call-overload,index]
    check(scene, job, "person:checker")
    scene.work()
    assert scene.row(job).step is JobStep.HELD, "whoever approves it"
    check(scene, job, "person:cdo", "fail")
    scene.work()
    assert scene.hub.told(job)[-2:] == ["output.destroyed", "budget.committed"]
    assert scene.row(job).step is JobStep.REJECTED
    assert scene.hub.standing.jobs.get(job).state is JobState.REJECTED  # type: ignore[union-attr]
    assert scene.hub.uploads == []


def test_a_checked_output_leaves_after_two_people_said_so_in_the_log(scene: Scene) -> None:
    job = scene.hub.ask(BY_STREET, checked(scene))
    scene.work()
    assert scene.row(job).step is JobStep.HELD
    check(scene, job, "person:checker")
    scene.work(2)
    assert scene.row(job).step is JobStep.HELD
    check(scene, job, "person:cdo")
    scene.work()
    assert scene.hub.told(job)[-3:] == ["output.checked", "output.released", "budget.committed"]
    assert scene.hub.result(job)["result"]["kind"] == "table"
    assert scene.charged("agr-lab-2026-02") == 1


def test_what_people_let_out_stays_while_its_agreement_is_suspended(scene: Scene) -> None:
    terms = checked(scene)
    job = scene.hub.ask(BY_STREET, terms)
    scene.work()
    for person in ("person:checker", "person:cdo"):
        check(scene, job, person)
    body = {"terms": terms_digest(terms), "note": None}
    stopped = {**body, "reason": "incident", "running_jobs": "stop", "until": None}
    scene.hub.say("agreement.suspended", terms.id, stopped, "person:approver")
    scene.work()
    assert scene.row(job).step is JobStep.HELD
    scene.hub.say("agreement.resumed", terms.id, body, "person:approver", "person:sec")
    scene.work()
    assert scene.hub.uploads == [job]


def test_a_job_that_is_stuck_keeps_no_other_from_its_turn(scene: Scene) -> None:
    first = scene.ask()
    upload = scene.hub.upload
    scene.hub.upload = lambda job, body: (503, b"") if job == first else upload(job, body)  # type: ignore[method-assign]
    with scene.agent() as opened:
        with pytest.raises(UnavailableError):
            opened.agent.work()
        second = scene.ask("select size, count(*) from lab.firms group by size")
        assert opened.agent.work(), "and it does not slow them down"
        assert scene.hub.uploads == [second]
        with pytest.raises(UnavailableError):
            opened.agent.work()
        scene.hub.upload = upload  # type: ignore[method-assign]
        opened.agent.work()
    assert scene.hub.uploads == [second, first]


def test_a_version_that_is_published_later_is_told_to_the_log(scene: Scene) -> None:
    with scene.home() as home:
        publish_table(home, firms_dataset(), scene.folder / "firms.parquet")
    scene.work(2)
    found = scene.hub.standing.datasets.get(dataset_id("lab/firms"))
    assert found is not None
    assert sorted(found.versions) == [1, 2, 3]
    scene.hub.say("dataset.graded", found.id, scene.hub.grades(version=3), "person:cdo", on_behalf_of=OWNER)
    job = scene.ask(version=3)
    scene.work()
    assert scene.hub.uploads == [job]


def test_a_check_of_another_candidate_or_by_the_node_lets_nothing_out(scene: Scene) -> None:
    job = scene.hub.ask(BY_STREET, checked(scene))
    scene.work()
    other = "sha256:" + "7" * 64
    for person in ("person:checker", "person:cdo"):
        body = {"job": job, "candidate": other, "rules": other, "verdict": "pass", "findings": []}
        scene.hub.say("output.checked", new_id("check"), body, person)
    scene.work()
    assert scene.row(job).step is JobStep.HELD
    assert scene.hub.uploads == []


def checked_by(scene: Scene, job: str, *signers: str, **options: str) -> None:
    """Record, without judging, that a held candidate passed."""
    with scene.home() as home:
        (held,) = HeldQueue(home.database, home.folder / "held", home.clock).waiting()
    body = {"job": job, "candidate": held.commitment, "rules": held.rules, "verdict": "pass", "findings": []}
    said = scene.hub.statement("output.checked", new_id("check"), body, *signers, **options)
    scene.hub.record([said], is_judged=False)


def test_what_stays_held_after_all_is_not_computed_again_and_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = scene.hub.ask(BY_STREET, checked(scene))
    scene.work()
    runs = []

    def stays(gate: Gate, output: str, **_: object) -> None:
        runs.append(output)
        raise ConflictError(ErrorCode.TRANSITION_REFUSED, "what was approved is not what would come out now")

    monkeypatch.setattr(Gate, "release_held", stays)
    for person in ("person:checker", "person:cdo"):
        check(scene, job, person)
    scene.work(5)
    assert len(runs) == 1, "the next time is a minute later"
    assert scene.row(job).step is JobStep.HELD


def test_one_checker_in_two_names_is_one(scene: Scene) -> None:
    job = scene.hub.ask(BY_STREET, checked(scene))
    scene.work()
    checked_by(scene, job, "person:checker")
    checked_by(scene, job, "person:checker", issuer="person:cdo", on_behalf_of="person:checker")
    scene.work(2)
    assert scene.row(job).step is JobStep.HELD
    assert scene.hub.uploads == []


def test_who_may_not_check_does_not_by_signing_along(scene: Scene) -> None:
    job = scene.hub.ask(BY_STREET, checked(scene))
    scene.work()
    checked_by(scene, job, "person:checker", "person:analyst", "person:approver", PARTNER)
    scene.work(2)
    assert scene.row(job).step is JobStep.HELD


def test_two_people_who_sign_one_check_are_two(scene: Scene) -> None:
    job = scene.hub.ask(BY_STREET, checked(scene))
    scene.work()
    checked_by(scene, job, "person:checker", "person:cdo")
    scene.work()
    assert scene.hub.uploads == [job]


# --- failed, stopped, tried again -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason", "is_retryable"),
    [
        (UnavailableError(ErrorCode.ENGINE_FAILED, "x"), "engine-error", True),
        (UnavailableError(ErrorCode.CAGE_UNAVAILABLE, "x"), "isolation-error", True),
        (RefusedError(ErrorCode.RESOURCE_LIMIT, "x"), "out-of-resources", False),
    ],
)
def test_a_failure_says_why_and_whether_to_try_again(
    scene: Scene, error: SandboxError, reason: str, is_retryable: bool
) -> None:
    job = scene.ask()
    with scene.agent(cage=FailingCage(error)) as opened:
        opened.agent.work()
    failed = next(one for one in scene.entries(job) if one.type == "job.failed").payload.body
    assert (failed["reason"], failed["retryable"]) == (reason, is_retryable)
    assert (scene.hub.told(job)[-1] == "budget.committed") is not is_retryable
    assert scene.charged() == 1, "what has started is never refunded"


def test_a_job_that_is_tried_again_is_charged_once(scene: Scene) -> None:
    job = scene.ask()
    with scene.agent(cage=FailingCage(UnavailableError(ErrorCode.ENGINE_FAILED, "x"))) as opened:
        opened.agent.work()
        scene.hub.give(job, attempt=2)
        opened.agent.work()
    assert scene.hub.told(job).count("budget.reserved") == 1
    assert scene.hub.uploads == [job]
    assert scene.charged() == 1


@contextmanager
def computing(scene: Scene) -> Iterator[tuple[OpenAgent, PausingCage, threading.Thread]]:
    """Have an agent in the middle of a computation."""
    cage = PausingCage()
    with scene.agent(cage=cage) as opened:
        thread = threading.Thread(target=opened.agent.work, daemon=True)
        thread.start()
        wait_until(cage.started.is_set)
        yield opened, cage, thread
        cage.go.set()
        thread.join()


STOPS: dict[str, tuple[Callable[[Scene], object], str]] = {
    "frozen": (lambda scene: freeze(scene, PARTNER), "frozen"),
    "agreement suspended": (suspend, "agreement-suspended"),
    "data withdrawn": (
        lambda scene: scene.hub.say(
            "dataset.withdrawn",
            dataset_id("lab/firms"),
            {"reason": "incident", "running_jobs": "stop", "note": None},
            "person:cdo",
            on_behalf_of=OWNER,
        ),
        "frozen",
    ),
    "partner suspended": (
        lambda scene: scene.hub.say(
            "participant.suspended",
            new_id("participant"),
            {"party": PARTNER, "reason": "incident", "until": None, "note": None},
            "person:approver",
        ),
        "participant-suspended",
    ),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_running_job_stops_when_the_log_says_so(scene: Scene, name: str) -> None:
    stop, reason = STOPS[name]
    job = scene.ask()
    with computing(scene) as (_, _, thread):
        stop(scene)
        thread.join(20)
    interrupted = scene.entries(job)[-1]
    assert (interrupted.type, interrupted.payload.body["reason"]) == ("job.interrupted", reason)
    assert scene.hub.uploads == []
    assert scene.row(job).step is JobStep.INTERRUPTED


@pytest.mark.parametrize(
    "target", ["person:analyst", PARTNER, NODE, OWNER, AGREEMENT, dataset_id("lab/firms")], ids=lambda name: name[:9]
)
def test_whatever_a_running_job_relies_on_is_frozen_stops_it(scene: Scene, target: str) -> None:
    job = scene.ask(by="person:analyst")
    with computing(scene) as (_, _, thread):
        freeze(scene, target)
        thread.join(20)
    interrupted = scene.entries(job)[-1]
    assert (interrupted.type, interrupted.payload.body["reason"]) == ("job.interrupted", "frozen")
    assert scene.hub.uploads == []


def test_a_job_of_a_frozen_analyst_does_not_start(scene: Scene) -> None:
    job = scene.ask(by="person:analyst")
    freeze(scene, "person:analyst")
    scene.work()
    assert scene.entries(job)[-1].payload.body["refusals"][0]["reason"] == "frozen"


def test_an_agreement_that_lets_running_jobs_finish_lets_them(scene: Scene) -> None:
    job = scene.ask()
    with computing(scene) as (opened, cage, _):
        size = opened.follower.head.size
        body = {"terms": terms_digest(scene.terms), "reason": "request", "running_jobs": "finish"}
        scene.hub.say("agreement.revoked", AGREEMENT, {**body, "note": None}, "person:approver")
        wait_until(lambda: opened.follower.head.size > size)
        cage.go.set()
    assert scene.hub.uploads == [job]


def test_a_cancelled_job_is_let_go(scene: Scene) -> None:
    job = scene.ask()
    with computing(scene) as (_, _, thread):
        scene.hub.say("job.cancelled", job, {"reason": "request", "note": None}, PARTNER)
        thread.join(20)
    assert scene.hub.told(job)[-1] == "job.cancelled"
    assert scene.row(job).step is JobStep.LOST


def test_a_job_that_is_cancelled_right_after_its_start_is_charged_as_the_log_says(scene: Scene) -> None:
    job = scene.ask()
    record = scene.hub.record

    def cancel(statements: Sequence[Statement], **options: object) -> list[int]:
        indices = record(statements, **options)  # type: ignore[arg-type]
        if statements[0].type == "job.started":
            scene.hub.say("job.cancelled", job, {"reason": "request", "note": None}, PARTNER)
        return indices

    scene.hub.record = cancel  # type: ignore[method-assign]
    scene.work()
    assert scene.row(job).step is JobStep.LOST
    assert scene.charged() == scene.hub.standing.jobs.charged(AGREEMENT) == 1


def test_a_disk_that_is_full_in_the_middle_loses_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    job = scene.ask()
    release = QuestionBook.release
    failures = [UnavailableError(ErrorCode.NODE_UNAVAILABLE, "the node's database failed")]

    def full(self: QuestionBook, *arguments: str, **options: object) -> str:
        if failures:
            raise failures.pop()
        return release(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(QuestionBook, "release", full)
    with scene.agent() as opened:
        with pytest.raises(UnavailableError):
            opened.agent.work()
        opened.agent.work()
    assert scene.hub.uploads == [job]
    assert scene.charged() == 1


def test_a_job_that_started_long_ago_is_not_run_on_an_old_head(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    job = scene.ask()
    with monkeypatch.context() as patch:
        patch.setattr(Agent, "_compute", lambda self, row: False)
        scene.work()
    assert scene.row(job).step is JobStep.STARTED
    scene.clock.at += timedelta(hours=1)  # type: ignore[attr-defined]
    scene.work()
    assert scene.entries(job)[-1].payload.body["reason"] == "node-stopped"
    scene.hub.give(job, attempt=2)
    scene.work()
    assert scene.hub.uploads == [job]


def test_what_was_interrupted_goes_on_at_the_next_lease(scene: Scene) -> None:
    job = scene.ask()
    with computing(scene) as (_, _, thread):
        freeze(scene, PARTNER)
        thread.join(20)
    unfreeze(scene, PARTNER)
    scene.hub.give(job, attempt=2)
    scene.work()
    assert scene.hub.uploads == [job]
    assert (scene.charged(), scene.hub.told(job).count("budget.reserved")) == (1, 1)


def test_the_hub_is_told_how_far_it_is(scene: Scene) -> None:
    job = scene.ask()
    with computing(scene):
        wait_until(lambda: scene.hub.progress.get(job) == 40)


# --- the unit's own power ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", [PARTNER, AGREEMENT, "person:analyst", "lab/firms", dataset_id("lab/firms"), NODE, OWNER, None]
)
@pytest.mark.parametrize("kind", [VetoKind.VETO, VetoKind.WITHDRAW])
def test_what_the_unit_vetoed_does_not_start(scene: Scene, kind: VetoKind, target: str | None) -> None:
    job = scene.ask(by="person:analyst")
    with scene.agent() as opened:
        opened.vetoes.set(kind, target or job)
        opened.agent.work()
    assert scene.entries(job)[-1].payload.body["refusals"][0]["reason"] == "frozen"


def test_a_node_that_its_unit_holds_asks_for_no_work(scene: Scene) -> None:
    job = scene.ask()
    with scene.agent() as opened:
        opened.vetoes.set(VetoKind.HOLD)
        assert not opened.agent.work()
        assert scene.hub.told(job)[-1] == "job.leased", "and nothing refused"
        with pytest.raises(SandboxError):
            scene.row(job)
        opened.vetoes.lift(VetoKind.HOLD)
        opened.agent.work()
    assert scene.hub.uploads == [job]


def test_a_job_that_was_leased_before_the_hold_waits_for_its_end(scene: Scene) -> None:
    job = scene.ask()
    poll = scene.hub.poll
    with scene.agent() as opened:

        def poll_meanwhile(wait_s: float) -> tuple[int, bytes]:
            opened.vetoes.set(VetoKind.HOLD)
            return poll(wait_s)

        scene.hub.poll = poll_meanwhile  # type: ignore[method-assign]
        opened.agent.work()
        assert scene.hub.told(job)[-1] == "job.leased"
        opened.vetoes.lift(VetoKind.HOLD)
        scene.hub.poll = poll  # type: ignore[method-assign]
        opened.agent.work()
    assert scene.hub.uploads == [job]


def test_a_withdrawal_is_stronger_than_a_hold(scene: Scene) -> None:
    job = scene.ask()
    with scene.agent() as opened:
        opened.vetoes.set(VetoKind.HOLD)
        opened.vetoes.set(VetoKind.WITHDRAW)
        opened.agent.work()
    assert scene.hub.told(job)[-1] == "job.refused"


def test_a_hold_stops_what_runs_although_the_hub_is_gone(scene: Scene) -> None:
    job = scene.ask()
    cage = PausingCage()
    with scene.agent(cage=cage) as opened:
        failures: list[SandboxError] = []
        thread = threading.Thread(target=lambda: _work(opened, failures), daemon=True)
        thread.start()
        wait_until(cage.started.is_set)
        scene.hub.is_down = True
        opened.vetoes.set(VetoKind.HOLD)
        thread.join(20)
        assert [error.code for error in failures] == [ErrorCode.HUB_UNAVAILABLE]
    assert scene.row(job).step is JobStep.INTERRUPTING
    scene.hub.is_down = False
    scene.work()
    assert scene.hub.told(job)[-1] == "job.interrupted"
    assert scene.row(job).cause == "frozen"


@pytest.mark.parametrize("target", [NODE, OWNER])
def test_a_veto_of_the_node_or_its_unit_stops_what_runs(scene: Scene, target: str) -> None:
    job = scene.ask()
    with computing(scene) as (opened, _, thread):
        opened.vetoes.set(VetoKind.WITHDRAW, target)
        thread.join(20)
    assert scene.entries(job)[-1].payload.body["reason"] == "frozen"
    assert scene.hub.uploads == []


def test_a_hub_that_hangs_delays_no_veto(scene: Scene) -> None:
    job = scene.ask()
    is_over = threading.Event()
    with computing(scene) as (opened, _, _):
        read = scene.hub.read
        scene.hub.read = lambda path: read(path) if is_over.wait(20) else b""  # type: ignore[method-assign]
        asked = len(scene.hub.asked)
        wait_until(lambda: len(scene.hub.asked) > asked)
        opened.vetoes.set(VetoKind.HOLD)
        wait_until(lambda: scene.row(job).step is JobStep.INTERRUPTING, seconds=8)
        is_over.set()
    assert scene.hub.told(job)[-1] == "job.interrupted"


def _work(opened: OpenAgent, failures: list[SandboxError]) -> None:
    try:
        opened.agent.work()
    except SandboxError as error:
        failures.append(error)


def test_a_result_that_is_released_but_not_uploaded_stays_while_the_unit_holds(scene: Scene) -> None:
    job = scene.ask()
    hub = scene.hub
    upload, hub.upload = hub.upload, lambda job, body: (503, b"")  # type: ignore[method-assign]
    with scene.agent() as opened, pytest.raises(UnavailableError):
        opened.agent.work()
    hub.upload = upload  # type: ignore[method-assign]
    with scene.agent() as opened:
        opened.vetoes.set(VetoKind.HOLD)
        opened.agent.work()
        assert scene.row(job).step is JobStep.RELEASED
        assert hub.uploads == []
    with scene.agent() as opened:
        opened.vetoes.lift(VetoKind.HOLD)
        opened.agent.work()
    assert hub.uploads == [job]


def test_a_release_that_was_not_recorded_yet_is_not_recorded_after_a_veto(scene: Scene) -> None:
    job = scene.ask()
    hub = scene.hub
    record = hub.record

    def fail_release(statements: list, **options: object) -> list[int]:  # type: ignore[type-arg]
        if any(one.type == "output.released" for one in statements):
            raise UnavailableError(ErrorCode.QUORUM_NOT_MET, "too few witnesses")
        return record(statements, **options)  # type: ignore[arg-type]

    hub.record = fail_release  # type: ignore[method-assign,assignment]
    with scene.agent() as opened:
        with pytest.raises(UnavailableError):
            opened.agent.work()
        assert scene.row(job).step is JobStep.RELEASING
        opened.vetoes.set(VetoKind.VETO, job)
        opened.agent.work()
    assert hub.told(job)[-1] == "job.interrupted"
    assert "output.released" not in hub.told(job)


def test_a_freeze_of_the_cdo_reaches_the_log_when_the_hub_is_back(scene: Scene) -> None:
    from sandbox.node.stopping import report_stop

    with scene.home() as home:
        report_stop(home, "*", person="person:cdo", key=scene.hub.key("person:cdo"))
    scene.hub.is_down = True
    with scene.agent() as opened, pytest.raises(UnavailableError):
        opened.agent.work()
    scene.hub.is_down = False
    scene.work(2)
    assert NODE in scene.hub.standing.frozen
    assert [str(one.type) for one in scene.entries()].count("access.frozen") == 1


@contextmanager
def running(opened: OpenAgent) -> Iterator[None]:
    """Have an agent run until the end of the block."""
    stop = threading.Event()
    thread = threading.Thread(target=opened.agent.run, args=(stop,), kwargs={"wait_s": 4.0}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def test_a_freeze_of_the_cdo_does_not_wait_for_the_end_of_a_poll(scene: Scene) -> None:
    from sandbox.node.stopping import report_stop

    with scene.agent() as opened, running(opened):
        wait_until(lambda: any("poll" in one for one in scene.hub.asked))
        with scene.home() as home:
            report_stop(home, "*", person="person:cdo", key=scene.hub.key("person:cdo"))
        wait_until(lambda: NODE in scene.hub.standing.frozen, seconds=2)
        assert sum("poll" in one for one in scene.hub.asked) == 1, "the poll goes on"
    with scene.home() as home:
        assert Journal(home.database, home.clock).outbox() == ()


def test_a_freeze_of_the_cdo_does_not_wait_for_a_computation(scene: Scene) -> None:
    from sandbox.node.stopping import report_stop

    scene.ask()
    cage = PausingCage()
    with scene.agent(cage=cage) as opened, running(opened):
        wait_until(cage.started.is_set)
        with scene.home() as home:
            report_stop(home, "unit:elsewhere", person="person:cdo", key=scene.hub.key("person:cdo"))
            report_stop(home, OWNER, person="person:cdo", key=scene.hub.key("person:cdo"))
        wait_until(lambda: NODE in scene.hub.standing.frozen, seconds=2)
    assert scene.hub.uploads == []


def test_without_a_fresh_head_nothing_starts(scene: Scene) -> None:
    job = scene.ask()
    with scene.agent() as opened:
        opened.follower.follow()
        assert isinstance(scene.clock, FixedClock)
        scene.clock.at += timedelta(hours=1)
        with pytest.raises(UnavailableError) as caught:
            opened.agent.work()
    assert caught.value.code is ErrorCode.QUORUM_NOT_MET
    assert scene.hub.told(job) == LEASED


def test_the_book_knows_jobs_by_their_own_ids(scene: Scene) -> None:
    job = scene.ask()
    scene.work()
    with scene.home() as home:
        assert [row.id for row in QuestionBook(home.database, home.clock).list_questions()] == [job]
