"""The generator: all tables of a scale and a seed, as Arrow tables or as a folder of Parquet files.

Nothing is done row by row. The same scale and seed give the same bytes with the same versions of NumPy and Arrow on the
same kind of processor.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.catalog.codec import dataset_to_json
from sandbox.catalog.core_metadata import format_core_metadata
from sandbox.catalog.model import Dataset
from sandbox.synth.catalogue import catalogue
from sandbox.synth.columns import Columns, arrow_schema, arrow_table
from sandbox.synth.credit import Credit, draw_credit, make_features, make_loans_a, make_loans_b
from sandbox.synth.faults import FAULT_DATASETS, FAULTY_ROWS, Fault, write_faulty
from sandbox.synth.firms import FIRMS, Firms, draw_firms
from sandbox.synth.reference import reference_tables
from sandbox.synth.residents import PERSONS, make_residents
from sandbox.synth.truth import truth
from sandbox.synth.units import UNIT_TABLES
from yingbi.canonical import canonical_bytes
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError

__all__ = ["MAX_SCALE", "MIN_SCALE", "Written", "generate", "make_tables"]

MIN_SCALE: Final = Decimal("0.001")
MAX_SCALE: Final = Decimal(4)
"""Beyond it the planted giants would outgrow the declared bounds."""

_MAX_SEED: Final = 2**63 - 1
_COMPRESSION: Final = "zstd"
_ROW_GROUP: Final = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A table that was written: `name` is `unit/resource`, `path` is below the folder asked for."""

    name: str
    path: Path
    rows: int
    size_bytes: int


def make_tables(*, scale: Decimal, seed: int) -> dict[str, pa.Table]:
    """Return every declared data set as an Arrow table, by name.

    Raises:
        InvalidRequestError: scale or seed is outside its range.
    """
    world = _draw_world(scale, seed)
    return {
        dataset.name: pa.concat_tables(arrow_table(dataset, columns) for columns in world.make(dataset))
        for dataset in catalogue()
    }


def generate(
    folder: Path, *, scale: Decimal, seed: int, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Written, ...]:
    """Write all tables into a new folder, with `catalogue.json`, `catalogue.csv`, `truth.json` and `faulty/`.

    `on_progress` gets the number of tables written and of all tables. What fails leaves nothing behind.

    Raises:
        InvalidRequestError: scale or seed is outside its range.
        ConflictError: the folder exists and is not empty.
    """
    world, datasets = _draw_world(scale, seed), catalogue()
    with _new_folder(folder) as place:
        rows = {}
        for number, dataset in enumerate(datasets):
            on_progress(number, len(datasets))
            rows[dataset.name] = _write_chunks(place, dataset, world.make(dataset))
        for name, table in reference_tables().items():
            rows[name] = table.num_rows
            _write_whole(_path(place, name), table)
        for fault in Fault:
            write_faulty(fault, _beginning(_path(place, FAULT_DATASETS[fault])), place / "faulty")
        _write_catalogue(place, datasets)
        (place / "truth.json").write_bytes(canonical_bytes(truth(world.firms, scale=scale, seed=seed)))
        on_progress(len(datasets), len(datasets))
    return tuple(_written(folder, name, count) for name, count in rows.items())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _World:
    """What all tables are read off."""

    scale: Decimal
    seed: int
    firms: Firms
    credit: Credit

    def make(self, dataset: Dataset) -> Iterator[Columns]:
        """Yield the columns of a data set, in one chunk or several."""
        match dataset.name:
            case "bureau/credit_features":
                yield make_features(self.firms, self.credit)
            case "banka/loans":
                yield make_loans_a(dataset, self.firms, self.credit, self.seed)
            case "bankb/loans":
                yield make_loans_b(dataset, self.firms, self.credit, self.seed)
            case "population/residents":
                yield from make_residents(dataset, self.firms, _count(PERSONS, self.scale), self.seed)
            case name:
                yield UNIT_TABLES[name](dataset, self.firms, self.seed)


def _draw_world(scale: Decimal, seed: int) -> _World:
    if not (scale.is_finite() and MIN_SCALE <= scale <= MAX_SCALE):
        raise InvalidRequestError(ErrorCode.USAGE, f"expected a scale from {MIN_SCALE} to {MAX_SCALE}")
    if not 0 <= seed <= _MAX_SEED:
        raise InvalidRequestError(ErrorCode.USAGE, f"expected a seed from 0 to {_MAX_SEED}")
    firms = draw_firms(_count(FIRMS, scale), seed)
    return _World(scale=scale, seed=seed, firms=firms, credit=draw_credit(firms, seed))


def _count(at_scale_1: int, scale: Decimal) -> int:
    return int((at_scale_1 * scale).to_integral_value())


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside the wanted one, which takes its place in the end."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(ErrorCode.DATASET_EXISTS, "expected a new or empty folder", hint="choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield place
        os.replace(place, folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


def _written(folder: Path, name: str, rows: int) -> Written:
    path = _path(folder, name)
    return Written(name=name, path=path, rows=rows, size_bytes=path.stat().st_size)


def _write_chunks(place: Path, dataset: Dataset, chunks: Iterator[Columns]) -> int:
    """Write a table chunk by chunk and return its number of rows."""
    schema, rows = arrow_schema(dataset), 0
    with _writer(_path(place, dataset.name), schema) as writer:
        for columns in chunks:
            table = arrow_table(dataset, columns)
            writer.write_table(table, row_group_size=_ROW_GROUP)
            rows += table.num_rows
    return rows


def _write_whole(path: Path, table: pa.Table) -> None:
    with _writer(path, table.schema) as writer:
        writer.write_table(table)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without Arrow's own schema every reader sees plain text where codes are.
    codes = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression=_COMPRESSION,
        use_dictionary=codes,
        store_schema=False,
        store_decimal_as_integer=True,
    )


def _write_catalogue(place: Path, datasets: tuple[Dataset, ...]) -> None:
    (place / "catalogue.json").write_bytes(canonical_bytes([dataset_to_json(dataset) for dataset in datasets]))
    (place / "catalogue.csv").write_bytes(format_core_metadata(datasets))


def _beginning(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return pa.Table.from_batches([next(file.iter_batches(batch_size=FAULTY_ROWS))])
