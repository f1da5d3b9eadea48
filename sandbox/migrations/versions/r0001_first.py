"""First tables of a node: catalogue, history of releases, held results, questions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "catalog_dataset",
        sa.Column("name", sa.String(length=130), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("withdrawn_at", sa.String(length=27), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "catalog_negative_list",
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("changed_by", sa.String(length=80), nullable=False),
        sa.Column("second_person", sa.String(length=80), nullable=True),
        sa.Column("changed_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("revision"),
    )
    op.create_table(
        "catalog_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "disclosure_check",
        sa.Column("held", sa.String(length=80), nullable=False),
        sa.Column("person", sa.String(length=80), nullable=False),
        sa.Column("approves", sa.Boolean(), nullable=False),
        sa.Column("suppress_reviewed", sa.Boolean(), nullable=False),
        sa.Column("checked_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("held", "person"),
    )
    op.create_table(
        "disclosure_held",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("question", sa.String(length=80), nullable=False),
        sa.Column("requesters", sa.Text(), nullable=False),
        sa.Column("checkers_needed", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("question_digest", sa.String(length=71), nullable=False),
        sa.Column("rules", sa.String(length=71), nullable=False),
        sa.Column("commitment", sa.String(length=71), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("held_at", sa.String(length=27), nullable=False),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        sa.Column("destroyed_at", sa.String(length=27), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("question"),
    )
    op.create_index("disclosure_held_by_state", "disclosure_held", ["state"], unique=False)
    op.create_table(
        "history_answer",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("question", sa.String(length=71), nullable=False),
        sa.Column("layout", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.String(length=27), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("question"),
    )
    op.create_table(
        "history_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "history_mask",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("released", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", "number"),
    )
    op.create_table(
        "history_part",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("dataset", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("released", sa.LargeBinary(), nullable=False),
        sa.Column("held", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", "number"),
    )
    op.create_index(op.f("ix_history_part_dataset"), "history_part", ["dataset"], unique=False)
    op.create_table(
        "node_charge",
        sa.Column("question", sa.String(length=80), nullable=False),
        sa.Column("agreement", sa.String(length=80), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("question", "agreement"),
    )
    op.create_index("node_charge_by_agreement", "node_charge", ["agreement", "day"], unique=False)
    op.create_table(
        "node_output",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("question", sa.String(length=80), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("released_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("question"),
    )
    op.create_table(
        "node_question",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("partner", sa.String(length=80), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("received_at", sa.String(length=27), nullable=False),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        sa.Column("question_digest", sa.String(length=71), nullable=True),
        sa.Column("operations", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("output", sa.String(length=80), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "catalog_grade_suggestion",
        sa.Column("dataset", sa.String(length=130), nullable=False),
        sa.Column("item", sa.String(length=63), nullable=False),
        sa.Column("detector", sa.String(length=32), nullable=False),
        sa.Column("grade", sa.String(length=32), nullable=False),
        sa.Column("basis", sa.String(length=32), nullable=False),
        sa.Column("tenths", sa.Integer(), nullable=True),
        sa.Column("suggested_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset"],
            ["catalog_dataset.name"],
        ),
        sa.PrimaryKeyConstraint("dataset", "item", "detector"),
    )
    op.create_table(
        "catalog_revision",
        sa.Column("dataset", sa.String(length=130), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("changed_by", sa.String(length=80), nullable=False),
        sa.Column("second_person", sa.String(length=80), nullable=True),
        sa.Column("changed_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset"],
            ["catalog_dataset.name"],
        ),
        sa.PrimaryKeyConstraint("dataset", "revision"),
    )
    op.create_table(
        "catalog_grade_confirmation",
        sa.Column("dataset", sa.String(length=130), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("item", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("grade", sa.String(length=32), nullable=False),
        sa.Column("previous", sa.String(length=32), nullable=False),
        sa.Column("item_digest", sa.String(length=71), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("confirmed_by", sa.String(length=80), nullable=False),
        sa.Column("second_person", sa.String(length=80), nullable=True),
        sa.Column("confirmed_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset", "revision"],
            ["catalog_revision.dataset", "catalog_revision.revision"],
        ),
        sa.PrimaryKeyConstraint("dataset", "revision", "item"),
    )
    op.create_table(
        "catalog_version",
        sa.Column("dataset", sa.String(length=130), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("schema_digest", sa.String(length=71), nullable=False),
        sa.Column("rows", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("units", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("max_rows_per_unit", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset", "revision"],
            ["catalog_revision.dataset", "catalog_revision.revision"],
        ),
        sa.PrimaryKeyConstraint("dataset", "version"),
    )
