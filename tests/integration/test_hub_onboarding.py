"""The hub's first life over HTTP: ceremony, people, organisations, data, agreements; who may see what."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from policies.model import to_json
from sandbox.catalog.codec import dataset_to_json
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import ADDRESS, HubWorld, fixed_key, lab_terms, new_hub, open_world
from yingbi.canonical import digest_json
from yingbi.clock import FixedClock
from yingbi.errors import ConflictError
from yingbi.events.fields import Duty
from yingbi.http_signing import sign_request
from yingbi.ids import dataset_id
from yingbi.statement import Statement, add_signature

TERMS = lab_terms()


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[HubWorld]:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as opened:
        yield opened


def test_a_hub_begins_with_its_three_administrators_and_never_again(
    world: HubWorld, tmp_path: Path, clock: FixedClock
) -> None:
    answer = world.ask("GET", "/v1/duties", by="person:audit-admin")
    assert answer.status_code == 200, answer.text
    assert {one["holder"]: one["duties"] for one in answer.json()["items"]} == {
        "person:audit-admin": ["audit-admin"],
        "person:security-admin": ["security-admin"],
        "person:system-admin": ["system-admin"],
    }
    with pytest.raises(ConflictError):
        new_hub(tmp_path / "hub", clock)


def test_an_organisation_applies_and_is_admitted_by_two_people(world: HubWorld) -> None:
    world.staff()
    registration = world.registration("partner:bank-a", signers=["partner:bank-a"])
    application = world.application("partner:bank-a", "bank")
    answer = world.post("/v1/applications", registration, application, by="partner:bank-a")
    assert answer.status_code == 202, answer.text
    assert answer.json()["missing"] == ["root"]
    draft = answer.json()["draft"]
    own = world.ask("GET", "/v1/applications", by="partner:bank-a").json()["items"]
    assert [one["draft"] for one in own] == [draft]
    signed = add_signature(registration, world.key("root"))
    answer = world.ask(
        "POST", f"/v1/drafts/{draft}/signatures", by="person:registrar", body={"signatures": [root_signature(signed)]}
    )
    assert answer.status_code == 201, answer.text
    assert [entry["type"] for entry in answer.json()["entries"]] == ["key.registered", "participant.applied"]
    assert world.ask("GET", f"/v1/drafts/{draft}", by="person:registrar").status_code == 404

    admission = world.admission("partner:bank-a", "bank", "person:registrar")
    answer = world.post("/v1/participants", admission, by="person:registrar")
    assert (answer.status_code, answer.json()["missing"]) == (202, ["bureau-approver"])
    where = answer.headers["location"]
    second = add_signature(admission, world.key("person:approver"))
    body = {"signatures": [signature_by(second, world.key("person:approver").public.thumbprint)]}
    assert world.ask("POST", f"{where}/signatures", by="person:approver", body=body).status_code == 201
    found = world.ask("GET", "/v1/participants/partner:bank-a", by="partner:bank-a").json()
    assert (found["state"], found["kind"]) == ("admitted", "bank")


def root_signature(statement: Statement) -> dict[str, str]:
    return signature_by(statement, fixed_key("root").public.thumbprint)


def signature_by(statement: Statement, keyid: str) -> dict[str, str]:
    found = next(one for one in statement.signatures if one.keyid == keyid)
    return {"keyid": keyid, "sig": base64.b64encode(found.sig).decode()}


def test_a_signature_that_nobody_asked_for_is_not_added(world: HubWorld) -> None:
    world.staff()
    world.recorded("/v1/keys", world.registration("partner:bank-a"), by="person:registrar")
    world.recorded("/v1/participants", world.application("partner:bank-a", "bank"), by="partner:bank-a")
    admission = world.admission("partner:bank-a", "bank", "person:registrar")
    where = world.post("/v1/participants", admission, by="person:registrar").headers["location"]
    other = add_signature(admission, world.key("person:checker"))
    body = {"signatures": [signature_by(other, world.key("person:checker").public.thumbprint)]}
    assert world.ask("POST", f"{where}/signatures", by="person:checker", body=body).status_code == 403
    left = world.ask("GET", where, by="person:registrar").json()
    assert len(left["statements"][0]["signatures"]) == 1


def test_who_is_named_by_nothing_of_a_draft_does_not_know_of_it(world: HubWorld) -> None:
    world.staff()
    world.admit("partner:bank-a", "bank")
    world.admit("partner:bank-b", "bank")
    body = {"party": "partner:bank-a", "reason": "breach", "inventory": None, "note": None}
    leaving = world.state("participant.offboarded", body, issuer="person:registrar", on_behalf_of="bureau:futian")
    where = world.post("/v1/participants", leaving, by="person:registrar").headers["location"]
    assert world.ask("GET", where, by="partner:bank-a").status_code == 200
    assert world.ask("GET", where, by="partner:bank-b").status_code == 404


def test_data_and_terms_are_recorded_with_their_documents(world: HubWorld) -> None:
    dataset = world.settle(firms_dataset(), TERMS)
    listed = world.ask("GET", "/v1/datasets?query=firms", by="partner:bank-a").json()["items"]
    assert [(one["id"], one["name"]) for one in listed] == [(dataset, "lab/firms")]
    assert listed[0]["versions"][0]["is_usable"]
    assert world.ask("GET", "/v1/datasets?query=nothing", by="partner:bank-a").json()["items"] == []

    answer = world.ask("GET", f"/v1/agreements/{TERMS.id}", by="partner:bank-a")
    found = answer.json()
    assert (found["state"], found["is_active"], found["missing"]) == ("active", True, [])
    assert answer.headers["etag"] == f'"{found["terms"]}"'
    document = world.ask("GET", f"/v1/documents/{found['terms']}", by="partner:bank-a").json()
    assert document["agreement"] == TERMS.id


def test_terms_are_their_parties(world: HubWorld) -> None:
    world.settle(firms_dataset(), TERMS)
    world.admit("partner:bank-b", "bank")
    terms = world.ask("GET", f"/v1/agreements/{TERMS.id}", by="partner:bank-a").json()["terms"]
    for path in (f"/v1/agreements/{TERMS.id}", f"/v1/agreements/{TERMS.id}/impact", f"/v1/documents/{terms}"):
        assert world.ask("GET", path, by="partner:bank-b").status_code == 404
        assert world.ask("GET", path, by="person:cdo").status_code == 200
    assert world.ask("GET", "/v1/agreements", by="partner:bank-b").json()["items"] == []


def test_a_step_on_terms_that_have_changed_is_refused(world: HubWorld) -> None:
    world.settle(firms_dataset(), TERMS)
    body = {
        "terms": world.ask("GET", f"/v1/agreements/{TERMS.id}", by="person:approver").json()["terms"],
        "reason": "incident",
        "running_jobs": "stop",
        "until": None,
        "note": None,
    }
    step = world.state("agreement.suspended", body, issuer="person:approver", name=TERMS.id)
    stale = {"If-Match": '"sha256:' + "0" * 64 + '"'}
    assert world.post("/v1/agreements", step, by="person:approver", headers=stale).status_code in (409, 412)
    fresh = {"If-Match": f'"{body["terms"]}"'}
    assert world.post("/v1/agreements", step, by="person:approver", headers=fresh).status_code == 201


def test_terms_that_contradict_the_catalogue_are_refused(world: HubWorld) -> None:
    world.settle(firms_dataset(), TERMS)
    grants = tuple(replace(one, name="lab/nothing") for one in TERMS.datasets)
    wrong = replace(TERMS, id="agr-lab-2026-02", datasets=grants)
    answer = world.post("/v1/agreements", world.propose(wrong), by="person:registrar", documents=[to_json(wrong)])
    assert (answer.status_code, answer.json()["code"]) == (422, "agreement-invalid")


def test_terms_that_were_refused_are_not_remembered(world: HubWorld) -> None:
    world.settle(firms_dataset(), TERMS)
    terms = replace(TERMS, id="agr-lab-2026-04")
    stranger = world.propose(terms, by="person:analyst")
    body = {**json.loads(stranger.payload_bytes)["body"], "purpose": "other"}
    untrue = world.state("agreement.proposed", body, issuer="person:registrar", name=terms.id)
    assert world.post("/v1/agreements", untrue, by="person:registrar", documents=[to_json(terms)]).status_code == 403
    answer = world.post("/v1/agreements", world.propose(terms), by="person:registrar")
    assert (answer.status_code, answer.json()["code"]) == (404, "terms-not-found")


def test_an_organisation_that_is_not_admitted_reads_no_terms(world: HubWorld) -> None:
    world.settle(firms_dataset(), TERMS)
    world.recorded("/v1/keys", world.registration("unit:new"), by="person:registrar")
    assert world.ask("GET", f"/v1/agreements/{TERMS.id}", by="unit:new").status_code == 404
    world.recorded(
        "/v1/participants",
        world.application("unit:new", "source-unit"),
        world.admission("unit:new", "source-unit"),
        by="unit:new",
    )
    assert world.ask("GET", f"/v1/agreements/{TERMS.id}", by="unit:new").status_code == 200


def test_a_data_set_that_is_not_what_its_document_says_is_refused(world: HubWorld) -> None:
    world.staff()
    dataset = firms_dataset()
    world.add_unit(dataset)
    document = dataset_to_json(dataset)
    body = {
        "owner": dataset.owner,
        "catalogue_entry": digest_json(document),
        "privacy_unit": dataset.privacy_unit.value,
        "openness": "open",
    }
    said = world.state("dataset.registered", body, issuer=dataset.owner, name=dataset_id(dataset.name))
    answer = world.post("/v1/datasets", said, by=dataset.owner, documents=[document])
    assert (answer.status_code, answer.json()["code"]) == (422, "catalogue-invalid")
    assert world.post("/v1/datasets", said, by=dataset.owner).status_code == 422, "without its document"


def test_who_is_frozen_gets_no_answer_until_two_people_let_go(world: HubWorld) -> None:
    world.staff()
    world.admit("partner:bank-a", "bank")
    freeze = {"target": "partner:bank-a", "reason": "incident", "drill": False, "note": None}
    said = world.state("access.frozen", freeze, issuer="person:security-admin")
    world.recorded("/v1/incidents", said, by="person:security-admin")
    assert world.ask("GET", "/v1/participants", by="partner:bank-a").status_code == 403
    thaw = {"target": "partner:bank-a", "drill": False, "note": None}
    one = world.state("access.unfrozen", thaw, issuer="person:security-admin")
    assert world.post("/v1/incidents", one, by="person:security-admin").status_code == 202
    both = world.state(
        "access.unfrozen", thaw, issuer="person:approver", signers=["person:approver", "person:security-admin"]
    )
    world.recorded("/v1/incidents", both, by="person:approver")
    assert world.ask("GET", "/v1/participants", by="partner:bank-a").status_code == 200
    types = [one["type"] for one in world.ask("GET", "/v1/incidents", by="person:approver").json()["items"]]
    assert types == ["access.frozen", "access.unfrozen"]


def test_a_hub_that_starts_again_knows_all_that_it_knew(tmp_path: Path, clock: FixedClock) -> None:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as world:
        world.settle(firms_dataset(), TERMS)
        before = world.ask("GET", f"/v1/agreements/{TERMS.id}", by="partner:bank-a").json()
        size = world.hub.standing.size
    with open_world(home, clock) as world:
        assert world.hub.standing.size == size
        assert world.ask("GET", f"/v1/agreements/{TERMS.id}", by="partner:bank-a").json() == before


def test_a_statement_that_was_recorded_is_found_again_not_recorded_again(world: HubWorld) -> None:
    world.staff()
    registration = world.registration("partner:bank-a")
    first = world.recorded("/v1/keys", registration, by="person:registrar")
    assert world.recorded("/v1/keys", registration, by="person:registrar") == first


def test_a_request_is_good_once(world: HubWorld) -> None:
    headers: dict[str, str] = {}
    sign_request("GET", ADDRESS + "/v1/keys", headers, b"", key=world.key("person:audit-admin"), clock=world.clock)
    assert world.client.request("GET", "/v1/keys", headers=headers).status_code == 200
    again = world.client.request("GET", "/v1/keys", headers=headers)
    assert (again.status_code, again.json()["code"]) == (401, "request-unsigned")


def test_a_request_for_another_hub_or_by_a_stranger_is_refused(world: HubWorld) -> None:
    headers: dict[str, str] = {}
    key = world.key("person:audit-admin")
    sign_request("GET", "https://other.example/v1/keys", headers, b"", key=key, clock=world.clock)
    assert world.client.request("GET", "/v1/keys", headers=headers).status_code == 401
    assert world.ask("GET", "/v1/keys", by="partner:nobody").status_code == 401
    assert world.client.request("GET", "/v1/keys", headers={}).status_code == 401


def test_an_idempotency_key_gives_the_same_answer_and_only_to_the_same_request(world: HubWorld) -> None:
    world.staff()
    statement = world.registration("partner:bank-a")
    headers = {"Idempotency-Key": "k-1"}
    first = world.post("/v1/keys", statement, by="person:registrar", headers=headers)
    assert first.status_code == 201
    assert world.post("/v1/keys", statement, by="person:registrar", headers=headers).content == first.content
    other = world.registration("partner:bank-b")
    answer = world.post("/v1/keys", other, by="person:registrar", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-conflict")
    assert world.post("/v1/keys", other, by="person:approver", headers=headers).status_code == 201, "its own keys"


def test_pages_lead_through_the_whole_listing(world: HubWorld) -> None:
    world.staff()
    seen: list[int] = []
    path = "/v1/keys?limit=3"
    while path:
        page = world.ask("GET", path, by="person:audit-admin").json()
        seen += [one["index"] for one in page["items"]]
        path = f"/v1/keys?limit=3&cursor={page['next']}" if page["next"] else ""
    assert len(seen) == len(set(seen)) == 7
    assert seen == sorted(seen)


def test_a_refused_statement_says_which_rule_it_breaks_and_leaves_nothing(world: HubWorld) -> None:
    size = world.hub.standing.size
    grant = world.grant("person:system-admin", Duty.AUDIT_ADMIN)
    answer = world.post("/v1/duties", grant, by="person:security-admin")
    assert (answer.status_code, answer.json()["rule"]) == (403, "separation")
    assert answer.headers["content-type"] == "application/problem+json"
    assert world.hub.standing.size == world.hub.store.read_head().size == size


def test_of_several_statements_all_are_recorded_or_none(world: HubWorld) -> None:
    size = world.hub.standing.size
    bad = world.grant("person:system-admin", Duty.AUDIT_ADMIN)
    fine = world.registration("person:clerk", employer="bureau:futian")
    answer = world.post("/v1/duties", world.grant("person:system-admin", Duty.EXPERT), bad, by="person:security-admin")
    assert answer.status_code == 403
    assert world.hub.standing.size == size
    world.recorded("/v1/keys", fine, by="person:security-admin")
    held = world.hub.standing.people.duties("person:system-admin", at="2026-11-21T09:00:00.000000Z")
    assert held == {Duty.SYSTEM_ADMIN}


def test_the_log_beside_it_is_everybodys(world: HubWorld) -> None:
    assert world.client.request("GET", "/checkpoint", headers={}).text.startswith("log.futian.example/test\n")
    assert world.client.request("GET", "/v1/entries/0/receipt", headers={}).text.startswith("c2sp.org/tlog-proof@v1")
    assert world.client.request("GET", "/v1/entries/9999/receipt", headers={}).status_code == 404
    described = world.client.request("GET", "/v1/openapi.json", headers={}).json()
    assert described["openapi"].startswith("3.1")
    assert json.dumps(described).count("ProblemOut") > 10
    assert world.client.request("GET", "/healthz", headers={}).json()["status"] == "ok"
    assert "bank" not in world.client.request("GET", "/metrics", headers={}).text
