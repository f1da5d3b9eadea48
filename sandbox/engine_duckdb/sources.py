"""Where the rows of a data set come from: Parquet, CSV, a DuckDB file, a PostgreSQL table (docs/data.md).

Every kind ends as a relation of a DuckDB connection, read in chunks, whose columns are the source's own types; text
stays text. What a driver says of an error is dropped, because it quotes cells.
"""

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError

__all__ = [
    "CsvEncoding",
    "CsvSource",
    "DuckdbSource",
    "OpenSource",
    "ParquetSource",
    "PostgresSource",
    "Source",
    "connect",
    "guarded",
    "literal",
    "open_source",
    "quoted",
]

_BLOCK_BYTES: Final = 8 << 20
_GLOB: Final = frozenset("*?[]{}")
_DRIVER_ERRORS: Final = (duckdb.Error, pa.ArrowException, psycopg.Error, OSError, UnicodeError)

_T = TypeVar("_T")


class CsvEncoding(StrEnum):
    """How the bytes of a CSV file are text."""

    UTF8 = "utf-8"
    GB18030 = "gb18030"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetSource:
    """A Parquet file, a folder of them (any depth), or a glob; nothing outside of it is read."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvSource:
    """A CSV file with a header, a folder of them, or a glob; `nulls` are the texts that mean absent."""

    path: Path
    encoding: CsvEncoding = CsvEncoding.UTF8
    nulls: tuple[str, ...] = ("",)
    delimiter: str = ","


@dataclass(frozen=True, slots=True, kw_only=True)
class DuckdbSource:
    """A table of a DuckDB file. Views are refused: they would run what their author wrote."""

    path: Path
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSource:
    """A table or view of a PostgreSQL database; the URL may hold a password and is not shown."""

    url: str = field(repr=False)
    table: str
    schema: str = "public"


Source = ParquetSource | CsvSource | DuckdbSource | PostgresSource


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSource:
    """A source that a connection can read once: what stands after FROM, and the type of each wanted column."""

    relation: str
    types: Mapping[str, str]


def connect(scratch: Path) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB that loads no extension, sees no Python variable, and spills into `scratch` only."""
    return duckdb.connect(
        config={
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
            "python_enable_replacements": "false",
            "python_scan_all_frames": "false",
            "temp_directory": str(scratch),
        }
    )


@contextmanager
def open_source(
    connection: duckdb.DuckDBPyConnection, source: Source, names: Sequence[str] | None = None
) -> Iterator[OpenSource]:
    """Open a source for one reading of the columns `names` (all of them by default).

    Raises:
        InvalidRequestError: it cannot be read, a column is missing, a path leads out of what was named.
    """
    match source:
        case ParquetSource():
            yield _open_parquet(connection, source, names)
        case CsvSource():
            yield from _open_csv(connection, source, names)
        case DuckdbSource():
            yield from _open_duckdb(connection, source, names)
        case PostgresSource():
            yield from _open_postgres(connection, source, names)


def guarded(
    work: Callable[[], _T],
    *,
    code: ErrorCode = ErrorCode.SOURCE_UNREADABLE,
    message: str = "the source cannot be read",
    kind: type[SandboxError] = InvalidRequestError,
) -> _T:
    """Run `work`; what a driver raises becomes `kind`, without its text.

    Raises:
        SandboxError: of `kind`, when the driver failed.
    """
    try:
        return work()
    except _DRIVER_ERRORS as error:
        name = type(error).__name__
    # SECURITY: raised outside of the handler, so that no chain of causes leads to a text that quotes cells.
    raise kind(code, message, detail=name)


