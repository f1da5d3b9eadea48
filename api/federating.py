"""Federations on their way: begun when all members have joined, run by a coordinator each, ended with their jobs.

One thread looks what is to be done whenever the log has grown; each federation that runs has a thread of its own. What
is to be done follows from the standing alone, so that a hub that starts anew goes on where it was.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Protocol

from api.bureau import Bureau
from api.federation_groups import FederationGroups, Group
from api.federation_store import FederationStore
from api.recording import Recorder
from api.submissions import Submission
from api.worklist import is_over
from federated.flower.grid import Grid
from federated.rounds.coordinator import Coordinator, RoundLimits
from federated.rounds.course import course_of
from policies.federations import ENDED, FederationState
from policies.jobs import JobState
from policies.standing import JobStanding, Rule, Standing, StatementRefusedError
from policies.standing.federations import FederationStanding, Joined
from yingbi.clock import Clock, format_time
from yingbi.commitment import commit
from yingbi.errors import SandboxError
from yingbi.events import EntryType
from yingbi.events.federations import AbortReason
from yingbi.events.jobs import CancellationReason
from yingbi.statement import Statement

__all__ = ["Federating", "FederationWay", "JoinKit"]

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 2.0
_BREAK_S: Final = (1.0, 5.0, 15.0, 60.0)
_CALLED_OFF: Final = frozenset(
    {JobState.SUBMITTED, JobState.APPROVED, JobState.LEASED, JobState.INTERRUPTED, JobState.FAILED}
)

# What a federation that has never begun is, or what others were: none of that changes.
_FINAL: Final = frozenset({Rule.SETS, Rule.STATE, Rule.TERMS})


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinKit:
    """What a node needs to take part: where, as whom, and which app runs are of.

    `address`: `host:port`. `node_id`: Flower's number of the node. `app_keys`: JWKs of whose apps are taken.
    `authority`: PEM of what to trust the server by, where that is not what the hub is trusted by.
    """

    address: str
    node_id: str
    app: str
    app_keys: tuple[Mapping[str, Any], ...]
    authority: str | None


class FederationWay(Protocol):
    """The way to the members of federations: Flower's server, or in process for tests and notebooks."""

    @property
    def app(self) -> str:
        """Return the digest of the app that runs are of."""

    def open(self, federation: str, nodes: Sequence[str]) -> AbstractContextManager[Grid]:
        """Begin or go on with the run of a federation.

        Raises:
            UnavailableError: it cannot be had now.
        """

    def register(self, node: str, public_key: bytes) -> JoinKit:
        """Register a node's key; return what it needs to take part.

        Raises:
            InvalidRequestError: it is no key that could be taken.
            UnavailableError: nobody can be registered now.
        """

    def connected(self) -> Mapping[str, bool]:
        """Return the nodes that are registered, and whether each is connected now.

        Raises:
            UnavailableError: it is not known.
        """


