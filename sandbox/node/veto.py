"""The unit's own power over its node: what it stops here is stopped, whatever the hub says, and if it says nothing.

- `veto`: one job, partner or agreement does not run here, until the veto is lifted; jobs are refused;
- `hold`: nothing runs here, until the hold is lifted; jobs wait for that;
- `withdraw`: nothing runs here any more, or nothing under one agreement or for one partner; it is not lifted, and jobs
  are refused.

A target may also be who asked, a data set (its id or its name), or whoever grants the data; the node itself or its
unit is everything.

Each is one row of the node's database, written by one local command in one transaction: it needs no hub, no key and no
running agent, and it outlives restarts. The agent looks before every step, and ten times a second while it computes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Engine, insert, select, update

from sandbox.database import reading, writing
from sandbox.node.agent_tables import VETO
from yingbi.clock import Clock, format_time
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError
from yingbi.ids import dataset_id

__all__ = ["EVERYTHING", "Veto", "VetoKind", "Vetoes"]

EVERYTHING: Final = "*"
"""The target of what stops the whole node."""


class VetoKind(StrEnum):
    """What the unit decided."""

    VETO = "veto"
    HOLD = "hold"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Veto:
    """One decision of the unit that stands."""

    kind: VetoKind
    target: str
    set_at: str


class Vetoes:
    """What the unit has stopped at its node."""

    def __init__(self, database: Engine, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def set(self, kind: VetoKind, target: str = EVERYTHING) -> None:
        """Stop something at once; what is stopped like this already stays so.

        Raises:
            InvalidRequestError: a veto of everything, which is a hold.
        """
        if kind is VetoKind.VETO and target == EVERYTHING:
            raise InvalidRequestError(ErrorCode.USAGE, "expected a job, a partner or an agreement to veto")
        with writing(self._database) as connection:
            if connection.execute(select(VETO.c.id).where(*_standing(kind, target))).first() is None:
                now = format_time(self._clock.now())
                connection.execute(insert(VETO).values(kind=kind.value, target=target, set_at=now))

    def lift(self, kind: VetoKind, target: str = EVERYTHING) -> None:
        """Let something go on.

        Raises:
            InvalidRequestError: a withdrawal, which is not lifted.
            NotFoundError: it is not stopped like this.
        """
        if kind is VetoKind.WITHDRAW:
            raise InvalidRequestError(ErrorCode.USAGE, "what was withdrawn stays so")
        with writing(self._database) as connection:
            lifted = update(VETO).where(*_standing(kind, target)).values(lifted_at=format_time(self._clock.now()))
            if connection.execute(lifted).rowcount == 0:
                raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "nothing is stopped like this")

    def standing(self) -> tuple[Veto, ...]:
        """Return all that stand, oldest first."""
        query = select(VETO.c.kind, VETO.c.target, VETO.c.set_at).where(VETO.c.lifted_at.is_(None)).order_by(VETO.c.id)
        with reading(self._database) as connection:
            rows = connection.execute(query).all()
        return tuple(Veto(kind=VetoKind(kind), target=target, set_at=at) for kind, target, at in rows)

    def find(self, targets: Iterable[str]) -> Veto | None:
        """Return what stops something that has to do with all of these; a hold only where nothing else does."""
        wanted = {EVERYTHING, *targets}
        # The log knows a data set by an id, people by its name.
        found = [one for one in self.standing() if wanted & {one.target, dataset_id(one.target)}]
        return min(found, key=lambda one: one.kind is VetoKind.HOLD, default=None)


def _standing(kind: VetoKind, target: str) -> tuple[ColumnElement[bool], ...]:
    return (VETO.c.kind == kind.value, VETO.c.target == target, VETO.c.lifted_at.is_(None))
