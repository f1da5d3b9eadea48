"""The SDK against the true hub: onboarding, a question to its verified result, a refusal; the node is its key alone."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from api.main import create_app
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import ADDRESS, BUREAU, NODE, HubWorld, fixed_key, lab_terms, new_hub, open_world
from tests.lib.nodes import PURPOSE
from tests.lib.sdk_hub import Pieces, make_table
from tests.lib.waiting import wait_until
from yingbi.canonical import canonical_bytes, digest_bytes, digest_json
from yingbi.client import SUPPRESSED, Client, JobRefusedError, JobStatus, Patience, Settings, open_client
from yingbi.client.kept import keep, verify_kept
from yingbi.client.statements import (
    Draft,
    Issuer,
    duty_granted,
    duty_revoked,
    frozen,
    key_registered,
    opening_to_json,
    participant_admitted,
    participant_applied,
    participant_suspended,
    unfrozen,
)
from yingbi.clock import FixedClock, format_time
from yingbi.commitment import commit
from yingbi.errors import NotFoundError, RefusedError, SandboxError
from yingbi.events.fields import Duty, SuspensionReason
from yingbi.events.people import DutyEnd, FreezeReason, ParticipantKind
from yingbi.ids import dataset_id, new_id
from yingbi.sealing import ResultKey, seal
from yingbi.verify import Trust, Verdict, load_trust

TERMS = lab_terms()
ANALYST, BANK = "person:analyst", "partner:bank-a"


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[HubWorld]:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as opened:
        opened.settle(firms_dataset(), TERMS)
        yield opened


def trust_of(world: HubWorld) -> Trust:
    lines = [f"log {one.encode()}" for one in world.hub.log_verifiers]
    policy = "\n".join([*lines, "quorum none", ""])
    roots = [fixed_key("root").public.to_jwk()]
    return load_trust(json.dumps({"v": 1, "policy": policy, "statement_roots": roots}).encode())


def connect(world: HubWorld, party: str, *, on_behalf_of: str | None = None, **changes: Any) -> Client:
    """Return a client of the true hub; what it sends goes to the application without a socket."""

    def send(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        answer = world.client.request(request.method, path, content=request.content, headers=request.headers)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Pieces([answer.content]))

    settings = settings_of(world, party=party, key=world.key(party), on_behalf_of=on_behalf_of, **changes)
    return open_client(settings, httpx.MockTransport(send))


def settings_of(world: HubWorld, **changes: Any) -> Settings:
    """Return what the analyst's client is made of."""
    usual: dict[str, Any] = {
        "url": ADDRESS,
        "party": ANALYST,
        "on_behalf_of": BANK,
        "key": world.key(ANALYST),
        "result_key": ResultKey.generate(),
        "trust": trust_of(world),
        "agreement": TERMS.id,
        "purpose": PURPOSE,
        "clock": world.clock,
        "patience": Patience(first_pause_s=0.01),
    }
    return Settings(**{**usual, **changes})


def play_node(world: HubWorld) -> str:
    """Take the waiting job and answer it, as a node does: first the entry, then the bytes."""
    path = f"/v1/nodes/{NODE[5:]}"
    lease = world.ask("POST", f"{path}/poll", by=NODE, body={"wait_s": 0}).json()
    name, plan = lease["job"], lease["plan"]["value"]
    submitted = world.hub.standing.jobs.get(name)
    assert submitted is not None
    asked = submitted.submitted
    head = world.hub.log_reader.published().checkpoint
    begun = {
        "attempt": 1,
        "datasets": [one.model_dump() for one in asked.datasets],
        "terms": submitted.terms,
        "software": "sha256:" + "4" * 64,
        "log_size": head.size,
        "log_root": "sha256:" + head.root.hex(),
    }
    charge = {"job": name, "measure": "jobs", "amount": "1", "remaining": "9"}
    first = world.state("job.started", begun, issuer=NODE, name=name)
    assert world.post(f"{path}/steps", first, world.state("budget.reserved", charge, issuer=NODE), by=NODE).is_success
    result = make_table(plan)
    content = commit(digest_json(result))
    wrapped = {"result": result, "content": {key: opening_to_json(content)[key] for key in ("salt", "value")}}
    sealed = seal(canonical_bytes(wrapped), asked.result_key, {"job": name, "agreement": asked.agreement})
    rules = "sha256:" + "5" * 64
    checked = {"job": name, "candidate": "sha256:" + "6" * 64, "rules": rules, "verdict": "pass", "findings": []}
    released = {
        "job": name,
        "mode": "exact",
        "content": content.commitment,
        "ciphertext": digest_bytes(sealed),
        "software": "sha256:" + "4" * 64,
        "rules": rules,
        "budget": None,
    }
    statements = [
        world.state("output.checked", checked, issuer=NODE, name=new_id("out")),
        world.state("output.released", released, issuer=NODE, name=new_id("out")),
        world.state("budget.committed", charge, issuer=NODE, name=new_id("bud")),
    ]
    assert world.post(f"{path}/steps", *statements, by=NODE).is_success
    headers = {"content-type": "application/octet-stream"}
    assert world.ask("PUT", f"/v1/jobs/{name}/result", by=NODE, body=sealed, headers=headers).status_code == 204
    return str(name)


