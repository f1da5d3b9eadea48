"""The life of a job through the hub, with a node that is played by its key: first the entry, then the word."""

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.home import load_hub
from api.jobs import visible_job
from api.refusals import not_found
from api.rules import ApprovalRule
from api.submissions import opening_json
from policies.model import Approvals, JobApproval, OutputApproval, terms_digest
from sandbox.query.sql import parse_sql
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import NODE, HubWorld, lab_terms, new_hub, open_world
from tests.lib.nodes import PURPOSE
from yingbi.canonical import digest_bytes, digest_json
from yingbi.clock import FixedClock, format_time
from yingbi.commitment import commit
from yingbi.events.fields import Duty
from yingbi.events.jobs import ApprovalRoute
from yingbi.ids import dataset_id, new_id
from yingbi.plan.codec import plan_to_json
from yingbi.sealing import ResultKey
from yingbi.statement import Statement, add_signature

TERMS = lab_terms()
SUM = "select street, sum(tax) from lab.firms group by street"
FIRMS = dataset_id("lab/firms")
RULES = "sha256:" + "5" * 64
RESULT_KEY = ResultKey.generate()


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[HubWorld]:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as opened:
        opened.settle(firms_dataset(), TERMS)
        yield opened


def later(world: HubWorld, **time: int) -> str:
    return format_time(world.clock.now() + timedelta(**time))


def job(world: HubWorld, sql: str = SUM, **changes: Any) -> tuple[Statement, dict[str, Any]]:
    """Return a job's statement and the body that submits it."""
    plan = commit(plan_to_json(parse_sql(sql)))
    body = {
        "agreement": TERMS.id,
        "certificate": None,
        "purpose": PURPOSE,
        "operation": "aggregate",
        "datasets": [{"dataset": FIRMS, "version": 1}],
        "plan": plan.commitment,
        "code": None,
        "epsilon": None,
        "result_key": RESULT_KEY.public,
        "expires_at": later(world, days=1),
    }
    statement = world.state("job.submitted", body | changes, issuer="person:analyst", on_behalf_of="partner:bank-a")
    return statement, {"statements": [json.loads(statement.envelope)], "openings": [opening_json(plan)]}


def submit(world: HubWorld, sql: str = SUM, **changes: Any) -> httpx.Response:
    statement, body = job(world, sql, **changes)
    headers = {"Idempotency-Key": statement.payload.id}
    return world.ask("POST", "/v1/jobs", by="person:analyst", body=body, headers=headers)


def poll(world: HubWorld, wait_s: int = 0) -> httpx.Response:
    return world.ask("POST", f"/v1/nodes/{NODE[5:]}/poll", by=NODE, body={"wait_s": wait_s})


def steps(world: HubWorld, *statements: Statement) -> httpx.Response:
    return world.post(f"/v1/nodes/{NODE[5:]}/steps", *statements, by=NODE)


def started(world: HubWorld, name: str, attempt: int = 1) -> tuple[Statement, Statement]:
    """Return what a node says when it begins."""
    _, size, root = world.client.request("GET", "/checkpoint", headers={}).text.split("\n")[:3]
    body = {
        "attempt": attempt,
        "datasets": [{"dataset": FIRMS, "version": 1}],
        "terms": terms_digest(TERMS),
        "software": "sha256:" + "4" * 64,
        "log_size": int(size),
        "log_root": "sha256:" + base64.b64decode(root).hex(),
    }
    charge = {"job": name, "measure": "jobs", "amount": "1", "remaining": "9"}
    return (
        world.state("job.started", body, issuer=NODE, name=name),
        world.state("budget.reserved", charge, issuer=NODE, name=new_id("bud")),
    )


