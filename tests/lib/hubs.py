"""Hubs in this process: real log, database and application, asked over ASGI with signed requests."""

import asyncio
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from api.ceremony import ADMINISTRATORS_IN_ORDER, hold_ceremony, sign_ceremony
from api.home import HubHome
from api.main import create_app
from api.settings import Settings
from api.wiring import Hub, open_hub
from policies.model import Agreement, to_json
from policies.sign import proposed_payload, signed_payload
from sandbox.catalog.codec import dataset_to_json
from sandbox.catalog.model import Dataset
from tests.lib.attack_world import firms_dataset
from tests.lib.nodes import broad_agreement
from yingbi.canonical import digest_json
from yingbi.clock import Clock, format_time
from yingbi.events.fields import Duty
from yingbi.http_signing import sign_request
from yingbi.ids import dataset_id, new_id, new_nonce
from yingbi.keys import SigningKey
from yingbi.statement import Statement, sign

__all__ = ["ADDRESS", "BUREAU", "NODE", "AsgiClient", "HubWorld", "fixed_key", "lab_terms", "new_hub", "open_world"]

ADDRESS = "https://hub.example"
BUREAU = "bureau:futian"
NODE = "node:futian-lab"
ORIGIN = "log.futian.example/test"


def fixed_key(name: str) -> SigningKey:
    """Return a key that is the same in every run."""
    return SigningKey.from_seed(name.encode().ljust(32, b"\x01")[:32])


def new_hub(folder: Path, clock: Clock, *, address: str | None = ADDRESS, **settings: Any) -> HubHome:
    """Make a hub with its three administrators."""
    root, service = fixed_key("root"), fixed_key("service")
    people = {duty: (f"person:{duty.value}", fixed_key(duty.value)) for duty in ADMINISTRATORS_IN_ORDER}
    configured = Settings(bureau=BUREAU, address=address, roots=(root.public,), **settings)
    at = format_time(clock.now())
    statements = sign_ceremony(BUREAU, root=root, service_key=service, people=people, at=at)
    return hold_ceremony(folder, configured, ORIGIN, service_key=service, statements=statements, clock=clock)


def lab_terms(name: str = "agr-lab-2026-01", **changes: Any) -> Agreement:
    """Return valid terms that grant everything there is to grant of the laboratory's firms."""
    terms = broad_agreement([firms_dataset()], name=name).agreement
    (grant,) = terms.datasets
    columns = tuple(
        replace(one, functions=("count_units",)) if one.name == grant.privacy_unit else one for one in grant.columns
    )
    return replace(terms, datasets=(replace(grant, columns=columns),), **changes)


