"""A small world of data sets for tests of the engine, its snapshots written directly in the published format."""

import hashlib
import random
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from policies.disclosure import DisclosureRules
from sandbox.candidate import Candidate, RegressionCandidate
from sandbox.catalog.model import Catalogue, DataItem, Dataset, DatasetVersion, ItemRole, ItemType, Visibility
from sandbox.engine_duckdb.engine import DuckdbEngine
from sandbox.engine_duckdb.manifest import schema_json
from sandbox.engine_duckdb.worker import serve
from sandbox.isolation.cage import Cage, CageSpec, Cancel, Worker
from sandbox.isolation.frames import Frame, FrameReader, encode_frame
from sandbox.isolation.limits import Limits
from sandbox.isolation.worker import Control
from sandbox.operations.registry import measures_of
from yingbi.canonical import digest_json
from yingbi.events.fields import PrivacyUnit
from yingbi.plan.model import AnsweredQuestion, Column

Row = dict[str, Any]
FILINGS, FIRMS = "tax/filings", "reg/firms"
RULES = DisclosureRules(min_units=5)
STREETS = ("Futian", "Lianhua", "Shatou", "Xiangmihu")
SECTORS = ("A", "B", "C")


def column(name: str, dataset: str = FILINGS) -> Column:
    return Column(dataset=dataset, name=name)


def _item(name: str, kind: ItemType, **rest: Any) -> DataItem:
    return DataItem(name=name, title=name, type=kind, **rest)


def datasets(rows_per_unit: int) -> tuple[Dataset, Dataset]:
    filings = Dataset(
        name=FILINGS,
        title="filings",
        owner="unit:tax",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        max_rows_per_unit=rows_per_unit,
        items=(
            _item("uscc", ItemType.TEXT, role=ItemRole.UNIT, nullable=False),
            _item("street", ItemType.CODE, domain=STREETS, visibility=Visibility.PUBLIC, nullable=False),
            _item("sector", ItemType.CODE, domain=SECTORS),
            _item(
                "year", ItemType.INTEGER, bounds=(Decimal(2000), Decimal(2030)), role=ItemRole.ROW_KEY, nullable=False
            ),
            _item("turnover", ItemType.DECIMAL, decimals=2, bounds=(Decimal(0), Decimal(10**9)), nullable=False),
            _item("profit", ItemType.DECIMAL, decimals=2, bounds=(Decimal(-(10**12)), Decimal(10**12))),
            _item("active", ItemType.BOOLEAN, nullable=False),
            _item("filed", ItemType.DATE),
        ),
    )
    firms = Dataset(
        name=FIRMS,
        title="firms",
        owner="unit:reg",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        items=(
            _item("uscc", ItemType.TEXT, role=ItemRole.UNIT, nullable=False),
            _item("size", ItemType.CODE, domain=("large", "small"), nullable=False),
            _item("staff", ItemType.INTEGER, bounds=(Decimal(0), Decimal(10**6)), nullable=False),
        ),
    )
    return filings, firms


def random_rows(seed: int, units: int, rows_per_unit: int) -> list[Row]:
    """Heavy tails, nulls, several rows a unit."""
    chance = random.Random(seed)
    rows = []
    for unit in range(units):
        for number in range(chance.randint(1, rows_per_unit)):
            turnover = int(chance.paretovariate(0.6) * 1000) % 10**10
            rows.append(
                {
                    "_unit": unit,
                    "_row": unit * rows_per_unit + number,
                    "street": chance.choice(STREETS[:3] if unit % 17 else STREETS),
                    "sector": chance.choice([*SECTORS, None]),
                    "year": 2020 + number,
                    "turnover": turnover,
                    "profit": None if chance.random() < 0.2 else int(chance.gauss(100, 5000)),
                    "active": chance.random() < 0.7,
                    "filed": None if chance.random() < 0.1 else date(2024, chance.randint(1, 12), 1),
                }
            )
    return rows


def firm_rows(units: int, seed: int = 1) -> list[Row]:
    chance = random.Random(seed)
    return [
        {"_unit": unit, "_row": unit, "size": chance.choice(["large", "small"]), "staff": chance.randint(0, 500)}
        for unit in range(units)
        if unit % 10
    ]


