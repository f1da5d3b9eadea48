"""Bodies of the nouns `challenge` and `lease`."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from yingbi.events.fields import (
    Body,
    Commitment,
    Count,
    Destruction,
    Digest,
    Identifier,
    Noted,
    OneOf,
    Ordinal,
    Party,
    SignedDecimalText,
    Slug,
    Strict,
    Time,
    Validity,
)
from yingbi.events.types import EntryType

__all__ = [
    "MODELS",
    "ChallengeAdmitted",
    "ChallengeAwarded",
    "ChallengeClaimed",
    "ChallengeClosed",
    "ChallengeEnd",
    "ChallengePublished",
    "ChallengeScored",
    "LeaseDestroyed",
    "LeaseEnd",
    "LeaseFreeze",
    "LeaseFrozen",
    "LeaseGranted",
    "LeaseRenewed",
    "Quota",
]


class ChallengeEnd(StrEnum):
    """How a challenge ended."""

    AWARDED = "awarded"
    NO_AWARD = "no-award"
    WITHDRAWN = "withdrawn"


class LeaseFreeze(StrEnum):
    """Why a workspace is frozen."""

    BREACH = "breach"
    INCIDENT = "incident"
    OVER_QUOTA = "over-quota"
    TERM_ENDED = "term-ended"


class LeaseEnd(StrEnum):
    """Why a workspace is destroyed."""

    BREACH = "breach"
    REQUEST = "request"
    TERM_ENDED = "term-ended"


class Quota(Strict):
    """What a workspace may use."""

    cpu_cores: Ordinal
    memory_bytes: Count
    storage_bytes: Count


class ChallengePublished(Body):
    """A need is published with its terms, the pinned metric and a commitment to the hidden holdout."""

    terms: Digest
    metric: Digest
    holdout: Commitment
    claims_until: Time
    closes_at: Time
    scores_per_day: Ordinal


class _OfClaim(Body):
    claim: Identifier


class ChallengeClaimed(_OfClaim):
    """A team claims a challenge; team and proposal are committed to."""

    team: Commitment
    proposal: Commitment


class ChallengeAdmitted(_OfClaim, Noted):
    """A panel admits a claim and names the workspace for it."""

    lease: Identifier
    panel_report: Commitment


class ChallengeScored(_OfClaim):
    """A submission was scored with the pinned metric on the hidden holdout."""

    attempt: Ordinal
    submission: Commitment
    metric: Digest
    holdout: Commitment
    score: SignedDecimalText


class ChallengeAwarded(_OfClaim, Noted):
    """The panel gives a claim a rank in the challenge."""

    rank: Ordinal


class ChallengeClosed(Noted):
    """A challenge is over, and its holdout and salt may be opened to auditors."""

    outcome: OneOf[ChallengeEnd]
    claims: Count
    scores: Count


class LeaseGranted(Validity):
    """A holder gets a workspace with a quota for a period."""

    holder: Party
    challenge: Identifier | None
    template: Slug
    quota: Quota


class LeaseRenewed(Body):
    """A workspace's period is prolonged."""

    renewal: Ordinal
    previous_until: Time
    valid_until: Time


class LeaseFrozen(Noted):
    """Nobody can use a workspace any more, while it is kept."""

    reason: OneOf[LeaseFreeze]


class LeaseDestroyed(Body):
    """A workspace and its keys are destroyed; the inventory lists what there was."""

    reason: OneOf[LeaseEnd]
    method: OneOf[Destruction]
    inventory: Digest


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.CHALLENGE_PUBLISHED: ChallengePublished,
    EntryType.CHALLENGE_CLAIMED: ChallengeClaimed,
    EntryType.CHALLENGE_ADMITTED: ChallengeAdmitted,
    EntryType.CHALLENGE_SCORED: ChallengeScored,
    EntryType.CHALLENGE_AWARDED: ChallengeAwarded,
    EntryType.CHALLENGE_CLOSED: ChallengeClosed,
    EntryType.LEASE_GRANTED: LeaseGranted,
    EntryType.LEASE_RENEWED: LeaseRenewed,
    EntryType.LEASE_FROZEN: LeaseFrozen,
    EntryType.LEASE_DESTROYED: LeaseDestroyed,
}
