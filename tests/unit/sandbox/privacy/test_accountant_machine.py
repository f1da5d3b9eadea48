"""The accountant against a model of a few lines, in whatever order things are asked of it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import Engine

from sandbox.database import METADATA, open_database
from sandbox.privacy import RHO_STEP, largest_rho
from sandbox.privacy.tables import BUDGET, DEBIT, RESERVATION
from tests.unit.sandbox.privacy.accounts import DELTA, make_accountant
from yingbi.errors import ConflictError, NotFoundError, RefusedError, SandboxError

BUDGETS = (("agr-a", "u/one"), ("agr-a", "u/two"), ("agr-b", "u/one"))
EPSILONS = (Decimal("0.5"), Decimal(1), Decimal(2))
COSTS = tuple(Decimal(number) / 1_000 for number in (1, 5, 20, 60, 150))
JOBS = tuple(f"job-{number}" for number in range(6))

budgets, epsilons, costs, jobs = (st.sampled_from(items) for items in (BUDGETS, EPSILONS, COSTS, JOBS))
numbers = st.integers(1, 3)


@dataclass
class Job:
    """What the model knows of a job."""

    budget: tuple[str, str]
    reserved: Decimal
    state: str = "reserved"
    debits: dict[tuple[int, int], Decimal] = field(default_factory=dict)
    ended_with: Decimal = Decimal(0)

    @property
    def spent(self) -> Decimal:
        return self.ended_with if self.state == "committed" else sum(self.debits.values(), Decimal(0))

    @property
    def taken(self) -> Decimal:
        return self.reserved if self.state == "reserved" else self.spent


class AccountantMachine(RuleBasedStateMachine):
    """Everything that can be asked, with what the model says will come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.granted: dict[tuple[str, str], Decimal] = {}
        self.jobs: dict[str, Job] = {}
        self.engine = self.open()
        METADATA.create_all(self.engine, tables=[BUDGET, RESERVATION, DEBIT])
        self.accountant = make_accountant(self.engine)

    def open(self) -> Engine:
        return open_database(Path(self.folder.name) / "node.sqlite")

    def teardown(self) -> None:
        self.engine.dispose()
        self.folder.cleanup()

    def taken(self, budget: tuple[str, str]) -> Decimal:
        return sum((job.taken for job in self.jobs.values() if job.budget == budget), Decimal(0))

    def spent(self, budget: tuple[str, str]) -> Decimal:
        return sum((job.spent for job in self.jobs.values() if job.budget == budget), Decimal(0))

    def expect(self, error: type[SandboxError] | None, ask: Callable[[], object]) -> object:
        """Ask, and compare the kind of answer with what the model says."""
        if error is None:
            return ask()
        with pytest.raises(error):
            ask()
        return None

    @rule(budget=budgets, epsilon=epsilons)
    def grant(self, budget: tuple[str, str], epsilon: Decimal) -> None:
        self.accountant.grant(*budget, epsilon=epsilon, delta=DELTA)
        self.granted[budget] = largest_rho(epsilon, DELTA)

    @rule(job=jobs, budget=budgets, rho=costs)
    def reserve(self, job: str, budget: tuple[str, str], rho: Decimal) -> None:
        error: type[SandboxError] | None = None
        known = self.jobs.get(job)
        if known is not None:
            same = (known.state, known.budget, known.reserved) == ("reserved", budget, rho)
            error = None if same else ConflictError
        elif budget not in self.granted or self.taken(budget) + rho > self.granted[budget]:
            error = RefusedError
        agreement, dataset = budget
        self.expect(error, lambda: self.accountant.reserve(job, agreement=agreement, dataset=dataset, rho=rho))
        if error is None and known is None:
            self.jobs[job] = Job(budget, rho)

    @rule(job=jobs, number=numbers, attempt=numbers, rho=costs)
    def debit(self, job: str, number: int, attempt: int, rho: Decimal) -> None:
        error: type[SandboxError] | None = None
        known, before = self.jobs.get(job), None
        if known is None:
            error = NotFoundError
        elif known.state != "reserved":
            error = ConflictError
        elif (before := known.debits.get((number, attempt))) is not None:
            error = None if before == rho else ConflictError
        elif known.spent + rho > known.reserved or self.spent(known.budget) + rho > self.granted[known.budget]:
            error = RefusedError
        answer = self.expect(error, lambda: self.accountant.debit(job, round_number=number, attempt=attempt, rho=rho))
        if error is None and known is not None:
            assert answer is (before is None)
            known.debits[number, attempt] = rho

    @rule(job=jobs, more=st.sampled_from((-RHO_STEP, Decimal(0), Decimal(0), RHO_STEP, Decimal("0.01"))))
    def commit(self, job: str, more: Decimal) -> None:
        known = self.jobs.get(job)
        rho = max((known.spent if known else Decimal(0)) + more, Decimal(0))
        error: type[SandboxError] | None = None
        if known is None:
            error = NotFoundError
        elif known.state == "reserved":
            error = None if known.spent <= rho <= known.reserved else ConflictError
        elif known.state == "released" or known.ended_with != rho:
            error = ConflictError
        self.expect(error, lambda: self.accountant.commit(job, rho_spent=rho))
        if error is None and known is not None:
            known.state, known.ended_with = "committed", rho

    @rule(job=jobs)
    def release(self, job: str) -> None:
        known = self.jobs.get(job)
        error: type[SandboxError] | None = None
        if known is None:
            error = NotFoundError
        elif known.state == "committed" or known.spent:
            error = ConflictError
        self.expect(error, lambda: self.accountant.release(job))
        if error is None and known is not None:
            known.state = "released"

    @rule()
    def start_again(self) -> None:
        self.engine.dispose()
        self.engine = self.open()
        self.accountant = make_accountant(self.engine)

    @invariant()
    def the_balances_are_the_models(self) -> None:
        for budget, granted in self.granted.items():
            found = self.accountant.balance(*budget)
            assert found.granted == granted
            assert found.spent == self.spent(budget)
            assert found.spent + found.kept == self.taken(budget)
            assert found.left == max(granted - self.taken(budget), Decimal(0))


AccountantMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestAccountant = AccountantMachine.TestCase
