"""Accountants for tests, and what other processes do with one: work side by side, or die at a chosen step.

Run as a program: `work DATABASE NAME` waits for a line on its input and then takes what it gets of the budget, printing
what it was answered; `die DATABASE` forks a child for every step of one job, kills it there, and prints what it saw.
"""

import os
import random
import shutil
import signal
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, event, select

from sandbox.database import METADATA, open_database, reading
from sandbox.privacy import Accountant, ReservationState
from sandbox.privacy.tables import BUDGET, DEBIT, RESERVATION
from yingbi.clock import FixedClock
from yingbi.errors import RefusedError

__all__ = ["AGREEMENT", "DATASET", "DELTA", "EPSILON", "STEPS", "make_accountant", "make_database", "run_step"]

AGREEMENT: Final = "agr-tax-2026-01"
DATASET: Final = "futian-tax/credit"
EPSILON: Final = Decimal(4)
DELTA: Final = Decimal("1e-6")
STEPS: Final = ("reserve", "debit 1", "debit 2", "commit")
_TABLES: Final = [BUDGET, RESERVATION, DEBIT]


def make_accountant(engine: Engine) -> Accountant:
    """Return an accountant whose clock stands still."""
    return Accountant(engine, clock=FixedClock(datetime(2026, 11, 21, tzinfo=UTC)))


def make_database(path: Path) -> Engine:
    """Return a database with the accountant's tables and one budget."""
    engine = open_database(path)
    METADATA.create_all(engine, tables=_TABLES)
    make_accountant(engine).grant(AGREEMENT, DATASET, epsilon=EPSILON, delta=DELTA)
    return engine


def run_step(accountant: Accountant, step: str) -> None:
    """Take one step of a job that reserves 0.1, and spends 0.03 in each of two rounds."""
    if step == "reserve":
        accountant.reserve("job-1", agreement=AGREEMENT, dataset=DATASET, rho=Decimal("0.1"))
    elif step == "commit":
        accountant.commit("job-1", rho_spent=Decimal("0.06"))
    else:
        accountant.debit("job-1", round_number=int(step[-1]), attempt=1, rho=Decimal("0.03"))


def _work(path: Path, name: str) -> None:
    """Take of the budget, in turns with others; print each debit that was granted for the first time."""
    accountant, choose = make_accountant(open_database(path)), random.Random(name)
    print("ready", flush=True)
    sys.stdin.readline()
    # All workers debit the same release; one of them is the first.
    print("shared", accountant.debit("job-shared", round_number=1, attempt=1, rho=Decimal("0.01")), flush=True)
    for number in range(25):
        job, rho = f"job-{name}-{number}", Decimal(choose.randint(1, 400)) / 10_000
        try:
            accountant.reserve(job, agreement=AGREEMENT, dataset=DATASET, rho=rho)
        except RefusedError:
            continue
        if choose.random() < 0.3:
            accountant.release(job)
            continue
        accountant.debit(job, round_number=1, attempt=1, rho=rho / 2)
        print("spent", rho / 2, flush=True)
        if choose.random() < 0.8:
            accountant.commit(job, rho_spent=rho / 2)


def _die(folder: Path) -> None:
    """Kill a child at its first step, its second, and so on until it survives; go on after each, and say what was."""
    at, fresh = 0, folder / "fresh.sqlite"
    make_database(fresh).dispose()
    while True:
        path = Path(shutil.copy(fresh, folder / f"{at}.sqlite"))
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            _live(path, at, write)
        os.close(write)
        _, status = os.waitpid(child, 0)
        acknowledged = os.read(read, 100).decode()
        os.close(read)
        engine = open_database(path)
        accountant = make_accountant(engine)
        with reading(engine) as connection:
            debits = len(connection.execute(select(DEBIT)).all())
            states = list(connection.execute(select(RESERVATION.c.state)).scalars())
        balance = accountant.balance(AGREEMENT, DATASET)
        for step in STEPS:
            if step != "commit" and ReservationState.COMMITTED in states:
                continue
            run_step(accountant, step)
        after = accountant.balance(AGREEMENT, DATASET)
        print(
            at, acknowledged or "-", *(states or ["none"]), debits, balance.spent, balance.kept, after.spent, after.kept
        )
        engine.dispose()
        at += 1
        if os.WIFEXITED(status):
            return


def _live(path: Path, dies_at: int, write: int) -> None:
    engine, reached = open_database(path), 0

    def reach(*_: Any) -> None:
        nonlocal reached
        reached += 1
        if reached > dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(engine, name, reach)
    accountant = make_accountant(engine)
    for number, step in enumerate(STEPS):
        run_step(accountant, step)
        os.write(write, str(number).encode())
        reach()
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        _work(Path(sys.argv[2]), sys.argv[3])
    else:
        _die(Path(sys.argv[2]))
