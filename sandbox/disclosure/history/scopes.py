"""From a question to the systems of variables that its answer speaks about (pure; no data).

A *system* is what is protected together: a confidential column of a data set, or who is in the data set and in which
confidential classes (`ROWS`). Every measure belongs to one or more systems; QUANTILE, MODEL, SQUARES and PRODUCT are
guarded as if each were a sum of their columns over the cell, which can only overstate what an attacker learns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.catalog.model import Catalogue, DataItem, Dataset, Visibility
from sandbox.operations.measure import Measure, MeasureKind
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.model import AnsweredQuestion, Column, Comparison, Condition, Dimension, JoinKind, TableQuestion

__all__ = [
    "ROWS",
    "Scope",
    "SystemKey",
    "Versioned",
    "conditions_of",
    "is_confidential",
    "is_weighted",
    "item_of",
    "scope_of",
    "systems_of",
]

ROWS: Final = "*"
Versioned = tuple[Column, int]
"""A column in a version of its data set: what splits rows in one version may split them otherwise in another."""

_COUNTS: Final = frozenset({MeasureKind.ROWS, MeasureKind.UNITS, MeasureKind.VALUES})


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SystemKey:
    """A system: the rows of `dataset`, and `subject` (a column of it, or `ROWS`)."""

    dataset: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which rows an answer adds up, cell by cell, whatever it adds.

    `versions`: of every data set that takes part. `present`: data sets that a row must be in. `conditions`: all that a
    row must meet, canonical. `dimensions`: how cells are made.
    """

    versions: tuple[tuple[str, int], ...]
    present: tuple[str, ...]
    conditions: tuple[Condition, ...]
    dimensions: tuple[Dimension, ...]

    def version(self, dataset: str) -> int:
        """Return the version of a data set that takes part."""
        return dict(self.versions)[dataset]

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that decide on rows and cells, sorted, each once."""
        used = [item.column for item in self.conditions] + [item.column for item in self.dimensions]
        return tuple(sorted(set(used)))


def item_of(catalogue: Catalogue, column: Column) -> DataItem:
    """Return the declaration of a column.

    Raises:
        InvalidRequestError: there is none.
    """
    item = _dataset(catalogue, column.dataset).item(column.name)
    if item is None:
        raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, "expected a column of the catalogue")
    return item


def is_confidential(catalogue: Catalogue, column: Column) -> bool:
    """Return whether a column is confidential."""
    return item_of(catalogue, column).visibility is Visibility.CONFIDENTIAL


def conditions_of(question: AnsweredQuestion, measure: Measure, catalogue: Catalogue) -> tuple[Condition, ...]:
    """Return everything that a row must meet to count in a measure, sorted, each once.

    Where a column can be null, the rows that have a value are a class that the answer speaks about.
    """
    counted = [
        Condition(column=column, comparison=Comparison.NOT_NULL)
        for column in measure.columns
        if measure.kind is MeasureKind.VALUES and _can_be_null(question, column, catalogue)
    ]
    found = {*question.where, *measure.where, *counted}
    return tuple(sorted(found, key=lambda item: (item.column, item.comparison, tuple(map(str, item.values)))))


def scope_of(question: AnsweredQuestion, measure: Measure, catalogue: Catalogue) -> Scope:
    """Return which rows a measure of a question adds up (versions pinned)."""
    source = question.source
    versions = [(source.dataset, source.version), *((join.dataset, join.version) for join in source.joins)]
    if any(version is None for _, version in versions):
        raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, "expected a question whose versions are pinned")
    inner = [join.dataset for join in source.joins if join.kind is JoinKind.INNER]
    return Scope(
        versions=tuple(sorted((name, version or 0) for name, version in versions)),
        present=tuple(sorted([source.dataset, *inner])),
        conditions=conditions_of(question, measure, catalogue),
        dimensions=question.group_by if isinstance(question, TableQuestion) else (),
    )


def systems_of(
    question: AnsweredQuestion, measure: Measure, scope: Scope, catalogue: Catalogue
) -> tuple[SystemKey, ...]:
    """Return the systems that a measure speaks about; none where everything in it is public.

    A sum of a public column over a set that is not public speaks about who is in that set, and is guarded as a count
    and as a column of its own.
    """
    homes = _homes(scope, catalogue)
    rows = {SystemKey(dataset=name, subject=ROWS) for name in homes}
    if measure.kind in _COUNTS:
        return tuple(sorted(rows))
    secret = {column for column in measure.columns if is_confidential(catalogue, column)}
    subjects = secret or (set(measure.columns) if homes else set())
    found = {SystemKey(dataset=column.dataset, subject=column.name) for column in subjects}
    return tuple(sorted(found if secret else found | rows))


def _homes(scope: Scope, catalogue: Catalogue) -> set[str]:
    """Return the data sets about whose members a count says something that is not public."""
    secret = {column.dataset for column in scope.columns() if is_confidential(catalogue, column)}
    members = {name for name in scope.present if _dataset(catalogue, name).membership is Visibility.CONFIDENTIAL}
    return secret | members


def is_weighted(question: AnsweredQuestion, keys: Sequence[SystemKey], scope: Scope, catalogue: Catalogue) -> bool:
    """Return whether rows of a system count several times in the answer, so that it is not a sum over a set.

    SECURITY: such answers are held for a person, never passed.
    """
    source = question.source.dataset
    return any(key.dataset != source for key in keys) and _rows_a_unit(catalogue, scope, [source]) > 1


def _rows_a_unit(catalogue: Catalogue, scope: Scope, names: Iterable[str]) -> int:
    found = [catalogue.versions.get((name, scope.version(name))) for name in names]
    if any(version is None for version in found):
        raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, "expected a version of the catalogue")
    return max(version.max_rows_per_unit for version in found if version is not None)


def _can_be_null(question: AnsweredQuestion, column: Column, catalogue: Catalogue) -> bool:
    joined = {join.dataset for join in question.source.joins if join.kind is JoinKind.LEFT}
    return column.dataset in joined or item_of(catalogue, column).nullable


def _dataset(catalogue: Catalogue, name: str) -> Dataset:
    found = catalogue.dataset(name)
    if found is None:
        raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, "expected a data set of the catalogue")
    return found
