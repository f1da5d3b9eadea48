"""Files that are wrong in one way each, for imports and publications to refuse (docs/synth.md, "Faulty files").

Each is the beginning of a clean table with one fault. What a fault breaks is its declaration or the file itself.
"""

import io
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from sandbox.synth.columns import text_array

__all__ = ["FAULTY_ROWS", "FAULT_DATASETS", "Fault", "write_faulty"]

FAULTY_ROWS: Final = 1_000
"""Rows of a clean table that a faulty file begins with, at most."""


class Fault(StrEnum):
    """What is wrong; the name of the folder below `faulty/`."""

    NULL_UNIT = "null-unit"
    WRONG_CHECK_CHARACTER = "wrong-check-character"
    OUT_OF_BOUNDS = "out-of-bounds"
    OUTSIDE_DOMAIN = "outside-domain"
    NULL_NOT_ALLOWED = "null-not-allowed"
    DUPLICATE_ROWS = "duplicate-rows"
    TOO_MANY_ROWS = "too-many-rows"
    TEXT_FOR_NUMBER = "text-for-number"
    NOT_FINITE = "not-finite"
    TOO_PRECISE = "too-precise"
    MISSING_COLUMN = "missing-column"
    UNKNOWN_COLUMN = "unknown-column"
    TRUNCATED = "truncated"
    NOT_PARQUET = "not-parquet"
    RAGGED_CSV = "ragged-csv"
    WRONG_ENCODING_CSV = "wrong-encoding-csv"


FAULT_DATASETS: Final[dict[Fault, str]] = {
    fault: {
        Fault.TOO_MANY_ROWS: "justice/penalties",
        Fault.OUTSIDE_DOMAIN: "market/enterprises",
        Fault.WRONG_CHECK_CHARACTER: "market/enterprises",
        Fault.WRONG_ENCODING_CSV: "market/enterprises",
    }.get(fault, "tax/annual_filings")
    for fault in Fault
}
"""Which data set each faulty file belongs to."""


def write_faulty(fault: Fault, clean: pa.Table, folder: Path) -> Path:
    """Write `unit/resource` with one fault below `folder/fault`; `clean` is the beginning of that data set's table."""
    name = FAULT_DATASETS[fault]
    table = clean.slice(0, FAULTY_ROWS)
    if fault in _FILES:
        suffix, make_bytes = _FILES[fault]
    else:
        suffix, make_bytes = "parquet", lambda given: _parquet(_TABLES[fault](given))
    path = folder / fault / f"{name}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_bytes(table))
    return path


def _replace_first(table: pa.Table, name: str, text: str | None) -> pa.Table:
    """Return a table whose first row has another value in one column, or none."""
    column = table[name]
    changed = pa.nulls(1, column.type) if text is None else _read(text, column.type)
    return _with(table, name, pa.chunked_array([changed, *column.slice(1).chunks], column.type))


def _with(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def _read(text: str, kind: pa.DataType) -> pa.Array:
    return pc.cast(text_array([text]), kind)


def _wrong_check(table: pa.Table) -> pa.Table:
    code = str(table["uscc"][0].as_py())
    return _replace_first(table, "uscc", code[:-1] + ("0" if code[-1] != "0" else "1"))


def _too_many_rows(table: pa.Table) -> pa.Table:
    """Give one firm all rows: each has its own case number, and there are more than a firm may have."""
    rows = pa.concat_tables([table] * (17 // max(1, table.num_rows) + 1))
    numbered = text_array([f"FT-{number:08}" for number in range(1, rows.num_rows + 1)])
    one_firm = pa.repeat(table["uscc"][0], rows.num_rows)
    return _with(_with(rows, "uscc", one_firm), "case_no", numbered)


def _as_text(table: pa.Table) -> pa.Table:
    return _replace_first(_with(table, "tax_paid", pc.cast(table["tax_paid"], pa.string())), "tax_paid", "n/a")


def _as_floats(table: pa.Table) -> pa.Table:
    return _replace_first(_with(table, "tax_paid", pc.cast(table["tax_paid"], pa.float64())), "tax_paid", "nan")


def _too_precise(table: pa.Table) -> pa.Table:
    finer = pc.cast(table["tax_paid"], pa.decimal128(20, 4))
    return _with(table, "tax_paid", pc.add(finer, _read("0.0001", finer.type)[0]))


_TABLES: Final[dict[Fault, Callable[[pa.Table], pa.Table]]] = {
    Fault.NULL_UNIT: lambda table: _replace_first(table, "uscc", None),
    Fault.WRONG_CHECK_CHARACTER: _wrong_check,
    Fault.OUT_OF_BOUNDS: lambda table: _replace_first(table, "tax_paid", "50000000000.01"),
    Fault.OUTSIDE_DOMAIN: lambda table: _replace_first(table, "street", "无此街道"),
    Fault.NULL_NOT_ALLOWED: lambda table: _replace_first(table, "industry", None),
    Fault.DUPLICATE_ROWS: lambda table: pa.concat_tables([table, table.slice(0, 1)]),
    Fault.TOO_MANY_ROWS: _too_many_rows,
    Fault.TEXT_FOR_NUMBER: _as_text,
    Fault.NOT_FINITE: _as_floats,
    Fault.TOO_PRECISE: _too_precise,
    Fault.MISSING_COLUMN: lambda table: table.drop_columns(["industry"]),
    Fault.UNKNOWN_COLUMN: lambda table: table.append_column("remark", table["year"]),
}


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _csv(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(table, buffer)
    return buffer.getvalue()


def _truncated(table: pa.Table) -> bytes:
    whole = _parquet(table)
    return whole[: len(whole) // 2]


def _ragged(table: pa.Table) -> bytes:
    head, _, rows = _csv(table).partition(b"\n")
    return head + b"\n" + b"too,few\n" + rows


_FILES: Final[dict[Fault, tuple[str, Callable[[pa.Table], bytes]]]] = {
    Fault.TRUNCATED: ("parquet", _truncated),
    Fault.NOT_PARQUET: ("parquet", _csv),
    Fault.RAGGED_CSV: ("csv", _ragged),
    Fault.WRONG_ENCODING_CSV: ("csv", lambda table: _csv(table).decode().encode("gb18030")),
}
