"""The coordinator: opens rounds, sums what comes, closes them, and ends a federation in a true state.

What it does next follows from the log and from its store, never from memory: a process that dies anywhere goes on. It
keeps what came for an attempt before it has the attempt recorded as completed. It decides nothing: whether a round may
begin is judged by the standing, like everything that is recorded, and members believe none of its words.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic, sleep
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from federated.flower.grid import Arrived, Grid, Lost
from federated.horizontal.state import State
from federated.rounds.chain import ClosedRound, Course, Step, check_step, take_step
from federated.rounds.figures import figures_of
from federated.rounds.messages import Ask, RoundRequest, parse_reply, write_request
from federated.secure_sum import vector_digest
from policies.federations import MAX_ATTEMPTS, Attempt, FederationState
from policies.jobs import JobState
from policies.standing import Rule, Standing, StatementRefusedError
from policies.standing.federations import FederationStanding
from yingbi.clock import Clock, format_time, parse_time
from yingbi.errors import ErrorCode, SandboxError
from yingbi.events import EntryType
from yingbi.events.federations import AbortReason, FederationInterruption
from yingbi.statement import Statement

__all__ = ["Coordinator", "CoordinatorStore", "Recording", "RoundFigures", "RoundKept", "RoundLimits", "Says"]

_LOG: Final = logging.getLogger(__name__)
_PAUSE_S: Final = 0.2

Vectors = Mapping[str, NDArray[np.uint64]]
Says = Callable[[EntryType, str, Mapping[str, object], str], Statement]
"""Signs as the bureau: type, federation, body, time."""

_REASONS: Final[Mapping[Rule, FederationInterruption]] = {
    Rule.AGREEMENT: FederationInterruption.AGREEMENT_SUSPENDED,
    Rule.FROZEN: FederationInterruption.FROZEN,
    Rule.PARTICIPANT: FederationInterruption.PARTICIPANT_SUSPENDED,
}


class Recording(Protocol):
    """The hub's log, as a coordinator writes it."""

    @property
    def standing(self) -> Standing:
        """Return what stands now."""

    def record(self, make: Callable[[Standing, str], Sequence[Statement]]) -> Sequence[int]:
        """Record what `make` says at the time of the entries, all or nothing; return their indexes.

        Raises:
            StatementRefusedError: it does not fit what stands.
            UnavailableError: not recorded, or not known.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundKept:
    """A state, and the round that left it (0: the first input)."""

    round: int
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFigures:
    """How a completed round went; `figures` are decimal texts by name, of what everybody may see."""

    round: int
    began_at: str
    ended_at: str
    figures: Mapping[str, str]


class CoordinatorStore(Protocol):
    """What a coordinator keeps besides the log: states, and all masked contributions, which are evidence."""

    def state(self, federation: str) -> RoundKept | None:
        """Return the newest state."""

    def put_state(self, federation: str, kept: RoundKept) -> None:
        """Keep a state in place of the one before it."""

    def vectors(self, federation: str, number: int, attempt: int) -> Vectors:
        """Return what came for an attempt."""

    def put_vector(self, federation: str, number: int, attempt: int, node: str, vector: NDArray[np.uint64]) -> None:
        """Keep what came from a node; the same twice is kept once."""

    def note_round(self, federation: str, figures: RoundFigures) -> None:
        """Keep how a round went, for people; the first word stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundLimits:
    """How long an attempt of a round may take, and how often a round is begun."""

    deadline: timedelta = timedelta(seconds=120)
    attempts: int = 3