class AsgiClient:
    """Asks an application from any thread, at an address of its own; it runs in one event loop, as under a server."""

    def __init__(self, app: Any, *, host: str = "127.0.0.1") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(host, 1))
        self._client = httpx.AsyncClient(transport=transport, base_url=ADDRESS, timeout=60)

    def request(self, method: str, path: str, *, content: bytes = b"", headers: Mapping[str, str]) -> httpx.Response:
        """Send a request and wait for its answer."""
        asked = self._client.request(method, path, content=content, headers=headers)
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(60)

    def close(self) -> None:
        """End the loop."""
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(10)
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@dataclass
class HubWorld:
    """An open hub, everybody's keys, and how they ask it (`client`, at `address`)."""

    hub: Hub
    clock: Clock
    client: Any
    address: str = ADDRESS
    keys: dict[str, SigningKey] = field(default_factory=dict)

    def key(self, party: str) -> SigningKey:
        """Return the key of a party, made by its name."""
        if party == BUREAU:
            return fixed_key("service")
        if party == "root":
            return fixed_key("root")
        kind, _, name = party.partition(":")
        return self.keys.setdefault(party, fixed_key(name if kind == "person" else party))

    # --- statements

    def state(
        self,
        kind: str,
        body: Mapping[str, object],
        *,
        issuer: str,
        signers: Iterable[str] | None = None,
        name: str | None = None,
        **head: object,
    ) -> Statement:
        """Return a statement, signed by its issuer where no other signers are named."""
        payload: dict[str, object] = {
            "type": kind,
            "id": name or new_id(kind.partition(".")[0][:3]),
            "issuer": issuer,
            "on_behalf_of": None,
            "issued_at": format_time(self.clock.now()),
            "nonce": new_nonce(),
            "subject": [],
            "refs": {},
            "body": dict(body),
        }
        return sign(payload | head, [self.key(signer) for signer in (signers or (issuer,))])

    def registration(self, party: str, *, employer: str | None = None, signers: Iterable[str] = ()) -> Statement:
        """Return the registration of a party's key, signed by it and by `signers` (by default all who must)."""
        wanted = list(signers) or [party, "root", *([employer] if employer not in (None, BUREAU) else [])]
        body = {
            "jwk": self.key(party).public.to_jwk(),
            "owner": party,
            "not_before": format_time(self.clock.now()),
            "not_after": None,
        }
        return self.state("key.registered", body, issuer=BUREAU, signers=wanted, on_behalf_of=employer)

    def grant(self, person: str, duty: Duty, *, grantor: str = "person:security-admin") -> Statement:
        """Return the grant of a duty."""
        body = {"holder": person, "duty": duty.value, "scope": None, "valid_until": None}
        return self.state("duty.granted", body, issuer=grantor)

    def application(self, party: str, kind: str, *, licence: str | None = None) -> Statement:
        """Return an organisation's application."""
        body = {
            "party": party,
            "kind": kind,
            "identity": "sha256:" + "1" * 64,
            "licence": licence,
            "keyid": self.key(party).public.thumbprint,
            "note": None,
        }
        return self.state("participant.applied", body, issuer=party)

    def admission(self, party: str, kind: str, *signers: str) -> Statement:
        """Return an admission, signed by registrar and approver unless told otherwise."""
        wanted = signers or ("person:registrar", "person:approver")
        body = {"party": party, "kind": kind, "valid_until": None, "note": None}
        return self.state("participant.admitted", body, issuer=wanted[0], signers=wanted, on_behalf_of=BUREAU)

    # --- requests

    def ask(
        self, method: str, path: str, *, by: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a signed request."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = {"content-type": "application/json"} if content and not isinstance(body, bytes) else {}
        fields |= headers or {}
        sign_request(method, self.address + path, fields, content, key=self.key(by), clock=self.clock)
        answer: httpx.Response = self.client.request(method, path, content=content, headers=fields)
        return answer

    def post(self, path: str, *statements: Statement, by: str, **more: Any) -> httpx.Response:
        """Submit statements."""
        headers = more.pop("headers", None)
        body = {"statements": [json.loads(one.envelope) for one in statements], **more}
        return self.ask("POST", path, by=by, body=body, headers=headers)

    def recorded(self, path: str, *statements: Statement, by: str, **more: Any) -> list[int]:
        """Submit statements that must be recorded; return their entries."""
        answer = self.post(path, *statements, by=by, **more)
        assert answer.status_code in (201, 202), answer.text
        return [entry["index"] for entry in answer.json()["entries"]]

    # --- people and organisations

    def employ(self, person: str, duty: Duty, *, employer: str = BUREAU) -> None:
        """Register a person and give a duty."""
        grantor = "person:security-admin" if employer == BUREAU else employer
        registration = self.registration(person, employer=employer)
        self.recorded("/v1/keys", registration, by="person:security-admin")
        self.recorded("/v1/duties", self.grant(person, duty, grantor=grantor), by=grantor)

    def staff(self) -> None:
        """Give the bureau its registrar, its approver and its checker."""
        for name, duty in (
            ("registrar", Duty.BUREAU_REGISTRAR),
            ("approver", Duty.BUREAU_APPROVER),
            ("checker", Duty.OUTPUT_CHECKER),
        ):
            self.employ(f"person:{name}", duty)

    def admit(self, party: str, kind: str, *, licence: str | None = None) -> None:
        """Bring an organisation in: its key, its application, its admission."""
        self.recorded("/v1/keys", self.registration(party), by="person:registrar")
        application = self.application(party, kind, licence=licence)
        self.recorded("/v1/participants", application, self.admission(party, kind), by=party)

    # --- data and agreements

    def add_unit(self, dataset: Dataset, *, node: str = NODE) -> None:
        """Bring in the unit that owns a data set, with its officer and its node."""
        self.admit(dataset.owner, "source-unit")
        self.employ("person:cdo", Duty.UNIT_CDO, employer=dataset.owner)
        self.recorded("/v1/keys", self.registration(node, employer=dataset.owner), by=dataset.owner)

    def publish(self, dataset: Dataset, *, node: str = NODE, version: int = 1) -> str:
        """Register a data set, with a graded version; return its id."""
        name, document = dataset_id(dataset.name), dataset_to_json(dataset)
        if version == 1:
            body = {
                "owner": dataset.owner,
                "catalogue_entry": digest_json(document),
                "privacy_unit": dataset.privacy_unit.value,
                "openness": dataset.openness.value,
            }
            registered = self.state("dataset.registered", body, issuer=dataset.owner, name=name)
            self.recorded("/v1/datasets", registered, by=dataset.owner, documents=[document])
        schema = {"version": version, "schema_digest": digest_json(document), "content": "sha256:" + "2" * 64}
        self.recorded("/v1/datasets", self.state("dataset.versioned", schema, issuer=node, name=name), by=node)
        grades = {
            "version": version,
            "grade": "general-3",
            "openness": dataset.openness.value,
            "column_grades": "sha256:" + "3" * 64,
            "on_negative_list": False,
        }
        graded = self.state("dataset.graded", grades, issuer="person:cdo", name=name, on_behalf_of=dataset.owner)
        self.recorded("/v1/datasets", graded, by="person:cdo")
        return name

    def propose(self, terms: Agreement, *, by: str = "person:registrar") -> Statement:
        """Return the proposal of terms."""
        employer = self.hub.standing.people.employer(by)
        payload = proposed_payload(terms, issuer=by, on_behalf_of=employer, at=self.clock.now())
        return sign(payload, [self.key(by)])

    def sign_terms(self, terms: Agreement, person: str, duty: Duty) -> Statement:
        """Return one person's signature of terms."""
        employer = self.hub.standing.people.employer(person)
        payload = signed_payload(terms, duty=duty, issuer=person, on_behalf_of=employer, at=self.clock.now())
        return sign(payload, [self.key(person)])

    def agree(self, terms: Agreement) -> None:
        """Propose terms, and have both sides sign them."""
        self.recorded("/v1/agreements", self.propose(terms), by="person:registrar", documents=[to_json(terms)])
        for person, duty in (("person:cdo", Duty.UNIT_CDO), ("person:approver", Duty.BUREAU_APPROVER)):
            self.recorded("/v1/agreements", self.sign_terms(terms, person, duty), by=person)

    def settle(self, dataset: Dataset, terms: Agreement) -> str:
        """Bring in everybody whom a job needs: unit, node, data, partner, analyst, agreement; return the data's id."""
        self.staff()
        self.add_unit(dataset)
        name = self.publish(dataset)
        self.admit(terms.assignee, "bank")
        self.employ("person:analyst", Duty.PARTNER_ANALYST, employer=terms.assignee)
        self.agree(terms)
        return name


@contextmanager
def open_world(home: HubHome, clock: Clock) -> Iterator[HubWorld]:
    """Open a hub and its application."""
    with open_hub(home, clock) as hub:
        client = AsgiClient(create_app(hub))
        try:
            yield HubWorld(hub=hub, clock=clock, client=client)
        finally:
            client.close()
