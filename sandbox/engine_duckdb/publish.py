"""Publish a data set: check a source against its declaration, and freeze it as a version (docs/data.md).

A version is all or nothing: every problem is found in one pass and told together, as counts, never as values; a
snapshot appears under its name complete and synced to disk, or not at all.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sandbox.catalog.model import DataItem, Dataset, DatasetVersion, ItemRole, ItemType
from sandbox.catalog.problem import CatalogueInvalidError
from sandbox.catalog.validate import check_dataset
from sandbox.engine_duckdb.conversion import converted, fixed_point, is_stored
from sandbox.engine_duckdb.manifest import (
    DATA_NAME,
    MANIFEST_NAME,
    hash_file,
    list_versions,
    read_manifest,
    render_manifest,
    schema_json,
    version_folder,
)
from sandbox.engine_duckdb.registry import HeldRegistry, UnitRegistry, is_valid
from sandbox.engine_duckdb.sources import Source, connect, guarded, literal, open_source, quoted
from yingbi.canonical import digest_bytes, digest_json
from yingbi.clock import Clock
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, RefusedError, UnavailableError
from yingbi.events.fields import Grade

__all__ = ["DataInvalidError", "Fault", "Problem", "Publication", "publish", "publish_version"]

_STAGING: Final = ".staging"
_STEPS: Final = 5
_MAX_TOLD: Final = 20
_FINEST: Final = 64
"""Units below this part of the mean are all in the last class of size."""

_BATCH_ROWS: Final = 1 << 17

# Every name that goes into these is quoted by `quoted`, or ours.
_STAGE: Final = "CREATE TABLE staged AS SELECT {columns} FROM {relation}"
_COUNT_FAULTS: Final = "SELECT {counts} FROM staged"
_GROUP_UNITS: Final = """
    CREATE TABLE units AS SELECT _id, count(*) AS _rows{totals} FROM staged WHERE _id IS NOT NULL GROUP BY _id"""
_COUNT_DOUBLES: Final = """
    SELECT coalesce(sum(extra), 0) FROM (
        SELECT count(*) - 1 AS extra FROM staged WHERE _id IS NOT NULL GROUP BY _id{keys} HAVING count(*) > 1)"""
_COUNT_OVERFULL: Final = "SELECT count(*) FROM units WHERE _rows > {limit}"
_NUMBER_UNITS: Final = """
    CREATE TABLE numbered AS SELECT number AS _unit, units.*, {size} AS _size
    FROM units JOIN {numbers} USING (_id), (SELECT count(*) AS _units{means} FROM units)"""
_KEY_ROWS: Final = """
    CREATE TABLE keyed AS SELECT _unit, {key} AS _key, staged.rowid AS _at FROM staged JOIN numbered USING (_id)"""
_PLACE_ROWS: Final = """
    CREATE TABLE placed AS SELECT _at, _unit, number AS _row FROM keyed JOIN {numbers} USING (_unit, _key)"""
_WRITE_ROWS: Final = """
    CREATE TABLE snapshot.rows AS SELECT {columns} FROM placed
    JOIN staged ON staged.rowid = placed._at JOIN numbered ON numbered._unit = placed._unit
    ORDER BY numbered._size DESC, placed._unit, placed._row"""
_LARGEST_TOTAL: Final = "SELECT coalesce(max({name}), 0) FROM numbered"
_COUNT_WRITTEN: Final = "SELECT count(*), (SELECT coalesce(sum(_rows), 0) FROM units) FROM snapshot.rows"
_READ_ROWS: Final = "SELECT {columns} FROM snapshot.rows"
_COUNT_DOUBTFUL: Final = "SELECT count(*) FILTER (NOT {is_valid}) FROM units"

OnProgress = Callable[[int, int], None]


class Fault(StrEnum):
    """Ways in which data break their declaration."""

    MISSING = "missing"
    MALFORMED = "malformed"
    OUTSIDE_DOMAIN = "outside-domain"
    OUT_OF_BOUNDS = "out-of-bounds"
    DUPLICATE_ROWS = "duplicate-rows"
    TOO_MANY_ROWS = "too-many-rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A fault of an item (of the data set as such: no item) and how many rows have it; units for TOO_MANY_ROWS."""

    item: str | None
    fault: Fault
    count: int

    def __str__(self) -> str:
        return f"{f'`{self.item}` ' if self.item else ''}{self.fault.value} {self.count}"


