"""A hub that lies to a node: it forges, drops, replays, forks, swaps and alters. Nothing runs, nothing leaves.

The hub here holds what a real one holds (the log's key, the bureau's key, and even its witnesses are blind in some
attacks), and none of what it must not: keys of people, partners, units and nodes.
"""

import base64
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ledger.note import parse_note, sign_note
from policies.model import Agreement, Approvals, JobApproval, OutputApproval, terms_digest, to_json
from policies.sign import activated_payload
from sandbox.database import writing
from sandbox.node.journal import JobStep, Journal
from sandbox.query.sql import parse_sql
from tests.lib.agents import BY_STREET, PausingCage, Scene, prepare_scene
from tests.lib.fake_hub import NODE, ORIGIN, FakeHub
from tests.lib.nodes import PARTNER
from tests.lib.realm import BUREAU
from yingbi.clock import parse_time
from yingbi.commitment import commit
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    SandboxError,
    TamperDetectedError,
    VerificationError,
)
from yingbi.events.fields import Duty
from yingbi.ids import dataset_id, new_id
from yingbi.key_files import encode_base64url
from yingbi.plan.codec import plan_to_json
from yingbi.sealing import ResultKey
from yingbi.statement import Statement, sign

LEASED = ["job.submitted", "job.approved", "job.leased"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def scene(published: Path, tmp_path: Path) -> Iterator[Scene]:
    with Scene(Path(shutil.copytree(published, tmp_path / "scene"))) as scene:
        yield scene


def nothing_happened(scene: Scene, job: str) -> None:
    """Check that the job did not run, nothing of it left, and nothing was charged."""
    told = scene.hub.told(job)
    assert not {"job.started", "output.released", "budget.reserved"} & set(told), told
    assert scene.hub.uploads == []
    assert scene.charged() == 0
    with scene.home() as home:
        assert list((home.folder / "running").iterdir()) == []


def reported(scene: Scene) -> list[str]:
    with scene.agent() as opened:
        return [report.message for report in opened.reports.unresolved()]


def reviewed(scene: Scene) -> Agreement:
    """Bring an agreement into force under which people look at every job."""
    approvals = Approvals(
        agreement=(Duty.UNIT_CDO, Duty.BUREAU_APPROVER), job=JobApproval.REVIEWED, output=OutputApproval.AUTOMATIC
    )
    return scene.hub.agree_on(replace(scene.terms, id="agr-lab-2026-03", approvals=approvals))


# --- forged -----------------------------------------------------------------------------------------------------------


def test_an_approval_that_the_hub_signs_itself_approves_nothing(scene: Scene) -> None:
    terms = reviewed(scene)
    job = scene.hub.ask(BY_STREET, terms, is_leased=False)
    for route, rule in (("automatic", "low-risk.1"), ("reviewed", None)):
        body = scene.hub.approval(terms, route=route, rule=rule)
        scene.hub.record([scene.hub.statement("job.approved", job, body, BUREAU)], is_judged=False)
    lease_unjudged(scene.hub, job)
    scene.work()
    nothing_happened(scene, job)
    assert "the log does not lease this attempt of the job to this node" in reported(scene)


def test_an_approval_in_a_persons_name_by_a_key_of_the_hubs_approves_nothing(scene: Scene) -> None:
    terms = reviewed(scene)
    job = scene.hub.ask(BY_STREET, terms, is_leased=False)
    body = scene.hub.approval(terms, route="reviewed", rule=None)
    forged = scene.hub.statement("job.approved", job, body, BUREAU, issuer="person:reviewer", on_behalf_of=BUREAU)
    scene.hub.record([forged], is_judged=False)
    lease_unjudged(scene.hub, job)
    scene.work()
    nothing_happened(scene, job)


def test_a_job_that_the_hub_submits_in_a_partners_name_is_none(scene: Scene) -> None:
    job = new_id("job")
    plan = commit(plan_to_json(parse_sql(BY_STREET)))
    scene.hub.openings[job] = plan
    body = {
        "agreement": scene.terms.id,
        "certificate": None,
        "purpose": scene.terms.purpose,
        "operation": "aggregate",
        "datasets": [{"dataset": dataset_id("lab/firms"), "version": 2}],
        "plan": plan.commitment,
        "code": None,
        "epsilon": None,
        "result_key": ResultKey.generate().public,
        "expires_at": scene.hub.later(hours=1),
    }
    forged = scene.hub.statement("job.submitted", job, body, BUREAU, issuer=PARTNER, on_behalf_of=BUREAU)
    scene.hub.record([forged], is_judged=False)
    scene.hub.leases.append(lease_json(forged, plan, job))
    scene.work()
    assert scene.hub.uploads == []
    assert reported(scene) == ["the log has no such job"]


def test_a_persons_key_that_the_hub_registers_itself_is_none(scene: Scene) -> None:
    own = "person:puppet"
    key = scene.hub.key(own).public
    body = {"jwk": key.to_jwk(), "owner": own, "not_before": scene.hub.at, "not_after": None}
    forged = scene.hub.statement("key.registered", new_id("key"), body, BUREAU, own, issuer=BUREAU, on_behalf_of=BUREAU)
    scene.hub.record([forged], is_judged=False)
    with scene.agent() as opened:
        opened.follower.follow()
        assert opened.follower.standing.keys.of(own, at=scene.hub.at) == ()


def lease_unjudged(hub: FakeHub, job: str, *, node: str = NODE) -> None:
    """Lease a job in the log without asking whether that fits, and hand the lease out."""
    body = {"node": node, "attempt": 1, "expires_at": hub.later(minutes=5)}
    hub.record([hub.statement("job.leased", job, body, BUREAU)], is_judged=False)
    hub.leases.append(hub.lease_of(job, 1))


def lease_json(statement: Statement, plan: Any, job: str) -> dict[str, Any]:
    opening = {"commitment": plan.commitment, "salt": encode_base64url(plan.salt), "value": json.loads(plan.value)}
    return {"job": job, "attempt": 1, "statement": json.loads(statement.envelope), "plan": opening}


# --- altered ----------------------------------------------------------------------------------------------------------


def lies_in_leases(scene: Scene, change: Callable[[dict[str, Any]], None]) -> str:
    """Have a good job leased with a lease that was changed on the way."""
    job = scene.ask()
    change(scene.hub.leases[0])
    scene.work()
    nothing_happened(scene, job)
    return job


def test_another_plan_than_the_partner_committed_to_does_not_run(scene: Scene) -> None:
    def change(lease: dict[str, Any]) -> None:
        lease["plan"]["value"] = plan_to_json(parse_sql("select sum(tax) from lab.firms where industry = 'F'"))

    lies_in_leases(scene, change)
    assert reported(scene) == ["the plan is not the one that the partner committed to"]


def test_another_salt_does_not_run(scene: Scene) -> None:
    lies_in_leases(scene, lambda lease: lease["plan"].update(salt="A" * 43))
    assert reported(scene) == ["the plan is not the one that the partner committed to"]


def test_a_result_is_sealed_to_the_key_in_the_log_and_no_other(scene: Scene) -> None:
    mine = ResultKey.generate()

    def change(lease: dict[str, Any]) -> None:
        found = json.loads(_decode(lease["statement"]["payload"]))
        found["body"]["result_key"] = mine.public
        swapped = scene.hub.statement("job.submitted", lease["job"], found["body"], BUREAU, issuer=PARTNER)
        lease["statement"] = json.loads(swapped.envelope)

    lies_in_leases(scene, change)
    assert reported(scene) == ["the log has another submission of this job"]


def test_a_second_submission_with_the_hubs_key_as_recipient_has_no_effect(scene: Scene) -> None:
    job = scene.ask(is_leased=False)
    found = scene.hub.standing.jobs.get(job)
    assert found is not None
    body = {**found.submitted.model_dump(mode="json"), "result_key": ResultKey.generate().public}
    scene.hub.record([scene.hub.statement("job.submitted", job, body, PARTNER)], is_judged=False)
    scene.hub.say("job.approved", job, scene.hub.approval(scene.terms), BUREAU)
    scene.hub.give(job)
    scene.work()
    assert scene.hub.result(job)["result"]["kind"] == "table", "the first submission's key opens it"


def _decode(text: str) -> bytes:
    return base64.b64decode(text)


# --- replayed and misdirected -----------------------------------------------------------------------------------------


def test_an_old_lease_is_not_taken_again(scene: Scene) -> None:
    job = scene.ask()
    old = dict(scene.hub.leases[0])
    scene.work()
    told = scene.hub.told(job)
    for attempt in (1, 2, 7):
        scene.hub.leases.append({**old, "attempt": attempt})
        scene.work()
    assert scene.hub.told(job) == told
    assert scene.hub.uploads == [job]
    assert scene.charged() == 1


def test_a_lease_whose_time_is_over_is_not_taken(scene: Scene) -> None:
    job = scene.ask()
    scene.clock.at += timedelta(minutes=6)  # type: ignore[attr-defined]
    scene.hub.say("job.submitted", new_id("job"), scene.entries(job)[0].payload.body, PARTNER)
    scene.work()
    nothing_happened(scene, job)
    assert (scene.row(job).step, scene.row(job).cause) == (JobStep.LOST, "past-lease")


def test_a_job_of_another_node_does_not_run_here(scene: Scene) -> None:
    job = scene.ask(is_leased=False)
    scene.hub.say("job.approved", job, scene.hub.approval(scene.terms), BUREAU)
    lease_unjudged(scene.hub, job, node="node:somewhere-else")
    scene.work()
    nothing_happened(scene, job)
    assert reported(scene) == ["the log does not lease this attempt of the job to this node"]


def test_an_agreement_that_has_ended_does_not_come_back(scene: Scene) -> None:
    terms = scene.terms
    signed = [one for one in scene.entries() if str(one.type).startswith("agreement.")]
    body = {"terms": terms_digest(terms), "reason": "breach", "running_jobs": "stop", "note": None}
    scene.hub.say("agreement.revoked", terms.id, body, "person:approver")
    scene.hub.places.clear()
    scene.hub.record(signed, is_judged=False)
    job = scene.hub.ask(BY_STREET, terms, is_leased=False)
    scene.hub.record([scene.hub.statement("job.approved", job, scene.hub.approval(terms), BUREAU)], is_judged=False)
    lease_unjudged(scene.hub, job)
    scene.work()
    nothing_happened(scene, job)


def countered(scene: Scene, terms: Agreement) -> str:
    """Have the partner answer terms with others; return the digest of these."""
    hub = scene.hub
    after = replace(terms, version=2, limits=replace(terms.limits, jobs=1, jobs_per_day=1))
    hub.texts[terms_digest(after)] = after
    body = {"version": 2, "terms": terms_digest(after), "previous_terms": terms_digest(terms), "note": None}
    said = hub.statement("agreement.countered", terms.id, body, "person:officer", on_behalf_of=PARTNER)
    hub.record([said], is_judged=False)
    return terms_digest(after)


def test_terms_that_were_withdrawn_do_not_come_back_by_hiding_what_replaced_them(scene: Scene) -> None:
    """The unit has signed the first terms, the partner's answer voids that, and the hub withholds its text."""
    hub = scene.hub
    terms = replace(scene.terms, id="agr-countered-1")
    hub.texts[terms_digest(terms)], hub.documents[terms_digest(terms)] = terms, to_json(terms)
    hub.propose(terms)
    hub.take(hub.signature(terms, "person:cdo", Duty.UNIT_CDO))
    countered(scene, terms)
    activated = activated_payload(terms, issuer=BUREAU, on_behalf_of=None, at=parse_time(hub.at))
    later = [hub.signature(terms, "person:approver", Duty.BUREAU_APPROVER), sign(activated, [hub.key(BUREAU)])]
    for one in later:
        hub.record([one], is_judged=False)
    job = hub.ask(BY_STREET, terms, is_leased=False)
    hub.record([hub.statement("job.approved", job, hub.approval(terms), BUREAU)], is_judged=False)
    lease_unjudged(hub, job)
    record = hub.record
    hub.record = lambda statements, **_: record(statements, is_judged=False)  # type: ignore[method-assign]
    scene.work()
    nothing_happened(scene, job)
    assert reported(scene) == ["a text of the agreement's terms is not here"]


def test_a_job_under_terms_of_which_some_are_withheld_is_refused_and_reported(scene: Scene) -> None:
    terms = scene.terms
    job = scene.ask()
    countered(scene, terms)
    scene.work()
    nothing_happened(scene, job)
    refused = scene.entries(job)[-1]
    assert (refused.type, refused.payload.body["refusals"][0]["reason"]) == ("job.refused", "agreement-not-active")
    assert reported(scene) == ["a text of the agreement's terms is not here"]


def test_a_job_that_runs_is_stopped_by_terms_that_are_withheld(scene: Scene) -> None:
    job = scene.ask()
    cage = PausingCage()
    with scene.agent(cage=cage) as opened:
        thread = threading.Thread(target=opened.agent.work, daemon=True)
        thread.start()
        assert cage.started.wait(20)
        countered(scene, scene.terms)
        thread.join(20)
    assert scene.hub.told(job)[-1] == "job.interrupted"
    assert scene.hub.uploads == []


def test_terms_that_the_hub_shows_after_all_let_a_job_run(scene: Scene) -> None:
    job = scene.ask()
    digest = countered(scene, scene.terms)
    with scene.agent() as opened:
        opened.follower.follow()
        scene.hub.documents[digest] = to_json(scene.hub.texts[digest])
        opened.agent.work()
    assert scene.hub.uploads == [job], "an answer to terms that are in force has no effect"


# --- dropped, forked, stale -------------------------------------------------------------------------------------------


def test_a_freeze_that_the_hub_hides_is_missed_and_nothing_runs(scene: Scene) -> None:
    """The hub serves the log without its newest entry: what it serves does not hash to any head that was cosigned."""
    scene.work()
    old = scene.hub.read("checkpoint")
    body = {"target": PARTNER, "reason": "incident", "drill": False, "note": None}
    scene.hub.say("access.frozen", new_id("freeze"), body, "person:sec")
    job = scene.hub.ask(BY_STREET, scene.terms, is_leased=False)
    scene.hub.record(
        [scene.hub.statement("job.approved", job, scene.hub.approval(scene.terms), BUREAU)], is_judged=False
    )
    lease_unjudged(scene.hub, job)
    read = scene.hub.read
    scene.hub.read = lambda path: old if path == "checkpoint" else read(path)  # type: ignore[method-assign]
    scene.work()
    nothing_happened(scene, job)
    assert reported(scene) == ["the log has no such job"]


def test_a_fork_made_for_the_node_is_kept_as_evidence_and_stops_it(scene: Scene, tmp_path: Path) -> None:
    scene.work()
    shutil.copytree(scene.folder / "hub", tmp_path / "fork")
    fork = FakeHub(tmp_path / "fork", scene.clock)
    body = {"target": PARTNER, "reason": "incident", "drill": False, "note": None}
    scene.hub.say("access.frozen", new_id("freeze"), body, "person:sec")
    scene.work()
    job = fork.ask(BY_STREET, scene.terms)
    real = scene.hub
    scene.hub = fork
    with scene.agent() as opened:
        with pytest.raises(TamperDetectedError):
            opened.agent.work()
        assert [(one.code, one.is_halting) for one in opened.reports.unresolved()] == [("log-forked", True)]
    with scene.agent() as opened, pytest.raises(TamperDetectedError):
        opened.agent.work()
    nothing_happened(scene, job)
    scene.hub = real
    with scene.agent() as opened, pytest.raises(TamperDetectedError):
        opened.agent.work()
    fork.close()


def test_without_its_witnesses_the_hub_shows_the_node_nothing(scene: Scene) -> None:
    job = scene.ask()
    note = parse_note(scene.hub.read("checkpoint"))
    alone = sign_note(note.text, [scene.hub.signer])
    read = scene.hub.read
    scene.hub.read = lambda path: alone if path == "checkpoint" else read(path)  # type: ignore[method-assign]
    with scene.agent() as opened, pytest.raises(SandboxError) as caught:
        opened.agent.work()
    assert caught.value.code is ErrorCode.QUORUM_NOT_MET
    nothing_happened(scene, job)


# --- without a receipt ------------------------------------------------------------------------------------------------


def says_recorded(hub: FakeHub) -> Callable[[Sequence[Statement]], list[int]]:
    """Answer with places of other entries, and record nothing."""
    return lambda statements, **_: list(range(len(statements)))


def refuses(hub: FakeHub) -> Callable[[Sequence[Statement]], list[int]]:
    def record(statements: Sequence[Statement], **_: object) -> list[int]:
        raise ConflictError(ErrorCode.TRANSITION_REFUSED, "no")

    return record


@pytest.mark.parametrize("lie", [says_recorded, refuses])
def test_a_job_does_not_run_without_the_receipt_of_its_start(
    scene: Scene, lie: Callable[[FakeHub], Callable[..., list[int]]]
) -> None:
    job = scene.ask()
    record = scene.hub.record
    scene.hub.record = lie(scene.hub)  # type: ignore[method-assign]
    with scene.agent() as opened, pytest.raises((VerificationError, ConflictError)):
        opened.agent.work()
    nothing_happened(scene, job)
    assert scene.row(job).step is JobStep.STARTING
    scene.hub.record = record  # type: ignore[method-assign]
    scene.work()
    assert scene.hub.uploads == [job]


@pytest.mark.parametrize("lie", [says_recorded, refuses])
def test_a_result_does_not_leave_without_the_receipt_of_its_release(
    scene: Scene, lie: Callable[[FakeHub], Callable[..., list[int]]]
) -> None:
    job = scene.ask()
    record = scene.hub.record

    def lies_about_releases(statements: Sequence[Statement], **options: Any) -> list[int]:
        if any(one.type == "output.released" for one in statements):
            return lie(scene.hub)(statements)
        return record(statements, **options)

    scene.hub.record = lies_about_releases  # type: ignore[method-assign]
    with scene.agent() as opened, pytest.raises((VerificationError, ConflictError)):
        opened.agent.work()
    assert scene.row(job).step is JobStep.RELEASING
    assert not any("result" in one for one in scene.hub.asked)
    scene.hub.record = record  # type: ignore[method-assign]
    scene.work()
    assert (scene.hub.uploads, scene.hub.told(job).count("output.released")) == ([job], 1)


def test_a_node_whose_journal_says_that_it_started_does_not_run_what_the_log_does_not_have(scene: Scene) -> None:
    job = scene.ask()
    scene.hub.record = says_recorded(scene.hub)  # type: ignore[method-assign,assignment]
    with scene.agent() as opened, pytest.raises(VerificationError):
        opened.agent.work()
    with scene.home() as home, writing(home.database) as connection:
        connection.execute(text("update node_job set step = 'started'"))
    scene.work()
    nothing_happened(scene, job)
    assert scene.row(job).step is JobStep.LOST


def test_a_start_that_is_recorded_after_a_freeze_is_no_start(scene: Scene) -> None:
    """The hub holds the node's statement back until the partner is frozen, and then records it all the same."""
    job = scene.ask()
    record = scene.hub.record

    def late(statements: Sequence[Statement], **options: Any) -> list[int]:
        if statements[0].type != "job.started":
            return record(statements, **options)
        body = {"target": PARTNER, "reason": "incident", "drill": False, "note": None}
        scene.hub.say("access.frozen", new_id("freeze"), body, "person:sec")
        return record(statements, is_judged=False)

    scene.hub.record = late  # type: ignore[method-assign]
    scene.work()
    assert scene.row(job).step is JobStep.LOST
    assert scene.hub.uploads == []
    assert "output.released" not in scene.hub.told(job)
    assert scene.charged() == scene.hub.standing.jobs.charged(scene.terms.id)


def test_a_receipt_under_another_logs_checkpoint_is_none(scene: Scene) -> None:
    job = scene.ask()
    receipts = scene.hub.receipts

    def forged(indices: Sequence[int]) -> tuple[int, bytes]:
        status, body = receipts(indices)
        return status, body.replace(ORIGIN.encode(), b"log.example/fake-hux")

    scene.hub.receipts = forged  # type: ignore[method-assign]
    with scene.agent() as opened, pytest.raises(VerificationError):
        opened.agent.work()
    assert "job.started" in scene.hub.told(job), "it is recorded, and the node does not know"
    assert scene.hub.uploads == []
    scene.hub.receipts = receipts  # type: ignore[method-assign]
    scene.work()
    assert (scene.hub.uploads, scene.hub.told(job).count("job.started")) == ([job], 1)


def test_an_answer_without_end_fills_no_memory(scene: Scene) -> None:
    scene.hub.read = lambda path: b"x" * (2 << 20)  # type: ignore[method-assign]
    with scene.agent() as opened, pytest.raises(VerificationError):
        opened.follower.follow()


# What an answer in a wrong form may be called; anything else would be an accident.
ANSWERED = (InvalidRequestError, VerificationError)
ANSWERS = [b"", b"null", b"[]", b"{", b'{"job":1}', b'{"job":"job-1","attempt":"x","plan":{},"statement":{}}', b"\xff"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_poll_that_is_answered_with_anything_breaks_nothing(scene: Scene, answer: bytes) -> None:
    scene.hub.poll = lambda wait_s: (200, answer)  # type: ignore[method-assign]
    with scene.agent() as opened, suppress(*ANSWERED):
        opened.agent.work()
    with scene.home() as home:
        assert Journal(home.database, home.clock).jobs() == ()


def test_orders_to_stop_are_no_orders(scene: Scene) -> None:
    job = scene.ask()
    scene.hub.poll = lambda wait_s: (200, json.dumps({"stops": [job], "checks": []}).encode())  # type: ignore[method-assign]
    scene.work()
    assert scene.hub.told(job) == LEASED
