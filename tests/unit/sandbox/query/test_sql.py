import ast
from typing import Any

import pytest

from sandbox.query.sql import parse_sql
from tests.lib.product_code import modules
from tests.unit.sandbox.query.examples import FILINGS, FIRMS
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.model import (
    Aggregate,
    Column,
    Comparison,
    Condition,
    Dimension,
    Direction,
    Function,
    Join,
    JoinKind,
    OrderBy,
    Plan,
    Presentation,
    ReleasedCondition,
    Source,
    TableQuestion,
)

COUNT = Aggregate(function=Function.COUNT)


def table(text: str) -> TableQuestion:
    question = parse_sql(text).question
    assert isinstance(question, TableQuestion)
    return question


def named(name: str, dataset: str = "") -> Column:
    return Column(dataset=dataset, name=name)


def test_the_smallest_statement() -> None:
    assert parse_sql("select count(*) from tax.filings") == Plan(
        question=TableQuestion(source=Source(dataset=FILINGS), aggregates=(COUNT,)),
        presentation=Presentation(names=("count",)),
    )


def test_a_statement_with_everything() -> None:
    plan = parse_sql(
        """
        SELECT COUNT(DISTINCT t.uscc) AS n, t.Street,
               SUM(tax) FILTER (WHERE late AND staff > 10) total, BIN(tax, 0, 100) b
        FROM tax.filings FOR VERSION AS OF 2 AS t
        LEFT JOIN "market/firms" FOR VERSION AS OF 5 f ON f.code = t.uscc
        WHERE (f.founded BETWEEN 2000 AND 2010) AND NOT t.size IN ('micro', 'small') AND 5 < staff
        GROUP BY t.street, b
        HAVING COUNT(DISTINCT t.uscc) >= 10 AND total > -2.5
        ORDER BY total DESC, 2
        LIMIT 20;
        """
    )
    late = Condition(column=named("late"), comparison=Comparison.EQ, values=(True,))
    assert plan.question == TableQuestion(
        source=Source(
            dataset=FILINGS,
            version=2,
            joins=(Join(dataset=FIRMS, kind=JoinKind.LEFT, version=5, on=("uscc", "code")),),
        ),
        where=(
            Condition(column=named("founded", FIRMS), comparison=Comparison.GE, values=("2000",)),
            Condition(column=named("founded", FIRMS), comparison=Comparison.LE, values=("2010",)),
            Condition(column=named("size", FILINGS), comparison=Comparison.NOT_IN, values=("micro", "small")),
            Condition(column=named("staff"), comparison=Comparison.GT, values=("5",)),
        ),
        group_by=(Dimension(column=named("street", FILINGS)), Dimension(column=named("tax"), edges=("0", "100"))),
        aggregates=(
            Aggregate(function=Function.COUNT_UNITS, column=named("uscc", FILINGS)),
            Aggregate(
                function=Function.SUM,
                column=named("tax"),
                where=(late, Condition(column=named("staff"), comparison=Comparison.GT, values=("10",))),
            ),
        ),
    )
    assert plan.presentation == Presentation(
        names=("street", "b", "n", "total"),
        columns=("n", "street", "total", "b"),
        having=(
            ReleasedCondition(output="n", comparison=Comparison.GE, value="10"),
            ReleasedCondition(output="total", comparison=Comparison.GT, value="-2.5"),
        ),
        order_by=(OrderBy(output="total", direction=Direction.DESC), OrderBy(output="street")),
        limit=20,
    )


AGGREGATES: dict[str, Aggregate] = {
    "count(*)": COUNT,
    "count(tax)": Aggregate(function=Function.COUNT_VALUES, column=named("tax")),
    "count(distinct uscc)": Aggregate(function=Function.COUNT_UNITS, column=named("uscc")),
    "sum(tax)": Aggregate(function=Function.SUM, column=named("tax")),
    "sum((tax))": Aggregate(function=Function.SUM, column=named("tax")),
    "avg(tax)": Aggregate(function=Function.MEAN, column=named("tax")),
    "variance(tax)": Aggregate(function=Function.VARIANCE, column=named("tax")),
    "var_samp(tax)": Aggregate(function=Function.VARIANCE, column=named("tax")),
    "stddev(tax)": Aggregate(function=Function.STDDEV, column=named("tax")),
    "stddev_samp(tax)": Aggregate(function=Function.STDDEV, column=named("tax")),
    "median(tax)": Aggregate(function=Function.QUANTILE, column=named("tax"), fraction="0.5"),
    "quantile_cont(tax, 0.25)": Aggregate(function=Function.QUANTILE, column=named("tax"), fraction="0.25"),
}


