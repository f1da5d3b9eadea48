from dataclasses import replace
from typing import Any

import pytest

from sandbox.catalog.model import Catalogue
from sandbox.query.bind import bind
from sandbox.query.sql import parse_sql
from tests.unit.sandbox.query.examples import CATALOGUE, FILINGS, FIRMS
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError
from yingbi.plan.codec import parse_plan, question_digest
from yingbi.plan.model import (
    Column,
    Comparison,
    Condition,
    Dimension,
    Plan,
    RegressionQuestion,
    TableQuestion,
)


def bound(text: str) -> Plan:
    return bind(parse_sql(text), CATALOGUE)


def table(text: str) -> TableQuestion:
    question = bound(text).question
    assert isinstance(question, TableQuestion)
    return question


def where(text: str) -> list[tuple[Comparison, tuple[Any, ...]]]:
    """Return what conditions on a filing become."""
    conditions = table(f"select count(*) from tax.filings where {text}").where
    return [(condition.comparison, condition.values) for condition in conditions]


def fit(features: list[JsonValue], target: str = "tax") -> Plan:
    question: JsonValue = {
        "kind": "regression",
        "source": {"dataset": FILINGS},
        "family": "linear",
        "target": target,
        "features": features,
    }
    return parse_plan({"v": 1, "question": question})


CANONICAL = {
    "zeros": ("tax = 012.50", [(Comparison.EQ, ("12.5",))]),
    "minus zero": ("tax >= -0.00", [(Comparison.GE, ("0",))]),
    "a number as text": ("tax = '12.50'", [(Comparison.EQ, ("12.5",))]),
    "<= of a decimal": ("tax <= 99.99", [(Comparison.LT, ("100",))]),
    "> of a decimal": ("tax > 1000.49", [(Comparison.GE, ("1000.5",))]),
    "<= of an integer": ("staff <= 9", [(Comparison.LT, ("10",))]),
    "> of a date": ("filed > '2023-12-31'", [(Comparison.GE, ("2024-01-01",))]),
    "<= of a leap day": ("filed <= date '2024-02-29'", [(Comparison.LT, ("2024-03-01",))]),
    "between": ("staff between 10 and 19", [(Comparison.LT, ("20",)), (Comparison.GE, ("10",))]),
    "in of one": ("size in ('small', 'small')", [(Comparison.EQ, ("small",))]),
    "not in of one": ("size not in ('small')", [(Comparison.NE, ("small",))]),
    "in of several": ("size in ('small', 'micro')", [(Comparison.IN, ("micro", "small"))]),
    "a flag": ("late", [(Comparison.EQ, ("true",))]),
    "not a flag": ("not late", [(Comparison.EQ, ("false",))]),
    "a flag that is not false": ("late <> false", [(Comparison.EQ, ("true",))]),
    "a flag of both": ("late in (true, false)", [(Comparison.NOT_NULL, ())]),
    "a flag without value": ("late is null", [(Comparison.IS_NULL, ())]),
    "a doubled condition": ("late and late is true", [(Comparison.EQ, ("true",))]),
    "a code like a number": ("year = '2024'", [(Comparison.EQ, ("2024",))]),
    "a huge number": (f"tax > {'9' * 25}.99", [(Comparison.GE, ("1" + "0" * 25,))]),
}


@pytest.mark.parametrize(("text", "expected"), CANONICAL.values(), ids=CANONICAL)
def test_conditions_have_one_form(text: str, expected: list[tuple[Comparison, tuple[Any, ...]]]) -> None:
    assert sorted(where(text)) == sorted(expected)


MISFITS = {
    "text for a number": "tax = 'much'",
    "too many digits": "tax = 1.005",
    "a fraction of an integer": "staff = 1.5",
    "a boolean for a number": "staff = true",
    "a number for a boolean": "late = 1",
    "a boolean for a code": "size = true",
    "a code that is not declared": "size = 'giant'",
    "a day that does not exist": "filed > '2023-02-29'",
    "a date with time": "filed > '2023-02-28 00:00'",
    "an order of codes": "size > 'micro'",
    "an order of booleans": "late > false",
    "free text": "note = 'x'",
    "the last day of all": "filed <= '9999-12-31'",
    "digits of another script": "staff = '١'",
}


