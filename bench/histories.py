"""History over 121,000 units with unequal dimensions: the bounds of docs/history.md, in time of one core."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from time import process_time
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import create_engine

from bench.figures import Figure
from policies.disclosure import DisclosureRules
from sandbox.candidate import MeasureValues
from sandbox.catalog.model import Catalogue, DataItem, ItemType
from sandbox.disclosure.atoms import AtomTable, Contributions, Facet, Sameness
from sandbox.disclosure.history.history import History
from sandbox.disclosure.history.store import HistoryStore
from sandbox.disclosure.history_gate import Proposal, ProposedMeasure
from sandbox.operations.measure import Measure
from sandbox.operations.registry import measures_of
from tests.lib.atoms import ArraySource, Data, ask, make_catalogue, make_dataset, make_item
from yingbi.clock import SystemClock
from yingbi.plan.model import Column

__all__ = ["measure_history"]

_UNITS: Final = 121_000
_SIZES: Final = {
    "community": 94,
    "street": 10,
    "sector": 20,
    "size": 5,
    "year": 30,
    "kind": 8,
    "zone": 300,
    "capital": 12,
    "park": 60,
}
_FEW: Final = (("community",), ("sector", "size"), ("street", "sector"), ("year", "size"))
_MANY: Final = (
    ("street", "year"),
    ("sector", "capital"),
    ("community", "kind"),
    ("zone",),
    ("park", "size"),
    ("community", "size"),
    ("year", "sector"),
)
_NEW_AFTER_FEW: Final = ("community", "size")
_NEW_AFTER_MANY: Final = ("sector", "kind")
_SKEW: Final = 0.7
_RULES: Final = DisclosureRules(min_units=10)


@dataclass(slots=True, eq=False)
class _Source(ArraySource):
    """Atoms over arrays, and who contributes, that are found once: this measures history, not looking at data."""

    known: dict[tuple[Facet, ...], AtomTable] = field(default_factory=dict)
    contributed: dict[tuple[Facet, ...], Contributions] = field(default_factory=dict)

    def atoms(
        self,
        dataset: str,
        versions: Sequence[int],
        facets: Sequence[Facet],
        *,
        cap: int,
        same: Sameness | None = None,
    ) -> AtomTable:
        """Return atoms, formed at the first call."""
        key = tuple(facets)
        if key not in self.known:
            self.known[key] = ArraySource.atoms(self, dataset, versions, facets, cap=cap, same=same)
        return self.known[key]

    def contributions(
        self, table: AtomTable, dataset: str, version: int, secret: Sequence[Facet], subject: Column | None
    ) -> Contributions:
        """Return what rows contribute, found at the first call."""
        key = (*table.facets, *secret)
        if key not in self.contributed:
            self.contributed[key] = ArraySource.contributions(self, table, dataset, version, secret, subject)
        return self.contributed[key]

    def totals(self, table: AtomTable, dataset: str, version: int, measure: Measure) -> tuple[int, ...]:
        """Return totals that follow the rows."""
        del dataset, version, measure
        return tuple(int(rows) * 500 for rows in table.rows)


@dataclass(frozen=True, slots=True, eq=False)
class _World:
    """Units, their dimensions as numbers, and where history gets atoms from."""

    dimensions: Mapping[str, NDArray[np.int64]]
    catalogue: Catalogue
    source: _Source


def measure_history() -> list[Figure]:
    """Measure a new table after about 500 answers, and after about 3,500 with and without anything in memory."""
    world = _make_world()
    store = HistoryStore(create_engine("sqlite://"), SystemClock())
    store.prepare()
    history = History(store, world.source)
    answers = sum(_record(history, world, by) for by in _FEW)
    _judge(history, world, _NEW_AFTER_FEW)
    figures = [_figure(f"warm, {answers:,} answers", world, history, _NEW_AFTER_FEW, "0.1 s")]
    answers += sum(_record(history, world, by) for by in _MANY)
    _judge(history, world, _NEW_AFTER_MANY)
    figures.append(_figure(f"warm, {answers:,} answers", world, history, _NEW_AFTER_MANY, "0.5 s"))
    fresh = _judge(History(store, world.source), world, _NEW_AFTER_MANY)
    name = _name(f"nothing in memory, {answers:,} answers", world, _NEW_AFTER_MANY)
    return [*figures, Figure(name=name, value=fresh, unit="s", runs=[fresh], target="2 s")]


def _make_world() -> _World:
    rng = np.random.default_rng(1)
    dimensions = {name: _unequal(rng, size) for name, size in _SIZES.items()}
    dimensions["street"] = dimensions["community"] // 10
    columns = {name: np.array([str(value) for value in values], dtype=object) for name, values in dimensions.items()}
    columns["tax"] = np.array([str(value) for value in rng.integers(0, 1000, _UNITS)], dtype=object)
    data = {("unit/firms", 1): Data(unit=np.arange(_UNITS), row=np.zeros(_UNITS, dtype=np.int64), columns=columns)}
    tax = DataItem(name="tax", title="tax", type=ItemType.INTEGER, bounds=(Decimal(0), Decimal(100_000)))
    dataset = make_dataset("unit/firms", [*(make_item(name, public=True) for name in dimensions), tax])
    catalogue = make_catalogue([dataset], data)
    return _World(dimensions, catalogue, _Source(data=data, catalogue=catalogue))


def _unequal(rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    weights = 1 / np.arange(1, size + 1) ** _SKEW
    return rng.choice(size, _UNITS, p=weights / weights.sum())


def _record(history: History, world: _World, by: tuple[str, ...]) -> int:
    """Record a table, and return how many of its cells came out."""
    proposal = _propose(world, by)
    verdict = history.judge(proposal)
    history.record(verdict.token)
    (measure,) = proposal.measures
    hidden = verdict.suppress.get(measure, ~proposal.measures[measure].publishable)
    return int((proposal.measures[measure].publishable & ~hidden).sum())


def _judge(history: History, world: _World, by: tuple[str, ...]) -> float:
    proposal = _propose(world, by)
    start = process_time()
    verdict = history.judge(proposal)
    took = process_time() - start
    history.discard(verdict.token)
    return took


def _figure(state: str, world: _World, history: History, by: tuple[str, ...], target: str) -> Figure:
    runs = [_judge(history, world, by) for _ in range(3)]
    return Figure(name=_name(state, world, by), value=sorted(runs)[1], unit="s", runs=runs, target=target)


def _name(state: str, world: _World, by: tuple[str, ...]) -> str:
    return f"history over {_UNITS:,} units, {state}, {len(_propose(world, by).keys)} new cells (processor time)"


def _propose(world: _World, by: tuple[str, ...]) -> Proposal:
    question = ask(*by)
    codes = np.stack([world.dimensions[name] for name in by], axis=1)
    cells, rows = np.unique(codes, axis=0, return_counts=True)
    few = rows < _RULES.min_units
    proposed = ProposedMeasure(values=_values(rows), publishable=~few, primary=few)
    return Proposal(
        question=question,
        keys=tuple(tuple(map(str, cell)) for cell in cells.tolist()),
        is_total=np.zeros((len(rows), len(by)), dtype=np.bool_),
        measures=dict.fromkeys(measures_of(question), proposed),
        rules=_RULES,
        catalogue=world.catalogue,
    )


def _values(rows: NDArray[np.int64]) -> MeasureValues:
    counts = tuple(int(value) for value in rows)
    return MeasureValues(
        totals=counts,
        rows=rows,
        units=rows,
        units_exact=np.ones(len(rows), dtype=np.bool_),
        absolute=counts,
        largest=(1,) * len(rows),
        second=(1,) * len(rows),
        largest_exact=np.ones(len(rows), dtype=np.bool_),
        negative=np.zeros(len(rows), dtype=np.bool_),
    )
