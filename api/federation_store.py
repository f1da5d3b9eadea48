"""What the hub keeps of federations besides the log: states, masked contributions, how rounds went.

Masked contributions are evidence: they are kept as long as the hub's database, and handed to members and auditors.
Cost: members x rounds x eight bytes a number.
"""

import json

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, delete, insert, select

from api.database import insert_new, reading, writing
from api.tables import FEDERATION_ROUND, FEDERATION_STATE, FEDERATION_VECTOR
from federated.rounds.coordinator import RoundFigures, RoundKept, Vectors
from federated.rounds.state_bytes import read_state, write_state

__all__ = ["FederationStore"]


class FederationStore:
    """The tables of federations; implements `federated.rounds.coordinator.CoordinatorStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def state(self, federation: str) -> RoundKept | None:
        """Return the newest state."""
        query = select(FEDERATION_STATE).where(FEDERATION_STATE.c.federation == federation)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else RoundKept(round=row.round, state=read_state(row.state))

    def put_state(self, federation: str, kept: RoundKept) -> None:
        """Keep a state in place of the one before it."""
        with writing(self._engine) as connection:
            connection.execute(delete(FEDERATION_STATE).where(FEDERATION_STATE.c.federation == federation))
            row = {"federation": federation, "round": kept.round, "state": write_state(kept.state)}
            connection.execute(insert(FEDERATION_STATE).values(**row))

    def vectors(self, federation: str, number: int, attempt: int) -> Vectors:
        """Return what came for an attempt, by node."""
        mine = (
            FEDERATION_VECTOR.c.federation == federation,
            FEDERATION_VECTOR.c.round == number,
            FEDERATION_VECTOR.c.attempt == attempt,
        )
        query = select(FEDERATION_VECTOR.c.node, FEDERATION_VECTOR.c.vector).where(*mine)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(FEDERATION_VECTOR.c.node)).all()
        return {row.node: np.frombuffer(row.vector, dtype="<u8").astype(np.uint64) for row in rows}

    def put_vector(self, federation: str, number: int, attempt: int, node: str, vector: NDArray[np.uint64]) -> None:
        """Keep what came from a node; the same twice is kept once."""
        row = {"federation": federation, "round": number, "attempt": attempt, "node": node}
        with writing(self._engine) as connection:
            insert_new(connection, FEDERATION_VECTOR, vector=vector.astype("<u8").tobytes(), **row)

    def attempts(self, federation: str) -> tuple[tuple[int, int], ...]:
        """Return the rounds and attempts of which something came, in order."""
        columns = (FEDERATION_VECTOR.c.round, FEDERATION_VECTOR.c.attempt)
        query = select(*columns).where(FEDERATION_VECTOR.c.federation == federation).distinct().order_by(*columns)
        with reading(self._engine) as connection:
            return tuple((row.round, row.attempt) for row in connection.execute(query))

    def note_round(self, federation: str, figures: RoundFigures) -> None:
        """Keep how a round went; the first word stands."""
        row = {
            "federation": federation,
            "round": figures.round,
            "began_at": figures.began_at,
            "ended_at": figures.ended_at,
            "figures": json.dumps(dict(figures.figures), sort_keys=True),
        }
        with writing(self._engine) as connection:
            insert_new(connection, FEDERATION_ROUND, **row)

    def rounds(self, federation: str) -> tuple[RoundFigures, ...]:
        """Return how the completed rounds went, in order."""
        query = select(FEDERATION_ROUND).where(FEDERATION_ROUND.c.federation == federation)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(FEDERATION_ROUND.c.round)).all()
        return tuple(
            RoundFigures(round=row.round, began_at=row.began_at, ended_at=row.ended_at, figures=json.loads(row.figures))
            for row in rows
        )
