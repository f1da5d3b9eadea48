"""A small declared data set, rows that keep to it, and every kind of source with the same rows."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType
from sandbox.engine_duckdb.publish import Publication, publish_version
from sandbox.engine_duckdb.registry import UnitRegistry
from sandbox.engine_duckdb.sources import CsvEncoding, CsvSource, DuckdbSource, ParquetSource, PostgresSource, Source
from yingbi.clock import Clock, SystemClock
from yingbi.events.fields import PrivacyUnit

STREETS = ("园岭街道", "a", "it's")

FILINGS = Dataset(
    name="tax/filings",
    title="filings",
    owner="unit:futian-tax",
    privacy_unit=PrivacyUnit.ENTERPRISE,
    max_rows_per_unit=3,
    items=(
        DataItem(name="uscc", title="code", type=ItemType.TEXT, role=ItemRole.UNIT, nullable=False),
        DataItem(name="filed_on", title="day", type=ItemType.DATE, role=ItemRole.ROW_KEY, nullable=False),
        DataItem(name="street", title="street", type=ItemType.CODE, domain=STREETS),
        DataItem(
            name="tax", title="tax", type=ItemType.DECIMAL, decimals=2, bounds=(Decimal("-10.5"), Decimal(1_000_000))
        ),
        DataItem(name="staff", title="staff", type=ItemType.INTEGER, nullable=False, bounds=(Decimal(0), Decimal(99))),
        DataItem(name="late", title="late", type=ItemType.BOOLEAN),
        DataItem(name="note", title="note", type=ItemType.TEXT),
        DataItem(name="phone", title="phone", type=ItemType.TEXT, on_negative_list=True),
    ),
)

Row = dict[str, Any]

ROWS: tuple[Row, ...] = (
    {
        "uscc": "91990304YB0000001Z",
        "filed_on": date(2024, 1, 1),
        "street": "a",
        "tax": Decimal("12.50"),
        "staff": 3,
        "late": True,
        "note": 'x, "y"\nz',
        "phone": "1",
    },
    {
        "uscc": "91990304YB0000001Z",
        "filed_on": date(2024, 4, 1),
        "street": "it's",
        "tax": Decimal("-10.50"),
        "staff": 0,
        "late": False,
        "note": None,
        "phone": None,
    },
    {
        "uscc": " ９1990304yb0000002z",
        "filed_on": date(2024, 1, 1),
        "street": "园岭街道",
        "tax": None,
        "staff": 99,
        "late": None,
        "note": "z",
        "phone": "2",
    },
)


def arrow(rows: tuple[Row, ...] = ROWS) -> pa.Table:
    types = {"tax": pa.decimal128(18, 2), "staff": pa.int32(), "late": pa.bool_(), "filed_on": pa.date32()}
    return pa.table({name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in ROWS[0]})


def texts(rows: tuple[Row, ...] = ROWS) -> list[dict[str, str]]:
    """Return rows as a CSV has them."""

    def text(value: object) -> str:
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    return [{name: text(value) for name, value in row.items()} for row in rows]


def write_csv(path: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> CsvSource:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text

    lines = [",".join(rows[0]), *(",".join(map(cell, row.values())) for row in rows)]
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return CsvSource(path=path, encoding=CsvEncoding(encoding))


def write_parquet(path: Path, rows: tuple[Row, ...] = ROWS) -> ParquetSource:
    pq.write_table(arrow(rows), path)
    return ParquetSource(path=path)


def write_duckdb(path: Path, rows: tuple[Row, ...] = ROWS) -> DuckdbSource:
    with duckdb.connect(str(path)) as connection:
        connection.register("rows", arrow(rows))
        connection.execute("CREATE TABLE filings AS SELECT * FROM rows")
    return DuckdbSource(path=path, table="filings")


def write_postgres(url: str, rows: tuple[Row, ...] = ROWS) -> PostgresSource:
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE filings (uscc text, filed_on date, street text, tax numeric, staff int, late bool,"
            " note text, phone text)"
        )
        with connection.cursor() as cursor:
            values = ", ".join(["%s"] * len(rows[0]))
            cursor.executemany(f"INSERT INTO filings VALUES ({values})", [tuple(row.values()) for row in rows])
    return PostgresSource(url=url, table="filings")


def changed(index: int, **values: str) -> list[dict[str, str]]:
    """Return the rows' texts with other values in one row."""
    rows = texts()
    rows[index] = rows[index] | values
    return rows


def registry(folder: Path) -> UnitRegistry:
    return UnitRegistry(folder / "registry.duckdb")


def publish_here(
    folder: Path, source: Source, dataset: Dataset = FILINGS, *, clock: Clock | None = None, **options: Any
) -> Publication:
    return publish_version(
        dataset, source, data=folder / "data", registry=registry(folder), clock=clock or SystemClock(), **options
    )


def rows_of(folder: Path, version: int = 1, dataset: str = "tax/filings", columns: str = "*") -> list[tuple[Any, ...]]:
    path = folder / "data" / dataset / str(version) / "data.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(f"SELECT {columns} FROM rows").fetchall()


def columns_of(folder: Path, dataset: str = "tax/filings") -> dict[str, str]:
    path = folder / "data" / dataset / "1" / "data.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        return {row[0]: row[1] for row in connection.execute("DESCRIBE rows").fetchall()}


def with_items(dataset: Dataset = FILINGS, **changes: Mapping[str, Any]) -> Dataset:
    items = tuple(replace(item, **changes.get(item.name, {})) for item in dataset.items)
    return replace(dataset, items=items)