class Coordinator:
    """Runs one federation over a grid.

    Args:
        name: its id.
        course: what it computes.
        recording: the log.
        says: signs as the bureau.
        store: what is kept.
        clock: the time.
        limits: deadlines.
        on_change: called when something changed that people look at.
        is_ending: tells whether this process is being stopped; a round that is open then is left as it is.
    """

    def __init__(
        self,
        name: str,
        course: Course,
        *,
        recording: Recording,
        says: Says,
        store: CoordinatorStore,
        clock: Clock,
        limits: RoundLimits,
        on_change: Callable[[], None],
        is_ending: Callable[[], bool],
    ) -> None:
        self._name = name
        self._course = course
        self._recording = recording
        self._says = says
        self._store = store
        self._clock = clock
        self._limits = limits
        self._on_change = on_change
        self._is_ending = is_ending
        self._tries: Counter[int] = Counter()
        self._lost: frozenset[str] = frozenset()
        self._missed_since: float | None = None

    def run(self, grid: Grid) -> None:
        """Take the federation as far as it goes now: to its end, to an interruption, or to the end of this process.

        Raises:
            SandboxError: log, store or grid cannot be used now; to be called again.
        """
        while not self._is_ending():
            federation = self._recording.standing.federations.get(self._name)
            if federation is None or federation.state is not FederationState.RUNNING:
                if federation is not None and federation.state is FederationState.COMPLETED:
                    self._tell_end(federation, grid)
                return
            kept = self._kept(federation)
            attempt = federation.attempt
            if attempt is not None:
                self._close(federation, attempt, kept, self._store.vectors(self._name, attempt.round, attempt.number))
            elif kept.state.phase == "done":
                self._complete(kept)
            elif not self._is_worth_trying(grid, federation):
                # Members come and go; what stops a federation meanwhile is seen at the next turn.
                sleep(_PAUSE_S)
                continue
            elif self._open(federation, kept):
                self._exchange(grid, kept)
            self._on_change()

    def _kept(self, federation: FederationStanding) -> RoundKept:
        """Return the state that the last completed round left; one that was recorded and not kept is made again."""
        kept = self._store.state(self._name) or RoundKept(round=0, state=self._course.start())
        if kept.round == len(federation.completed):
            return kept
        last = federation.completed[-1]
        closed = ClosedRound(
            round=last.number,
            contributions=federation.life.contributions,
            aggregate=last.aggregate,
            state=last.state,
        )
        state = check_step(self._course, kept.state, closed, self._given(federation))
        after = RoundKept(round=last.number, state=state)
        self._store.put_state(self._name, after)
        return after

    def _is_worth_trying(self, grid: Grid, federation: FederationStanding) -> bool:
        """Tell whether all members that are needed are there, or were waited for long enough, or can be no more."""
        if self._participants(federation) <= grid.online():
            self._missed_since = None
            return True
        if self._missed_since is None:
            self._missed_since = monotonic()
        is_over = monotonic() - self._missed_since > self._limits.deadline.total_seconds()
        jobs = (self._recording.standing.jobs.get(member.job) for member in federation.members)
        return is_over or any(job is None or job.state is not JobState.STARTED for job in jobs)

    # --- one attempt -------------------------------------------------------------------------------------------------

    def _open(self, federation: FederationStanding, kept: RoundKept) -> bool:
        """Open the next attempt, or say why there is none; tell whether it is open."""
        if federation.life.attempts >= MAX_ATTEMPTS:
            self._abort(AbortReason.QUORUM_LOST)
            return False
        if self._tries[kept.round] >= self._limits.attempts:
            self._interrupt(FederationInterruption.QUORUM_LOST)
            return False
        self._tries[kept.round] += 1
        try:
            self._recording.record(lambda standing, at: [self._round_started(standing, kept, at)])
        except StatementRefusedError as error:
            self._interrupt(self._reason(federation, error.rule))
            return False
        return True

    def _reason(self, federation: FederationStanding, rule: Rule) -> FederationInterruption:
        """Return why no round can start. A member that has stopped by itself did so for one of the same reasons."""
        standing, at = self._recording.standing, format_time(self._clock.now())
        if rule in _REASONS:
            return _REASONS[rule]
        for job in (standing.jobs.get(member.job) for member in federation.members):
            try:
                if job is not None:
                    standing.jobs.check_reliance(job, job.terms, at=at)
            except StatementRefusedError as error:
                if error.rule in _REASONS:
                    return _REASONS[error.rule]
        return FederationInterruption.MEMBER_INTERRUPTED

    def _round_started(self, standing: Standing, kept: RoundKept, at: str) -> Statement:
        federation = standing.federations.get(self._name)
        if federation is None:
            raise StatementRefusedError(Rule.STATE, "expected a federation that was started")
        body = {
            "round": kept.round + 1,
            "attempt": federation.life.attempts + 1,
            "participants": sorted(self._participants(federation)),
            "round_input": kept.state.digest(),
            "expires_at": format_time(parse_time(at) + self._limits.deadline),
        }
        return self._says(EntryType.FEDERATION_ROUND_STARTED, self._name, body, at)

    def _participants(self, federation: FederationStanding) -> set[str]:
        """Return who is asked: all in exact mode; in private mode those who were not lost, where they are enough."""
        present = set(federation.life.present)
        left = present - self._lost
        is_enough = not federation.life.is_exact and len(left) >= federation.started.quorum
        return left if is_enough else present

    def _exchange(self, grid: Grid, kept: RoundKept) -> None:
        """Ask all participants of the open attempt, and close it with what came in time."""
        federation = self._running()
        attempt = federation.attempt
        if attempt is None:
            return
        request = RoundRequest(
            ask=Ask.CONTRIBUTE,
            federation=self._name,
            round=attempt.round,
            attempt=attempt.number,
            entry=attempt.started or 0,
            given=self._given(federation),
        )
        content = write_request(request)
        left = (parse_time(attempt.expires_at) - self._clock.now()).total_seconds()
        came: dict[str, NDArray[np.uint64]] = {}
        self._lost = frozenset()
        for outcome in grid.exchange(dict.fromkeys(attempt.participants, content), deadline_s=max(left, 0.1)):
            vector = self._take(outcome, attempt)
            if vector is not None:
                came[outcome.party] = vector
        self._lost = frozenset(attempt.participants) - came.keys()
        if not self._is_ending() or len(came) == len(attempt.participants):
            self._close(self._running(), attempt, kept, came)

    def _take(self, outcome: Arrived | Lost, attempt: Attempt) -> NDArray[np.uint64] | None:
        """Return a participant's vector, kept, where it is the one that the log names; else nothing."""
        if isinstance(outcome, Lost):
            told = outcome.reason.value if outcome.code is None else f"{outcome.reason.value}: {outcome.code.value}"
            _LOG.warning("%s round %d: %s is lost: %s", self._name, attempt.round, outcome.party, told)
            return None
        try:
            vector = parse_reply(outcome.content).vector
        except SandboxError as error:
            _LOG.warning("%s round %d: %s: %s", self._name, attempt.round, outcome.party, error.code)
            return None
        open_now = self._running().attempt
        wanted = None if open_now is None else open_now.contributions.get(outcome.party)
        if vector is None or wanted is None or vector_digest(vector) != wanted:
            _LOG.warning("%s round %d: %s sent what the log does not name", self._name, attempt.round, outcome.party)
            return None
        self._store.put_vector(self._name, attempt.round, attempt.number, outcome.party, vector)
        self._on_change()
        return vector

    def _close(self, federation: FederationStanding, attempt: Attempt, kept: RoundKept, came: Vectors) -> None:
        """Close the open attempt: with the sum where all have given, else as given up."""
        open_now = federation.attempt
        if open_now is None or open_now.started != attempt.started:
            return  # somebody stopped it meanwhile
        step: Step | None = None
        if set(came) == set(attempt.participants) == set(open_now.contributions):
            try:
                step = take_step(self._course, kept.state, came)
            except SandboxError as error:
                _LOG.error("%s round %d cannot be summed: %s", self._name, attempt.round, error.code)
                self._abort(AbortReason.REPLY_REFUSED)
                return
        body = {
            "round": attempt.round,
            "attempt": attempt.number,
            "contributions": [
                {"party": node, "digest": open_now.contributions[node]} for node in sorted(open_now.contributions)
            ],
            "aggregate": None if step is None else step.aggregate,
            "state": None if step is None else step.state.digest(),
        }
        self._recording.record(lambda _, at: [self._says(EntryType.FEDERATION_ROUND_COMPLETED, self._name, body, at)])
        if step is not None:
            self._store.put_state(self._name, RoundKept(round=attempt.round, state=step.state))
            figures = RoundFigures(
                round=attempt.round,
                began_at=format_time(parse_time(attempt.expires_at) - self._limits.deadline),
                ended_at=format_time(self._clock.now()),
                figures=figures_of(step.state),
            )
            self._store.note_round(self._name, figures)

    def _given(self, federation: FederationStanding) -> Vectors:
        """Return the contributions of the last completed round."""
        if not federation.completed:
            return {}
        last = federation.completed[-1]
        return self._store.vectors(self._name, last.number, last.attempt)

    # --- ends --------------------------------------------------------------------------------------------------------

    def _complete(self, kept: RoundKept) -> None:
        def make(standing: Standing, at: str) -> Sequence[Statement]:
            federation = standing.federations.get(self._name)
            if federation is None or not federation.completed:
                raise StatementRefusedError(Rule.STATE, "expected a federation with a completed round")
            body = {
                "rounds": kept.round,
                "participants": list(federation.completed[-1].participants),
                "result": kept.state.digest(),
                "rho": self._course.spent(kept.round),
            }
            return [self._says(EntryType.FEDERATION_COMPLETED, self._name, body, at)]

        self._recording.record(make)

    def _tell_end(self, federation: FederationStanding, grid: Grid) -> None:
        """Give who waits for it the last contributions, from which each makes the final state."""
        last = federation.completed[-1]
        request = RoundRequest(
            ask=Ask.FINISH,
            federation=self._name,
            round=last.number,
            attempt=last.attempt,
            entry=federation.entries[-1],
            given=self._given(federation),
        )
        content = write_request(request)
        jobs = self._recording.standing.jobs
        states = {one.node: job.state for one in federation.members if (job := jobs.get(one.job)) is not None}
        waiting = {node for node in last.participants if states.get(node) is JobState.STARTED}
        tries = 0
        while waiting and not self._is_ending() and tries < self._limits.attempts:
            deadline_s = self._limits.deadline.total_seconds()
            for outcome in grid.exchange(dict.fromkeys(waiting, content), deadline_s=deadline_s):
                if isinstance(outcome, Arrived):
                    waiting.discard(outcome.party)
            tries += 1

    def _interrupt(self, reason: FederationInterruption) -> None:
        def make(standing: Standing, at: str) -> Sequence[Statement]:
            federation = standing.federations.get(self._name)
            rounds = 0 if federation is None else len(federation.completed)
            body = {"reason": reason.value, "rounds": rounds}
            return [self._says(EntryType.FEDERATION_INTERRUPTED, self._name, body, at)]

        self._recording.record(make)

    def _abort(self, reason: AbortReason) -> None:
        def make(standing: Standing, at: str) -> Sequence[Statement]:
            federation = standing.federations.get(self._name)
            rounds = 0 if federation is None else len(federation.completed)
            body = {"reason": reason.value, "rounds": rounds, "note": None}
            return [self._says(EntryType.FEDERATION_ABORTED, self._name, body, at)]

        self._recording.record(make)

    def _running(self) -> FederationStanding:
        found = self._recording.standing.federations.get(self._name)
        if found is None:
            raise SandboxError(ErrorCode.INTERNAL, "a federation that was started is gone")
        return found
