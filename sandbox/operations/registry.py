"""The whitelist, and what follows from it for a question: operations, measures, cost, and the released numbers."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from sandbox.catalog.literals import decimal_text
from sandbox.operations import (
    count,
    count_units,
    count_values,
    crosstab,
    histogram,
    horizontal,
    linear_regression,
    logistic_regression,
    mean,
    quantile,
    variance,
)
from sandbox.operations import sum as sum_
from sandbox.operations.measure import Measure
from sandbox.operations.operation import Cost, Operation, Scales
from yingbi.plan.model import (
    Aggregate,
    AnsweredQuestion,
    Question,
    RegressionQuestion,
    TableQuestion,
    TrainingQuestion,
)

__all__ = [
    "OPERATIONS",
    "cost_of",
    "estimate_text",
    "finish",
    "measures_of",
    "operation_for",
    "operations_of",
]

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        operation.name: operation
        for operation in (
            count.OPERATION,
            count_units.OPERATION,
            count_values.OPERATION,
            crosstab.OPERATION,
            histogram.OPERATION,
            linear_regression.OPERATION,
            logistic_regression.OPERATION,
            mean.OPERATION,
            quantile.OPERATION,
            sum_.OPERATION,
            variance.OPERATION,
            *horizontal.OPERATIONS,
        )
    }
)
"""Every computation that a plan can name, by its name in agreements."""

_BY_FUNCTION: Final = {function: item for item in OPERATIONS.values() for function in item.functions}
_BY_FAMILY: Final = {item.family: item for item in OPERATIONS.values() if item.family is not None}
_BY_RECIPE: Final = {item.recipe: item for item in OPERATIONS.values() if item.recipe is not None}
_SIGNIFICANT_DIGITS: Final = 6


def operation_for(asked: Aggregate | RegressionQuestion | TrainingQuestion) -> Operation:
    """Return the operation that an aggregate, a regression or a training calls."""
    if isinstance(asked, TrainingQuestion):
        return _BY_RECIPE[asked.recipe]
    return _BY_FUNCTION[asked.function] if isinstance(asked, Aggregate) else _BY_FAMILY[asked.family]


def operations_of(question: Question) -> tuple[str, ...]:
    """Return the names of all operations that a question asks for, sorted."""
    if isinstance(question, RegressionQuestion | TrainingQuestion):
        return (operation_for(question).name,)
    names = {operation_for(aggregate).name for aggregate in question.aggregates}
    if any(dimension.edges is not None for dimension in question.group_by):
        names.add(histogram.OPERATION.name)
    if question.margins:
        names.add(crosstab.OPERATION.name)
    return tuple(sorted(names))


def measures_of(question: AnsweredQuestion) -> tuple[Measure, ...]:
    """Return what the answer to a question publishes about the data, each measure once, in the order of the plan.

    INVARIANT: rules and history judge these; an operation whose measures say less than its answer would pass the gate.
    """
    asked = (question,) if isinstance(question, RegressionQuestion) else question.aggregates
    found: dict[Measure, None] = {}
    for item in asked:
        measures = operation_for(item).measures
        if measures is not None:
            found.update(dict.fromkeys(measures(item)))
    return tuple(found)


def cost_of(question: Question, rows: int) -> Cost:
    """Return what a question over a data set of `rows` rows costs: one reading, and those of operations or rounds."""
    if isinstance(question, TrainingQuestion):
        return Cost(rows=rows, passes=1 + question.rounds)
    return Cost(rows=rows, passes=1 + max(OPERATIONS[name].passes for name in operations_of(question)))


def finish(
    question: TableQuestion, totals: Mapping[Measure, Sequence[int | None]], scales: Scales
) -> tuple[tuple[str | None, ...], ...]:
    """Return the released numbers of a table: one tuple an aggregate, one text a cell, nothing where held back.

    `totals`: what the gate released, in fixed point, `None` where it suppressed. `scales`: digits after the point of
    every measured column. The arithmetic is exact; means, variances and deviations are rounded at the end, to
    `EXTRA_DIGITS` digits beyond those of their column, ties to even.
    """
    return tuple(_finish_aggregate(aggregate, totals, scales) for aggregate in question.aggregates)


def _finish_aggregate(
    aggregate: Aggregate, totals: Mapping[Measure, Sequence[int | None]], scales: Scales
) -> tuple[str | None, ...]:
    operation = operation_for(aggregate)
    if operation.measures is None or operation.finish is None:
        return ()
    wanted = operation.measures(aggregate)
    finished: list[str | None] = []
    for values in zip(*(totals[measure] for measure in wanted), strict=True):
        known = {measure: value for measure, value in zip(wanted, values, strict=True) if value is not None}
        finished.append(operation.finish(aggregate, known, scales))
    return tuple(finished)


def estimate_text(value: float) -> str | None:
    """Return an estimate of a regression with six significant digits, as text of a decimal; nothing if not finite."""
    if not math.isfinite(value):
        return None
    return decimal_text(Decimal(format(value, f".{_SIGNIFICANT_DIGITS - 1}e")))
