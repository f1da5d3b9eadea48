"""The catalogue's tables on the node's database (SQLAlchemy Core)."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    String,
    Table,
)

from sandbox.database import METADATA

__all__ = ["DATASET", "GRADE_CONFIRMATION", "GRADE_SUGGESTION", "NEGATIVE_LIST", "REVISION", "STATE", "VERSION"]

# SQLite's rowid is 64 bits wide only when the column is called INTEGER.
_SIZE: Final = BigInteger().with_variant(Integer(), "sqlite")
_DATASET_NAME: Final = String(130)
_ITEM_NAME: Final = String(63)
_PARTY: Final = String(80)
_TIME: Final = String(27)
_CODE: Final = String(32)
_DIGEST: Final = String(71)

# One row: every change moves `revision` first, which makes writers queue up and tells readers that something changed.
STATE: Final = Table(
    "catalog_state",
    METADATA,
    Column(
        "id", Integer, CheckConstraint("id = 1", name="catalog_state_single"), primary_key=True, autoincrement=False
    ),
    Column("revision", _SIZE, nullable=False),
)
DATASET: Final = Table(
    "catalog_dataset",
    METADATA,
    Column("name", _DATASET_NAME, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("withdrawn_at", _TIME),
)
REVISION: Final = Table(
    "catalog_revision",
    METADATA,
    Column("dataset", _DATASET_NAME, ForeignKey(DATASET.c.name), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("digest", _DIGEST, nullable=False),
    Column("changed_by", _PARTY, nullable=False),
    Column("second_person", _PARTY),
    Column("changed_at", _TIME, nullable=False),
)
GRADE_SUGGESTION: Final = Table(
    "catalog_grade_suggestion",
    METADATA,
    Column("dataset", _DATASET_NAME, ForeignKey(DATASET.c.name), primary_key=True),
    Column("item", _ITEM_NAME, primary_key=True),
    Column("detector", _CODE, primary_key=True),
    Column("grade", _CODE, nullable=False),
    Column("basis", _CODE, nullable=False),
    Column("tenths", Integer),
    Column("suggested_at", _TIME, nullable=False),
)
# Never updated and never deleted: who graded what, and what it was before, stays readable.
GRADE_CONFIRMATION: Final = Table(
    "catalog_grade_confirmation",
    METADATA,
    Column("dataset", _DATASET_NAME, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("item", _ITEM_NAME, primary_key=True),
    Column("state", _CODE, nullable=False),
    Column("grade", _CODE, nullable=False),
    Column("previous", _CODE, nullable=False),
    Column("item_digest", _DIGEST, nullable=False),
    Column("reason", _CODE),
    Column("confirmed_by", _PARTY, nullable=False),
    Column("second_person", _PARTY),
    Column("confirmed_at", _TIME, nullable=False),
    ForeignKeyConstraint(["dataset", "revision"], [REVISION.c.dataset, REVISION.c.revision]),
)
VERSION: Final = Table(
    "catalog_version",
    METADATA,
    Column("dataset", _DATASET_NAME, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False),
    Column("digest", _DIGEST, nullable=False),
    Column("schema_digest", _DIGEST, nullable=False),
    Column("rows", _SIZE, nullable=False),
    Column("units", _SIZE, nullable=False),
    Column("max_rows_per_unit", Integer, nullable=False),
    Column("published_at", _TIME, nullable=False),
    ForeignKeyConstraint(["dataset", "revision"], [REVISION.c.dataset, REVISION.c.revision]),
)
NEGATIVE_LIST: Final = Table(
    "catalog_negative_list",
    METADATA,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("changed_by", _PARTY, nullable=False),
    Column("second_person", _PARTY),
    Column("changed_at", _TIME, nullable=False),
)
