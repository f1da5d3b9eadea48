"""Makers of everything that people and their organisations sign: the one place where such payloads are put together.

A maker returns a draft: a payload for `yingbi.statement.sign`, complete with time and nonce, and what opens the
commitments in it, since whatever is private (who an organisation is, a remark, a plan) goes in as a commitment only.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypedDict

from policies.model import Agreement
from policies.sign import countered_payload, proposed_payload, signed_payload
from sandbox.catalog.codec import dataset_digest
from sandbox.catalog.grades import dataset_grade
from sandbox.catalog.model import Dataset
from yingbi.canonical import JsonValue, digest_json, parse_canonical
from yingbi.clock import Clock, SystemClock, format_time
from yingbi.commitment import Opening, commit
from yingbi.events import EntryType
from yingbi.events.datasets import WithdrawalReason
from yingbi.events.federations import AbortReason
from yingbi.events.fields import Duty, RevocationReason, RunningJobs, SuspensionReason
from yingbi.events.jobs import CancellationReason
from yingbi.events.outputs import CheckVerdict
from yingbi.events.people import Departure, DutyEnd, FreezeReason, ParticipantKind
from yingbi.events.trust import KeyRevocation
from yingbi.ids import dataset_id, new_id, new_nonce
from yingbi.keys import SigningKey, VerifyKey
from yingbi.statement import Statement, sign

__all__ = [
    "Draft",
    "Issuer",
    "agreement_countered",
    "agreement_proposed",
    "agreement_signed",
    "agreement_step",
    "commit_to",
    "dataset_graded",
    "dataset_registered",
    "dataset_withdrawn",
    "duty_granted",
    "duty_revoked",
    "federation_aborted",
    "frozen",
    "job_approved",
    "job_cancelled",
    "job_submitted",
    "key_registered",
    "key_revoked",
    "key_rotated",
    "opening_to_json",
    "operation_of",
    "output_checked",
    "participant_admitted",
    "participant_applied",
    "participant_offboarded",
    "participant_reinstated",
    "participant_suspended",
    "submission",
    "unfrozen",
]

_MAX_OPENING: Final = 1 << 20
_DEFAULT_CLOCK: Final = SystemClock()


class _By(TypedDict):
    issuer: str
    on_behalf_of: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """In whose name a payload is made, and by which clock."""

    party: str
    on_behalf_of: str | None = None
    clock: Clock = _DEFAULT_CLOCK

    def payload(
        self,
        kind: EntryType,
        thing: str,
        body: Mapping[str, object],
        *,
        subjects: Iterable[tuple[str, str | None]] = (),
        refs: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        """Return a payload of a type about a thing: head and body."""
        return {
            "type": str(kind),
            "id": thing,
            "issuer": self.party,
            "on_behalf_of": self.on_behalf_of,
            "issued_at": format_time(self.clock.now()),
            "nonce": new_nonce(),
            "subject": [{"id": name, "digest": digest} for name, digest in subjects],
            "refs": dict(refs or {}),
            "body": dict(body),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A payload, and what opens the commitments in it. Openings are secret: not shown by `repr`."""

    payload: Mapping[str, object]
    openings: tuple[Opening, ...] = field(default=(), repr=False)

    def sign(self, keys: Iterable[SigningKey]) -> Statement:
        """Sign the payload."""
        return sign(self.payload, keys)


def submission(
    statements: Sequence[Statement], *, openings: Iterable[Opening] = (), documents: Sequence[JsonValue] = ()
) -> dict[str, JsonValue]:
    """Return the body of a request that hands statements in, all of them or none (docs/spec/http.md)."""
    return {
        "statements": [parse_canonical(one.envelope, max_bytes=len(one.envelope)) for one in statements],
        "openings": [opening_to_json(one) for one in openings],
        "documents": list(documents),
    }


def opening_to_json(opening: Opening) -> dict[str, JsonValue]:
    """Return an opening as it travels: to the one who may read it, never into the log."""
    return {
        "commitment": opening.commitment,
        "salt": base64.urlsafe_b64encode(opening.salt).rstrip(b"=").decode(),
        "value": parse_canonical(opening.value, max_bytes=_MAX_OPENING),
    }


