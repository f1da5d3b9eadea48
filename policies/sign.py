"""Statements about an agreement's terms: what is signed, and who has signed exactly these (docs/spec/agreement.md).

The payloads are for `yingbi.statement.sign`, the one door through which signatures come into being.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from policies.model import Agreement, terms_digest
from yingbi.clock import format_time
from yingbi.errors import ErrorCode, VerificationError
from yingbi.events import EntryType
from yingbi.events.agreements import AgreementSigned
from yingbi.events.fields import Duty
from yingbi.ids import new_nonce
from yingbi.keys import VerifyKey
from yingbi.statement import Statement, verify_signatures

__all__ = [
    "Signatory",
    "activated_payload",
    "countered_payload",
    "proposed_payload",
    "signed_payload",
    "verify_signatures_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatory:
    """Who signed the terms, for which party, in which duty, with which keys."""

    person: str
    on_behalf_of: str | None
    duty: Duty
    keyids: tuple[str, ...]


def proposed_payload(
    agreement: Agreement, *, issuer: str, on_behalf_of: str | None, at: datetime, nonce: str | None = None
) -> dict[str, object]:
    """Return the payload with which somebody proposes these terms."""
    body = {
        "terms": terms_digest(agreement),
        "version": agreement.version,
        "assigner": agreement.assigner,
        "assignee": agreement.assignee,
        "intermediary": agreement.intermediary,
        "purpose": agreement.purpose,
        "legal_basis": str(agreement.legal_basis.kind),
        **_period(agreement),
    }
    return _payload(EntryType.AGREEMENT_PROPOSED, agreement, body, issuer, on_behalf_of, at, nonce)


def countered_payload(
    agreement: Agreement,
    previous: Agreement,
    *,
    issuer: str,
    on_behalf_of: str | None,
    at: datetime,
    note: str | None = None,
    nonce: str | None = None,
) -> dict[str, object]:
    """Return the payload with which somebody answers `previous` with these terms; `note` is a commitment."""
    body = {
        "terms": terms_digest(agreement),
        "version": agreement.version,
        "previous_terms": terms_digest(previous),
        "note": note,
    }
    return _payload(EntryType.AGREEMENT_COUNTERED, agreement, body, issuer, on_behalf_of, at, nonce)


def signed_payload(
    agreement: Agreement,
    *,
    duty: Duty,
    issuer: str,
    on_behalf_of: str | None,
    at: datetime,
    nonce: str | None = None,
) -> dict[str, object]:
    """Return the payload with which one person signs these terms in one duty."""
    body: dict[str, object] = {"terms": terms_digest(agreement), "duty": str(duty)}
    return _payload(EntryType.AGREEMENT_SIGNED, agreement, body, issuer, on_behalf_of, at, nonce)


def activated_payload(
    agreement: Agreement, *, issuer: str, on_behalf_of: str | None, at: datetime, nonce: str | None = None
) -> dict[str, object]:
    """Return the payload that says that all have signed: jobs may rely on these terms in their period."""
    body = {"terms": terms_digest(agreement), **_period(agreement)}
    return _payload(EntryType.AGREEMENT_ACTIVATED, agreement, body, issuer, on_behalf_of, at, nonce)


def verify_signatures_of(
    agreement: Agreement, statements: Iterable[Statement], keys: Mapping[str, Iterable[VerifyKey]]
) -> tuple[Signatory, ...]:
    """Return who has signed exactly these terms, in the order of the statements; `keys` are by party.

    Whether these are enough, and by the right people, `policies.approvals` says.

    Raises:
        VerificationError: a statement is no signature of these terms, or is not signed by a key of whom it names.
    """
    terms = terms_digest(agreement)
    by_party = {party: tuple(own) for party, own in keys.items()}
    return tuple(_verify(agreement, terms, statement, by_party) for statement in statements)


def _verify(
    agreement: Agreement, terms: str, statement: Statement, keys: Mapping[str, tuple[VerifyKey, ...]]
) -> Signatory:
    payload = statement.payload
    if payload.type is not EntryType.AGREEMENT_SIGNED:
        raise _unverified(f"expected a statement of type `{EntryType.AGREEMENT_SIGNED}`")
    body = AgreementSigned.model_validate(payload.body)
    subjects = [(subject.id, subject.digest) for subject in payload.subject]
    if payload.id != agreement.id or body.terms != terms or subjects != [(agreement.id, terms)]:
        raise _unverified("the signature is over other terms")
    keyids = verify_signatures(statement, [key for own in keys.values() for key in own])
    # SECURITY: a good signature by somebody else's key would make anybody a signatory.
    own = {key.thumbprint for key in keys.get(payload.issuer, ())}
    if own.isdisjoint(keyids):
        raise _unverified("the statement is not signed by a key of its issuer")
    return Signatory(person=payload.issuer, on_behalf_of=payload.on_behalf_of, duty=body.duty, keyids=keyids)


def _payload(
    kind: EntryType,
    agreement: Agreement,
    body: dict[str, object],
    issuer: str,
    on_behalf_of: str | None,
    at: datetime,
    nonce: str | None,
) -> dict[str, object]:
    return {
        "type": str(kind),
        "id": agreement.id,
        "issuer": issuer,
        "on_behalf_of": on_behalf_of,
        "issued_at": format_time(at),
        "nonce": nonce or new_nonce(),
        "subject": [{"id": agreement.id, "digest": terms_digest(agreement)}],
        "refs": {},
        "body": body,
    }


def _period(agreement: Agreement) -> dict[str, object]:
    return {
        "valid_from": format_time(agreement.valid.starts_at),
        "valid_until": format_time(agreement.valid.ends_at),
    }


def _unverified(message: str) -> VerificationError:
    return VerificationError(ErrorCode.STATEMENT_UNVERIFIED, message)
