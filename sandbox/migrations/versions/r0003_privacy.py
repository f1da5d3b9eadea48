"""Tables of the accountant: budgets, reservations, debits."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STEPS = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "privacy_budget",
        sa.Column("agreement", sa.String(length=80), nullable=False),
        sa.Column("dataset", sa.String(length=130), nullable=False),
        sa.Column("epsilon", sa.String(length=32), nullable=False),
        sa.Column("delta", sa.String(length=64), nullable=False),
        sa.Column("rho", _STEPS, nullable=False),
        sa.Column("granted_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("agreement", "dataset"),
    )
    op.create_table(
        "privacy_reservation",
        sa.Column("job", sa.String(length=80), nullable=False),
        sa.Column("agreement", sa.String(length=80), nullable=False),
        sa.Column("dataset", sa.String(length=130), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reserved", _STEPS, nullable=False),
        sa.Column("spent", _STEPS, nullable=False),
        sa.Column("reserved_at", sa.String(length=27), nullable=False),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        sa.PrimaryKeyConstraint("job"),
    )
    op.create_index("privacy_reservation_by_budget", "privacy_reservation", ["agreement", "dataset"], unique=False)
    op.create_table(
        "privacy_debit",
        sa.Column("job", sa.String(length=80), nullable=False),
        sa.Column("round", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rho", _STEPS, nullable=False),
        sa.Column("debited_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["privacy_reservation.job"]),
        sa.PrimaryKeyConstraint("job", "round", "attempt"),
    )
