"""A log of a whole bureau for auditors: everything signed by whom it must be, or, on request, by somebody else.

    log = AuditedLog().found()
    log.run_job("job-0001")
    log.say("output.released", …)       # whatever is said is recorded: a log judges nothing
    reading = log.read()

Entries are made by the product's own `sign`, and the log by `tests.lib.mini_log`, which checks nothing.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.model import Agreement, terms_digest, to_json
from policies.parse import parse_agreement
from tests.lib.mini_log import MiniLog, NoteKey, Signer, log_key, witness
from yingbi.audit.case import Case
from yingbi.audit.control_jobs import rules_digest
from yingbi.audit.facts import Read, Reading, read_log
from yingbi.audit.folding import Documents, fold_log
from yingbi.canonical import canonical_bytes, digest_json
from yingbi.clock import format_time
from yingbi.ids import dataset_id
from yingbi.keys import SigningKey, VerifyKey
from yingbi.statement import Statement, parse_statement, sign

__all__ = [
    "AGREEMENT",
    "BANK",
    "BUREAU",
    "DATASET",
    "NODE",
    "NOW",
    "ORIGIN",
    "START",
    "UNIT",
    "AuditedLog",
    "digest",
]

ORIGIN = "log.example/audited"
START = datetime(2026, 11, 16, 2, 0, tzinfo=UTC)  # a Monday, ten in the morning in Shenzhen
NOW = START + timedelta(days=3)
BUREAU, UNIT, NODE, BANK = "bureau:futian", "unit:futian-tax", "node:futian-tax", "partner:bank-a"
AGREEMENT = "agr-tax-2026-01"
DATASET = dataset_id("tax/annual_filings")
SECURITY, SYSTEM, AUDIT = "person:sec", "person:sys", "person:aud"
REGISTRAR, APPROVER, CHECKER, CDO = "person:reg", "person:app", "person:chk", "person:cdo"
ANALYST, OFFICER = "person:ana", "person:off"
RULE = "low-risk"
TERMS = f"""
agreement: {AGREEMENT}
version: 1
assigner: {UNIT}
assignee: {BANK}
purpose: research.sme
legal_basis: {{kind: contract, reference: "2026-17"}}
valid: {{from: 2026-11-01, until: 2027-01-31}}
place: {{zones: [{NODE}]}}
datasets:
  tax/annual_filings:
    privacy_unit: uscc
    columns: {{uscc: [join], year: {{uses: [filter, group], values: ["2024"]}}}}