def released(world: HubWorld, name: str, sealed: bytes) -> tuple[Statement, ...]:
    """Return what a node says when a result may leave."""
    checked = {"job": name, "candidate": "sha256:" + "6" * 64, "rules": RULES, "verdict": "pass", "findings": []}
    body = {
        "job": name,
        "mode": "exact",
        "content": "sha256:" + "7" * 64,
        "ciphertext": digest_bytes(sealed),
        "software": "sha256:" + "4" * 64,
        "rules": RULES,
        "budget": None,
    }
    spent = {"job": name, "measure": "jobs", "amount": "1", "remaining": "9"}
    return (
        world.state("output.checked", checked, issuer=NODE, name=new_id("out")),
        world.state("output.released", body, issuer=NODE, name=new_id("out")),
        world.state("budget.committed", spent, issuer=NODE, name=new_id("bud")),
    )


def held(world: HubWorld, name: str) -> Statement:
    """Return what a node says when a result may not leave."""
    finding = {"risk": "dominance", "rule": "dominance", "dimension": "street", "verdict": "review"}
    body = {
        "job": name,
        "candidate": "sha256:" + "6" * 64,
        "rules": RULES,
        "findings": [finding],
        "remedies": ["coarser-level"],
        "note": None,
    }
    return world.state("output.held", body, issuer=NODE, name=new_id("out"))


def put(world: HubWorld, path: str, body: object) -> httpx.Response:
    headers = {"content-type": "application/octet-stream"} if isinstance(body, bytes) else {}
    return world.ask("PUT", path, by=NODE, body=body, headers=headers)


def state(world: HubWorld, name: str, by: str = "person:analyst") -> str:
    return str(world.ask("GET", f"/v1/jobs/{name}", by=by).json()["state"])


def test_a_question_goes_all_the_way(world: HubWorld) -> None:
    answer = submit(world)
    assert answer.status_code == 202, answer.text
    name = answer.json()["job"]
    assert answer.headers["location"] == f"/v1/jobs/{name}"
    assert (answer.json()["state"], answer.json()["receipt"][:22]) == ("approved", "c2sp.org/tlog-proof@v1")

    lease = poll(world).json()
    assert (lease["job"], lease["attempt"]) == (name, 1)
    assert lease["statement"]["payload"]
    assert lease["plan"]["value"] == plan_to_json(parse_sql(SUM))
    assert lease["size"] > lease["entries"]["leased"] > lease["entries"]["approved"][0] > lease["entries"]["submitted"]
    size = world.hub.standing.size
    assert poll(world).json() == lease | {"size": size}, "told again: the answer may have been lost"
    assert world.hub.standing.size == size, "a job is leased once"

    assert steps(world, *started(world, name)).status_code == 201
    assert poll(world).status_code == 204, "begun"
    assert put(world, f"/v1/jobs/{name}/progress", {"percent": 40}).status_code == 204
    assert world.ask("GET", f"/v1/jobs/{name}", by="person:analyst").json()["progress"] == 40

    sealed = b"sealed result"
    assert put(world, f"/v1/jobs/{name}/result", sealed).status_code == 409, "before the log names it"
    assert world.ask("GET", f"/v1/jobs/{name}/result", by="person:analyst").status_code == 404
    recorded = steps(world, *released(world, name, sealed))
    assert recorded.status_code == 201, recorded.text
    assert put(world, f"/v1/jobs/{name}/result", b"other bytes").status_code in (400, 422)
    assert put(world, f"/v1/jobs/{name}/result", sealed).status_code == 204
    assert put(world, f"/v1/jobs/{name}/result", sealed).status_code == 204, "the same again"

    fetched = world.ask("GET", f"/v1/jobs/{name}/result", by="partner:bank-a")
    assert (fetched.content, fetched.headers["yingbi-ciphertext"]) == (sealed, digest_bytes(sealed))
    assert state(world, name) == "delivered"
    world.ask("GET", f"/v1/jobs/{name}/result", by="partner:bank-a")
    receipts = world.ask("GET", f"/v1/jobs/{name}/receipts", by="person:analyst").json()["entries"]
    assert [one["type"] for one in receipts] == [
        "job.submitted",
        "job.approved",
        "job.leased",
        "job.started",
        "budget.reserved",
        "output.checked",
        "output.released",
        "budget.committed",
        "output.delivered",
    ]
    budget = world.ask("GET", f"/v1/budgets?agreement={TERMS.id}", by="person:analyst").json()["items"][0]
    assert (budget["used"], budget["charged"], budget["used_today"]) == (1, 1, 1)


