"""Tables of the node's agent: the log as it was followed, what is reported, jobs and their statements, vetoes."""

from typing import Final

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, Text

from sandbox.database import METADATA

__all__ = [
    "DOCUMENT",
    "FOLLOWED_ENTRY",
    "FOLLOWED_HEAD",
    "JOB",
    "OPENING",
    "OUTBOX",
    "REPORT",
    "STATEMENT",
    "VETO",
    "VIOLATION",
]

FOLLOWED_ENTRY: Final = Table(
    "node_followed_entry",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Column("subject", String(80), nullable=False),
    Index("node_followed_entry_by_subject", "subject", "seq"),
)
"""The log's entries as they came; `subject` is the job of an entry about one, else what its statement names."""

FOLLOWED_HEAD: Final = Table(
    "node_followed_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("nodes", LargeBinary, nullable=False),
    Column("last_leaf", LargeBinary, nullable=False),
    Column("last_time", String(27), nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("cosigned_at", Integer, nullable=False),
)
"""One row: the newest head that was accepted, its compact tree, and the POSIX time that its quorum vouches for."""

DOCUMENT: Final = Table(
    "node_document",
    METADATA,
    Column("digest", String(71), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""Terms of agreements in canonical JSON, under the digest that entries name them by."""

VIOLATION: Final = Table(
    "node_violation",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("type", String(64), nullable=False),
    Column("subject", String(80), nullable=False),
    Column("rule", String(64), nullable=False),
)
"""Entries of the log that have no effect, and the rule that each of them breaks."""

REPORT: Final = Table(
    "node_report",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", String(27), nullable=False),
    Column("code", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("job", String(80)),
    Column("evidence", String(200)),
    Column("is_halting", Boolean, nullable=False),
    Column("resolved_at", String(27)),
)
"""What the hub or its log did that it must not; while a halting one is not resolved, the node does no work."""

JOB: Final = Table(
    "node_job",
    METADATA,
    Column("job", String(80), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("step", String(16), nullable=False),
    Column("lease", LargeBinary, nullable=False),
    Column("agreement", String(80), nullable=False),
    Column("partner", String(80), nullable=False),
    Column("runs", Integer, nullable=False),
    Column("sealed", LargeBinary),
    Column("notice", Text),
    Column("cause", String(64)),
    Column("updated_at", String(27), nullable=False),
    Index("node_job_by_step", "step"),
)
"""One row a job that was leased: the lease as it came, and where the job is at this node."""

STATEMENT: Final = Table(
    "node_statement",
    METADATA,
    Column("job", String(80), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("step", String(16), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("opening", Text),
    Column("entry", Integer),
)
"""Statements that the node made for a step of a job, stored before they were sent; `entry` once it is in the log."""

OPENING: Final = Table(
    "node_opening",
    METADATA,
    Column("commitment", String(71), primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
)
"""Openings of commitments to the contents of versions; they stay at the node."""

VETO: Final = Table(
    "node_veto",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("target", String(80), nullable=False),
    Column("set_at", String(27), nullable=False),
    Column("lifted_at", String(27)),
)
"""What the unit stopped by itself; a veto that is lifted stays recorded."""

OUTBOX: Final = Table(
    "node_outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("envelope", LargeBinary, nullable=False, unique=True),
    Column("entry", Integer),
)
"""Statements of the unit's CDO that the hub is still to record."""
