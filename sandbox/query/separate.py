"""Conditions on confidential columns belong to the measure, not to the set of rows.

`WHERE penalised` and `FILTER (WHERE penalised)` ask the same. In the second form the rules see how many units of a cell
do not meet the condition (class disclosure), and history sees which set of rows everybody knows (disclosure.md 2).
"""

from dataclasses import replace

from sandbox.catalog.model import Catalogue, Visibility
from sandbox.query.bind import bind
from yingbi.plan.model import Condition, Plan, TableQuestion

__all__ = ["separate_conditions"]


def separate_conditions(plan: Plan, catalogue: Catalogue) -> Plan:
    """Return a bound table plan with conditions on confidential columns moved into its aggregates; idempotent.

    A regression stays as it is: it is judged as a whole.
    """
    question = plan.question
    if not isinstance(question, TableQuestion):
        return plan
    moved = tuple(condition for condition in question.where if _is_confidential(condition, catalogue))
    if not moved:
        return plan
    # Binding again puts conditions and aggregates into their canonical order, and names with them.
    aggregates = tuple(replace(one, where=(*one.where, *moved)) for one in question.aggregates)
    kept = tuple(condition for condition in question.where if condition not in moved)
    return bind(replace(plan, question=replace(question, where=kept, aggregates=aggregates)), catalogue)


def _is_confidential(condition: Condition, catalogue: Catalogue) -> bool:
    dataset = catalogue.datasets[condition.column.dataset]
    item = dataset.item(condition.column.name)
    return item is None or item.visibility is Visibility.CONFIDENTIAL
