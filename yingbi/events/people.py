"""Bodies of the nouns about who takes part and who may do what: `participant`, `duty` and `access`."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from yingbi.events.fields import (
    Body,
    Commitment,
    Count,
    Digest,
    Duty,
    Noted,
    OneOf,
    Party,
    SuspensionReason,
    Target,
    Thumbprint,
    Time,
)
from yingbi.events.types import EntryType

__all__ = [
    "MODELS",
    "AccessBreakGlassClosed",
    "AccessBreakGlassOpened",
    "AccessFrozen",
    "AccessLocationCapabilityEnded",
    "AccessLocationCapabilityMinted",
    "AccessUnfrozen",
    "BreakGlassReason",
    "CapabilityEnd",
    "Departure",
    "DutyEnd",
    "DutyGranted",
    "DutyRevoked",
    "FreezeReason",
    "ParticipantAdmitted",
    "ParticipantApplied",
    "ParticipantKind",
    "ParticipantOffboarded",
    "ParticipantReinstated",
    "ParticipantSuspended",
]


class ParticipantKind(StrEnum):
    """What kind of organisation takes part."""

    SOURCE_UNIT = "source-unit"
    BANK = "bank"
    CREDIT_BUREAU = "credit-bureau"
    INSURER = "insurer"
    ASSOCIATION = "association"
    STREET_OFFICE = "street-office"
    VENDOR = "vendor"
    AUDITOR = "auditor"
    WITNESS = "witness"


class Departure(StrEnum):
    """Why a participant leaves."""

    REQUEST = "request"
    ADMISSION_EXPIRED = "admission-expired"
    BREACH = "breach"
    DISSOLVED = "dissolved"
    LEGAL_ORDER = "legal-order"


class DutyEnd(StrEnum):
    """Why a person loses a duty."""

    LEFT = "left"
    REASSIGNED = "reassigned"
    CONFLICT_OF_DUTIES = "conflict-of-duties"
    EXPIRED = "expired"
    BREACH = "breach"


class BreakGlassReason(StrEnum):
    """What emergency opened the glass."""

    INCIDENT = "incident"
    OUTAGE = "outage"
    DATA_LOSS = "data-loss"
    LEGAL_ORDER = "legal-order"


class FreezeReason(StrEnum):
    """What made somebody freeze access at once."""

    SUSPECTED_DIFFERENCING = "suspected-differencing"
    SUSPECTED_COLLUSION = "suspected-collusion"
    KEY_COMPROMISED = "key-compromised"
    UNUSUAL_USE = "unusual-use"
    INCIDENT = "incident"
    LEGAL_ORDER = "legal-order"
    WITHDRAWAL = "withdrawal"


class CapabilityEnd(StrEnum):
    """What ended a capability bound to a place."""

    EXPIRED = "expired"
    LEFT_PLACE = "left-place"
    FINISHED = "finished"
    REVOKED = "revoked"


class _AboutParty(Noted):
    party: Party


class ParticipantApplied(_AboutParty):
    """An organisation asks to take part; who it is and what licence it holds are committed to."""

    kind: OneOf[ParticipantKind]
    identity: Commitment
    licence: Commitment | None
    keyid: Thumbprint


class ParticipantAdmitted(_AboutParty):
    """The bureau admits an organisation, until a time or until further notice."""

    kind: OneOf[ParticipantKind]
    valid_until: Time | None


class ParticipantSuspended(_AboutParty):
    """An organisation may not act for the time being."""

    reason: OneOf[SuspensionReason]
    until: Time | None


class ParticipantReinstated(_AboutParty):
    """A suspended organisation may act again."""


class ParticipantOffboarded(_AboutParty):
    """An organisation leaves; what it held here was exported and destroyed as the inventory says."""

    reason: OneOf[Departure]
    inventory: Digest | None


class DutyGranted(Body):
    """A person receives a duty, within a scope where one is named; never from himself."""

    holder: Party
    duty: OneOf[Duty]
    scope: Target | None
    valid_until: Time | None


class DutyRevoked(Noted):
    """A person loses a duty."""

    holder: Party
    duty: OneOf[Duty]
    scope: Target | None
    reason: OneOf[DutyEnd]


class AccessBreakGlassOpened(Noted):
    """A person takes a duty in an emergency, for a short time that everyone sees."""

    holder: Party
    duty: OneOf[Duty]
    reason: OneOf[BreakGlassReason]
    expires_at: Time
    drill: bool


class AccessBreakGlassClosed(Noted):
    """An emergency duty has ended; the record says what was done under it."""

    holder: Party
    duty: OneOf[Duty]
    actions: Count
    record: Digest
    drill: bool


class AccessFrozen(Noted):
    """One person stops a party or a thing at once: its tokens die, its jobs stop."""

    target: Target
    reason: OneOf[FreezeReason]
    drill: bool


class AccessUnfrozen(Noted):
    """Two people let a frozen party or thing go on."""

    target: Target
    drill: bool


class AccessLocationCapabilityMinted(Body):
    """A person at a place may see named fields about it for a short time; place and capability are committed to."""

    holder: Party
    capability: Commitment
    place: Commitment
    fields_digest: Digest
    expires_at: Time


class AccessLocationCapabilityEnded(Body):
    """A capability bound to a place has ended after so many reads."""

    capability: Commitment
    reason: OneOf[CapabilityEnd]
    reads: Count


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.PARTICIPANT_APPLIED: ParticipantApplied,
    EntryType.PARTICIPANT_ADMITTED: ParticipantAdmitted,
    EntryType.PARTICIPANT_SUSPENDED: ParticipantSuspended,
    EntryType.PARTICIPANT_REINSTATED: ParticipantReinstated,
    EntryType.PARTICIPANT_OFFBOARDED: ParticipantOffboarded,
    EntryType.DUTY_GRANTED: DutyGranted,
    EntryType.DUTY_REVOKED: DutyRevoked,
    EntryType.ACCESS_BREAK_GLASS_OPENED: AccessBreakGlassOpened,
    EntryType.ACCESS_BREAK_GLASS_CLOSED: AccessBreakGlassClosed,
    EntryType.ACCESS_FROZEN: AccessFrozen,
    EntryType.ACCESS_UNFROZEN: AccessUnfrozen,
    EntryType.ACCESS_LOCATION_CAPABILITY_MINTED: AccessLocationCapabilityMinted,
    EntryType.ACCESS_LOCATION_CAPABILITY_ENDED: AccessLocationCapabilityEnded,
}