class DataInvalidError(InvalidRequestError):
    """The data break their declaration, in all the ways that `problems` lists."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        listed = "; ".join(map(str, problems[:_MAX_TOLD]))
        if len(problems) > _MAX_TOLD:
            listed += f"; and {len(problems) - _MAX_TOLD} more"
        super().__init__(ErrorCode.DATA_INVALID, f"expected data as declared, got {listed}")
        self.problems = problems

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What came of publishing: the version, and whether it is new or the current one has this content already.

    `doubtful_units`: units whose identifier is not a USCC or an identity number with its right check character; a
    warning only, since data sets of other units of account are legitimate.
    """

    version: DatasetVersion
    is_new: bool
    doubtful_units: int


def publish(
    dataset: Dataset,
    source: Source,
    *,
    data: Path,
    registry: UnitRegistry,
    clock: Clock,
    on_progress: OnProgress | None = None,
    is_confirmed: bool = True,
    recorded: int | None = None,
) -> DatasetVersion:
    """Publish a source as the next version of a data set, as `publish_version`, and return the version alone."""
    return publish_version(
        dataset,
        source,
        data=data,
        registry=registry,
        clock=clock,
        on_progress=on_progress,
        is_confirmed=is_confirmed,
        recorded=recorded,
    ).version


def publish_version(
    dataset: Dataset,
    source: Source,
    *,
    data: Path,
    registry: UnitRegistry,
    clock: Clock,
    on_progress: OnProgress | None = None,
    is_confirmed: bool = True,
    recorded: int | None = None,
) -> Publication:
    """Publish a source as the next version of a data set below the folder `data`.

    `is_confirmed`: whether a person confirmed the grades. `recorded`: number of the newest version that the catalogue
    knows, 0 for none; snapshots beyond it were left by a process that died before it recorded them, and are removed.
    Content and declaration like those of the current version make no new one.

    Raises:
        ConflictError: grades are not confirmed, or another publication is running.
        RefusedError: an item is graded core.
        DataInvalidError: the data break their declaration.
        InvalidRequestError: the source cannot be read, or the declaration cannot be held.
    """
    _check_declaration(dataset, is_confirmed=is_confirmed)
    step = _steps(on_progress)
    with _workspace(data) as folder, _connection(folder) as connection, registry.hold(connection) as held:
        run = _Run(dataset=dataset, connection=connection, folder=folder)
        _sweep(folder)
        step()
        run.load(source)
        step()
        run.check()
        step()
        run.number(held)
        step()
        run.write()
        step()
        content = run.digest_content()
        publication = guarded(
            lambda: _finish(run, content, data=data, clock=clock, recorded=recorded),
            code=ErrorCode.ENGINE_FAILED,
            message="the snapshot could not be written",
            kind=UnavailableError,
        )
        step()
    return publication


def _check_declaration(dataset: Dataset, *, is_confirmed: bool) -> None:
    if not is_confirmed:
        raise ConflictError(
            ErrorCode.GRADES_NOT_CONFIRMED, f"expected grades of `{dataset.name}` that a person has confirmed"
        )
    if core := [item.name for item in dataset.items if item.grade is Grade.CORE]:
        raise RefusedError(
            ErrorCode.OPERATION_NOT_PERMITTED, f"expected no core data, got item `{'`, `'.join(core)}` graded core"
        )
    # SECURITY: names go into paths and SQL; a declaration that no catalogue would list goes no further.
    if problems := check_dataset(dataset):
        raise CatalogueInvalidError.of(problems)


def _steps(on_progress: OnProgress | None) -> Callable[[], None]:
    done = iter(range(_STEPS + 1))
    return lambda: on_progress(next(done), _STEPS) if on_progress is not None else None


