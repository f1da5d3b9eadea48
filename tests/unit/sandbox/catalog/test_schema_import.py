"""Drafts from schemas: types mapped or refused, names and limits left to a person, everything as strict as can be."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

from sandbox.catalog.model import ItemRole, ItemType, Visibility
from sandbox.catalog.problem import CatalogueInvalidError
from sandbox.catalog.schema_import import DraftHead, draft_from_arrow, draft_from_database, draft_from_parquet
from sandbox.catalog.validate import check_dataset
from tests.lib.databases import new_postgres_url
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.fields import Grade, PrivacyUnit

HEAD = DraftHead(
    name="tax/filings",
    title="纳税",
    owner="unit:futian-tax",
    privacy_unit=PrivacyUnit.ENTERPRISE,
    unit_column="USCC",
    names={"税额": "tax"},
)
SCHEMA = pa.schema(
    [
        pa.field("USCC", pa.string(), nullable=False),
        pa.field("Filed On", pa.date32()),
        pa.field("headcount", pa.uint32()),
        pa.field("税额", pa.decimal128(18, 2)),
        pa.field("rate", pa.float64()),
        pa.field("whole", pa.decimal128(10, 0)),
        pa.field("is_new", pa.bool_()),
        pa.field("street", pa.dictionary(pa.int8(), pa.string())),
        pa.field("remark", pa.large_string()),
    ]
)


def test_types_of_arrow_are_mapped_and_everything_is_strict() -> None:
    dataset = draft_from_arrow(SCHEMA, HEAD)
    assert [(item.name, item.type, item.decimals) for item in dataset.items] == [
        ("uscc", ItemType.TEXT, 0),
        ("filed_on", ItemType.DATE, 0),
        ("headcount", ItemType.INTEGER, 0),
        ("tax", ItemType.DECIMAL, 2),
        ("rate", ItemType.DECIMAL, 6),
        ("whole", ItemType.INTEGER, 0),
        ("is_new", ItemType.BOOLEAN, 0),
        ("street", ItemType.CODE, 0),
        ("remark", ItemType.TEXT, 0),
    ]
    assert {item.grade for item in dataset.items} == {Grade.GENERAL_4}
    assert {dataset.membership, *(item.visibility for item in dataset.items)} == {Visibility.CONFIDENTIAL}
    assert dataset.unit_item.name == "uscc"
    assert dataset.items[3].title == "税额"


def test_what_a_person_must_declare_is_what_the_check_finds() -> None:
    problems = check_dataset(draft_from_arrow(SCHEMA, HEAD))
    assert [problem.path for problem in problems] == [
        "items[2].bounds", "items[3].bounds", "items[4].bounds", "items[5].bounds", "items[7].domain",
    ]  # fmt: skip


def test_unknown_types_and_names_are_refused_all_at_once() -> None:
    schema = pa.schema(
        [
            ("USCC", pa.string()),
            ("at", pa.timestamp("us")),
            ("parts", pa.list_(pa.int8())),
            ("fine", pa.decimal128(20, 9)),
            ("blob", pa.binary()),
            ("名称", pa.string()),
            ("dict", pa.dictionary(pa.int8(), pa.int64())),
        ]
    )
    with pytest.raises(CatalogueInvalidError) as caught:
        draft_from_arrow(schema, HEAD)
    assert [problem.path for problem in caught.value.problems] == [
        "columns.at", "columns.parts", "columns.fine", "columns.blob", "columns.名称",
    ]  # fmt: skip
    assert "timestamp" in caught.value.problems[0].message


def test_the_unit_column_must_be_there() -> None:
    with pytest.raises(CatalogueInvalidError) as caught:
        draft_from_arrow(pa.schema([("other", pa.string())]), HEAD)
    assert [problem.path for problem in caught.value.problems] == ["unit_column"]


def test_a_parquet_file_gives_its_schema_and_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"USCC": ["CANARY"], "tax": [1]}), path)
    dataset = draft_from_parquet(path, HEAD)
    assert [item.name for item in dataset.items] == ["uscc", "tax"]
    assert "CANARY" not in repr(dataset)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1CANARYPAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(data)
    with pytest.raises(InvalidRequestError) as caught:
        draft_from_parquet(path, HEAD)
    assert (caught.value.code, "CANARY" in str(caught.value)) == (ErrorCode.SOURCE_UNREADABLE, False)


TABLE = """create table filings (
    "USCC" varchar(18) not null, year smallint not null, filed_on date, tax numeric(18, 2), rate double precision,
    is_new boolean, remark text, primary key ("USCC", year))"""
EXPECTED = [
    ("uscc", ItemType.TEXT, ItemRole.UNIT, 0),
    ("year", ItemType.INTEGER, ItemRole.ROW_KEY, 0),
    ("filed_on", ItemType.DATE, ItemRole.ATTRIBUTE, 0),
    ("tax", ItemType.DECIMAL, ItemRole.ATTRIBUTE, 2),
    ("rate", ItemType.DECIMAL, ItemRole.ATTRIBUTE, 6),
    ("is_new", ItemType.BOOLEAN, ItemRole.ATTRIBUTE, 0),
    ("remark", ItemType.TEXT, ItemRole.ATTRIBUTE, 0),
]


def test_a_table_of_sqlite_is_drafted() -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(text(TABLE))
        connection.execute(text('create table odd ("USCC" text, at timestamp, b blob, primary key ("USCC"))'))
        dataset = draft_from_database(connection, "filings", HEAD)
        assert [(item.name, item.type, item.role, item.decimals) for item in dataset.items] == EXPECTED
        with pytest.raises(CatalogueInvalidError) as caught:
            draft_from_database(connection, "odd", HEAD)
        assert [problem.path for problem in caught.value.problems] == ["columns.at", "columns.b"]
        with pytest.raises(InvalidRequestError):
            draft_from_database(connection, "nowhere", HEAD)
    engine.dispose()


@pytest.mark.postgres
def test_a_table_of_postgresql_is_drafted(postgres_folder: Path) -> None:
    url = new_postgres_url(postgres_folder).replace("postgresql:", "postgresql+psycopg:", 1)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(TABLE))
        connection.execute(text("comment on column filings.tax is '实缴税额'"))
        connection.execute(text("create type kind as enum ('a', 'b')"))
        connection.execute(text('create table odd ("USCC" text, k kind, j jsonb, u uuid)'))
        dataset = draft_from_database(connection, "filings", HEAD)
        assert [(item.name, item.type, item.role, item.decimals) for item in dataset.items] == EXPECTED
        assert dataset.items[3].title == "实缴税额"
        with pytest.raises(CatalogueInvalidError) as caught:
            draft_from_database(connection, "odd", HEAD)
        assert [problem.path for problem in caught.value.problems] == ["columns.j"]
        connection.execute(text("alter table odd drop column j"))
        odd = draft_from_database(connection, "odd", HEAD)
        assert (odd.items[1].type, odd.items[1].domain) == (ItemType.CODE, ("a", "b"))
    engine.dispose()
