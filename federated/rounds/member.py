"""A node's part in federations: it joins, answers rounds, and knows the final model because it has computed it itself.

SECURITY: no message is believed. What is asked is held against the log that the node follows; what was given against
the digests that its givers recorded; the input of a round is what the node itself makes of it. What leaves is a vector
under masks that only all members together cancel, after its digest is in the log, and while the attempt is open there.

One round at a time a federation; a process that dies anywhere goes on from its store, computes nothing twice and spends
nothing twice.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from federated.content import Content
from federated.horizontal.state import State
from federated.rounds.chain import ClosedRound, Course, check_step
from federated.rounds.member_store import Computed, Joined, MemberStore
from federated.rounds.messages import Ask, Reply, RoundRequest, parse_request, write_reply
from federated.secure_sum import mask, vector_digest
from policies.federations import Attempt, FederationState
from policies.jobs import JobState
from policies.standing.federations import FederationStanding
from sandbox.node.following import Follower
from sandbox.node.hub_client import parse_lease
from sandbox.node.journal import Journal
from sandbox.node.recording import Recorder
from sandbox.node.statements import Made, StatementMaker
from sandbox.node.verifying import JobVerifier, VerifiedJob
from yingbi.canonical import canonical_bytes
from yingbi.clock import Clock, format_time
from yingbi.errors import ErrorCode, NotFoundError, RefusedError
from yingbi.key_files import decode_base64url, encode_base64url

__all__ = ["Compute", "Contribution", "Member", "MemberRun"]

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRun:
    """One of this node's federations: the verified job, the course, and the attempt that joined."""

    found: VerifiedJob
    course: Course
    joined: Joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What a node has to give to a round: fixed point, with its noise where the job is private, and what that spent."""

    vector: NDArray[np.uint64]
    rho: str | None


class Compute(Protocol):
    """How a node computes its contribution: debit, cage, guard, noise (`federated.rounds.contribution`)."""

    def __call__(self, run: MemberRun, number: int, state: State) -> Contribution:
        """Return the node's contribution to round `number`, whose input is `state`.

        Raises:
            SandboxError: nothing was computed, or what was computed may not leave.
        """


class Member:
    """A node's member. Thread-safe.

    Args:
        node: its party.
        app: the digest of the app that this node runs.
        follower: the node's followed log.
        verifier: describes jobs by it.
        recorder: has statements recorded.
        journal: knows the lease of each job.
        maker: makes statements.
        store: what is kept.
        course: makes the course of a verified job.
        compute: computes contributions.
        clock: the time.
    """

    def __init__(
        self,
        *,
        node: str,
        app: str,
        follower: Follower,
        verifier: JobVerifier,
        recorder: Recorder,
        journal: Journal,
        maker: StatementMaker,
        store: MemberStore,
        course: Callable[[VerifiedJob], Course],
        compute: Compute,
        clock: Clock,
    ) -> None:
        self._node = node
        self._app = app
        self._follower = follower
        self._verifier = verifier
        self._recorder = recorder
        self._journal = journal
        self._maker = maker
        self._store = store
        self._course = course
        self._compute = compute
        self._clock = clock
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    # --- before the first round --------------------------------------------------------------------------------------

    def join(self, found: VerifiedJob, *, federation: str, terms: str) -> Made:
        """Return the statement with which this attempt of a job joins; its key is made once and kept."""
        key = X25519PrivateKey.generate()
        joined = self._store.join(
            Joined(
                job=found.job,
                attempt=found.attempt,
                federation=federation,
                public_key=key.public_key().public_bytes_raw(),
                private_key=key.private_bytes_raw(),
            )
        )
        public = encode_base64url(joined.public_key)
        return self._maker.joined(federation, job=found.job, attempt=found.attempt, terms=terms, key=public)

    # --- rounds ------------------------------------------------------------------------------------------------------

    def handle(self, content: Content, *, app: str) -> Content:
        """Answer one message of a coordinator; `app` is the digest of the app that its run is of.

        Raises:
            SandboxError: it is refused (`round-refused`), or cannot be answered now.
        """
        request = parse_request(content)
        if app != self._app:
            raise _refused("the run is of another app than the one that this node runs")
        with self._locks[request.federation]:
            self._follow_to(request.entry)
            run, federation = self._find(request.federation, app)
            if request.ask is Ask.FINISH:
                self._finish(run, federation, request)
                return write_reply(Reply(vector=None, entry=None))
            return write_reply(self._contribute(run, federation, request))

    def final_state(self, federation: str) -> State | None:
        """Return the state that a completed federation ended with, once this node has verified it, or nothing."""
        standing = self._standing(federation)
        if standing is None or standing.state is not FederationState.COMPLETED:
            return None
        mine = next((one.job for one in standing.members if one.node == self._node), None)
        kept = None if mine is None else self._store.state(mine)
        if kept is None:
            return None
        return kept[1] if kept[1].digest() == standing.life.result else None

    def forget(self, job: str, *, with_state: bool) -> None:
        """Erase the keys of a job; with its state and all that was computed where the job is over for good."""
        self._store.forget(job, with_state=with_state)

    def _follow_to(self, entry: int) -> None:
        # The agent follows too; what it is reading is waited for.
        with self._follower.lock:
            if self._follower.head.size <= entry:
                self._follower.follow()
            if self._follower.head.size <= entry:
                raise _refused("the entry that opens this round is not in the log that can be had here")
            self._follower.require_current()

    def _standing(self, federation: str) -> FederationStanding | None:
        with self._follower.lock:
            self._follower.require_sound()
            return self._follower.standing.federations.get(federation)

    def _find(self, name: str, app: str) -> tuple[MemberRun, FederationStanding]:
        standing = self._standing(name)
        # SECURITY: which of this node's jobs it is says the log; whoever asks chooses ids of federations freely.
        mine = None if standing is None else next((one for one in standing.members if one.node == self._node), None)
        joined = None if mine is None else self._store.find(mine.job, mine.attempt)
        if standing is None or joined is None or joined.federation != name:
            raise _refused("this node takes no part in a federation of this id, or not with this attempt of its job")
        if standing.started.app != app:
            raise _refused("the federation was started with another app")
        try:
            lease = parse_lease(self._journal.get(joined.job).lease)
        except NotFoundError:
            raise _refused("this node has no lease of the federation's job") from None
        found = self._verifier.describe(lease, JobState.STARTED)
        return MemberRun(found=found, course=self._course(found), joined=joined), standing

    def _contribute(self, run: MemberRun, federation: FederationStanding, request: RoundRequest) -> Reply:
        attempt = self._check_open(federation, request)
        state = self._input(run, federation, request)
        if state.digest() != attempt.round_input:
            raise _refused("the round's input is not the state that this node has computed")
        self._check_stop(run)
        computed = self._computed(run, request.round, state)
        # SECURITY: computing and recording take their time; what was stopped meanwhile does not leave either.
        self._check_stop(run)
        masked = self._mask(run, federation, attempt, computed.vector)
        entry = self._record(run, federation, attempt, masked, rho=computed.rho)
        # SECURITY: a vector leaves only while its attempt is open in the log that this node follows; one that was given
        # up is summed with nobody's, and two attempts' sums would differ by one member.
        self._check_open(self._again(federation.id), request)
        self._check_stop(run)
        return Reply(vector=masked, entry=entry)

    def _check_open(self, federation: FederationStanding, request: RoundRequest) -> Attempt:
        attempt = federation.attempt
        asked = (request.round, request.attempt, request.entry)
        if attempt is None or (attempt.round, attempt.number, attempt.started) != asked:
            raise _refused("by the log, another attempt is open, or none")
        if self._node not in attempt.participants:
            raise _refused("this node takes no part in the attempt")
        if format_time(self._clock.now()) >= attempt.expires_at:
            raise _refused("the attempt's time is over")
        return attempt

    def _check_stop(self, run: MemberRun) -> None:
        stop = self._verifier.find_stop(run.found)
        if stop is not None:
            raise _refused(f"the job must stop: {stop}")

    def _again(self, federation: str) -> FederationStanding:
        found = self._standing(federation)
        if found is None:
            raise _refused("this node takes no part in a federation of this id")
        return found

    def _input(self, run: MemberRun, federation: FederationStanding, request: RoundRequest) -> State:
        """Return the state that a round begins with: this node's own, one verified step on where that is needed."""
        kept = self._store.state(run.found.job)
        number, state = (0, run.course.start()) if kept is None else kept
        if number == request.round - 1:
            return state
        last = federation.completed[-1] if federation.completed else None
        if number != request.round - 2 or last is None or last.number != request.round - 1:
            raise _refused("this node has not seen the rounds before this one")
        closed = ClosedRound(
            round=last.number,
            contributions=federation.life.contributions,
            aggregate=last.aggregate,
            state=last.state,
        )
        after = check_step(run.course, state, closed, request.given)
        self._store.put_state(run.found.job, closed.round, after)
        return after

    def _computed(self, run: MemberRun, number: int, state: State) -> Computed:
        kept = self._store.computed(run.found.job, number)
        if kept is not None:
            if kept.input != state.digest():
                raise _refused("this node has computed this round out of another state")
            return kept
        done = self._compute(run, number, state)
        computed = Computed(input=state.digest(), vector=done.vector, rho=done.rho)
        self._store.put_computed(run.found.job, number, computed)
        return computed

    def _mask(
        self, run: MemberRun, federation: FederationStanding, attempt: Attempt, vector: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        if run.joined.private_key is None:
            raise _refused("this attempt of the job is over at this node")
        keys = {one.node: decode_base64url(one.key) for one in federation.joined}
        if keys.get(self._node) != run.joined.public_key:
            raise _refused("the log has another key of this node")
        peers = {node: keys[node] for node in attempt.participants if node != self._node}
        own_key = X25519PrivateKey.from_private_bytes(run.joined.private_key)
        context = _mask_context(federation.id, attempt)
        return mask(vector, own_key=own_key, own=self._node, peers=peers, context=context)

    def _record(
        self,
        run: MemberRun,
        federation: FederationStanding,
        attempt: Attempt,
        masked: NDArray[np.uint64],
        *,
        rho: str | None,
    ) -> int:
        kept = self._store.sent(run.found.job, attempt.round, attempt.number)
        if kept is None:
            made = self._maker.contributed(
                federation.id,
                job=run.found.job,
                number=attempt.round,
                attempt=attempt.number,
                round_input=attempt.round_input,
                contribution=vector_digest(masked),
                rho=rho,
            )
            self._store.put_sent(run.found.job, attempt.round, attempt.number, made.statement)
        else:
            made = Made(statement=kept)
        # The followed log finds what names a job by that job.
        (entry,) = self._recorder.record(run.found.job, [made])
        return entry

    def _finish(self, run: MemberRun, federation: FederationStanding, request: RoundRequest) -> None:
        """Take the last round's contributions, and with them the final state."""
        if federation.state is not FederationState.COMPLETED:
            raise _refused("by the log, the federation is not completed")
        if self.final_state(federation.id) is None:
            after = RoundRequest(
                ask=request.ask,
                federation=request.federation,
                round=len(federation.completed) + 1,
                attempt=request.attempt,
                entry=request.entry,
                given=request.given,
            )
            if self._input(run, federation, after).digest() != federation.life.result:
                raise _refused("the result is not the state that this node has computed")


def _mask_context(federation: str, attempt: Attempt) -> bytes:
    # INVARIANT: an attempt has one entry that opened it, so that no two vectors are ever masked alike.
    return canonical_bytes(
        {
            "attempt": attempt.number,
            "federation": federation,
            "round": attempt.round,
            "started": attempt.started,
        }
    )


def _refused(message: str) -> RefusedError:
    return RefusedError(ErrorCode.ROUND_REFUSED, message)
