"""A federation that really ran, as an auditor gets it, and damaged on request: entries are signed and chained anew.

    run = real_run()                        # three units, a bank and a hub: entries, contributions, terms, documents
    bad = run.without(run.find("federation.round_started", round=2))
    bad.write(folder)                       # log/, documents/, federations/, roots.json, as `yingbi audit` takes them

What a damaged run says is signed by whom it should be: nothing but what was changed is wrong with it.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.tiles import TILE_WIDTH, bundle_path, decode_bundle
from policies.model import to_json
from sandbox.catalog.codec import dataset_to_json
from tests.lib.federation import PARTNER, UNITS, FederatedWorld, open_federation
from tests.lib.federation import loans as dataset_of
from tests.lib.federation import terms as agreement_of
from tests.lib.hubs import BUREAU, fixed_key
from tests.lib.mini_log import MiniLog, NoteKey, Signer, log_key, witness
from tests.lib.sdk_hub import Pieces
from tests.lib.waiting import wait_until
from yingbi.audit.case import Case
from yingbi.audit.contributions import Evidence
from yingbi.audit.federation_checks import MakeReplay
from yingbi.audit.folding import Documents, fold_log
from yingbi.canonical import canonical_bytes, digest_bytes, digest_json
from yingbi.client import Client, Patience, Settings, open_client
from yingbi.client.federation_evidence import fetch_evidence
from yingbi.clock import parse_time
from yingbi.keys import SigningKey
from yingbi.plan.codec import common_json
from yingbi.plan.model import TrainingPrivacy, TrainingQuestion
from yingbi.statement import sign

__all__ = ["ORIGIN", "Row", "Run", "digest_of", "real_run", "run_of"]

ORIGIN = "log.example/federated"
_TRIES = 5


@dataclass(frozen=True)
class Row:
    """One entry: when, what it says, and who signed it."""

    time: str
    payload: dict[str, Any]
    signers: tuple[str, ...]
    envelope: dict[str, Any] | None = None

    @property
    def type(self) -> str:
        return str(self.payload["type"])

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = self.payload["body"]
        return body

    def saying(self, **body: Any) -> "Row":
        """Return the same entry with another body, signed anew."""
        return replace(self, payload=self.payload | {"body": self.body | body}, envelope=None)

    def again(self, nonce: str) -> "Row":
        """Return the same said once more."""
        return replace(self, payload=self.payload | {"nonce": nonce.ljust(22, "A")}, envelope=None)


@dataclass(frozen=True)
class Run:
    """A log with one federation in it, and its evidence by the paths of a bundle.

    `files`: as the hub keeps it; `fetched`: as its partner was given it.
    """

    rows: tuple[Row, ...]
    files: Mapping[str, bytes]
    texts: Mapping[str, bytes]
    federation: str
    jobs: tuple[str, ...]
    result: str
    fetched: Mapping[str, bytes | None]
    log_witness: NoteKey = field(default_factory=lambda: witness("w1"))

    # --- finding and damaging

    def find(self, kind: str, **body: Any) -> int:
        """Return the index of the first entry of a kind whose body says this; `issuer` is looked up outside of it."""
        return next(self.all(kind, **body))

    def all(self, kind: str, **body: Any) -> Iterator[int]:
        issuer = body.pop("issuer", None)
        for index, row in enumerate(self.rows):
            is_meant = row.type == kind and all(row.body.get(name) == value for name, value in body.items())
            if is_meant and issuer in (None, row.payload["issuer"]):
                yield index

    def change(self, index: int, **body: Any) -> "Run":
        return replace(self, rows=(*self.rows[:index], self.rows[index].saying(**body), *self.rows[index + 1 :]))

    def without(self, *indexes: int) -> "Run":
        return replace(self, rows=tuple(row for index, row in enumerate(self.rows) if index not in indexes))

    def insert(self, index: int, *rows: Row) -> "Run":
        return replace(self, rows=(*self.rows[:index], *rows, *self.rows[index:]))

    def move(self, index: int, to: int) -> "Run":
        """Return the run with one entry further on, behind the entry that is at `to` now."""
        rows = list(self.rows)
        row = rows.pop(index)
        rows.insert(to, replace(row, time=self.rows[to].time))
        return replace(self, rows=tuple(rows))

    def with_file(self, path: str, data: bytes | None) -> "Run":
        """Return the run with other evidence at a path below its federation; `None` takes it away."""
        name = f"{self.federation}/{path}"
        rest = {key: value for key, value in self.files.items() if key != name}
        return replace(self, files=rest if data is None else rest | {name: data})

    def file(self, path: str) -> bytes:
        return self.files[f"{self.federation}/{path}"]

    # --- looking at it

    @property
    def mini(self) -> MiniLog:
        log = MiniLog(origin=ORIGIN, keys=[log_key(ORIGIN, seed="federated")])
        for row in self.rows:
            envelope = row.envelope or json.loads(sign(row.payload, [key_of(name) for name in row.signers]).envelope)
            log.append(row.type, time=row.time, envelope=envelope)
        return log

    @property
    def evidence(self) -> Evidence:
        return Evidence(paths=frozenset(self.files), read=self.files.get)

    def case(self, make_replay: MakeReplay | None = None, *, evidence: Evidence | None = None) -> Case:
        """Return what an auditor looks at."""
        files = self.published()
        documents = Documents(dict(self.texts))
        reading = fold_log(files.__getitem__, [fixed_key("root").public], find_terms=documents.find_terms)
        return Case(reading=reading, evidence=evidence or self.evidence, make_replay=make_replay)

    def trust(self) -> bytes:
        root = Signer(_private(fixed_key("root")))
        return self.mini.trust(witnesses=[self.log_witness], roots=[root])

    def write(self, folder: Path) -> Path:
        """Write what an auditor is given into a folder."""
        files = {f"log/{name}": data for name, data in self.published().items()}
        files |= {f"federations/{name}": data for name, data in self.files.items()}
        files |= {f"documents/{digest.removeprefix('sha256:')}.json": data for digest, data in self.texts.items()}
        for name, data in {**files, "roots.json": self.trust()}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    def published(self) -> dict[str, bytes]:
        """Return the published files of the log, cosigned by one witness."""
        return self.mini.export(cosign=[(self.log_witness, self._end_s)])

    @property
    def _end_s(self) -> int:
        return int(parse_time(self.rows[-1].time).timestamp()) + 60


def key_of(party: str) -> SigningKey:
    """Return the key that a party has in the world of federations."""
    if party in (BUREAU, "root"):
        return fixed_key("service" if party == BUREAU else "root")
    kind, _, name = party.partition(":")
    return fixed_key(name if kind == "person" else party)


def digest_of(name: str) -> str:
    """Return a digest that stands for something."""
    return digest_bytes(name.encode())


def connect(world: FederatedWorld, party: str) -> Client:
    """Return a client of the world's hub."""

    def send(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        answer = world.hub.client.request(request.method, path, content=request.content, headers=request.headers)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Pieces([answer.content]))

    settings = Settings(
        url=world.hub.address, party=party, key=world.hub.key(party), clock=world.clock, patience=Patience(attempts=1)
    )
    return open_client(settings, httpx.MockTransport(send))


