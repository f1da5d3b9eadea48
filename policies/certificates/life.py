"""The life of a certificate as a total table, from the application to its end (docs/spec/certificate.md, "Life").

Pure: a state and a step go in, a state comes out. Who may take a step, and what it must say, is judged where the log is
folded (`policies.standing.certificates`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from policies.tables import draw, total
from yingbi.errors import ConflictError, ErrorCode
from yingbi.events.certificates import AssetClass, Registration

__all__ = ["ENDED", "OPEN", "TRANSITIONS", "CertificateState", "Step", "draw_life", "needs_notice", "transition"]


class CertificateState(StrEnum):
    """Where a certificate is: applications come first, certificates from `active` on."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    ACCEPTED = "accepted"
    REVIEW = "review"
    NOTICE = "notice"
    OBJECTED = "objected"
    APPROVED = "approved"
    REJECTED = "rejected"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


class Step(StrEnum):
    """What happens to it.

    `settle` is the review of an objection, `settle-last` of the last one that is open; `supersede` is what the issue of
    its successor does.
    """

    SUBMIT = "submit"
    ACCEPT = "accept"
    RETURN = "return"
    REVIEW = "review"
    NOTICE = "notice"
    OBJECT = "object"
    SETTLE = "settle"
    SETTLE_LAST = "settle-last"
    APPROVE = "approve"
    REJECT = "reject"
    ISSUE = "issue"
    PRESENT = "present"
    SUSPEND = "suspend"
    RESUME = "resume"
    REVOKE = "revoke"
    CANCEL = "cancel"
    SUPERSEDE = "supersede"
    EXPIRE = "expire"


OPEN: Final = frozenset(
    {
        CertificateState.SUBMITTED,
        CertificateState.RETURNED,
        CertificateState.ACCEPTED,
        CertificateState.REVIEW,
        CertificateState.NOTICE,
        CertificateState.OBJECTED,
        CertificateState.APPROVED,
    }
)
"""Applications that are being dealt with: the applicant may withdraw them, and their deadlines may pass."""

ENDED: Final = frozenset(
    {
        CertificateState.REJECTED,
        CertificateState.REVOKED,
        CertificateState.CANCELLED,
        CertificateState.SUPERSEDED,
        CertificateState.EXPIRED,
    }
)
"""States that nothing leads out of."""

_ISSUED: Final = (CertificateState.ACTIVE, CertificateState.SUSPENDED)
_ENDS: Final = {
    Step.REVOKE: CertificateState.REVOKED,
    Step.CANCEL: CertificateState.CANCELLED,
    Step.SUPERSEDE: CertificateState.SUPERSEDED,
    Step.EXPIRE: CertificateState.EXPIRED,
}
_MOVES: Final[Mapping[tuple[CertificateState, Step], CertificateState]] = {
    (CertificateState.DRAFT, Step.SUBMIT): CertificateState.SUBMITTED,
    (CertificateState.RETURNED, Step.SUBMIT): CertificateState.SUBMITTED,
    (CertificateState.SUBMITTED, Step.ACCEPT): CertificateState.ACCEPTED,
    # What was accepted for the time being, with papers to follow, is accepted for good when they have come.
    (CertificateState.ACCEPTED, Step.ACCEPT): CertificateState.ACCEPTED,
    (CertificateState.REVIEW, Step.ACCEPT): CertificateState.REVIEW,
    (CertificateState.ACCEPTED, Step.REVIEW): CertificateState.REVIEW,
    (CertificateState.REVIEW, Step.REVIEW): CertificateState.REVIEW,
    (CertificateState.REVIEW, Step.NOTICE): CertificateState.NOTICE,
    (CertificateState.NOTICE, Step.OBJECT): CertificateState.OBJECTED,
    # While its notice goes on, after an earlier objection was settled.
    (CertificateState.REVIEW, Step.OBJECT): CertificateState.OBJECTED,
    (CertificateState.OBJECTED, Step.OBJECT): CertificateState.OBJECTED,
    (CertificateState.OBJECTED, Step.SETTLE): CertificateState.OBJECTED,
    (CertificateState.OBJECTED, Step.SETTLE_LAST): CertificateState.REVIEW,
    (CertificateState.NOTICE, Step.APPROVE): CertificateState.APPROVED,
    (CertificateState.REVIEW, Step.APPROVE): CertificateState.APPROVED,
    (CertificateState.APPROVED, Step.ISSUE): CertificateState.ACTIVE,
    (CertificateState.ACTIVE, Step.PRESENT): CertificateState.ACTIVE,
    (CertificateState.ACTIVE, Step.OBJECT): CertificateState.ACTIVE,
    (CertificateState.SUSPENDED, Step.OBJECT): CertificateState.SUSPENDED,
    **{(state, step): state for state in _ISSUED for step in (Step.SETTLE, Step.SETTLE_LAST)},
    (CertificateState.ACTIVE, Step.SUSPEND): CertificateState.SUSPENDED,
    # Another reason, or another side, while it is suspended already.
    (CertificateState.SUSPENDED, Step.SUSPEND): CertificateState.SUSPENDED,
    (CertificateState.SUSPENDED, Step.RESUME): CertificateState.ACTIVE,
    **{
        (state, Step.RETURN): CertificateState.RETURNED
        for state in (CertificateState.SUBMITTED, CertificateState.ACCEPTED, CertificateState.REVIEW)
    },
    **{
        (state, Step.REJECT): CertificateState.REJECTED
        for state in (CertificateState.SUBMITTED, CertificateState.ACCEPTED, CertificateState.REVIEW)
    },
    **{(state, Step.CANCEL): CertificateState.CANCELLED for state in OPEN},
    **{(state, Step.EXPIRE): CertificateState.EXPIRED for state in OPEN},
    **{(state, step): after for state in _ISSUED for step, after in _ENDS.items()},
}
# Total: every step in every state has its answer, and nothing is the answer "no".
TRANSITIONS: Final = total(CertificateState, Step, _MOVES)


def transition(state: CertificateState, step: Step) -> CertificateState:
    """Return the state after a step.

    Raises:
        ConflictError: the step is not possible in this state.
    """
    after = TRANSITIONS[state, step]
    if after is None:
        raise ConflictError(ErrorCode.TRANSITION_REFUSED, f"a certificate that is {state} cannot {step}")
    return after


def needs_notice(asset_class: AssetClass, registration: Registration) -> bool:
    """Tell whether the public is asked before a certificate is issued.

    Not for subject-value certificates: a notice would tell who asks a bank for money. Nor for what only changes or ends
    a certificate that the public was asked about.
    """
    is_new = registration in (Registration.FIRST, Registration.LICENCE, Registration.TRANSFER)
    return is_new and asset_class is not AssetClass.SUBJECT_VALUE


def draw_life() -> str:
    """Return the life of a certificate as a Mermaid diagram, drawn from the table."""
    return draw(TRANSITIONS, begins=CertificateState.DRAFT, ended=ENDED)