@pytest.mark.parametrize("text", MISFITS.values(), ids=MISFITS)
def test_a_literal_must_fit_its_column(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        where(text)
    assert caught.value.code is ErrorCode.LITERAL_INVALID
    # SECURITY: neither the literal nor anything else of the partner's is repeated, but the column's name.
    literal = text.rpartition(" ")[2].strip("'")
    assert literal in ("true", "false", "1", "x") or literal not in caught.value.message


def test_a_flag_that_is_neither_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="that a row can meet"):
        where("late not in (true, false)")


def test_names_are_found_in_the_data_sets_of_the_question() -> None:
    question = table(
        "select founded, count(*) from tax.filings join market.firms f on filings.uscc = f.code group by founded"
    )
    assert question.group_by == (Dimension(column=Column(dataset=FIRMS, name="founded")),)
    assert question.source.joins[0].on == ("uscc", "code")


UNKNOWN = {
    "a data set": ("select count(*) from tax.filing", "no data set `tax/filing`"),
    "a joined data set": ("select count(*) from tax.filings join market.firm using (uscc)", "no data set"),
    "a column": ("select sum(taxes) from tax.filings", "no column `taxes`"),
    "a column of another data set": ("select sum(capital) from tax.filings", "no column `capital`"),
    "an ambiguous column": (
        "select street, count(*) from tax.filings t join market.firms f on t.uscc = f.code group by street",
        "column `street` is in 2 data sets",
    ),
}


