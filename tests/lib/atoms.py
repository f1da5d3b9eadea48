"""A small node in memory: an atom source over NumPy arrays, questions run by brute force, and an exact oracle.

The oracle works on single rows of the data with exact fractions: it knows nothing of atoms, Gram matrices or worlds.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from policies.disclosure import DisclosureRules
from sandbox.candidate import MeasureValues
from sandbox.catalog.model import Catalogue, DataItem, Dataset, DatasetVersion, ItemRole, ItemType, Visibility
from sandbox.disclosure.atoms import ABSENT, AtomTable, Contributions, Facet, Largest, Sameness
from sandbox.disclosure.history_gate import Proposal, ProposedMeasure
from sandbox.operations.measure import Measure, MeasureKind
from yingbi.events.fields import PrivacyUnit
from yingbi.plan.model import (
    Aggregate,
    Column,
    Comparison,
    Condition,
    Dimension,
    Function,
    Join,
    JoinKind,
    Question,
    Source,
    TableQuestion,
)

__all__ = [
    "ArraySource",
    "Data",
    "ask",
    "column",
    "combination_is_in_span",
    "equations",
    "in_span",
    "make_catalogue",
    "make_dataset",
    "make_item",
    "propose",
    "rank",
    "selection",
    "value_numbers",
]

Bools = NDArray[np.bool_]
Value = str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Data:
    """One version of a data set: units and row keys, and columns of canonical texts or None."""

    unit: NDArray[np.int64]
    row: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.object_]]


def column(name: str, dataset: str = "unit/firms") -> Column:
    return Column(dataset=dataset, name=name)


def make_item(
    name: str,
    kind: ItemType = ItemType.CODE,
    *,
    public: bool = False,
    domain: tuple[str, ...] | None = None,
    edges: tuple[str, ...] | None = None,
    nullable: bool = False,
) -> DataItem:
    visibility = Visibility.PUBLIC if public else Visibility.CONFIDENTIAL
    return DataItem(
        name=name, title=name, type=kind, visibility=visibility, domain=domain, edges=edges, nullable=nullable
    )


def make_dataset(name: str, items: Iterable[DataItem], *, public_members: bool = True, rows: int = 1) -> Dataset:
    key = DataItem(name="uscc", title="uscc", type=ItemType.TEXT, role=ItemRole.UNIT, nullable=False)
    return Dataset(
        name=name,
        title=name,
        owner="unit:u",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        items=(key, *items),
        membership=Visibility.PUBLIC if public_members else Visibility.CONFIDENTIAL,
        max_rows_per_unit=rows,
    )


def make_catalogue(datasets: Iterable[Dataset], data: Mapping[tuple[str, int], Data]) -> Catalogue:
    versions = {
        (name, number): DatasetVersion(
            dataset=name,
            version=number,
            digest="sha256:" + "0" * 64,
            schema_digest="sha256:" + "0" * 64,
            rows=len(one.unit),
            units=len(np.unique(one.unit)),
            max_rows_per_unit=int(np.bincount(one.unit).max()),
            published_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for (name, number), one in data.items()
    }
    return Catalogue(datasets={one.name: one for one in datasets}, versions=versions)


@dataclass(slots=True, eq=False)
class ArraySource:
    """Implements `AtomSource` over arrays; `calls` counts how often atoms were asked for."""

    data: Mapping[tuple[str, int], Data]
    catalogue: Catalogue
    calls: int = field(default=0)

    def atoms(
        self,
        dataset: str,
        versions: Sequence[int],
        facets: Sequence[Facet],
        *,
        cap: int,
        same: Sameness | None = None,
    ) -> AtomTable:
        self.calls += 1
        names = self._names(dataset, versions, same)
        keys = np.unique(np.concatenate([names[version] for version in versions]), axis=0)
        units = keys[:, 0]
        found = [self._codes(facet, dataset, keys, names) for facet in facets]
        codes = np.stack([one for one, _ in found], axis=1) if found else np.zeros((len(keys), 0), np.int32)
        if codes.shape[1]:
            distinct, number = np.unique(codes, axis=0, return_inverse=True)
        else:
            distinct, number = np.zeros((1, 0), np.int32), np.zeros(len(keys), np.int64)
        number = np.ravel(number)
        rows = np.bincount(number, minlength=len(distinct))
        pairs = np.unique(np.stack((number, units), axis=1), axis=0)
        count = np.bincount(pairs[:, 0], minlength=len(distinct))
        solo = np.full(len(distinct), -1, dtype=np.int64)
        lone = count[pairs[:, 0]] == 1
        solo[pairs[lone, 0]] = pairs[lone, 1]
        return AtomTable(
            facets=tuple(facets),
            labels=tuple(labels for _, labels in found),
            codes=distinct.astype(np.int32),
            rows=rows.astype(np.int64),
            units=np.where(count < cap, count, cap).astype(np.int64),
            solo=solo,
            same=same,
        )

    def totals(self, table: AtomTable, dataset: str, version: int, measure: Measure) -> tuple[int, ...]:
        data = self.data[dataset, version]
        names = self._names_of(table, dataset, version)
        codes = np.stack([self._codes(one, dataset, names[version], names, table)[0] for one in table.facets], axis=1)
        place = {tuple(one): number for number, one in enumerate(table.codes.tolist())}
        totals = [0] * len(table.rows)
        values = data.columns[measure.columns[0].name] if measure.columns else ["1"] * len(codes)
        for code, value in zip(codes.tolist(), values, strict=True):
            totals[place[tuple(code)]] += 0 if value is None else int(value)
        return tuple(totals)

    def contributions(
        self, table: AtomTable, dataset: str, version: int, secret: Sequence[Facet], subject: Column | None
    ) -> Contributions:
        atom, codes, labels, values, unit = self._entries(table, dataset, version, secret, subject)
        whole = np.column_stack((atom, codes))
        distinct, number = np.unique(whole, axis=0, return_inverse=True)
        number = np.ravel(number)
        told = np.array([value is not None for value in values])
        size = np.array([0 if value is None else abs(int(value)) for value in values])
        most = np.bincount(unit, weights=size) if subject is not None else np.full(int(unit.max()) + 1, np.inf)
        if subject is None:
            most[:] = np.bincount(unit).max()
        bound = np.zeros(len(distinct))
        np.maximum.at(bound, number, most[unit])
        return Contributions(
            atom=distinct[:, 0].astype(np.int64),
            codes=distinct[:, 1:].astype(np.int32),
            labels=labels,
            rows=np.bincount(number[told], minlength=len(distinct)).astype(np.int64),
            absolute=np.bincount(number, weights=size, minlength=len(distinct)).astype(np.float64),
            bound=bound,
        )

    def largest(
        self,
        table: AtomTable,
        dataset: str,
        version: int,
        secret: Sequence[Facet],
        subject: Column | None,
        sets: Sequence[NDArray[np.int64]],
        least: Sequence[int],
    ) -> tuple[Largest, ...]:
        atom, codes, _, values, unit = self._entries(table, dataset, version, secret, subject)
        _, number = np.unique(np.column_stack((atom, codes)), axis=0, return_inverse=True)
        found = []
        whole: dict[int, int] = {}
        for one, value in zip(unit.tolist(), values, strict=True):
            whole[one] = whole.get(one, 0) + abs(int(value or 0))
        for members, smallest in zip(sets, least, strict=True):
            totals: dict[int, int] = {}
            for row in np.flatnonzero(np.isin(np.ravel(number), members)).tolist():
                if values[row] is not None and whole[int(unit[row])] >= smallest:
                    totals[int(unit[row])] = totals.get(int(unit[row]), 0) + abs(int(values[row] or 0))
            sizes = [*sorted(totals.values(), reverse=True), 0, 0]
            found.append(Largest(units=len(totals), absolute=sum(sizes), largest=sizes[0], second=sizes[1]))
        return tuple(found)

    def _entries(
        self, table: AtomTable, dataset: str, version: int, secret: Sequence[Facet], subject: Column | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], tuple[tuple[str, ...], ...], Sequence[Value], NDArray[np.int64]]:
        """Return atom, confidential classes (with their labels), value and unit of each row of a version."""
        data = self.data[dataset, version]
        names = self._names_of(table, dataset, version)
        keys = names[version]
        public = [self._codes(one, dataset, keys, names, table)[0] for one in table.facets]
        place = {tuple(one): number for number, one in enumerate(table.codes.tolist())}
        atom = [place[tuple(one)] for one in np.column_stack([np.zeros((len(keys), 0), np.int32), *public]).tolist()]
        hidden = [self._codes(one, dataset, keys, names, may_be_secret=True) for one in secret]
        codes = np.column_stack([np.zeros((len(keys), 0), np.int32), *(one for one, _ in hidden)])
        values: Sequence[Value] = ["1"] * len(keys) if subject is None else list(data.columns[subject.name])
        return np.array(atom), codes, tuple(labels for _, labels in hidden), values, data.unit

    def _names_of(self, table: AtomTable, dataset: str, version: int) -> dict[int, NDArray[np.int64]]:
        versions = {facet.version for facet in table.facets if facet.column.dataset == dataset}
        return self._names(dataset, sorted(versions | {version}), table.same)

    def _names(self, dataset: str, versions: Iterable[int], same: Sameness | None) -> dict[int, NDArray[np.int64]]:
        """Return unit, row key and number of the value (0 without `same`) of each row, by version."""
        data = {number: self.data[dataset, number] for number in versions}
        keys = {number: np.stack((one.unit, one.row), axis=1) for number, one in data.items()}
        if same is None:
            return {number: np.column_stack((rows, np.zeros(len(rows), np.int64))) for number, rows in keys.items()}
        values: dict[tuple[int, ...], set[Value]] = {}
        for number, rows in keys.items():
            for row, value in zip(rows.tolist(), data[number].columns[same.column.name], strict=True):
                values.setdefault(tuple(row), set()).add(value)
        numbers = {row: value_numbers(found, is_near=same.is_near) for row, found in values.items()}
        names = {}
        for number, rows in keys.items():
            column = data[number].columns[same.column.name]
            own = [numbers[tuple(row)][value] for row, value in zip(rows.tolist(), column, strict=True)]
            names[number] = np.column_stack((rows, np.array(own, dtype=np.int64)))
        return names

    def _codes(
        self,
        facet: Facet,
        dataset: str,
        keys: NDArray[np.int64],
        every: Mapping[int, NDArray[np.int64]],
        known: AtomTable | None = None,
        *,
        may_be_secret: bool = False,
    ) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        data = self.data[facet.column.dataset, facet.version]
        is_same = facet.column.dataset == dataset
        names = keys if is_same else keys[:, :1]
        own = every[facet.version] if is_same else data.unit[:, None]
        _, number_of = np.unique(np.concatenate((names, own)), axis=0, return_inverse=True)
        flat, flat_own = np.split(np.ravel(number_of), [len(names)])
        order = np.argsort(flat_own, kind="stable")
        place = np.minimum(np.searchsorted(flat_own[order], flat), len(order) - 1)
        hit = flat_own[order][place] == flat
        index = np.where(hit, order[place], -1)
        if facet.presence:
            return np.where(hit, 0, ABSENT).astype(np.int32), ()
        item = self.catalogue.datasets[facet.column.dataset].item(facet.column.name)
        assert item is not None
        is_public = item.visibility is Visibility.PUBLIC
        assert is_public or may_be_secret, "history must never split atoms by a confidential column"
        values = data.columns[facet.column.name]
        if facet.edges is not None:
            edges = [_point(item, one) for one in facet.edges]
            codes = np.array(
                [ABSENT if v is None else np.searchsorted(edges, _point(item, v), "right") for v in values]
            )
            labels: tuple[str, ...] = ()
        elif known is not None:
            labels = known.labels[known.facets.index(facet)]
            codes = np.array([ABSENT if v is None else labels.index(v) for v in values])
        else:
            is_null = np.array([v is None for v in values])
            texts = np.where(is_null, "", values).astype(str)
            distinct, number = np.unique(texts, return_inverse=True)
            if is_null.any() and distinct[0] == "":
                distinct, number = distinct[1:], number - 1
            labels, codes = tuple(distinct.tolist()), np.where(is_null, ABSENT, number)
        return np.where(hit, codes[index], ABSENT).astype(np.int32), labels


def value_numbers(values: Iterable[Value], *, is_near: bool) -> dict[Value, int]:
    """Number the values that a row ever had, those that lie close together alike."""
    numbers: dict[Value, int] = {None: -1}
    before: int | None = None
    for value in sorted(int(one) for one in values if one is not None):
        is_close = before is not None and (value - before) * 10 <= max(abs(value), abs(before))
        numbers[str(value)] = max(numbers.values()) + (not (is_near and is_close))
        before = value
    return numbers


def _point(item: DataItem, value: str) -> int:
    return date.fromisoformat(value).toordinal() if item.type is ItemType.DATE else int(value)


# --- questions --------------------------------------------------------------------------------------------------------


def ask(
    *dimensions: str | Dimension,
    measure: Function = Function.SUM,
    of: str | None = "tax",
    where: Sequence[Condition] = (),
    margins: bool = False,
    version: int = 1,
    dataset: str = "unit/firms",
    joins: Sequence[str] = (),
    kind: JoinKind = JoinKind.INNER,
    joined: int = 1,
) -> TableQuestion:
    """Return a bound question about `dataset`."""
    made = [one if isinstance(one, Dimension) else Dimension(column=column(one, dataset)) for one in dimensions]
    subject = None if of is None or measure is Function.COUNT else column(of, dataset)
    return TableQuestion(
        source=Source(
            dataset=dataset,
            version=version,
            joins=tuple(Join(dataset=name, kind=kind, version=joined, on=("uscc", "uscc")) for name in joins),
        ),
        where=tuple(where),
        group_by=tuple(made),
        aggregates=(Aggregate(function=measure, column=subject),),
        margins=margins,
    )


_MEASURES = {
    Function.COUNT: (MeasureKind.ROWS,),
    Function.SUM: (MeasureKind.SUM,),
    Function.MEAN: (MeasureKind.SUM, MeasureKind.VALUES),
    Function.VARIANCE: (MeasureKind.SUM, MeasureKind.SQUARES, MeasureKind.VALUES),
    Function.COUNT_VALUES: (MeasureKind.VALUES,),
    Function.COUNT_UNITS: (MeasureKind.UNITS,),
    Function.QUANTILE: (MeasureKind.QUANTILE,),
}


def measures(question: TableQuestion) -> list[Measure]:
    made = []
    for one in question.aggregates:
        columns = () if one.column is None else (one.column,)
        made += [
            Measure(
                kind=kind, columns=() if kind in (MeasureKind.ROWS, MeasureKind.UNITS) else columns, where=one.where
            )
            for kind in _MEASURES[one.function]
        ]
    return made


def _lookup(data: Mapping[tuple[str, int], Data], question: Question, name: Column) -> NDArray[np.object_]:
    source = data[question.source.dataset, question.source.version or 1]
    if name.dataset == question.source.dataset:
        return source.columns[name.name]
    other = data[name.dataset, _version(question, name.dataset)]
    place = {unit: number for number, unit in enumerate(other.unit.tolist())}
    made = [other.columns[name.name][place[u]] if u in place else None for u in source.unit.tolist()]
    return np.array(made, dtype=object)


def _version(question: Question, dataset: str) -> int:
    return next(join.version or 1 for join in question.source.joins if join.dataset == dataset)


def _meets(catalogue: Catalogue, condition: Condition, value: Value) -> bool:
    item = catalogue.datasets[condition.column.dataset].item(condition.column.name)
    assert item is not None
    if condition.comparison is Comparison.IS_NULL:
        return value is None
    if value is None:
        return False
    if condition.comparison is Comparison.NOT_NULL:
        return True
    ordered = item.type in (ItemType.INTEGER, ItemType.DATE)
    own, others = (
        (_point(item, value), [_point(item, str(v)) for v in condition.values])
        if ordered
        else (
            value,
            [str(v).lower() if isinstance(v, bool) else str(v) for v in condition.values],
        )
    )
    first = others[0]
    return {
        Comparison.EQ: own == first,
        Comparison.NE: own != first,
        Comparison.IN: own in others,
        Comparison.NOT_IN: own not in others,
        Comparison.LT: own < first,  # type: ignore[operator]
        Comparison.LE: own <= first,  # type: ignore[operator]
        Comparison.GT: own > first,  # type: ignore[operator]
        Comparison.GE: own >= first,  # type: ignore[operator]
    }[condition.comparison]


def _key(catalogue: Catalogue, dimension: Dimension, value: Value) -> Value:
    if value is None or dimension.edges is None:
        return value
    item = catalogue.datasets[dimension.column.dataset].item(dimension.column.name)
    assert item is not None
    return str(int(np.searchsorted([_point(item, one) for one in dimension.edges], _point(item, value), "right")))


def selection(
    data: Mapping[tuple[str, int], Data], catalogue: Catalogue, question: TableQuestion
) -> tuple[list[tuple[Value, ...]], Bools, Bools]:
    """Return keys, `is_total` and the rows of each cell (cells x rows) of a question, by brute force."""
    source = data[question.source.dataset, question.source.version or 1]
    inside = np.ones(len(source.unit), dtype=bool)
    for join in question.source.joins:
        if join.kind is JoinKind.INNER:
            inside &= np.isin(source.unit, data[join.dataset, join.version or 1].unit)
    for condition in question.where:
        values = _lookup(data, question, condition.column)
        inside &= np.array([_meets(catalogue, condition, v) for v in values], dtype=bool)
    count = len(question.group_by)
    columns = [[_key(catalogue, one, v) for v in _lookup(data, question, one.column)] for one in question.group_by]
    keys: list[tuple[Value, ...]] = []
    totals: list[tuple[bool, ...]] = []
    members: list[Bools] = []
    patterns = itertools.product((False, True), repeat=count) if question.margins else [(False,) * count]
    for pattern in patterns:
        names = [
            tuple(None if hidden else columns[d][r] for d, hidden in enumerate(pattern)) for r in range(len(inside))
        ]
        grouped: dict[tuple[Value, ...], list[int]] = {}
        for number in np.flatnonzero(inside).tolist():
            grouped.setdefault(names[number], []).append(number)
        for name in sorted(grouped, key=repr):
            keys.append(name)
            totals.append(pattern)
            member = np.zeros(len(inside), dtype=bool)
            member[grouped[name]] = True
            members.append(member)
    is_total = np.array(totals, dtype=bool).reshape(len(keys), count)
    return keys, is_total, np.array(members, dtype=bool).reshape(len(keys), len(inside))


def propose(
    data: Mapping[tuple[str, int], Data], catalogue: Catalogue, question: TableQuestion, rules: DisclosureRules
) -> Proposal:
    """Return the proposal of a question: cells under the threshold are held back, the others may come out."""
    keys, is_total, members = selection(data, catalogue, question)
    source = data[question.source.dataset, question.source.version or 1]
    units = np.array([len(np.unique(source.unit[member])) for member in members], dtype=np.int64)
    few = units < rules.min_units
    proposed = ProposedMeasure(values=_no_values(members), publishable=~few, primary=few)
    return Proposal(
        question=question,
        keys=tuple(keys),
        is_total=is_total,
        measures=dict.fromkeys(measures(question), proposed),
        rules=rules,
        catalogue=catalogue,
    )


def _no_values(members: Bools) -> MeasureValues:
    """History must decide without values: it gets none that it could use."""
    count = len(members)
    nothing = np.zeros(count, dtype=np.int64)
    flags = np.zeros(count, dtype=bool)
    return MeasureValues(
        totals=(None,) * count,
        rows=nothing,
        units=nothing,
        units_exact=flags,
        absolute=(0,) * count,
        largest=(0,) * count,
        second=(0,) * count,
        largest_exact=flags,
        negative=flags,
    )


# --- oracle -----------------------------------------------------------------------------------------------------------


def classes(catalogue: Catalogue, name: Column) -> list[Value]:
    """Return one value of each class of a confidential column: of its domain, or between declared edges."""
    item = catalogue.datasets[name.dataset].item(name.name)
    assert item is not None
    if item.type is ItemType.BOOLEAN:
        found: list[Value] = ["false", "true"]
    elif item.edges is not None:
        found = [str(int(item.edges[0]) - 1), *item.edges]
    else:
        found = list(item.domain or ())
    return [*found, None] if item.nullable else found


def equations(
    data: Mapping[tuple[str, int], Data],
    catalogue: Catalogue,
    proposal: Proposal,
    released: Bools,
    secret: Sequence[Column],
    units: int,
) -> NDArray[np.int64]:
    """Return what an attacker who knows all public columns learns: cells x (units times classes of `secret`)."""
    question = proposal.question
    assert isinstance(question, TableQuestion)
    source = data[question.source.dataset, question.source.version or 1]
    combinations = list(itertools.product(*(classes(catalogue, name) for name in secret)))
    conditions = [*question.where, *question.aggregates[0].where]
    inside = np.ones(len(source.unit), dtype=bool)
    for join in question.source.joins:
        if join.kind is JoinKind.INNER:
            inside &= np.isin(source.unit, data[join.dataset, join.version or 1].unit)
    for one in conditions:
        if one.column not in secret:
            inside &= np.array([_meets(catalogue, one, v) for v in _lookup(data, question, one.column)], dtype=bool)
    found = []
    for number in np.flatnonzero(released).tolist():
        rows, takes = inside.copy(), np.ones(len(combinations), dtype=bool)
        for place, name in enumerate(secret):
            values = [one[place] for one in combinations]
            for one in conditions:
                if one.column == name:
                    takes &= np.array([_meets(catalogue, one, v) for v in values], dtype=bool)
        for place, dimension in enumerate(question.group_by):
            if proposal.is_total[number, place]:
                continue
            wanted = proposal.keys[number][place]
            if dimension.column in secret:
                values = [one[secret.index(dimension.column)] for one in combinations]
                takes &= np.array([_key(catalogue, dimension, v) == wanted for v in values], dtype=bool)
            else:
                values = list(_lookup(data, question, dimension.column))
                rows &= np.array([_key(catalogue, dimension, v) == wanted for v in values], dtype=bool)
        weight = np.bincount(source.unit[rows], minlength=units)
        found.append(np.outer(weight, takes).ravel())
    return np.array(found, dtype=np.int64).reshape(len(found), units * len(combinations))


def in_span(equations: NDArray[np.int64], targets: NDArray[np.int64]) -> Bools:
    """Tell exactly which targets (rows) are combinations of equations."""
    basis = _eliminated(equations)
    left = targets % _PRIME
    for row in basis:
        place = int(np.flatnonzero(row)[0])
        left = (left - left[:, place][:, None] * row) % _PRIME
    return np.asarray(~left.any(axis=1))


def combination_is_in_span(equations: NDArray[np.int64], places: Sequence[int], known: int = 0) -> bool:
    """Tell exactly whether any combination of the variables at `places` alone follows from the equations.

    It does when the equations lose rank once those variables are struck out; `known` combinations are no news.
    """
    others = np.setdiff1d(np.arange(equations.shape[1]), places)
    return rank(equations[:, others]) < rank(equations) - known


_PRIME = 2**31 - 1


def rank(matrix: NDArray[np.int64]) -> int:
    """Return the rank by elimination modulo a prime: never more than the rank, and less only by a rare accident."""
    return len(_eliminated(matrix))


def _eliminated(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    left = matrix % _PRIME
    found = 0
    for place in range(left.shape[1]):
        rows = np.flatnonzero(left[found:, place]) + found
        if not len(rows):
            continue
        left[[found, rows[0]]] = left[[rows[0], found]]
        left[found] = left[found] * pow(int(left[found, place]), -1, _PRIME) % _PRIME
        below = np.flatnonzero(left[found + 1 :, place]) + found + 1
        left[below] = (left[below] - left[below, place][:, None] * left[found]) % _PRIME
        found += 1
        if found == len(left):
            break
    return left[:found]