@pytest.mark.parametrize(("text", "aggregate"), AGGREGATES.items(), ids=AGGREGATES)
def test_every_aggregate(text: str, aggregate: Aggregate) -> None:
    assert table(f"select {text} from tax.filings").aggregates == (aggregate,)


CONDITIONS: dict[str, list[tuple[Comparison, tuple[Any, ...]]]] = {
    "a = 1": [(Comparison.EQ, ("1",))],
    "1 = a": [(Comparison.EQ, ("1",))],
    "a <> 1": [(Comparison.NE, ("1",))],
    "a != 1": [(Comparison.NE, ("1",))],
    "a < 1": [(Comparison.LT, ("1",))],
    "1 < a": [(Comparison.GT, ("1",))],
    "1 >= a": [(Comparison.LE, ("1",))],
    "a >= -1.50": [(Comparison.GE, ("-1.50",))],
    "a = 'x''y'": [(Comparison.EQ, ("x'y",))],
    "a >= date '2024-01-01'": [(Comparison.GE, ("2024-01-01",))],
    "a in (1)": [(Comparison.IN, ("1",))],
    "a not in (1, 2)": [(Comparison.NOT_IN, ("1", "2"))],
    "a between 1 and 2": [(Comparison.GE, ("1",)), (Comparison.LE, ("2",))],
    "a is null": [(Comparison.IS_NULL, ())],
    "a is not null": [(Comparison.NOT_NULL, ())],
    "not a is null": [(Comparison.NOT_NULL, ())],
    "not not a is null": [(Comparison.IS_NULL, ())],
    "a": [(Comparison.EQ, (True,))],
    "not a": [(Comparison.NE, (True,))],
    "a is true": [(Comparison.EQ, (True,))],
    "a is false": [(Comparison.EQ, (False,))],
    "a = false": [(Comparison.EQ, (False,))],
    "not (a < 1)": [(Comparison.GE, ("1",))],
    "((a = 1) and (a = 2))": [(Comparison.EQ, ("1",)), (Comparison.EQ, ("2",))],
}


@pytest.mark.parametrize(("text", "expected"), CONDITIONS.items(), ids=CONDITIONS)
def test_every_condition(text: str, expected: list[tuple[Comparison, tuple[Any, ...]]]) -> None:
    conditions = table(f"select count(*) from tax.filings where {text}").where
    assert [(condition.comparison, condition.values) for condition in conditions] == expected
    assert all(condition.column == named("a") for condition in conditions)


GROUPINGS = {
    "by name": "select street, size, count(*) from tax.filings group by street, size",
    "by position": "select street, size, count(*) from tax.filings group by 1, 2",
    "by alias": "select street as s, size, count(*) from tax.filings group by s, size",
    "in another order": "select street, count(*), size from tax.filings group by size, street",
}


@pytest.mark.parametrize("text", GROUPINGS.values(), ids=GROUPINGS)
def test_dimensions_are_those_of_the_select(text: str) -> None:
    question = table(text)
    assert [dimension.column.name for dimension in question.group_by] == ["street", "size"]
    assert not question.margins


def test_columns_come_before_aliases_in_groups_and_after_them_in_orders() -> None:
    text = "select street as size, size as street, count(*) from tax.filings group by street, 2 order by street"
    plan = parse_sql(text)
    assert plan.presentation is not None
    assert plan.presentation.names == ("size", "street", "count")
    assert plan.presentation.order_by == (OrderBy(output="street"),)
    with pytest.raises(InvalidRequestError, match="neither grouped by nor aggregated"):
        parse_sql(text.replace("street, 2", "street"))


def test_sqlglot_has_one_importer() -> None:
    importers = {
        module.name
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and "sqlglot" in ast.unparse(node)
    }
    assert importers == {"sandbox/query/sql.py"}


def test_cube_and_rollup_of_one_are_margins() -> None:
    assert table("select a, b, count(*) from tax.filings group by cube (a, b)").margins
    assert table("select a, b, count(*) from tax.filings group by cube (1, 2)").margins
    assert table("select a, count(*) from tax.filings group by rollup (a)").margins