class Federating:
    """Brings federations on. Use it as a context manager.

    Args:
        recorder: the hub's log.
        bureau: signs.
        groups: which federations there are.
        store: what is kept of them.
        way: the way to members.
        clock: the time.
        limits: deadlines of rounds.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        bureau: Bureau,
        groups: FederationGroups,
        store: FederationStore,
        way: FederationWay,
        clock: Clock,
        limits: RoundLimits,
    ) -> None:
        self._recorder = recorder
        self._bureau = bureau
        self._groups = groups
        self._store = store
        self._way = way
        self._clock = clock
        self._limits = limits
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._runs: dict[str, threading.Thread] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._thread = threading.Thread(target=self._watch, name="yingbi-federating", daemon=True)

    def __enter__(self) -> "Federating":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._recorder.changes.notify()
        self._thread.join()
        for thread in list(self._runs.values()):
            thread.join()

    def look(self) -> None:
        """Do what is to be done now: end what cannot go on, begin what is ready, run what runs."""
        standing = self._recorder.standing
        seen = set()
        for job in self._recorder.worklist.open_jobs(standing):
            group = self._groups.of_job(job)
            if group is not None and group.key not in seen:
                seen.add(group.key)
                self._bring_on(group, standing)

    # --- what is to be done ------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._end.is_set():
            seen = self._recorder.changes.count
            try:
                self.look()
            except SandboxError as error:
                _LOG.warning("federations: %s", error.code)
                self._end.wait(_LOOK_S)
            except Exception:
                _LOG.exception("federations could not be looked at")
                self._end.wait(_LOOK_S)
            # Members' times run out without a word, and failures are tried again: it looks now and then as well.
            self._recorder.changes.wait_here(seen, _LOOK_S)

    def _bring_on(self, group: Group, standing: Standing) -> None:
        started = group.started(standing)
        if group.is_taken(standing):
            self._end_for_good(group, None)
        elif started is None or started.state is FederationState.INTERRUPTED:
            if self._is_lost(group, standing):
                self._end_for_good(group, started)
            elif self._joined(group, standing) is not None and self._may_try(group.id):
                self._begin(group, is_new=started is None)
        elif started.state is FederationState.ABORTED:
            self._end_for_good(group, started)
        elif started.state is FederationState.RUNNING or self._is_awaited(started, standing):
            self._run(group)

    def _is_lost(self, group: Group, standing: Standing) -> bool:
        """Tell whether a member job has come to an end, so that the others wait for nothing."""
        return any(is_over(job) for job in group.jobs(standing))

    def _is_awaited(self, started: FederationStanding, standing: Standing) -> bool:
        """Tell whether a member of a completed federation may not have its final state yet."""
        if started.state is not FederationState.COMPLETED:
            return False
        jobs = (standing.jobs.get(member.job) for member in started.members)
        return any(job is not None and job.state is JobState.STARTED for job in jobs)

    def _joined(self, group: Group, standing: Standing) -> list[tuple[JobStanding, Joined]] | None:
        """Return all member jobs with what they joined with in their present attempts, or nothing where one has not.

        After an interruption those are new attempts: nodes that have not heard of it yet are waited for.
        """
        left = group.left(standing)
        if not self._groups.is_agreed(group, standing):
            return None
        found = []
        for job in group.jobs(standing):
            joined = standing.federations.joined(job.id, job.life.attempt)
            if job.state is not JobState.STARTED or joined is None or joined.terms != group.terms:
                return None
            if joined.attempt == left.get(job.id):
                return None
            found.append((job, joined))
        return found

    def _begin(self, group: Group, *, is_new: bool) -> None:
        def then(standing: Standing, at: str) -> Submission:
            joined = self._joined(group, standing)
            if joined is None:
                return Submission()
            question = group.question
            body = {
                "recipe": question.recipe.value,
                "app": self._way.app,
                "terms": group.terms,
                "members": [{"node": one.node, "job": job.id, "attempt": one.attempt} for job, one in joined],
                "quorum": question.quorum,
                "rounds": question.rounds,
                "epsilon": None if question.privacy is None else question.privacy.epsilon,
            }
            statement = self._says(EntryType.FEDERATION_STARTED, group.id, body, at)
            standing.judge(statement, at=at)
            return Submission(statements=(statement,))

        try:
            self._recorder.record(Submission(then=then))
        except StatementRefusedError as error:
            _LOG.warning("%s cannot start: %s: %s", group.id, error.rule.value, error.message)
            if is_new and self._is_final(group, error.rule):
                self._call_off(group, error)
            else:
                # What it relies on does not hold now, and may again.
                self._fail(group.id)

    def _is_final(self, group: Group, rule: Rule) -> bool:
        """Tell whether no time mends why a federation cannot begin."""
        if rule is not Rule.PARTICIPANT:
            return rule in _FINAL
        # Nobody is suspended: then its members are not of different units.
        standing, at = self._recorder.standing, format_time(self._clock.now())
        try:
            for job in group.jobs(standing):
                standing.jobs.check_reliance(job, job.terms, at=at)
        except StatementRefusedError:
            return False
        return True

    def _call_off(self, group: Group, refused: StatementRefusedError) -> None:
        """Call off all jobs of a federation that can never begin; their note says why.

        The log does not have the federation, so nothing of it can be aborted there.
        """
        note = commit({"rule": refused.rule.value, "message": refused.message})

        def then(standing: Standing, at: str) -> Submission:
            over = {"reason": CancellationReason.FEDERATION_ENDED.value, "note": note.commitment}
            jobs = [job for job in group.jobs(standing) if not is_over(job)]
            statements = [self._bureau.state(EntryType.JOB_CANCELLED, job.id, over, at=at) for job in jobs]
            return Submission(statements=tuple(statements), openings=(note,) if statements else ())

        try:
            self._recorder.record(Submission(then=then))
        except StatementRefusedError as error:
            _LOG.warning("%s cannot be called off: %s", group.id, error.rule.value)

    def _end_for_good(self, group: Group, started: FederationStanding | None) -> None:
        """Abort a federation of which a member job is over, and call off the jobs of the others."""

        def then(standing: Standing, at: str) -> Submission:
            statements: list[Statement] = []
            if started is not None and started.state not in ENDED:
                body = {"reason": AbortReason.MEMBER_ENDED.value, "rounds": len(started.completed), "note": None}
                statements.append(self._says(EntryType.FEDERATION_ABORTED, group.id, body, at))
            for job in group.jobs(standing):
                if job.state in _CALLED_OFF and not is_over(job):
                    over = {"reason": CancellationReason.FEDERATION_ENDED.value, "note": None}
                    statements.append(self._bureau.state(EntryType.JOB_CANCELLED, job.id, over, at=at))
            return Submission(statements=tuple(statements))

        try:
            self._recorder.record(Submission(then=then))
        except StatementRefusedError as error:
            _LOG.warning("%s cannot be ended: %s", group.id, error.rule)

    def _says(self, kind: EntryType, name: str, body: Mapping[str, object], at: str) -> Statement:
        return self._bureau.state(kind, name, body, at=at, subject=[(name, None)])

    # --- runs --------------------------------------------------------------------------------------------------------

    def _run(self, group: Group) -> None:
        """Give a federation a thread, unless it has one, or has failed a moment ago."""
        with self._lock:
            thread = self._runs.get(group.id)
            if (thread is not None and thread.is_alive()) or not self._may_try(group.id):
                return
            thread = threading.Thread(target=self._coordinate, args=(group,), name=f"yingbi-{group.id}", daemon=True)
            self._runs[group.id] = thread
        thread.start()

    def _coordinate(self, group: Group) -> None:
        coordinator = Coordinator(
            group.id,
            course_of(group.question),
            recording=_Recording(self._recorder),
            says=self._says,
            store=self._store,
            clock=self._clock,
            limits=self._limits,
            on_change=self._recorder.changes.notify,
            is_ending=self._end.is_set,
        )
        try:
            with self._way.open(group.id, [member.node for member in group.question.members]) as grid:
                coordinator.run(grid)
            self._failures.pop(group.id, None)
        except SandboxError as error:
            _LOG.warning("%s: %s: %s", group.id, error.code, error.message)
            self._fail(group.id)
        except Exception:
            _LOG.exception("%s failed", group.id)
            self._fail(group.id)

    def _may_try(self, federation: str) -> bool:
        return monotonic() >= self._failures.get(federation, (0, 0.0))[1]

    def _fail(self, federation: str) -> None:
        count = self._failures.get(federation, (0, 0.0))[0]
        self._failures[federation] = (count + 1, monotonic() + _BREAK_S[min(count, len(_BREAK_S) - 1)])


class _Recording:
    """The recorder, as a coordinator uses it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @property
    def standing(self) -> Standing:
        return self._recorder.standing

    def record(self, make: Callable[[Standing, str], Sequence[Statement]]) -> Sequence[int]:
        recorded = self._recorder.record(
            Submission(then=lambda standing, at: Submission(statements=tuple(make(standing, at))))
        )
        return [entry.index for entry in recorded.entries]