@contextmanager
def _workspace(data: Path) -> Iterator[Path]:
    folder = data / _STAGING / secrets.token_hex(8)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what killed publications left behind; only one publication runs at a time."""
    for path in folder.parent.iterdir():
        if path != folder:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _connection(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = connect(folder / "spill")
    try:
        yield connection
    finally:
        connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One publication at work: its tables `staged`, `units`, `numbered` are of the connection's own memory."""

    dataset: Dataset
    connection: duckdb.DuckDBPyConnection
    folder: Path

    def load(self, source: Source) -> None:
        """Read the source once: stored values, and beside each whether it is a fault."""
        items = _read_items(self.dataset)
        with open_source(self.connection, source, [item.name for item in items]) as opened:
            columns = [sql for item in items for sql in _staged_columns(item, opened.types[item.name])]
            statement = _STAGE.format(columns=", ".join(columns), relation=opened.relation)
            guarded(lambda: self.connection.execute(statement))

    def check(self) -> None:
        """Find every problem.

        Raises:
            DataInvalidError: there is one.
        """
        problems = tuple(problem for problem in self._problems() if problem.count)
        if problems:
            raise DataInvalidError(problems)

    def _problems(self) -> Iterator[Problem]:
        asked = [(item, fault, sql) for item in _read_items(self.dataset) for fault, sql in _faults(item)]
        counts = self._row(_COUNT_FAULTS.format(counts=", ".join(f"count(*) FILTER ({sql})" for _, _, sql in asked)))
        for (item, fault, _), count in zip(asked, counts, strict=True):
            yield Problem(item=item.name, fault=fault, count=int(count))
        yield from self._row_problems()

    def _row_problems(self) -> Iterator[Problem]:
        self._run(_GROUP_UNITS.format(totals=self._totals()))
        keys = "".join(f", {quoted(item.name)}" for item in _row_keys(self.dataset))
        extra = self._row(_COUNT_DOUBLES.format(keys=keys))[0]
        yield Problem(item=None, fault=Fault.DUPLICATE_ROWS, count=int(extra))
        over = self._row(_COUNT_OVERFULL.format(limit=self.dataset.max_rows_per_unit))[0]
        yield Problem(item=None, fault=Fault.TOO_MANY_ROWS, count=int(over))

    def _totals(self) -> str:
        return "".join(
            f", coalesce(sum(abs({quoted(item.name)})), 0) AS {quoted('_total_' + item.name)}"
            for item in _measured(self.dataset)
        )

    def number(self, registry: HeldRegistry) -> None:
        """Replace identifiers and row keys by their numbers."""
        numbers = registry.number_units(self.dataset.privacy_unit, "units")
        means, size = self._sizes()
        self._run(_NUMBER_UNITS.format(numbers=numbers, means=means, size=size))
        self._run(_KEY_ROWS.format(key=_key_sql(self.dataset)))
        self._run(_PLACE_ROWS.format(numbers=registry.number_rows(self.dataset.name, "keyed")))
        self._run("DROP TABLE keyed")

    def _sizes(self) -> tuple[str, str]:
        """Return SQL for what totals are compared with, and for the size class of a unit, the largest of its totals'.

        A class is a power of two. Large units come first in a snapshot, so that whoever looks for the largest units of
        a cell reads a small part of it.
        """
        names = ["_total_" + item.name for item in _measured(self.dataset)]
        means = "".join(f", greatest(1, sum({quoted(name)}) // count(*)) AS {quoted('_mean' + name)}" for name in names)
        classes = (f"floor(log2(1 + {_FINEST} * {quoted(name)} // {quoted('_mean' + name)}))" for name in names)
        return means, f"CAST(greatest(0, {', '.join(classes)}) AS INTEGER)" if names else "0"

    def write(self) -> None:
        """Write the snapshot's file.

        Raises:
            UnavailableError: not every row was written once.
        """
        path = self.folder / DATA_NAME
        self._run(f"ATTACH {literal(str(path))} AS snapshot (TYPE duckdb)")
        names = [quoted(item.name) for item in self.dataset.items if is_stored(item)]
        totals = [self._total_column(item) for item in _measured(self.dataset)]
        columns = ", ".join(["placed._unit", "placed._row", *(f"staged.{name}" for name in names), *totals])
        self._run(_WRITE_ROWS.format(columns=columns))
        written, staged = self._row(_COUNT_WRITTEN)
        # SECURITY: every count and every rule of disclosure stands on one row being there once.
        if written != staged:
            raise UnavailableError(
                ErrorCode.ENGINE_FAILED,
                "the snapshot was not written: rows would be missing or there twice",
                hint="report this: the declaration joins rows that do not belong together",
            )
        self._run("CHECKPOINT snapshot")

    def _total_column(self, item: DataItem) -> str:
        name = quoted("_total_" + item.name)
        largest = self._row(_LARGEST_TOTAL.format(name=name))[0]
        kind = "BIGINT" if largest < 2**63 else "HUGEINT"
        return f"CAST(numbered.{name} AS {kind}) AS {name}"

    def digest_content(self) -> str:
        """Return the digest of the rows in their order, column by column; then the file is closed for good."""
        # Totals follow from the rest.
        names = ["_unit", "_row", *(quoted(item.name) for item in self.dataset.items if is_stored(item))]
        self._run("SET preserve_insertion_order = true")
        reader = self.connection.sql(_READ_ROWS.format(columns=", ".join(names))).to_arrow_reader(_BATCH_ROWS)
        columns = [_ColumnHash() for _ in reader.schema]
        for batch in reader:
            for hasher, column in zip(columns, batch.columns, strict=True):
                hasher.update(column)
        self._run("DETACH snapshot")
        return digest_json({name: hasher.digest() for name, hasher in zip(reader.schema.names, columns, strict=True)})

    def sizes(self) -> tuple[int, int, int]:
        """Return the number of rows, of units, and the most rows that a unit has."""
        rows, units, most = self._row("SELECT coalesce(sum(_rows), 0), count(*), coalesce(max(_rows), 0) FROM units")
        return int(rows), int(units), int(most)

    def doubtful_units(self) -> int:
        """Return how many units have an identifier without its right check character."""
        valid = is_valid(self.dataset.privacy_unit, "_id")
        return int(self._row(_COUNT_DOUBTFUL.format(is_valid=valid))[0])

    def _run(self, statement: str) -> None:
        guarded(
            lambda: self.connection.execute(statement),
            code=ErrorCode.ENGINE_FAILED,
            message="the snapshot could not be computed",
            kind=UnavailableError,
        )

    def _row(self, statement: str) -> tuple[int, ...]:
        """Return the one row that a statement gives; all is fetched, because DuckDB lets nothing else run before."""
        self._run(statement)
        rows: list[tuple[int, ...]] = self.connection.fetchall()
        return rows[0]


