"""Sources: what is read of a path, and what is refused."""

from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.engine_duckdb.sources import (
    CsvSource,
    DuckdbSource,
    ParquetSource,
    PostgresSource,
    Source,
    connect,
    guarded,
    literal,
    open_source,
    quoted,
)
from tests.lib.databases import new_postgres_url
from yingbi.errors import ErrorCode, InvalidRequestError


def read(folder: Path, source: Source, names: list[str] | None = None) -> list[tuple[object, ...]]:
    with connect(folder / "spill") as connection, open_source(connection, source, names) as opened:
        columns = ", ".join(map(quoted, opened.types))
        statement = f"SELECT {columns} FROM {opened.relation}"
        return sorted(guarded(lambda: connection.execute(statement).fetchall()), key=repr)


def refused(folder: Path, source: Source, names: list[str] | None = None) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        read(folder, source, names)
    assert caught.value.code is ErrorCode.SOURCE_UNREADABLE
    return caught.value.message


def part(path: Path, *values: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        path.write_text("n\n" + "".join(f"{value}\n" for value in values))
    else:
        pq.write_table(pa.table({"n": pa.array(values, pa.int64())}), path)
    return path


def sources_at(path: Path, suffix: str) -> Source:
    return CsvSource(path=path) if suffix == ".csv" else ParquetSource(path=path)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_path_is_a_file_a_folder_or_a_glob(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "it's data"
    for name, value in {"a": 1, "deep/er/b": 2, "_marks": 3, ".hidden": 4, "_tmp/c": 5}.items():
        part(folder / f"{name}{suffix}", value)
    part(folder / "else.txt", 6)
    found = {
        "file": read(tmp_path, sources_at(folder / f"a{suffix}", suffix)),
        "folder": read(tmp_path, sources_at(folder, suffix)),
        "glob": read(tmp_path, sources_at(folder / "deep" / "*" / f"[ab]{suffix}", suffix)),
        "relative": read(tmp_path, sources_at(folder / ".." / "it's data" / f"a{suffix}", suffix)),
    }
    numbers = {name: [int(str(row[0])) for row in rows] for name, rows in found.items()}
    assert numbers == {"file": [1], "folder": [1, 2], "glob": [2], "relative": [1]}


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, suffix: str) -> None:
    secret = part(tmp_path / f"secret{suffix}", 1)
    folder = tmp_path / "named"
    part(folder / f"a{suffix}", 2)
    (folder / f"b{suffix}").symlink_to(secret)
    assert "leads out" in refused(tmp_path, sources_at(folder, suffix))
    assert "leads out" in refused(tmp_path, sources_at(folder / f"*{suffix}", suffix))
    (folder / f"b{suffix}").unlink()
    (folder / f"b{suffix}").symlink_to(folder / f"a{suffix}")
    assert len(read(tmp_path, sources_at(folder, suffix))) == 2, "inside it may point where it will"
    (folder / "linked").symlink_to(tmp_path)
    assert len(read(tmp_path, sources_at(folder, suffix))) == 2, "folders that are links are not entered"
    (folder / f"b{suffix}").unlink()
    (folder / f"b{suffix}").symlink_to(folder / f"b{suffix}")
    refused(tmp_path, sources_at(folder, suffix))


def test_the_path_itself_may_be_a_link(tmp_path: Path) -> None:
    part(tmp_path / "real" / "a.parquet", 1)
    (tmp_path / "named").symlink_to(tmp_path / "real")
    assert read(tmp_path, ParquetSource(path=tmp_path / "named")) == [(1,)]
    assert read(tmp_path, ParquetSource(path=tmp_path / "named" / "a.parquet")) == [(1,)]


def test_a_file_whose_name_is_a_pattern_is_refused(tmp_path: Path) -> None:
    part(tmp_path / "x" / "a[1].parquet", 1)
    assert "without any of" in refused(tmp_path, ParquetSource(path=tmp_path / "x"))


@pytest.mark.parametrize("path", ["nothing", "nothing/*.parquet", "empty"])
def test_a_path_without_files_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path, ParquetSource(path=tmp_path / path))


def test_columns_are_found_by_name_in_every_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "x" / "b.csv").write_text("b,c,a\n4,5,3\n")
    assert read(tmp_path, CsvSource(path=tmp_path / "x"), ["a", "b"]) == [("1", "2"), ("3", "4")]
    assert "`c`" in refused(tmp_path, CsvSource(path=tmp_path / "x"), ["a", "c"]), "not every file has it"


def test_a_column_that_is_missing_or_doubled_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,b\n1,2,3\n")
    assert "`x`, `y`" in refused(tmp_path, CsvSource(path=path), ["a", "x", "y"])
    assert "`b`" in refused(tmp_path, CsvSource(path=path), ["a", "b"])
    assert "`z`" in refused(tmp_path, ParquetSource(path=part(tmp_path / "a.parquet", 1)), ["z"])


@pytest.mark.parametrize("content", [b"", b"a,b\n1\n", b"a\n\xff\n"], ids=["empty", "ragged", "bytes"])
def test_what_is_no_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    refused(tmp_path, CsvSource(path=tmp_path / "a.csv"))


