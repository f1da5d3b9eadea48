"""A small realm of parties with real keys, which fold what they say into a `Standing` as a log would."""

from collections.abc import Mapping
from datetime import date, timedelta

from policies.model import (
    Agreement,
    Approvals,
    ColumnGrant,
    DatasetGrant,
    JobApproval,
    Legal,
    Limits,
    OutputApproval,
    Validity,
    terms_digest,
)
from policies.request import Use
from policies.sign import activated_payload, proposed_payload, signed_payload
from policies.standing import Standing
from yingbi.clock import format_time, parse_time
from yingbi.events.agreements import LegalBasis
from yingbi.events.fields import Duty
from yingbi.ids import dataset_id, new_id, new_nonce
from yingbi.keys import SigningKey
from yingbi.sealing import ResultKey
from yingbi.statement import Statement, sign

__all__ = ["BUREAU", "DATASET", "DIGEST", "Realm"]

BUREAU = "bureau:futian"
UNIT, NODE, PARTNER = "unit:tax", "node:tax", "partner:bank-a"
DATASET = dataset_id("tax/filings")
DIGEST = "sha256:" + "1" * 64
START = "2026-11-22T02:00:00.000000Z"

# Everybody's employer and duties.
STAFF = {
    "person:sec": (BUREAU, Duty.SECURITY_ADMIN),
    "person:registrar": (BUREAU, Duty.BUREAU_REGISTRAR),
    "person:approver": (BUREAU, Duty.BUREAU_APPROVER),
    "person:reviewer": (BUREAU, Duty.BUREAU_REVIEWER),
    "person:checker": (BUREAU, Duty.OUTPUT_CHECKER),
    "person:cdo": (UNIT, Duty.UNIT_CDO),
    "person:analyst": (PARTNER, Duty.PARTNER_ANALYST),
    "person:officer": (PARTNER, Duty.PARTNER_KEY_OFFICER),
}


