"""Bodies of the noun `federation`.

Every round is recorded by the server and by each node in the same form, so that an auditor can lay them side by side: a
node's `round_input` and its one contribution must be found in the server's entry of that round.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from yingbi.events.fields import (
    MAX_PARTIES,
    Body,
    Commitment,
    Count,
    DecimalText,
    Digest,
    Identifier,
    Noted,
    OneOf,
    Ordinal,
    Parties,
    Party,
    Slug,
    Strict,
    refuse_unsorted,
)
from yingbi.events.types import EntryType

__all__ = [
    "MODELS",
    "AbortReason",
    "Contribution",
    "FederationAborted",
    "FederationCompleted",
    "FederationRole",
    "FederationRoundCompleted",
    "FederationStarted",
]


class FederationRole(StrEnum):
    """Whose view of a round an entry gives."""

    SERVER = "server"
    NODE = "node"


class AbortReason(StrEnum):
    """Why a joint computation stopped for good."""

    AGREEMENT_ENDED = "agreement-ended"
    BUDGET_EXHAUSTED = "budget-exhausted"
    CERTIFICATE_ENDED = "certificate-ended"
    DEVIATION_DETECTED = "deviation-detected"
    FROZEN = "frozen"
    INTERSECTION_TOO_SMALL = "intersection-too-small"
    QUORUM_LOST = "quorum-lost"
    REPLY_REFUSED = "reply-refused"
    REQUEST = "request"
    ROUND_DEADLINE = "round-deadline"


class Contribution(Strict):
    """The digest of what one participant sent in a round."""

    party: Party
    digest: Digest


def _check_contributions(contributions: list[Contribution]) -> list[Contribution]:
    refuse_unsorted(item.party for item in contributions)
    return contributions


_Contributions = Annotated[
    list[Contribution],
    Field(title="ascending by party", min_length=1, max_length=MAX_PARTIES),
    AfterValidator(_check_contributions),
]


class _OfJob(Body):
    job: Identifier


class FederationStarted(_OfJob):
    """A joint computation begins: who takes part, with which app and parameters, how many rounds and what quorum."""

    recipe: Slug
    app: Digest
    parameters: Digest
    participants: Parties
    quorum: Ordinal
    max_rounds: Ordinal


class FederationRoundCompleted(_OfJob):
    """A round is over, as the server or as one node saw it: what all were given, what each sent, what a node spent."""

    role: OneOf[FederationRole]
    round: Ordinal
    round_input: Digest
    contributions: _Contributions
    aggregate: Digest | None
    epsilon: DecimalText | None


class FederationAborted(_OfJob, Noted):
    """A joint computation stopped for good after so many rounds."""

    reason: OneOf[AbortReason]
    rounds: Count
    sealed_state: Commitment | None


class FederationCompleted(_OfJob):
    """A joint computation has its result: every round of it has a quorum of entries."""

    rounds: Ordinal
    participants: Parties
    result: Commitment
    epsilon: DecimalText | None


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.FEDERATION_STARTED: FederationStarted,
    EntryType.FEDERATION_ROUND_COMPLETED: FederationRoundCompleted,
    EntryType.FEDERATION_ABORTED: FederationAborted,
    EntryType.FEDERATION_COMPLETED: FederationCompleted,
}