def test_an_analyst_asks_and_gets_a_verified_result(world: HubWorld, tmp_path: Path) -> None:
    with connect(world, ANALYST, on_behalf_of=BANK, result_key=ResultKey.generate()) as client:
        assert [record.name for record in client.catalog.search("企业")] == ["lab/firms"]
        firms = client.dataset("lab/firms")
        query = firms[firms["size"] == "small"].groupby("street").agg(n="count", tax=("tax", "sum"))
        decision = query.dry_run()
        assert decision.is_permitted
        assert decision.versions == {dataset_id("lab/firms"): 1}
        assert decision.operations == query.operations
        assert "aggregate.sum" in str(decision)
        job = query.submit()
        assert job.state == "approved"
        assert play_node(world) == job.id
        frame = job.wait(progress=False).result()
        assert frame["n"].tolist() == [120, SUPPRESSED]
        assert job.refresh().state == "delivered"
        receipts = job.receipts()
        assert receipts[-1].type == "output.delivered"
        keep(tmp_path / "kept", receipts, client.run(client.hub.evidence.keys_of(receipts)))
    verdicts = {report.verdict for _, report in verify_kept(tmp_path / "kept", trust_of(world), now=world.clock.now())}
    assert verdicts == {Verdict.LOG_SIGNED_ONLY}


class Forwarding(httpx.HTTPTransport):
    """Sends what is meant for the hub to where it listens in this test."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return super().handle_request(request)


@contextmanager
def served(world: HubWorld) -> Iterator[int]:
    """Serve the hub's application on a socket; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(world.hub), log_level="critical", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def test_a_job_is_followed_by_events_while_a_node_works(world: HubWorld) -> None:
    told: list[tuple[str, bool]] = []
    with served(world) as port, open_client(settings_of(world), Forwarding(port)) as client:
        job = client.dataset("lab/firms").value_counts("street").submit()

        def tell(status: JobStatus) -> None:
            if not told:
                worker.start()
            told.append((status.state, status.has_result))

        worker = threading.Thread(target=play_node, args=[world])
        client.run(job._watch(30, tell))
        worker.join(10)
        assert job.result()["count"].tolist() == [120, SUPPRESSED]
    states = list(dict.fromkeys(state for state, _ in told))
    assert states[0] == "approved"
    assert states[-1] == "released"
    assert told[-1] == ("released", True)
    assert len(told) >= 3, "changes were told as they came"


def test_every_kind_of_question_is_admitted_or_refused_with_its_reasons(world: HubWorld) -> None:
    with connect(world, ANALYST, on_behalf_of=BANK, result_key=ResultKey.generate()) as client:
        firms = client.dataset("lab/firms")
        for query in (
            firms.crosstab("street", "size"),
            firms.histogram("tax"),
            firms.value_counts("industry"),
            firms.linear_regression("tax", ["staff"]),
            client.sql("SELECT street, MEDIAN(tax) AS m FROM lab.firms GROUP BY street"),
        ):
            decision = query.dry_run()
            assert decision.operations == query.operations
            if decision:
                assert query.submit().cancel().state == "cancelled"
            else:
                with pytest.raises(JobRefusedError) as refused:
                    query.submit()
                assert refused.value.reasons == decision.reasons
                assert refused.value.receipt is not None
        with pytest.raises(JobRefusedError) as refused:
            firms.count().submit(purpose="credit.sme.pre-loan")
        assert refused.value.job is not None
        recorded = client.job(refused.value.job)
        assert recorded.state == "refused"
        assert recorded.status.why()
        assert len(client.jobs()) >= 1


def test_another_partners_job_is_not_there(world: HubWorld) -> None:
    with connect(world, ANALYST, on_behalf_of=BANK, result_key=ResultKey.generate()) as client:
        job = client.dataset("lab/firms").count().submit()
    world.admit("partner:bank-b", "bank")
    with connect(world, "partner:bank-b") as other:
        assert other.jobs() == []
        with pytest.raises(NotFoundError):
            other.job(job.id)


