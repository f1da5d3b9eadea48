"""The SDK's hub with federations: member jobs that become one, rounds that pass whenever somebody asks, one model.

It keeps to the contract of `api.routers.federations` and shares no code with it, nor with what trains: its model is
made up. It lies where a test tells it to.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx

from sandbox.catalog.model import Dataset
from tests.lib.items import boolean_item, code_item, number_item, unit_item
from tests.lib.sdk_hub import BUREAU, PARTNER, Job, Pieces, SdkHub, page, problem
from yingbi.canonical import canonical_bytes, digest_json
from yingbi.clock import format_time
from yingbi.errors import ErrorCode
from yingbi.events.fields import PrivacyUnit
from yingbi.models.evaluation import evaluate
from yingbi.models.histogram import make_histogram
from yingbi.plan.codec import common_digest, parse_plan, question_digest
from yingbi.plan.model import TrainingQuestion
from yingbi.statement import parse_statement, verify_signatures

__all__ = ["ASKED", "MEMBERS", "NODES", "Fed", "FederationHub", "credit", "digest_of"]

NODES = {"tax/credit": "node:futian-tax", "market/credit": "node:futian-market", "social/credit": "node:futian-social"}
MEMBERS = {f"agr-{name.partition('/')[0]}-1": name for name in NODES}
ASKED: dict[str, Any] = {
    "members": MEMBERS,
    "target": "defaulted",
    "positive": "1",
    "features": ["tax_paid", "industry", "adjusted"],
}
_LOSSES = ("0.6931471805599453", "0.52", "0.4801")


def digest_of(word: object) -> str:
    """Return some digest."""
    return digest_json(str(word))


def credit(unit: str, *, bounds: tuple[int, int] = (0, 1000), codes: tuple[str, ...] = ("A", "B")) -> Dataset:
    """Return a unit's data set of the same columns as everybody's, at its node."""
    return Dataset(
        name=f"{unit}/credit",
        title=f"{unit} 信用",
        owner=f"unit:futian-{unit}",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        items=(
            unit_item(),
            code_item("defaulted", ["0", "1"]),
            number_item("tax_paid", bounds, ["100", "500"]),
            code_item("industry", codes),
            boolean_item("adjusted"),
        ),
    )


@dataclass
class Fed:
    """A federation at this hub."""

    id: str
    question: TrainingQuestion
    state: str = "waiting"
    rounds: list[dict[str, Any]] = field(default_factory=list)
    given: list[str] | None = None
    entries: list[int] = field(default_factory=list)
    result: str | None = None
    reason: str | None = None


@dataclass
class FederationHub(SdkHub):
    """A hub whose partner trains with three units."""

    datasets: tuple[Dataset, ...] = (credit("tax"), credit("market"), credit("social"))
    feds: dict[str, Fed] = field(default_factory=dict)
    total: int = 3
    """How many rounds a federation takes."""
    released: int = 3
    """How many members release the model when it is trained."""
    is_stuck: bool = False
    lie: Callable[[dict[str, Any]], dict[str, Any]] = lambda value: value
    """Changes what is told of a federation."""
    forge: Callable[[dict[str, Any], Job], dict[str, Any]] = lambda document, job: document
    """Changes what a member releases."""
    completing: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: body
    """Changes what the entry says with which a federation is completed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for node in sorted(set(NODES.values()) - {"node:futian-tax"}):
            self.register(node)
        self.answer = self.train

    def dataset(self, dataset: Dataset) -> dict[str, Any]:
        return {**super().dataset(dataset), "node": NODES.get(dataset.name, "node:futian-other")}

    def submit(self, body: dict[str, Any]) -> httpx.Response:
        answer = super().submit(body)
        question = parse_plan(body["openings"][0]["value"]).question
        if isinstance(question, TrainingQuestion) and answer.status_code == 202:
            self.feds.setdefault(question.federation, Fed(id=question.federation, question=question))
        return answer

    def route(self, request: httpx.Request, path: list[str], query: dict[str, str]) -> httpx.Response:
        match request.method, path:
            case "GET", ["federations"]:
                return page([self.told(one) for one in self.feds.values()], query)
            case "GET", ["federations", "nodes"]:
                rows = [
                    {"node": node, "unit": node.replace("node", "unit"), "is_connected": True}
                    for node in NODES.values()
                ]
                return httpx.Response(200, json={"items": rows, "next": None})
            case _, ["federations", name, *rest]:
                fed = self.feds.get(name)
                if fed is None:
                    return problem(ErrorCode.THING_NOT_FOUND, "no such federation")
                return self.of_federation(request, fed, rest, query)
        return super().route(request, path, query)

    def of_federation(self, request: httpx.Request, fed: Fed, rest: list[str], query: dict[str, str]) -> httpx.Response:
        match rest:
            case []:
                if "after" in query:
                    self.step(fed)
                return httpx.Response(200, json=self.lie(self.told(fed)))
            case ["events"] if self.has_events:
                stream = Pieces(self.told_of(fed))
                return httpx.Response(200, stream=stream, headers={"Content-Type": "text/event-stream"})
            case ["stop"]:
                return self.stop(fed, json.loads(request.content))
        return problem(ErrorCode.THING_NOT_FOUND, "no such thing")

    def told_of(self, fed: Fed) -> Iterator[bytes]:
        """Tell of a federation until it has ended; of the releases afterwards nobody is told."""
        yield b": welcome\n\n"
        while fed.state in ("waiting", "running"):
            self.step(fed)
            yield b"event: federation\ndata: %b\n\n" % json.dumps(self.lie(self.told(fed))).encode()

    def stop(self, fed: Fed, body: dict[str, Any]) -> httpx.Response:
        (envelope,) = body["statements"]
        statement = parse_statement(canonical_bytes(envelope))
        verify_signatures(statement, self.keys.values())
        assert statement.payload.id == fed.id
        if fed.state != "running" or statement.payload.body["rounds"] != len(fed.rounds):
            return problem(ErrorCode.STATEMENT_REFUSED, "expected the number of completed rounds")
        fed.state, fed.reason, fed.given = "aborted", "request", None
        for member in fed.question.members:
            self.jobs[member.job].state = "cancelled"
        return self.file("stop", body)

    # --- what happens

    def step(self, fed: Fed) -> None:
        """Let one thing happen."""
        members = fed.question.members
        if self.is_stuck or any(member.job not in self.jobs for member in members):
            return
        if fed.state == "waiting":
            self.begin(fed)
        elif fed.state == "completed":
            self.let_out(fed)
        elif fed.given is not None and len(fed.given) < len(members):
            fed.given.append(members[len(fed.given)].node)
        elif fed.state == "running":
            self.end_round(fed)

    def begin(self, fed: Fed) -> None:
        for member in fed.question.members:
            self.lease(self.jobs[member.job], node=member.node)
            self.jobs[member.job].state = "started"
        body = {
            "recipe": fed.question.recipe.value,
            "app": digest_of("app"),
            "terms": common_digest(fed.question),
            "members": [{"node": one.node, "job": one.job, "attempt": 1} for one in fed.question.members],
            "quorum": fed.question.quorum,
            "rounds": fed.question.rounds,
            "epsilon": None if fed.question.privacy is None else fed.question.privacy.epsilon,
        }
        fed.entries.append(self.record("federation.started", body, issuer=BUREAU, name=fed.id))
        fed.state, fed.given = "running", []

    def end_round(self, fed: Fed) -> None:
        number = len(fed.rounds) + 1
        state = digest_of((fed.id, "state", number))
        fed.rounds.append(
            {
                "round": number,
                "attempt": 1,
                "participants": [member.node for member in fed.question.members],
                "aggregate": digest_of((fed.id, "sum", number)),
                "state": state,
                "began_at": format_time(self.clock.now()),
                "ended_at": format_time(self.clock.now()),
                "figures": {"loss": _LOSSES[(number - 1) % len(_LOSSES)]},
            }
        )
        fed.given = []
        if number < self.total:
            return
        body = {
            "rounds": number,
            "participants": sorted(member.node for member in fed.question.members),
            "result": state,
            "rho": None,
        }
        fed.entries.append(self.record("federation.completed", self.completing(body), issuer=BUREAU, name=fed.id))
        fed.state, fed.given, fed.result = "completed", None, state

    def let_out(self, fed: Fed) -> None:
        for member in fed.question.members[: self.released]:
            job = self.jobs[member.job]
            if job.state == "started":
                self.release(job, issuer=member.node)
                return
        for member in fed.question.members[self.released :]:
            self.jobs[member.job].state = "held"

    # --- what is told

    def told(self, fed: Fed) -> dict[str, Any]:
        members = fed.question.members
        return {
            "federation": fed.id,
            "state": fed.state,
            "reason": fed.reason,
            "partner": PARTNER,
            "recipe": fed.question.recipe.value,
            "terms": common_digest(fed.question),
            "mode": "exact" if fed.question.privacy is None else "private",
            "quorum": fed.question.quorum,
            "max_rounds": fed.question.rounds,
            "members": [
                {
                    "node": member.node,
                    "unit": member.node.replace("node", "unit"),
                    "job": member.job,
                    "agreement": member.agreement,
                    "dataset": member.dataset,
                    "state": self.jobs[member.job].state if member.job in self.jobs else None,
                    "has_given": member.node in (fed.given or ()),
                }
                for member in members
            ],
            "rounds": fed.rounds,
            "open": None
            if fed.given is None
            else {
                "round": len(fed.rounds) + 1,
                "attempt": 1,
                "participants": [member.node for member in members],
                "given": fed.given,
                "expires_at": format_time(self.clock.now() + timedelta(minutes=2)),
            },
            "result": fed.result,
            "entries": fed.entries,
        }

    def train(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Return what a member releases."""
        question = parse_plan(plan).question
        assert isinstance(question, TrainingQuestion)
        fed = self.feds[question.federation]
        privacy = question.privacy
        document = {
            "v": 1,
            "recipe": question.recipe.value,
            "federation": fed.id,
            "terms": common_digest(question),
            "app": digest_of("app"),
            "state": fed.result,
            "members": [{"dataset": one.dataset, "node": one.node} for one in question.members],
            "rounds": len(fed.rounds),
            "contributors": len(question.members),
            "privacy": None if privacy is None else {"epsilon": privacy.epsilon, "delta": privacy.delta, "rho": "0.1"},
            "model": _model(question, plan["question"]["features"]),
            "evaluation": _evaluation(),
        }
        own = question.own
        assert own is not None
        return {
            "v": 1,
            "kind": "training",
            "question": question_digest(question),
            "rules": digest_of("rules"),
            "document": self.forge(document, self.jobs[own.job]),
        }


def _model(question: TrainingQuestion, features: list[dict[str, Any]]) -> dict[str, Any]:
    columns = [
        {"feature": "tax_paid", "role": "value", "code": None, "scaled": {"value": "-1.25"}},
        {"feature": "industry", "role": "level", "code": "B", "scaled": {"value": "0.5"}},
    ]
    return {
        "form": "yingbi-model/1",
        "recipe": question.recipe.value,
        "spec": digest_of("spec"),
        "target": question.target,
        "positive": question.positive,
        "features": features,
        "missing": "indicator",
        "intercept": {"scaled": {"value": "-1.0"}},
        "columns": columns,
    }


def _evaluation() -> dict[str, Any]:
    goods = [float(100 - abs(place - 20)) for place in range(100)]
    bads = [float(place) for place in range(100)]
    return dict(evaluate(make_histogram(goods, bads), make_histogram(goods, bads)))
