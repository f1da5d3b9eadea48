"""A node's agent and its member, put together: what `sandbox.node.joint` asks of whoever takes part in federations."""

import logging
from collections.abc import Callable
from typing import Final

from federated.horizontal.state import State
from federated.rounds.binnings import Binnings
from federated.rounds.chain import Course
from federated.rounds.contribution import NodeCompute
from federated.rounds.course import course_of
from federated.rounds.member import Member
from federated.rounds.sealed_store import SealedState, SealedStore
from policies.decision import Reason
from policies.federations import FederationState
from policies.jobs import ENDED, JobState
from policies.standing import JobStanding
from policies.standing.federations import FederationStanding
from sandbox.candidate import TrainedCandidate
from sandbox.node.following import Follower
from sandbox.node.joint import JointState
from sandbox.node.statements import Made
from sandbox.node.verifying import VerifiedJob
from yingbi.errors import ErrorCode, RefusedError, SandboxError, TamperDetectedError, UnavailableError
from yingbi.events.jobs import RefusalReason
from yingbi.plan.codec import common_digest
from yingbi.plan.model import TrainingQuestion

__all__ = ["NodeJoint", "course_of_job"]

_LOG: Final = logging.getLogger(__name__)

MakesCandidate = Callable[[TrainingQuestion, Course, State, FederationStanding], TrainedCandidate]


class NodeJoint:
    """Takes part in federations for one node; implements `sandbox.node.joint.JointWork`.

    Args:
        member: answers rounds.
        compute: computes for it.
        sealed: keeps what interrupted jobs go on with.
        binnings: knows how features were counted before.
        follower: the node's followed log.
        candidate: makes of a final state what the gate judges.
    """

    def __init__(
        self,
        *,
        member: Member,
        compute: NodeCompute,
        sealed: SealedStore,
        binnings: Binnings,
        follower: Follower,
        candidate: MakesCandidate,
    ) -> None:
        self._member = member
        self._compute = compute
        self._sealed = sealed
        self._binnings = binnings
        self._follower = follower
        self._candidate = candidate

    def refuse(self, found: VerifiedJob) -> Reason | None:
        """Return why this node cannot take part in a federation that is otherwise permitted, or nothing."""
        try:
            course = course_of_job(found)
        except SandboxError as error:
            return Reason(code=RefusalReason.PLAN_NOT_ADMITTED, rule=None, message=error.message)
        others = self._binnings.find_other(_training(found))
        if others:
            message = f"`{others[0]}` was counted in other bins before: ask for the same, for noise, or another version"
            return Reason(code=RefusalReason.PARAMETER_NOT_ALLOWED, rule=None, clause="features", message=message)
        return self._compute.refuse(found, course)

    def join(self, found: VerifiedJob) -> Made:
        """Return the statement with which an attempt of a member job joins its federation, where it left off."""
        training = _training(found)
        self._unseal(found.job)
        self._binnings.note(training)
        return self._member.join(found, federation=training.federation, terms=common_digest(training))

    def _unseal(self, job: str) -> None:
        try:
            self._sealed.unseal(job)
        except TamperDetectedError as error:
            # A node that was restored without its keys: other jobs go on, and this one cannot take part in a round.
            _LOG.error("the checkpoint of job %s is lost: %s", job, error.code)
            self._sealed.destroy(job)

    def look(self, found: VerifiedJob) -> JointState:
        """Return where the federation of a started member job is, by the followed log."""
        training = _training(found)
        with self._follower.lock:
            standing = self._follower.standing.federations.get(training.federation)
            others = [self._follower.standing.jobs.get(one.job) for one in training.members]
        if standing is not None and standing.started.terms != common_digest(training):
            return JointState.ABORTED  # another federation has its id
        if standing is None:
            # It will never start without all of its members.
            is_lost = any(one is not None and _is_over(one) for one in others)
            return JointState.ABORTED if is_lost else JointState.WAITING
        attempts = {one.job: one.attempt for one in standing.members}
        if standing.state is FederationState.ABORTED:
            return JointState.ABORTED
        if standing.state is FederationState.INTERRUPTED:
            # An attempt that has joined since waits for the federation to go on.
            is_old = attempts.get(found.job) == found.attempt
            return JointState.INTERRUPTED if is_old else JointState.WAITING
        if standing.state is FederationState.COMPLETED:
            if self._member.final_state(training.federation) is not None:
                return JointState.FINISHED
            # Who took no part in the last round is not told of it, and has nothing to release.
            nodes = {one.job: one.node for one in standing.members}
            is_left_out = nodes.get(found.job) not in standing.completed[-1].participants
            return JointState.ABORTED if is_left_out else JointState.WAITING
        return JointState.WAITING

    def result(self, question: TrainingQuestion) -> TrainedCandidate:
        """Return what a finished federation has trained.

        Raises:
            UnavailableError: it is not here.
        """
        state = self._member.final_state(question.federation)
        with self._follower.lock:
            standing = self._follower.standing.federations.get(question.federation)
        if state is None or standing is None:
            raise UnavailableError(ErrorCode.ENGINE_FAILED, "the federation's final state is not here")
        return self._candidate(question, course_of(question), state, standing)

    def seal(self, job: str) -> SealedState | None:
        """Seal what an interrupted job may go on with; what a round that is under way computes then is not kept."""
        self._member.forget(job, with_state=False)
        return self._sealed.seal(job)

    def sealed(self) -> tuple[tuple[str, str], ...]:
        """Return the jobs that have a checkpoint, with the commitment to each."""
        return self._sealed.jobs()

    def forget(self, job: str, *, with_state: bool) -> None:
        """Erase what an attempt needed; with all that was computed, and what it kept of its budget, at its end."""
        self._member.forget(job, with_state=with_state)
        self._compute.forget(job)
        if with_state:
            self._sealed.destroy(job)
            self._compute.settle(job)


def course_of_job(found: VerifiedJob) -> Course:
    """Return the course of a member job.

    Raises:
        InvalidRequestError: its recipe does not take it.
    """
    return course_of(_training(found))


def _is_over(job: JobStanding) -> bool:
    return job.state in ENDED or (job.state is JobState.FAILED and not job.life.is_retryable)


def _training(found: VerifiedJob) -> TrainingQuestion:
    training = found.training
    if training is None:
        raise RefusedError(ErrorCode.JOB_REFUSED, "expected a federation's member job")
    return training
