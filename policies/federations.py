"""The life of a federation as a total table over the entries that record it (docs/spec/federation.md, "Entries").

Pure: a life and an entry go in, a life comes out; hub, node and auditor follow the same entries with it. What a table
cannot say, that rounds and attempts follow each other, who takes part in them and what they leave, is below it. Who may
sign an entry, and what member jobs rely on, is not judged here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel

from policies.disclosure import MIN_CONTRIBUTORS
from policies.tables import draw, total
from yingbi.errors import ConflictError, ErrorCode
from yingbi.events import EntryType
from yingbi.events.federations import (
    FederationAborted,
    FederationCompleted,
    FederationContributed,
    FederationInterrupted,
    FederationRoundCompleted,
    FederationRoundStarted,
    FederationStarted,
)

__all__ = [
    "ENDED",
    "MAX_ATTEMPTS",
    "STEPS",
    "TRANSITIONS",
    "Attempt",
    "FederationLife",
    "FederationState",
    "Round",
    "begin",
    "draw_federation",
    "follow",
]

MAX_ATTEMPTS: Final = 8
"""How often one round is tried, interruptions included."""


class FederationState(StrEnum):
    """Where a federation is in its life."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    ABORTED = "aborted"


STEPS: Final = (
    EntryType.FEDERATION_STARTED,
    EntryType.FEDERATION_ROUND_STARTED,
    EntryType.FEDERATION_CONTRIBUTED,
    EntryType.FEDERATION_ROUND_COMPLETED,
    EntryType.FEDERATION_INTERRUPTED,
    EntryType.FEDERATION_COMPLETED,
    EntryType.FEDERATION_ABORTED,
)
"""The entries that move a federation; its members join it before, and the first `federation.started` begins it."""

ENDED: Final = frozenset({FederationState.COMPLETED, FederationState.ABORTED})
"""States that nothing leads out of."""

