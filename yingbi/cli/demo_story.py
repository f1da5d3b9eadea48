"""The parties of the demonstration and what they sign: the life of one job, from keys to a released result."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from yingbi.clock import Clock, format_time
from yingbi.commitment import Opening, commit
from yingbi.ids import new_id, new_nonce
from yingbi.keys import SigningKey
from yingbi.statement import Statement, sign

__all__ = ["Scene", "Story"]

_SOFTWARE = "sha256:" + "5" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One recorded step: a statement and the openings that are kept beside the log."""

    statement: Statement
    openings: tuple[Opening, ...] = ()


@dataclass(slots=True)
class Story:
    """Keys of everybody, and the statements in order. The root registers the others, which prove possession."""

    clock: Clock
    root: SigningKey = field(default_factory=SigningKey.generate)
    bank: SigningKey = field(default_factory=SigningKey.generate)
    node: SigningKey = field(default_factory=SigningKey.generate)
    reviewer: SigningKey = field(default_factory=SigningKey.generate)
    approver: SigningKey = field(default_factory=SigningKey.generate)
    job: str = field(default_factory=lambda: new_id("job"))

    def keys(self) -> Iterator[Scene]:
        """Register the keys."""
        owners = {
            "partner:bank-a": self.bank,
            "node:futian-tax": self.node,
            "person:reviewer-1": self.reviewer,
            "person:approver-1": self.approver,
        }
        for owner, key in owners.items():
            body = {"jwk": key.public.to_jwk(), "owner": owner, "not_before": self._time(hours=-1), "not_after": None}
            statement = self._sign("key.registered", new_id("key"), "bureau:futian", body, self.root, key)
            yield Scene(statement=statement)

    def life_of_a_job(self) -> Iterator[Scene]:
        """Submit, approve (four eyes), start and release a job. The plan and the result are only committed to."""
        plan = commit({"select": ["industry", "count"], "group_by": ["industry"], "dataset": "tax-filings"})
        dataset = {"dataset": "tax-filings", "version": 3}
        submitted = {
            "agreement": "agr-tax-credit-2026-01",
            "certificate": None,
            "purpose": "credit_sme_pre_loan",
            "operation": "aggregate",
            "datasets": [dataset],
            "plan": plan.commitment,
            "code": None,
            "epsilon": None,
            "result_key": SigningKey.generate().public.to_jwk()["x"],
            "expires_at": self._time(hours=24),
        }
        first = self._sign("job.submitted", self.job, "partner:bank-a", submitted, self.bank)
        yield Scene(statement=first, openings=(plan,))
        terms = plan.commitment
        approved = {"route": "reviewed", "rule": None, "terms": terms, "expires_at": self._time(hours=24)}
        yield Scene(
            statement=self._sign(
                "job.approved",
                self.job,
                "bureau:futian",
                approved,
                self.reviewer,
                self.approver,
                by="person:approver-1",
            )
        )
        yield self._started(dataset, terms)
        yield self._released(terms)

    def _started(self, dataset: dict[str, object], terms: str) -> Scene:
        body = {
            "attempt": 1,
            "datasets": [dataset],
            "terms": terms,
            "software": _SOFTWARE,
            "log_size": 6,
            "log_root": terms,
        }
        return Scene(statement=self._sign("job.started", self.job, "node:futian-tax", body, self.node))

    def _released(self, rules: str) -> Scene:
        content = commit({"retail": 812, "software": 97})
        body = {
            "job": self.job,
            "mode": "exact",
            "content": content.commitment,
            "ciphertext": _SOFTWARE,
            "software": _SOFTWARE,
            "rules": rules,
            "budget": None,
        }
        statement = self._sign("output.released", new_id("output"), "node:futian-tax", body, self.node)
        return Scene(statement=statement, openings=(content,))

    def _sign(
        self, kind: str, about: str, issuer: str, body: Mapping[str, object], *keys: SigningKey, by: str | None = None
    ) -> Statement:
        payload: dict[str, object] = {
            "type": kind,
            "id": about,
            "issuer": issuer,
            "on_behalf_of": by,
            "issued_at": self._time(),
            "nonce": new_nonce(),
            "subject": [],
            "refs": {},
            "body": body,
        }
        return sign(payload, keys)

    def _time(self, *, hours: int = 0) -> str:
        return format_time(self.clock.now() + timedelta(hours=hours))