class Realm:
    """Parties, their keys, and what they have said so far; `at` is the time of the next entry."""

    def __init__(self) -> None:
        self.keys: dict[str, SigningKey] = {}
        self.at = START
        self.texts: dict[str, Agreement] = {}
        self.entries: list[Statement] = []
        root = self.key("root")
        self.standing = Standing(bureau=BUREAU, roots=[root.public], find_terms=lambda digest: self.texts.get(digest))

    def key(self, party: str) -> SigningKey:
        """Return a party's key, made when first asked for."""
        return self.keys.setdefault(party, SigningKey.generate())

    def pass_time(self, **change: float) -> None:
        """Let time pass."""
        self.at = format_time(parse_time(self.at) + timedelta(**change))

    def statement(
        self,
        kind: str,
        about: str,
        body: Mapping[str, object],
        *signers: str,
        issuer: str | None = None,
        on_behalf_of: str | None = None,
    ) -> Statement:
        """Return a statement by its first signer, or by another issuer."""
        payload: dict[str, object] = {
            "type": kind,
            "id": about,
            "issuer": issuer or signers[0],
            "on_behalf_of": on_behalf_of,
            "issued_at": self.at,
            "nonce": new_nonce(),
            "subject": [],
            "refs": {},
            "body": dict(body),
        }
        return sign(payload, [self.key(party) for party in signers])

    def take(self, statement: Statement) -> Statement:
        """Record a statement as the next entry."""
        self.standing.take(statement, index=self.standing.size, at=self.at)
        self.entries.append(statement)
        return statement

    def say(self, kind: str, about: str, body: Mapping[str, object], *signers: str, **options: str | None) -> Statement:
        """Make a statement and record it."""
        return self.take(self.statement(kind, about, body, *signers, **options))

    def register(self, owner: str, of: str | None = None) -> None:
        """Register the first key of a party."""
        body = {"jwk": self.key(owner).public.to_jwk(), "owner": owner, "not_before": self.at, "not_after": None}
        also = () if of in (None, BUREAU) else (str(of),)
        self.say("key.registered", new_id("key"), body, "root", owner, *also, issuer=BUREAU, on_behalf_of=of)

    def grant(self, person: str, duty: Duty, *signers: str, **options: str | None) -> None:
        """Give a duty."""
        body = {"holder": person, "duty": duty.value, "scope": None, "valid_until": None}
        self.say("duty.granted", new_id("duty"), body, *signers, **options)

    def found(self) -> None:
        """Hold the ceremony: the bureau's key and its three administrators."""
        self.register(BUREAU)
        for person, duty in (
            ("person:sys", Duty.SYSTEM_ADMIN),
            ("person:sec", Duty.SECURITY_ADMIN),
            ("person:audit", Duty.AUDIT_ADMIN),
        ):
            self.register(person, BUREAU)
            self.grant(person, duty, BUREAU, "root")

    def admit(self, party: str, kind: str) -> None:
        """Take an organisation in."""
        self.register(party)
        applied = {"party": party, "kind": kind, "identity": DIGEST, "licence": None, "keyid": self.thumbprint(party)}
        self.say("participant.applied", new_id("participant"), {**applied, "note": None}, party)
        admitted = {"party": party, "kind": kind, "valid_until": None, "note": None}
        self.say("participant.admitted", new_id("participant"), admitted, "person:registrar", "person:approver")

    def thumbprint(self, party: str) -> str:
        """Return the name of a party's key."""
        return self.key(party).public.thumbprint

    def populate(self) -> None:
        """Make the bureau's staff, a unit with a node and data, and a bank, ready to agree on something."""
        self.found()
        for person, (employer, duty) in STAFF.items():
            if employer == BUREAU and person != "person:sec":
                self.register(person, BUREAU)
                self.grant(person, duty, "person:sec")
        self.admit(UNIT, "source-unit")
        self.admit(PARTNER, "bank")
        for person, (employer, duty) in STAFF.items():
            if employer != BUREAU:
                self.register(person, employer)
                self.grant(person, duty, employer)
        self.register(NODE, UNIT)
        self.publish()

    def publish(self) -> None:
        """Register a data set with one graded version."""
        entry = {"owner": UNIT, "catalogue_entry": DIGEST, "privacy_unit": "enterprise", "openness": "conditional"}
        self.say("dataset.registered", DATASET, entry, "person:cdo", on_behalf_of=UNIT)
        self.say("dataset.versioned", DATASET, {"version": 1, "schema_digest": DIGEST, "content": DIGEST}, NODE)
        self.say("dataset.graded", DATASET, self.grades(), "person:cdo", on_behalf_of=UNIT)

    @staticmethod
    def grades(**changes: object) -> dict[str, object]:
        """Return the body with which grades are confirmed."""
        grades = {"version": 1, "grade": "general-4", "openness": "conditional", "column_grades": DIGEST}
        return {**grades, "on_negative_list": False, **changes}

    def terms(self, *, job: JobApproval = JobApproval.AUTOMATIC, jobs: int = 3, **changes: object) -> Agreement:
        """Return an agreement of the unit with the bank."""
        members: dict[str, object] = {
            "id": "agr-tax-2026-01",
            "assigner": UNIT,
            "assignee": PARTNER,
            "purpose": "research.aggregate",
            "legal_basis": Legal(kind=LegalBasis.STATUTE, reference="test"),
            "valid": Validity(first=date(2026, 11, 1), last=date(2027, 1, 31)),
            "zones": (NODE,),
            "datasets": (
                DatasetGrant(
                    name="tax/filings", privacy_unit="uscc", columns=(ColumnGrant(name="tax", uses=(Use.AGGREGATE,)),)
                ),
            ),
            "operations": ("aggregate",),
            "limits": Limits(jobs=jobs, jobs_per_day=jobs),
            "approvals": Approvals(
                agreement=(Duty.UNIT_CDO, Duty.BUREAU_APPROVER), job=job, output=OutputApproval.AUTOMATIC
            ),
        }
        return Agreement(**{**members, **changes})  # type: ignore[arg-type]

    def propose(self, terms: Agreement, by: str = "person:officer", employer: str = PARTNER) -> None:
        """Propose terms, whose text everybody has."""
        self.texts[terms_digest(terms)] = terms
        payload = proposed_payload(terms, issuer=by, on_behalf_of=employer, at=parse_time(self.at))
        self.take(sign(payload, [self.key(by)]))

    def signature(self, terms: Agreement, by: str, duty: Duty) -> Statement:
        """Return one person's signature of terms."""
        payload = signed_payload(terms, duty=duty, issuer=by, on_behalf_of=None, at=parse_time(self.at))
        return sign(payload, [self.key(by)])

    def agree(self, terms: Agreement | None = None) -> Agreement:
        """Bring an agreement into force."""
        terms = terms or self.terms()
        self.propose(terms)
        self.take(self.signature(terms, "person:cdo", Duty.UNIT_CDO))
        self.take(self.signature(terms, "person:approver", Duty.BUREAU_APPROVER))
        payload = activated_payload(terms, issuer=BUREAU, on_behalf_of=None, at=parse_time(self.at))
        self.take(sign(payload, [self.key(BUREAU)]))
        return terms

    def submitted(self, **changes: object) -> dict[str, object]:
        """Return the body of a job of this agreement."""
        body = {
            "agreement": "agr-tax-2026-01",
            "certificate": None,
            "purpose": "research.aggregate",
            "operation": "aggregate",
            "datasets": [{"dataset": DATASET, "version": 1}],
            "plan": DIGEST,
            "code": None,
            "epsilon": None,
            "result_key": ResultKey.generate().public,
            "expires_at": self.later(hours=24),
        }
        return {**body, **changes}

    def later(self, **change: float) -> str:
        """Return a time after the present one."""
        return format_time(parse_time(self.at) + timedelta(**change))

    def submit(self, **changes: object) -> str:
        """Submit a job and return its id."""
        job = new_id("job")
        self.say("job.submitted", job, self.submitted(**changes), PARTNER)
        return job

    def approval(self, agreed: Agreement, /, **changes: object) -> dict[str, object]:
        """Return the body that approves a job by a rule."""
        body = {"route": "automatic", "rule": "low-risk.1", "terms": terms_digest(agreed)}
        return {**body, "expires_at": self.later(hours=12), **changes}

    def lease(self, job: str, attempt: int = 1) -> None:
        """Give a job to the node."""
        self.say("job.leased", job, {"node": NODE, "attempt": attempt, "expires_at": self.later(minutes=5)}, BUREAU)

    def started(self, agreed: Agreement, /, **changes: object) -> dict[str, object]:
        """Return the body with which a node starts."""
        body = {"attempt": 1, "datasets": [{"dataset": DATASET, "version": 1}], "terms": terms_digest(agreed)}
        return {**body, "software": DIGEST, "log_size": 1, "log_root": DIGEST, **changes}

    def charge(self, job: str, kind: str = "reserved", **more: object) -> Statement:
        """Return what charges a job."""
        body = {"job": job, "measure": "jobs", "amount": "1", "remaining": "2", **more}
        return self.statement(f"budget.{kind}", new_id("budget"), body, NODE)

    def run(self, job: str, terms: Agreement) -> None:
        """Approve, lease and start a job."""
        self.say("job.approved", job, self.approval(terms), BUREAU)
        self.lease(job)
        self.say("job.started", job, self.started(terms), NODE)
        self.take(self.charge(job))

    def checked(self, job: str, by: str, verdict: str = "pass") -> Statement:
        """Return a check of a job's candidate."""
        body = {"job": job, "candidate": DIGEST, "rules": DIGEST, "verdict": verdict, "findings": []}
        return self.statement("output.checked", new_id("out"), body, by)

    def held(self, job: str) -> Statement:
        """Return what says that a candidate is held."""
        finding = {"risk": "dominance", "rule": "dominance", "dimension": None, "verdict": "review"}
        body = {"job": job, "candidate": DIGEST, "rules": DIGEST, "findings": [finding], "remedies": [], "note": None}
        return self.statement("output.held", new_id("out"), body, NODE)

    def released(self, job: str, by: str = NODE) -> Statement:
        """Return what releases a job's result."""
        body = {"job": job, "mode": "exact", "content": DIGEST, "ciphertext": DIGEST}
        return self.statement(
            "output.released", new_id("out"), {**body, "software": DIGEST, "rules": DIGEST, "budget": None}, by
        )