@cache
def real_run(*, private: bool = False) -> Run:
    """Run a federation once in this process, and return what is left of it: every round in its first attempt."""
    for _ in range(_TRIES):
        found = _run_once(private=private)
        if all(found.rows[index].body["attempt"] == 1 for index in found.all("federation.round_started")):
            return found
    raise AssertionError("expected a run in which nobody is lost")


def _run_once(*, private: bool) -> Run:
    privacy = TrainingPrivacy(epsilon="5", delta="0.000001", clip="1") if private else None
    changes: dict[str, Any] = {"privacy": privacy, "rounds": 8, "parameters": '{"max_steps":3}'} if private else {}
    with TemporaryDirectory() as folder, open_federation(Path(folder), private=private) as world:
        world.run_all()
        question = world.question(**changes)
        assert [one.status_code for one in world.submit(question)] == [202] * 3
        world.wait_for(question, "completed")
        world.wait_for_jobs(question, "delivered", "released")
        return run_of(world, question)


def run_of(world: FederatedWorld, question: TrainingQuestion) -> Run:
    """Return what is left of a federation of a world, with the whole log."""
    last = max(world.standing.jobs.get(one.job).entries[-1] for one in question.members)
    wait_until(lambda: _published_size(world.hub.client) > last, seconds=30)
    with connect(world, PARTNER) as client:
        fetched = dict(map(client.run, client.run(fetch_evidence(client.hub, question.federation))))
    return Run(
        fetched=fetched,
        rows=tuple(_rows(world.hub.client)),
        files=_files(world, question),
        texts=_texts(private=question.privacy is not None),
        federation=question.federation,
        jobs=tuple(one.job for one in question.members),
        result=str(world.standing.federations.get(question.federation).life.result),
    )


def _files(world: FederatedWorld, question: TrainingQuestion) -> dict[str, bytes]:
    store, name = world.hub.hub.federation_store, question.federation
    files = {f"{name}/terms.json": canonical_bytes(common_json(question))}
    for number, attempt in store.attempts(name):
        for node, vector in store.vectors(name, number, attempt).items():
            files[f"{name}/{number}-{attempt}/{node.removeprefix('node:')}.bin"] = vector.astype("<u8").tobytes()
    return files


def _texts(*, private: bool) -> dict[str, bytes]:
    values = [to_json(agreement_of(unit, private=private)) for unit in UNITS]
    values += [dataset_to_json(dataset_of(unit)) for unit in UNITS]
    return {digest_json(value): canonical_bytes(value) for value in values}


def _get(client: Any, path: str) -> bytes:
    answer = client.request("GET", f"/{path}", headers={})
    assert answer.status_code == 200, path
    content: bytes = answer.content
    return content


def _published_size(client: Any) -> int:
    return int(_get(client, "checkpoint").split(b"\n")[1])


def _rows(client: Any) -> Iterator[Row]:
    """Read all entries as the hub publishes them."""
    size = _published_size(client)
    owners = _owners()
    for first in range(0, size, TILE_WIDTH):
        width = min(TILE_WIDTH, size - first)
        for data in decode_bundle(_get(client, bundle_path(first // TILE_WIDTH, width)))[:width]:
            value = json.loads(data)
            envelope = value["statement"]
            payload = json.loads(base64.b64decode(envelope["payload"]))
            signers = tuple(owners(item["keyid"], payload) for item in envelope["signatures"])
            yield Row(time=value["time"], payload=payload, signers=signers, envelope=envelope)


def _owners() -> Callable[[str, dict[str, Any]], str]:
    """Return what tells whose a key is; keys follow from names."""
    known: dict[str, str] = {}

    def owner(keyid: str, payload: dict[str, Any]) -> str:
        body = payload["body"]
        names = {payload["issuer"], payload["on_behalf_of"], body.get("owner"), BUREAU, "root", "person:security-admin"}
        for name in names - {None}:
            known.setdefault(key_of(name).public.thumbprint, name)
        return known.get(keyid, f"unknown:{keyid}")

    return owner


def _private(key: SigningKey) -> Ed25519PrivateKey:
    private: Ed25519PrivateKey = key._key
    return private
