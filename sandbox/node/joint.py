"""Jobs that a node does not do alone: what the agent needs of whoever takes part in federations for it.

The agent brings a member job to its start and from its end to its release, like every job. Between, it is the
federation's; the agent only looks where that is.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Protocol

from policies.decision import Reason
from sandbox.candidate import Candidate, RegressionCandidate, TrainedCandidate
from sandbox.isolation.cage import Cancel
from sandbox.isolation.limits import Limits
from sandbox.node.gate import OnProgress
from sandbox.node.statements import Made
from sandbox.node.verifying import VerifiedJob
from sandbox.query.admit import Admitted, AdmittedTraining
from sandbox.training_view import TrainingView
from yingbi.commitment import Opening
from yingbi.errors import ErrorCode, UnavailableError
from yingbi.plan.model import TrainingQuestion

__all__ = ["AnswersAlone", "JointEngine", "JointSlot", "JointState", "JointWork", "SealedState"]


class JointState(StrEnum):
    """Where a member job's federation is, as this node sees it."""

    WAITING = "waiting"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    ABORTED = "aborted"


class SealedState(Protocol):
    """A sealed checkpoint: after which round, and the opening of the commitment to its ciphertext."""

    @property
    def round(self) -> int:
        """Return the round that it is after."""

    @property
    def opening(self) -> Opening:
        """Return the opening."""


class JointWork(Protocol):
    """Takes part in federations."""

    def refuse(self, found: VerifiedJob) -> Reason | None:
        """Return why this node cannot take part in a federation that is otherwise permitted, or nothing."""

    def join(self, found: VerifiedJob) -> Made:
        """Return the statement with which an attempt of a member job joins its federation, the same each time."""

    def look(self, found: VerifiedJob) -> JointState:
        """Return where the federation of a started member job is."""

    def result(self, question: TrainingQuestion) -> TrainedCandidate:
        """Return what a finished federation has trained.

        Raises:
            UnavailableError: it is not here.
        """

    def seal(self, job: str) -> SealedState | None:
        """Seal what an interrupted job may go on with; return the checkpoint, or nothing where nothing was computed."""

    def sealed(self) -> tuple[tuple[str, str], ...]:
        """Return the jobs that have a checkpoint, with the commitment to each."""

    def forget(self, job: str, *, with_state: bool) -> None:
        """Erase what an attempt needed; with all that was computed where the job is over for good."""


class AnswersAlone(Protocol):
    """An engine for what one node answers by itself."""

    def run(
        self,
        admitted: Admitted,
        *,
        limits: Limits,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
    ) -> Candidate | RegressionCandidate:
        """Return the confidential answer of an admitted question."""

    def view(
        self,
        admitted: AdmittedTraining,
        *,
        secret: bytes,
        hold_out: Fraction,
        limits: Limits | None = None,
        cancel: Cancel | None = None,
    ) -> TrainingView:
        """Read the view of an admitted training."""


@dataclass(slots=True)
class JointSlot:
    """Where an engine meets whoever takes part in federations: each is made when the other is there."""

    engine: AnswersAlone | None = None
    work: JointWork | None = None


class JointEngine:
    """An engine for a gate: answers what the node answers alone, and what was trained together once it is there."""

    def __init__(self, alone: AnswersAlone, slot: JointSlot) -> None:
        self._alone = slot.engine = alone
        self._slot = slot

    def run(
        self,
        admitted: Admitted | AdmittedTraining,
        *,
        limits: Limits,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
    ) -> Candidate | RegressionCandidate | TrainedCandidate:
        """Return the confidential answer of an admitted question.

        Raises:
            UnavailableError: it is a federation's, and this node takes part in none, or it is not finished.
        """
        if isinstance(admitted, Admitted):
            return self._alone.run(admitted, limits=limits, on_progress=on_progress, cancel=cancel)
        if self._slot.work is None:
            raise UnavailableError(ErrorCode.ENGINE_FAILED, "this node takes no part in federations")
        return self._slot.work.result(admitted.question)
