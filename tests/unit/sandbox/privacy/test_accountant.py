"""The accountant: never more than was granted, whoever asks at once and whatever dies; what is spent stays spent."""

import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from sandbox.database import reading
from sandbox.privacy import Accountant, Balance, ReservationState, epsilon_of, largest_rho
from sandbox.privacy.tables import DEBIT
from tests.unit.sandbox.privacy.accounts import (
    AGREEMENT,
    DATASET,
    DELTA,
    EPSILON,
    STEPS,
    make_accountant,
    make_database,
    run_step,
)
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, RefusedError

ROOT = Path(__file__).parents[4]
MODULE = "tests.unit.sandbox.privacy.accounts"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = make_database(tmp_path / "node.sqlite")
    yield made
    made.dispose()


@pytest.fixture
def accountant(engine: Engine) -> Accountant:
    return make_accountant(engine)


def reserve(accountant: Accountant, rho: str, job: str = "job-1") -> None:
    accountant.reserve(job, agreement=AGREEMENT, dataset=DATASET, rho=Decimal(rho))


def debit(accountant: Accountant, rho: str, number: int = 1, attempt: int = 1, job: str = "job-1") -> bool:
    return accountant.debit(job, round_number=number, attempt=attempt, rho=Decimal(rho))


def balance(accountant: Accountant) -> Balance:
    return accountant.balance(AGREEMENT, DATASET)


def test_a_budget_holds_the_largest_rho_of_what_was_granted(accountant: Accountant) -> None:
    found = balance(accountant)
    assert (found.epsilon, found.delta) == (EPSILON, DELTA)
    assert found.granted == found.left == largest_rho(EPSILON, DELTA)
    assert found.epsilon_spent == 0


def test_a_job_reserves_spends_and_gives_the_rest_back(accountant: Accountant) -> None:
    granted = balance(accountant).granted
    reserve(accountant, "0.2")
    assert balance(accountant).left == granted - Decimal("0.2")
    assert debit(accountant, "0.05")
    assert debit(accountant, "0.05", 2)
    found = balance(accountant)
    assert (found.spent, found.kept) == (Decimal("0.1"), Decimal("0.1"))
    ended = accountant.commit("job-1", rho_spent=Decimal("0.1"))
    assert (ended.state, ended.spent) == (ReservationState.COMMITTED, Decimal("0.1"))
    found = balance(accountant)
    assert (found.spent, found.kept) == (Decimal("0.1"), Decimal(0))
    assert found.left == granted - Decimal("0.1")
    assert found.epsilon_spent == epsilon_of(Decimal("0.1"), DELTA)


def test_nobody_reserves_more_than_is_left(accountant: Accountant) -> None:
    left = balance(accountant).left
    with pytest.raises(RefusedError) as caught:
        reserve(accountant, str(left + Decimal("1e-10")))
    assert caught.value.code is ErrorCode.JOB_REFUSED
    reserve(accountant, str(left))
    with pytest.raises(RefusedError):
        reserve(accountant, "0.0000000001", "job-2")


def test_nobody_is_debited_more_than_he_has_reserved(accountant: Accountant) -> None:
    reserve(accountant, "0.1")
    assert debit(accountant, "0.06")
    with pytest.raises(RefusedError):
        debit(accountant, "0.0400000001", 2)
    assert balance(accountant).spent == Decimal("0.06")
    assert debit(accountant, "0.04", 2)


def test_what_is_debited_twice_is_spent_once_and_says_so(accountant: Accountant) -> None:
    reserve(accountant, "0.1")
    assert debit(accountant, "0.03")
    assert not debit(accountant, "0.03")
    assert balance(accountant).spent == Decimal("0.03")
    with pytest.raises(ConflictError):
        debit(accountant, "0.02")
    assert debit(accountant, "0.03", attempt=2), "another attempt is another release"
    assert balance(accountant).spent == Decimal("0.06")


def test_what_was_debited_is_never_given_back(accountant: Accountant) -> None:
    reserve(accountant, "0.1")
    debit(accountant, "0.03")
    with pytest.raises(ConflictError):
        accountant.release("job-1")
    with pytest.raises(ConflictError):
        accountant.commit("job-1", rho_spent=Decimal("0.02"))
    with pytest.raises(ConflictError):
        accountant.commit("job-1", rho_spent=Decimal("0.11"))
    accountant.commit("job-1", rho_spent=Decimal("0.03"))
    with pytest.raises(ConflictError):
        accountant.release("job-1")
    assert balance(accountant).spent == Decimal("0.03")


def test_where_nothing_was_computed_everything_goes_back(accountant: Accountant) -> None:
    before = balance(accountant)
    reserve(accountant, "0.1")
    assert accountant.release("job-1").state is ReservationState.RELEASED
    assert balance(accountant) == before
    with pytest.raises(ConflictError):
        debit(accountant, "0.01")
    with pytest.raises(ConflictError):
        accountant.commit("job-1", rho_spent=Decimal(0))


def test_every_step_may_come_again(accountant: Accountant) -> None:
    for step in STEPS[:3] * 2 + STEPS[3:] * 2:
        run_step(accountant, step)
    assert balance(accountant).spent == Decimal("0.06")
    reserve(accountant, "0.1", "job-2")
    assert accountant.release("job-2") == accountant.release("job-2")


def test_a_job_that_has_ended_does_not_go_on(accountant: Accountant) -> None:
    for step in STEPS:
        run_step(accountant, step)
    for again in STEPS[:2]:
        with pytest.raises(ConflictError) as caught:
            run_step(accountant, again)
        assert caught.value.code is ErrorCode.TRANSITION_REFUSED
    with pytest.raises(ConflictError):
        accountant.commit("job-1", rho_spent=Decimal("0.07"))