def _finish(run: _Run, content: str, *, data: Path, clock: Clock, recorded: int | None) -> Publication:
    dataset = run.dataset
    existing = _known_versions(run, data, recorded)
    schema = schema_json(dataset)
    doubtful = run.doubtful_units()
    if existing:
        current = read_manifest(data, dataset.name, existing[-1])
        if (current.content, current.version.schema_digest) == (content, digest_json(schema)):
            return Publication(version=current.version, is_new=False, doubtful_units=doubtful)
    rows, units, most = run.sizes()
    version = DatasetVersion(
        dataset=dataset.name,
        version=existing[-1] + 1 if existing else 1,
        digest="",
        schema_digest=digest_json(schema),
        rows=rows,
        units=units,
        max_rows_per_unit=most,
        published_at=clock.now(),
    )
    manifest = render_manifest(version, content=content, data=hash_file(run.folder / DATA_NAME), schema=schema)
    _place(run.folder, manifest, version_folder(data, dataset.name, version.version))
    made = read_manifest(data, dataset.name, version.version).version
    return Publication(version=made, is_new=True, doubtful_units=doubtful)


def _known_versions(run: _Run, data: Path, recorded: int | None) -> list[int]:
    """Return the versions that stand; what a catalogue never recorded no job can have pinned, and it goes."""
    found = list_versions(data, run.dataset.name)
    for number in found:
        if recorded is not None and number > recorded:
            version_folder(data, run.dataset.name, number).rename(run.folder / f"unrecorded-{number}")
    return [number for number in found if recorded is None or number <= recorded]


