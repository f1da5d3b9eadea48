"""What the catalogue says of a question that rules need: public and confidential columns, bounds, rows a unit.

Nothing here depends on data: rules that use facts only are the same for every data set with this catalogue.
"""

from dataclasses import dataclass
from decimal import Decimal

from sandbox.catalog.model import Catalogue, DataItem, Dataset, ItemType, Visibility
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.model import AnsweredQuestion, Column, Condition, TableQuestion

__all__ = ["ColumnFact", "TableFacts", "facts_of"]

_NUMBERS = (ItemType.INTEGER, ItemType.DECIMAL, ItemType.BOOLEAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFact:
    """One column: `lower`, `upper` are declared bounds as integers of the column's fixed-point scale."""

    type: ItemType
    is_confidential: bool
    decimals: int = 0
    lower: int | None = None
    upper: int | None = None
    domain: tuple[str, ...] | None = None

    @property
    def is_two_valued(self) -> bool:
        """Return whether the declared bounds leave two values: counts of either follow from a sum."""
        return self.lower is not None and self.upper is not None and self.upper - self.lower == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """What is public about a question.

    `max_rows_per_unit` is K of the version that is read. `is_membership_public`: everybody knows who is in the data
    set. `columns`: every column that the question names.
    """

    max_rows_per_unit: int
    is_membership_public: bool
    columns: dict[Column, ColumnFact]

    def is_confidential(self, column: Column) -> bool:
        """Return whether a column is confidential; one that is not declared is."""
        fact = self.columns.get(column)
        return fact is None or fact.is_confidential

    def has_confidential(self, conditions: tuple[Condition, ...]) -> bool:
        """Return whether a condition is on a confidential column."""
        return any(self.is_confidential(condition.column) for condition in conditions)


def facts_of(question: AnsweredQuestion, catalogue: Catalogue) -> TableFacts:
    """Return the facts about a question whose versions are pinned.

    Raises:
        InvalidRequestError: the catalogue has no such data set, version or column.
    """
    source = question.source
    dataset = _dataset(catalogue, source.dataset)
    version = catalogue.versions.get((source.dataset, source.version or 0))
    if version is None:
        raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, "expected a question whose version is pinned")
    datasets = (dataset, *(_dataset(catalogue, join.dataset) for join in source.joins))
    return TableFacts(
        max_rows_per_unit=max(1, version.max_rows_per_unit),
        is_membership_public=all(one.membership is Visibility.PUBLIC for one in datasets),
        columns={column: _fact(catalogue, column) for column in _columns(question)},
    )


def _dataset(catalogue: Catalogue, name: str) -> Dataset:
    found = catalogue.dataset(name)
    if found is None:
        raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, "expected a data set of the catalogue")
    return found


def _fact(catalogue: Catalogue, column: Column) -> ColumnFact:
    item = _dataset(catalogue, column.dataset).item(column.name)
    if item is None:
        raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, "expected a column of the catalogue")
    lower, upper = _bounds(item)
    return ColumnFact(
        type=item.type,
        is_confidential=item.visibility is Visibility.CONFIDENTIAL,
        decimals=item.decimals,
        lower=lower,
        upper=upper,
        domain=("false", "true") if item.type is ItemType.BOOLEAN else item.domain,
    )


def _bounds(item: DataItem) -> tuple[int | None, int | None]:
    if item.type is ItemType.BOOLEAN:
        return 0, 1
    if item.bounds is None or item.type not in _NUMBERS:
        return None, None
    scale = Decimal(10) ** item.decimals
    return int(item.bounds[0] * scale), int(item.bounds[1] * scale)


def _columns(question: AnsweredQuestion) -> set[Column]:
    found = {condition.column for condition in question.where}
    if not isinstance(question, TableQuestion):
        return found | {question.target, *question.features}
    found |= {dimension.column for dimension in question.group_by}
    for aggregate in question.aggregates:
        found |= {condition.column for condition in aggregate.where}
        found |= {aggregate.column} if aggregate.column is not None else set()
    return found
