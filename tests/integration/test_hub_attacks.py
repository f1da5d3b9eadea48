"""What a partner, a node or somebody on the way tries against a hub, and gets nothing for."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration import test_hub_jobs as jobs
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import ADDRESS, NODE, HubWorld, new_hub, open_world
from tests.lib.waiting import wait_until
from yingbi.clock import FixedClock
from yingbi.events.fields import Duty
from yingbi.http_signing import sign_request
from yingbi.ids import new_id

OTHER_NODE = "node:other"


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[HubWorld]:
    home = new_hub(tmp_path / "hub", clock, max_in_flight=6)
    with open_world(home, clock) as opened:
        opened.settle(firms_dataset(), jobs.TERMS)
        opened.admit("partner:bank-b", "bank")
        opened.employ("person:rival", Duty.PARTNER_ANALYST, employer="partner:bank-b")
        yield opened


def test_a_request_that_was_changed_on_its_way_is_nobodys(world: HubWorld) -> None:
    _, body = jobs.job(world)
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json", "idempotency-key": "k"}
    key = world.key("person:analyst")
    sign_request("POST", ADDRESS + "/v1/jobs", headers, content, key=key, clock=world.clock)
    changes = {
        "another body": ("POST", "/v1/jobs", content + b" ", headers),
        "another path": ("POST", "/v1/keys", content, headers),
        "another query": ("POST", "/v1/jobs?x=1", content, headers),
        "another method": ("PUT", "/v1/jobs/x/progress", content, headers),
        "another key for repetitions": ("POST", "/v1/jobs", content, headers | {"idempotency-key": "l"}),
        "no key for repetitions": (
            "POST",
            "/v1/jobs",
            content,
            {name: value for name, value in headers.items() if name != "idempotency-key"},
        ),
    }
    for name, (method, path, data, fields) in changes.items():
        assert world.client.request(method, path, content=data, headers=fields).status_code == 401, name
    assert list(world.hub.standing.jobs.items()) == []


def test_a_rival_asks_in_nobody_elses_name(world: HubWorld) -> None:
    statement, body = jobs.job(world)
    headers = {"Idempotency-Key": "k"}
    assert world.ask("POST", "/v1/jobs", by="person:rival", body=body, headers=headers).status_code == 403
    forged = world.state("job.submitted", statement.payload.body, issuer="person:rival", on_behalf_of="partner:bank-a")
    body["statements"] = [json.loads(forged.envelope)]
    assert world.ask("POST", "/v1/jobs", by="person:rival", body=body, headers=headers).status_code == 403
    assert world.ask("POST", "/v1/jobs", by="person:analyst", body=body, headers=headers).status_code == 403
    assert list(world.hub.standing.jobs.items()) == []


def test_a_job_of_an_id_that_is_taken_changes_nothing(world: HubWorld) -> None:
    name = jobs.submit(world).json()["job"]
    statement, body = jobs.job(world)
    again = world.state(
        "job.submitted", statement.payload.body, issuer="person:analyst", name=name, on_behalf_of="partner:bank-a"
    )
    body["statements"] = [json.loads(again.envelope)]
    answer = world.ask("POST", "/v1/jobs", by="person:analyst", body=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code in (403, 409)
    assert len(world.hub.standing.jobs.get(name).entries) == 2  # type: ignore[union-attr]


def test_nobody_but_the_bureau_approves_by_rule(world: HubWorld) -> None:
    name = jobs.submit(world).json()["job"]
    body = {
        "route": "automatic",
        "rule": "automatic.by-agreement",
        "terms": world.hub.standing.agreements.get(jobs.TERMS.id).terms,  # type: ignore[union-attr]
        "expires_at": jobs.later(world, hours=1),
    }
    for by in ("person:analyst", "partner:bank-a", "person:cdo"):
        forged = world.state("job.approved", body, issuer="bureau:futian", signers=[by], name=name)
        assert world.post(f"/v1/jobs/{name}/approvals", forged, by=by).status_code in (202, 403), by
        own = world.state("job.approved", body, issuer=by, name=name)
        assert world.post(f"/v1/jobs/{name}/approvals", own, by=by).status_code in (202, 403), by
    assert len(world.hub.standing.jobs.get(name).entries) == 2  # type: ignore[union-attr]


def test_a_node_does_nothing_with_a_job_that_it_has_not_leased(world: HubWorld) -> None:
    name = jobs.submit(world).json()["job"]
    jobs.poll(world)
    registration = world.registration(OTHER_NODE, employer="unit:futian-bureau")
    world.recorded("/v1/keys", registration, by="unit:futian-bureau")
    stolen = [
        world.state(one.type, one.payload.body, issuer=OTHER_NODE, name=one.payload.id)
        for one in jobs.started(world, name)
    ]
    assert world.post("/v1/nodes/other/steps", *stolen, by=OTHER_NODE).status_code == 403
    assert world.ask("PUT", f"/v1/jobs/{name}/progress", by=OTHER_NODE, body={"percent": 1}).status_code == 404
    assert world.ask("PUT", f"/v1/jobs/{name}/notice", by=OTHER_NODE, body={}).status_code == 404
    headers = {"content-type": "application/octet-stream"}
    answer = world.ask("PUT", f"/v1/jobs/{name}/result", by=OTHER_NODE, body=b"x", headers=headers)
    assert answer.status_code == 404
    assert jobs.state(world, name) == "leased"


def test_a_partner_does_not_release_to_itself(world: HubWorld) -> None:
    name = jobs.submit(world).json()["job"]
    jobs.poll(world)
    jobs.steps(world, *jobs.started(world, name))
    forged = [
        world.state(one.type, one.payload.body, issuer="partner:bank-a", name=new_id("out"))
        for one in jobs.released(world, name, b"x")[:2]
    ]
    for path in (f"/v1/jobs/{name}/checks", f"/v1/nodes/{NODE[5:]}/steps", f"/v1/jobs/{name}/cancellation"):
        assert world.post(path, *forged, by="partner:bank-a").status_code in (403, 404, 422), path
    check = {**forged[0].payload.body, "verdict": "pass"}
    own = world.state("output.checked", check, issuer="person:analyst", name=new_id("out"))
    assert world.post(f"/v1/jobs/{name}/checks", own, by="person:analyst").status_code == 403
    assert jobs.state(world, name) == "started"


def test_a_signature_that_was_stripped_is_missing(world: HubWorld) -> None:
    both = world.admission("partner:bank-c", "bank")
    world.recorded("/v1/keys", world.registration("partner:bank-c"), by="person:registrar")
    world.recorded("/v1/participants", world.application("partner:bank-c", "bank"), by="partner:bank-c")
    envelope = json.loads(both.envelope)
    envelope["signatures"] = [
        one for one in envelope["signatures"] if one["keyid"] == world.key("person:registrar").public.thumbprint
    ]
    answer = world.ask("POST", "/v1/participants", by="partner:bank-c", body={"statements": [envelope]})
    assert (answer.status_code, answer.json()["missing"]) == (202, ["bureau-approver"])
    assert world.ask("GET", "/v1/participants/partner:bank-c", by="partner:bank-c").json()["state"] == "applied"


def test_a_flood_of_one_partner_leaves_the_others_their_answers(world: HubWorld) -> None:
    name = jobs.submit(world).json()["job"]
    path = f"/v1/jobs/{name}?after_state=approved&wait=20"
    with ThreadPoolExecutor(12) as pool:
        sent = [pool.submit(world.ask, "GET", path, by="person:analyst") for _ in range(12)]
        wait_until(lambda: sum(answer.done() for answer in sent) == 6)
        assert {answer.result().status_code for answer in sent if answer.done()} == {503}
        assert world.ask("GET", "/v1/keys", by="partner:bank-b").status_code == 200
        assert jobs.poll(world).json()["job"] == name
        told = [answer.result(30) for answer in sent]
    assert [one.json()["state"] for one in told if one.status_code == 200] == ["leased"] * 6
    assert world.ask("GET", "/v1/keys", by="partner:bank-a").status_code == 200
