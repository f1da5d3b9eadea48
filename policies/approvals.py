"""The life of an agreement as a total table, and the signatures that it needs (docs/spec/agreement.md, "Life").

Pure: values in, values out. Events may come twice: one that has had its effect changes nothing. A signature counts when
it is over these very terms, by a person who has the duty and works for the right party, who did not propose them,
signs in one duty only, and did not take the duty in an emergency.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from policies.duties import check_account, employers_of
from policies.model import Agreement, terms_digest
from policies.tables import total
from yingbi.errors import ConflictError, ErrorCode, RefusedError
from yingbi.events.fields import Duty
from yingbi.ids import parse_party

__all__ = [
    "TRANSITIONS",
    "Approval",
    "Life",
    "State",
    "Step",
    "approve",
    "begin",
    "counter",
    "draw_life",
    "propose",
    "take",
    "transition",
]


class State(StrEnum):
    """Where an agreement is in its life."""

    DRAFTED = "drafted"
    PROPOSED = "proposed"
    COUNTERED = "countered"
    PARTLY_SIGNED = "partly-signed"
    SIGNED = "signed"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


class Step(StrEnum):
    """What happens to an agreement; a signature is one of two steps, by whether others are still missing."""

    PROPOSE = "propose"
    COUNTER = "counter"
    SIGN = "sign"
    SIGN_LAST = "sign-last"
    ACTIVATE = "activate"
    SUSPEND = "suspend"
    RESUME = "resume"
    REVOKE = "revoke"
    SUPERSEDE = "supersede"
    EXPIRE = "expire"


_MOVES: Final[Mapping[tuple[State, Step], State]] = {
    (State.DRAFTED, Step.PROPOSE): State.PROPOSED,
    (State.PROPOSED, Step.COUNTER): State.COUNTERED,
    (State.COUNTERED, Step.COUNTER): State.COUNTERED,
    (State.PARTLY_SIGNED, Step.COUNTER): State.COUNTERED,
    (State.PROPOSED, Step.SIGN): State.PARTLY_SIGNED,
    (State.COUNTERED, Step.SIGN): State.PARTLY_SIGNED,
    (State.PARTLY_SIGNED, Step.SIGN): State.PARTLY_SIGNED,
    (State.PROPOSED, Step.SIGN_LAST): State.SIGNED,
    (State.COUNTERED, Step.SIGN_LAST): State.SIGNED,
    (State.PARTLY_SIGNED, Step.SIGN_LAST): State.SIGNED,
    (State.SIGNED, Step.ACTIVATE): State.ACTIVE,
    (State.ACTIVE, Step.SUSPEND): State.SUSPENDED,
    (State.SUSPENDED, Step.RESUME): State.ACTIVE,
    (State.PROPOSED, Step.REVOKE): State.REVOKED,
    (State.COUNTERED, Step.REVOKE): State.REVOKED,
    (State.PARTLY_SIGNED, Step.REVOKE): State.REVOKED,
    (State.SIGNED, Step.REVOKE): State.REVOKED,
    (State.ACTIVE, Step.REVOKE): State.REVOKED,
    (State.SUSPENDED, Step.REVOKE): State.REVOKED,
    (State.ACTIVE, Step.SUPERSEDE): State.SUPERSEDED,
    (State.SUSPENDED, Step.SUPERSEDE): State.SUPERSEDED,
    (State.PROPOSED, Step.EXPIRE): State.EXPIRED,
    (State.COUNTERED, Step.EXPIRE): State.EXPIRED,
    (State.PARTLY_SIGNED, Step.EXPIRE): State.EXPIRED,
    (State.SIGNED, Step.EXPIRE): State.EXPIRED,
    (State.ACTIVE, Step.EXPIRE): State.EXPIRED,
    (State.SUSPENDED, Step.EXPIRE): State.EXPIRED,
    # Steps that come again after they have had their effect.
    (State.PROPOSED, Step.PROPOSE): State.PROPOSED,
    (State.SIGNED, Step.SIGN_LAST): State.SIGNED,
    (State.ACTIVE, Step.ACTIVATE): State.ACTIVE,
    (State.ACTIVE, Step.RESUME): State.ACTIVE,
    (State.SUSPENDED, Step.SUSPEND): State.SUSPENDED,
    (State.REVOKED, Step.REVOKE): State.REVOKED,
    (State.SUPERSEDED, Step.SUPERSEDE): State.SUPERSEDED,
    (State.EXPIRED, Step.EXPIRE): State.EXPIRED,
}
# Total: every step in every state has its answer, and nothing is the answer "no".
TRANSITIONS: Final = total(State, Step, _MOVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's signature of terms in one duty.

    `held`: the duties in that person's account when it was made. `is_emergency`: the duty was taken by break-glass.
    """

    terms: str
    person: str
    employer: str
    duty: Duty
    held: frozenset[Duty]
    is_emergency: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """An agreement, where it is in its life, who proposed these terms and who has signed them."""

    agreement: Agreement
    terms: str
    state: State = State.DRAFTED
    proposer: str | None = None
    approvals: tuple[Approval, ...] = ()

    @property
    def missing(self) -> tuple[Duty, ...]:
        """Return the duties in which nobody has signed yet."""
        done = {approval.duty for approval in self.approvals}
        return tuple(duty for duty in self.agreement.approvals.agreement if duty not in done)


