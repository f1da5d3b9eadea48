"""A hub for a node's tests: a real log in a folder with real witnesses, the real standing, really signed requests.

What it does not have is everything that is for people. Tests make it lie by overriding one of its methods.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from ledger.cosigning import CosigningThread
from ledger.entry import parse_entry
from ledger.high_water import HighWaterMark
from ledger.log import Log, create_log
from ledger.note import TextSigner
from ledger.publish import read_published
from ledger.receipt import format_receipt
from ledger.store_sql import SqlStore
from policies.jobs import JobState
from policies.model import Agreement, terms_digest, to_json
from policies.parse import parse_agreement
from policies.sign import activated_payload
from policies.standing import Standing, StatementRefusedError, UnknownTermsError
from sandbox.catalog.codec import dataset_digest
from sandbox.node.agent_home import AgentConfig, save_agent
from sandbox.node.home import NodeHome
from sandbox.node.statements import StatementMaker
from sandbox.node.versions import Versions
from sandbox.query.sql import parse_sql
from tests.lib.local_witnesses import LocalWitnesses
from tests.lib.nodes import PARTNER, PURPOSE, broad_agreement
from tests.lib.realm import BUREAU, STAFF, UNIT, Realm
from yingbi.canonical import JsonValue, canonical_bytes, digest_bytes
from yingbi.clock import Clock, format_time, parse_time
from yingbi.commitment import Opening, commit
from yingbi.errors import AuthenticationError, ErrorCode, NotFoundError, SandboxError
from yingbi.events.fields import Duty
from yingbi.http_signing import verify_request
from yingbi.ids import dataset_id, new_id
from yingbi.key_files import encode_base64url
from yingbi.keys import SigningKey, VerifyKey
from yingbi.plan.codec import plan_to_json
from yingbi.sealing import ResultKey
from yingbi.statement import Statement, parse_statement, sign

__all__ = ["ADDRESS", "NODE", "OWNER", "Answer", "FakeHub", "serving"]

ADDRESS = "https://hub.example"
ORIGIN = "log.example/fake-hub"
NODE, OWNER = "node:futian-lab", "unit:futian-bureau"
LEASE_S = 300
AGAIN_S = 1.0
_DOCUMENTS = "documents.json"

Answer = tuple[int, bytes]


class _PinnedClock:
    """The log's clock: stands still while a submission is judged and written."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


