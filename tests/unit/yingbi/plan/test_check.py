from dataclasses import replace
from typing import Any

import pytest

from tests.unit.yingbi.plan.examples import QUESTION, REGRESSION, TABLE, column
from yingbi.plan.check import check_plan
from yingbi.plan.model import (
    Aggregate,
    Comparison,
    Condition,
    Dimension,
    Function,
    Join,
    JoinKind,
    OrderBy,
    Plan,
    Presentation,
    RegressionQuestion,
    ReleasedCondition,
)

COUNT = Aggregate(function=Function.COUNT)


def asked(**changes: Any) -> Plan:
    return replace(TABLE, question=replace(QUESTION, **changes))


def shown(**changes: Any) -> Plan:
    assert TABLE.presentation is not None
    return replace(TABLE, presentation=replace(TABLE.presentation, **changes))


def fitted(**changes: Any) -> Plan:
    assert isinstance(REGRESSION.question, RegressionQuestion)
    return replace(REGRESSION, question=replace(REGRESSION.question, **changes))


def filtered(comparison: Comparison, *values: Any) -> Plan:
    return asked(where=(Condition(column=column("street"), comparison=comparison, values=values),))


def joined(*names: str) -> Plan:
    joins = tuple(Join(dataset=name, kind=JoinKind.INNER) for name in names)
    return asked(source=replace(QUESTION.source, joins=joins))


def five_dimensions() -> Plan:
    names = tuple(f"d{number}" for number in range(5))
    plan = asked(group_by=tuple(Dimension(column=column(name)) for name in names), aggregates=(COUNT,))
    return replace(plan, presentation=Presentation(names=(*names, "n")))


PROBLEMS = {
    "five dimensions": (five_dimensions(), "$.question.group_by: expected at most 4"),
    "no aggregate": (asked(aggregates=()), "$.question.aggregates: expected 1 to 16"),
    "seventeen aggregates": (asked(aggregates=(COUNT,) * 17), "$.question.aggregates: expected 1 to 16"),
    "a column twice": (asked(group_by=(Dimension(column=column("size")),) * 2), "expected each column once"),
    "margins of nothing": (asked(group_by=()), "$.question.margins"),
    "too many edges": (asked(group_by=(Dimension(column=column("tax"), edges=("1",) * 257),)), "edges: expected at"),
    "an empty edge": (asked(group_by=(Dimension(column=column("tax"), edges=("",)),)), "edges: expected numbers"),
    "a count of a column": (
        asked(aggregates=(replace(COUNT, column=column("tax")),)),
        "aggregates[0].column: expected none",
    ),
    "a sum of nothing": (asked(aggregates=(Aggregate(function=Function.SUM),)), "expected a column for `sum`"),
    "a fraction of a sum": (
        asked(aggregates=(Aggregate(function=Function.SUM, column=column("tax"), fraction="0.5"),)),
        "aggregates[0].fraction",
    ),
    "a quantile without fraction": (
        asked(aggregates=(Aggregate(function=Function.QUANTILE, column=column("tax")),)),
        "aggregates[0].fraction",
    ),
    "seventeen conditions": (asked(where=QUESTION.where * 17), "$.question.where: expected at most 16"),
    "a null test with a value": (filtered(Comparison.IS_NULL, "x"), "where[0].values: expected none"),
    "a comparison with two": (filtered(Comparison.EQ, "x", "y"), "where[0].values: expected one"),
    "a comparison with none": (filtered(Comparison.LT), "where[0].values: expected one"),
    "an empty list": (filtered(Comparison.IN), "where[0].values: expected 1 to 256"),
    "an empty text": (filtered(Comparison.EQ, ""), "where[0].values: expected text"),
    "a long text": (filtered(Comparison.EQ, "x" * 129), "where[0].values: expected text"),
    "a NUL": (filtered(Comparison.EQ, "a\x00"), "where[0].values: expected text"),
    "a newline": (filtered(Comparison.EQ, "a\nb"), "where[0].values: expected text"),
    "a decomposed letter": (filtered(Comparison.EQ, "e\u0301"), "where[0].values: expected text"),
    "an invisible letter": (filtered(Comparison.EQ, "a\u200bb"), "where[0].values: expected text"),
    "a turned text": (filtered(Comparison.EQ, "a\u202eb"), "where[0].values: expected text"),
    "a lone surrogate": (filtered(Comparison.EQ, "a\ud800"), "where[0].values: expected text"),
    "a huge integer": (filtered(Comparison.EQ, 2**53), "where[0].values: expected text"),
    "five joins": (joined(*(f"a/b{number}" for number in range(5))), "joins: expected at most 4"),
    "a join twice": (joined("a/b", "a/b"), "joins[1].dataset: expected each data set once"),
    "a join with itself": (joined("tax/filings"), "joins[0].dataset: expected each data set once"),
    "no presentation": (replace(TABLE, presentation=None), "$.presentation: expected names"),
    "a presentation of a regression": (
        replace(REGRESSION, presentation=TABLE.presentation),
        "$.presentation: expected none",
    ),
    "a name twice": (shown(names=("n", "n", "a", "b")), "$.presentation.names: expected different"),
    "a name in capitals": (shown(names=("N", "m", "a", "b")), "$.presentation.names: expected different"),
    "columns that are no names": (shown(columns=("n",)), "$.presentation.columns"),
    "having on a dimension": (
        shown(having=(ReleasedCondition(output="size", comparison=Comparison.GT, value=1),)),
        "having[0].output",
    ),
    "having with a list": (
        shown(having=(ReleasedCondition(output="n", comparison=Comparison.IN, value=1),)),
        "having[0].is",
    ),
    "having with a text": (
        shown(having=(ReleasedCondition(output="n", comparison=Comparison.GT, value="many"),)),
        "having[0].value",
    ),
    "having with a boolean": (
        shown(having=(ReleasedCondition(output="n", comparison=Comparison.GT, value=True),)),
        "having[0].value",
    ),
    "seventeen conditions on outputs": (
        shown(having=(ReleasedCondition(output="n", comparison=Comparison.GT, value=1),) * 17),
        "having: expected at most 16",
    ),
    "an order by nothing known": (shown(order_by=(OrderBy(output="x"),)), "$.presentation.order_by"),
    "an order twice": (shown(order_by=(OrderBy(output="n"),) * 2), "$.presentation.order_by"),
    "a huge limit": (shown(limit=1_000_001), "$.presentation.limit"),
    "no features": (fitted(features=()), "$.question.features: expected 1 to 32"),
    "too many features": (fitted(features=(column("size"),) * 33), "$.question.features: expected 1 to 32"),
    "the target as feature": (fitted(features=(column("tax"),)), "$.question.features: expected each"),
}


@pytest.mark.parametrize(("plan", "expected"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_of_form_is_found(plan: Plan, expected: str) -> None:
    assert any(expected in problem for problem in check_plan(plan)), check_plan(plan)


@pytest.mark.parametrize("fraction", ["0", "1", "0.0", "1.5", "-0.5", "0,5", ".5", "0.1234567", "٠.٥"])
def test_a_fraction_is_a_decimal_between_zero_and_one(fraction: str) -> None:
    aggregate = Aggregate(function=Function.QUANTILE, column=column("tax"), fraction=fraction)
    assert any("fraction" in problem for problem in check_plan(asked(aggregates=(aggregate,))))


@pytest.mark.parametrize("plan", [TABLE, REGRESSION, filtered(Comparison.EQ, "莲花街道"), filtered(Comparison.EQ, -5)])
def test_a_plan_without_problems_has_none(plan: Plan) -> None:
    assert check_plan(plan) == []