def commit_to(value: object) -> tuple[str | None, tuple[Opening, ...]]:
    """Return the commitment to a value and its opening; nothing for nothing."""
    if value is None:
        return None, ()
    opening = commit(value)
    return opening.commitment, (opening,)


# --- who takes part ---------------------------------------------------------------------------------------------------


def key_registered(
    issuer: Issuer, key: VerifyKey, *, owner: str, not_before: datetime, not_after: datetime | None = None
) -> Draft:
    """A new key and whose it is; a root signs, the key itself, and the organisation that it acts for."""
    body = {
        "jwk": key.to_jwk(),
        "owner": owner,
        "not_before": format_time(not_before),
        "not_after": _time(not_after),
    }
    return Draft(payload=issuer.payload(EntryType.KEY_REGISTERED, new_id("key"), body))


def key_rotated(issuer: Issuer, old: VerifyKey, new: VerifyKey, *, not_after: datetime | None = None) -> Draft:
    """A new key takes the place of an old one of the issuer; both sign."""
    body = {"old": old.thumbprint, "jwk": new.to_jwk(), "owner": issuer.party, "not_after": _time(not_after)}
    return Draft(payload=issuer.payload(EntryType.KEY_ROTATED, new_id("key"), body))


def key_revoked(issuer: Issuer, keyid: str, *, reason: KeyRevocation) -> Draft:
    """A key ends before its time; itself or a root signs."""
    body = {"keyid": keyid, "reason": str(reason)}
    return Draft(payload=issuer.payload(EntryType.KEY_REVOKED, new_id("key"), body))


def participant_applied(
    issuer: Issuer, *, kind: ParticipantKind, identity: JsonValue, licence: JsonValue, key: VerifyKey
) -> Draft:
    """An organisation asks to take part; who it is and its licence are committed to."""
    named, first = commit_to(identity)
    licensed, second = commit_to(licence)
    body = {
        "party": issuer.party,
        "kind": str(kind),
        "identity": named,
        "licence": licensed,
        "keyid": key.thumbprint,
        "note": None,
    }
    payload = issuer.payload(EntryType.PARTICIPANT_APPLIED, new_id("app"), body)
    return Draft(payload=payload, openings=(*first, *second))


def participant_admitted(
    issuer: Issuer, *, party: str, kind: ParticipantKind, valid_until: datetime | None = None, note: str | None = None
) -> Draft:
    """The bureau admits an organisation: a registrar and an approver sign."""
    body = {"kind": str(kind), "valid_until": _time(valid_until)}
    return _about_party(issuer, EntryType.PARTICIPANT_ADMITTED, party, body, note)


def participant_suspended(
    issuer: Issuer,
    *,
    party: str,
    reason: SuspensionReason,
    until: datetime | None = None,
    note: str | None = None,
) -> Draft:
    """An organisation may not act for the time being."""
    body = {"reason": str(reason), "until": _time(until)}
    return _about_party(issuer, EntryType.PARTICIPANT_SUSPENDED, party, body, note)


def participant_reinstated(issuer: Issuer, *, party: str, note: str | None = None) -> Draft:
    """A suspended organisation may act again."""
    return _about_party(issuer, EntryType.PARTICIPANT_REINSTATED, party, {}, note)


def participant_offboarded(
    issuer: Issuer, *, party: str, reason: Departure, inventory: str | None = None, note: str | None = None
) -> Draft:
    """An organisation leaves."""
    body = {"reason": str(reason), "inventory": inventory}
    return _about_party(issuer, EntryType.PARTICIPANT_OFFBOARDED, party, body, note)


# --- who may do what --------------------------------------------------------------------------------------------------


def duty_granted(
    issuer: Issuer, *, holder: str, duty: Duty, scope: str | None = None, valid_until: datetime | None = None
) -> Draft:
    """A person receives a duty; never from himself."""
    body = {"holder": holder, "duty": str(duty), "scope": scope, "valid_until": _time(valid_until)}
    return Draft(payload=issuer.payload(EntryType.DUTY_GRANTED, new_id("duty"), body))


