"""Recording at the node: nothing counts as recorded because the hub says so.

A statement is recorded when the node has found it, byte for byte and with effect, in the log that it follows: under a
checkpoint that a quorum of the pinned witnesses cosigned and that goes on where the followed log stood. The answer's
receipts bring that checkpoint along, so that it costs one more request (the bundle with the new entries), not three.
"""

from collections.abc import Sequence

from ledger.entry import parse_entry
from ledger.proof import verify_inclusion
from ledger.tree import hash_leaf
from sandbox.node.following import Follower
from sandbox.node.hub_client import HubClient, Recorded
from sandbox.node.statements import Made
from yingbi.clock import Clock, format_time
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    SandboxError,
    VerificationError,
)
from yingbi.statement import Statement

__all__ = ["Recorder", "UnfittingError"]

_REFUSALS = (ConflictError, RefusedError, InvalidRequestError, NotFoundError)


class UnfittingError(ConflictError):
    """Statements that the log has no place for any more: the job went another way."""


class Recorder:
    """Has statements recorded by a hub, and believes the followed log."""

    def __init__(self, follower: Follower, hub: HubClient, node: str, clock: Clock) -> None:
        self._follower = follower
        self._hub = hub
        self._node = node
        self._clock = clock

    def record(self, subject: str, made: Sequence[Made]) -> tuple[int, ...]:
        """Have statements about a job recorded, all or none; return their indices in the followed log.

        May be called again after a crash, however often: what is in the log already is found there.

        Raises:
            UnfittingError: the hub does not take them, and by the followed log it must not.
            UnavailableError, VerificationError, TamperDetectedError: not known; to be called again.
        """
        openings = [opening for one in made for opening in one.openings]
        try:
            answers = self._hub.record(self._node, [one.statement for one in made], openings)
        except _REFUSALS as error:
            return self._look_up(subject, made, error)
        self._advance(answers)
        return tuple(self._find(one.statement, answer) for one, answer in zip(made, answers, strict=True))

    def find(self, subject: str, made: Sequence[Made]) -> tuple[int, ...] | None:
        """Return where statements about a job stand in the followed log, or nothing where one is not there."""
        places = {entry.statement.envelope: seq for seq, entry in self._follower.entries_of(subject)}
        found = [places.get(one.statement.envelope) for one in made]
        return None if None in found else tuple(seq for seq in found if seq is not None)

    def _look_up(self, subject: str, made: Sequence[Made], refusal: SandboxError) -> tuple[int, ...]:
        """Return where statements stand that the hub refused, or say that they do not fit."""
        self._follower.follow()
        found = self.find(subject, made)
        if found is not None:
            return found
        with self._follower.lock:
            try:
                self._follower.standing.judge(made[0].statement, at=format_time(self._clock.now()))
            except SandboxError as error:
                raise UnfittingError(ErrorCode.TRANSITION_REFUSED, error.message) from None
        raise refusal

    def _advance(self, answers: Sequence[Recorded]) -> None:
        newest = max((answer.receipt.signed for answer in answers), key=lambda signed: signed.checkpoint.size)
        if newest.checkpoint.size > self._follower.head.size:
            self._follower.advance(newest.note)
        else:
            self._follower.require_sound()

    def _find(self, statement: Statement, answer: Recorded) -> int:
        data = self._follower.entry_bytes(answer.index) if answer.index < self._follower.head.size else None
        if data is None or parse_entry(data).statement.envelope != statement.envelope:
            raise VerificationError(
                ErrorCode.PROOF_UNVERIFIED, "the hub's receipt is for another entry than the statement that was sent"
            )
        if not self._follower.has_effect(answer.index):
            raise UnfittingError(ErrorCode.TRANSITION_REFUSED, "the log has the statement, and it has no effect")
        proof, head = answer.receipt.proof, self._follower.head
        if proof.index != answer.index:
            raise VerificationError(ErrorCode.PROOF_UNVERIFIED, "the hub's receipt is for another index")
        if proof.size == head.size:
            verify_inclusion(proof, hash_leaf(data), head.root)
        return answer.index
