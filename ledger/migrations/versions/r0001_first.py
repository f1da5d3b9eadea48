"""First tables of the log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SIZE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "ledger_log",
        sa.Column("id", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("origin", sa.String(255), nullable=False),
        sa.Column("published_size", _SIZE),
        sa.CheckConstraint("id = 1", name="ledger_log_single"),
    )
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("size", _SIZE, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("last_leaf", sa.LargeBinary(32), nullable=False),
        sa.Column("last_time", sa.String(27), nullable=False),
        sa.CheckConstraint("id = 1", name="ledger_head_single"),
    )
    op.create_table(
        "ledger_entry",
        sa.Column("seq", _SIZE, autoincrement=False, primary_key=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "ledger_tile",
        sa.Column("level", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("position", _SIZE, autoincrement=False, primary_key=True),
        sa.Column("hashes", sa.LargeBinary(8192), nullable=False),
    )
    op.create_table(
        "ledger_signed",
        sa.Column("size", _SIZE, autoincrement=False, primary_key=True),
        sa.Column("note", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "ledger_cosignature",
        sa.Column("size", _SIZE, autoincrement=False, primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("key_id", sa.LargeBinary(4), primary_key=True),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "ledger_submission",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("start", _SIZE, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
    )
    op.create_table(
        "ledger_opening",
        sa.Column("commitment", sa.String(71), primary_key=True),
        sa.Column("salt", sa.LargeBinary(32), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "ledger_anchor",
        sa.Column("id", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name="ledger_anchor_single"),
    )
