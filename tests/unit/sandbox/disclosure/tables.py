"""A tiny engine for tests: candidates from lists of rows, in plain Python, so that rules are tried on known data."""

import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from sandbox.candidate import Candidate, Ints, MeasureValues, Population
from sandbox.catalog.model import Catalogue, DataItem, Dataset, DatasetVersion, ItemRole, ItemType, Visibility
from sandbox.disclosure.history_gate import HistoryVerdict, Proposal
from sandbox.disclosure.verdict import Finding
from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.registry import measures_of
from yingbi.errors import ErrorCode, UnavailableError
from yingbi.events.fields import PrivacyUnit
from yingbi.plan.model import Aggregate, Column, Comparison, Condition, Dimension, Function, Source, TableQuestion

__all__ = [
    "DATASET",
    "RecordingHistory",
    "Row",
    "Rows",
    "aggregate",
    "candidate_of",
    "catalogue",
    "column",
    "condition",
    "firms",
    "question",
]

DATASET = "tax/filings"
Row = dict[str, Any]
Rows = list[Row]


def catalogue(*, max_rows_per_unit: int = 1, membership: Visibility = Visibility.CONFIDENTIAL) -> Catalogue:
    """Streets are public with a domain, grids public without; penalised and size are confidential; tax is a number."""
    public = Visibility.PUBLIC
    items = (
        DataItem(name="uscc", title="USCC", type=ItemType.TEXT, role=ItemRole.UNIT),
        DataItem(name="street", title="street", type=ItemType.CODE, domain=("a", "b", "c"), visibility=public),
        DataItem(name="grid", title="grid", type=ItemType.INTEGER, visibility=public),
        DataItem(name="size", title="size", type=ItemType.CODE, domain=("l", "m", "s")),
        DataItem(name="secret", title="secret", type=ItemType.INTEGER),
        DataItem(name="penalised", title="penalised", type=ItemType.BOOLEAN),
        DataItem(name="tax", title="tax", type=ItemType.INTEGER, bounds=(Decimal(0), Decimal(10**9))),
        DataItem(name="profit", title="profit", type=ItemType.INTEGER, bounds=(Decimal(-(10**9)), Decimal(10**9))),
        DataItem(name="rate", title="rate", type=ItemType.DECIMAL, decimals=2, bounds=(Decimal(0), Decimal(100))),
    )
    dataset = Dataset(
        name=DATASET,
        title="filings",
        owner="unit:tax",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        items=items,
        membership=membership,
        max_rows_per_unit=max_rows_per_unit,
    )
    version = DatasetVersion(
        dataset=DATASET,
        version=1,
        digest="sha256:" + "0" * 64,
        schema_digest="sha256:" + "1" * 64,
        rows=0,
        units=0,
        max_rows_per_unit=max_rows_per_unit,
        published_at=datetime(2026, 11, 1, tzinfo=UTC),
    )
    return Catalogue(datasets={DATASET: dataset}, versions={(DATASET, 1): version})


def column(name: str) -> Column:
    return Column(dataset=DATASET, name=name)


def condition(name: str, value: str | int | bool) -> Condition:
    return Condition(column=column(name), comparison=Comparison.EQ, values=(value,))


def aggregate(
    function: Function, name: str | None = None, *, where: tuple[Condition, ...] = (), fraction: str | None = None
) -> Aggregate:
    chosen = None if name is None else column(name)
    return Aggregate(function=function, column=chosen, where=where, fraction=fraction)


def question(
    *aggregates: Aggregate, by: Sequence[str] = (), where: tuple[Condition, ...] = (), margins: bool = False
) -> TableQuestion:
    return TableQuestion(
        source=Source(dataset=DATASET, version=1),
        where=where,
        group_by=tuple(Dimension(column=column(name)) for name in by),
        aggregates=aggregates,
        margins=margins,
    )


def firms(street: str, taxes: Sequence[int], *, start: int = 0, **more: str | int | None) -> list[Row]:
    """Rows of firms of one street, a firm each, with these taxes."""
    return [{"unit": start + n, "street": street, "tax": tax, **more} for n, tax in enumerate(taxes)]


def candidate_of(asked: TableQuestion, rows: Sequence[Row]) -> Candidate:
    """Compute a candidate exactly; every total is exact, cells without rows do not appear."""
    inside = [row for row in rows if _meets(row, asked.where)]
    outside = [row for row in rows if not _meets(row, asked.where)]
    names = [dimension.column.name for dimension in asked.group_by]
    cells = _cells(inside, names, asked.margins)
    groups = [_members(inside, names, key, totals) for key, totals in cells]
    return Candidate(
        question=asked,
        keys=tuple(key for key, _ in cells),
        is_total=np.array([totals for _, totals in cells], dtype=np.bool_).reshape(len(cells), len(names)),
        rows=_ints(len(group) for group in groups),
        units=_ints(len(_units(group)) for group in groups),
        units_exact=np.ones(len(groups), dtype=np.bool_),
        measures={measure: _values(measure, groups) for measure in measures_of(asked)},
        selected=_population(inside),
        outside=_population(outside),
    )


