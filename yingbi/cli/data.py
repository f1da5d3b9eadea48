"""`yingbi data`: publish versions of data sets at a node, verify them, profile sources, make synthetic twins."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from yingbi.cli.output import JsonFlag, missing_extra, progress_bar, show_fields, show_rows
from yingbi.cli.text import t
from yingbi.clock import SystemClock, format_time
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    import pyarrow as pa

    from sandbox.engine_duckdb.profile import ColumnProfile, Profile
    from sandbox.engine_duckdb.publish import Publication
    from sandbox.engine_duckdb.sources import Source
    from sandbox.node.home import NodeHome

__all__ = ["Encoding", "NodeOption", "SourceFormat", "app", "make_source"]

app = typer.Typer(help=t("data.help"), no_args_is_help=True)

_POSTGRES: Final = ("postgresql://", "postgres://")


class SourceFormat(StrEnum):
    """Kinds of files that data come in."""

    PARQUET = "parquet"
    CSV = "csv"
    DUCKDB = "duckdb"


class Encoding(StrEnum):
    """Encodings of CSV files."""

    UTF8 = "utf-8"
    GB18030 = "gb18030"


NodeOption = Annotated[Path, typer.Option("--node", envvar="YINGBI_NODE", help=t("data.option.node"))]
DatasetName = Annotated[str, typer.Argument(help=t("data.argument.dataset"))]
SourceText = Annotated[str, typer.Argument(metavar="SOURCE", help=t("data.argument.source"))]
Format = Annotated[SourceFormat | None, typer.Option("--format", help=t("data.option.format"))]
Table = Annotated[str | None, typer.Option("--table", help=t("data.option.table"))]
Schema = Annotated[str, typer.Option("--schema", help=t("data.option.schema"))]
CsvEncodingOption = Annotated[Encoding, typer.Option("--encoding", help=t("data.option.encoding"))]
Nulls = Annotated[list[str] | None, typer.Option("--null", help=t("data.option.null"))]
Delimiter = Annotated[str, typer.Option("--delimiter", help=t("data.option.delimiter"))]


@app.command("publish", help=t("data.publish.help"))
def publish(
    dataset: DatasetName,
    source: SourceText,
    node: NodeOption = Path(),
    source_format: Format = None,
    table: Table = None,
    schema: Schema = "public",
    encoding: CsvEncodingOption = Encoding.UTF8,
    nulls: Nulls = None,
    delimiter: Delimiter = ",",
    as_json: JsonFlag = False,
) -> None:
    """Check a source against its declaration and publish it as the next version."""
    made = make_source(
        source, source_format, table=table, schema=schema, encoding=encoding, nulls=nulls, delimiter=delimiter
    )
    with _open_node(node) as home:
        # A file that was cut short makes a smaller version, which its own numbers do not show.
        before = home.catalogue.load().current(dataset)
        done = _publish(home, dataset, made, as_json=as_json)
    version = done.version
    fields = {
        "dataset": version.dataset,
        "version": version.version,
        "is_new": done.is_new,
        "digest": version.digest,
        "rows": version.rows,
        "rows_before": None if before is None else before.rows,
        "units": version.units,
        "units_before": None if before is None else before.units,
        "max_rows_per_unit": version.max_rows_per_unit,
        "doubtful_units": done.doubtful_units,
    }
    title = t("data.publish.title") if done.is_new else t("data.publish.unchanged")
    if not as_json:
        del fields["is_new"]  # the title says it
    show_fields(title, fields, as_json=as_json)


@app.command("versions", help=t("data.versions.help"))
def versions(dataset: DatasetName, node: NodeOption = Path(), as_json: JsonFlag = False) -> None:
    """List the published versions of a data set."""
    with _open_node(node) as home:
        found = home.catalogue.versions(dataset)
    show_rows(
        t("data.versions.title"),
        ("version", "published_at", "rows", "units", "digest"),
        [(item.version, format_time(item.published_at), item.rows, item.units, item.digest) for item in found],
        as_json=as_json,
    )


@app.command("verify", help=t("data.verify.help"))
def verify(
    dataset: DatasetName,
    number: Annotated[int | None, typer.Option("--version", min=1, help=t("data.option.version"))] = None,
    node: NodeOption = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Hash published snapshots again and compare them with what the catalogue recorded."""
    with _open_node(node) as home, progress_bar(t("data.verify.progress")) as progress:
        from sandbox.engine_duckdb.manifest import verify_snapshot

        wanted = [item for item in home.catalogue.versions(dataset) if number in (None, item.version)]
        for item in wanted:
            verify_snapshot(home.data, dataset, item.version, digest=item.digest, on_progress=progress)
    if not wanted:
        raise NotFoundError(ErrorCode.VERSION_NOT_FOUND, f"data set `{dataset}` has no such version")
    rows = [(item.version, item.digest) for item in wanted]
    show_rows(t("data.verify.title"), ("version", "digest"), rows, as_json=as_json)


@app.command("profile", help=t("data.profile.help"))
def profile(
    source: SourceText,
    dataset: Annotated[str | None, typer.Option("--dataset", help=t("data.option.suggest"))] = None,
    node: NodeOption = Path(),
    source_format: Format = None,
    table: Table = None,
    schema: Schema = "public",
    encoding: CsvEncodingOption = Encoding.UTF8,
    nulls: Nulls = None,
    delimiter: Delimiter = ",",
    as_json: JsonFlag = False,
) -> None:
    """Show aggregates of a source that help to declare it; with a data set, keep the grades that they suggest."""
    made = make_source(
        source, source_format, table=table, schema=schema, encoding=encoding, nulls=nulls, delimiter=delimiter
    )
    from sandbox.engine_duckdb.profile import profile as profile_source

    with progress_bar(t("data.profile.progress")) as progress:
        found = profile_source(made, on_progress=progress)
    if dataset is not None:
        with _open_node(node) as home:
            _record_suggestions(home, dataset, found)
    show_rows(
        t("data.profile.title", rows=found.rows),
        ("name", "type", "nulls", "distinct", "bounds", "matches", "embedded"),
        [_profile_row(column) for column in found.columns],
        as_json=as_json,
    )


