"""Tables of the accountant: what was granted, what jobs have reserved and spent, and each debit."""

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table

from sandbox.database import METADATA

__all__ = ["BUDGET", "DEBIT", "RESERVATION"]

# Rho in steps of `zcdp.RHO_STEP`; SQLite's integers have 64 bits.
_STEPS: Final = BigInteger().with_variant(Integer(), "sqlite")

BUDGET: Final = Table(
    "privacy_budget",
    METADATA,
    Column("agreement", String(80), primary_key=True),
    Column("dataset", String(130), primary_key=True),
    Column("epsilon", String(32), nullable=False),
    Column("delta", String(64), nullable=False),
    Column("rho", _STEPS, nullable=False),
    Column("granted_at", String(27), nullable=False),
)
"""What an agreement grants on a data set: epsilon and delta as it says them, and the rho that they hold."""

RESERVATION: Final = Table(
    "privacy_reservation",
    METADATA,
    Column("job", String(80), primary_key=True),
    Column("agreement", String(80), nullable=False),
    Column("dataset", String(130), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reserved", _STEPS, nullable=False),
    Column("spent", _STEPS, nullable=False),
    Column("reserved_at", String(27), nullable=False),
    Column("ended_at", String(27)),
    Index("privacy_reservation_by_budget", "agreement", "dataset"),
)
"""One row a job: the most it may spend, and what it has spent: the sum of its debits until it ends, then the whole."""

DEBIT: Final = Table(
    "privacy_debit",
    METADATA,
    Column("job", String(80), ForeignKey("privacy_reservation.job"), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("rho", _STEPS, nullable=False),
    Column("debited_at", String(27), nullable=False),
)
"""One row a release, written before it is computed."""
