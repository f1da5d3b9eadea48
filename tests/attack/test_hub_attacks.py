"""Who has a good key and wants more than is his: another's jobs and terms, a second answer, an old key, a leftover."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.submissions import opening_json
from policies.model import terms_digest
from tests.integration.test_hub_jobs import TERMS, job, poll, put, released, started, steps, submit
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import ADDRESS, NODE, HubWorld, fixed_key, new_hub, open_world
from yingbi.clock import FixedClock
from yingbi.commitment import commit
from yingbi.events.fields import Duty
from yingbi.http_signing import sign_request
from yingbi.ids import new_id

MINE, OTHERS = "person:analyst", "person:rival"
BANK, RIVAL = "partner:bank-a", "partner:bank-b"
STRANGE_NODE = "node:elsewhere"


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[HubWorld]:
    with open_world(new_hub(tmp_path / "hub", clock), clock) as opened:
        opened.settle(firms_dataset(), TERMS)
        opened.admit(RIVAL, "bank")
        opened.employ(OTHERS, Duty.PARTNER_ANALYST, employer=RIVAL)
        yield opened


def freeze(world: HubWorld, target: str) -> None:
    body = {"target": target, "reason": "incident", "note": None, "drill": False}
    world.recorded("/v1/incidents", world.state("access.frozen", body, issuer=ADMIN), by=ADMIN)


ADMIN = "person:security-admin"


def seen(world: HubWorld, path: str, *, by: str = OTHERS) -> tuple[int, dict[str, Any]]:
    """Return what is answered, without what is new in every answer."""
    answer = world.ask("GET", path, by=by)
    return answer.status_code, {name: value for name, value in answer.json().items() if name != "ref"}


def delivered(world: HubWorld) -> str:
    """Have a job of the bank run and its result uploaded; return its name."""
    name = str(submit(world).json()["job"])
    poll(world)
    assert steps(world, *started(world, name)).status_code == 201
    assert steps(world, *released(world, name, b"sealed")).status_code == 201
    assert put(world, f"/v1/jobs/{name}/result", b"sealed").status_code == 204
    return name


@pytest.mark.parametrize("rest", ["", "/result", "/receipts", "/events"])
def test_anothers_job_is_told_from_none_by_nothing(world: HubWorld, rest: str) -> None:
    name = delivered(world)
    assert seen(world, f"/v1/jobs/{name}{rest}") == seen(world, f"/v1/jobs/job-none{rest}")
    assert world.ask("GET", "/v1/jobs", by=OTHERS).json() == {"items": [], "next": None}


def test_anothers_agreement_is_told_from_none_by_nothing(world: HubWorld) -> None:
    terms = terms_digest(TERMS)
    for there, nowhere in (
        (f"/v1/agreements/{TERMS.id}", "/v1/agreements/agr-none-1"),
        (f"/v1/agreements/{TERMS.id}/impact", "/v1/agreements/agr-none-1/impact"),
        (f"/v1/budgets?agreement={TERMS.id}", "/v1/budgets?agreement=agr-none-1"),
        (f"/v1/documents/{terms}", "/v1/documents/sha256:" + "0" * 64),
    ):
        assert seen(world, there) == seen(world, nowhere)
        assert seen(world, there)[0] == 404
    for path in ("/v1/agreements", "/v1/budgets", "/v1/outputs/held", "/v1/drafts", "/v1/webhooks"):
        assert world.ask("GET", path, by=OTHERS).json()["items"] == []


def test_a_dry_run_says_nothing_of_anothers_agreement(world: HubWorld) -> None:
    _, body = job(world)
    question = {"purpose": TERMS.purpose, "plan": body["openings"][0]["value"]}
    delivered(world)
    answers = [
        world.ask("POST", "/v1/jobs/dry-run", by=OTHERS, body={**question, "agreement": name}).json()
        for name in (TERMS.id, "agr-none-1")
    ]
    assert answers[0] == answers[1]
    assert (answers[0]["outcome"], answers[0]["remaining"]) == ("refuse", {"jobs": 0, "jobs_today": 0})


def test_a_job_under_anothers_agreement_is_refused_and_recorded(world: HubWorld) -> None:
    plan = commit({"nothing": True})
    _, body = job(world)
    own = json.loads(job(world)[0].payload_bytes)["body"] | {"plan": plan.commitment}
    theirs = world.state("job.submitted", own, issuer=OTHERS, on_behalf_of=RIVAL)
    body = {"statements": [json.loads(theirs.envelope)], "openings": [opening_json(plan)]}
    answer = world.ask("POST", "/v1/jobs", by=OTHERS, body=body, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (403, "job-refused")
    assert poll(world).status_code == 204


def test_the_plan_of_anothers_job_is_not_asked_again_by_its_commitment(world: HubWorld) -> None:
    statement, _ = job(world)
    submit(world)
    copied = world.state("job.submitted", statement.payload.body, issuer=OTHERS, on_behalf_of=RIVAL)
    body = {"statements": [json.loads(copied.envelope)]}
    answer = world.ask("POST", "/v1/jobs", by=OTHERS, body=body, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (403, "job-refused")


def test_a_job_is_not_handed_in_for_another_bank(world: HubWorld) -> None:
    _, body = job(world)
    answer = world.ask("POST", "/v1/jobs", by=OTHERS, body=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 403
    assert not list(world.hub.standing.jobs.items())


def test_nobody_is_given_the_answer_that_another_got(world: HubWorld) -> None:
    _, body = job(world)
    headers = {"Idempotency-Key": "the same"}
    first = world.ask("POST", "/v1/jobs", by=MINE, body=body, headers=headers)
    assert first.status_code == 202
    assert world.ask("POST", "/v1/jobs", by=OTHERS, body=body, headers=headers).status_code == 403
    assert world.ask("POST", "/v1/jobs", by=MINE, body=body, headers=headers).content == first.content
    _, another = job(world)
    assert world.ask("POST", "/v1/jobs", by=MINE, body=another, headers=headers).status_code == 422


def test_a_signed_request_is_good_for_nothing_else(world: HubWorld) -> None:
    _, body = job(world)
    content = json.dumps(body).encode()
    fields = {"content-type": "application/json", "idempotency-key": "k"}
    sign_request("POST", f"{ADDRESS}/v1/jobs", fields, content, key=world.key(MINE), clock=world.clock)
    for method, path, changes, sent in (
        ("POST", "/v1/jobs/dry-run", {}, content),
        ("PUT", "/v1/jobs", {}, content),
        ("POST", "/v1/jobs?again=1", {}, content),
        ("POST", "/v1/jobs", {}, content + b" "),
        ("POST", "/v1/jobs", {"idempotency-key": "other"}, content),
        ("POST", "/v1/jobs", {"if-match": '"sha256:0"'}, content),
        ("POST", "/v1/jobs", {"content-type": "text/plain"}, content),
    ):
        answer = world.client.request(method, path, content=sent, headers={**fields, **changes})
        assert answer.status_code in (401, 405), (method, path, changes)
    assert world.client.request("POST", "/v1/jobs", content=content, headers=fields).status_code == 202
    assert world.client.request("POST", "/v1/jobs", content=content, headers=fields).status_code == 401, "twice"


def test_a_key_that_ended_opens_nothing(world: HubWorld) -> None:
    name = delivered(world)
    gone = {"keyid": world.key(MINE).public.thumbprint, "reason": "compromised"}
    world.recorded("/v1/keys", world.state("key.revoked", gone, issuer=MINE), by=BANK)
    for path in (f"/v1/jobs/{name}", f"/v1/jobs/{name}/result", "/v1/agreements"):
        assert world.ask("GET", path, by=MINE).status_code == 401
    assert world.ask("GET", f"/v1/jobs/{name}/result", by=BANK).status_code == 200


@pytest.mark.parametrize("target", [MINE, BANK])
def test_who_is_frozen_reads_nothing_more(world: HubWorld, target: str) -> None:
    name = delivered(world)
    freeze(world, target)
    for path in (f"/v1/jobs/{name}/result", "/v1/agreements", "/v1/datasets"):
        assert world.ask("GET", path, by=MINE).status_code == 403


def test_a_node_of_another_unit_has_no_part_in_a_job(world: HubWorld) -> None:
    world.admit("unit:elsewhere", "source-unit")
    world.recorded("/v1/keys", world.registration(STRANGE_NODE, employer="unit:elsewhere"), by="unit:elsewhere")
    name = str(submit(world).json()["job"])
    for node, status in ((NODE[5:], 404), ("elsewhere", 204)):
        asked = world.ask("POST", f"/v1/nodes/{node}/poll", by=STRANGE_NODE, body={"wait_s": 0})
        assert asked.status_code == status, "no job is leased to it"
    poll(world)
    stolen = [
        world.state(one.type.value, one.payload.body, issuer=STRANGE_NODE, name=one.payload.id)
        for one in (*started(world, name), *released(world, name, b"forged"))
    ]
    size = world.hub.standing.size
    for some in (stolen[:2], stolen[2:], stolen[:1]):
        assert world.post("/v1/nodes/elsewhere/steps", *some, by=STRANGE_NODE).status_code >= 400
    for kind, body in (("result", b"forged"), ("notice", {"reasons": []}), ("progress", {"percent": 99})):
        assert world.ask("PUT", f"/v1/jobs/{name}/{kind}", by=STRANGE_NODE, body=body).status_code == 404
    assert world.hub.standing.size == size


def test_what_is_handed_in_together_is_recorded_together_or_not_at_all(world: HubWorld) -> None:
    size = world.hub.standing.size
    good = {"target": BANK, "reason": "incident", "note": None, "drill": False}
    pair = (
        world.state("access.frozen", good, issuer=ADMIN),
        world.state("access.frozen", {**good, "target": RIVAL}, issuer=OTHERS),
    )
    for some in (pair, pair[::-1]):
        assert world.post("/v1/incidents", *some, by=ADMIN).status_code == 403
    assert (world.hub.standing.size, world.hub.standing.frozen) == (size, frozenset())


def test_a_signature_that_nobody_asked_for_does_not_get_on_a_draft(world: HubWorld) -> None:
    world.employ("person:second", Duty.BUREAU_APPROVER)
    freeze(world, BANK)
    body = {"target": BANK, "note": None, "drill": False}
    lifted = world.state("access.unfrozen", body, issuer=ADMIN)
    answer = world.post("/v1/incidents", lifted, by=ADMIN)
    assert answer.status_code == 202
    path = f"/v1/drafts/{answer.json()['draft']}"
    assert world.ask("GET", path, by=OTHERS).status_code == 404, "it names another bank"
    for person in ("person:registrar", "person:checker"):
        both = world.state("access.unfrozen", body, issuer=ADMIN, signers=[ADMIN, person], name=lifted.payload.id)
        rows = json.loads(both.envelope)["signatures"]
        answer = world.ask("POST", f"{path}/signatures", by=person, body={"signatures": rows})
        assert answer.status_code >= 400, "over other bytes"
    assert BANK in world.hub.standing.frozen


def test_openings_and_documents_that_nothing_names_are_not_kept(world: HubWorld) -> None:
    statement, body = job(world)
    other = commit({"a": 1})
    for more in ({"openings": [*body["openings"], opening_json(other)]}, {"documents": [{"a": 1}]}):
        answer = world.ask("POST", "/v1/jobs", by=MINE, body={**body, **more}, headers={"Idempotency-Key": new_id("k")})
        assert answer.status_code == 400
    assert world.hub.standing.jobs.get(statement.payload.id) is None


def test_an_applicant_sees_his_own_application_alone(world: HubWorld) -> None:
    for party in ("partner:new-a", "partner:new-b"):
        world.keys[party] = fixed_key(party)
        pair = (world.registration(party, signers=[party]), world.application(party, "bank"))
        assert world.post("/v1/applications", *pair, by=party).status_code == 202
    (mine,) = world.ask("GET", "/v1/applications", by="partner:new-a").json()["items"]
    assert "partner:new-b" not in json.dumps(mine)
    for path in ("/v1/drafts", "/v1/jobs", "/v1/datasets", "/v1/agreements"):
        assert world.ask("GET", path, by="partner:new-a").status_code == 401


def test_who_has_left_reads_nothing_more(world: HubWorld) -> None:
    name = delivered(world)
    body = {"party": BANK, "reason": "request", "inventory": None, "note": None}
    world.recorded("/v1/participants", world.state("participant.offboarded", body, issuer=BANK), by=BANK)
    for by in (BANK, MINE):
        for path in (f"/v1/jobs/{name}/result", f"/v1/jobs/{name}", "/v1/agreements"):
            assert world.ask("GET", path, by=by).status_code == 403


@pytest.mark.parametrize("by", ["person:checker", "person:cdo", firms_dataset().owner, NODE, "person:approver"])
def test_a_sealed_result_is_handed_to_its_partner_alone(world: HubWorld, by: str) -> None:
    name = delivered(world)
    assert world.ask("GET", f"/v1/jobs/{name}", by=by).status_code == 200, "who may know of the job"
    assert world.ask("GET", f"/v1/jobs/{name}/result", by=by).status_code == 404