def quoted(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return an SQL string literal; DuckDB's have no escapes but the doubled quote."""
    return "'" + text.replace("'", "''") + "'"


def _open_parquet(
    connection: duckdb.DuckDBPyConnection, source: ParquetSource, names: Sequence[str] | None
) -> OpenSource:
    files = ", ".join(literal(str(path)) for path in _files(source.path, ".parquet"))
    relation = f"read_parquet([{files}], hive_partitioning = false, union_by_name = false)"
    return OpenSource(relation=relation, types=_types(connection, relation, names))


def _open_csv(
    connection: duckdb.DuckDBPyConnection, source: CsvSource, names: Sequence[str] | None
) -> Iterator[OpenSource]:
    files = _files(source.path, ".csv")
    headers = [guarded(lambda path=path: _csv_header(path, source)) for path in files]  # type: ignore[misc]  # a default
    wanted = list(names if names is not None else headers[0])
    for header in headers:
        _check_names(header, wanted)
    schema = pa.schema([(name, pa.string()) for name in wanted])
    reader = pa.RecordBatchReader.from_batches(schema, _csv_batches(files, source, wanted))
    yield from _registered(connection, reader)


def _csv_header(path: Path, source: CsvSource) -> list[str]:
    with path.open("rb") as file, _csv_reader(file, source) as reader:
        return list(reader.schema.names)


def _csv_batches(files: Sequence[Path], source: CsvSource, names: list[str]) -> Iterator[pa.RecordBatch]:
    for path in files:
        with path.open("rb") as file, _csv_reader(file, source, names) as reader:
            yield from reader


def _csv_reader(file: io.IOBase | Any, source: CsvSource, names: list[str] | None = None) -> pa_csv.CSVStreamingReader:
    return pa_csv.open_csv(
        file,
        read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES, encoding=source.encoding.value),
        parse_options=pa_csv.ParseOptions(delimiter=source.delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names or ()},
            include_columns=names,
            null_values=list(source.nulls),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _open_duckdb(
    connection: duckdb.DuckDBPyConnection, source: DuckdbSource, names: Sequence[str] | None
) -> Iterator[OpenSource]:
    path = _files(source.path, source.path.suffix)[0]
    guarded(lambda: connection.execute(f"ATTACH {literal(str(path))} AS source (TYPE duckdb, READ_ONLY)"))
    try:
        found = (
            "SELECT 1 FROM duckdb_tables() WHERE database_name = 'source' AND table_name = ? AND schema_name = 'main'"
        )
        if not guarded(lambda: connection.execute(found, [source.table]).fetchall()):
            raise InvalidRequestError(
                ErrorCode.SOURCE_UNREADABLE, f"expected a table `{source.table}` in the DuckDB file"
            )
        relation = f"source.main.{quoted(source.table)}"
        yield OpenSource(relation=relation, types=_types(connection, relation, names))
    finally:
        connection.execute("DETACH source")


def _open_postgres(
    connection: duckdb.DuckDBPyConnection, source: PostgresSource, names: Sequence[str] | None
) -> Iterator[OpenSource]:
    with _postgres(source) as client:
        present = guarded(lambda: _postgres_names(client, source))
        wanted = list(names if names is not None else present)
        _check_names(present, wanted)
        statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT csv)").format(
            sql.SQL(", ").join(map(sql.Identifier, wanted)), sql.Identifier(source.schema, source.table)
        )
        schema = pa.schema([(name, pa.string()) for name in wanted])
        reader = pa.RecordBatchReader.from_batches(schema, _postgres_batches(client, statement, wanted))
        yield from _registered(connection, reader)


@contextmanager
def _postgres(source: PostgresSource) -> Iterator[psycopg.Connection]:
    # One snapshot of the table, times and numbers in one text form whatever the server's settings are.
    options = "-c default_transaction_read_only=on -c datestyle=ISO -c extra_float_digits=1 -c intervalstyle=iso_8601"
    client = guarded(
        lambda: psycopg.connect(source.url, options=options, client_encoding="utf8"),
        message="the database cannot be reached",
    )
    try:
        yield client
    finally:
        client.close()


def _postgres_names(client: psycopg.Connection, source: PostgresSource) -> list[str]:
    statement = sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(source.schema, source.table))
    return [column.name for column in client.execute(statement).description or ()]


def _postgres_batches(
    client: psycopg.Connection, statement: sql.Composed, names: list[str]
) -> Iterator[pa.RecordBatch]:
    with client.cursor() as cursor, cursor.copy(statement) as copy:
        options = pa_csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=names)
        parse = pa_csv.ParseOptions(newlines_in_values=True)
        convert = pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        file = io.BufferedReader(_CopyStream(copy), _BLOCK_BYTES)
        try:
            yield from pa_csv.open_csv(file, options, parse, convert)
        except pa.ArrowInvalid:
            # Arrow knows no empty CSV; a table without rows is one.
            if file.raw.tell():
                raise


