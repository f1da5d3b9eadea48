"""What a member keeps of its federations: in the node's own database, so that a process that dies goes on.

SECURITY: a vector without its mask is a sum over the unit's data. It stays in the node's database, which nobody else
reads, until its federation is over.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, delete, insert, select, update

from federated.horizontal.state import State
from federated.rounds.state_bytes import read_state, write_state
from sandbox.database import reading, writing
from sandbox.node.joint_tables import JOINT_MEMBER, JOINT_SENT, JOINT_STATE, JOINT_VECTOR
from yingbi.errors import ErrorCode, RefusedError
from yingbi.statement import Statement, parse_statement

__all__ = ["Computed", "Joined", "MemberStore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """An attempt of a member job that joined a federation; `private_key` is gone once it has ended."""

    job: str
    attempt: int
    federation: str
    public_key: bytes
    private_key: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What was computed for a round out of an input: fixed point with its noise, and the privacy that it spent."""

    input: str
    vector: NDArray[np.uint64]
    rho: str | None


class MemberStore:
    """The tables of `sandbox.node.joint_tables`."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def join(self, joined: Joined) -> Joined:
        """Keep an attempt's key, unless it has one: then that one is returned and this one forgotten."""
        with writing(self._database) as connection:
            mine = (JOINT_MEMBER.c.job == joined.job, JOINT_MEMBER.c.attempt == joined.attempt)
            row = connection.execute(select(JOINT_MEMBER).where(*mine)).mappings().one_or_none()
            if row is not None:
                return Joined(**row)
            values = {name: getattr(joined, name) for name in ("job", "attempt", "federation", "public_key")}
            connection.execute(insert(JOINT_MEMBER).values(private_key=joined.private_key, **values))
        return joined

    def find(self, job: str, attempt: int) -> Joined | None:
        """Return an attempt of a job that has joined, or nothing."""
        query = select(JOINT_MEMBER).where(JOINT_MEMBER.c.job == job, JOINT_MEMBER.c.attempt == attempt)
        with reading(self._database) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else Joined(**row)

    def forget(self, job: str, *, with_state: bool) -> None:
        """Erase a job's private keys; and, where it is over for good, all that was computed for it."""
        with writing(self._database) as connection:
            connection.execute(update(JOINT_MEMBER).where(JOINT_MEMBER.c.job == job).values(private_key=None))
            if with_state:
                for table in (JOINT_STATE, JOINT_VECTOR):
                    connection.execute(delete(table).where(table.c.job == job))

    def state(self, job: str) -> tuple[int, State] | None:
        """Return the newest verified state and the round that left it, or nothing."""
        query = select(JOINT_STATE.c.round, JOINT_STATE.c.state).where(JOINT_STATE.c.job == job)
        with reading(self._database) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (int(row.round), read_state(row.state))

    def put_state(self, job: str, number: int, state: State) -> None:
        """Keep a verified state in place of the one before it.

        Raises:
            RefusedError: the job's attempt is over.
        """
        with writing(self._database) as connection:
            _require_attempt(connection, job)
            connection.execute(delete(JOINT_STATE).where(JOINT_STATE.c.job == job))
            connection.execute(insert(JOINT_STATE).values(job=job, round=number, state=write_state(state)))

    def computed(self, job: str, number: int) -> Computed | None:
        """Return what was computed for a round, or nothing."""
        query = select(JOINT_VECTOR).where(JOINT_VECTOR.c.job == job, JOINT_VECTOR.c.round == number)
        with reading(self._database) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        vector = np.frombuffer(row.vector, dtype="<u8").astype(np.uint64)
        return Computed(input=row.input, vector=vector, rho=row.rho)

    def put_computed(self, job: str, number: int, computed: Computed) -> None:
        """Keep what was computed for a round; what was computed for the rounds before it is erased.

        Raises:
            RefusedError: the job's attempt is over.
            UnavailableError: something was kept for it already.
        """
        values = {"input": computed.input, "vector": computed.vector.astype("<u8").tobytes(), "rho": computed.rho}
        with writing(self._database) as connection:
            _require_attempt(connection, job)
            connection.execute(delete(JOINT_VECTOR).where(JOINT_VECTOR.c.job == job, JOINT_VECTOR.c.round < number))
            connection.execute(insert(JOINT_VECTOR).values(job=job, round=number, **values))

    def sent(self, job: str, number: int, attempt: int) -> Statement | None:
        """Return the statement that was made of a contribution, or nothing."""
        mine = (JOINT_SENT.c.job == job, JOINT_SENT.c.round == number, JOINT_SENT.c.attempt == attempt)
        with reading(self._database) as connection:
            envelope = connection.execute(select(JOINT_SENT.c.envelope).where(*mine)).scalar_one_or_none()
        return None if envelope is None else parse_statement(envelope)

    def put_sent(self, job: str, number: int, attempt: int, statement: Statement) -> None:
        """Keep the statement of a contribution before it is sent."""
        row = {"job": job, "round": number, "attempt": attempt, "envelope": statement.envelope}
        with writing(self._database) as connection:
            connection.execute(insert(JOINT_SENT).values(**row))


def _require_attempt(connection: Connection, job: str) -> None:
    """Refuse to keep what was computed while the attempt ended: it is not of what was sealed, or erased, then."""
    keys = connection.execute(select(JOINT_MEMBER.c.private_key).where(JOINT_MEMBER.c.job == job)).scalars().all()
    if keys and not any(keys):
        raise RefusedError(ErrorCode.ROUND_REFUSED, "the attempt of the job is over at this node")
