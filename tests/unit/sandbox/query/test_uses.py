from dataclasses import replace

import pytest

from policies.request import ColumnUse, Use
from sandbox.query.bind import bind
from sandbox.query.sql import parse_sql
from sandbox.query.uses import datasets, operations, uses
from tests.unit.sandbox.query.examples import CATALOGUE, FILINGS, FIRMS
from yingbi.errors import InvalidRequestError
from yingbi.plan.codec import parse_plan
from yingbi.plan.model import Plan

TEXT = (
    "select f.street, bin(tax, 0, 100) b, avg(tax), count(*), count(distinct uscc), "
    "count(late) filter (where not late) from tax.filings t left join market.firms f on t.uscc = f.code "
    "where founded >= 2000 and size in ('small', 'micro') group by cube (1, 2)"
)


def bound() -> Plan:
    return bind(parse_sql(TEXT), CATALOGUE)


def use(dataset: str, column: str, kind: Use, clause: str, *values: str, function: str | None = None) -> ColumnUse:
    return ColumnUse(dataset=dataset, column=column, use=kind, clause=clause, values=values, function=function)


def test_every_use_of_a_table_is_listed() -> None:
    assert uses(bound()) == (
        use(FILINGS, "uscc", Use.JOIN, "joins[0]"),
        use(FIRMS, "code", Use.JOIN, "joins[0]"),
        use(FIRMS, "founded", Use.FILTER, "where[0]", "2000"),
        use(FILINGS, "size", Use.FILTER, "where[1]", "micro", "small"),
        use(FIRMS, "street", Use.GROUP, "group_by[0]"),
        use(FILINGS, "tax", Use.GROUP, "group_by[1]"),
        use(FILINGS, "late", Use.AGGREGATE, "aggregates[2]", function="count_values"),
        use(FILINGS, "late", Use.FILTER, "aggregates[2].where[0]", "false"),
        use(FILINGS, "tax", Use.AGGREGATE, "aggregates[3]", function="mean"),
    )


def test_operations_and_data_sets_are_listed() -> None:
    assert operations(bound()) == (
        "aggregate.count",
        "aggregate.count_units",
        "aggregate.count_values",
        "aggregate.crosstab",
        "aggregate.histogram",
        "aggregate.mean",
    )
    assert datasets(bound()) == (FILINGS, FIRMS)


def test_every_use_of_a_regression_is_listed() -> None:
    plan = parse_plan(
        {
            "v": 1,
            "question": {
                "kind": "regression",
                "source": {"dataset": FILINGS},
                "family": "logistic",
                "target": "late",
                "features": ["tax"],
                "where": [{"column": "street", "is": "=", "values": ["east"]}],
            },
        }
    )
    assert uses(bind(plan, CATALOGUE)) == (
        use(FILINGS, "street", Use.FILTER, "where[0]", "east"),
        use(FILINGS, "late", Use.TRAIN, "target"),
        use(FILINGS, "tax", Use.TRAIN, "features[0]"),
    )
    assert operations(plan) == ("model.logistic_regression",)


def test_a_plan_that_was_not_bound_has_no_uses() -> None:
    with pytest.raises(InvalidRequestError, match="bound to the catalogue"):
        uses(parse_sql("select sum(tax) from tax.filings"))
    plan = bound()
    joins = tuple(replace(join, on=None) for join in plan.question.source.joins)
    question = replace(plan.question, source=replace(plan.question.source, joins=joins))
    with pytest.raises(InvalidRequestError, match="bound to the catalogue"):
        uses(replace(plan, question=question))
