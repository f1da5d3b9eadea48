"""Filings to measure the gate on: ten rows a unit, streets and industries of unequal size, lognormal values, giants."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import duckdb

from sandbox.catalog.model import Catalogue, DataItem, Dataset, DatasetVersion, ItemRole, ItemType, Visibility
from sandbox.engine_duckdb.manifest import version_folder
from sandbox.engine_duckdb.publish import publish
from sandbox.engine_duckdb.registry import UnitRegistry
from sandbox.engine_duckdb.sources import ParquetSource
from sandbox.node.judging import Asking, Judge
from sandbox.query.admit import Admitted
from tests.lib.nodes import NOW, PARTNER, PURPOSE, broad_agreement
from yingbi.clock import FixedClock
from yingbi.events.fields import Grade, PrivacyUnit

__all__ = [
    "FILINGS",
    "TABLE",
    "Filings",
    "admit_sql",
    "declare_filings",
    "judge_of",
    "publish_filings",
    "write_filings",
]

FILINGS: Final = "tax/filings"
TABLE: Final = "tax.filings"
"""The data set as SQL names it."""

_PER_UNIT: Final = 10
_STREETS: Final = tuple(f"S{number}" for number in range(10))
_INDUSTRIES: Final = tuple("ABCDEFGHIJKLMNOPQRST")
_SIZES: Final = ("micro", "small", "medium", "large")
_ZONES: Final = tuple(f"Z{number:02}" for number in range(60))
_YEARS: Final = tuple(str(year) for year in range(2021, 2026))
_HALVES: Final = ("H1", "H2")

# One unit in 20,000 is a giant, a thousand times the others. A place among k goes to the k-th part of the unit interval
# after squaring, so that the largest street has about 30 times as many units as the smallest.
_UNITS: Final = """
    CREATE TABLE units AS
    SELECT u, 'ENT' || lpad(CAST(u AS VARCHAR), 12, '0') AS uscc,
        CAST(floor(10 * pow(random(), 1.5)) AS INTEGER) AS street,
        CAST(floor(20 * pow(random(), 1.5)) AS INTEGER) AS industry,
        CAST(floor(4 * pow(random(), 3)) AS INTEGER) AS size,
        CAST(floor(60 * pow(random(), 1.5)) AS INTEGER) AS zone,
        exp(9 + 1.7 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())
            + CASE WHEN u % 20000 = 7 THEN ln(1000) ELSE 0 END) AS scale
    FROM range({units}) AS t(u)"""
_ROWS: Final = """
    COPY (
        SELECT uscc, CAST({first} + r // 2 AS VARCHAR) AS year, 'H' || CAST(1 + r % 2 AS VARCHAR) AS half,
            'S' || CAST(street AS VARCHAR) AS street, chr(65 + industry) AS industry,
            CASE size WHEN 0 THEN 'micro' WHEN 1 THEN 'small' WHEN 2 THEN 'medium' ELSE 'large' END AS size,
            'Z' || lpad(CAST(zone AS VARCHAR), 2, '0') AS zone,
            least(CAST(scale * exp(0.8 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) * 100 AS BIGINT),
                10000000000000) AS tax,
            CAST(scale * 30 * (random() - 0.4) AS BIGINT) AS profit
        FROM units, range({per_unit}) AS n(r)
    ) TO '{path}' (FORMAT parquet)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filings:
    """A published version of the filings: its catalogue, and where its snapshot is."""

    catalogue: Catalogue
    version: DatasetVersion
    data: Path

    @property
    def folder(self) -> Path:
        """Return the folder of the snapshot."""
        return version_folder(self.data, FILINGS, self.version.version)


def declare_filings() -> Dataset:
    """Return the declaration: half-yearly filings of enterprises, at most ten rows a unit."""
    return Dataset(
        name=FILINGS,
        title="half-yearly filings",
        owner="unit:tax",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        max_rows_per_unit=_PER_UNIT,
        items=(
            DataItem(name="uscc", title="identifier", type=ItemType.TEXT, role=ItemRole.UNIT, nullable=False),
            _code("year", _YEARS, role=ItemRole.ROW_KEY),
            _code("half", _HALVES, role=ItemRole.ROW_KEY),
            _code("street", _STREETS),
            _code("industry", _INDUSTRIES),
            _code("size", _SIZES),
            _code("zone", _ZONES),
            _amount("tax", Decimal(0)),
            _amount("profit", -Decimal(10**13)),
        ),
    )


def write_filings(path: Path, *, rows: int) -> None:
    """Write a Parquet file of about `rows` rows; the same file every time but for the order of threads."""
    with duckdb.connect(":memory:", config={"threads": "1"}) as connection:
        connection.execute("SELECT setseed(0.25)")
        connection.execute(_UNITS.format(units=max(1, rows // _PER_UNIT)))
        connection.execute(_ROWS.format(first=_YEARS[0], per_unit=_PER_UNIT, path=path))


def publish_filings(path: Path, folder: Path) -> Filings:
    """Publish a file as the first version below `folder`."""
    dataset = declare_filings()
    registry = UnitRegistry(folder / "registry")
    data = folder / "data"
    version = publish(dataset, ParquetSource(path=path), data=data, registry=registry, clock=FixedClock(NOW))
    catalogue = Catalogue(datasets={FILINGS: dataset}, versions={(FILINGS, version.version): version})
    return Filings(catalogue=catalogue, version=version, data=data)


def judge_of(filings: Filings) -> Judge:
    """Return a judge under an agreement that grants every use of the filings."""
    agreement = broad_agreement(filings.catalogue.datasets.values())
    return Judge(place="node:futian-lab", agreements=[agreement], clock=FixedClock(NOW))


def admit_sql(text: str, filings: Filings) -> Admitted:
    """Return an admitted question."""
    found = judge_of(filings).judge(Asking(partner=PARTNER, purpose=PURPOSE, sql=text), filings.catalogue, {})
    if found.admitted is None:
        raise ValueError(f"expected an admitted question, got {found.problem or found.reasons}")
    return found.admitted


def _code(name: str, domain: tuple[str, ...], *, role: ItemRole = ItemRole.ATTRIBUTE) -> DataItem:
    return DataItem(
        name=name,
        title=name,
        type=ItemType.CODE,
        role=role,
        visibility=Visibility.PUBLIC,
        grade=Grade.GENERAL_2,
        nullable=False,
        domain=domain,
    )


def _amount(name: str, least: Decimal) -> DataItem:
    return DataItem(
        name=name, title=name, type=ItemType.DECIMAL, decimals=2, nullable=False, bounds=(least, Decimal(10**13))
    )
