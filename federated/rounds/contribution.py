"""What a node gives to a round: debited first, computed in the cage, guarded, made into fixed point, noised.

The one place where something that was computed of the unit's data comes out of the cage on its way to a federation.
What leaves this module is not what leaves the node: `federated.rounds.member` masks it.
"""

import threading
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final, Protocol

import numpy as np

from federated.horizontal.guard import guard
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import State
from federated.horizontal.table import Table
from federated.rounds.chain import Course
from federated.rounds.member import Contribution, MemberRun
from federated.secure_sum import encode
from policies.decision import Reason
from sandbox.node.joint import AnswersAlone
from sandbox.node.verifying import VerifiedJob
from sandbox.privacy.accountant import Accountant, ReservationState
from sandbox.privacy.mechanism import add_noise
from yingbi.errors import ConflictError, ErrorCode, NotFoundError, RefusedError
from yingbi.events.jobs import RefusalReason
from yingbi.plan.model import TrainingQuestion

__all__ = ["NodeCompute", "RunsApp"]

_ONE: Final = 1


class RunsApp(Protocol):
    """Runs the catalogue's app on a table, where it can do nothing else."""

    def contribute(self, spec: TrainingSpec, state: State, table: Table) -> Mapping[str, object]:
        """Return what the app gave; nothing of it is checked.

        Raises:
            SandboxError: it gave nothing.
        """


class NodeCompute:
    """Computes contributions of one node. Thread-safe.

    Args:
        engine: reads views of data sets.
        app: runs the app.
        accountant: of the node's privacy budgets.
        secret: decides which units are held out; the node's, and lasting.
    """

    def __init__(self, *, engine: AnswersAlone, app: RunsApp, accountant: Accountant, secret: bytes) -> None:
        self._engine = engine
        self._app = app
        self._accountant = accountant
        self._secret = secret
        self._lock = threading.Lock()
        self._tables: dict[str, Table] = {}

    def refuse(self, found: VerifiedJob, course: Course) -> Reason | None:
        """Return why the node's budget does not permit a job, or nothing; what it may spend is kept for it then."""
        if course.rho is None:
            return None
        try:
            self._reserve(found, course.rho)
        except RefusedError as error:
            return Reason(code=RefusalReason.BUDGET_EXHAUSTED, rule=None, message=error.message)
        return None

    def __call__(self, run: MemberRun, number: int, state: State) -> Contribution:
        """Return the node's contribution to round `number`, whose input is `state` (side effects: debit, cage).

        Raises:
            RefusedError: the budget does not permit it.
            InvalidRequestError: what came out of the cage is not what the layout announces.
            SandboxError: nothing was computed.
        """
        course = run.course
        layout = course.layout(state)
        noise = course.noise(layout)
        if course.rho is not None:
            # SECURITY: debited before it is computed. A second debit of a round is none: where a process died between
            # debit and `MemberStore.put_computed`, nothing of what it had computed has left.
            self._reserve(run.found, course.rho)
            self._accountant.debit(run.found.job, round_number=number, attempt=_ONE, rho=course.rho)
        arrays = guard(layout, self._app.contribute(course.spec, state, self._table(run.found, course)))
        vector = encode(arrays, layout, parties=course.members)
        if noise is not None:
            vector = add_noise(vector.view(np.int64), noise).view(np.uint64)
        return Contribution(vector=vector, rho=course.spent(1))

    def settle(self, job: str) -> None:
        """End what a job keeps of its budget: what was debited is spent, the rest is free again."""
        try:
            found = self._accountant.reservation(job)
        except NotFoundError:
            return
        if found.state is ReservationState.RESERVED:
            self._accountant.commit(job, rho_spent=found.spent)

    def forget(self, job: str) -> None:
        """Forget the view that was read for a job."""
        with self._lock:
            self._tables.pop(job, None)

    def _reserve(self, found: VerifiedJob, rho: Decimal) -> None:
        training = _training(found)
        terms = found.agreement
        if terms.privacy is None or training.privacy is None:
            raise RefusedError(ErrorCode.JOB_REFUSED, "the agreement grants no privacy budget")
        dataset = training.source.dataset
        self._accountant.grant(terms.id, dataset, epsilon=terms.privacy.epsilon, delta=terms.privacy.delta)
        try:
            self._accountant.reserve(found.job, agreement=terms.id, dataset=dataset, rho=rho * training.rounds)
        except ConflictError as error:
            raise RefusedError(ErrorCode.JOB_REFUSED, "the job's privacy budget was settled already") from error

    def _table(self, found: VerifiedJob, course: Course) -> Table:
        with self._lock:
            kept = self._tables.get(found.job)
        if kept is not None:
            return kept
        admitted = found.gate.explain(found.asking).training
        if admitted is None:
            raise RefusedError(ErrorCode.JOB_REFUSED, "the training is not permitted any more")
        view = self._engine.view(admitted, secret=self._secret, hold_out=Fraction(course.spec.hold_out))
        table = Table(columns=view.columns, target=view.target, is_held_out=view.is_held_out)
        with self._lock:
            self._tables[found.job] = table
        return table


def _training(found: VerifiedJob) -> TrainingQuestion:
    training = found.training
    if training is None:
        raise RefusedError(ErrorCode.JOB_REFUSED, "expected a federation's member job")
    return training
