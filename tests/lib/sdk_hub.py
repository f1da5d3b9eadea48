"""A hub for the SDK's tests that keeps to the contract and to nothing else: real signatures, statements and a log.

It shares no code with `api`. It answers requests in this process (`network`), moves a job one step whenever its status
is asked, and lies where a test tells it to.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from sandbox.catalog.codec import dataset_to_json
from sandbox.catalog.model import Dataset
from tests.lib.items import boolean_item, code_item, number_item, unit_item
from tests.lib.mini_log import NOW, NOW_S, MiniLog, NoteKey, Signer, tile_name, witness
from yingbi.canonical import canonical_bytes, digest_bytes, digest_json
from yingbi.client import AsyncClient, Client, Patience, Settings, open_async_client, open_client
from yingbi.clock import FixedClock, format_time
from yingbi.commitment import commit
from yingbi.errors import CATALOGUE, ErrorCode, SandboxError
from yingbi.events.fields import PrivacyUnit
from yingbi.http_signing import verify_request
from yingbi.ids import dataset_id, new_id, new_nonce
from yingbi.keys import SigningKey, VerifyKey
from yingbi.plan.codec import parse_plan, question_digest
from yingbi.sealing import ResultKey, seal
from yingbi.statement import Statement, parse_statement, sign, verify_signatures
from yingbi.verify import load_trust

__all__ = [
    "ADDRESS",
    "AGREEMENT",
    "AGREEMENT_YAML",
    "BUREAU",
    "FILINGS",
    "MARKET",
    "NODE",
    "PARTNER",
    "PURPOSE",
    "SdkHub",
    "fixed_key",
    "make_table",
    "problem",
]

PARTNER, NODE, BUREAU = "partner:bank-a", "node:futian-tax", "bureau:futian"
ADDRESS = "https://hub.example"
AGREEMENT, PURPOSE = "agr-tax-1", "research.aggregate"
STEPS = ("approved", "leased", "started", "released")
Answer = Callable[[dict[str, Any]], dict[str, Any]]


FILINGS = Dataset(
    name="tax/annual_filings",
    title="纳税申报",
    owner="unit:futian-tax",
    privacy_unit=PrivacyUnit.ENTERPRISE,
    items=(
        unit_item(),
        code_item("industry", ["制造", "A", "B"]),
        code_item("year", ["2024", "2025"]),
        number_item("tax_paid", (0, 1000), ["100", "500"]),
        number_item("staff", (0, 1000)),
        boolean_item("adjusted"),
        code_item("street", ["莲花", "福田"]),
    ),
)
MARKET = Dataset(
    name="market/enterprises",
    title="企业登记",
    owner="unit:futian-market",
    privacy_unit=PrivacyUnit.ENTERPRISE,
    items=(unit_item(), code_item("street", ["莲花", "福田"]), number_item("capital", (0, 10**9), ["1000"])),
)


AGREEMENT_YAML = """\
agreement: agr-tax-1
version: 1
assigner: unit:futian-tax
assignee: partner:bank-a
purpose: research.aggregate
legal_basis: {kind: contract, reference: "2026-17"}
valid: {from: 2026-01-01, until: 2099-12-31}
place: {zones: [node:futian-tax]}
datasets:
  tax/annual_filings:
    privacy_unit: uscc
    columns:
      street: [filter, group]
operations: [aggregate]
disclosure: {min_entities: 10}
limits: {jobs: 500, jobs_per_day: 50, filter_values: declared}
approvals: {agreement: [unit-cdo, bureau-approver], job: automatic, output: automatic}
"""


def fixed_key(name: str) -> SigningKey:
    return SigningKey.from_seed(hashlib.sha256(name.encode()).digest())


def make_table(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a released answer to a plan: two rows, of the second every value is suppressed."""
    question = parse_plan(plan).question
    names = plan["presentation"]["names"]
    groups = len(plan["question"]["group_by"])
    values = len(names) - groups
    return {
        "v": 1,
        "kind": "table",
        "question": question_digest(question),
        "rules": "sha256:" + "2" * 64,
        "columns": [
            {"name": name, "kind": "dimension" if place < groups else "value"} for place, name in enumerate(names)
        ],
        "order": plan["presentation"].get("columns") or names,
        "rows": [
            [*["A"] * groups, *["120"] * values],
            [*["B"] * groups, *[{"suppressed": True}] * values],
        ],
        "suppressed_for": ["threshold", "secondary-disclosure"],
        "rounding": 5,
    }


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of an answer, for both kinds of clients."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


@dataclass
class Job:
    """A job at this hub."""

    id: str
    body: dict[str, Any]
    plan: dict[str, Any]
    state: str = "submitted"
    entries: list[int] = field(default_factory=list)
    sealed: bytes = b""


