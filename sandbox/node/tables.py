"""Tables of the node itself: every question that was asked, how it ended, and what was released."""

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table, Text

from sandbox.database import METADATA

__all__ = ["CHARGE", "OUTPUT", "QUESTION"]

QUESTION: Final = Table(
    "node_question",
    METADATA,
    Column("id", String(80), primary_key=True),
    Column("partner", String(80), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("received_at", String(27), nullable=False),
    Column("ended_at", String(27)),
    Column("question_digest", String(71)),
    Column("operations", Text, nullable=False),
    Column("asked", Text),
    Column("code", String(64)),
    Column("output", String(80)),
)
"""One row a question; `asked` is its plan and party in canonical JSON, `code` the first refusal's or failure's."""

CHARGE: Final = Table(
    "node_charge",
    METADATA,
    Column("question", String(80), primary_key=True),
    Column("agreement", String(80), primary_key=True),
    Column("day", String(10), nullable=False),
    Column("rounds", Integer, nullable=False),
    Index("node_charge_by_agreement", "agreement", "day"),
)
"""What a question took of an agreement's limits; charged before it runs and never given back."""

OUTPUT: Final = Table(
    "node_output",
    METADATA,
    Column("id", String(80), primary_key=True),
    Column("question", String(80), nullable=False, unique=True),
    Column("digest", String(71), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("released_at", String(27), nullable=False),
)
"""Released tables, in canonical JSON."""