@pytest.mark.parametrize(("text", "expected"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_name_is_refused(text: str, expected: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        bound(text)
    assert caught.value.code is ErrorCode.NAME_UNKNOWN
    assert expected in caught.value.message


def test_close_names_are_suggested() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        bound("select sum(taxx) from tax.filings")
    assert caught.value.hint == "did you mean `tax`"


def test_a_column_of_a_data_set_that_is_not_read_is_refused() -> None:
    question: JsonValue = {
        "kind": "table",
        "source": {"dataset": FILINGS},
        "aggregates": [{"function": "sum", "column": f"{FIRMS}.capital"}],
    }
    with pytest.raises(InvalidRequestError, match="is not among the data sets of this question"):
        bind(parse_plan({"v": 1, "question": question}), CATALOGUE)


def test_versions_are_pinned() -> None:
    assert table("select count(*) from tax.filings").source.version == 2
    assert table("select count(*) from tax.filings for version as of 1").source.version == 1
    joined = "select count(*) from tax.filings t join market.firms f on t.uscc = f.code"
    assert table(joined).source.joins[0].version == 5
    missing = joined.replace("firms f", "firms for version as of 1 f")
    for text in ("select count(*) from tax.filings for version as of 3", missing):
        with pytest.raises(NotFoundError) as caught:
            bound(text)
        assert caught.value.code is ErrorCode.VERSION_NOT_FOUND
    with pytest.raises(NotFoundError):
        bind(parse_sql("select count(*) from tax.filings"), replace(CATALOGUE, versions={}))


JOINS = {
    "another column of the first": "join market.firms f on t.street = f.code",
    "another column of the second": "join market.firms f on t.uscc = f.street",
    "a common column": "join market.firms f using (street)",
}


@pytest.mark.parametrize("join", JOINS.values(), ids=JOINS)
def test_a_join_is_on_the_privacy_unit_only(join: str) -> None:
    with pytest.raises(InvalidRequestError, match="expected a join on the privacy unit"):
        bound(f"select count(*) from tax.filings t {join}")


def test_distinct_units_are_those_of_the_first_data_set() -> None:
    question = table("select count(distinct t.uscc) from tax.filings t join market.firms f on t.uscc = f.code")
    assert question.aggregates[0].column is None
    for column in ("t.street", "f.code", "code"):
        with pytest.raises(InvalidRequestError, match="expected distinct units of"):
            bound(f"select count(distinct {column}) from tax.filings t join market.firms f on t.uscc = f.code")


def test_bins_have_canonical_edges() -> None:
    question = table("select bin(tax, '0.00', 01000.50) b, count(*) from tax.filings group by b")
    assert question.group_by[0].edges == ("0", "1000.5")
    assert table("select histogram(tax) from tax.filings").group_by[0].edges == ("0", "100", "1000.5")


@pytest.mark.parametrize("bins", ["tax, 100, 0", "tax, 1, 1.0", "tax, 1.005", "size, 'micro'", "late", "year"])
def test_bins_that_are_none_are_refused(bins: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        bound(f"select bin({bins}) b, count(*) from tax.filings group by b")
    assert caught.value.code is ErrorCode.LITERAL_INVALID


def test_names_follow_what_they_name() -> None:
    plan = bound(
        "select sum(tax) s, street x, count(*) n, size y from tax.filings group by 2, 4 having n > 5.50 order by s"
    )
    assert plan.presentation is not None
    assert isinstance(plan.question, TableQuestion)
    assert [dimension.column.name for dimension in plan.question.group_by] == ["size", "street"]
    assert [str(aggregate.function) for aggregate in plan.question.aggregates] == ["count", "sum"]
    assert plan.presentation.names == ("y", "x", "n", "s")
    assert plan.presentation.columns == ("s", "x", "n", "y")
    assert plan.presentation.having[0].value == "5.5"


def test_a_condition_that_all_rows_meet_is_not_repeated() -> None:
    question = table("select count(*) filter (where late and staff > 9) from tax.filings where late")
    column = Column(dataset=FILINGS, name="staff")
    assert question.aggregates[0].where == (Condition(column=column, comparison=Comparison.GE, values=("10",)),)


@pytest.mark.parametrize(
    "columns",
    ["sum(tax) a, sum(tax) b", "variance(tax) a, var_samp(tax) b", "median(tax) a, quantile_cont(tax, 0.50) b"],
)
def test_one_aggregate_cannot_be_asked_twice(columns: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"\$\.question\.aggregates: expected each one once"):
        bound(f"select {columns} from tax.filings")


def test_one_dimension_cannot_be_asked_twice() -> None:
    with pytest.raises(InvalidRequestError, match=r"\$\.question\.group_by: expected each column once"):
        bound("select t.street a, street b, count(*) from tax.filings t group by 1, 2")


def test_a_regression_is_bound_too() -> None:
    question = bind(fit(["staff", "size"]), CATALOGUE).question
    assert isinstance(question, RegressionQuestion)
    assert [feature.name for feature in question.features] == ["size", "staff"]
    assert question.source.version == 2
    with pytest.raises(InvalidRequestError, match=r"\$\.question\.features"):
        bind(fit(["staff", f"{FILINGS}.staff"]), CATALOGUE)
    with pytest.raises(InvalidRequestError, match=r"\$\.question\.features"):
        bind(fit([f"{FILINGS}.tax"]), CATALOGUE)


SPELLINGS = {
    "sql": "select street, count(*), sum(tax) from tax.filings "
    "where staff >= 10 and size in ('micro','small') group by 1",
    "sql in another order": "SELECT SUM(f.tax) AS t, f.street AS s, COUNT(*) FROM tax.filings FOR VERSION AS OF 2 f "
    "WHERE f.size IN ('small', 'micro', 'small') AND NOT 9 >= staff AND staff > 9 GROUP BY f.street ORDER BY t LIMIT 3",
}
TWIN: JsonValue = {
    "v": 1,
    "question": {
        "kind": "table",
        "source": {"dataset": FILINGS},
        "where": [
            {"column": "size", "is": "in", "values": ["small", "micro"]},
            {"column": f"{FILINGS}.staff", "is": ">", "values": [9]},
        ],
        "group_by": [{"column": "street"}],
        "aggregates": [{"function": "sum", "column": "tax"}, {"function": "count"}],
    },
}


def test_sql_and_json_of_one_question_have_one_form() -> None:
    plans = [bind(parse_plan(TWIN), CATALOGUE), *(bound(text) for text in SPELLINGS.values())]
    assert len({plan.question for plan in plans}) == 1
    assert len({question_digest(plan.question) for plan in plans}) == 1
    assert [bind(plan, CATALOGUE) for plan in plans] == plans


def test_a_plan_without_form_is_refused() -> None:
    plan = parse_sql("select count(*) from tax.filings")
    with pytest.raises(InvalidRequestError) as caught:
        bind(replace(plan, presentation=None), CATALOGUE)
    assert caught.value.code is ErrorCode.PLAN_MALFORMED
    with pytest.raises(InvalidRequestError):
        bind(plan, Catalogue())
