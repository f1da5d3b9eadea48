"""Tables of the history: append-only, except for the head that orders the answers of all processes of a node."""

from sqlalchemy import Column, Integer, LargeBinary, String, Table, Text

from sandbox.database import METADATA

__all__ = ["ANSWER", "HEAD", "MASK", "PART", "TABLES"]

HEAD = Table(
    "history_head",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("sequence", Integer, nullable=False),
)

ANSWER = Table(
    "history_answer",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("question", String(71), nullable=False, unique=True),
    Column("layout", LargeBinary, nullable=False),
    Column("recorded_at", String(27), nullable=False),
    Column("evidence", Text, nullable=False),
)

PART = Table(
    "history_part",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("dataset", String(200), nullable=False, index=True),
    Column("subject", String(80), nullable=False),
    Column("scope", Text, nullable=False),
    Column("released", LargeBinary, nullable=False),
    Column("held", LargeBinary, nullable=False),
)

MASK = Table(
    "history_mask",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("measure", Text, nullable=False),
    Column("released", LargeBinary, nullable=False),
)

TABLES = (HEAD, ANSWER, PART, MASK)
