"""The tables of a log's database (SQLAlchemy Core). Their history is `ledger.migrations`; a test compares them."""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary, MetaData, String, Table

__all__ = ["ANCHOR", "COSIGNATURE", "ENTRY", "HEAD", "LOG", "METADATA", "OPENING", "SIGNED", "SUBMISSION", "TILE"]

METADATA: Final = MetaData()
# SQLite's rowid is 64 bits wide only when the column is called INTEGER.
_SIZE: Final = BigInteger().with_variant(Integer(), "sqlite")

LOG: Final = Table(
    "ledger_log",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1", name="ledger_log_single"), primary_key=True, autoincrement=False),
    Column("origin", String(255), nullable=False),
    Column("published_size", _SIZE),
)
HEAD: Final = Table(
    "ledger_head",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1", name="ledger_head_single"), primary_key=True, autoincrement=False),
    Column("size", _SIZE, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("last_leaf", LargeBinary(32), nullable=False),
    Column("last_time", String(27), nullable=False),
)
ENTRY: Final = Table(
    "ledger_entry",
    METADATA,
    Column("seq", _SIZE, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
TILE: Final = Table(
    "ledger_tile",
    METADATA,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", _SIZE, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary(8192), nullable=False),
)
SIGNED: Final = Table(
    "ledger_signed",
    METADATA,
    Column("size", _SIZE, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
)
COSIGNATURE: Final = Table(
    "ledger_cosignature",
    METADATA,
    Column("size", _SIZE, primary_key=True, autoincrement=False),
    Column("name", String(255), primary_key=True),
    Column("key_id", LargeBinary(4), primary_key=True),
    Column("blob", LargeBinary, nullable=False),
)
SUBMISSION: Final = Table(
    "ledger_submission",
    METADATA,
    Column("key", String(200), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("start", _SIZE, nullable=False),
    Column("count", Integer, nullable=False),
)
OPENING: Final = Table(
    "ledger_opening",
    METADATA,
    Column("commitment", String(71), primary_key=True),
    Column("salt", LargeBinary(32), nullable=False),
    Column("value", LargeBinary, nullable=False),
)
ANCHOR: Final = Table(
    "ledger_anchor",
    METADATA,
    Column(
        "id", Integer, CheckConstraint("id = 1", name="ledger_anchor_single"), primary_key=True, autoincrement=False
    ),
    Column("record", LargeBinary, nullable=False),
)