def test_an_organisation_applies_and_is_admitted_with_payloads_made_here(world: HubWorld) -> None:
    party, registrar = "partner:bank-c", "person:registrar"
    key = world.key(party)
    with connect(world, party) as client:
        now = world.clock.now()
        registered = key_registered(Issuer(party=BUREAU, clock=world.clock), key.public, owner=party, not_before=now)
        applied = participant_applied(
            client.hub.issuer, kind=ParticipantKind.BANK, identity={"name": "丙银行"}, licence=None, key=key.public
        )
        statements = [draft.sign([key]) for draft in (registered, applied)]
        filed = client.run(client.hub.file(("applications",), statements, openings=applied.openings))
    assert not filed.is_recorded
    assert filed.missing == ("root",)
    with connect(world, registrar, on_behalf_of=BUREAU) as desk:
        waiting = desk.run(desk.hub.drafts(applications=True))
        (draft,) = [one for one in waiting if one["draft"] == filed.draft]
        assert draft["missing"] == ["root"]
        root = fixed_key("root")
        rows = [_row(one, root) for one in draft["statements"]]
        done = desk.run(desk.hub.add_signatures(str(filed.draft), rows[:1]))
        assert done.is_recorded
        admission = participant_admitted(desk.hub.issuer, party=party, kind=ParticipantKind.BANK)
        half = desk.file("participants", admission)
        assert half.missing == ("bureau-approver",)
    with connect(world, "person:approver", on_behalf_of=BUREAU) as other:
        (draft,) = [one for one in other.run(other.hub.drafts()) if one["draft"] == half.draft]
        rows = [_row(one, world.key("person:approver")) for one in draft["statements"]]
        assert other.run(other.hub.add_signatures(str(half.draft), rows)).is_recorded
        suspended = participant_suspended(other.hub.issuer, party=party, reason=SuspensionReason.REQUEST)
        assert other.file("participants", suspended).is_recorded
        found = {one["party"]: one["state"] for one in other.run(other.hub.listing(("participants",)))}
    assert found[party] == "suspended"


def _row(envelope: dict[str, Any], key: Any) -> dict[str, str]:
    import base64

    from yingbi.statement import add_signature, parse_statement

    signed = add_signature(parse_statement(canonical_bytes(envelope)), key)
    row = next(one for one in signed.signatures if one.keyid == key.public.thumbprint)
    return {"keyid": row.keyid, "sig": base64.b64encode(row.sig).decode()}


def test_duties_and_freezes_with_payloads_made_here(world: HubWorld) -> None:
    world.recorded("/v1/keys", world.registration("person:wu", employer=BANK), by="person:security-admin")
    with connect(world, BANK) as client:
        granted = duty_granted(client.hub.issuer, holder="person:wu", duty=Duty.PARTNER_ANALYST)
        assert client.file("duties", granted).is_recorded
        held = {one["holder"]: one["duties"] for one in client.run(client.hub.listing(("duties",)))}
        assert held["person:wu"] == ["partner-analyst"]
        taken = duty_revoked(client.hub.issuer, holder="person:wu", duty=Duty.PARTNER_ANALYST, reason=DutyEnd.LEFT)
        assert client.file("duties", taken).is_recorded
        with pytest.raises(RefusedError):
            client.file("duties", duty_granted(client.hub.issuer, holder="person:wu", duty=Duty.SECURITY_ADMIN))
    with connect(world, "person:approver", on_behalf_of=BUREAU) as desk:
        stopped = frozen(desk.hub.issuer, target=BANK, reason=FreezeReason.UNUSUAL_USE, note="a remark")
        assert desk.file("incidents", stopped).is_recorded
        assert not desk.file("incidents", unfrozen(desk.hub.issuer, target=BANK)).is_recorded
    with connect(world, BANK) as client, pytest.raises(SandboxError):
        client.dataset("lab/firms").count().submit()


def test_a_statement_of_yesterday_is_still_one_of_next_week_is_not(world: HubWorld, clock: FixedClock) -> None:
    with connect(world, BANK) as client:
        draft = duty_granted(client.hub.issuer, holder=ANALYST, duty=Duty.PARTNER_KEY_OFFICER)
        late = Draft(payload={**draft.payload, "issued_at": format_time(clock.now() + timedelta(days=8))})
        with pytest.raises(SandboxError):
            client.file("duties", late)