class RecordingHistory:
    """A gate that remembers what it was asked, and suppresses what a test says."""

    def __init__(
        self, suppress: Callable[[Proposal], Mapping[Measure, Sequence[bool]]] | None = None, busy: int = 0
    ) -> None:
        self.proposals: list[Proposal] = []
        self.recorded: list[str] = []
        self.discarded: list[str] = []
        self.findings: tuple[Finding, ...] = ()
        self._suppress = suppress
        self._busy = busy

    def judge(self, proposal: Proposal) -> HistoryVerdict:
        self.proposals.append(proposal)
        masks = self._suppress(proposal) if self._suppress else {}
        return HistoryVerdict(
            suppress={measure: np.array(mask, dtype=np.bool_) for measure, mask in masks.items()},
            findings=self.findings,
            token=secrets.token_hex(4),
            evidence={"worlds": 1},
        )

    def record(self, token: str) -> None:
        if self._busy > 0:
            self._busy -= 1
            raise UnavailableError(ErrorCode.HISTORY_BUSY, "busy")
        self.recorded.append(token)

    def discard(self, token: str) -> None:
        self.discarded.append(token)


def _meets(row: Row, conditions: tuple[Condition, ...]) -> bool:
    for one in conditions:
        value, wanted = row.get(one.column.name), one.values[0]
        if one.comparison is Comparison.EQ and value != wanted:
            return False
        if one.comparison is Comparison.NE and (value is None or value == wanted):
            return False
    return True


def _cells(
    rows: Sequence[Row], names: Sequence[str], margins: bool
) -> list[tuple[tuple[str | None, ...], tuple[bool, ...]]]:
    found = set()
    patterns = itertools.product((False, True), repeat=len(names)) if margins else [(False,) * len(names)]
    for totals in list(patterns):
        for row in rows:
            key = tuple(None if gone else _key(row.get(name)) for name, gone in zip(names, totals, strict=True))
            found.add((key, totals))
    if not names:
        found.add(((), ()))
    return sorted(found, key=lambda cell: (cell[1], tuple((text is None, text or "") for text in cell[0])))


def _key(value: object) -> str | None:
    return None if value is None else str(value)


def _members(rows: Sequence[Row], names: Sequence[str], key: tuple[str | None, ...], totals: tuple[bool, ...]) -> Rows:
    return [
        row
        for row in rows
        if all(gone or _key(row.get(name)) == text for name, text, gone in zip(names, key, totals, strict=True))
    ]


def _units(rows: Sequence[Row]) -> set[object]:
    return {row["unit"] for row in rows}


def _population(rows: Sequence[Row]) -> Population:
    return Population(rows=len(rows), units=len(_units(rows)), units_exact=True)


def _values(measure: Measure, groups: Sequence[Sequence[Row]]) -> MeasureValues:
    parts = [[row for row in group if _meets(row, measure.where)] for group in groups]
    if measure.columns:
        names = [one.name for one in measure.columns]
        parts = [[row for row in part if all(row.get(name) is not None for name in names)] for part in parts]
    by_unit = [_by_unit(measure, part) for part in parts]
    tops = [[*sorted((abs(v) for v in units.values()), reverse=True), 0, 0] for units in by_unit]
    quantiles = [_quantile(measure, part) for part in parts] if measure.kind is MeasureKind.QUANTILE else None
    totals = [sum(units.values()) for units in by_unit]
    if measure.kind is MeasureKind.UNITS:
        totals = [len(_units(part)) for part in parts]
    return MeasureValues(
        totals=tuple(totals) if quantiles is None else tuple(q[0] for q in quantiles),
        rows=_ints(len(part) for part in parts),
        units=_ints(len(_units(part)) for part in parts),
        units_exact=np.ones(len(parts), dtype=np.bool_),
        absolute=tuple(sum(top) for top in tops),
        largest=tuple(top[0] for top in tops),
        second=tuple(top[1] for top in tops),
        largest_exact=np.ones(len(parts), dtype=np.bool_),
        negative=np.array([any(_value(measure, row) < 0 for row in part) for part in parts], dtype=np.bool_),
        below=None if quantiles is None else _ints(q[1] for q in quantiles),
        above=None if quantiles is None else _ints(q[2] for q in quantiles),
    )


def _by_unit(measure: Measure, rows: Sequence[Row]) -> dict[object, int]:
    found: dict[object, int] = {}
    for row in rows:
        found[row["unit"]] = found.get(row["unit"], 0) + _value(measure, row)
    return found


def _value(measure: Measure, row: Row) -> int:
    if measure.kind in (MeasureKind.ROWS, MeasureKind.VALUES, MeasureKind.UNITS):
        return 1
    numbers = [int(row[one.name] or 0) for one in measure.columns]
    if measure.kind is MeasureKind.SQUARES:
        return numbers[0] ** 2
    return int(np.prod(numbers)) if measure.kind is MeasureKind.PRODUCT else numbers[0]


def _quantile(measure: Measure, rows: Sequence[Row]) -> tuple[int | None, int, int]:
    if not rows:
        return None, 0, 0
    name = measure.columns[0].name
    ordered = sorted(int(row[name] or 0) for row in rows)
    value = ordered[min(int(Decimal(measure.fraction or "0.5") * len(ordered)), len(ordered) - 1)]
    below = {row["unit"] for row in rows if int(row[name] or 0) < value}
    above = {row["unit"] for row in rows if int(row[name] or 0) > value}
    return value, len(below), len(above)


def _ints(numbers: Iterable[int]) -> Ints:
    return np.array(list(numbers), dtype=np.int64)
