"""The tables of the hub's database (SQLAlchemy Core). Their history is `api.migrations`; a test compares them."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

__all__ = [
    "ANSWER",
    "DOCUMENT",
    "DRAFT",
    "FEDERATION_ROUND",
    "FEDERATION_STATE",
    "FEDERATION_VECTOR",
    "METADATA",
    "NONCE",
    "NOTICE",
    "RESULT",
    "WEBHOOK",
]

METADATA: Final = MetaData()
# SQLite's integers are 64 bits wide only when the column is called INTEGER.
_SIZE: Final = BigInteger().with_variant(Integer(), "sqlite")

NONCE: Final = Table(
    "hub_nonce",
    METADATA,
    Column("keyid", String(43), primary_key=True),
    Column("nonce", String(64), primary_key=True),
    Column("expires_at", String(27), nullable=False),
    Index("hub_nonce_by_end", "expires_at"),
)
"""Nonces of accepted requests, until the requests have expired."""

ANSWER: Final = Table(
    "hub_answer",
    METADATA,
    Column("signer", String(80), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("made_at", String(27), nullable=False),
    Column("status", Integer),
    Column("headers", Text),
    Column("body", LargeBinary),
    Index("hub_answer_by_time", "made_at"),
)
"""Answers to requests with an idempotency key; without a status while the first one is still being answered."""

DOCUMENT: Final = Table(
    "hub_document",
    METADATA,
    Column("digest", String(71), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("kept_at", String(27), nullable=False),
)
"""Documents that entries name by digest, in canonical JSON."""

DRAFT: Final = Table(
    "hub_draft",
    METADATA,
    Column("digest", String(71), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("sender", String(80), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("missing", Text, nullable=False),
    Column("made_at", String(27), nullable=False),
    Column("expires_at", String(27), nullable=False),
    Column("network", String(50), nullable=False),
    Index("hub_draft_by_end", "expires_at"),
)
"""Submissions that wait for signatures of others; `content` is the submission in canonical JSON."""

RESULT: Final = Table(
    "hub_result",
    METADATA,
    Column("job", String(80), primary_key=True),
    Column("digest", String(71), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("kept_at", String(27), nullable=False),
)
"""Sealed results; the hub has no key that opens them."""

NOTICE: Final = Table(
    "hub_notice",
    METADATA,
    Column("job", String(80), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("kept_at", String(27), nullable=False),
)
"""What a node tells a partner of a refused or held job, in canonical JSON without values."""

WEBHOOK: Final = Table(
    "hub_webhook",
    METADATA,
    Column("id", String(80), primary_key=True),
    Column("owner", String(80), nullable=False),
    Column("url", Text, nullable=False),
    Column("made_at", String(27), nullable=False),
    Column("next_index", _SIZE, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("next_at", String(27), nullable=False),
    Index("hub_webhook_by_owner", "owner"),
)
"""Where a party wants to be told of entries about its jobs: the next entry to look at, and not before when."""

FEDERATION_STATE: Final = Table(
    "hub_federation_state",
    METADATA,
    Column("federation", String(80), primary_key=True),
    Column("round", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
"""The newest state of a federation, and the round that left it; it can be computed again from the vectors."""

FEDERATION_VECTOR: Final = Table(
    "hub_federation_vector",
    METADATA,
    Column("federation", String(80), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("node", String(80), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)
"""Masked contributions, byte for byte as they came: evidence, and nothing by itself."""

FEDERATION_ROUND: Final = Table(
    "hub_federation_round",
    METADATA,
    Column("federation", String(80), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("began_at", String(27), nullable=False),
    Column("ended_at", String(27), nullable=False),
    Column("figures", Text, nullable=False),
)
"""How a completed round went, for people: when, and what the state says of itself (loss, gradient norm), as JSON."""
