"""First tables of the hub."""

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
        "hub_nonce",
        sa.Column("keyid", sa.String(43), primary_key=True),
        sa.Column("nonce", sa.String(64), primary_key=True),
        sa.Column("expires_at", sa.String(27), nullable=False),
    )
    op.create_index("hub_nonce_by_end", "hub_nonce", ["expires_at"])
    op.create_table(
        "hub_answer",
        sa.Column("signer", sa.String(80), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("made_at", sa.String(27), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("headers", sa.Text()),
        sa.Column("body", sa.LargeBinary()),
    )
    op.create_index("hub_answer_by_time", "hub_answer", ["made_at"])
    op.create_table(
        "hub_document",
        sa.Column("digest", sa.String(71), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.String(27), nullable=False),
    )
    op.create_table(
        "hub_draft",
        sa.Column("digest", sa.String(71), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sender", sa.String(80), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("missing", sa.Text(), nullable=False),
        sa.Column("made_at", sa.String(27), nullable=False),
        sa.Column("expires_at", sa.String(27), nullable=False),
        sa.Column("network", sa.String(50), nullable=False),
    )
    op.create_index("hub_draft_by_end", "hub_draft", ["expires_at"])
    op.create_table(
        "hub_result",
        sa.Column("job", sa.String(80), primary_key=True),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.String(27), nullable=False),
    )
    op.create_table(
        "hub_notice",
        sa.Column("job", sa.String(80), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.String(27), nullable=False),
    )
    op.create_table(
        "hub_webhook",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("made_at", sa.String(27), nullable=False),
        sa.Column("next_index", _SIZE, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.String(27), nullable=False),
    )
    op.create_index("hub_webhook_by_owner", "hub_webhook", ["owner"])