_MOVES: Final[Mapping[tuple[FederationState, EntryType], FederationState]] = {
    (FederationState.RUNNING, EntryType.FEDERATION_ROUND_STARTED): FederationState.RUNNING,
    (FederationState.RUNNING, EntryType.FEDERATION_CONTRIBUTED): FederationState.RUNNING,
    (FederationState.RUNNING, EntryType.FEDERATION_ROUND_COMPLETED): FederationState.RUNNING,
    (FederationState.RUNNING, EntryType.FEDERATION_INTERRUPTED): FederationState.INTERRUPTED,
    (FederationState.RUNNING, EntryType.FEDERATION_COMPLETED): FederationState.COMPLETED,
    (FederationState.RUNNING, EntryType.FEDERATION_ABORTED): FederationState.ABORTED,
    (FederationState.INTERRUPTED, EntryType.FEDERATION_STARTED): FederationState.RUNNING,
    (FederationState.INTERRUPTED, EntryType.FEDERATION_ABORTED): FederationState.ABORTED,
}
# Total: every entry in every state has its answer, and nothing is the answer "no".
TRANSITIONS: Final = total(FederationState, STEPS, _MOVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt at a round that is open.

    `contributions`: the digest of what came, by node. `started`: the index of the entry that opened it, which the masks
    of the secure sum are bound to.
    """

    round: int
    number: int
    participants: tuple[str, ...]
    round_input: str
    expires_at: str
    contributions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    started: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A round that is completed: the attempt that did, who took part, the digests of the sum and of the next state."""

    number: int
    attempt: int
    participants: tuple[str, ...]
    aggregate: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationLife:
    """Where a federation is, and what later entries must agree with.

    `started`: what was said when it last began or went on. `contributions`: of the last completed round, by node; those
    of older ones are not kept. `attempts`: how many there were at the round that is next. `present`: who may take part
    in the next attempt.
    """

    started: FederationStarted
    state: FederationState = FederationState.RUNNING
    completed: tuple[Round, ...] = ()
    contributions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    attempts: int = 0
    present: tuple[str, ...]
    open: Attempt | None = None

    @property
    def is_exact(self) -> bool:
        """Tell whether nothing but the sum hides what a member gives."""
        return self.started.epsilon is None

    @property
    def result(self) -> str | None:
        """Return the digest of the state that the last completed round left, or nothing before the first."""
        return self.completed[-1].state if self.completed else None


def begin(body: FederationStarted) -> FederationLife:
    """Return the life of a federation that begins.

    Raises:
        ConflictError: it has too few members, or a quorum that it may not have.
    """
    size = len(body.members)
    if not MIN_CONTRIBUTORS <= body.quorum <= size:
        raise _refused(f"expected a quorum from {MIN_CONTRIBUTORS} to the number of members")
    # SECURITY: in exact mode a sum without one member, beside one with it, would be that member's part.
    if body.epsilon is None and body.quorum != size:
        raise _refused("in exact mode all members are the quorum")
    return FederationLife(started=body, present=tuple(item.node for item in body.members))


def follow(life: FederationLife, step: EntryType, body: BaseModel, *, at: str) -> FederationLife:
    """Return the life after an entry that was recorded at a time.

    Cost: O(members), whatever the number of rounds; a completed round copies as many pointers as there are rounds.

    Raises:
        ConflictError: it is not possible in this state, is of another round or attempt, by somebody who takes no part
            in it, or comes twice or too late.
    """
    after = TRANSITIONS[life.state, step]
    if after is None:
        raise _refused(f"a federation that is {life.state} cannot take `{step}`")
    moved = replace(life, state=after)
    match body:
        case FederationStarted():
            return _go_on(moved, body)
        case FederationRoundStarted():
            return _open_round(moved, body, at)
        case FederationContributed():
            return _contribute(moved, body, at)
        case FederationRoundCompleted():
            return _close_round(moved, body)
        case FederationInterrupted() | FederationAborted():
            _check_rounds(life, body.rounds)
            # What is open is given up: it was counted, and the next attempt bears the next number.
            return replace(moved, open=None)
        case FederationCompleted():
            _check_result(life, body)
        case _:
            raise _refused(f"expected the body of `{step}`")
    return moved


def draw_federation() -> str:
    """Return the life of a federation as a Mermaid diagram, drawn from the table."""
    return draw(TRANSITIONS, begins=f"{FederationState.RUNNING}: {EntryType.FEDERATION_STARTED}", ended=ENDED)


def _go_on(moved: FederationLife, body: FederationStarted) -> FederationLife:
    if _fixed(body) != _fixed(moved.started):
        raise _refused("a federation goes on as it began, with the same members")
    return replace(moved, started=body)


def _fixed(body: FederationStarted) -> tuple[object, ...]:
    """Return what stays the same for the whole life: everything but the attempts of the members' jobs."""
    jobs = [(item.node, item.job) for item in body.members]
    return (body.recipe, body.app, body.terms, body.quorum, body.rounds, body.epsilon, jobs)


def _open_round(moved: FederationLife, body: FederationRoundStarted, at: str) -> FederationLife:
    # INVARIANT: one attempt is open at a time.
    if moved.open is not None:
        raise _refused("an attempt is open already")
    if body.round != len(moved.completed) + 1 or body.round > moved.started.rounds:
        raise _refused("expected the round after the last one, and no more rounds than were said")
    if body.attempt != moved.attempts + 1 or body.attempt > MAX_ATTEMPTS:
        raise _refused(f"expected the next attempt, of {MAX_ATTEMPTS} at most")
    if moved.result is not None and body.round_input != moved.result:
        raise _refused("expected the state that the last round left")
    if body.expires_at <= at:
        raise _refused("the attempt is over before it begins")
    participants = tuple(body.participants)
    _check_participants(moved, participants)
    attempt = Attempt(
        round=body.round,
        number=body.attempt,
        participants=participants,
        round_input=body.round_input,
        expires_at=body.expires_at,
    )
    return replace(moved, open=attempt, attempts=body.attempt, present=participants)


def _check_participants(life: FederationLife, participants: tuple[str, ...]) -> None:
    # SECURITY: whoever was left out once never comes back, so that no two sums differ to and fro by one member.
    if not set(participants) <= set(life.present) or len(participants) < life.started.quorum:
        raise _refused("expected a quorum of those who took part in the attempt before")


def _contribute(moved: FederationLife, body: FederationContributed, at: str) -> FederationLife:
    found = moved.open
    if found is None or (body.round, body.attempt) != (found.round, found.number):
        raise _refused("expected a contribution to the attempt that is open")
    node = next((item.node for item in moved.started.members if item.job == body.job), None)
    if node is None or node not in found.participants:
        raise _refused("expected a contribution of one who takes part in this attempt")
    # INVARIANT: each participant gives once; what is there is never replaced.
    if node in found.contributions:
        raise _refused("this participant has contributed already")
    if body.round_input != found.round_input:
        raise _refused("expected a contribution on the state that this attempt is about")
    if at > found.expires_at:
        raise _refused("the attempt's time is over")
    _check_mode(moved, body.rho)
    contributions = MappingProxyType({**found.contributions, node: body.contribution})
    return replace(moved, open=replace(found, contributions=contributions))


def _close_round(moved: FederationLife, body: FederationRoundCompleted) -> FederationLife:
    found = moved.open
    if found is None or (body.round, body.attempt) != (found.round, found.number):
        raise _refused("expected the end of the attempt that is open")
    if {item.party: item.digest for item in body.contributions} != found.contributions:
        raise _refused("expected the contributions that were recorded, and no others")
    if body.aggregate is None or body.state is None:
        return replace(moved, open=None)
    # INVARIANT: a sum is of all who took part.
    if set(found.contributions) != set(found.participants):
        raise _refused("expected a contribution of everybody who takes part")
    done = Round(
        number=found.round,
        attempt=found.number,
        participants=found.participants,
        aggregate=body.aggregate,
        state=body.state,
    )
    return replace(moved, completed=(*moved.completed, done), contributions=found.contributions, attempts=0, open=None)


def _check_result(life: FederationLife, body: FederationCompleted) -> None:
    if life.open is not None or not life.completed:
        raise _refused("expected a completed round, and no attempt that is open")
    _check_rounds(life, body.rounds)
    if body.result != life.result or tuple(body.participants) != life.completed[-1].participants:
        raise _refused("expected the state that the last round left, and who took part in it")
    _check_mode(life, body.rho)


def _check_rounds(life: FederationLife, rounds: int) -> None:
    if rounds != len(life.completed):
        raise _refused(f"expected {len(life.completed)} completed rounds")


def _check_mode(life: FederationLife, rho: str | None) -> None:
    if (rho is None) is not life.is_exact:
        raise _refused("expected what was spent in private mode, and nothing in exact mode")


def _refused(message: str) -> ConflictError:
    return ConflictError(ErrorCode.TRANSITION_REFUSED, message)
