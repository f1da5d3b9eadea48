"""Tables of a node's part in federations."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "node_joint_bins",
        sa.Column("dataset", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("feature", sa.String(length=64), nullable=False),
        sa.Column("question", sa.String(length=71), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "version", "feature"),
    )
    op.create_table(
        "node_joint_member",
        sa.Column("job", sa.String(length=80), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("federation", sa.String(length=80), nullable=False),
        sa.Column("public_key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("private_key", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("job", "attempt"),
    )
    op.create_table(
        "node_joint_state",
        sa.Column("job", sa.String(length=80), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job"),
    )
    op.create_table(
        "node_joint_vector",
        sa.Column("job", sa.String(length=80), nullable=False),
        sa.Column("round", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("input", sa.String(length=71), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("rho", sa.String(length=21), nullable=True),
        sa.PrimaryKeyConstraint("job", "round"),
    )
    op.create_table(
        "node_joint_sealed",
        sa.Column("job", sa.String(length=80), nullable=False),
        sa.Column("commitment", sa.String(length=71), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=12), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job"),
    )
    op.create_table(
        "node_joint_sent",
        sa.Column("job", sa.String(length=80), nullable=False),
        sa.Column("round", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job", "round", "attempt"),
    )