operations: [aggregate]
disclosure: {{min_entities: 12}}
limits: {{jobs: 5, jobs_per_day: 4, filter_values: listed}}
approvals: {{agreement: [unit-cdo, bureau-approver], job: automatic, output: automatic}}
"""
CATALOGUE = {"name": "tax/annual_filings", "title": "年度申报", "items": ["uscc", "year"]}


def digest(name: str) -> str:
    """Return a digest that stands for something."""
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def _key(name: str) -> SigningKey:
    return SigningKey(_private(name))


def _public(name: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()).decode().rstrip("=")


@dataclass
class AuditedLog:
    """A log that grows, one entry a minute."""

    mini: MiniLog = field(default_factory=lambda: MiniLog(origin=ORIGIN, keys=[log_key(ORIGIN, seed="audited")]))
    at: datetime = START
    terms: Agreement = field(default_factory=lambda: parse_agreement(TERMS.encode()))
    others: list[Agreement] = field(default_factory=list)
    witness: NoteKey = field(default_factory=lambda: witness("w1"))

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        return len(self.mini.entries)

    def key(self, name: str) -> VerifyKey:
        return _key(name).public

    @property
    def roots(self) -> list[VerifyKey]:
        return [_key("root").public]

    @property
    def texts(self) -> dict[str, bytes]:
        found: list[Any] = [*map(to_json, (self.terms, *self.others)), CATALOGUE]
        return {digest_json(value): canonical_bytes(value) for value in found}

    @property
    def documents(self) -> Documents:
        return Documents(self.texts)

    @property
    def rules(self) -> str:
        """Return the digest of the disclosure rules that the agreement asks for."""
        return rules_digest(self.terms.disclosure.rules(5))

    @property
    def read_file(self) -> Read:
        return self.files().__getitem__

    def files(self, size: int | None = None) -> dict[str, bytes]:
        """Return the published files, cosigned by one witness."""
        return self.mini.export(size, cosign=[(self.witness, int(self.at.timestamp()) + 60)])

    def trust(self) -> bytes:
        """Return a trust file with the log, its witness and the bureau's root."""
        root = Signer(_private("root"))
        return self.mini.trust(witnesses=[self.witness], roots=[root])

    def read(self) -> Reading:
        """Read the log as an auditor does."""
        return fold_log(self.read_file, self.roots, find_terms=self.documents.find_terms)

    def case(self) -> Case:
        return Case(reading=self.read())

    def case_of_nothing(self) -> Case:
        """Return the case of this log without the fold, which needs to know the bureau."""
        return Case(reading=read_log(self.read_file, self.roots))

    def write(self, folder: Path) -> Path:
        """Write the published files into `folder/log`, documents and the trust file beside it."""
        for name, data in self.files().items():
            path = folder / "log" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (folder / "documents").mkdir()
        for name, data in self.texts.items():
            (folder / "documents" / f"{name.removeprefix('sha256:')}.json").write_bytes(data)
        (folder / "roots.json").write_bytes(self.trust())
        return folder

    # --- saying things ------------------------------------------------------------------------------------------------

    def statement(
        self,
        kind: str,
        thing: str,
        issuer: str,
        body: dict[str, Any],
        *,
        by: Sequence[str] = (),
        on_behalf_of: str | None = None,
        issued_at: datetime | None = None,
        nonce: str | None = None,
    ) -> Statement:
        """Return a statement signed by the keys `by`: those of its issuer, if nobody is named."""
        fresh = hashlib.sha256(f"nonce {self.size} {kind}".encode()).digest()[:16]
        payload: dict[str, Any] = {
            "type": kind,
            "id": thing,
            "issuer": issuer,
            "on_behalf_of": on_behalf_of,
            "issued_at": format_time(issued_at or self.at),
            "nonce": nonce or base64.urlsafe_b64encode(fresh).decode().rstrip("="),
            "subject": [],
            "refs": {},
            "body": body,
        }
        return sign(payload, [_key(name) for name in by or (issuer,)])

    def record(self, statement: Statement) -> int:
        """Record a statement, whatever it says; return its index."""
        index = self.mini.append(str(statement.type), envelope=json.loads(statement.envelope), time=self.at)
        self.at += timedelta(minutes=1)
        return index

    def record_signed_by(self, statement: Statement, other: Statement) -> int:
        """Record a statement under the signatures of another one."""
        envelope = {**json.loads(statement.envelope), "signatures": json.loads(other.envelope)["signatures"]}
        return self.record(parse_statement(canonical_bytes(envelope)))

    def say(self, kind: str, thing: str, issuer: str, body: dict[str, Any], **how: Any) -> int:
        """Sign and record a statement; return its index."""
        return self.record(self.statement(kind, thing, issuer, body, **how))

    def wait(self, **time: float) -> "AuditedLog":
        """Let time pass."""
        self.at += timedelta(**time)
        return self

    # --- a bureau -----------------------------------------------------------------------------------------------------

    def register(self, owner: str, organisation: str | None = None, **body: Any) -> int:
        by = ["root", owner, *([organisation] if organisation not in (None, BUREAU) else [])]
        jwk = _key(owner).public.to_jwk()
        value = {"jwk": jwk, "owner": owner, "not_before": format_time(self.at), "not_after": None, **body}
        thing = f"key-{owner.replace(':', '-')}"
        return self.say("key.registered", thing, BUREAU, value, by=by, on_behalf_of=organisation)

    def grant(self, holder: str, duty: str, by: Sequence[str] = (SECURITY,), issuer: str | None = None) -> int:
        body = {"holder": holder, "duty": duty, "scope": None, "valid_until": None}
        return self.say("duty.granted", f"duty-{duty}", issuer or by[0], body, by=by)

    def admit(self, party: str, kind: str, by: Sequence[str] = (REGISTRAR, APPROVER)) -> int:
        name = party.replace(":", "-")
        keyid = _key(party).public.thumbprint
        body = {"party": party, "kind": kind, "identity": digest(party), "licence": None, "keyid": keyid, "note": None}
        self.say("participant.applied", f"app-{name}", party, body)
        value = {"party": party, "kind": kind, "valid_until": None, "note": None}
        return self.say("participant.admitted", f"app-{name}", by[0], value, by=by)

    def found(self) -> "AuditedLog":
        """Make a bureau with its people, a unit with a node and a data set, a bank, and an active agreement."""
        self.register(BUREAU)
        for person in (SECURITY, SYSTEM, AUDIT, REGISTRAR, APPROVER, CHECKER):
            self.register(person, BUREAU)
        ceremony = {SECURITY: "security-admin", SYSTEM: "system-admin", AUDIT: "audit-admin"}
        for person, duty in ceremony.items():
            self.grant(person, duty, by=(BUREAU, "root"))
        duties = {REGISTRAR: "bureau-registrar", APPROVER: "bureau-approver", CHECKER: "output-checker"}
        for person, duty in duties.items():
            self.grant(person, duty)
        for party, kind in ((UNIT, "source-unit"), (BANK, "bank")):
            self.register(party)
            self.admit(party, kind)
        self.register(NODE, UNIT)
        for person, employer, duty in (
            (CDO, UNIT, "unit-cdo"),
            (ANALYST, BANK, "partner-analyst"),
            (OFFICER, BANK, "partner-key-officer"),
        ):
            self.register(person, employer)
            self.grant(person, duty, by=(employer,))
        self.publish_data()
        return self.agree()

    def publish_data(self, version: int = 1) -> None:
        if version == 1:
            body = {"owner": UNIT, "catalogue_entry": digest_json(CATALOGUE)}
            more = {"privacy_unit": "enterprise", "openness": "conditional"}
            self.say("dataset.registered", DATASET, UNIT, {**body, **more})
        versioned = {"version": version, "schema_digest": digest("schema"), "content": digest(f"data {version}")}
        self.say("dataset.versioned", DATASET, NODE, versioned)
        graded: dict[str, Any] = {"version": version, "grade": "general-3", "openness": "conditional"}
        graded |= {"column_grades": digest("grades"), "on_negative_list": False}
        self.say("dataset.graded", DATASET, CDO, graded, on_behalf_of=UNIT)

    def agree(self, other: Agreement | None = None) -> "AuditedLog":
        """Propose, sign and activate the agreement, or another one."""
        if other is not None:
            self.others.append(other)
        meant = other or self.terms
        terms = terms_digest(meant)
        period = {
            "valid_from": format_time(meant.valid.starts_at),
            "valid_until": format_time(meant.valid.ends_at),
        }
        body = {
            "terms": terms,
            "version": meant.version,
            "assigner": UNIT,
            "assignee": BANK,
            "intermediary": None,
            "purpose": meant.purpose,
            "legal_basis": "contract",
        }
        self.say("agreement.proposed", meant.id, OFFICER, {**body, **period}, on_behalf_of=BANK)
        self.say("agreement.signed", meant.id, CDO, {"terms": terms, "duty": "unit-cdo"}, on_behalf_of=UNIT)
        self.say("agreement.signed", meant.id, APPROVER, {"terms": terms, "duty": "bureau-approver"})
        self.say("agreement.activated", meant.id, BUREAU, {"terms": terms, **period})
        return self

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def submit(self, job: str, issuer: str = ANALYST, *, version: int = 1, **body: Any) -> int:
        value = {
            "agreement": AGREEMENT,
            "certificate": None,
            "purpose": self.terms.purpose,
            "operation": "aggregate.count",
            "datasets": [{"dataset": DATASET, "version": version}],
            "plan": digest(f"plan {job}"),
            "code": None,
            "epsilon": None,
            "result_key": _public(job),
            "expires_at": format_time(self.at + timedelta(days=2)),
        }
        on_behalf_of = BANK if issuer.startswith("person:") else None
        return self.say("job.submitted", job, issuer, {**value, **body}, on_behalf_of=on_behalf_of)

    def approve(self, job: str, issuer: str = BUREAU, *, route: str = "automatic", **how: Any) -> int:
        rule = None if route == "reviewed" else RULE
        terms, until = terms_digest(self.terms), format_time(self.at + timedelta(days=1))
        body = {"route": route, "rule": rule, "terms": terms, "expires_at": until}
        return self.say("job.approved", job, issuer, body, **how)

    def refuse(self, job: str) -> int:
        refusals = [{"reason": "column-not-granted", "clause": "datasets.columns"}]
        body = {"gate": "submission", "refusals": refusals, "terms": terms_digest(self.terms), "explanation": None}
        return self.say("job.refused", job, BUREAU, body)

    def lease(self, job: str, attempt: int = 1, **body: Any) -> int:
        until = format_time(self.at + timedelta(minutes=20))
        return self.say("job.leased", job, BUREAU, {"node": NODE, "attempt": attempt, "expires_at": until, **body})

    def start(self, job: str, attempt: int = 1, *, version: int = 1, by: str = NODE, **body: Any) -> int:
        value = {
            "attempt": attempt,
            "datasets": [{"dataset": DATASET, "version": version}],
            "terms": terms_digest(self.terms),
            "software": digest("software"),
            "log_size": self.size,
            "log_root": digest("root"),
        }
        return self.say("job.started", job, by, {**value, **body})

    def charge(self, job: str, kind: str = "reserved", **body: Any) -> int:
        value = {"job": job, "measure": "jobs", "amount": "1", "remaining": "4", **body}
        return self.say(f"budget.{kind}", f"bud-{job}", NODE, value)

    def check(self, job: str, issuer: str = NODE, verdict: str = "pass", **body: Any) -> int:
        value = {"job": job, "candidate": digest(f"candidate {job}"), "rules": self.rules}
        return self.say("output.checked", f"out-{job}", issuer, {**value, "verdict": verdict, "findings": [], **body})

    def hold(self, job: str) -> int:
        findings = [{"risk": "threshold", "rule": "min-units", "dimension": None, "verdict": "review"}]
        value = {"job": job, "candidate": digest(f"candidate {job}"), "rules": self.rules, "findings": findings}
        return self.say("output.held", f"out-{job}", NODE, {**value, "remedies": ["coarser-level"], "note": None})

    def release(self, job: str, **body: Any) -> int:
        value = {
            "job": job,
            "mode": "exact",
            "content": digest(f"content {job}"),
            "ciphertext": digest(f"sealed {job}"),
            "software": digest("software"),
            "rules": self.rules,
            "budget": None,
        }
        return self.say("output.released", f"out-{job}", NODE, {**value, **body})

    def deliver(self, job: str, **body: Any) -> int:
        value = {"job": job, "ciphertext": digest(f"sealed {job}"), "recipient": BANK, **body}
        return self.say("output.delivered", f"out-{job}", BUREAU, value)

    def begin_job(self, job: str) -> "AuditedLog":
        """Bring a job up to its start."""
        self.submit(job)
        self.approve(job)
        self.lease(job)
        self.start(job)
        self.charge(job)
        return self

    def run_job(self, job: str) -> "AuditedLog":
        """Bring a job from its request to the delivery of its result."""
        self.begin_job(job)
        self.check(job)
        self.release(job)
        self.charge(job, "committed")
        self.deliver(job)
        return self

    def run_held_job(self, job: str) -> "AuditedLog":
        """Bring a job from its request through a hold that a person decides to its delivery."""
        self.begin_job(job)
        self.hold(job)
        self.check(job, CHECKER)
        self.release(job)
        self.charge(job, "committed")
        self.deliver(job)
        return self

    def open_glass(self, holder: str, duty: str, **body: Any) -> int:
        until = format_time(self.at + timedelta(minutes=20))
        value = {"holder": holder, "duty": duty, "reason": "incident", "expires_at": until, "drill": False}
        return self.say("access.break_glass_opened", f"brk-{self.size}", holder, {**value, "note": None, **body})

    def close_glass(self, holder: str, duty: str) -> int:
        value = {"holder": holder, "duty": duty, "actions": 0, "record": digest("record"), "drill": False}
        return self.say("access.break_glass_closed", f"brk-{self.size}", holder, {**value, "note": None})

    def freeze(self, target: str, by: str = SECURITY, *, drill: bool = False) -> int:
        value = {"target": target, "reason": "incident", "drill": drill, "note": None}
        return self.say("access.frozen", f"inc-{self.size}", by, value)

    def unfreeze(self, target: str, by: Sequence[str] = (SECURITY, APPROVER), *, drill: bool = False) -> int:
        value = {"target": target, "drill": drill, "note": None}
        return self.say("access.unfrozen", f"inc-{self.size}", by[0], value, by=by)

    def suspend(self, party: str = BANK) -> int:
        value = {"party": party, "reason": "breach", "until": None, "note": None}
        return self.say("participant.suspended", f"app-{party.replace(':', '-')}", APPROVER, value)

    def reinstate(self, party: str = BANK) -> int:
        value = {"party": party, "note": None}
        by = (REGISTRAR, APPROVER)
        return self.say("participant.reinstated", f"app-{party.replace(':', '-')}", by[0], value, by=by)

    def run_incidents(self) -> "AuditedLog":
        """Let everything happen that may happen in a log without anybody having done wrong."""
        self.open_glass(REGISTRAR, "output-checker")
        self.close_glass(REGISTRAR, "output-checker")
        self.freeze(BANK, drill=True)
        self.unfreeze(BANK, drill=True)
        self.freeze(BANK)
        self.submit("job-0101")  # who is frozen may ask, and is refused
        self.refuse("job-0101")
        self.unfreeze(BANK)
        self.suspend()
        self.submit("job-0102")
        self.refuse("job-0102")
        self.reinstate()
        self.wait(days=1)
        self.submit("job-0103")  # a lease that ran out is given again
        self.approve("job-0103")
        self.lease("job-0103")
        self.wait(hours=1)
        self.lease("job-0103", 2)
        self.start("job-0103", 2)
        self.charge("job-0103")
        failed = {"attempt": 2, "reason": "engine-error", "retryable": True}
        self.say("job.failed", "job-0103", NODE, failed)
        self.lease("job-0103", 3)
        self.start("job-0103", 3)
        self.check("job-0103")
        self.release("job-0103")
        self.charge("job-0103", "committed")
        self.deliver("job-0103")
        self.deliver("job-0103")  # fetched again
        self.submit("job-0104")
        self.say("job.cancelled", "job-0104", ANALYST, {"reason": "request", "note": None}, on_behalf_of=BANK)
        return self

    def run_day(self) -> "AuditedLog":
        """Run the jobs of an ordinary day: two answered, one refused, one held and let go by a person."""
        self.run_job("job-0001")
        self.submit("job-0002")
        self.refuse("job-0002")
        self.run_held_job("job-0003")
        return self.run_job("job-0004")


def _private(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"audited " + name.encode()).digest())