class FakeHub(Realm):
    """A hub with its log; what `Realm` says is recorded in it. Close it."""

    def __init__(self, folder: Path, clock: Clock, *, address: str = ADDRESS) -> None:
        super().__init__()
        self.clock = clock
        self.address = address
        self.documents: dict[str, JsonValue] = {}
        self.leases: list[dict[str, Any]] = []
        self.openings: dict[str, Opening] = {}
        self.results: dict[str, bytes] = {}
        self.notices: dict[str, JsonValue] = {}
        self.progress: dict[str, int] = {}
        self.uploads: list[str] = []
        self.asked: list[str] = []
        self.recipients: dict[str, ResultKey] = {}
        self.is_down = False
        self.places: dict[str, int] = {}
        self._nonces: set[str] = set()
        self._handed: dict[str, tuple[float, dict[str, Any]]] = {}
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._pinned = _PinnedClock(clock.now())
        self.tick()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.signer = TextSigner(ORIGIN, SigningKey.from_seed(b"\x31" * 32))
        mark, url = HighWaterMark(folder / "mark"), f"sqlite:///{folder}/log.sqlite"
        if mark.path.exists():
            self.store = SqlStore.open(url)
        else:
            self.store = SqlStore.create(url, ORIGIN)
            create_log(self.store, [self.signer], mark)
        self.witnesses = LocalWitnesses([self.signer.verifier], clock)
        self.log = Log.open(
            self.store,
            [self.signer],
            clock=self._pinned,
            high_water=mark,
            cosignatures=CosigningThread(self.witnesses.round()),
        )
        self._load()

    def key(self, party: str) -> SigningKey:
        """Return a party's key, the same in every run."""
        return self.keys.setdefault(party, SigningKey.from_seed(hashlib.sha256(party.encode()).digest()))

    def _load(self) -> None:
        path = self.folder / _DOCUMENTS
        self.documents = json.loads(path.read_bytes()) if path.exists() else {}
        self.texts = {digest: parse_agreement(canonical_bytes(one)) for digest, one in self.documents.items()}
        self.standing = self.replayed(self.store.read_head().size)

    def close(self) -> None:
        self.log.close()
        self.store.close()

    @property
    def trust(self) -> bytes:
        """Return the trust file that a node pins."""
        roots = [self.key("root").public.to_jwk()]
        return json.dumps({"v": 1, "policy": self.witnesses.text.decode(), "statement_roots": roots}).encode()

    def tick(self) -> str:
        """Take the time from the clock, and return it."""
        self._pinned.at = max(self.clock.now(), self._pinned.at)
        self.at = format_time(self._pinned.at)
        return self.at

    def statement(self, kind: str, about: str, body: Mapping[str, object], *signers: str, **options: Any) -> Statement:
        """Return a statement that is made now."""
        self.tick()
        return super().statement(kind, about, body, *signers, **options)

    # --- recording ---------------------------------------------------------------------------------------------------

    def take(self, statement: Statement) -> Statement:
        """Record what a realm's party says."""
        self.record([statement])
        self.entries.append(statement)
        return statement

    def record(self, statements: Sequence[Statement], *, is_judged: bool = True) -> list[int]:
        """Record statements together or not at all, and return their indices; a lying hub records without judging."""
        with self._lock:
            known = [self.places.get(digest_bytes(one.payload_bytes)) for one in statements]
            if None not in known:
                return [place for place in known if place is not None]
            self.tick()
            trial = self.replayed() if len(statements) > 1 else self.standing
            start = trial.size
            if is_judged:
                for number, one in enumerate(statements):
                    if trial is self.standing:
                        trial.judge(one, at=self.at)
                    else:
                        trial.take(one, index=start + number, at=self.at)
            done = self.log.append_batch(list(statements))
            if trial is self.standing or not is_judged:
                for number, one in enumerate(statements):
                    _fold(self.standing, one, done.start + number, self.at)
            else:
                self.standing = trial
            for number, one in enumerate(statements):
                self.places[digest_bytes(one.payload_bytes)] = done.start + number
            self._wake.notify_all()
            return list(range(done.start, done.start + done.count))

    def replayed(self, size: int | None = None) -> Standing:
        """Return the standing that the log's entries add up to."""
        size = self.standing.size if size is None else size
        standing = Standing(bureau=BUREAU, roots=[self.key("root").public], find_terms=self.texts.get)
        for index, data in enumerate(self.store.read_entries(0, size)):
            entry = parse_entry(data)
            _fold(standing, entry.statement, index, entry.time)
        return standing

    # --- the story so far --------------------------------------------------------------------------------------------

    def prepare(self, home: NodeHome, **config: Any) -> Agreement:
        """Bring bureau, unit, node, bank and an agreement over all of the node's data into the log; set up the node."""
        self.found()
        for person, (employer, duty) in STAFF.items():
            if employer == BUREAU and person != "person:sec":
                self.register(person, BUREAU)
                self.grant(person, duty, "person:sec")
        self.admit(OWNER, "source-unit")
        self.admit(PARTNER, "bank")
        for person, (employer, duty) in STAFF.items():
            if employer != BUREAU:
                mine = OWNER if employer == UNIT else employer
                self.register(person, mine)
                self.grant(person, duty, mine)
        self.register(NODE, OWNER)
        self.declare(home)
        save_agent(home, AgentConfig(hub=self.address, bureau=BUREAU, **config), self.trust)
        datasets = home.catalogue.load().datasets.values()
        return self.agree_on(broad_agreement(datasets).agreement)

    def declare(self, home: NodeHome) -> None:
        """Record the node's data sets and versions, as its unit and the node itself say them."""
        catalogue, maker = home.catalogue.load(), StatementMaker(NODE, self.key(NODE), self.clock)
        for name, dataset in catalogue.datasets.items():
            body = {
                "owner": OWNER,
                "catalogue_entry": dataset_digest(dataset),
                "privacy_unit": dataset.privacy_unit.value,
                "openness": dataset.openness.value,
            }
            self.say("dataset.registered", dataset_id(name), body, "person:cdo", on_behalf_of=OWNER)
        for (name, number), version in sorted(catalogue.versions.items()):
            self.take(Versions(home.database).declare(version, maker).statement)
            grades = self.grades(version=number)
            self.say("dataset.graded", dataset_id(name), grades, "person:cdo", on_behalf_of=OWNER)

    def agree_on(self, terms: Agreement) -> Agreement:
        """Bring terms into force, with the signatures that they need."""
        self.documents[terms_digest(terms)] = to_json(terms)
        (self.folder / _DOCUMENTS).write_text(json.dumps(self.documents))
        self.propose(terms)
        self.take(self.signature(terms, "person:cdo", Duty.UNIT_CDO))
        self.take(self.signature(terms, "person:approver", Duty.BUREAU_APPROVER))
        payload = activated_payload(terms, issuer=BUREAU, on_behalf_of=None, at=parse_time(self.at))
        self.take(sign(payload, [self.key(BUREAU)]))
        return terms

    def ask(
        self,
        sql: str,
        terms: Agreement,
        *,
        version: int | None = 2,
        dataset: str = "lab/firms",
        is_leased: bool = True,
        by: str = PARTNER,
        job: str | None = None,
        **changes: Any,
    ) -> str:
        """Submit a question as the bank, or as one of its people, approve it by rule, and lease it; return its id.

        `job` is an id of the bank's choice, else a new one.
        """
        self.tick()
        plan = plan_to_json(parse_sql(sql))
        opening, recipient = commit(plan), ResultKey.generate()
        body = {
            "agreement": terms.id,
            "certificate": None,
            "purpose": PURPOSE,
            "operation": "aggregate",
            "datasets": [{"dataset": dataset_id(dataset), "version": version}],
            "plan": opening.commitment,
            "code": None,
            "epsilon": None,
            "result_key": recipient.public,
            "expires_at": self.later(hours=24),
            **changes,
        }
        job = job or new_id("job")
        self.openings[job], self.recipients[job] = opening, recipient
        self.say("job.submitted", job, body, by, on_behalf_of=None if by == PARTNER else PARTNER)
        if is_leased:
            self.say("job.approved", job, self.approval(terms), BUREAU)
            self.give(job)
        return job

    def give(self, job: str, attempt: int = 1) -> None:
        """Lease a job to the node, and have the lease ready for its next poll."""
        at = format_time(parse_time(self.tick()) + timedelta(seconds=LEASE_S))
        self.say("job.leased", job, {"node": NODE, "attempt": attempt, "expires_at": at}, BUREAU)
        with self._wake:
            self.leases.append(self.lease_of(job, attempt))
            self._wake.notify_all()

    def lease_of(self, job: str, attempt: int) -> dict[str, Any]:
        """Return the lease of a job as a node is handed it."""
        found = self.standing.jobs.get(job)
        assert found is not None
        index = found.entries[0]
        statement = parse_entry(self.store.read_entries(index, index + 1)[0]).statement
        opening = self.openings[job]
        return {
            "job": job,
            "attempt": attempt,
            "expires_at": found.life.leased_until,
            "statement": json.loads(statement.envelope),
            "plan": _opening_json(opening),
            "entries": {"submitted": index, "approved": list(found.entries[1:2]), "leased": found.entries[-1]},
            "size": self.standing.size,
            "decided": [],
        }

    def result(self, job: str) -> Any:
        """Return a job's result as the bank reads it."""
        found = self.standing.jobs.get(job)
        assert found is not None
        context: dict[str, JsonValue] = {"job": job, "agreement": found.submitted.agreement}
        return json.loads(self.recipients[job].open(self.results[job], context))

    def told(self, job: str) -> list[str]:
        """Return the types of all entries about a job, those without effect included."""
        entries = [parse_entry(data) for data in self.store.read_entries(0, self.standing.size)]
        payloads = [entry.statement.payload for entry in entries]
        return [str(one.type) for one in payloads if job in (one.id, one.body.get("job"))]

    # --- HTTP --------------------------------------------------------------------------------------------------------

    def http(self) -> httpx.Client:
        """Return a client whose requests this hub answers without a socket."""

        def answer(request: httpx.Request) -> httpx.Response:
            if self.is_down:
                raise httpx.ConnectError("refused")
            target = request.url.raw_path.decode()
            status, body = self.handle(request.method, target, list(request.headers.multi_items()), request.content)
            return httpx.Response(status, content=iter([body]))

        return httpx.Client(transport=httpx.MockTransport(answer))

    def handle(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
        """Answer one request."""
        self.asked.append(f"{method} {target}")
        try:
            if not target.startswith("/v1/"):
                return 200, self.read(target.removeprefix("/"))
            key = self._authenticate(method, target, headers, body)
            return self.route(method, target.removeprefix("/v1/").split("/"), key, body)
        except UnknownTermsError as error:
            return _problem(error, 409)
        except StatementRefusedError as error:
            return _problem(error, 409)
        except SandboxError as error:
            return _problem(error, error.spec.status)

    def read(self, path: str) -> bytes:
        """Return a public file of the log."""
        return read_published(self.store, path)

    def route(self, method: str, path: list[str], key: VerifyKey, body: bytes) -> Answer:
        """Answer a signed request."""
        del key
        match method, path:
            case "GET", ["documents", digest]:
                if digest not in self.documents:
                    raise NotFoundError(ErrorCode.TERMS_NOT_FOUND, "no such document")
                return 200, canonical_bytes(self.documents[digest])
            case "POST", ["nodes", _, "poll"]:
                return self.poll(float(json.loads(body)["wait_s"]))
            case "POST", ["nodes", _, "steps"] | ["incidents"] | ["datasets"]:
                statements = [parse_statement(canonical_bytes(one)) for one in json.loads(body)["statements"]]
                return self.receipts(self.record(statements))
            case "PUT", ["jobs", job, "result"]:
                return self.upload(job, body)
            case "PUT", ["jobs", job, "notice"]:
                self.notices[job] = json.loads(body)
                return 204, b""
            case "PUT", ["jobs", job, "progress"]:
                self.progress[job] = json.loads(body)["percent"]
                return 204, b""
        raise NotFoundError(ErrorCode.USAGE, "no such route")

    def poll(self, wait_s: float) -> Answer:
        """Hand out the next lease, and one that nobody came back with again."""
        end = time.monotonic() + wait_s
        with self._wake:
            while (lease := self._next_lease()) is None and time.monotonic() < end:
                self._wake.wait(min(end - time.monotonic(), AGAIN_S))
            return (204, b"") if lease is None else (200, json.dumps(lease).encode())

    def _next_lease(self) -> dict[str, Any] | None:
        now = time.monotonic()
        waiting = [one for at, one in self._handed.values() if now - at > AGAIN_S and self._is_leased(one)]
        lease = self.leases.pop(0) if self.leases else next(iter(waiting), None)
        if lease is not None:
            self._handed[lease["job"]] = (now, lease)
        return lease

    def _is_leased(self, lease: dict[str, Any]) -> bool:
        found = self.standing.jobs.get(lease["job"])
        return found is not None and found.state is JobState.LEASED and found.life.attempt == lease["attempt"]

    def receipts(self, indices: Sequence[int]) -> Answer:
        """Answer what was recorded, with receipts."""
        rows = []
        for index in indices:
            entry = parse_entry(self.store.read_entries(index, index + 1)[0])
            receipt = format_receipt(self.log.reader.receipt(index)).decode()
            one = {"index": index, "id": entry.statement.payload.id, "type": str(entry.type), "time": entry.time}
            rows.append({**one, "receipt": receipt})
        return 201, json.dumps({"entries": rows}).encode()

    def upload(self, job: str, body: bytes) -> Answer:
        """Take a sealed result, where the log names it."""
        found = self.standing.jobs.get(job)
        if found is None or found.ciphertext != digest_bytes(body):
            return 409, b'{"code":"transition-refused"}'
        self.uploads.append(job)
        self.results[job] = body
        return 204, b""

    def _authenticate(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> VerifyKey:
        at = format_time(self.clock.now())

        def find(keyid: str) -> VerifyKey | None:
            holder = self.standing.keys.find(keyid, at=at)
            return None if holder is None else holder.key

        url = f"{self.address}{target}"
        signed = verify_request(method, url, httpx.Headers(list(headers)), body, find_key=find, clock=self.clock)
        with self._lock:
            if signed.nonce in self._nonces:
                raise AuthenticationError(ErrorCode.REQUEST_UNSIGNED, "the nonce was seen before")
            self._nonces.add(signed.nonce)
        return signed.key


@contextmanager
def serving(hub: FakeHub) -> Iterator[None]:
    """Serve a hub on its address, which is a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            status, content = hub.handle(self.command, self.path, self.headers.items(), body)
            self.send_response(status)
            if status != 204:
                self.send_header("content-length", str(len(content)))
            with suppress(ConnectionError):  # who asked may have been killed
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 the server's names

        def handle_one_request(self) -> None:
            """Answer one; who was killed in between asks no more."""
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    host, _, port = hub.address.removeprefix("http://").partition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _fold(standing: Standing, statement: Statement, index: int, at: str) -> None:
    try:
        standing.take(statement, index=index, at=at)
    except SandboxError:
        if standing.size == index:
            standing.skip(index)


def _opening_json(opening: Opening) -> dict[str, JsonValue]:
    value: JsonValue = json.loads(opening.value)
    return {"commitment": opening.commitment, "salt": encode_base64url(opening.salt), "value": value}


def _problem(error: SandboxError, status: int) -> Answer:
    problem: Mapping[str, object] = {"code": error.code.value, "status": status, "detail": error.message}
    return status, json.dumps(problem).encode()
