"""What a register is asked to judge: one statement, its body, who signed it, when it is recorded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from policies.standing.keys import Signers
from yingbi.events import EntryType
from yingbi.statement import Statement

__all__ = ["Effect", "Judgement", "Rules", "Said"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A statement whose signatures are verified; `body` is of the model of its type, `at` the time of its entry."""

    statement: Statement
    body: Any
    signers: Signers
    at: str

    @property
    def type(self) -> EntryType:
        """Return the entry type."""
        return self.statement.type

    @property
    def about(self) -> str:
        """Return the id of what it is about."""
        return self.statement.payload.id

    @property
    def issuer(self) -> str:
        """Return who says it."""
        return self.statement.payload.issuer


Effect = Callable[[int], None]
"""What an entry changes, given its index."""

Judgement = Callable[[Said], Effect]
"""Says what a statement changes, changing nothing; raises `StatementRefusedError` where it changes nothing at all."""

Rules = Mapping[EntryType, Judgement]