@dataclass
class SdkHub:
    """The hub, its log, its node."""

    datasets: tuple[Dataset, ...] = (FILINGS, MARKET)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))
    answer: Answer = make_table
    decision: dict[str, Any] = field(default_factory=lambda: {"outcome": "permit", "reasons": []})
    faults: list[Callable[[httpx.Request], httpx.Response | None]] = field(default_factory=list)
    """Each is asked before the hub is, once: it may answer, raise, or let pass."""
    has_events: bool = True
    seen: list[httpx.Request] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    posted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, httpx.Response] = field(default_factory=dict)
    nonces: set[str] = field(default_factory=set)
    listings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    change: Callable[[dict[str, Any]], object] = lambda wrapped: None
    """Changes what is about to be sealed."""

    def __post_init__(self) -> None:
        self.log = MiniLog()
        self.result_key = ResultKey.generate()
        self.witness: NoteKey = witness("w1")
        self.root = fixed_key("root")
        self.keys: dict[str, VerifyKey] = {}
        self.key_entries: list[int] = []
        for owner in (BUREAU, NODE, PARTNER):
            self.register(owner)

    # --- the log

    def register(self, owner: str, *, signers: tuple[SigningKey, ...] | None = None) -> None:
        key = fixed_key(owner)
        body = {
            "jwk": key.public.to_jwk(),
            "owner": owner,
            "not_before": "2026-01-01T00:00:00.000000Z",
            "not_after": None,
        }
        wanted = signers if signers is not None else (self.root, key)
        self.key_entries.append(self.record("key.registered", body, issuer=BUREAU, keys=wanted))
        self.keys[key.public.thumbprint] = key.public

    def record(
        self,
        kind: str,
        body: Mapping[str, Any],
        *,
        issuer: str,
        keys: tuple[SigningKey, ...] = (),
        name: str = "",
        on_behalf_of: str | None = None,
    ) -> int:
        statement = sign(
            {
                "type": kind,
                "id": name or new_id(kind.partition(".")[0][:3]),
                "issuer": issuer,
                "on_behalf_of": on_behalf_of,
                "issued_at": format_time(self.clock.now() - timedelta(hours=1)),
                "nonce": new_nonce(),
                "subject": [],
                "refs": {},
                "body": dict(body),
            },
            keys or (fixed_key(issuer),),
        )
        return self.put(statement)

    def put(self, statement: Statement) -> int:
        return self.log.append(statement.type.value, envelope=json.loads(statement.envelope))

    def receipt(self, index: int) -> str:
        return self.log.receipt(index, cosign=[(self.witness, NOW_S)]).decode()

    def trust(self, *, roots: bool = True, quorum: bool = True, named: str = "") -> bytes:
        """Return a trust file, which may name the key of a party besides the root."""
        root = Signer(self.root._key)
        others = [Signer(fixed_key(named)._key, named)] if named else []
        witnesses = [self.witness] if quorum else []
        return self.log.trust(witnesses=witnesses, roots=[root] if roots else [], named=others)

    # --- requests

    def settings(self, **changes: Any) -> Settings:
        """Return what a client of this hub's partner is made of; it waits for nothing."""
        usual: dict[str, Any] = {
            "url": ADDRESS,
            "party": PARTNER,
            "key": fixed_key(PARTNER),
            "result_key": self.result_key,
            "trust": load_trust(self.trust()),
            "agreement": AGREEMENT,
            "purpose": PURPOSE,
            "clock": self.clock,
            "patience": Patience(first_pause_s=0.001, longest_pause_s=0.002),
        }
        return Settings(**{**usual, **changes})

    def connect(self, **changes: Any) -> Client:
        """Return a client of this hub's partner."""
        return open_client(self.settings(**changes), self.network)

    def aconnect(self, **changes: Any) -> AsyncClient:
        """Return an asynchronous client of this hub's partner."""
        return open_async_client(self.settings(**changes), self.network)

    @property
    def network(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer as a network does: in pieces."""
        answer = self.answer_to(request)
        if isinstance(answer.stream, Pieces):
            return answer
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Pieces([answer.content]))

    def answer_to(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.faults and (fault := self.faults.pop(0)(request)) is not None:
            return fault
        path = urlsplit(str(request.url)).path
        if path.startswith("/tile/"):
            return self.tile(path)
        try:
            self.authenticate(request)
        except SandboxError as error:
            return problem(error.code, error.message)
        once = request.headers.get("idempotency-key")
        if once in self.answers:
            return self.answers[once]
        query = {name: values[0] for name, values in parse_qs(urlsplit(str(request.url)).query).items()}
        answer = self.route(request, [unquote(part) for part in path.split("/")[2:]], query)
        if once is not None:
            self.answers[once] = answer
        return answer

    def authenticate(self, request: httpx.Request) -> None:
        signed = verify_request(
            request.method,
            str(request.url),
            request.headers,
            request.content,
            find_key=self.keys.get,
            clock=self.clock,
        )
        assert signed.nonce not in self.nonces, "a nonce is good once"
        self.nonces.add(signed.nonce)

    def tile(self, path: str) -> httpx.Response:
        bundle = b"".join(len(entry).to_bytes(2, "big") + entry for entry in self.log.entries)
        if path == "/" + tile_name("entries", 0, len(self.log.entries)):
            return httpx.Response(200, content=bundle)
        return httpx.Response(404)

    def route(self, request: httpx.Request, path: list[str], query: dict[str, str]) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        match request.method, path:
            case "GET", ["datasets"]:
                words = query.get("query", "")
                return page([self.dataset(one) for one in self.datasets if words in one.name + one.title], query)
            case "GET", ["datasets", name]:
                one = next((one for one in self.datasets if dataset_id(one.name) == name), None)
                return not_found() if one is None else httpx.Response(200, json=self.dataset(one))
            case "GET", ["keys"]:
                return page([self.listed(index) for index in self.key_entries], query)
            case "GET", ["entries", index, "receipt"]:
                return httpx.Response(200, text=self.receipt(int(index)))
            case "POST", ["jobs", "dry-run"]:
                self.posted.append(("dry-run", body))
                return httpx.Response(200, json=self.decision)
            case "POST", ["jobs"]:
                return self.submit(body)
            case "GET", ["jobs"]:
                return page([self.status(job) for job in self.jobs.values()], query)
            case _, ["jobs", name, *rest]:
                job = self.jobs.get(name)
                return not_found() if job is None else self.of_job(request, job, rest, query)
            case "GET", [noun] if noun in self.listings:
                return page(self.listings[noun], query)
            case "GET", [noun, name]:
                named = [one for one in self.listings.get(noun, []) if name in one.values()]
                return httpx.Response(200, json=named[0]) if named else not_found()
            case "POST", _:
                return self.file("/".join(path), body)
        return not_found()

    def dataset(self, dataset: Dataset) -> dict[str, Any]:
        return {
            "id": dataset_id(dataset.name),
            "name": dataset.name,
            "title": dataset.title,
            "owner": dataset.owner,
            "node": NODE,
            "openness": dataset.openness.value,
            "entry": digest_json(dataset_to_json(dataset)),
            "document": dataset_to_json(dataset),
            "versions": [
                {"version": number, "schema_digest": "sha256:" + "3" * 64, "is_usable": number < 4}
                for number in (2, 3, 4)
            ],
        }

    def listed(self, index: int) -> dict[str, Any]:
        entry = json.loads(self.log.entries[index])
        return {"index": index, "id": "key-x", "type": entry["type"], "time": entry["time"], **one_statement(entry)}

    def file(self, path: str, body: dict[str, Any]) -> httpx.Response:
        self.posted.append((path, body))
        if self.missing:
            draft = digest_json(body)
            answer = {"draft": draft, "missing": list(self.missing)}
            return httpx.Response(202, json=answer, headers={"Location": f"/v1/drafts/{draft}"})
        statements = [parse_statement(canonical_bytes(one)) for one in body.get("statements", [])]
        indices = [self.put(one) for one in statements]
        entries = [
            {"index": index, "id": one.payload.id, "type": one.type.value, "time": "", "receipt": self.receipt(index)}
            for index, one in zip(indices, statements, strict=True)
        ]
        return httpx.Response(201, json={"entries": entries})

    # --- jobs

    def submit(self, body: dict[str, Any]) -> httpx.Response:
        (envelope,), (opening,) = body["statements"], body["openings"]
        statement = parse_statement(canonical_bytes(envelope))
        verify_signatures(statement, self.keys.values())
        payload = statement.payload
        assert payload.body["plan"] == opening["commitment"]
        salt = base64.urlsafe_b64decode(opening["salt"] + "=")
        assert digest_bytes(salt + canonical_bytes(opening["value"])) == opening["commitment"]
        job = Job(id=payload.id, body=payload.body, plan=opening["value"], entries=[self.put(statement)])
        if self.decision["outcome"] == "refuse":
            more = {"job": job.id, "receipt": self.receipt(job.entries[0]), "reasons": self.decision["reasons"]}
            return problem(ErrorCode.JOB_REFUSED, "the purpose is not granted", **more)
        self.jobs[job.id] = job
        return httpx.Response(202, json=self.status(job), headers={"Location": f"/v1/jobs/{job.id}"})

    def status(self, job: Job, **more: Any) -> dict[str, Any]:
        return {
            "job": job.id,
            "state": job.state,
            "submitted_at": format_time(self.clock.now()),
            "agreement": job.body["agreement"],
            "operation": job.body["operation"],
            "progress": {"started": 40}.get(job.state),
            "reasons": None,
            "notice": None,
            "has_result": job.state in ("released", "delivered") and bool(job.sealed),
            "entries": job.entries,
            "expires_at": job.body["expires_at"],
            **more,
        }

    def of_job(self, request: httpx.Request, job: Job, rest: list[str], query: dict[str, str]) -> httpx.Response:
        match rest:
            case []:
                if "after_state" in query:
                    self.advance(job)
                return httpx.Response(200, json=self.status(job))
            case ["events"] if self.has_events:
                return httpx.Response(
                    200, stream=Pieces(self.events(job)), headers={"Content-Type": "text/event-stream"}
                )
            case ["result"] if job.sealed:
                return httpx.Response(200, content=job.sealed)
            case ["receipts"]:
                return httpx.Response(200, json={"entries": [self.evidence(index) for index in job.entries]})
            case ["cancellation"]:
                job.state = "cancelled"
                return self.file("cancellation", json.loads(request.content))
        return not_found()

    def events(self, job: Job) -> Iterator[bytes]:
        yield b": welcome\n\n"
        for number in range(len(STEPS)):
            self.advance(job)
            data = json.dumps(self.status(job)).encode()
            yield b"event: state\nid: %d\n" % number
            yield b"data: %b\n\n" % data

    def evidence(self, index: int) -> dict[str, Any]:
        entry = json.loads(self.log.entries[index])
        return {"index": index, "type": entry["type"], "entry": entry, "receipt": self.receipt(index)}

    def advance(self, job: Job) -> None:
        """Move a job one step; the last one is its release."""
        if job.state == "submitted" or job.state in STEPS[:-1]:
            job.state = STEPS[0 if job.state == "submitted" else STEPS.index(job.state) + 1]
            if job.state == "leased":
                self.lease(job)
            if job.state == "released":
                self.release(job)

    def lease(self, job: Job, *, node: str = NODE, issuer: str = BUREAU, signer: SigningKey | None = None) -> None:
        body = {"node": node, "attempt": 1, "expires_at": format_time(self.clock.now() + timedelta(minutes=5))}
        keys = (signer or fixed_key(issuer),)
        job.entries.append(self.record("job.leased", body, issuer=issuer, keys=keys, name=job.id))

    def release(
        self,
        job: Job,
        *,
        issuer: str = NODE,
        signer: SigningKey | None = None,
        name: str = "",
        on_behalf_of: str | None = None,
    ) -> None:
        result = self.answer(job.plan)
        opening = commit(digest_json(result))
        salt = base64.urlsafe_b64encode(opening.salt).rstrip(b"=").decode()
        wrapped: dict[str, Any] = {"result": result, "content": {"salt": salt, "value": digest_json(result)}}
        self.change(wrapped)
        context: dict[str, Any] = {"job": job.id, "agreement": job.body["agreement"]}
        job.sealed = seal(canonical_bytes(wrapped), job.body["result_key"], context)
        body = {
            "job": name or job.id,
            "mode": "exact",
            "content": opening.commitment,
            "ciphertext": digest_bytes(job.sealed),
            "software": "sha256:" + "4" * 64,
            "rules": "sha256:" + "2" * 64,
            "budget": None,
        }
        keys = (signer or fixed_key(issuer),)
        job.entries.append(self.record("output.released", body, issuer=issuer, keys=keys, on_behalf_of=on_behalf_of))
        job.state = "released"


def one_statement(entry: dict[str, Any]) -> dict[str, Any]:
    return {"statement": entry["statement"]}


def page(items: list[dict[str, Any]], query: Mapping[str, str]) -> httpx.Response:
    """Answer with two items at a time, so that every longer listing has pages."""
    start = int(query.get("cursor", "0"))
    end = start + 2
    return httpx.Response(200, json={"items": items[start:end], "next": str(end) if end < len(items) else None})


def problem(code: ErrorCode, message: str, **more: Any) -> httpx.Response:
    spec = CATALOGUE[code]
    body = {"title": spec.title, "status": spec.status, "code": code.value, "detail": message, "ref": "ref-1", **more}
    return httpx.Response(spec.status, json=body, headers={"Content-Type": "application/problem+json"})


def not_found() -> httpx.Response:
    return problem(ErrorCode.THING_NOT_FOUND, "no such thing")