def test_a_csv_may_have_a_mark_of_byte_order_a_delimiter_and_its_own_nulls(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes('\ufeffa;b;c\r\nNULL;-;"-"\r\n'.encode())
    source = CsvSource(path=tmp_path / "a.csv", delimiter=";", nulls=("NULL", "-"))
    assert read(tmp_path, source) == [(None, None, "-")]


def test_a_csv_is_read_in_blocks(tmp_path: Path) -> None:
    rows = "".join(f"{at},{'x' * 100}\n" for at in range(200_000))
    (tmp_path / "a.csv").write_text("n,t\n" + rows)
    with connect(tmp_path) as connection, open_source(connection, CsvSource(path=tmp_path / "a.csv")) as opened:
        found = connection.execute(f"SELECT sum(n::BIGINT), count(DISTINCT n) FROM {opened.relation}").fetchall()
    assert found == [(199_999 * 100_000, 200_000)]


def test_a_duckdb_table_is_read_and_a_view_is_not(tmp_path: Path) -> None:
    path = tmp_path / "it's.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute('CREATE TABLE "t ""1" AS SELECT 1 AS n')
        connection.execute("CREATE VIEW v AS SELECT content AS n FROM read_text('/etc/hostname')")
        connection.execute("CREATE SCHEMA other")
        connection.execute("CREATE TABLE other.hidden AS SELECT 1 AS n")
    assert read(tmp_path, DuckdbSource(path=path, table='t "1')) == [(1,)]
    for table in ("v", "hidden", "none", "read_text('/etc/hostname')"):
        assert "expected a table" in refused(tmp_path, DuckdbSource(path=path, table=table))


def test_a_folder_is_no_duckdb_file(tmp_path: Path) -> None:
    (tmp_path / "x.duckdb").mkdir()
    refused(tmp_path, DuckdbSource(path=tmp_path / "x.duckdb", table="t"))


def test_a_connection_loads_nothing_and_sees_no_variable_of_python(tmp_path: Path) -> None:
    hidden = pa.table({"n": [1]})
    with connect(tmp_path) as connection:
        for statement in ("FROM hidden", "LOAD httpfs", "SELECT * FROM 'https://127.0.0.1/x.parquet'"):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
    assert hidden.num_rows == 1


@pytest.mark.postgres
def test_a_postgresql_table_is_text_whatever_the_server_is_set_to(tmp_path: Path, postgres_folder: Path) -> None:
    url = new_postgres_url(postgres_folder)
    with psycopg.connect(url) as connection:
        connection.execute('CREATE SCHEMA "odd \'schema"')
        connection.execute(
            'CREATE TABLE "odd \'schema"."odd ""table" ("Ab c" text, d date, f float8, b bool, n numeric)'
        )
        connection.execute(
            'INSERT INTO "odd \'schema"."odd ""table" VALUES'
            " (E'x\\n\"y\",z', '2024-02-03', 0.1, true, 1.50), ('', NULL, NULL, NULL, NULL)"
        )
        connection.execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET datestyle = German', current_database()); END $$"
        )
    source = PostgresSource(url=url, table='odd "table', schema="odd 'schema")
    assert read(tmp_path, source) == [("", None, None, None, None), ('x\n"y",z', "2024-02-03", "0.1", "t", "1.50")]
    assert read(tmp_path, source, ["b", "Ab c"]) == [("t", 'x\n"y",z'), (None, "")]
    assert "`x`" in refused(tmp_path, source, ["x"])


@pytest.mark.postgres
def test_a_postgresql_table_without_rows_and_one_of_many_blocks(tmp_path: Path, postgres_folder: Path) -> None:
    url = new_postgres_url(postgres_folder)
    with psycopg.connect(url) as server:
        server.execute("CREATE TABLE empty (n int)")
        rows = "SELECT n, repeat('x', 100) AS t FROM generate_series(1, 200000) AS g(n)"
        server.execute(f"CREATE TABLE large AS {rows}")
    assert read(tmp_path, PostgresSource(url=url, table="empty")) == []
    with connect(tmp_path) as connection, open_source(connection, PostgresSource(url=url, table="large")) as opened:
        found = connection.execute(f"SELECT sum(n::BIGINT), count(*) FROM {opened.relation}").fetchall()
    assert found == [(200_001 * 100_000, 200_000)]


@pytest.mark.postgres
def test_postgresql_is_not_written_to_and_says_nothing_of_itself(tmp_path: Path, postgres_folder: Path) -> None:
    url = new_postgres_url(postgres_folder)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t (n int)")
        connection.execute(
            "CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS $$ INSERT INTO t VALUES (1) RETURNING n $$"
        )
        connection.execute("CREATE VIEW v AS SELECT writes() AS n")
        connection.execute(
            "CREATE VIEW fails AS SELECT ('canary' || generate_series)::int AS n FROM generate_series(1, 2)"
        )
    for table in ("v", "fails", "none"):
        assert "canary" not in refused(tmp_path, PostgresSource(url=url, table=table))
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    unreachable = PostgresSource(url="postgresql://me:secret@127.0.0.1:1/x", table="t")
    message = refused(tmp_path, unreachable)
    assert message == "the database cannot be reached"
    assert "secret" not in repr(unreachable)


def test_names_and_texts_are_quoted() -> None:
    assert quoted('a"b') == '"a""b"'
    assert literal("a'b") == "'a''b'"
