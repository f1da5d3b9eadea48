"""The accountant: no record's data costs more than its unit has agreed to, whatever crashes, and whoever asks at once.

A budget is of an agreement and a data set. A job **reserves** the most it may spend, which is then kept from all
others; every release is **debited** before it is computed; the job's end **commits** what it spent and gives the rest
of the reservation back. Only where nothing was debited can a reservation be **released**. What was debited is never
given back.

INVARIANT: for each budget, what ended jobs spent and what running ones reserved is together at most what was granted;
and what a job was debited is at most what it reserved. Each step is one transaction that nobody else writes beside; a
process that dies leaves a reservation too much, never one too little.

```mermaid
stateDiagram-v2
    [*] --> reserved: reserve
    reserved --> reserved: debit
    reserved --> committed: commit
    reserved --> released: release, where nothing was debited
    committed --> [*]
    released --> [*]
```
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, case, func, insert, select, update

from sandbox.database import reading, writing
from sandbox.privacy.tables import BUDGET, DEBIT, RESERVATION
from sandbox.privacy.zcdp import RHO_STEP, check_rho, epsilon_of, largest_rho
from yingbi.clock import Clock, format_time
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, RefusedError

__all__ = ["Accountant", "Balance", "Reservation", "ReservationState"]


class ReservationState(StrEnum):
    """Where a job's reservation stands."""

    RESERVED = "reserved"
    COMMITTED = "committed"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A budget: what it holds (epsilon and delta, and rho), what was spent, and what running jobs keep besides."""

    epsilon: Decimal
    delta: Decimal
    granted: Decimal
    spent: Decimal
    kept: Decimal

    @property
    def left(self) -> Decimal:
        """Return what a new job can reserve; nothing, where a budget was narrowed below what is taken."""
        return max(self.granted - self.spent - self.kept, Decimal(0))

    @property
    def epsilon_spent(self) -> Decimal:
        """Return what was spent as epsilon, at the budget's delta."""
        return epsilon_of(self.spent, self.delta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A job's reservation: on which budget, the most it may spend, what it has spent."""

    job: str
    agreement: str
    dataset: str
    state: ReservationState
    reserved: Decimal
    spent: Decimal


class Accountant:
    """The accountant of one node. Safe among threads and processes."""

    def __init__(self, database: Engine, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def grant(self, agreement: str, dataset: str, *, epsilon: Decimal, delta: Decimal) -> Balance:
        """Set what an agreement grants on a data set, as the version in force says; what was spent stays spent.

        Raises:
            InvalidRequestError: epsilon or delta is out of range.
        """
        terms = {"epsilon": format(epsilon, "f"), "delta": format(delta, "f")}
        key = {"agreement": agreement, "dataset": dataset}
        rho = _steps(largest_rho(epsilon, delta))
        with writing(self._database) as connection:
            found = connection.execute(select(BUDGET).where(_budget(agreement, dataset))).mappings().first()
            if found is None:
                connection.execute(insert(BUDGET).values(**key, **terms, rho=rho, granted_at=self._now()))
            elif {name: found[name] for name in terms} != terms:
                changed = update(BUDGET).where(_budget(agreement, dataset))
                connection.execute(changed.values(**terms, rho=rho, granted_at=self._now()))
            return _balance(connection, agreement, dataset)

    def balance(self, agreement: str, dataset: str) -> Balance:
        """Return a budget.

        Raises:
            RefusedError: the agreement grants none on this data set.
        """
        with reading(self._database) as connection:
            return _balance(connection, agreement, dataset)

    def reservation(self, job: str) -> Reservation:
        """Return a job's reservation.

        Raises:
            NotFoundError: it has none.
        """
        with reading(self._database) as connection:
            return _reservation(connection, job)

    def reserve(self, job: str, *, agreement: str, dataset: str, rho: Decimal) -> Reservation:
        """Keep the most that a job may spend from all others; the same again changes nothing.

        Raises:
            RefusedError: there is no budget, or not so much is left of it.
            ConflictError: the job has another reservation, or has ended.
            InvalidRequestError: rho is not a cost above zero.
        """
        steps = _positive(rho)
        with writing(self._database) as connection:
            found = _find(connection, job)
            if found is not None:
                _check_same(found, ReservationState.RESERVED, agreement=agreement, dataset=dataset, reserved=steps)
                return _read(found)
            if rho > _balance(connection, agreement, dataset).left:
                raise _exhausted("expected no more than what is left of the budget")
            row = {"job": job, "agreement": agreement, "dataset": dataset, "reserved": steps, "spent": 0}
            row |= {"state": str(ReservationState.RESERVED), "reserved_at": self._now()}
            connection.execute(insert(RESERVATION).values(row))
            return _reservation(connection, job)

    def debit(self, job: str, *, round_number: int, attempt: int, rho: Decimal) -> bool:
        """Spend what one release costs, before it is computed; return whether this was the first time.

        SECURITY: where it was not, the release has been, or may have been, computed: what was computed is to be used
        again, and nothing computed anew, for fresh noise would be a second release at the price of one.

        Raises:
            RefusedError: the reservation has not so much left.
            ConflictError: the same release was debited another cost, or the job has ended.
            NotFoundError: the job has no reservation.
            InvalidRequestError: rho is not a cost above zero, or round or attempt is below 1.
        """
        steps = _positive(rho)
        if round_number < 1 or attempt < 1:
            raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected round and attempt to count from 1")
        key = {"job": job, "round": round_number, "attempt": attempt}
        with writing(self._database) as connection:
            found = _reservation(connection, job)
            if found.state is not ReservationState.RESERVED:
                raise _conflict("expected a job that has not ended")
            known = select(DEBIT.c.rho).where(*(DEBIT.c[name] == value for name, value in key.items()))
            before = connection.execute(known).scalar()
            if before is not None:
                if before != steps:
                    raise _conflict("expected the cost that this release was debited before")
                return False
            _check_room(connection, found, rho)
            connection.execute(insert(DEBIT).values(**key, rho=steps, debited_at=self._now()))
            spent = update(RESERVATION).where(RESERVATION.c.job == job)
            connection.execute(spent.values(spent=RESERVATION.c.spent + steps))
            return True

    def commit(self, job: str, *, rho_spent: Decimal) -> Reservation:
        """End a job: it spent so much, at least what it was debited; the rest of its reservation goes back.

        The same again changes nothing.

        Raises:
            ConflictError: less than its debits, more than its reservation, or the job ended otherwise.
            NotFoundError: the job has no reservation.
            InvalidRequestError: rho is no cost.
        """
        check_rho(rho_spent)
        with writing(self._database) as connection:
            found = _reservation(connection, job)
            if found.state is ReservationState.RESERVED:
                if not found.spent <= rho_spent <= found.reserved:
                    raise _conflict("expected at least what was debited and at most what was reserved")
                self._end(connection, job, ReservationState.COMMITTED, rho_spent)
            elif (found.state, found.spent) != (ReservationState.COMMITTED, rho_spent):
                raise _conflict("expected a job that has not ended otherwise")
            return _reservation(connection, job)

    def release(self, job: str) -> Reservation:
        """Give a reservation back of which nothing was debited; the same again changes nothing.

        Raises:
            ConflictError: something was debited, or the job ended otherwise.
            NotFoundError: the job has no reservation.
        """
        with writing(self._database) as connection:
            found = _reservation(connection, job)
            if found.state is ReservationState.COMMITTED or found.spent:
                raise _conflict("expected a job that was debited nothing")
            if found.state is ReservationState.RESERVED:
                self._end(connection, job, ReservationState.RELEASED, Decimal(0))
            return _reservation(connection, job)

    def _end(self, connection: Connection, job: str, state: ReservationState, spent: Decimal) -> None:
        ended = update(RESERVATION).where(RESERVATION.c.job == job)
        connection.execute(ended.values(state=str(state), spent=_steps(spent), ended_at=self._now()))

    def _now(self) -> str:
        return format_time(self._clock.now())


# What a running job keeps beyond what it has spent.
_KEPT: Final = case(
    (RESERVATION.c.state == str(ReservationState.RESERVED), RESERVATION.c.reserved - RESERVATION.c.spent), else_=0
)


def _budget(agreement: str, dataset: str) -> ColumnElement[bool]:
    return and_(BUDGET.c.agreement == agreement, BUDGET.c.dataset == dataset)


def _balance(connection: Connection, agreement: str, dataset: str) -> Balance:
    budget = connection.execute(select(BUDGET).where(_budget(agreement, dataset))).mappings().first()
    if budget is None:
        raise _exhausted("expected an agreement that grants a privacy budget on this data set")
    sums = select(func.coalesce(func.sum(RESERVATION.c.spent), 0), func.coalesce(func.sum(_KEPT), 0))
    of_budget = (RESERVATION.c.agreement == agreement, RESERVATION.c.dataset == dataset)
    spent, kept = connection.execute(sums.where(*of_budget)).one()
    return Balance(
        epsilon=Decimal(budget["epsilon"]),
        delta=Decimal(budget["delta"]),
        granted=_rho(budget["rho"]),
        spent=_rho(spent),
        kept=_rho(kept),
    )


def _check_room(connection: Connection, found: Reservation, rho: Decimal) -> None:
    if found.spent + rho > found.reserved:
        raise _exhausted("expected no more than what is left of the reservation")
    # The budget may have been narrowed since; then what is not spent yet waits, and the stricter one wins.
    balance = _balance(connection, found.agreement, found.dataset)
    if balance.spent + rho > balance.granted:
        raise _exhausted("expected no more than what the budget holds")


def _find(connection: Connection, job: str) -> RowMapping | None:
    return connection.execute(select(RESERVATION).where(RESERVATION.c.job == job)).mappings().first()


def _reservation(connection: Connection, job: str) -> Reservation:
    found = _find(connection, job)
    if found is None:
        raise NotFoundError(ErrorCode.THING_NOT_FOUND, "expected a job with a reservation")
    return _read(found)


def _read(row: RowMapping) -> Reservation:
    return Reservation(
        job=row["job"],
        agreement=row["agreement"],
        dataset=row["dataset"],
        state=ReservationState(row["state"]),
        reserved=_rho(row["reserved"]),
        spent=_rho(row["spent"]),
    )


def _check_same(row: RowMapping, state: ReservationState, **values: str | int) -> None:
    if row["state"] != str(state) or any(row[name] != value for name, value in values.items()):
        raise _conflict("expected a job without another reservation")


def _positive(rho: Decimal) -> int:
    check_rho(rho)
    if not rho:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected rho above zero")
    return _steps(rho)


def _steps(rho: Decimal) -> int:
    return int(rho / RHO_STEP)


def _rho(steps: int) -> Decimal:
    return steps * RHO_STEP


def _exhausted(message: str) -> RefusedError:
    return RefusedError(ErrorCode.JOB_REFUSED, message)


def _conflict(message: str) -> ConflictError:
    return ConflictError(ErrorCode.TRANSITION_REFUSED, message)