def duty_revoked(
    issuer: Issuer, *, holder: str, duty: Duty, reason: DutyEnd, scope: str | None = None, note: str | None = None
) -> Draft:
    """A person loses a duty."""
    noted, openings = commit_to(note)
    body = {"holder": holder, "duty": str(duty), "scope": scope, "reason": str(reason), "note": noted}
    return Draft(payload=issuer.payload(EntryType.DUTY_REVOKED, new_id("duty"), body), openings=openings)


def frozen(
    issuer: Issuer, *, target: str, reason: FreezeReason, is_drill: bool = False, note: str | None = None
) -> Draft:
    """One person stops a party or a thing at once."""
    noted, openings = commit_to(note)
    body = {"target": target, "reason": str(reason), "drill": is_drill, "note": noted}
    return Draft(payload=issuer.payload(EntryType.ACCESS_FROZEN, new_id("inc"), body), openings=openings)


def unfrozen(issuer: Issuer, *, target: str, is_drill: bool = False, note: str | None = None) -> Draft:
    """Two people let a frozen party or thing go on."""
    noted, openings = commit_to(note)
    body = {"target": target, "drill": is_drill, "note": noted}
    return Draft(payload=issuer.payload(EntryType.ACCESS_UNFROZEN, new_id("inc"), body), openings=openings)


# --- data sets --------------------------------------------------------------------------------------------------------


def dataset_registered(issuer: Issuer, dataset: Dataset) -> Draft:
    """A unit lists a data set; its catalogue entry goes along as a document."""
    body = {
        "owner": dataset.owner,
        "catalogue_entry": dataset_digest(dataset),
        "privacy_unit": str(dataset.privacy_unit),
        "openness": str(dataset.openness),
    }
    return Draft(payload=issuer.payload(EntryType.DATASET_REGISTERED, dataset_id(dataset.name), body))


def dataset_graded(issuer: Issuer, dataset: Dataset, *, version: int, column_grades: Mapping[str, str]) -> Draft:
    """A unit confirms the grades of a version's columns; the strictest of them is told, the others by their digest."""
    body = {
        "version": version,
        "grade": str(dataset_grade(dataset)),
        "openness": str(dataset.openness),
        "column_grades": digest_json(dict(column_grades)),
        "on_negative_list": any(item.on_negative_list for item in dataset.items),
    }
    return Draft(payload=issuer.payload(EntryType.DATASET_GRADED, dataset_id(dataset.name), body))


def dataset_withdrawn(
    issuer: Issuer,
    name: str,
    *,
    reason: WithdrawalReason,
    running_jobs: RunningJobs = RunningJobs.STOP,
    note: str | None = None,
) -> Draft:
    """A data set can no longer be computed on."""
    noted, openings = commit_to(note)
    body = {"reason": str(reason), "running_jobs": str(running_jobs), "note": noted}
    payload = issuer.payload(EntryType.DATASET_WITHDRAWN, dataset_id(name), body)
    return Draft(payload=payload, openings=openings)


# --- agreements -------------------------------------------------------------------------------------------------------


def agreement_proposed(issuer: Issuer, agreement: Agreement) -> Draft:
    """Somebody proposes these terms, which go along as a document."""
    return Draft(payload=proposed_payload(agreement, **_by(issuer)))


def agreement_countered(issuer: Issuer, agreement: Agreement, previous: Agreement, *, note: str | None = None) -> Draft:
    """Somebody answers terms with changed ones, which go along as a document."""
    noted, openings = commit_to(note)
    return Draft(payload=countered_payload(agreement, previous, note=noted, **_by(issuer)), openings=openings)


def agreement_signed(issuer: Issuer, agreement: Agreement, *, duty: Duty) -> Draft:
    """One person signs exactly these terms in one duty."""
    return Draft(payload=signed_payload(agreement, duty=duty, **_by(issuer)))


def agreement_step(
    issuer: Issuer,
    kind: EntryType,
    *,
    agreement: str,
    terms: str,
    reason: SuspensionReason | RevocationReason | None = None,
    running_jobs: RunningJobs = RunningJobs.STOP,
    until: datetime | None = None,
    note: str | None = None,
) -> Draft:
    """A step after signing: an agreement is suspended, resumed or revoked."""
    noted, openings = commit_to(note)
    body: dict[str, object] = {"terms": terms, "note": noted}
    if kind is not EntryType.AGREEMENT_RESUMED:
        body |= {"reason": None if reason is None else str(reason), "running_jobs": str(running_jobs)}
    if kind is EntryType.AGREEMENT_SUSPENDED:
        body["until"] = _time(until)
    return Draft(payload=issuer.payload(kind, agreement, body, subjects=[(agreement, terms)]), openings=openings)