@app.command("twin", help=t("data.twin.help"))
def twin(
    dataset: DatasetName,
    out: Annotated[Path, typer.Argument(help=t("data.argument.out"), dir_okay=False)],
    rows: Annotated[int, typer.Option("--rows", min=0, help=t("data.option.rows"))] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help=t("data.option.seed"))] = 1,
    node: NodeOption = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Write a table of the data set's shape that is made from its declaration alone."""
    with _open_node(node) as home:
        declared = home.catalogue.entry(dataset).dataset
    from sandbox.twin import make_twin

    _write_table(make_twin(declared, rows, seed), out)
    fields = {"dataset": dataset, "rows": rows, "file": str(out)}
    show_fields(t("data.twin.title"), fields, as_json=as_json)


def make_source(
    text: str,
    source_format: SourceFormat | None = None,
    *,
    table: str | None = None,
    schema: str = "public",
    encoding: Encoding = Encoding.UTF8,
    nulls: list[str] | None = None,
    delimiter: str = ",",
) -> "Source":
    """Return the source that a path or a PostgreSQL address names.

    Raises:
        InvalidRequestError: it is not told what kind of source it is, or something of that kind is missing.
    """
    try:
        from sandbox.engine_duckdb.sources import CsvEncoding, CsvSource, DuckdbSource, ParquetSource, PostgresSource
    except ImportError as error:
        raise missing_extra("node", error) from error
    if text.startswith(_POSTGRES):
        return PostgresSource(url=_without_password(text), table=_required(table), schema=schema)
    path = Path(text)
    match source_format or _guessed_format(path):
        case SourceFormat.PARQUET:
            return ParquetSource(path=path)
        case SourceFormat.DUCKDB:
            return DuckdbSource(path=path, table=_required(table))
        case SourceFormat.CSV:
            absent = ("",) if nulls is None else tuple(nulls)
            return CsvSource(path=path, encoding=CsvEncoding(encoding.value), nulls=absent, delimiter=delimiter)


def _guessed_format(path: Path) -> SourceFormat:
    for known in SourceFormat:
        if path.suffix.lower() == f".{known}" or (path.is_dir() and any(path.rglob(f"*.{known}"))):
            return known
    raise InvalidRequestError(ErrorCode.USAGE, "expected `--format` for a source whose name does not tell it")


def _required(table: str | None) -> str:
    if table is None:
        raise InvalidRequestError(ErrorCode.USAGE, "expected `--table` for a database")
    return table


def _without_password(url: str) -> str:
    # SECURITY: other users of the machine see arguments of processes.
    try:
        has_password = urlsplit(url).password is not None or "password=" in url
    except ValueError:
        has_password = True
    if has_password:
        raise InvalidRequestError(
            ErrorCode.USAGE, "expected a database URL without a password", hint="use ~/.pgpass or PGPASSWORD"
        )
    return url


def _profile_row(column: "ColumnProfile") -> tuple[object, ...]:
    nulls = f"{column.nulls} ({column.nulls_percent} %)"
    bounds = None if column.bounds is None else " … ".join(column.bounds)
    matches = ", ".join(f"{name} {round(share * 100)} %" for name, share in column.matches.items())
    embedded = ", ".join(f"{name} {count}" for name, count in column.embedded.items())
    return column.name, column.type.value, nulls, column.distinct, bounds, matches or None, embedded or None


def _write_table(table: "pa.Table", out: Path) -> None:
    from pyarrow import csv, parquet

    try:
        if out.suffix.lower() == ".csv":
            csv.write_csv(table, out)
        else:
            parquet.write_table(table, out)
    except OSError as error:
        raise InvalidRequestError(ErrorCode.USAGE, f"file `{out}` cannot be written: {error.strerror}") from error


def _publish(home: "NodeHome", dataset: str, source: "Source", *, as_json: bool) -> "Publication":
    from sandbox.engine_duckdb.publish import DataInvalidError, publish_version

    entry = home.catalogue.check_publishable(dataset)
    recorded = [version.version for version in home.catalogue.versions(dataset)]
    try:
        with progress_bar(t("data.publish.progress")) as progress:
            done = publish_version(
                entry.dataset,
                source,
                data=home.data,
                registry=home.registry,
                clock=SystemClock(),
                on_progress=progress,
                recorded=max(recorded, default=0),
            )
    except DataInvalidError as error:
        rows = [(problem.item, problem.fault.value, problem.count) for problem in error.problems]
        show_rows(t("data.problems.title"), ("item", "fault", "count"), rows, as_json=as_json)
        raise
    if done.is_new:
        home.catalogue.record_version(done.version, expected_revision=entry.revision)
    return done


def _record_suggestions(home: "NodeHome", dataset: str, found: "Profile") -> None:
    from sandbox.catalog.detectors import evidence_of, suggest

    declared = home.catalogue.entry(dataset).declared
    home.catalogue.record_suggestions(dataset, suggest(evidence_of(declared, found.shares())))


@contextmanager
def _open_node(folder: Path) -> "Iterator[NodeHome]":
    try:
        from sandbox.node.home import NodeHome
    except ImportError as error:
        raise missing_extra("node", error) from error
    home = NodeHome.open(folder)
    try:
        yield home
    finally:
        home.close()
