"""The layout of a table: which of its rows everybody can name without the data, and in what order they stand."""

from decimal import Decimal, InvalidOperation

from sandbox.candidate import Candidate
from sandbox.catalog.model import ItemType
from sandbox.disclosure.facts import TableFacts
from yingbi.plan.model import Dimension, TableQuestion

__all__ = ["SortKey", "finest_dimension", "is_layout_public", "sort_key"]

SortKey = tuple[tuple[int, Decimal, str], ...]


def finest_dimension(candidate: Candidate) -> str | None:
    """Return the dimension with the most categories in the table: the one to coarsen first."""
    dimensions = candidate.question.group_by
    if not dimensions:
        return None
    sizes = [len({key[place] for key in candidate.keys}) for place in range(len(dimensions))]
    return dimensions[sizes.index(max(sizes))].column.name


def is_layout_public(question: TableQuestion, facts: TableFacts) -> bool:
    """Return whether the rows of the table say nothing: each dimension has declared categories, or is public."""
    return all(_has_public_categories(dimension, facts) for dimension in question.group_by)


def _has_public_categories(dimension: Dimension, facts: TableFacts) -> bool:
    fact = facts.columns.get(dimension.column)
    if fact is None:
        return False
    declared = dimension.edges is not None or fact.domain is not None
    return declared or (not fact.is_confidential and facts.is_membership_public)


def sort_key(
    key: tuple[str | None, ...], totals: tuple[bool, ...], question: TableQuestion, facts: TableFacts
) -> SortKey:
    """Return what rows are sorted by: dimension by dimension, values, then null, then totals."""
    return tuple(
        _part(text, is_total, dimension, facts)
        for text, is_total, dimension in zip(key, totals, question.group_by, strict=True)
    )


def _part(text: str | None, is_total: bool, dimension: Dimension, facts: TableFacts) -> tuple[int, Decimal, str]:
    if is_total:
        return 2, Decimal(0), ""
    if text is None:
        return 1, Decimal(0), ""
    fact = facts.columns.get(dimension.column)
    is_number = fact is not None and fact.type in (ItemType.INTEGER, ItemType.DECIMAL)
    return 0, _number(text) if is_number or dimension.edges is not None else Decimal(0), text


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)
