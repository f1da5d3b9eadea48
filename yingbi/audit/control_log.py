"""Controls about the record itself: whose keys signed, what was said twice, what had no effect, and when."""

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Final

from yingbi.audit.case import Case, later
from yingbi.audit.findings import Hit
from yingbi.audit.keybook import KeyFault

__all__ = ["clock_anomalies", "entries_without_effect", "foreign_signatures", "replayed_statements"]

_MAX_AGE: Final = timedelta(days=7)
_MAX_AHEAD: Final = timedelta(minutes=5)
_FAULTS: Final = {
    KeyFault.UNKNOWN: "a signature by a key that the log does not know",
    KeyFault.NOT_VALID_THEN: "a signature by a key that was not valid then",
    KeyFault.DOES_NOT_VERIFY: "a signature that does not verify",
}


def foreign_signatures(case: Case) -> Iterator[Hit]:
    """Yield entries with signatures by unknown keys, by keys outside their validity, or that do not verify."""
    for fact in case.reading.facts:
        for signer in fact.signers:
            if signer.fault is not None:
                subject = signer.owner or signer.keyid
                yield Hit(subject=subject, indexes=(fact.index,), message=_FAULTS[signer.fault])


def entries_without_effect(case: Case) -> Iterator[Hit]:
    """Yield entries that break a rule of the standing, so that hub and nodes pass over them."""
    for fact in case.reading.facts:
        if fact.refusal is not None:
            message = f"{fact.type} without effect, by the rule `{fact.refusal.rule}`: {fact.refusal.message}"
            yield Hit(subject=fact.id, indexes=(fact.index,), message=message)


def replayed_statements(case: Case) -> Iterator[Hit]:
    """Yield statements that were recorded twice, and nonces that an issuer used twice."""
    seen: dict[bytes, int] = {}
    nonces: dict[tuple[str, str], int] = {}
    for fact in case.reading.facts:
        payload = fact.statement.payload
        first = seen.setdefault(sha256(fact.statement.payload_bytes).digest(), fact.index)
        other = nonces.setdefault((payload.issuer, payload.nonce), fact.index)
        if first != fact.index:
            yield Hit(subject=fact.id, indexes=(first, fact.index), message="one statement was recorded twice")
        elif other != fact.index:
            yield Hit(subject=fact.id, indexes=(other, fact.index), message="one nonce stands in two statements")


def clock_anomalies(case: Case) -> Iterator[Hit]:
    """Yield entries whose signers' clocks were far from the log's."""
    for fact in case.reading.facts:
        issued_at = fact.statement.payload.issued_at
        if not later(fact.time, -_MAX_AGE) <= issued_at <= later(fact.time, _MAX_AHEAD):
            message = f"issued at {issued_at}, recorded at {fact.time}"
            yield Hit(subject=fact.id, indexes=(fact.index,), message=message)