def test_a_refusal_is_recorded_and_says_what_would_be_enough(world: HubWorld) -> None:
    answer = submit(world, purpose="credit.sme.pre-loan")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (403, "job-refused")
    assert {one["code"] for one in problem["reasons"]} & {"purpose-not-granted", "intermediary-missing"}
    name = problem["job"]
    found = world.ask("GET", f"/v1/jobs/{name}", by="person:analyst").json()
    assert (found["state"], found["reasons"]) == ("refused", problem["reasons"])
    receipts = world.ask("GET", f"/v1/jobs/{name}/receipts", by="person:analyst").json()["entries"]
    assert [one["type"] for one in receipts] == ["job.submitted", "job.refused"]
    assert poll(world).status_code == 204


@pytest.mark.parametrize(
    ("sql", "changes", "code"),
    [
        ("select sum(taxes) from lab.firms", {}, "plan-not-admitted"),
        (SUM, {"datasets": [{"dataset": FIRMS, "version": 2}]}, "dataset-version-mismatch"),
        (SUM, {"operation": "model"}, "operation-not-granted"),
        (SUM, {"agreement": "agr-nothing-1"}, "agreement-not-active"),
        (SUM, {"code": "sha256:" + "8" * 64}, "code-not-approved"),
    ],
)
def test_what_a_job_may_not_do_or_say(world: HubWorld, sql: str, changes: dict[str, Any], code: str) -> None:
    answer = submit(world, sql, **changes)
    assert answer.status_code == 403, answer.text
    assert code in {one["code"] for one in answer.json()["reasons"]}


def suspend(world: HubWorld, party: str) -> None:
    body = {"party": party, "reason": "incident", "until": None, "note": None}
    suspended = world.state("participant.suspended", body, issuer="person:approver")
    world.recorded("/v1/participants", suspended, by="person:approver")


def freeze(world: HubWorld, target: str) -> None:
    body = {"target": target, "reason": "incident", "note": None, "drill": False}
    world.recorded("/v1/incidents", world.state("access.frozen", body, issuer="person:approver"), by="person:approver")


@pytest.mark.parametrize(
    ("stop", "code"), [(suspend, "agreement-not-active"), (freeze, "frozen")], ids=["suspended", "frozen"]
)
def test_a_job_on_data_of_a_unit_that_is_stopped_is_refused_and_recorded(
    world: HubWorld, stop: Callable[[HubWorld, str], None], code: str
) -> None:
    stop(world, firms_dataset().owner)
    answer = submit(world)
    assert (answer.status_code, answer.json()["code"]) == (403, "job-refused")
    assert [one["code"] for one in answer.json()["reasons"]] == [code]
    assert state(world, answer.json()["job"]) == "refused"


def test_a_job_without_its_plan_or_without_a_key_for_repetitions(world: HubWorld) -> None:
    statement, body = job(world)
    assert world.ask("POST", "/v1/jobs", by="person:analyst", body=body).status_code == 422
    headers = {"Idempotency-Key": "k"}
    bare = {"statements": body["statements"]}
    answer = world.ask("POST", "/v1/jobs", by="person:analyst", body=bare, headers=headers)
    assert (answer.status_code, answer.json()["reasons"][0]["code"]) == (403, "plan-not-admitted")
    assert state(world, statement.payload.id) == "refused"