def test_a_histogram_is_a_dimension_of_all_declared_edges() -> None:
    bins = (Dimension(column=named("tax"), edges=()),)
    alone = parse_sql("select histogram(tax) from tax.filings")
    assert isinstance(alone.question, TableQuestion)
    assert (alone.question.group_by, alone.question.aggregates) == (bins, (COUNT,))
    assert table("select histogram(tax), sum(tax) from tax.filings").group_by == bins
    assert table("select street, histogram(tax), count(*) from tax.filings group by street").group_by[1:] == bins
    assert table("select bin(tax) as b, count(*) from tax.filings group by b").group_by == bins
    assert table("select bin(tax, -1, 2.5) as b, count(*) from tax.filings group by bin(tax, -1, 2.5)").group_by == (
        Dimension(column=named("tax"), edges=("-1", "2.5")),
    )


def test_joins() -> None:
    using = table("select count(*) from tax.filings join market.firms using (uscc)").source.joins
    assert using == (Join(dataset=FIRMS, kind=JoinKind.INNER, on=("uscc", "uscc")),)
    on = "select count(*) from tax.filings left outer join market.firms on filings.uscc = market.firms.code"
    assert table(on).source.joins == (Join(dataset=FIRMS, kind=JoinKind.LEFT, on=("uscc", "code")),)


def test_names_without_quotes_do_not_know_capitals() -> None:
    assert table("SELECT Sum(TAX) FROM Tax.Filings WHERE TAX.FILINGS.Late") == table(
        "select sum(tax) from tax.filings where filings.late"
    )