def test_a_job_has_one_reservation(accountant: Accountant) -> None:
    accountant.grant("agr-other", DATASET, epsilon=EPSILON, delta=DELTA)
    accountant.grant(AGREEMENT, "futian-tax/other", epsilon=EPSILON, delta=DELTA)
    reserve(accountant, "0.1")
    for agreement, dataset, rho in (
        (AGREEMENT, DATASET, "0.2"),
        ("agr-other", DATASET, "0.1"),
        (AGREEMENT, "futian-tax/other", "0.1"),
    ):
        with pytest.raises(ConflictError):
            accountant.reserve("job-1", agreement=agreement, dataset=dataset, rho=Decimal(rho))


def test_budgets_are_apart(accountant: Accountant) -> None:
    accountant.grant("agr-other", DATASET, epsilon=Decimal(1), delta=DELTA)
    reserve(accountant, "0.1")
    assert accountant.balance("agr-other", DATASET).left == largest_rho(Decimal(1), DELTA)


def test_without_a_budget_nothing_is_spent(accountant: Accountant) -> None:
    for agreement, dataset in (("agr-other", DATASET), (AGREEMENT, "futian-tax/other")):
        with pytest.raises(RefusedError):
            accountant.balance(agreement, dataset)
        with pytest.raises(RefusedError):
            accountant.reserve("job-1", agreement=agreement, dataset=dataset, rho=Decimal("0.1"))
    for use in (accountant.reservation, accountant.release):
        with pytest.raises(NotFoundError):
            use("job-1")
    with pytest.raises(NotFoundError):
        debit(accountant, "0.1")


def test_a_budget_that_is_widened_keeps_what_was_spent(accountant: Accountant) -> None:
    run_step(accountant, "reserve")
    run_step(accountant, "debit 1")
    found = accountant.grant(AGREEMENT, DATASET, epsilon=Decimal(8), delta=DELTA)
    assert found.granted == largest_rho(Decimal(8), DELTA)
    assert (found.spent, found.kept) == (Decimal("0.03"), Decimal("0.07"))
    assert accountant.grant(AGREEMENT, DATASET, epsilon=Decimal(8), delta=DELTA) == found


def test_a_budget_that_is_narrowed_binds_at_once(accountant: Accountant) -> None:
    run_step(accountant, "reserve")
    run_step(accountant, "debit 1")
    narrow = epsilon_of(Decimal("0.04"), DELTA)
    found = accountant.grant(AGREEMENT, DATASET, epsilon=narrow, delta=DELTA)
    assert found.left == 0
    with pytest.raises(RefusedError):
        run_step(accountant, "debit 2")
    assert balance(accountant).spent == Decimal("0.03")


@pytest.mark.parametrize("rho", ["0", "-0.1", "NaN", "0.00000000001"])
def test_a_cost_that_is_none_is_refused(accountant: Accountant, rho: str) -> None:
    with pytest.raises(InvalidRequestError):
        reserve(accountant, rho)
    reserve(accountant, "0.1")
    with pytest.raises(InvalidRequestError):
        debit(accountant, rho)
    for number, attempt in ((0, 1), (1, 0)):
        with pytest.raises(InvalidRequestError):
            debit(accountant, "0.1", number, attempt)


def test_a_grant_that_is_none_is_refused(accountant: Accountant) -> None:
    for epsilon, delta in ((Decimal(0), DELTA), (EPSILON, Decimal(0)), (EPSILON, Decimal(1))):
        with pytest.raises(InvalidRequestError):
            accountant.grant(AGREEMENT, DATASET, epsilon=epsilon, delta=delta)
    assert balance(accountant).epsilon == EPSILON


def test_processes_side_by_side_never_overspend(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    engine = make_database(path)
    accountant = make_accountant(engine)
    accountant.reserve("job-shared", agreement=AGREEMENT, dataset=DATASET, rho=Decimal("0.01"))
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", MODULE, "work", str(path), name],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("a", "b", "c")
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    lines: list[list[str]] = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        told, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0
        lines += [line.split() for line in told.splitlines()]
    assert sorted(line[1] for line in lines if line[0] == "shared") == ["False", "False", "True"]
    spent = Decimal("0.01") + sum(Decimal(line[1]) for line in lines if line[0] == "spent")
    found = balance(accountant)
    assert found.spent == spent
    assert found.spent + found.kept <= found.granted
    assert found.left < Decimal("0.04"), "they met at the end of the budget"
    with reading(engine) as connection:
        assert connection.execute(select(func.sum(DEBIT.c.rho))).scalar_one() == spent * 10**10
    engine.dispose()


def test_a_process_killed_anywhere_spends_nothing_twice_and_forgets_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", MODULE, "die", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) > 30, "it died at every statement and every commit"
    assert len({tuple(line[1:]) for line in lines}) > len(STEPS), "at different steps of the job"
    for _, acknowledged, state, debits, spent, kept, spent_after, kept_after in lines:
        steps = 0 if acknowledged == "-" else len(acknowledged)
        if steps == len(STEPS):
            assert state == "committed"
        assert state != "none" or steps == 0
        assert int(debits) >= max(0, min(steps, 3) - 1), "a debit that was acknowledged is there"
        assert Decimal(spent) == int(debits) * Decimal("0.03")
        assert Decimal(kept) == (Decimal("0.1") - Decimal(spent) if state == "reserved" else 0)
        assert (Decimal(spent_after), Decimal(kept_after)) == (Decimal("0.06"), Decimal(0))