def transition(state: State, step: Step) -> State:
    """Return the state after a step.

    Raises:
        ConflictError: the step is not possible in this state.
    """
    after = TRANSITIONS[state, step]
    if after is None:
        raise ConflictError(ErrorCode.TRANSITION_REFUSED, f"an agreement that is {state} cannot {step}")
    return after


def begin(agreement: Agreement) -> Life:
    """Return the life of a draft."""
    return Life(agreement=agreement, terms=terms_digest(agreement))


def propose(life: Life, person: str) -> Life:
    """Propose the draft.

    Raises:
        ConflictError: it is no draft any more, or was proposed by somebody else.
    """
    after = transition(life.state, Step.PROPOSE)
    if life.proposer not in (None, person):
        raise ConflictError(ErrorCode.TRANSITION_REFUSED, "these terms were proposed by somebody else")
    return replace(life, state=after, proposer=person)


def counter(life: Life, agreement: Agreement, person: str) -> Life:
    """Answer with changed terms: all signatures are void, and whoever changed them may not sign them.

    Raises:
        ConflictError: it cannot be changed any more, or the new terms are of another agreement or no later version.
    """
    terms = terms_digest(agreement)
    if terms == life.terms and life.state is State.COUNTERED and person == life.proposer:
        return life
    after = transition(life.state, Step.COUNTER)
    if agreement.id != life.agreement.id or agreement.version <= life.agreement.version:
        raise ConflictError(ErrorCode.TRANSITION_REFUSED, "expected the same agreement in a later version")
    return Life(agreement=agreement, terms=terms, state=after, proposer=person)


def approve(life: Life, approval: Approval) -> Life:
    """Add one signature; the last one that was missing makes the agreement signed.

    Raises:
        ConflictError: it cannot be signed now, is over other terms, or somebody has signed in this duty already.
        RefusedError: this person may not sign, or not in this duty.
    """
    if approval in life.approvals:
        return life
    if approval.terms != life.terms:
        raise ConflictError(ErrorCode.TRANSITION_REFUSED, "the signature is over other terms")
    _check_person(life, approval)
    if approval.duty not in life.missing:
        raise ConflictError(ErrorCode.TRANSITION_REFUSED, f"no signature in the duty `{approval.duty}` is missing")
    step = Step.SIGN_LAST if life.missing == (approval.duty,) else Step.SIGN
    return replace(life, state=transition(life.state, step), approvals=(*life.approvals, approval))


def take(life: Life, step: Step) -> Life:
    """Take a step that is neither a proposal nor a signature.

    Raises:
        ConflictError: it is not possible in this state, or has a function of its own.
    """
    if step in (Step.PROPOSE, Step.COUNTER, Step.SIGN, Step.SIGN_LAST):
        raise ConflictError(ErrorCode.TRANSITION_REFUSED, f"the step `{step}` needs to know who takes it")
    return replace(life, state=transition(life.state, step))


def draw_life() -> str:
    """Return the life of an agreement as a Mermaid diagram, drawn from the table."""
    lines = ["stateDiagram-v2", "    [*] --> drafted"]
    for (state, step), after in TRANSITIONS.items():
        if after is not None and (after is not state or step in (Step.SIGN, Step.COUNTER)):
            lines.append(f"    {_node(state)} --> {_node(after)}: {step}")
    ends = [state for state in State if all(TRANSITIONS[state, step] in (None, state) for step in Step)]
    return "\n".join([*lines, *(f"    {_node(state)} --> [*]" for state in ends)])


def _check_person(life: Life, approval: Approval) -> None:
    if approval.is_emergency:
        raise _refused("a duty taken in an emergency approves nothing", "sign in a duty that is held")
    if approval.duty not in approval.held:
        raise _refused(f"this person does not have the duty `{approval.duty}`")
    check_account(approval.held)
    if approval.person == life.proposer:
        raise _refused("nobody approves his own proposal")
    if any(approval.person == other.person for other in life.approvals):
        raise _refused("one person signs in one duty only")
    if not _is_right_employer(life.agreement, approval):
        raise _refused(f"duty `{approval.duty}` is not for people of this employer")


def _is_right_employer(agreement: Agreement, approval: Approval) -> bool:
    # SECURITY: nobody of the assignee approves for the bureau or for a unit, whatever duty the account shows.
    if approval.duty in (Duty.PARTNER_KEY_OFFICER, Duty.PARTNER_ANALYST):
        return approval.employer == agreement.assignee
    if approval.employer in (agreement.assignee, agreement.intermediary):
        return False
    if approval.duty is Duty.UNIT_CDO and parse_party(agreement.assigner)[0] == "unit":
        return approval.employer == agreement.assigner
    return parse_party(approval.employer)[0] in employers_of(approval.duty)


def _refused(message: str, hint: str = "another person has to sign") -> RefusedError:
    return RefusedError(ErrorCode.DUTIES_NOT_SEPARATED, message, hint=hint)


def _node(state: State) -> str:
    return state.replace("-", "_")
