"""The closed set of ledger entry types (docs/spec/entry-types.md)."""

from enum import StrEnum
from typing import Final

__all__ = ["NOUNS", "EntryType"]


class EntryType(StrEnum):
    """What can be recorded: `noun.past_verb`. A name is never reused for another meaning."""

    KEY_REGISTERED = "key.registered"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"

    PARTICIPANT_APPLIED = "participant.applied"
    PARTICIPANT_ADMITTED = "participant.admitted"
    PARTICIPANT_SUSPENDED = "participant.suspended"
    PARTICIPANT_REINSTATED = "participant.reinstated"
    PARTICIPANT_OFFBOARDED = "participant.offboarded"

    DUTY_GRANTED = "duty.granted"
    DUTY_REVOKED = "duty.revoked"

    DATASET_REGISTERED = "dataset.registered"
    DATASET_VERSIONED = "dataset.versioned"
    DATASET_GRADED = "dataset.graded"
    DATASET_WITHDRAWN = "dataset.withdrawn"

    AGREEMENT_PROPOSED = "agreement.proposed"
    AGREEMENT_COUNTERED = "agreement.countered"
    AGREEMENT_SIGNED = "agreement.signed"
    AGREEMENT_ACTIVATED = "agreement.activated"
    AGREEMENT_SUSPENDED = "agreement.suspended"
    AGREEMENT_RESUMED = "agreement.resumed"
    AGREEMENT_REVOKED = "agreement.revoked"
    AGREEMENT_SUPERSEDED = "agreement.superseded"
    AGREEMENT_EXPIRED = "agreement.expired"

    CERTIFICATE_SUBMITTED = "certificate.submitted"
    CERTIFICATE_ACCEPTED = "certificate.accepted"
    CERTIFICATE_RETURNED = "certificate.returned"
    CERTIFICATE_REVIEWED = "certificate.reviewed"
    CERTIFICATE_REJECTED = "certificate.rejected"
    CERTIFICATE_NOTICED = "certificate.noticed"
    CERTIFICATE_OBJECTED = "certificate.objected"
    CERTIFICATE_APPROVED = "certificate.approved"
    CERTIFICATE_ISSUED = "certificate.issued"
    CERTIFICATE_PRESENTED = "certificate.presented"
    CERTIFICATE_LICENSED = "certificate.licensed"
    CERTIFICATE_TRANSFERRED = "certificate.transferred"
    CERTIFICATE_CHANGED = "certificate.changed"
    CERTIFICATE_SUSPENDED = "certificate.suspended"
    CERTIFICATE_RESUMED = "certificate.resumed"
    CERTIFICATE_REVOKED = "certificate.revoked"
    CERTIFICATE_CANCELLED = "certificate.cancelled"
    CERTIFICATE_EXPIRED = "certificate.expired"

    JOB_SUBMITTED = "job.submitted"
    JOB_APPROVED = "job.approved"
    JOB_REFUSED = "job.refused"
    JOB_LEASED = "job.leased"
    JOB_STARTED = "job.started"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_INTERRUPTED = "job.interrupted"

    OUTPUT_CHECKED = "output.checked"
    OUTPUT_HELD = "output.held"
    OUTPUT_RELEASED = "output.released"
    OUTPUT_DELIVERED = "output.delivered"
    OUTPUT_DESTROYED = "output.destroyed"

    BUDGET_GRANTED = "budget.granted"
    BUDGET_RESERVED = "budget.reserved"
    BUDGET_COMMITTED = "budget.committed"
    BUDGET_REFUNDED = "budget.refunded"

    FEDERATION_JOINED = "federation.joined"
    FEDERATION_STARTED = "federation.started"
    FEDERATION_ROUND_STARTED = "federation.round_started"
    FEDERATION_CONTRIBUTED = "federation.contributed"
    FEDERATION_ROUND_COMPLETED = "federation.round_completed"
    FEDERATION_INTERRUPTED = "federation.interrupted"
    FEDERATION_ABORTED = "federation.aborted"
    FEDERATION_COMPLETED = "federation.completed"

    CODE_PROPOSED = "code.proposed"
    CODE_REVIEWED = "code.reviewed"
    CODE_APPROVED = "code.approved"
    CODE_REVOKED = "code.revoked"

    CHALLENGE_PUBLISHED = "challenge.published"
    CHALLENGE_CLAIMED = "challenge.claimed"
    CHALLENGE_ADMITTED = "challenge.admitted"
    CHALLENGE_SCORED = "challenge.scored"
    CHALLENGE_AWARDED = "challenge.awarded"
    CHALLENGE_CLOSED = "challenge.closed"

    LEASE_GRANTED = "lease.granted"
    LEASE_RENEWED = "lease.renewed"
    LEASE_FROZEN = "lease.frozen"
    LEASE_DESTROYED = "lease.destroyed"

    ACCESS_BREAK_GLASS_OPENED = "access.break_glass_opened"
    ACCESS_BREAK_GLASS_CLOSED = "access.break_glass_closed"
    ACCESS_FROZEN = "access.frozen"
    ACCESS_UNFROZEN = "access.unfrozen"
    ACCESS_LOCATION_CAPABILITY_MINTED = "access.location_capability_minted"
    ACCESS_LOCATION_CAPABILITY_ENDED = "access.location_capability_ended"

    LOG_CHECKPOINT_ANCHORED = "log.checkpoint_anchored"
    LOG_KEY_CHANGED = "log.key_changed"
    LOG_AUDITED = "log.audited"

    @property
    def noun(self) -> str:
        """Return what the entry is about: the part before the dot."""
        return self.value.partition(".")[0]


NOUNS: Final = tuple(dict.fromkeys(item.noun for item in EntryType))