@dataclass
class Home:
    """Published versions below a temporary folder; it is a `Snapshots` and holds the catalogue."""

    root: Path
    declared: Mapping[str, Dataset]
    catalogue: Catalogue = field(default_factory=Catalogue)
    folders: dict[tuple[str, int], Path] = field(default_factory=dict)

    def folder(self, version: DatasetVersion) -> Path:
        return self.folders[version.dataset, version.version]

    def publish(self, name: str, rows: list[Row], version: int = 1) -> None:
        dataset = self.declared[name]
        folder = self.root / name / str(version)
        folder.mkdir(parents=True)
        write_snapshot(folder / "data.duckdb", dataset, rows)
        per_unit: dict[int, int] = {}
        for row in rows:
            per_unit[row["_unit"]] = per_unit.get(row["_unit"], 0) + 1
        found = DatasetVersion(
            dataset=name,
            version=version,
            digest="sha256:" + hashlib.sha256(b"").hexdigest(),
            schema_digest=digest_json(schema_json(dataset)),
            rows=len(rows),
            units=len(per_unit),
            max_rows_per_unit=max(per_unit.values(), default=1),
            published_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        self.folders[name, version] = folder
        self.catalogue = Catalogue(datasets=self.declared, versions={**self.catalogue.versions, (name, version): found})

    def engine(self, cage: Cage | None = None, limits: Limits | None = None) -> DuckdbEngine:
        return DuckdbEngine(
            cage=InProcess() if cage is None else cage,
            snapshots=self,
            catalogue=lambda: self.catalogue,
            limits=Limits(memory_bytes=1 << 29, threads=1) if limits is None else limits,
        )

    def ask(self, question: AnsweredQuestion, rules: DisclosureRules = RULES, cage: Cage | None = None) -> Any:
        """Compute a question that admission has not seen."""
        found = self.engine(cage)._run(question, measures_of(question), rules, None, None, None)
        assert isinstance(found, (Candidate, RegressionCandidate))
        return found


def write_snapshot(path: Path, dataset: Dataset, rows: Iterable[Row]) -> None:
    kinds = {ItemType.INTEGER: "BIGINT", ItemType.DECIMAL: "BIGINT", ItemType.BOOLEAN: "BOOLEAN", ItemType.DATE: "DATE"}
    items = [item for item in dataset.items if item.role is not ItemRole.UNIT]
    rows = list(rows)
    connection = duckdb.connect(str(path))
    columns = ["_unit BIGINT", "_row BIGINT"]
    for item in items:
        domain = ", ".join(f"'{value}'" for value in item.domain or ())
        columns.append(f'"{item.name}" {kinds.get(item.type, f"ENUM({domain})")}')
    numbers = [item.name for item in items if item.type in (ItemType.INTEGER, ItemType.DECIMAL)]
    columns += [f"_total_{name} HUGEINT" for name in numbers]
    connection.execute(f"CREATE TABLE rows ({', '.join(columns)})")
    totals: dict[tuple[int, str], int] = {}
    for row in rows:
        for name in numbers:
            key = row["_unit"], name
            totals[key] = totals.get(key, 0) + abs(row[name] or 0)
    ordered = sorted(rows, key=lambda r: (r["_unit"], r["_row"]))
    given = {name: pa.array([row[name] for row in ordered]) for name in ["_unit", "_row", *(i.name for i in items)]}
    given |= {f"_total_{name}": pa.array([str(totals[row["_unit"], name]) for row in ordered]) for name in numbers}
    connection.register("given", pa.table(given))
    connection.execute("INSERT INTO rows SELECT * FROM given")
    connection.close()


class InProcess:
    """A cage for tests of figures: the worker's own code and frames, in this process."""

    def start(self, spec: CageSpec) -> Worker:
        return _InProcessWorker(spec)


class _InProcessWorker:
    def __init__(self, spec: CageSpec) -> None:
        self._spec = spec

    @property
    def data(self) -> tuple[str, ...]:
        return tuple(str(folder) for folder in self._spec.data)

    @property
    def is_alive(self) -> bool:
        return True

    def run(
        self, job: Frame, *, on_progress: Callable[[int], None] | None = None, cancel: Cancel | None = None
    ) -> Frame:
        (arrived,) = FrameReader(1 << 26).feed(encode_frame(job))
        with tempfile.TemporaryDirectory() as scratch:
            answer = serve(arrived, Control(lambda frame: None), scratch)
        (back,) = FrameReader(1 << 28).feed(encode_frame(answer))
        return back

    def close(self) -> None:
        return


def home(root: Path, *, seed: int = 1, units: int = 200, rows_per_unit: int = 3) -> tuple[Home, list[Row], list[Row]]:
    filings, firms = datasets(rows_per_unit)
    made = Home(root=root, declared={FILINGS: filings, FIRMS: firms})
    rows, others = random_rows(seed, units, rows_per_unit), firm_rows(units)
    made.publish(FILINGS, rows)
    made.publish(FIRMS, others)
    return made, rows, others
