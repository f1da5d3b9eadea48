"""Conditions on confidential columns belong to the measure, not to the set of rows.

`WHERE penalised` and `FILTER (WHERE penalised)` ask the same. In the second form the rules see how many units of a cell
do not meet the condition (class disclosure), and history sees which set of rows everybody knows (disclosure.md 2).
An inner join from public members to confidential ones is such a condition too: `FILTER (WHERE on_the_list)`.
"""

from dataclasses import replace

from sandbox.catalog.model import Catalogue, DataItem, Dataset, ItemRole, ItemType, Visibility
from sandbox.query.bind import bind
from yingbi.events.fields import Grade
from yingbi.plan.model import Column, Comparison, Condition, JoinKind, Plan, TableQuestion

__all__ = ["separate_conditions"]


def separate_conditions(plan: Plan, catalogue: Catalogue) -> Plan:
    """Return a bound table plan with conditions on confidential columns moved into its aggregates; idempotent.

    A regression stays as it is: it is judged as a whole.
    """
    question = plan.question
    if not isinstance(question, TableQuestion):
        return plan
    # A condition on a dimension selects cells; every row of a cell meets it, which says nothing about anybody.
    cells = {dimension.column for dimension in question.group_by}
    moved = tuple(
        condition
        for condition in question.where
        if condition.column not in cells and _is_confidential(condition, catalogue)
    )
    being = _being_in(question, catalogue)
    if not moved and not being:
        return plan
    # Binding again puts conditions and aggregates into their canonical order, and names with them.
    aggregates = tuple(replace(one, where=(*one.where, *moved, *being.values())) for one in question.aggregates)
    kept = tuple(condition for condition in question.where if condition not in moved)
    joins = tuple(replace(one, kind=JoinKind.LEFT) if one.dataset in being else one for one in question.source.joins)
    source = replace(question.source, joins=joins)
    return bind(replace(plan, question=replace(question, source=source, where=kept, aggregates=aggregates)), catalogue)


def _being_in(question: TableQuestion, catalogue: Catalogue) -> dict[str, Condition]:
    """Return, by data set that is inner joined, the condition that a row has a partner there.

    Only from a data set whose members everybody knows to one whose members are confidential. Not where a public column
    of it is used, which has no value without a partner, not even an unknown one; nor where it makes the cells: those
    without a partner would be a category that hides that all others are of one.
    """
    source = question.source
    if catalogue.datasets[source.dataset].membership is not Visibility.PUBLIC:
        return {}
    found: dict[str, Condition] = {}
    for join in source.joins:
        dataset = catalogue.datasets[join.dataset]
        marker = _marker(dataset)
        is_secret = join.kind is JoinKind.INNER and dataset.membership is Visibility.CONFIDENTIAL
        if is_secret and marker is not None and not _makes_cells(question, dataset):
            column = Column(dataset=dataset.name, name=marker.name)
            found[dataset.name] = Condition(column=column, comparison=Comparison.NOT_NULL)
    return found


def _marker(dataset: Dataset) -> DataItem | None:
    """Return a confidential column with declared classes that everybody in a data set has a value of."""
    for item in dataset.items:
        has_classes = item.type is ItemType.BOOLEAN or item.domain is not None or item.edges is not None
        is_kept = item.role is not ItemRole.UNIT and item.type is not ItemType.TEXT
        is_kept = is_kept and not item.on_negative_list and item.grade is not Grade.CORE
        if is_kept and has_classes and not item.nullable and item.visibility is Visibility.CONFIDENTIAL:
            return item
    return None


def _makes_cells(question: TableQuestion, dataset: Dataset) -> bool:
    if any(dimension.column.dataset == dataset.name for dimension in question.group_by):
        return True
    conditions = [*question.where, *(item for aggregate in question.aggregates for item in aggregate.where)]
    names = {item.column.name for item in conditions if item.column.dataset == dataset.name}
    return any(item.name in names and item.visibility is Visibility.PUBLIC for item in dataset.items)


def _is_confidential(condition: Condition, catalogue: Catalogue) -> bool:
    dataset = catalogue.datasets[condition.column.dataset]
    item = dataset.item(condition.column.name)
    return item is None or item.visibility is Visibility.CONFIDENTIAL
