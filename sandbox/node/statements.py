"""What a node says: the payloads of its statements about a job, signed by its key through the one door.

A node's statement names the job as its subject. It says nothing of data: findings name risk, rule and dimension,
reasons are codes, everything else is a digest or a salted commitment.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policies.codec import reason_to_json
from policies.decision import Reason
from sandbox.node.follower_store import FollowedHead
from yingbi.canonical import JsonValue
from yingbi.clock import Clock, format_time
from yingbi.commitment import Opening, commit
from yingbi.events import EntryType
from yingbi.events.fields import Destruction
from yingbi.events.jobs import BudgetMeasure, FailureReason, Interruption, JobGate
from yingbi.events.outputs import CheckVerdict, DestroyedThing, DisclosureMode
from yingbi.events.people import FreezeReason
from yingbi.ids import new_id, new_nonce
from yingbi.keys import SigningKey
from yingbi.statement import Statement, sign

__all__ = ["Charge", "Made", "StatementMaker", "explanation_json", "frozen_statement"]

_CLAUSE: Final = re.compile(r"(?=.{1,64}$)[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*")
_MAX_ITEMS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A statement that was made, and the openings that the hub is given with it."""

    statement: Statement
    openings: tuple[Opening, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a job takes of its agreement's jobs: one. `budget` is the agreement, `remaining` what is left after it."""

    budget: str
    remaining: int


class StatementMaker:
    """Makes the statements of one node."""

    def __init__(self, node: str, key: SigningKey, clock: Clock) -> None:
        self._node = node
        self._key = key
        self._clock = clock

    def started(
        self,
        job: str,
        *,
        attempt: int,
        datasets: Sequence[tuple[str, int]],
        terms: str,
        software: str,
        head: FollowedHead,
    ) -> Made:
        """Say that the node has checked all that the job relies on, up to this head of the log, and begins."""
        body: dict[str, JsonValue] = {
            "attempt": attempt,
            "datasets": [{"dataset": dataset, "version": version} for dataset, version in datasets],
            "terms": terms,
            "software": software,
            "log_size": head.size,
            "log_root": f"sha256:{head.root.hex()}",
        }
        return self._make(EntryType.JOB_STARTED, job, job, body)

    def refused(self, job: str, reasons: Sequence[Reason], *, gate: JobGate, terms: str | None) -> Made:
        """Say that the job may not run here, why, and commit to the explanation that the partner is told."""
        explanation = commit(explanation_json(reasons))
        pairs = list(dict.fromkeys((reason.code.value, _clause(reason)) for reason in reasons))
        refusals: list[JsonValue] = [{"reason": code, "clause": clause} for code, clause in pairs[:_MAX_ITEMS]]
        body: dict[str, JsonValue] = {
            "gate": gate.value,
            "refusals": refusals,
            "terms": terms,
            "explanation": explanation.commitment,
        }
        return self._make(EntryType.JOB_REFUSED, job, job, body, openings=(explanation,))

    def failed(self, job: str, *, attempt: int, reason: FailureReason, is_retryable: bool) -> Made:
        """Say that a run ended without a result."""
        body: dict[str, JsonValue] = {"attempt": attempt, "reason": reason.value, "retryable": is_retryable}
        return self._make(EntryType.JOB_FAILED, job, job, body)

    def interrupted(
        self,
        job: str,
        *,
        attempt: int,
        reason: Interruption,
        number: int | None = None,
        sealed: Opening | None = None,
    ) -> Made:
        """Say that a run was stopped; without a round (`number`) and a sealed state, nothing of it was kept."""
        body: dict[str, JsonValue] = {
            "attempt": attempt,
            "reason": reason.value,
            "round": number,
            "sealed_state": None if sealed is None else sealed.commitment,
        }
        return self._make(EntryType.JOB_INTERRUPTED, job, job, body, openings=() if sealed is None else (sealed,))

    def reserved(self, job: str, charge: Charge) -> Made:
        """Say that one job is set aside from the agreement's."""
        return self._make(EntryType.BUDGET_RESERVED, charge.budget, job, _charge(job, charge))

    def committed(self, job: str, charge: Charge) -> Made:
        """Say that the job that was set aside is spent."""
        return self._make(EntryType.BUDGET_COMMITTED, charge.budget, job, _charge(job, charge))

    def checked(self, job: str, *, candidate: str, rules: str, findings: Iterable[Mapping[str, JsonValue]]) -> Made:
        """Say that the release gate let a candidate pass."""
        found: list[JsonValue] = [dict(one) for one in findings]
        body: dict[str, JsonValue] = {
            "job": job,
            "candidate": candidate,
            "rules": rules,
            "verdict": CheckVerdict.PASS.value,
            "findings": found[:_MAX_ITEMS],
        }
        return self._make(EntryType.OUTPUT_CHECKED, new_id("check"), job, body)

    def held(self, job: str, *, output: str, candidate: str, rules: str, notice: Mapping[str, JsonValue]) -> Made:
        """Say that a candidate does not leave now, in the words that the partner is told."""
        findings, remedies = notice["findings"], notice["remedies"]
        body: dict[str, JsonValue] = {
            "job": job,
            "candidate": candidate,
            "rules": rules,
            "findings": findings[:_MAX_ITEMS] if isinstance(findings, list) else [],
            "remedies": remedies,
            "note": None,
        }
        return self._make(EntryType.OUTPUT_HELD, output, job, body)

    def released(self, job: str, *, content: str, ciphertext: str, software: str, rules: str, charge: Charge) -> Made:
        """Say that a result may leave, sealed: the one statement that names its ciphertext."""
        body: dict[str, JsonValue] = {
            "job": job,
            "mode": DisclosureMode.EXACT.value,
            "content": content,
            "ciphertext": ciphertext,
            "software": software,
            "rules": rules,
            "budget": {
                "budget": charge.budget,
                "before": str(charge.remaining + 1),
                "after": str(charge.remaining),
            },
        }
        return self._make(EntryType.OUTPUT_RELEASED, new_id("out"), job, body)

    def destroyed(self, job: str, *, output: str, candidate: str) -> Made:
        """Say that the key of a held candidate's evidence was erased."""
        body: dict[str, JsonValue] = {
            "job": job,
            "thing": DestroyedThing.CANDIDATE.value,
            "content": candidate,
            "method": Destruction.KEYS_ERASED.value,
        }
        return self._make(EntryType.OUTPUT_DESTROYED, output, job, body)

    def joined(self, federation: str, *, job: str, attempt: int, terms: str, key: str) -> Made:
        """Say that this attempt of a job joins a federation on these terms; `key` (X25519) is for the secure sum."""
        body: dict[str, JsonValue] = {"job": job, "attempt": attempt, "terms": terms, "key": key}
        return self._make(EntryType.FEDERATION_JOINED, federation, federation, body)

    def contributed(
        self,
        federation: str,
        *,
        job: str,
        number: int,
        attempt: int,
        round_input: str,
        contribution: str,
        rho: str | None,
    ) -> Made:
        """Say what the node gives to a round, by its digest, and what it spent; recorded before it is sent."""
        body: dict[str, JsonValue] = {
            "job": job,
            "round": number,
            "attempt": attempt,
            "round_input": round_input,
            "contribution": contribution,
            "rho": rho,
        }
        return self._make(EntryType.FEDERATION_CONTRIBUTED, federation, federation, body)

    def unsealable(self, job: str, *, commitment: str) -> Made:
        """Say that the key of an interrupted job's sealed state was erased: it never goes on."""
        body: dict[str, JsonValue] = {
            "job": job,
            "thing": DestroyedThing.SEALED_STATE.value,
            "content": commitment,
            "method": Destruction.KEYS_ERASED.value,
        }
        return self._make(EntryType.OUTPUT_DESTROYED, new_id("out"), job, body)

    def versioned(self, dataset: str, *, version: int, schema: str, content: str) -> Made:
        """Say that a version of a data set can be computed on here; `content` is a commitment."""
        body: dict[str, JsonValue] = {"version": version, "schema_digest": schema, "content": content}
        return self._make(EntryType.DATASET_VERSIONED, dataset, dataset, body)

    def _make(
        self,
        kind: EntryType,
        name: str,
        subject: str,
        body: Mapping[str, JsonValue],
        *,
        openings: tuple[Opening, ...] = (),
    ) -> Made:
        payload = _payload(kind, name, self._node, None, self._clock, subject, body)
        return Made(statement=sign(payload, [self._key]), openings=openings)


def explanation_json(reasons: Sequence[Reason]) -> JsonValue:
    """Return reasons as the partner is told them."""
    return {"reasons": [reason_to_json(reason) for reason in reasons]}


def frozen_statement(
    target: str, *, person: str, unit: str, key: SigningKey, clock: Clock, reason: FreezeReason
) -> Statement:
    """Say in the name of the unit's CDO that a party or thing is stopped."""
    body: dict[str, JsonValue] = {"target": target, "reason": reason.value, "drill": False, "note": None}
    return sign(_payload(EntryType.ACCESS_FROZEN, new_id("freeze"), person, unit, clock, target, body), [key])


def _payload(
    kind: EntryType,
    name: str,
    issuer: str,
    on_behalf_of: str | None,
    clock: Clock,
    subject: str,
    body: Mapping[str, JsonValue],
) -> dict[str, object]:
    return {
        "type": kind.value,
        "id": name,
        "issuer": issuer,
        "on_behalf_of": on_behalf_of,
        "issued_at": format_time(clock.now()),
        "nonce": new_nonce(),
        "subject": [{"id": subject, "digest": None}],
        "refs": {},
        "body": dict(body),
    }


def _charge(job: str, charge: Charge) -> dict[str, JsonValue]:
    return {
        "job": job,
        "measure": BudgetMeasure.JOBS.value,
        "amount": "1",
        "remaining": str(charge.remaining),
    }


def _clause(reason: Reason) -> str | None:
    """Return the path in the agreement, where it has the form that a statement takes."""
    path = None if reason.rule is None else reason.rule.path
    return path if path is not None and _CLAUSE.fullmatch(path) else None
