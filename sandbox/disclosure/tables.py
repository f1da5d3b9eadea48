"""Tables of the disclosure gate in the node's database: what is held, and who checked it."""

from typing import Final

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, Text

from sandbox.database import METADATA

__all__ = ["CHECK", "HELD"]

HELD: Final = Table(
    "disclosure_held",
    METADATA,
    Column("id", String(80), primary_key=True),
    Column("question", String(80), nullable=False, unique=True),
    Column("requesters", Text, nullable=False),
    Column("checkers_needed", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("question_digest", String(71), nullable=False),
    Column("rules", String(71), nullable=False),
    Column("commitment", String(71), nullable=False),
    Column("notice", Text, nullable=False),
    Column("sealed", LargeBinary),
    Column("held_at", String(27), nullable=False),
    Column("ended_at", String(27)),
    Column("destroyed_at", String(27)),
    Index("disclosure_held_by_state", "state"),
)
"""One row a held candidate. `notice` is what the partner is told; `sealed` is encrypted evidence, until the end."""

CHECK: Final = Table(
    "disclosure_check",
    METADATA,
    Column("held", String(80), primary_key=True),
    Column("person", String(80), primary_key=True),
    Column("approves", Boolean, nullable=False),
    Column("suppress_reviewed", Boolean, nullable=False),
    Column("checked_at", String(27), nullable=False),
)
"""Who looked at a held candidate and decided what; nobody twice."""
