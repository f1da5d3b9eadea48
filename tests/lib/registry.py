"""A registry of certificates in a small realm: a unit that registers its data, banks that apply, and the bureau."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from policies.certificates.numbers import CertificateNumber
from policies.certificates.scope import Scope, scope_digest
from policies.standing import Standing
from policies.standing.certificates import ApplicationStanding, CertificateStanding
from tests.lib.realm import BUREAU, DIGEST, PARTNER, UNIT, Realm
from yingbi.events.certificates import AssetClass, AssetRight
from yingbi.events.fields import Duty
from yingbi.ids import new_id
from yingbi.statement import Statement

__all__ = ["BANK_B", "CLERK", "EXPERT", "FIRM", "LICENSED", "REGISTERED", "Registry"]

BANK_B, FIRM = "partner:bank-b", "subject:s-7f3a"
CLERK, EXPERT = "person:clerk", "person:expert"

REGISTERED = Scope(
    rights=frozenset({AssetRight.HOLD, AssetRight.PROCESS}),
    datasets={"tax/filings": frozenset({"uscc", "tax", "year"})},
    operations=frozenset({"aggregate", "train"}),
    purposes=frozenset({"credit", "research"}),
    zones=frozenset({"node:tax"}),
    first=date(2026, 11, 1),
    last=date(2029, 10, 31),
    uses=10_000,
    rounds=1000,
    epsilon=Decimal(8),
    min_entities=10,
    is_onward=True,
)
LICENSED = Scope(
    rights=frozenset({AssetRight.PROCESS}),
    datasets={"tax/filings": frozenset({"tax"})},
    operations=frozenset({"aggregate"}),
    purposes=frozenset({"credit.sme"}),
    zones=frozenset({"node:tax"}),
    first=date(2026, 11, 22),
    last=date(2027, 1, 31),
    uses=200,
    min_entities=10,
)
KINDS = {"first": "issued", "licence": "licensed", "transfer": "transferred", "change": "changed"}


class Registry(Realm):
    """A realm with clerks and experts, another bank and a firm; texts of scopes are known to everybody."""

    def __init__(self) -> None:
        super().__init__()
        self.scopes: dict[str, Scope] = {}
        self.serial = 0
        self.standing = self.fresh()

    def fresh(self) -> Standing:
        """Return a standing of which nothing was said."""
        return Standing(
            bureau=BUREAU,
            roots=[self.key("root").public],
            find_terms=lambda digest: self.texts.get(digest),
            find_scope=lambda digest: self.scopes.get(digest),
        )

    def settle(self) -> "Registry":
        """Bring everybody in."""
        self.populate()
        for person, duty in ((CLERK, Duty.COUNTER_CLERK), (EXPERT, Duty.EXPERT)):
            self.register(person, BUREAU)
            self.grant(person, duty, "person:sec")
        self.admit(BANK_B, "bank")
        self.register(FIRM)
        return self

    def forked(self) -> "Registry":
        """Return one that goes its own way, with the same keys."""
        own = Registry()
        own.keys, own.scopes, own.serial = self.keys, dict(self.scopes), self.serial
        own.texts, own.at, own.entries = self.texts, self.at, list(self.entries)
        own.standing = self.standing.fork()
        own.standing.certificates._find_scope = lambda digest: own.scopes.get(digest)
        return own

    def text(self, scope: Scope) -> str:
        """Let everybody have the text of a scope; return its digest."""
        digest = scope_digest(scope)
        self.scopes[digest] = scope
        return digest

    # --- applications

    def apply(self, kind: str = "first", by: str = UNIT, asset: str = "registration", application: str = "") -> str:
        """Submit an application; return its id."""
        name = application or new_id("app")
        body = {"asset_class": asset, "registration": kind, "channel": "online", "application": DIGEST}
        self.say("certificate.submitted", name, body, by)
        return name

    def accept(self, application: str, **changes: Any) -> None:
        body = {"review_due": self.later(days=20), "provisional_until": None, **changes}
        self.say("certificate.accepted", application, body, "person:registrar")

    def review(self, application: str, kind: str, outcome: str = "passed", by: str = "person:reviewer") -> None:
        body = {"kind": kind, "outcome": outcome, "findings": [], "report": DIGEST}
        self.say("certificate.reviewed", application, body, by)

    def notice(self, application: str, **period: float) -> None:
        body = {"valid_from": self.at, "valid_until": self.later(**(period or {"days": 14})), "public_view": DIGEST}
        self.say("certificate.noticed", application, body, BUREAU)

    def object(self, about: str, *signers: str, suspends: bool = False) -> None:
        body = {"ground": "ownership", "objection": DIGEST, "suspends": suspends}
        self.say("certificate.objected", about, body, *(signers or (BANK_B,)))

    def reviewed(self, kind: str = "first", by: str = UNIT, asset: str = "registration") -> str:
        """Bring an application as far as its reviews."""
        name = self.apply(kind, by, asset)
        self.accept(name)
        for review in ("form", "substance"):
            self.review(name, review)
        return name

    def prepare(self, kind: str = "first", by: str = UNIT, asset: str = "registration") -> str:
        """Bring an application as far as its approval."""
        name = self.reviewed(kind, by, asset)
        if asset != "subject-value" and kind != "change":
            self.notice(name)
            self.pass_time(days=15)
        return name

    def granted(self, by: str, asset: str, scope: Scope, **changes: Any) -> dict[str, Any]:
        """Return what an approval and an issue say alike."""
        body = {
            "asset_class": AssetClass(asset).value,
            "rights": sorted(right.value for right in scope.rights),
            "holder_keyid": self.thumbprint(by),
            "scope": self.text(scope),
            "valid_from": self.at,
            "valid_until": self.later(days=60 if asset == "licence" else 300),
        }
        return {**body, **changes}

    def approve(self, application: str, body: Mapping[str, Any]) -> None:
        self.say("certificate.approved", application, body, "person:approver")

    def issue_statement(
        self, kind: str, application: str, body: Mapping[str, Any], *signers: str, number: str = "", **more: Any
    ) -> Statement:
        """Return the statement that issues a certificate."""
        self.serial += 1
        name = number or str(CertificateNumber("440304", 2026, self.serial))
        issue = {
            **body,
            "application": application,
            "credential": DIGEST,
            "status": {"status_list": "status-1", "index": self.serial},
            **more,
        }
        return self.statement(f"certificate.{KINDS[kind]}", name, issue, BUREAU, *signers)

    def issue(
        self,
        kind: str = "first",
        by: str = UNIT,
        asset: str = "registration",
        scope: Scope = REGISTERED,
        *signers: str,
        **more: Any,
    ) -> str:
        """Bring a certificate into the world; return its number."""
        application = self.prepare(kind, by, asset)
        above = self.standing.certificates.get(more.get("parent", ""))
        body = self.granted(by, asset, scope)
        if above is not None:
            body["valid_until"] = min(body["valid_until"], above.issued.valid_until)
        self.approve(application, body)
        return self.take(self.issue_statement(kind, application, body, *signers, **more)).payload.id

    def license(self, parent: str, by: str = PARTNER, scope: Scope = LICENSED, holder: str = UNIT) -> str:
        """Let a bank have a licence; return its number."""
        return self.issue("licence", by, "licence", scope, holder, parent=parent)

    # --- certificates

    def suspend(self, number: str, *signers: str, cause: str | None = None) -> None:
        reason = "incident" if cause is None else "parent-suspended"
        body = {"reason": reason, "cause": cause, "until": None, "note": None}
        self.say("certificate.suspended", number, body, *(signers or ("person:approver",)))

    def resume(self, number: str, *signers: str) -> None:
        self.say("certificate.resumed", number, {"note": None}, *(signers or ("person:approver", "person:sec")))

    def revoke(self, number: str, *signers: str, cause: str | None = None) -> None:
        body = {"reason": "breach", "cause": cause, "note": None}
        self.say("certificate.revoked", number, body, *(signers or ("person:approver", "person:sec")))

    def cancel(self, about: str, by: str) -> None:
        self.say("certificate.cancelled", about, {"reason": "no-longer-used", "note": None}, by)

    def expire(self, about: str, until: str) -> None:
        self.say("certificate.expired", about, {"valid_until": until}, BUREAU)

    def present(self, number: str, by: str) -> None:
        body = {"presentation": DIGEST, "audience": DIGEST, "elements": 1}
        self.say("certificate.presented", number, body, by)

    def application_of(self, application: str) -> ApplicationStanding:
        found = self.standing.certificates.application(application)
        assert found is not None
        return found

    def certificate(self, number: str) -> CertificateStanding:
        found = self.standing.certificates.get(number)
        assert found is not None
        return found

    def is_active(self, number: str) -> bool:
        return self.standing.certificates.is_active(number, self.at)
