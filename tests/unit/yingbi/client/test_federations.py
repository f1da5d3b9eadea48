"""Federations at a hub: submitted whole, followed, stopped; models that are verified; hubs that lie."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lib.sdk_federation import ASKED, MEMBERS, NODES, Fed, FederationHub, digest_of
from tests.lib.sdk_hub import Job, Pieces, fixed_key, problem
from yingbi.client import (
    Client,
    Federation,
    FederationStatus,
    JobRefusedError,
    Patience,
    TrainedModel,
    TrainingResult,
)
from yingbi.client.training_status import parse_federation, parse_federation_nodes
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
    VerificationError,
)

LOGISTIC = "logistic_regression"
ROWS = {"tax_paid": [0, 1000, None], "industry": ["A", "B", None], "adjusted": [True, False, True]}


def started(client: Client, **changes: Any) -> Federation:
    return client.train(LOGISTIC, **{**ASKED, **changes})


def trained(hub: FederationHub | None = None, **changes: Any) -> TrainedModel:
    with (hub or FederationHub()).connect() as client:
        return started(client, **changes).wait(progress=False).result()


# --- submitting -------------------------------------------------------------------------------------------------------


def test_a_federation_is_its_member_jobs() -> None:
    hub = FederationHub()
    with hub.connect() as client:
        plan = client.training(LOGISTIC, **ASKED, purpose="credit.model")
        run = plan.submit()
    assert run.id == plan.id
    assert run.state == "waiting"
    assert run.status.terms == plan.digest
    assert {job.body["agreement"] for job in hub.jobs.values()} == set(MEMBERS)
    for one in plan.questions:
        body = hub.jobs[one.member.job].body
        assert body["operation"] == "train.horizontal.logistic_regression"
        assert body["agreement"] == one.member.agreement
        assert (body["purpose"], body["epsilon"], len(body["datasets"])) == ("credit.model", None, 1)
        assert body["result_key"] == hub.result_key.public
    assert {job.plan["question"]["source"]["dataset"] for job in hub.jobs.values()} == set(MEMBERS.values())


def test_jobs_say_what_they_may_spend() -> None:
    hub = FederationHub()
    trained(hub, epsilon="1.0", delta="1e-6", clip="1", parameters={"max_steps": 3})
    assert {job.body["epsilon"] for job in hub.jobs.values()} == {"1"}


def test_where_one_member_would_refuse_nothing_is_recorded() -> None:
    hub = FederationHub()
    calls: list[str] = []

    def refuse_social(request: httpx.Request) -> httpx.Response | None:
        calls.append(request.url.path)
        body = json.loads(request.content) if request.url.path.endswith("dry-run") else {}
        if body.get("agreement") != "agr-social-1":
            return None
        return httpx.Response(200, json={"outcome": "refuse", "reasons": [{"message": "not for this"}]})

    with hub.connect() as client:
        plan = client.training(LOGISTIC, **ASKED)
        hub.faults = [refuse_social] * 9
        with pytest.raises(JobRefusedError, match=r"refused for `social/credit`; no job was submitted") as error:
            plan.submit()
    assert error.value.reasons == ({"message": "not for this"},)
    assert error.value.hint == "social/credit: not for this"
    assert calls == ["/v1/jobs/dry-run"] * 3
    assert hub.jobs == {}


def test_somebody_who_was_cut_off_goes_on_where_he_was() -> None:
    hub = FederationHub()
    with hub.connect(patience=Patience(attempts=1)) as client:
        plan = client.training(LOGISTIC, **ASKED)
        passes: list[Any] = [lambda _: None] * 4
        hub.faults = [*passes, lambda _: problem(ErrorCode.HUB_UNAVAILABLE, "not now")]
        with pytest.raises(UnavailableError) as error:
            plan.submit()
        assert "may have arrived" in (error.value.hint or "")
        assert len(hub.jobs) == 1
        run = plan.submit()
    assert len(hub.jobs) == 3
    assert {member.job for member in run.status.members} == set(hub.jobs)
    assert [path for path, _ in hub.posted].count("dry-run") == 5, "who was submitted to is not asked again"
    handed = [json.loads(request.content)["statements"] for request in hub.seen if request.url.path == "/v1/jobs"]
    assert len(handed) == 4
    assert handed[1] == handed[2], "what may have arrived is not signed a second time"


def test_what_only_the_submitter_has_is_kept(tmp_path: Path) -> None:
    hub = FederationHub()
    with hub.connect() as client:
        run = started(client)
        run.save(tmp_path / "kept.json")
        kept = json.loads((tmp_path / "kept.json").read_text("utf-8"))
        assert (tmp_path / "kept.json").stat().st_mode & 0o077 == 0
        assert {one["job"] for one in kept["jobs"]} == set(hub.jobs)
        assert {one["openings"][0]["value"]["question"]["federation"] for one in kept["jobs"]} == {run.id}
        with pytest.raises(InvalidRequestError, match="not there yet"):
            run.save(tmp_path / "kept.json")
        with pytest.raises(InvalidRequestError, match="the process that submitted"):
            client.federation(run.id).save(tmp_path / "other.json")


# --- following --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_events", [True, False], ids=["events", "polling"])
def test_rounds_are_followed_to_the_model(has_events: bool) -> None:
    hub = FederationHub(has_events=has_events)
    told: list[FederationStatus] = []
    with hub.connect() as client:
        run = started(client)
        client.run(run._watch(None, told.append))
    assert [status.state for status in told][:2] == ["waiting", "running"]
    assert [status.state for status in told][-1] == "completed"
    numbers = [len(status.rounds) for status in told]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 3
    first = next(status for status in told if status.open is not None and len(status.open.given) == 1)
    assert first.open is not None
    assert first.open.awaited == first.awaited == tuple(sorted(NODES.values()))[1:]
    assert told[-1].curve("loss") == ((1, 0.6931471805599453), (2, 0.52), (3, 0.4801))
    queries = [request.url.params for request in hub.seen if "after" in request.url.params]
    assert all(request.url.path == f"/v1/federations/{run.id}" for request in hub.seen if "after" in request.url.params)
    if not has_events:
        assert {query["wait"] for query in queries} == {"0", "25"}


def test_events_of_another_federation_are_not_believed() -> None:
    hub = FederationHub(has_events=False)
    with hub.connect() as client:
        other, run = (started(client) for _ in range(2))
        other.wait(progress=False)
        stream = Pieces([b"data: %b\n\n" % json.dumps(hub.told(hub.feds[other.id])).encode()])
        events = httpx.Response(200, stream=stream, headers={"content-type": "text/event-stream"})
        hub.faults = [lambda _: None, lambda _: events]
        name = run.id
        assert run.wait(progress=False).result().federation == name


def test_the_progress_names_the_round_and_who_is_awaited(capsys: pytest.CaptureFixture[str]) -> None:
    from yingbi.client.training import _line

    hub = FederationHub()
    told: list[str] = []
    with hub.connect() as client:
        run = started(client)
        client.run(run._watch(None, lambda status: told.append(_line(status))))
        run.wait(progress=True)
    nodes = ", ".join(sorted(NODES.values()))
    assert told[0] == f"{run.id} waiting, waits for {nodes}"
    assert f"{run.id} round 2, waits for {nodes}" in told
    assert f"{run.id} round 2, waits for node:futian-tax" in told
    assert capsys.readouterr().out == ""


def test_waiting_ends_when_it_was_to_end_and_the_federation_goes_on() -> None:
    hub = FederationHub(has_events=False, is_stuck=True)
    with hub.connect() as client:
        run = started(client)
        with pytest.raises(UnavailableError, match="takes longer"):
            run.wait(timeout_s=0.05, progress=False)
        assert client.federation(run.id).state == "waiting"


@pytest.mark.parametrize("state", ["refused", "cancelled", "rejected", "destroyed"])
def test_where_a_member_is_out_nobody_is_waited_for(state: str) -> None:
    hub = FederationHub(is_stuck=True)
    with hub.connect() as client:
        run = started(client)
        hub.jobs[run.status.members[0].job].state = state
        assert run.wait(progress=False).status.is_settled
        assert run.status.why() == (f"{run.status.members[0].node}: job `{run.status.members[0].job}` is {state}",)
        with pytest.raises(ConflictError, match=rf"is waiting: .*{state}"):
            run.result()


def test_a_model_that_is_held_everywhere_is_no_model() -> None:
    hub = FederationHub(released=0)
    with hub.connect() as client:
        run = started(client).wait(progress=False)
        assert run.state == "completed"
        assert run.status.is_settled
        with pytest.raises(ConflictError, match=r"is completed: is trained \(node:futian-market: job .* is held"):
            run.result()


def test_a_federation_outlives_the_process_that_submitted_it() -> None:
    hub = FederationHub()
    with hub.connect() as client:
        runs = [started(client) for _ in range(3)]
    with hub.connect() as client:
        assert [one.id for one in client.federations()] == [run.id for run in runs]
        assert len(client.federations(limit=1)) == 1
        again = client.federation(runs[1].id).wait(progress=False)
        assert again.result().federation == runs[1].id
        assert [job.state for job in again.jobs()].count("released") >= 1
        assert {node.node for node in client.federation_nodes()} == set(NODES.values())
        with pytest.raises(NotFoundError):
            client.federation("fed-of-somebody-else")


def test_the_jobs_of_a_federation_are_jobs(tmp_path: Path) -> None:
    hub = FederationHub()
    with hub.connect() as client:
        run = started(client).wait(progress=False)
        job = next(job for job in run.jobs() if job.state == "released")
        job.save(tmp_path / "job.json")
        released = job.released()
    assert isinstance(released, TrainingResult)
    assert released.document["federation"] == run.id
    assert run.id in str(run)
    assert "document" in str(released)
    assert job.id in released._repr_html_()


# --- stopping ---------------------------------------------------------------------------------------------------------


def running(hub: FederationHub, run: Federation) -> Fed:
    fed = hub.feds[run.id]
    while fed.state == "waiting":
        hub.step(fed)
    return fed


def test_a_running_federation_is_stopped_for_good() -> None:
    hub = FederationHub()
    with hub.connect() as client:
        run = started(client)
        running(hub, run)
        assert run.stop().state == "aborted"
        assert run.status.reason == "request"
        assert run.status.is_settled
        with pytest.raises(ConflictError, match="is aborted"):
            run.stop()
    assert [path for path, _ in hub.posted if path != "dry-run"] == ["stop"]


def test_a_round_that_ends_meanwhile_does_not_keep_it_from_being_stopped() -> None:
    hub = FederationHub(total=9)
    with hub.connect() as client:
        run = started(client)
        fed = running(hub, run)
        stop = hub.stop

        def overtaken(fed: Fed, body: dict[str, Any]) -> httpx.Response:
            if len(fed.rounds) < 2:
                hub.end_round(fed)
            return stop(fed, body)

        hub.stop = overtaken  # type: ignore[method-assign]
        assert run.stop().state == "aborted"
    assert len(fed.rounds) == 2


def test_a_hub_that_never_lets_a_federation_be_stopped_is_not_asked_for_ever() -> None:
    hub = FederationHub(total=99)
    with hub.connect() as client:
        run = started(client)
        running(hub, run)
        hub.stop = lambda fed, body: problem(ErrorCode.STATEMENT_REFUSED, "no")  # type: ignore[method-assign]
        with pytest.raises(Exception, match="no"):
            run.stop()
    assert [request.url.path for request in hub.seen].count(f"/v1/federations/{run.id}/stop") == 5


def test_a_federation_that_waits_is_stopped_by_calling_off_its_jobs() -> None:
    hub = FederationHub()
    with hub.connect() as client:
        run = started(client).stop()
        assert {member.state for member in run.status.members} == {"cancelled"}
        assert run.status.is_settled


def test_who_calls_off_one_job_lets_the_bureau_call_off_the_others() -> None:
    hub = FederationHub()
    of_job = hub.of_job

    def cancelling(request: httpx.Request, job: Job, rest: list[str], query: dict[str, str]) -> httpx.Response:
        if rest == ["cancellation"] and job.state == "cancelled":
            return problem(ErrorCode.TRANSITION_REFUSED, "it is over")
        answer = of_job(request, job, rest, query)
        if rest == ["cancellation"]:
            for one in hub.jobs.values():
                one.state = "cancelled"
        return answer

    hub.of_job = cancelling  # type: ignore[method-assign]
    with hub.connect() as client:
        assert started(client).stop().status.is_settled


# --- models -----------------------------------------------------------------------------------------------------------


def test_a_model_is_what_all_members_released_and_the_log_names() -> None:
    hub = FederationHub()
    with hub.connect() as client:
        run = started(client).wait(progress=False)
        for _ in range(3):
            hub.step(hub.feds[run.id])
        model = run.result()
    assert model.released_by == tuple(sorted(NODES.values()))
    assert model.document["state"] == model.status.result
    assert model.completion["type"] == "federation.completed"
    assert model.metrics["auc"] == pytest.approx(0.77, abs=0.01)
    assert model.learning_curve == {"loss": ((1, 0.6931471805599453), (2, 0.52), (3, 0.4801))}
    chances = model.score(ROWS)
    assert [round(float(one), 4) for one in chances] == [0.5622, 0.1480, 0.2689]
    assert model.scorecard().characteristics[0].feature == "tax_paid"
    for shown in (str(model), model._repr_html_()):
        for word in ("logistic_regression", "auc", "0.77", "node:futian-tax", "exact"):
            assert word in shown
    assert "<svg" in model._repr_html_()
    assert "<svg" in run._repr_html_()


def test_a_model_scores_a_pandas_frame() -> None:
    import pandas as pd

    frame = pd.DataFrame({**ROWS, "other": [1, 2, 3]})
    model = trained()
    assert [round(float(one), 4) for one in model.score(frame)] == [0.5622, 0.1480, 0.2689]
    with pytest.raises(InvalidRequestError, match="expected the feature `industry`"):
        model.score(frame.drop(columns=["industry"]))


def test_a_card_says_what_is_known_and_what_one_adds(tmp_path: Path) -> None:
    model = trained()
    page = model.card(tmp_path / "card.html", language="en", purpose="credit scoring", limits=["one year"])
    assert (tmp_path / "card.html").read_text("utf-8") == page
    for word in (
        "credit scoring",
        "one year",
        model.federation,
        model.status.terms,
        "node:futian-tax",
        "partner:bank-a",
    ):
        assert word in page
    assert "模型" in model.card()
    with pytest.raises(InvalidRequestError, match="expected facts of a card"):
        model.card(colour="red")
    with pytest.raises(InvalidRequestError, match="language"):
        model.card(language="fr")
    with pytest.raises(InvalidRequestError, match="cannot be written"):
        model.card(tmp_path / "no" / "card.html")


def test_a_private_model_says_so() -> None:
    model = trained(epsilon="1.0", delta="1e-6", clip="1", parameters={"max_steps": 3})
    assert "epsilon 1, delta 0.000001" in str(model)
    assert "ε = 1" in model.card(language="en")


def test_portable_forms_are_written(tmp_path: Path) -> None:
    model = trained()
    assert b"<PMML" in model.to_pmml(tmp_path / "model.pmml").read_bytes()
    assert json.loads(model.save(tmp_path / "model.json").read_bytes()) == model.document
    pytest.importorskip("onnx")
    assert model.to_onnx(tmp_path / "model.onnx").stat().st_size > 100


def test_only_a_trained_federation_has_a_model() -> None:
    hub = FederationHub()
    with hub.connect() as client:
        run = started(client)
        with pytest.raises(ConflictError, match="is waiting") as error:
            run.result()
        assert error.value.hint == "wait for it"
        running(hub, run)
        with pytest.raises(ConflictError, match="is running"):
            run.result()


def _other_model(document: dict[str, Any], job: Job) -> dict[str, Any]:
    if job.plan["question"]["source"]["dataset"] != "tax/credit":
        return document
    return {**document, "model": {**document["model"], "intercept": {"scaled": {"value": "-2.0"}}}}


def _with(**changes: Any) -> Callable[[dict[str, Any], Job], dict[str, Any]]:
    return lambda document, _: {**document, **changes}


FORGED: dict[str, tuple[Callable[[dict[str, Any], Job], dict[str, Any]], str]] = {
    "one member's other model": (_other_model, "different models"),
    "another federation's": (_with(federation="fed-other"), "not the one that the log says"),
    "other terms": (_with(terms=digest_of("x")), "not the one that the log says"),
    "another state": (_with(state=digest_of("x")), "not the one that the log says"),
    "another number of rounds": (_with(rounds=2), "not the one that the log says"),
    "other members": (_with(members=[{"dataset": "x/y", "node": "node:x"}]), "other members"),
    "members of another form": (_with(members=[7, 8, 9]), "other members"),
    "no model": (_with(model="x"), "something else"),
    "no evaluation": (_with(evaluation=7), "something else"),
    "another version": (_with(v=2), "something else"),
    "rounds that are none": (_with(rounds="3"), "something else"),
}


@pytest.mark.parametrize(("forge", "message"), FORGED.values(), ids=FORGED)
def test_a_model_that_is_not_everybodys_is_refused(
    forge: Callable[[dict[str, Any], Job], dict[str, Any]], message: str
) -> None:
    hub = FederationHub(forge=forge)
    with hub.connect() as client:
        run = started(client).wait(progress=False)
        for _ in range(3):
            hub.step(hub.feds[run.id])
        with pytest.raises(VerificationError, match=message):
            run.result()


def test_a_final_state_that_the_log_does_not_name_is_refused() -> None:
    hub = FederationHub(completing=lambda body: {**body, "result": digest_of("x")})
    with pytest.raises(VerificationError, match="the log names another final state"):
        trained(hub)


@pytest.mark.parametrize("which", ["started", "other"])
def test_only_the_entry_of_this_federation_completes_it(which: str) -> None:
    hub = FederationHub()
    with hub.connect() as client:
        first, second = (started(client).wait(progress=False) for _ in range(2))
        fed = hub.feds[first.id]
        fed.entries = fed.entries[:1] if which == "started" else hub.feds[second.id].entries
        with pytest.raises(VerificationError, match=r"no entry `federation\.completed` of this federation"):
            first.result()
        fed.entries = []
        with pytest.raises(VerificationError, match="entries of a federation"):
            first.result()


def test_a_completion_that_the_bureau_did_not_sign_is_refused() -> None:
    hub = FederationHub()
    record = hub.record

    def by_node(kind: str, body: Any, **options: Any) -> int:
        if kind == "federation.completed":
            options |= {"issuer": "node:futian-tax", "keys": (fixed_key("node:futian-tax"),)}
        return record(kind, body, **options)

    hub.record = by_node  # type: ignore[method-assign]
    with pytest.raises(VerificationError, match=r"no entry `federation\.completed`"):
        trained(hub)


def test_a_release_of_another_node_is_refused() -> None:
    hub = FederationHub()
    with hub.connect() as client:
        run = started(client).wait(progress=False)
        member = hub.feds[run.id].question.members[0]

        def swap(value: dict[str, Any]) -> dict[str, Any]:
            rows = [
                {**one, "node": "node:futian-x" if one["job"] == member.job else one["node"]}
                for one in value["members"]
            ]
            return {**value, "members": rows}

        hub.lie = swap
        with pytest.raises(VerificationError, match="another node"):
            run.result()


def test_the_job_of_another_federation_is_not_taken_for_a_members() -> None:
    hub = FederationHub()
    with hub.connect() as client:
        first, second = (started(client).wait(progress=False) for _ in range(2))

    def swap(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "members": hub.told(hub.feds[second.id])["members"]}

    hub.lie = swap
    with hub.connect() as client, pytest.raises(VerificationError, match="not the one that the log says"):
        client.federation(first.id).result()


def test_a_table_is_no_model() -> None:
    hub = FederationHub()
    table = {"v": 1, "kind": "table", "question": "", "rules": "", "columns": [], "order": [], "rows": []}
    hub.answer = lambda plan: {**hub.train(plan), **table, "suppressed_for": [], "rounding": 1}
    with hub.connect() as client:
        run = started(client).wait(progress=False)
        with pytest.raises(VerificationError):
            run.result()
        with pytest.raises(VerificationError):
            client.federation(run.id).result()


# --- what a hub says of a federation ----------------------------------------------------------------------------------


def told(**changes: Any) -> dict[str, Any]:
    hub = FederationHub()
    with hub.connect() as client:
        run = started(client)
        fed = running(hub, run)
        for _ in range(4):
            hub.step(fed)
        return {**hub.told(fed), **changes}


TOLD = told()
MEMBER, ROUND, OPEN = TOLD["members"][0], TOLD["rounds"][0], TOLD["open"]
MALFORMED: dict[str, dict[str, Any]] = {
    "a state that is none": {"state": "done"},
    "a mode that is none": {"mode": "fast"},
    "no name": {"federation": ""},
    "another federation": {"federation": "fed-other"},
    "no terms": {"terms": "sha256:0"},
    "a quorum of nothing": {"quorum": 0},
    "rounds without end": {"rounds": [ROUND] * 1001},
    "members without end": {"members": [MEMBER] * 65},
    "entries without end": {"entries": [0] * 2_100_000},
    "a member twice": {"members": [MEMBER, MEMBER]},
    "rounds out of order": {"rounds": [{**ROUND, "round": 2}]},
    "members that are none": {"members": [7]},
    "rounds that are none": {"rounds": {"1": ROUND}},
    "a member without a job": {"members": [{**MEMBER, "job": None}]},
    "figures that are none": {"rounds": [{**ROUND, "figures": [1]}]},
    "a figure without end": {"rounds": [{**ROUND, "figures": {"loss": "1" * 400}}]},
    "a figure that is infinite": {"rounds": [{**ROUND, "figures": {"loss": "1e999"}}]},
    "a figure that is no number": {"rounds": [{**ROUND, "figures": {"loss": "nan"}}]},
    "a figure with another name": {"rounds": [{**ROUND, "figures": {"<b>": "1"}}]},
    "too many figures": {"rounds": [{**ROUND, "figures": {f"f{number}": "1" for number in range(33)}}]},
    "a state that is no digest": {"rounds": [{**ROUND, "state": 7}]},
    "an open round of nobody": {"open": {**OPEN, "participants": [7]}},
    "an open round that is none": {"open": 7},
    "entries that are none": {"entries": [True]},
    "entries below nothing": {"entries": [-1]},
    "a result that is none": {"result": 7},
}


def test_a_federation_as_the_hub_tells_it() -> None:
    status = parse_federation(TOLD, federation=TOLD["federation"])
    assert status.to_json() == TOLD
    assert status.figures == ("loss",)
    assert len(status.rounds) == 1
    assert status.open is not None
    assert "1 of 26 at most" in str(status)


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED)
def test_a_federation_of_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(VerificationError):
        parse_federation({**TOLD, **change}, federation=TOLD["federation"])
    for name in change:
        with pytest.raises(VerificationError):
            parse_federation({**TOLD, name: {"x": 1}}, federation=TOLD["federation"])


def test_what_a_hub_writes_becomes_no_markup_and_no_escape() -> None:
    name = "<script>alert(1)</script>\x1b[31m"
    status = parse_federation({**TOLD, "reason": name, "members": [{**MEMBER, "unit": name}]})
    assert "<script>" not in status._repr_html_()
    assert "\x1b" not in str(status) + status._repr_html_()


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"items": 7},
        {"items": [7]},
        {"items": [{"node": "node:x"}]},
        {"items": [{"node": "", "is_connected": True}]},
        {"items": [{"node": "node:x", "is_connected": 1}]},
        {"items": [{"node": "node:x", "unit": None, "is_connected": True}] * 10_001},
    ],
    ids=lambda value: str(value)[:40],
)
def test_nodes_of_another_form_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(VerificationError):
        parse_federation_nodes(value)


def test_a_listing_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yingbi.client.exchange._MAX_PAGES", 20)
    hub = FederationHub()
    with hub.connect() as client:
        started(client)
        page = {"items": [hub.told(next(iter(hub.feds.values())))], "next": "again"}
        hub.faults = [lambda _: httpx.Response(200, json=page)] * 99
        assert len(client.federations(limit=5)) == 5
        with pytest.raises(UnavailableError, match="more than 20 pages"):
            client.run(client.hub.listing(("federations",)))


# --- asynchronous -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_events", [True, False], ids=["events", "polling"])
def test_the_asynchronous_client_does_the_same(has_events: bool, tmp_path: Path) -> None:
    hub = FederationHub(has_events=has_events)

    async def work() -> str:
        async with hub.aconnect() as client:
            plan = await client.training(LOGISTIC, **ASKED)
            assert (await plan.dry_run()).is_permitted
            run = await plan.submit()
            await run.wait(progress=False)
            model = await run.result()
            assert model.status.terms == plan.digest
            run.save(tmp_path / "kept.json")
            assert [one.id for one in await client.federations()] == [run.id]
            assert len(await client.federation_nodes()) == 3
            assert len(await run.jobs()) == 3
            other = await client.train(LOGISTIC, **ASKED)
            again = await client.federation(other.id)
            return (await (await again.refresh()).stop()).state

    assert asyncio.run(work()) == "waiting"
    assert {hub.jobs[member.job].state for member in list(hub.feds.values())[1].question.members} == {"cancelled"}