class _CopyStream(io.RawIOBase):
    """The bytes of a COPY as a file."""

    def __init__(self, copy: psycopg.Copy) -> None:
        self._copy = copy
        self._rest = b""
        self._done = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._done

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = bytes(self._copy.read())
        taken = self._rest[: len(buffer)]
        self._rest = self._rest[len(taken) :]
        buffer[: len(taken)] = taken
        self._done += len(taken)
        return len(taken)


def _registered(connection: duckdb.DuckDBPyConnection, reader: pa.RecordBatchReader) -> Iterator[OpenSource]:
    connection.register("source_rows", reader)
    try:
        yield OpenSource(relation="source_rows", types=dict.fromkeys(reader.schema.names, "VARCHAR"))
    finally:
        connection.unregister("source_rows")


def _types(connection: duckdb.DuckDBPyConnection, relation: str, names: Sequence[str] | None) -> dict[str, str]:
    rows = guarded(lambda: connection.execute(f"DESCRIBE FROM {relation}").fetchall())
    found = {str(row[0]): str(row[1]) for row in rows}
    wanted = list(names if names is not None else found)
    _check_names(list(found), wanted)
    return {name: found[name] for name in wanted}


def _check_names(present: Sequence[str], wanted: Sequence[str]) -> None:
    if missing := [name for name in wanted if name not in present]:
        raise InvalidRequestError(
            ErrorCode.SOURCE_UNREADABLE, f"expected a column for each data item, got none for `{'`, `'.join(missing)}`"
        )
    if doubled := [name for name in wanted if list(present).count(name) > 1]:
        raise InvalidRequestError(
            ErrorCode.SOURCE_UNREADABLE, f"expected each column once, got `{'`, `'.join(doubled)}` more often"
        )


def _files(path: Path, suffix: str) -> list[Path]:
    """Return the files that a path names: itself, those of a folder, or those that match a glob.

    Raises:
        InvalidRequestError: there is none, or one is a link that leads out, or has a name DuckDB takes for a pattern.
    """
    base, named = guarded(lambda: _matches(path, suffix))
    root = guarded(base.resolve)
    found = [file for file in map(_resolved, named) if file is not None and file.is_relative_to(root)]
    if len(found) < len(named):
        # SECURITY: what the operator named is read, not what somebody who may write there links to.
        raise InvalidRequestError(ErrorCode.SOURCE_UNREADABLE, "expected no link that leads out of the named folder")
    if any(_GLOB & set(str(file)) for file in found):
        raise InvalidRequestError(ErrorCode.SOURCE_UNREADABLE, "expected paths without any of `*?[]{}`")
    if not found:
        raise InvalidRequestError(ErrorCode.SOURCE_UNREADABLE, f"expected `{suffix}` files at the named path, got none")
    return found


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):  # a link to nothing, or to itself
        return None


def _matches(path: Path, suffix: str) -> tuple[Path, list[Path]]:
    path = path.absolute()
    if path.is_dir():
        return path, sorted(file for file in _walk(path) if file.suffix.lower() == suffix and _is_data(file, path))
    if path.exists():
        return path, [path]
    parts = path.parts
    at = next((at for at, part in enumerate(parts) if _GLOB & set(part)), len(parts))
    base = Path(*parts[:at])
    if at == len(parts) or not base.is_dir():
        return path, []
    return base, sorted(
        file for file in base.glob(str(Path(*parts[at:]))) if not file.is_dir() and _is_data(file, base)
    )


def _walk(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder, followlinks=False):
        yield from (Path(place) / name for name in names)


def _is_data(file: Path, base: Path) -> bool:
    """Tell whether a name is that of data: writers leave marks beside it, such as `_SUCCESS` and `.crc`."""
    return not any(part.startswith((".", "_")) for part in file.relative_to(base).parts)
