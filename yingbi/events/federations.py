"""Bodies of the noun `federation`: one model of several units' data, trained in rounds (docs/spec/federation.md).

The id of all of them is the federation's. A round is on the log twice, by those who gave and by the one who summed, so
that an auditor can lay both side by side and compute the round again.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from yingbi.events.fields import (
    MAX_PARTIES,
    Body,
    Count,
    DecimalText,
    Digest,
    Identifier,
    Noted,
    OneOf,
    Ordinal,
    Parties,
    Party,
    PublicKey,
    Slug,
    Strict,
    Time,
    refuse_unsorted,
)
from yingbi.events.types import EntryType

__all__ = [
    "MODELS",
    "AbortReason",
    "Contribution",
    "FederationAborted",
    "FederationCompleted",
    "FederationContributed",
    "FederationInterrupted",
    "FederationInterruption",
    "FederationJoined",
    "FederationMember",
    "FederationRoundCompleted",
    "FederationRoundStarted",
    "FederationStarted",
]


class FederationInterruption(StrEnum):
    """What stopped a joint computation that may go on later."""

    AGREEMENT_SUSPENDED = "agreement-suspended"
    CERTIFICATE_SUSPENDED = "certificate-suspended"
    FROZEN = "frozen"
    MEMBER_INTERRUPTED = "member-interrupted"
    MEMBER_LOST = "member-lost"
    PARTICIPANT_SUSPENDED = "participant-suspended"
    QUORUM_LOST = "quorum-lost"
    ROUND_DEADLINE = "round-deadline"
    SERVER_STOPPED = "server-stopped"


class AbortReason(StrEnum):
    """Why a joint computation stopped for good."""

    AGREEMENT_ENDED = "agreement-ended"
    BUDGET_EXHAUSTED = "budget-exhausted"
    CERTIFICATE_ENDED = "certificate-ended"
    DEVIATION_DETECTED = "deviation-detected"
    FROZEN = "frozen"
    INTERSECTION_TOO_SMALL = "intersection-too-small"
    MEMBER_ENDED = "member-ended"
    QUORUM_LOST = "quorum-lost"
    REPLY_REFUSED = "reply-refused"
    REQUEST = "request"
    ROUND_DEADLINE = "round-deadline"


class FederationMember(Strict):
    """One member of a joint computation: the attempt of its job, and the node that runs it."""

    node: Party
    job: Identifier
    attempt: Ordinal


class Contribution(Strict):
    """The digest of what one participant sent in a round."""

    party: Party
    digest: Digest


def _check_members(members: list[FederationMember]) -> list[FederationMember]:
    refuse_unsorted(item.node for item in members)
    return members


def _check_contributions(contributions: list[Contribution]) -> list[Contribution]:
    refuse_unsorted(item.party for item in contributions)
    return contributions


_Members = Annotated[
    list[FederationMember],
    Field(title="ascending by node", min_length=1, max_length=MAX_PARTIES),
    AfterValidator(_check_members),
]
_Contributions = Annotated[
    list[Contribution],
    Field(title="ascending by party", max_length=MAX_PARTIES),
    AfterValidator(_check_contributions),
]


class FederationJoined(Body):
    """A node that has started a member job has checked these terms; `key` (X25519) is for this attempt's secure sum."""

    job: Identifier
    attempt: Ordinal
    terms: Digest
    key: PublicKey


class FederationStarted(Body):
    """A joint computation begins, or goes on: what, on which terms, with whom; without `epsilon` it is exact."""

    recipe: Slug
    app: Digest
    terms: Digest
    members: _Members
    quorum: Ordinal
    rounds: Ordinal
    epsilon: DecimalText | None


class FederationRoundStarted(Body):
    """An attempt at a round is open: for whom, until when, on which state."""

    round: Ordinal
    attempt: Ordinal
    participants: Parties
    round_input: Digest
    expires_at: Time


class FederationContributed(Body):
    """A node gives its part of a round: the digest of its masked vector, before it sends it, and what it spent."""

    job: Identifier
    round: Ordinal
    attempt: Ordinal
    round_input: Digest
    contribution: Digest
    rho: DecimalText | None


class FederationRoundCompleted(Body):
    """An attempt at a round is over: what came, their sum and the next state; without these it is given up."""

    round: Ordinal
    attempt: Ordinal
    contributions: _Contributions
    aggregate: Digest | None
    state: Digest | None

    @model_validator(mode="after")
    def _refuse_half(self) -> Self:
        if (self.aggregate is None) is not (self.state is None):
            raise ValueError("expected both a sum and a state, or neither")
        return self


class FederationInterrupted(Body):
    """A joint computation has stopped after so many rounds, and may go on."""

    reason: OneOf[FederationInterruption]
    rounds: Count


class FederationAborted(Noted):
    """A joint computation stopped for good after so many rounds."""

    reason: OneOf[AbortReason]
    rounds: Count


class FederationCompleted(Body):
    """A joint computation has its result: the state that its last round left, by whom, and what it cost."""

    rounds: Ordinal
    participants: Parties
    result: Digest
    rho: DecimalText | None


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.FEDERATION_JOINED: FederationJoined,
    EntryType.FEDERATION_STARTED: FederationStarted,
    EntryType.FEDERATION_ROUND_STARTED: FederationRoundStarted,
    EntryType.FEDERATION_CONTRIBUTED: FederationContributed,
    EntryType.FEDERATION_ROUND_COMPLETED: FederationRoundCompleted,
    EntryType.FEDERATION_INTERRUPTED: FederationInterrupted,
    EntryType.FEDERATION_ABORTED: FederationAborted,
    EntryType.FEDERATION_COMPLETED: FederationCompleted,
}
