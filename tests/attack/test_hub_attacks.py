"""Who has a good key and wants more than is his: another's jobs and terms, a second answer, an old key, a leftover."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from fastapi.routing import APIRoute

from api.drafts import Draft, DraftKind
from api.main import ROUTERS, create_app
from api.schemas.submissions import SubmissionIn
from api.submissions import opening_json
from policies.model import Agreement, Approvals, JobApproval, OutputApproval, terms_digest, to_json
from tests.integration.test_hub_jobs import TERMS, job, poll, put, released, started, steps, submit
from tests.lib.attack_world import firms_dataset
from tests.lib.examples import minimal_body
from tests.lib.hubs import ADDRESS, BUREAU, NODE, HubWorld, fixed_key, lab_terms, new_hub, open_world
from yingbi.canonical import digest_json
from yingbi.clock import FixedClock
from yingbi.commitment import commit
from yingbi.events import EntryType
from yingbi.events.fields import Duty
from yingbi.http_signing import sign_request
from yingbi.ids import new_id
from yingbi.statement import Statement, add_signature

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


# --- documents


def alone() -> Agreement:
    """Return terms that a partner could sign by itself."""
    given = Approvals(agreement=(Duty.PARTNER_KEY_OFFICER,), job=JobApproval.AUTOMATIC, output=OutputApproval.AUTOMATIC)
    return lab_terms(name="agr-evil-2026-01", approvals=given)


def test_terms_do_not_come_in_as_the_document_of_something_else(world: HubWorld) -> None:
    evil = alone()
    digest = terms_digest(evil)
    _, body = job(world, agreement="agr-none-1", code=digest)
    answer = world.ask(
        "POST", "/v1/jobs", by=MINE, body={**body, "documents": [to_json(evil)]}, headers={"Idempotency-Key": "x"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "commitment-mismatch")
    assert world.hub.documents.find(digest) is None
    answer = world.post("/v1/agreements", world.propose(evil, by=MINE), by=MINE)
    assert (answer.status_code, answer.json()["code"]) == (404, "terms-not-found")


def test_terms_that_are_kept_already_are_checked_all_the_same(world: HubWorld) -> None:
    evil = alone()
    declaration = to_json(evil)
    statement, body = job(world, agreement="agr-none-1")
    said = world.state(
        "job.submitted",
        statement.payload.body,
        issuer=MINE,
        on_behalf_of=BANK,
        refs={"declaration": digest_json(declaration)},
    )
    body |= {"statements": [json.loads(said.envelope)], "documents": [declaration]}
    world.ask("POST", "/v1/jobs", by=MINE, body=body, headers={"Idempotency-Key": "x"})
    assert world.hub.documents.find(terms_digest(evil)) is not None, "a declaration may be any text"
    direct = world.post("/v1/agreements", world.propose(evil, by=MINE), by=MINE, documents=[declaration])
    kept = world.post("/v1/agreements", world.propose(evil, by=MINE), by=MINE)
    assert (direct.status_code, direct.json()["code"]) == (kept.status_code, kept.json()["code"])
    assert kept.json()["code"] == "agreement-invalid"
    assert world.hub.standing.agreements.get(evil.id) is None


# --- drafts and applications


def half_signed(world: HubWorld) -> tuple[Statement, str]:
    """Have a unit begin the registration of a node: it lacks the root; return it with where its draft is."""
    unit = firms_dataset().owner
    full = world.registration("node:new", employer=unit, signers=["node:new", unit])
    answer = world.post("/v1/keys", full, by=unit)
    assert (answer.status_code, answer.json()["missing"]) == (202, ["root"])
    return full, f"/v1/drafts/{answer.json()['draft']}"


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/applications"])
@pytest.mark.parametrize("is_stripped", [True, False])
def test_a_draft_is_not_replaced_by_somebody_else(world: HubWorld, path: str, *, is_stripped: bool) -> None:
    full, where = half_signed(world)
    unit = firms_dataset().owner
    sent = json.loads(full.envelope)
    if is_stripped:
        own = world.key("node:new").public.thumbprint
        sent["signatures"] = [one for one in sent["signatures"] if one["keyid"] == own]
    answer = world.ask("POST", path, by=OTHERS, body={"statements": [sent]})
    assert answer.status_code == (202 if path == "/v1/keys" else 422)
    found = world.ask("GET", where, by=unit).json()
    assert (found["missing"], found["sender"], found["kind"]) == (["root"], unit, "draft")
    assert len(found["statements"][0]["signatures"]) == 2


def test_who_sends_a_draft_again_adds_what_is_missing(world: HubWorld) -> None:
    full, where = half_signed(world)
    envelope = json.loads(add_signature(full, world.key("root")).envelope)
    root = world.key("root").public.thumbprint
    envelope["signatures"] = [one for one in envelope["signatures"] if one["keyid"] == root]
    answer = world.ask("POST", "/v1/keys", by="person:registrar", body={"statements": [envelope]})
    assert (answer.status_code, answer.json()["entries"][0]["type"]) == (201, "key.registered")
    assert world.ask("GET", where, by=firms_dataset().owner).status_code == 404


def test_a_draft_is_signed_anew_where_the_key_of_a_signature_has_ended(world: HubWorld) -> None:
    full, where = half_signed(world)
    unit = firms_dataset().owner
    old = world.key(unit)
    world.keys["unit:next"] = fixed_key("next")
    body = {"jwk": world.key("unit:next").public.to_jwk(), "owner": unit, "old": old.public.thumbprint}
    rotated = world.state("key.rotated", {**body, "not_after": None}, issuer=unit, signers=[unit, "unit:next"])
    world.recorded("/v1/keys", rotated, by=unit)
    world.keys[unit] = world.key("unit:next")
    envelope = json.loads(add_signature(full, world.key(unit)).envelope)
    envelope["signatures"] = [one for one in envelope["signatures"] if one["keyid"] != old.public.thumbprint]
    answer = world.ask("POST", "/v1/keys", by=unit, body={"statements": [envelope]})
    assert (answer.status_code, answer.json()["missing"]) == (202, ["root"])
    (kept,) = world.ask("GET", where, by=unit).json()["statements"]
    assert kept["signatures"] == envelope["signatures"]


def test_a_signature_that_is_none_does_not_get_into_a_draft(world: HubWorld) -> None:
    party = "partner:new"
    pair = (world.registration(party, signers=[party]), world.application(party, "bank"))
    envelopes = [json.loads(one.envelope) for one in pair]
    envelopes[1]["signatures"][0]["sig"] = envelopes[0]["signatures"][0]["sig"]
    answer = world.ask("POST", "/v1/applications", by=party, body={"statements": envelopes})
    assert answer.status_code == 400
    assert world.hub.drafts.of_kind(DraftKind.APPLICATION) == []


def test_of_two_who_sign_at_once_both_have_signed(world: HubWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = firms_dataset().owner
    statement = world.registration("node:new", employer=unit, signers=["node:new"])
    where = f"/v1/drafts/{world.post('/v1/keys', statement, by=unit).json()['draft']}/signatures"
    keep = world.hub.drafts.sign

    def signing(by: str, sender: str) -> int:
        rows = json.loads(add_signature(statement, world.key(by)).envelope)["signatures"]
        row = next(one for one in rows if one["keyid"] == world.key(by).public.thumbprint)
        return world.ask("POST", where, by=sender, body={"signatures": [row]}).status_code

    def late(*given: Any) -> Draft | None:
        monkeypatch.setattr(world.hub.drafts, "sign", keep)
        assert signing("root", "person:registrar") == 202, "between the other's reading and writing"
        return keep(*given)

    monkeypatch.setattr(world.hub.drafts, "sign", late)
    assert signing(unit, unit) == 201
    assert world.hub.standing.keys.organisation("node:new") == unit


def of_somebody(world: HubWorld, owner: str, *, employer: str | None = None) -> list[Statement]:
    """Return the application of a new key for a party that is there or is none of those who apply."""
    world.keys["partner:evil"] = fixed_key("evil")
    body = {"jwk": world.key("partner:evil").public.to_jwk(), "owner": owner, "not_before": NOW, "not_after": None}
    registered = world.state("key.registered", body, issuer=BUREAU, signers=["partner:evil"], on_behalf_of=employer)
    applied = json.loads(world.application("partner:evil", "bank").payload_bytes)["body"] | {"party": owner}
    return [registered, world.state("participant.applied", applied, issuer=owner, signers=["partner:evil"])]


NOW = "2026-11-21T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("owner", "employer"),
    [
        ("person:approver", BUREAU),
        ("person:approver", None),
        ("node:new", "unit:futian-bureau"),
        (BUREAU, None),
        (BANK, None),
        (RIVAL, BUREAU),
        ("subject:somebody", None),
        ("unit:futian-bureau", None),
    ],
)
def test_nobody_applies_in_a_name_that_is_not_an_organisations_or_is_taken(
    world: HubWorld, owner: str, employer: str | None
) -> None:
    statements = of_somebody(world, owner, employer=employer)
    for some, status in ((statements, 403), (statements[:1], 422)):
        assert world.post("/v1/applications", *some, by="partner:evil").status_code == status
    assert world.hub.drafts.of_kind(DraftKind.APPLICATION) == []


def test_an_application_is_one_key_and_one_application_by_it(world: HubWorld) -> None:
    party, other = "partner:new-a", "partner:new-b"
    key, application = world.registration(party, signers=[party]), world.application(party, "bank")
    both = world.registration(party, signers=[party, other])
    for some, by, status in (
        ([key], party, 422),
        ([key, application, application], party, 422),
        ([key, key, application], party, 422),
        ([key, world.application(other, "bank")], party, 422),
        ([key, application], MINE, 403),
        ([both, application], other, 401),
    ):
        assert world.post("/v1/applications", *some, by=by).status_code == status, (some, by)
    for owner in ("unit:new", "auditor:new", "witness:new", party):
        pair = of_somebody(world, owner)
        assert world.post("/v1/applications", *pair, by="partner:evil").status_code == 202
    (waiting,) = world.hub.drafts.of_kind(DraftKind.APPLICATION)
    assert party in waiting.parties, "a key has one application, its last"
    page = world.client.request("GET", "/metrics", headers={}).text
    assert 'yingbi_drafts{kind="application"} 1\n' in page
    assert 'yingbi_drafts{kind="draft"} 0\n' in page


def test_the_metrics_read_no_draft(world: HubWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    half_signed(world)
    monkeypatch.setattr("api.drafts.parse_submission", lambda _: pytest.fail("a draft was read"))
    page = world.client.request("GET", "/metrics", headers={})
    assert 'yingbi_drafts{kind="draft"} 1\n' in page.text


# --- results, streams, the log's own entries


def test_what_was_destroyed_is_not_handed_out(world: HubWorld) -> None:
    name = delivered(world)
    body = {"job": name, "thing": "result", "content": "sha256:" + "7" * 64, "method": "keys-erased"}
    assert steps(world, world.state("output.destroyed", body, issuer=NODE, name=new_id("out"))).status_code == 201
    assert world.ask("GET", f"/v1/jobs/{name}/result", by=MINE).status_code == 404
    found = world.ask("GET", f"/v1/jobs/{name}", by=MINE).json()
    assert (found["state"], found["has_result"]) == ("destroyed", False)


@pytest.mark.parametrize("is_fetched", [True, False])
def test_a_suspended_partner_fetches_no_result(world: HubWorld, *, is_fetched: bool) -> None:
    name = delivered(world)
    if is_fetched:
        assert world.ask("GET", f"/v1/jobs/{name}/result", by=MINE).status_code == 200
    body = {"party": BANK, "reason": "incident", "until": None, "note": None}
    suspended = world.state("participant.suspended", body, issuer="person:approver")
    world.recorded("/v1/participants", suspended, by="person:approver")
    size = world.hub.standing.size
    for by in (MINE, BANK):
        assert world.ask("GET", f"/v1/jobs/{name}/result", by=by).status_code == 403
    assert world.hub.standing.size == size, "no delivery is recorded"


def test_streams_count_until_they_end(tmp_path: Path, clock: FixedClock) -> None:
    with open_world(new_hub(tmp_path / "hub-2", clock, max_in_flight=2), clock) as world:
        world.settle(firms_dataset(), TERMS)
        path = f"/v1/jobs/{submit(world).json()['job']}/events"
        begun, statuses = asyncio.run(listening(world, path, many=4))
        assert begun == [200, 200, 503, 503]
        assert statuses == [200], "those that listened have gone"


async def listening(world: HubWorld, path: str, *, many: int) -> tuple[list[int], list[int]]:
    """Return what is answered to several who listen at a time, and to one after them."""
    app = create_app(world.hub)
    heard: asyncio.Queue[int] = asyncio.Queue()

    async def listen() -> None:
        headers: dict[str, str] = {}
        sign_request("GET", ADDRESS + path, headers, b"", key=world.key(MINE), clock=world.clock)
        asked = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> dict[str, Any]:
            if not asked:
                await asyncio.Event().wait()
            return asked.pop()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                heard.put_nowait(message["status"])

        names = {"method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
        fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "https"}
        ends = {"server": ("hub.example", 443), "client": ("127.0.0.1", 1)}
        await app({**scope, **names, **ends, "headers": fields}, receive, send)

    begun, tasks = [], []
    for _ in range(many):
        tasks.append(asyncio.create_task(listen()))
        begun.append(await heard.get())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    last = asyncio.create_task(listen())
    statuses = [await heard.get()]
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)
    return begun, statuses


def test_no_route_takes_entries_of_the_log_itself(world: HubWorld) -> None:
    name = str(submit(world).json()["job"])
    taking = [
        route
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and SubmissionIn in get_type_hints(route.endpoint).values()
    ]
    assert len(taking) == 13
    size = world.hub.standing.size
    for kind in (one for one in EntryType if one.noun == "log"):
        statement = world.state(kind.value, minimal_body(kind), issuer=BUREAU)
        for route in taking:
            path = route.path.replace("{job}", name).replace("{name}", NODE[5:]).replace("{federation}", new_id("fed"))
            by = NODE if path.endswith("/steps") else BUREAU
            answer = world.post(path, statement, by=by, headers={"Idempotency-Key": new_id("key")})
            if "{federation}" in route.path:
                assert answer.status_code == 404, "there is none to say anything about"
                continue
            assert answer.status_code == 422, (kind, path, answer.text)
            assert f"`{kind.value}` is not taken here" in answer.json()["detail"]
    assert world.hub.standing.size == size
