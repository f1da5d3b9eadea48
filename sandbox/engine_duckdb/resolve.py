"""From an admitted question to a job: names to columns of snapshots, literals to stored form (disclosure.md section 4).

Pure. What cannot be resolved was not admitted: it is refused, never guessed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Final

from policies.disclosure import DisclosureRules
from sandbox.catalog.model import Catalogue, DataItem, Dataset, DatasetVersion, ItemRole, ItemType
from sandbox.disclosure.atoms import Facet, Sameness
from sandbox.engine_duckdb.job import (
    AtomsJob,
    JobColumn,
    JobCondition,
    JobDimension,
    JobFacet,
    JobKey,
    JobMeasure,
    JobRules,
    JobTable,
    JobViewColumn,
    RegressionJob,
    TableJob,
    ViewJob,
)
from sandbox.engine_duckdb.manifest import schema_json
from sandbox.operations.measure import Measure
from yingbi.canonical import digest_json
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError
from yingbi.plan.model import (
    CodedFeature,
    Column,
    Comparison,
    Condition,
    JoinKind,
    RegressionQuestion,
    Scalar,
    Source,
    TableQuestion,
    TrainingFeature,
    TrainingQuestion,
)

__all__ = [
    "NAME_PATTERN",
    "Contribution",
    "Resolver",
    "resolve_atoms",
    "resolve_regression",
    "resolve_rules",
    "resolve_table",
    "resolve_view",
]

NAME_PATTERN: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SMALL: Final = 3_037_000_499
"""The greatest number whose square fits 64 bits."""

_NUMBERS: Final = frozenset({ItemType.INTEGER, ItemType.DECIMAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """Data sets and versions in the order of the job's tables; a column belongs to the first table of its data set."""

    tables: tuple[tuple[Dataset, DatasetVersion], ...]

    @classmethod
    def of_source(cls, source: Source, catalogue: Catalogue) -> "Resolver":
        """Return the resolver of a question's source, with its versions (the current one where none is pinned).

        Raises:
            NotFoundError: no such data set or version.
        """
        named = [(source.dataset, source.version), *((join.dataset, join.version) for join in source.joins)]
        return cls(tables=tuple(_table(name, version, catalogue) for name, version in named))

    def index(self, dataset: str, version: int | None = None) -> int:
        """Return the index of the table of a data set (and version).

        Raises:
            InvalidRequestError: it is not in the question.
        """
        for index, (known, pinned) in enumerate(self.tables):
            if known.name == dataset and version in (None, pinned.version):
                return index
        raise _unknown("data set")

    def item(self, column: Column) -> DataItem:
        """Return the declaration of a column that snapshots hold.

        Raises:
            InvalidRequestError: there is none.
        """
        item = self.tables[self.index(column.dataset)][0].item(column.name)
        # SECURITY: identifiers of SQL come from here only; a unit, a text or a strange name has no column.
        if item is None or item.role is ItemRole.UNIT or item.type is ItemType.TEXT or item.on_negative_list:
            raise _unknown("column")
        if not NAME_PATTERN.fullmatch(item.name):
            raise _unknown("column")
        return item

    def column(self, column: Column, *, table: int | None = None) -> JobColumn:
        """Return a column as the job names it."""
        item = self.item(column)
        index = self.index(column.dataset) if table is None else table
        holds = _is_declared_so(*self.tables[index])
        low, high = _stored_bounds(item) if holds else (None, None)
        return JobColumn(
            table=index,
            name=item.name,
            type=item.type,
            is_nullable=item.nullable or not holds,
            is_non_negative=low is not None and low >= 0,
            is_small=low is not None and high is not None and max(-low, high) <= _SMALL,
        )

    def condition(self, condition: Condition) -> JobCondition:
        """Return a condition with its literals in stored form."""
        item = self.item(condition.column)
        values = tuple(_stored(item, value) for value in condition.values)
        return JobCondition(column=self.column(condition.column), comparison=condition.comparison, values=values)

    def measure(self, measure: Measure) -> JobMeasure:
        """Return a measure with its columns resolved."""
        return JobMeasure(
            kind=measure.kind,
            columns=tuple(self.column(column) for column in measure.columns),
            where=tuple(self.condition(condition) for condition in measure.where),
            fraction=measure.fraction,
        )

    def edges(self, column: Column, edges: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Return edges in stored form."""
        item = self.item(column)
        return None if edges is None else tuple(_stored(item, edge) for edge in edges)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What rows contribute to: a column of their own data set, or counts; and sets of atoms (none: each atom).

    `least`: a number a set: units whose total over all the data set is smaller are left out.
    """

    subject: Column | None
    sets: tuple[tuple[int, ...], ...] = ()
    least: tuple[str, ...] = ()


def resolve_rules(rules: DisclosureRules) -> JobRules:
    """Return the parameters that say where exact figures are needed."""
    numerator, denominator = rules.dominance_share.as_integer_ratio()
    return JobRules(
        min_units=rules.min_units,
        top=rules.dominance_top,
        share=f"{numerator}/{denominator}",
        p_percent=rules.p_percent,
    )


def resolve_table(
    question: TableQuestion, measures: Sequence[Measure], resolver: Resolver, rules: DisclosureRules
) -> TableJob:
    """Return the job of a table.

    Raises:
        InvalidRequestError: a name or literal is not the catalogue's.
    """
    dimensions = [
        JobDimension(column=resolver.column(item.column), edges=resolver.edges(item.column, item.edges))
        for item in question.group_by
    ]
    return TableJob(
        tables=_job_tables(question.source, resolver),
        where=tuple(resolver.condition(condition) for condition in question.where),
        dimensions=tuple(dimensions),
        measures=tuple(resolver.measure(measure) for measure in measures),
        margins=question.margins,
        rules=resolve_rules(rules),
    )


def resolve_regression(question: RegressionQuestion, resolver: Resolver) -> RegressionJob:
    """Return the job of a regression.

    Raises:
        InvalidRequestError: a name or literal is not the catalogue's.
    """
    columns = (question.target, *question.features)
    return RegressionJob(
        tables=_job_tables(question.source, resolver),
        family=question.family,
        target=resolver.column(question.target),
        features=tuple(resolver.column(column) for column in question.features),
        scales=tuple(resolver.item(column).decimals for column in columns),
        where=tuple(resolver.condition(condition) for condition in question.where),
    )


def resolve_view(question: TrainingQuestion, resolver: Resolver, *, key: bytes, hold_out: Fraction) -> ViewJob:
    """Return the job that reads a view for a federation.

    Raises:
        InvalidRequestError: a name or literal is not the catalogue's, or the version has several rows of a unit.
    """
    dataset, version = resolver.tables[0]
    # SECURITY: a data set can be revised after a version was published; the version's own count is looked at too.
    if version.max_rows_per_unit > 1:
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected a version with one row a unit")
    target = Column(dataset=dataset.name, name=question.target)
    event = Condition(column=target, comparison=Comparison.EQ, values=(question.positive,))
    return ViewJob(
        tables=_job_tables(question.source, resolver),
        columns=tuple(_view_column(feature, dataset.name, resolver) for feature in question.features),
        event=resolver.condition(event),
        key=key.hex(),
        held_out=str(int(hold_out * 2**64)),
    )


def _view_column(feature: TrainingFeature, dataset: str, resolver: Resolver) -> JobViewColumn:
    column = Column(dataset=dataset, name=feature.name)
    item, found = resolver.item(column), resolver.column(column)
    if isinstance(feature, CodedFeature):
        if item.type not in (ItemType.BOOLEAN, ItemType.CODE):
            raise _unknown("code")
        return JobViewColumn(column=found, codes=feature.codes)
    if item.type not in _NUMBERS:
        raise _unknown("number")
    return JobViewColumn(column=found, scale=item.decimals)


def resolve_atoms(
    dataset: str,
    versions: Sequence[int],
    facets: Sequence[Facet],
    catalogue: Catalogue,
    *,
    cap: int,
    same: Sameness | None = None,
    measure: Measure | None = None,
    contribution: Contribution | None = None,
) -> tuple[AtomsJob, Resolver]:
    """Return the job that forms atoms, or with `measure` totals them, or finds a `contribution`, and its tables.

    Raises:
        NotFoundError: no such data set or version.
        InvalidRequestError: a name or literal is not the catalogue's.
    """
    keys = list(dict.fromkeys((dataset, version) for version in versions))
    own = len(keys)
    keys += [key for facet in facets if (key := (facet.column.dataset, facet.version)) not in keys]
    keys = list(dict.fromkeys(keys))
    keys += _looked_up(measure, {name for name, _ in keys}, catalogue)
    resolver = Resolver(tables=tuple(_table(name, version, catalogue) for name, version in keys))
    subject = None if contribution is None else contribution.subject
    job = AtomsJob(
        tables=tuple(_job_table(*table, None) for table in resolver.tables),
        versions=tuple(range(own)),
        rows_of=tuple(index for index in range(own, len(keys)) if keys[index][0] == dataset),
        facets=tuple(_facet(facet, resolver) for facet in facets),
        cap=cap,
        measure=None if measure is None else resolver.measure(measure),
        is_contribution=contribution is not None,
        subject=None if subject is None else resolver.column(subject, table=0),
        sets=() if contribution is None else contribution.sets,
        least=() if contribution is None else contribution.least,
        same=None if same is None else resolver.column(same.column, table=0),
        # Of what has no size nothing is near.
        is_near=same is not None and same.is_near and resolver.item(same.column).type in _NUMBERS,
    )
    return job, resolver


def _facet(facet: Facet, resolver: Resolver) -> JobFacet:
    table = resolver.index(facet.column.dataset, facet.version)
    if facet.presence:
        return JobFacet(table=table, column=None)
    edges = resolver.edges(facet.column, facet.edges)
    return JobFacet(table=table, column=resolver.column(facet.column, table=table), edges=edges)


def _looked_up(measure: Measure | None, known: set[str], catalogue: Catalogue) -> list[tuple[str, int]]:
    """Return the current versions of data sets that only the measure names."""
    if measure is None:
        return []
    columns = (*measure.columns, *(condition.column for condition in measure.where))
    names = sorted({column.dataset for column in columns} - known)
    return [(name, _table(name, None, catalogue)[1].version) for name in names]


def _table(name: str, version: int | None, catalogue: Catalogue) -> tuple[Dataset, DatasetVersion]:
    dataset = catalogue.dataset(name)
    pinned = catalogue.current(name) if version is None else catalogue.versions.get((name, version))
    if dataset is None:
        raise NotFoundError(ErrorCode.DATASET_NOT_FOUND, "the data set is not in the catalogue")
    if pinned is None:
        raise NotFoundError(ErrorCode.VERSION_NOT_FOUND, "the version of the data set is not in the catalogue")
    return dataset, pinned


def _job_tables(source: Source, resolver: Resolver) -> tuple[JobTable, ...]:
    kinds: list[JoinKind | None] = [None, *(join.kind for join in source.joins)]
    return tuple(_job_table(*table, kind) for table, kind in zip(resolver.tables, kinds, strict=True))


def _job_table(dataset: Dataset, version: DatasetVersion, join: JoinKind | None) -> JobTable:
    # INVARIANT: a joined data set has one row a unit, so that a join never multiplies rows.
    if join is not None and version.max_rows_per_unit > 1:
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected a joined data set with one row a unit")
    keys = [item for item in dataset.items if item.role is ItemRole.ROW_KEY]
    return JobTable(
        rows=version.rows,
        max_rows_per_unit=max(1, version.max_rows_per_unit),
        join=join,
        row_keys=tuple(_job_key(item) for item in keys) if _is_declared_so(dataset, version) else (),
    )


def _job_key(item: DataItem) -> JobKey:
    low, high = _stored_bounds(item)
    if low is not None and high is not None:
        return JobKey(name=item.name, values=high - low + 1)
    return JobKey(name=item.name, values=None if item.domain is None else len(item.domain))


def _is_declared_so(dataset: Dataset, version: DatasetVersion) -> bool:
    """Return whether a version was checked against this very declaration: only then do its bounds and keys hold."""
    # SECURITY: a data set can be revised after a version was published; what was not checked is not relied on.
    return version.schema_digest == _schema_digest(dataset)


@lru_cache(maxsize=256)
def _schema_digest(dataset: Dataset) -> str:
    return digest_json(schema_json(dataset))


def _stored_bounds(item: DataItem) -> tuple[int | None, int | None]:
    if item.bounds is None or item.type not in _NUMBERS:
        return None, None
    low, high = (int(bound.scaleb(item.decimals)) for bound in item.bounds)
    return low, high


def _stored(item: DataItem, value: Scalar) -> str:
    """Return a literal as the snapshot stores it."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        if item.type in _NUMBERS:
            number = Decimal(text).scaleb(item.decimals)
            if number == number.to_integral_value():
                return str(int(number))
        elif item.type is ItemType.DATE:
            return date.fromisoformat(text).isoformat()
        elif item.type is ItemType.CODE or text in ("true", "false"):
            return text
    except (InvalidOperation, ValueError):
        pass
    raise InvalidRequestError(ErrorCode.LITERAL_INVALID, f"expected a literal of column `{item.name}`")


def _unknown(what: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.NAME_UNKNOWN, f"expected a {what} of the question")