def test_the_same_job_again_is_the_same_job(world: HubWorld) -> None:
    statement, body = job(world)
    answers = [
        world.ask("POST", "/v1/jobs", by="person:analyst", body=body, headers={"Idempotency-Key": key})
        for key in ("one", "one", "two")
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert {answer.json()["job"] for answer in answers} == {statement.payload.id}
    assert len(list(world.hub.standing.jobs.items())) == 1


def test_anothers_job_is_not_there(world: HubWorld) -> None:
    world.admit("partner:bank-b", "bank")
    name = submit(world).json()["job"]
    for path in ("", "/receipts", "/events", "/result"):
        assert world.ask("GET", f"/v1/jobs/{name}{path}", by="partner:bank-b").status_code == 404, path
    body = {"reason": "request", "note": None}
    cancelled = world.state("job.cancelled", body, issuer="partner:bank-b", name=name)
    assert world.post(f"/v1/jobs/{name}/cancellation", cancelled, by="partner:bank-b").status_code == 404
    assert world.ask("GET", "/v1/jobs", by="partner:bank-b").json()["items"] == []
    assert [one["job"] for one in world.ask("GET", "/v1/jobs", by="partner:bank-a").json()["items"]] == [name]
    assert state(world, name, by="person:cdo") == "approved", "whose data it is about"


def test_a_dry_run_says_what_would_be_decided_and_records_nothing(world: HubWorld) -> None:
    size = world.hub.standing.size
    asked = {"agreement": TERMS.id, "purpose": PURPOSE, "plan": plan_to_json(parse_sql(SUM)), "intermediary": None}
    found = world.ask("POST", "/v1/jobs/dry-run", by="person:analyst", body=asked).json()
    assert (found["outcome"], found["reasons"], found["versions"]) == ("permit", [], {FIRMS: 1})
    assert found["operations"] == ["aggregate.sum"]
    assert found["remaining"]["jobs"] == TERMS.limits.jobs
    refused = world.ask("POST", "/v1/jobs/dry-run", by="person:analyst", body=asked | {"purpose": "other"}).json()
    assert refused["outcome"] == "refuse"
    assert world.hub.standing.size == size


def test_a_job_that_people_look_at_waits_for_them(world: HubWorld) -> None:
    reviewed = Approvals(agreement=TERMS.approvals.agreement, job=JobApproval.REVIEWED, output=OutputApproval.AUTOMATIC)
    terms = replace(TERMS, id="agr-lab-2026-02", approvals=reviewed)
    world.agree(terms)
    answer = submit(world, agreement=terms.id)
    assert (answer.status_code, answer.json()["state"]) == (202, "submitted")
    name = answer.json()["job"]
    asked = {"agreement": terms.id, "purpose": PURPOSE, "plan": plan_to_json(parse_sql(SUM))}
    needed = world.ask("POST", "/v1/jobs/dry-run", by="person:analyst", body=asked).json()["reviewers"]["job"]
    assert needed
    body = {
        "route": "reviewed",
        "rule": None,
        "terms": world.hub.standing.agreements.get(terms.id).terms,  # type: ignore[union-attr]
        "expires_at": later(world, hours=2),
    }
    own = world.state("job.approved", body, issuer="person:analyst", name=name, on_behalf_of="partner:bank-a")
    assert world.post(f"/v1/jobs/{name}/approvals", own, by="person:analyst").status_code in (202, 403)
    world.employ("person:reviewer", Duty.BUREAU_REVIEWER)
    assert needed == [Duty.BUREAU_REVIEWER.value]
    approval = world.state("job.approved", body, issuer="person:cdo", name=name)
    answer = world.post(f"/v1/jobs/{name}/approvals", approval, by="person:cdo")
    assert (answer.status_code, answer.json()["missing"]) == (202, needed), "a reviewer has to sign it as well"
    where = f"{answer.headers['location']}/signatures"
    for person, status in (("person:approver", 403), ("person:reviewer", 201)):
        added = add_signature(approval, world.key(person))
        (row,) = [one for one in added.signatures if one.keyid == world.key(person).public.thumbprint]
        rows = [{"keyid": row.keyid, "sig": base64.b64encode(row.sig).decode()}]
        answer = world.ask("POST", where, by=person, body={"signatures": rows})
        assert answer.status_code == status, answer.text
    assert poll(world).json()["job"] == name


RULES_OF_BUREAU = (
    ApprovalRule(name="declared.other", route=ApprovalRoute.DECLARED, purposes=("other",)),
    ApprovalRule(name="provisional.research", route=ApprovalRoute.PROVISIONAL, purposes=("research",), hours=2),
)


def test_the_bureaus_rules_say_how_a_job_is_approved_without_people(tmp_path: Path, clock: FixedClock) -> None:
    home = new_hub(tmp_path / "hub", clock, rules=RULES_OF_BUREAU)
    assert load_hub(home.folder).settings == home.settings
    with open_world(home, clock) as world:
        world.settle(firms_dataset(), TERMS)
        submit(world)
        approved = next(iter(world.hub.standing.jobs.items()))
        body = world.hub.recorder.read(approved.entries[1]).statement.payload.body
        assert (body["route"], body["rule"]) == ("provisional", "provisional.research")
        assert body["expires_at"] == later(world, hours=2)
        clock.at += timedelta(hours=3)
        assert poll(world).status_code == 204, "its time is over"
        world.hub.upkeep.run_once()
        assert state(world, approved.id) == "cancelled"


def test_a_job_on_declaration_needs_its_declaration(tmp_path: Path, clock: FixedClock) -> None:
    rule = ApprovalRule(name="declared.research", route=ApprovalRoute.DECLARED, purposes=(PURPOSE,))
    with open_world(new_hub(tmp_path / "hub", clock, rules=(rule,)), clock) as world:
        world.settle(firms_dataset(), TERMS)
        without = submit(world)
        assert (without.status_code, without.json()["reasons"][0]["allowed"]) == (403, ["declaration"])
        statement, body = job(world)
        declaration = {"declares": "the use is as stated, and papers are kept for five years"}
        refs = {"declaration": digest_json(declaration)}
        said = world.state(
            "job.submitted", statement.payload.body, issuer="person:analyst", on_behalf_of="partner:bank-a", refs=refs
        )
        body |= {"statements": [json.loads(said.envelope)], "documents": [declaration]}
        headers = {"Idempotency-Key": "declared"}
        answer = world.ask("POST", "/v1/jobs", by="person:analyst", body=body, headers=headers)
        assert (answer.status_code, answer.json()["state"]) == (202, "approved")
        kept = f"/v1/documents/{refs['declaration']}"
        assert world.ask("GET", kept, by="person:approver").json() == declaration
        assert world.ask("GET", kept, by="person:cdo").status_code == 404


def test_a_lease_that_ran_out_is_given_again(world: HubWorld, clock: FixedClock) -> None:
    name = submit(world).json()["job"]
    assert poll(world).json()["attempt"] == 1
    clock.at += timedelta(seconds=world.hub.settings.lease_s + 1)
    again = poll(world).json()
    assert (again["job"], again["attempt"]) == (name, 2)
    late = steps(world, *started(world, name, attempt=1))
    assert late.status_code in (403, 409), "of an attempt that is over"
    assert steps(world, *started(world, name, attempt=2)).status_code == 201


def test_a_lease_that_is_not_begun_is_told_again_by_a_hub_that_started_again(tmp_path: Path, clock: FixedClock) -> None:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as world:
        world.settle(firms_dataset(), TERMS)
        name = submit(world).json()["job"]
        told = [poll(world).json() for _ in range(2)]
    with open_world(home, clock) as world:
        told.append(poll(world).json())
    assert [(one["job"], one["attempt"]) for one in told] == [(name, 1)] * 3


@pytest.mark.parametrize("is_leased", [False, True])
def test_a_node_whose_unit_is_suspended_gets_no_work(world: HubWorld, is_leased: bool) -> None:
    name = submit(world).json()["job"]
    if is_leased:
        assert poll(world).json()["job"] == name
    suspend(world, firms_dataset().owner)
    size = world.hub.standing.size
    answer = poll(world)
    assert answer.status_code == 204 or "job" not in answer.json()
    assert world.hub.standing.size == size


def test_a_node_gets_only_its_own_work_under_its_own_name(world: HubWorld) -> None:
    submit(world)
    world.recorded("/v1/keys", world.registration("node:other", employer="unit:futian-bureau"), by="unit:futian-bureau")
    assert world.ask("POST", "/v1/nodes/other/poll", by="node:other", body={"wait_s": 0}).status_code == 204
    assert world.ask("POST", f"/v1/nodes/{NODE[5:]}/poll", by="node:other", body={"wait_s": 0}).status_code == 404
    assert poll(world).status_code == 200


def test_a_held_result_waits_for_a_person_and_its_node_hears_of_the_check(world: HubWorld) -> None:
    name = submit(world).json()["job"]
    poll(world)
    steps(world, *started(world, name))
    assert steps(world, held(world, name)).status_code == 201
    notice = {"findings": [{"risk": "dominance", "rule": "dominance", "dimension": "street", "verdict": "review"}]}
    assert put(world, f"/v1/jobs/{name}/notice", notice).status_code == 204
    found = world.ask("GET", f"/v1/jobs/{name}", by="person:analyst").json()
    assert (found["state"], found["notice"]) == ("held", notice)
    listed = world.ask("GET", "/v1/outputs/held", by="person:checker").json()["items"]
    assert [(one["job"], one["findings"][0]["rule"]) for one in listed] == [(name, "dominance")]
    assert world.ask("GET", "/v1/outputs/held", by="person:cdo").json()["items"]
    assert world.ask("GET", "/v1/outputs/held", by="person:analyst").json()["items"] == []
    assert poll(world).status_code == 204
    body = {"job": name, "candidate": listed[0]["candidate"], "rules": RULES, "verdict": "pass", "findings": []}
    check = world.state("output.checked", body, issuer="person:checker", name=new_id("out"))
    assert world.post(f"/v1/jobs/{name}/checks", check, by="person:checker").status_code == 201
    news = poll(world)
    assert news.status_code == 200
    assert news.json()["checks"] == [world.hub.standing.size - 1]
    assert poll(world).status_code == 204, "news are told once"
    assert world.post(f"/v1/jobs/{name}/checks", check, by="person:checker").status_code == 201, "it is recorded"
    again = world.state("output.checked", body, issuer="person:checker", name=new_id("out"))
    assert world.post(f"/v1/jobs/{name}/checks", again, by="person:checker").status_code == 409


def test_nobody_lets_out_what_may_never_come_out(world: HubWorld) -> None:
    name = submit(world).json()["job"]
    poll(world)
    steps(world, *started(world, name))
    steps(world, held(world, name))
    notice = {"findings": [{"risk": "threshold", "rule": "table.empty", "dimension": None, "verdict": "fail"}]}
    assert put(world, f"/v1/jobs/{name}/notice", {**notice, "final": True}).status_code == 204
    candidate = world.ask("GET", "/v1/outputs/held", by="person:checker").json()["items"][0]["candidate"]
    answers = []
    for verdict in ("pass", "fail"):
        body = {"job": name, "candidate": candidate, "rules": RULES, "verdict": verdict, "findings": []}
        check = world.state("output.checked", body, issuer="person:checker", name=new_id("out"))
        answers.append(world.post(f"/v1/jobs/{name}/checks", check, by="person:checker").status_code)
    assert answers == [409, 201]


def test_what_is_called_off_or_stopped_is_told_to_its_node(world: HubWorld) -> None:
    first, second = submit(world).json()["job"], submit(world).json()["job"]
    for name in (first, second):
        assert poll(world).json()["job"] == name
        steps(world, *started(world, name))
    poll(world)
    body = {"reason": "request", "note": None}
    cancelled = world.state("job.cancelled", body, issuer="partner:bank-a", name=first)
    assert world.post(f"/v1/jobs/{first}/cancellation", cancelled, by="partner:bank-a").status_code == 201
    assert poll(world).json()["stops"] == [first]
    freeze(world, TERMS.id)
    assert second in poll(world).json()["stops"]
    assert steps(world, *released(world, second, b"x")).status_code == 403, "nothing is released of what is frozen"


def test_who_waits_is_told_at_once(world: HubWorld) -> None:
    with ThreadPoolExecutor(3) as pool:
        waiting = pool.submit(poll, world, 20)
        name = submit(world).json()["job"]
        assert waiting.result(15).json()["job"] == name
        events = pool.submit(world.ask, "GET", f"/v1/jobs/{name}/events", by="person:analyst")
        status = pool.submit(world.ask, "GET", f"/v1/jobs/{name}?after_state=leased&wait=20", by="person:analyst")
        steps(world, *started(world, name))
        assert status.result(15).json()["state"] == "started"
        steps(world, *released(world, name, b"sealed"))
        put(world, f"/v1/jobs/{name}/result", b"sealed")
        text = events.result(20).text
    assert text.startswith("event: state\nid: 1\ndata: {")
    assert '"state":"released"' in text


def test_a_stream_ends_when_its_caller_would_be_refused(
    world: HubWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = submit(world).json()["job"]
    looks: list[Any] = []

    def once(*args: Any) -> Any:
        looks.append(args)
        if len(looks) > 1:
            raise not_found("job")
        return visible_job(*args)

    monkeypatch.setattr("api.routers.jobs.visible_job", once)
    answer = world.ask("GET", f"/v1/jobs/{name}/events", by="person:analyst")
    assert (answer.status_code, answer.text.count("event: "), len(looks)) == (200, 1, 2)
    assert "unforeseen" not in caplog.text


def test_fifty_partners_at_once_lose_nothing(world: HubWorld) -> None:
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda _: submit(world), range(50)))
    names = {answer.json()["job"] for answer in answers}
    assert {answer.status_code for answer in answers} == {202}
    assert len(names) == 50
    assert {one.id for one in world.hub.standing.jobs.items()} == names


