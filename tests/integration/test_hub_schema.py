"""The hub keeps to its own description (OpenAPI), whoever asks for whatever: Schemathesis makes the requests."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from api.main import create_app
from federated.flower.local_grid import Fault
from policies.model import JobApproval, terms_digest, to_json
from sandbox.query.sql import parse_sql
from tests.conftest import START
from tests.integration import test_hub_jobs as jobs
from tests.integration.test_hub_onboarding import signature_by
from tests.lib.attack_world import firms_dataset
from tests.lib.federation import PARTNER, UNITS, FederatedWorld, open_federation
from tests.lib.hubs import NODE, HubWorld, lab_terms, new_hub, open_world
from tests.lib.nodes import PURPOSE
from yingbi.clock import FixedClock
from yingbi.events.fields import Duty
from yingbi.ids import new_id
from yingbi.plan.codec import plan_to_json
from yingbi.statement import Statement, add_signature

ANALYST, APPROVER, NEWCOMER = "person:analyst", "person:approver", "partner:newcomer"
SEALED = b"sealed result"
EXAMPLES = 12
Values = Mapping[str, list[str | int]]
Cases = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Visit:
    """A caller, what it asks for (all where nothing is said), and what it is never given: its part of the rules."""

    by: str | None
    tags: tuple[str, ...] = ()
    phases: tuple[str, ...] = ("examples", "fuzzing")
    never: frozenset[str] = frozenset()


JOIN = "PUT /v1/nodes/{name}/federation"
OF_NODES = frozenset(
    {"POST /v1/nodes/{name}/poll", "POST /v1/nodes/{name}/steps"}
    | {f"PUT /v1/jobs/{{job}}/{what}" for what in ("result", "notice", "progress")}
    | {JOIN}
)
# Here nobody trains; those who do are visited further below.
OF_FEDERATIONS = frozenset(
    {"GET /v1/federations/{federation}", "GET /v1/federations/{federation}/events"}
    | {"GET /v1/federations/{federation}/rounds/{number}/{attempt}/{node}", "POST /v1/federations/{federation}/stop"}
)
OF_PARTNERS = frozenset(
    {"POST /v1/jobs", "GET /v1/jobs/{job}/result", "POST /v1/webhooks", "DELETE /v1/webhooks/{webhook}"}
)
OF_THE_BUREAU = frozenset({"GET /v1/drafts/{digest}", "POST /v1/drafts/{digest}/signatures"})
VISITS = {
    "analyst": Visit(
        ANALYST,
        phases=("examples", "coverage", "fuzzing", "stateful"),
        never=OF_NODES | OF_THE_BUREAU | OF_FEDERATIONS | {"POST /v1/applications"},
    ),
    "approver": Visit(APPROVER, never=OF_NODES | OF_PARTNERS | OF_FEDERATIONS | {"POST /v1/applications"}),
    "node": Visit(NODE, tags=("nodes", "jobs"), never=frozenset({"GET /v1/jobs/{job}/result", "POST /v1/jobs", JOIN})),
    "checker": Visit("person:checker", tags=("outputs", "budgets")),
    "newcomer": Visit(NEWCOMER, tags=("applications",)),
    "anybody": Visit(None, tags=("public", "entries"), phases=("examples", "coverage", "fuzzing")),
}


@pytest.fixture(scope="module")
def runs() -> Iterator[ModuleType]:
    """What runs Schemathesis, which changes Hypothesis where it is imported: late, and undone."""
    from tests.lib import schema_runs

    with schema_runs.hypothesis_as_it_was():
        yield schema_runs


@pytest.fixture
def world(tmp_path: Path) -> Iterator[HubWorld]:
    clock = FixedClock(START)
    # Who waits for work is answered at once: nothing here is about waiting.
    home = new_hub(tmp_path / "hub", clock, max_wait_s=0)
    with open_world(home, clock) as opened:
        opened.settle(firms_dataset(), jobs.TERMS)
        opened.admit("partner:bank-b", "bank")
        yield opened


def begun(world: HubWorld) -> str:
    """Return a job that its node is working on."""
    name = str(jobs.submit(world).json()["job"])
    assert jobs.poll(world).json()["job"] == name
    assert jobs.steps(world, *jobs.started(world, name)).status_code == 201
    return name


def released(world: HubWorld) -> str:
    """Return a job whose result is there."""
    name = begun(world)
    assert jobs.steps(world, *jobs.released(world, name, SEALED)).status_code == 201
    assert jobs.put(world, f"/v1/jobs/{name}/result", SEALED).status_code == 204
    return name


def held(world: HubWorld) -> str:
    """Return a job whose result is held."""
    name = begun(world)
    assert jobs.steps(world, jobs.held(world, name)).status_code == 201
    assert jobs.put(world, f"/v1/jobs/{name}/notice", {"findings": [{"rule": "dominance"}]}).status_code == 204
    return name


def draft(world: HubWorld) -> tuple[Statement, str]:
    """Return a statement that waits for the approver, and the name of its draft."""
    body = {"party": "partner:bank-b", "reason": "breach", "inventory": None, "note": None}
    leaving = world.state("participant.offboarded", body, issuer="person:registrar", on_behalf_of="bureau:futian")
    answer = world.post("/v1/participants", leaving, by="person:registrar")
    assert answer.status_code == 202, answer.text
    return leaving, str(answer.json()["draft"])


def applied(world: HubWorld) -> dict[str, Any]:
    """Return the body of an application that waits for the bureau."""
    registered = world.registration(NEWCOMER, signers=[NEWCOMER])
    body = submission(registered, world.application(NEWCOMER, "bank"))
    assert world.ask("POST", "/v1/applications", by=NEWCOMER, body=body["body"]).status_code == 202
    return body


def hooked(world: HubWorld) -> str:
    """Return a webhook of the partner."""
    return str(world.ask("POST", "/v1/webhooks", by=ANALYST, body={"url": "https://bank-a.example"}).json()["id"])


def drill(world: HubWorld) -> Statement:
    body = {"target": "partner:bank-a", "reason": "incident", "note": None, "drill": True}
    return world.state("access.frozen", body, issuer=APPROVER)


def things(world: HubWorld) -> Values:
    """Return what parameters may name, of everything that the hub has."""
    refused = str(jobs.submit(world, purpose="other").json()["job"])
    names: list[str | int] = [released(world), held(world), begun(world), refused]
    world.recorded("/v1/incidents", drill(world), by=APPROVER)
    _, waiting = draft(world)
    terms = world.hub.standing.agreements.get(jobs.TERMS.id)
    assert terms is not None
    return {
        "path.job": names,
        "path.agreement": [jobs.TERMS.id],
        "query.agreement": [jobs.TERMS.id],
        "body.agreement": [jobs.TERMS.id],
        "body.purpose": [PURPOSE],
        "path.dataset": [jobs.FIRMS],
        "path.party": ["partner:bank-a", firms_dataset().owner],
        "path.digest": [terms.terms, waiting],
        "path.name": [NODE[5:]],
        "path.webhook": [hooked(world)],
        "path.index": [0, 1, world.hub.standing.size - 1],
    }


def in_json(body: object, **places: str) -> dict[str, Any]:
    return {"body": body, "media_type": "application/json", "path_parameters": places}


def submission(*statements: Statement, places: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return in_json({"statements": [json.loads(one.envelope) for one in statements], **more}, **(places or {}))


def signed(world: HubWorld) -> Cases:
    """Return requests that must be recorded or refused for what they say: nobody draws signatures."""
    terms = lab_terms("agr-lab-2026-09")
    versioned = {"version": 2, "schema_digest": "sha256:" + "8" * 64, "content": "sha256:" + "9" * 64}
    leaving, waiting = draft(world)
    added = signature_by(add_signature(leaving, world.key(APPROVER)), world.key(APPROVER).public.thumbprint)
    world.recorded("/v1/keys", world.registration("partner:bank-c"), by="person:registrar")
    admitted = world.admission("partner:bank-c", "bank")
    asked, body = jobs.job(world)
    refused, wrong = jobs.job(world, purpose="other")
    question = {"agreement": jobs.TERMS.id, "purpose": PURPOSE, "plan": plan_to_json(parse_sql(jobs.SUM))}
    return {
        "POST /v1/keys": [submission(world.registration("person:clerk", employer="bureau:futian"))],
        "POST /v1/duties": [submission(world.grant("person:checker", Duty.EXPERT))],
        "POST /v1/participants": [submission(world.application("partner:bank-c", "bank"), admitted)],
        "POST /v1/datasets": [submission(world.state("dataset.versioned", versioned, issuer=NODE, name=jobs.FIRMS))],
        "POST /v1/agreements": [submission(world.propose(terms), documents=[to_json(terms)])],
        "POST /v1/incidents": [submission(drill(world))],
        "POST /v1/drafts/{digest}/signatures": [in_json({"signatures": [added]}, digest=waiting)],
        "POST /v1/jobs": [
            in_json(body) | {"headers": {"Idempotency-Key": asked.payload.id}},
            in_json(wrong) | {"headers": {"Idempotency-Key": refused.payload.id}},
        ],
        "POST /v1/jobs/dry-run": [in_json(question)],
        **about_jobs(world),
        "POST /v1/applications": [applied(world)],
    }


def about_jobs(world: HubWorld) -> Cases:
    """Return requests about jobs that are where each of them has to be."""
    done, working, looked_at, called_off = released(world), begun(world), held(world), begun(world)
    approved, approval = reviewed(world)
    leased = str(jobs.submit(world).json()["job"])
    assert jobs.poll(world).json()["job"] == leased
    why = {"reason": "request", "note": None}
    cancelled = world.state("job.cancelled", why, issuer="partner:bank-a", name=called_off)
    verdict = {"job": looked_at, "candidate": "sha256:" + "6" * 64, "rules": jobs.RULES, "verdict": "pass"}
    checked = world.state("output.checked", verdict | {"findings": []}, issuer="person:checker", name=new_id("out"))
    sealed = {"body": SEALED, "media_type": "application/octet-stream", "path_parameters": {"job": done}}
    return {
        "POST /v1/jobs/{job}/cancellation": [submission(cancelled, places={"job": called_off})],
        "POST /v1/jobs/{job}/approvals": [submission(approval, places={"job": approved})],
        "POST /v1/jobs/{job}/checks": [submission(checked, places={"job": looked_at})],
        "PUT /v1/jobs/{job}/result": [sealed],
        "PUT /v1/jobs/{job}/notice": [in_json({"findings": []}, job=working)],
        "PUT /v1/jobs/{job}/progress": [in_json({"percent": 40}, job=working)],
        "POST /v1/nodes/{name}/poll": [in_json({"wait_s": 0}, name=NODE[5:])],
        "POST /v1/nodes/{name}/steps": [submission(*jobs.started(world, leased), places={"name": NODE[5:]})],
    }


def reviewed(world: HubWorld) -> tuple[str, Statement]:
    """Return a job that people have to look at, and their approval of it."""
    approvals = replace(jobs.TERMS.approvals, job=JobApproval.REVIEWED)
    terms = replace(jobs.TERMS, id="agr-lab-2026-02", approvals=approvals)
    world.agree(terms)
    world.employ("person:reviewer", Duty.BUREAU_REVIEWER)
    name = str(jobs.submit(world, agreement=terms.id).json()["job"])
    body = {"route": "reviewed", "rule": None, "terms": terms_digest(terms), "expires_at": jobs.later(world, hours=2)}
    signers = ("person:cdo", "person:reviewer")
    return name, world.state("job.approved", body, issuer="person:cdo", signers=signers, name=name)


@pytest.mark.parametrize("visit", VISITS.values(), ids=VISITS)
def test_every_answer_is_one_that_the_description_has(runs: ModuleType, world: HubWorld, visit: Visit) -> None:
    run = runs.run(
        create_app(world.hub),
        signer=None if visit.by is None else runs.Signer(world.key(visit.by), world.clock),
        known=things(world),
        made=signed(world),
        tags=visit.tags,
        phases=visit.phases,
        examples=EXAMPLES,
    )
    assert not run.findings, "\n\n".join(run.findings)
    assert run.never_succeeded == visit.never, "what is reached by nobody is not tested"


TRAINING = {
    "partner": Visit(PARTNER, tags=("federations",)),
    "member": Visit("node:bao", tags=("federations",), never=frozenset({"POST /v1/federations/{federation}/stop"})),
    "joining": Visit("node:bao", tags=("nodes",), never=frozenset({"POST /v1/nodes/{name}/steps"})),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FederatedWorld, str, str]]:
    """A world in which a federation has completed and another one goes on (of which events would have no end)."""
    with open_federation(tmp_path_factory.mktemp("trained"), rows=60) as opened:
        opened.run_all()
        completed, going = opened.question(), opened.question()
        opened.submit(completed)
        opened.wait_for(completed, "completed")
        opened.way.fault = lambda node, _: Fault.LOSE_REQUEST if node == "node:bao" else None
        opened.submit(going)
        opened.wait_for(going, "running")
        yield opened, completed.federation, going.federation


@pytest.mark.parametrize("visit", TRAINING.values(), ids=TRAINING)
def test_every_answer_about_federations_is_one_that_the_description_has(
    runs: ModuleType, trained: tuple[FederatedWorld, str, str], visit: Visit
) -> None:
    world, completed, going = trained
    hub = world.hub.hub
    waits_for_nothing = replace(hub, settings=replace(hub.settings, max_wait_s=0))
    body = {"reason": "request", "rounds": 0, "note": None}
    stop = world.hub.state("federation.aborted", body, issuer=PARTNER, name=going)
    run = runs.run(
        create_app(waits_for_nothing),
        signer=runs.Signer(world.hub.key(str(visit.by)), world.clock),
        known={
            "path.federation": [completed],
            "path.number": [1],
            "path.attempt": [1],
            "path.node": [f"node:{unit}" for unit in UNITS],
            "path.name": ["bao"],
        },
        made={"POST /v1/federations/{federation}/stop": [submission(stop, places={"federation": going})]},
        tags=visit.tags,
        phases=visit.phases,
        examples=EXAMPLES,
    )
    assert not run.findings, "\n\n".join(run.findings)
    assert run.never_succeeded == visit.never, "what is reached by nobody is not tested"


def answering(app: Any, status: int, kind: bytes, body: bytes) -> Any:
    """Return an application that answers everything at one path in one way."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") != "/v1/participants":
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": body})

    return serve


LISTED = b'{"items":[],"next":null}'


@pytest.mark.parametrize(
    ("status", "kind", "body", "check"),
    [
        (500, b"application/problem+json", b"{}", "not_a_server_error"),
        (418, b"application/problem+json", b"{}", "status_code_conformance"),
        (200, b"text/plain", LISTED, "content_type_conformance"),
        (200, b"application/json", b'{"items":[{"party":1}],"next":null}', "response_schema_conformance"),
        (200, b"application/json", LISTED, "ignored_auth"),
        (200, b"application/json", LISTED, "negative_data_rejection"),
    ],
)
def test_a_hub_that_does_not_keep_to_it_is_found_out(
    runs: ModuleType, world: HubWorld, status: int, kind: bytes, body: bytes, check: str
) -> None:
    run = runs.run(
        answering(create_app(world.hub), status, kind, body),
        signer=runs.Signer(world.key(ANALYST), world.clock),
        known={},
        made={},
        tags=("participants",),
        phases=("examples", "fuzzing"),
        examples=EXAMPLES,
    )
    assert any(one.startswith(f"GET /v1/participants: {check}: ") for one in run.findings), run.findings