# --- jobs and outputs -------------------------------------------------------------------------------------------------


def operation_of(operations: Sequence[str]) -> str:
    """Return what the log says of the operations of a plan: the one that it has, or the family that all are of."""
    if len(operations) == 1:
        return operations[0]
    families = {name.partition(".")[0] for name in operations}
    return families.pop() if len(families) == 1 else "plan"


def job_submitted(
    issuer: Issuer,
    *,
    agreement: str,
    purpose: str,
    operations: Sequence[str],
    datasets: Sequence[tuple[str, int]],
    plan: JsonValue,
    result_key: str,
    expires_at: datetime,
    certificate: str | None = None,
    job: str | None = None,
    epsilon: str | None = None,
) -> Draft:
    """A partner asks for a computation: the plan is committed to, the result is to be sealed to `result_key`.

    Of a federation all plans name all jobs, so that `job`, its id, is there before; `epsilon` is what it may spend.
    """
    committed, openings = commit_to(plan)
    body = {
        "agreement": agreement,
        "certificate": certificate,
        "purpose": purpose,
        "operation": operation_of(operations),
        "datasets": [{"dataset": dataset, "version": version} for dataset, version in datasets],
        "plan": committed,
        "code": None,
        "epsilon": epsilon,
        "result_key": result_key,
        "expires_at": format_time(expires_at),
    }
    return Draft(payload=issuer.payload(EntryType.JOB_SUBMITTED, job or new_id("job"), body), openings=openings)


def job_cancelled(
    issuer: Issuer,
    *,
    job: str,
    reason: CancellationReason = CancellationReason.REQUEST,
    note: str | None = None,
) -> Draft:
    """A job is called off before it ended."""
    noted, openings = commit_to(note)
    body = {"reason": str(reason), "note": noted}
    return Draft(payload=issuer.payload(EntryType.JOB_CANCELLED, job, body), openings=openings)


def federation_aborted(issuer: Issuer, *, federation: str, rounds: int, note: str | None = None) -> Draft:
    """A partner stops its federation for good, after so many completed rounds."""
    noted, openings = commit_to(note)
    body = {"reason": str(AbortReason.REQUEST), "rounds": rounds, "note": noted}
    return Draft(payload=issuer.payload(EntryType.FEDERATION_ABORTED, federation, body), openings=openings)


def job_approved(issuer: Issuer, *, job: str, terms: str, expires_at: datetime) -> Draft:
    """People approve a job that needs them; the hub's own approvals name a rule instead."""
    body = {"route": "reviewed", "rule": None, "terms": terms, "expires_at": format_time(expires_at)}
    return Draft(payload=issuer.payload(EntryType.JOB_APPROVED, job, body))


def output_checked(
    issuer: Issuer,
    *,
    job: str,
    candidate: str,
    rules: str,
    verdict: CheckVerdict,
    findings: Sequence[Mapping[str, object]] = (),
) -> Draft:
    """A person has checked a held candidate."""
    body = {
        "job": job,
        "candidate": candidate,
        "rules": rules,
        "verdict": str(verdict),
        "findings": [dict(one) for one in findings],
    }
    return Draft(payload=issuer.payload(EntryType.OUTPUT_CHECKED, new_id("out"), body))


def _about_party(issuer: Issuer, kind: EntryType, party: str, body: Mapping[str, object], note: str | None) -> Draft:
    noted, openings = commit_to(note)
    payload = issuer.payload(kind, new_id("part"), {"party": party, **body, "note": noted})
    return Draft(payload=payload, openings=openings)


def _by(issuer: Issuer) -> _By:
    return {"issuer": issuer.party, "on_behalf_of": issuer.on_behalf_of, "at": issuer.clock.now()}


def _time(at: datetime | None) -> str | None:
    return None if at is None else format_time(at)