def test_limits_hold_however_many_ask_at_once(world: HubWorld) -> None:
    few = replace(TERMS, id="agr-lab-2026-03", limits=replace(TERMS.limits, jobs=3, jobs_per_day=3))
    world.agree(few)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: submit(world, agreement=few.id), range(12)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [202] * 3 + [403] * 9
    assert "limit-reached" in {one["code"] for answer in answers for one in answer.json().get("reasons") or []}


def test_a_hub_that_starts_again_goes_on(tmp_path: Path, clock: FixedClock) -> None:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as world:
        world.settle(firms_dataset(), TERMS)
        name = submit(world).json()["job"]
    with open_world(home, clock) as world:
        assert poll(world).json()["job"] == name
        steps(world, *started(world, name))
    with open_world(home, clock) as world:
        steps(world, *released(world, name, b"sealed"))
        put(world, f"/v1/jobs/{name}/result", b"sealed")
    with open_world(home, clock) as world:
        assert world.ask("GET", f"/v1/jobs/{name}/result", by="person:analyst").content == b"sealed"


def test_a_job_that_fails_goes_behind_those_that_wait(world: HubWorld) -> None:
    first, second = (str(submit(world).json()["job"]) for _ in range(2))
    told = []
    for attempt in (1, 1, 2, 2):
        name = str(poll(world).json()["job"])
        told.append(name)
        begun = started(world, name, attempt)
        assert steps(world, *(begun if attempt == 1 else begun[:1])).status_code == 201
        body = {"attempt": attempt, "reason": "engine-error", "retryable": True}
        assert steps(world, world.state("job.failed", body, issuer=NODE, name=name)).status_code == 201
    assert told == [first, second, first, second]