NOT_SUPPORTED = {
    "a star": "select * from tax.filings",
    "a qualified star": "select t.* from tax.filings t",
    "a bare column": "select street from tax.filings group by street",
    "no table": "select count(*)",
    "a table without unit": "select count(*) from filings",
    "a table with catalogue": "select count(*) from a.b.c",
    "renamed columns": "select region, count(*) from tax.filings as t(region) group by region",
    "an alias twice": "select count(*) from tax.filings t join market.firms t using (uscc)",
    "an alias of another table": "select sum(f.tax) from tax.filings t",
    "the name behind an alias": "select sum(filings.tax) from tax.filings t",
    "a comma join": "select count(*) from tax.filings, market.firms",
    "a join without condition": "select count(*) from tax.filings join market.firms",
    "a join on two columns": "select count(*) from tax.filings join market.firms using (a, b)",
    "a join on an inequality": "select count(*) from tax.filings t join market.firms f on t.a < f.b",
    "a join on one table": "select count(*) from tax.filings t join market.firms f on t.a = t.b",
    "a join on two conditions": "select count(*) from tax.filings t join market.firms f on t.a = f.a and t.b = f.b",
    "a join on a literal": "select count(*) from tax.filings t join market.firms f on t.a = 1",
    "distinct": "select distinct street, count(*) from tax.filings group by street",
    "a sum of distinct": "select sum(distinct tax) from tax.filings",
    "several distinct": "select count(distinct uscc, street) from tax.filings",
    "a count of two": "select count(a, b) from tax.filings",
    "a count of nothing": "select count() from tax.filings",
    "a count of a number": "select count(1) from tax.filings",
    "an order in an aggregate": "select quantile_cont(tax, 0.5 order by size) from tax.filings",
    "two fractions": "select quantile_cont(tax, 0.5, 0.6) from tax.filings",
    "a fraction as text": "select quantile_cont(tax, '0.5') from tax.filings",
    "no fraction": "select quantile_cont(tax) from tax.filings",
    "a sum of a number": "select sum(1) from tax.filings",
    "a difference": "select sum(tax - 1) from tax.filings",
    "a product": "select sum(tax * 2) from tax.filings",
    "a sum of a sum": "select sum(sum(tax)) from tax.filings",
    "a literal": "select 1 from tax.filings",
    "a histogram with edges": "select histogram(tax, 1) from tax.filings",
    "a bin with a column for edge": "select bin(tax, staff) b, count(*) from tax.filings group by b",
    "a bin with a boolean edge": "select bin(tax, true) b, count(*) from tax.filings group by b",
    "a bin that is not grouped": "select bin(tax, 1) b, count(*) from tax.filings",
    "two columns compared": "select count(*) from tax.filings where tax = staff",
    "two literals compared": "select count(*) from tax.filings where 1 = 1",
    "a condition that is a literal": "select count(*) from tax.filings where true",
    "a null in a list": "select count(*) from tax.filings where a in (1, null)",
    "a column in a list": "select count(*) from tax.filings where a in (1, b)",
    "a comparison with null": "select count(*) from tax.filings where a = null",
    "is not true": "select count(*) from tax.filings where a is not true",
    "not between": "select count(*) from tax.filings where a not between 1 and 2",
    "a negated conjunction": "select count(*) from tax.filings where not (a = 1 and b = 2)",
    "a row comparison": "select count(*) from tax.filings where (a, b) = (1, 2)",
    "is distinct from": "select count(*) from tax.filings where a is distinct from 1",
    "an aggregate in where": "select count(*) from tax.filings where sum(tax) > 1",
    "a filter with or": "select count(*) filter (where a = 1 or b) from tax.filings",
    "a time": "select count(*) from tax.filings where a > timestamp '2024-01-01'",
    "a column missing in group by": "select street, size, count(*) from tax.filings group by street",
    "a group that is not selected": "select street, count(*) from tax.filings group by street, size",
    "a group twice": "select street, count(*) from tax.filings group by 1, street",
    "a group by an aggregate": "select street, count(*) n from tax.filings group by street, n",
    "a position too large": "select street, count(*) from tax.filings group by 3",
    "position zero": "select street, count(*) from tax.filings group by 0",
    "rollup of two": "select a, b, count(*) from tax.filings group by rollup (a, b)",
    "a partial cube": "select a, b, count(*) from tax.filings group by cube (a), b",
    "a cube without all": "select a, b, count(*) from tax.filings group by cube (a)",
    "with rollup": "select a, count(*) from tax.filings group by a with rollup",
    "having on what is not selected": "select street, count(*) from tax.filings group by street having sum(tax) > 1",
    "having of two outputs": "select count(*) a, sum(tax) b from tax.filings having a > b",
    "having with or": "select count(*) a from tax.filings having a > 1 or a < 5",
    "an order by something else": "select count(*) from tax.filings order by tax",
    "an order by an expression": "select count(*) n from tax.filings order by n + 1",
    "nulls first": "select count(*) n from tax.filings order by n nulls first",
    "a limit of text": "select count(*) from tax.filings limit 'x'",
    "a limit of a column": "select count(*) from tax.filings limit tax",
    "a version by time": "select count(*) from tax.filings for timestamp as of 3",
    "a version range": "select count(*) from tax.filings for version between 1 and 3",
    "a version of text": "select count(*) from tax.filings for version as of 'x'",
    "one name for two outputs": "select count(*) a, sum(tax) a from tax.filings",
    "a text for a name": "select count(*) as 'x' from tax.filings",
    "a lock": "select count(*) from tax.filings for update",
    "a stray word": "select count(*) from tax.filings where a = 1 nonsense",
    "half a statement": "select count(*) from",
    "a file": "select count(*) from 'data.csv'",
    "a file by name": 'select count(*) from "data.csv"',
}


@pytest.mark.parametrize("text", NOT_SUPPORTED.values(), ids=NOT_SUPPORTED)
def test_what_is_outside_the_subset_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_sql(text)
    assert caught.value.code is ErrorCode.SQL_NOT_SUPPORTED
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("allowed: ")


def test_a_word_of_sql_is_a_name_in_quotes_only() -> None:
    assert table('select "date", count(*) from tax.filings group by "date"').group_by[0].column.name == "date"
    with pytest.raises(InvalidRequestError, match="a word of SQL as a name"):
        parse_sql("select version, count(*) from tax.filings group by version")


def test_what_is_too_much_is_a_malformed_plan() -> None:
    many = ", ".join(f"sum(c{number})" for number in range(17))
    with pytest.raises(InvalidRequestError, match="expected 1 to 16") as caught:
        parse_sql(f"select {many} from tax.filings")
    assert caught.value.code is ErrorCode.PLAN_MALFORMED


def test_many_conditions_do_not_recurse() -> None:
    text = " and ".join(["a = 1"] * 1000)
    with pytest.raises(InvalidRequestError, match="at most 16 conditions"):
        parse_sql(f"select count(*) from tax.filings where {text}")