def _place(staging: Path, manifest: bytes, target: Path) -> None:
    """Give a complete snapshot its name: until the rename nothing of it can be seen, after it everything can."""
    ready = staging / "ready"
    ready.mkdir(mode=0o700)
    (staging / DATA_NAME).rename(ready / DATA_NAME)
    (ready / MANIFEST_NAME).write_bytes(manifest)
    for path in (ready / DATA_NAME, ready / MANIFEST_NAME):
        path.chmod(0o400)
        _sync(path)
    _sync(ready)
    target.parent.mkdir(parents=True, exist_ok=True)
    ready.rename(target)
    for folder in (target.parent, target.parent.parent, target.parent.parent.parent):
        _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_items(dataset: Dataset) -> list[DataItem]:
    """Return what is read of a source; of the negative list only what says whose row it is."""
    return [item for item in dataset.items if item.role is not ItemRole.ATTRIBUTE or not item.on_negative_list]


def _staged_columns(item: DataItem, source_type: str) -> tuple[str, str]:
    column = quoted(item.name)
    value = converted(item, column, source_type)
    is_bad = f"{column} IS NOT NULL AND {value} IS NULL AS {quoted('_bad_' + item.name)}"
    if item.role is ItemRole.ATTRIBUTE and not is_stored(item):
        # SECURITY: of free text only its presence is kept, in memory and in what DuckDB spills.
        value = f"CASE WHEN {value} IS NOT NULL THEN true END"
    return f"{value} AS {quoted(_staged_name(item))}", is_bad


def _staged_name(item: DataItem) -> str:
    return "_id" if item.role is ItemRole.UNIT else item.name


def _row_keys(dataset: Dataset) -> list[DataItem]:
    return [item for item in dataset.items if item.role is ItemRole.ROW_KEY]


def _measured(dataset: Dataset) -> list[DataItem]:
    return [item for item in dataset.items if is_stored(item) and item.type in (ItemType.INTEGER, ItemType.DECIMAL)]


def _key_sql(dataset: Dataset) -> str:
    """Return SQL for the text of a row's key; lengths keep two keys from having one text."""
    texts = [f"CAST({quoted(item.name)} AS VARCHAR)" for item in _row_keys(dataset)]
    return " || ".join(f"strlen({text}) || ':' || {text}" for text in texts) or "''"


def _faults(item: DataItem) -> Iterator[tuple[Fault, str]]:
    name, bad = quoted(_staged_name(item)), quoted("_bad_" + item.name)
    if not item.nullable or item.role is not ItemRole.ATTRIBUTE:
        yield Fault.MISSING, f"{name} IS NULL AND NOT {bad}"
    yield (Fault.OUTSIDE_DOMAIN if item.type is ItemType.CODE and item.domain else Fault.MALFORMED), bad
    if item.bounds is not None and item.type in (ItemType.INTEGER, ItemType.DECIMAL):
        low, high = (format(fixed_point(bound, item.decimals), "f") for bound in item.bounds)
        yield Fault.OUT_OF_BOUNDS, f"{name} < {low} OR {name} > {high}"


class _ColumnHash:
    """A digest of a column's values that is the same however the rows are split into batches."""

    def __init__(self) -> None:
        self._hashers = [hashlib.sha256() for _ in range(3)]

    def update(self, column: pa.Array) -> None:
        """Take the next values: which are there, how long they are, and the values with nothing where none is."""
        present, lengths, values = self._hashers
        present.update(column.is_valid().cast(pa.int8()).to_numpy(zero_copy_only=False))
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        if pa.types.is_string(column.type):
            texts = column.fill_null("").cast(pa.large_binary())
            lengths.update(pc.binary_length(texts).to_numpy(zero_copy_only=False))
            values.update(_joined(texts))
        else:
            values.update(_plain(column))

    def digest(self) -> str:
        """Return the digest of what was taken."""
        return digest_bytes(b"".join(hasher.digest() for hasher in self._hashers))


def _joined(texts: pa.LargeBinaryArray) -> memoryview:
    if len(texts) == 0:
        return memoryview(b"")
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(content or b"")[int(ends[0]) : int(ends[-1])]


def _plain(column: pa.Array) -> memoryview:
    if pa.types.is_date(column.type):
        column = column.cast(pa.int32())
    values: NDArray[np.int64] = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return values.data
