"""Bodies of the noun `agreement`. `terms` is the digest of the agreement's canonical JSON: the exact text meant."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from yingbi.events.fields import (
    Body,
    Commitment,
    Digest,
    Duty,
    Identifier,
    OneOf,
    Ordinal,
    Party,
    RevocationReason,
    RunningJobs,
    Slug,
    SuspensionReason,
    Time,
    Validity,
)
from yingbi.events.types import EntryType

__all__ = [
    "MODELS",
    "AgreementActivated",
    "AgreementCountered",
    "AgreementExpired",
    "AgreementProposed",
    "AgreementResumed",
    "AgreementRevoked",
    "AgreementSigned",
    "AgreementSuperseded",
    "AgreementSuspended",
    "LegalBasis",
]


class LegalBasis(StrEnum):
    """What makes the use lawful."""

    CONSENT = "consent"
    STATUTE = "statute"
    CONTRACT = "contract"


class _OfTerms(Body):
    terms: Digest


class _NotedTerms(_OfTerms):
    note: Commitment | None


class AgreementProposed(_OfTerms, Validity):
    """Somebody proposes an agreement: between whom, what for, on what legal basis, for how long."""

    version: Ordinal
    assigner: Party
    assignee: Party
    intermediary: Party | None
    purpose: Slug
    legal_basis: OneOf[LegalBasis]


class AgreementCountered(_NotedTerms):
    """Somebody answers a proposal with changed terms."""

    version: Ordinal
    previous_terms: Digest


class AgreementSigned(_OfTerms):
    """One person signed the terms in one duty."""

    duty: OneOf[Duty]


class AgreementActivated(_OfTerms, Validity):
    """All required people have signed: jobs may rely on the agreement in this period."""


class AgreementSuspended(_NotedTerms):
    """No job may rely on the agreement for the time being."""

    reason: OneOf[SuspensionReason]
    running_jobs: OneOf[RunningJobs]
    until: Time | None


class AgreementResumed(_NotedTerms):
    """Jobs may rely on a suspended agreement again."""


class AgreementRevoked(_NotedTerms):
    """The agreement ends before its time."""

    reason: OneOf[RevocationReason]
    running_jobs: OneOf[RunningJobs]


class AgreementSuperseded(_OfTerms):
    """Another agreement, or another version of it, takes its place."""

    successor: Identifier
    successor_terms: Digest
    running_jobs: OneOf[RunningJobs]


class AgreementExpired(_OfTerms):
    """The agreement's period is over."""

    valid_until: Time


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.AGREEMENT_PROPOSED: AgreementProposed,
    EntryType.AGREEMENT_COUNTERED: AgreementCountered,
    EntryType.AGREEMENT_SIGNED: AgreementSigned,
    EntryType.AGREEMENT_ACTIVATED: AgreementActivated,
    EntryType.AGREEMENT_SUSPENDED: AgreementSuspended,
    EntryType.AGREEMENT_RESUMED: AgreementResumed,
    EntryType.AGREEMENT_REVOKED: AgreementRevoked,
    EntryType.AGREEMENT_SUPERSEDED: AgreementSuperseded,
    EntryType.AGREEMENT_EXPIRED: AgreementExpired,
}
