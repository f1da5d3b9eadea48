"""Plans: two spellings of one question are one question, and a plan means what SQL means.

The oracle of meaning is DuckDB itself: it runs the partner's text, which the product never does, on a small table, and
a few lines of Python evaluate the bound plan on the same rows.
"""

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.decision import Decision
from sandbox.query.admit import Admitted, admit
from sandbox.query.bind import bind
from sandbox.query.separate import separate_conditions
from sandbox.query.sql import parse_sql
from sandbox.query.uses import operations, uses
from tests.unit.sandbox.query.examples import CATALOGUE, FILINGS, PERMIT, permitted
from yingbi.canonical import JsonValue
from yingbi.plan.codec import parse_plan, plan_to_json, question_digest
from yingbi.plan.model import Aggregate, Column, Comparison, Condition, Function, Plan, TableQuestion

# One condition in two spellings: SQL and JSON (column, comparison, values).
Twin = tuple[str, list[tuple[str, str, list[JsonValue]]]]
CONDITIONS: list[Twin] = [
    ("street = 'east'", [("street", "in", ["east"])]),
    ("street <> '莲花街道'", [("street", "not in", ["莲花街道", "莲花街道"])]),
    ("not (street in ('west', 'east'))", [("street", "not in", ["east", "west", "east"])]),
    ("size in ('small', 'micro', 'small')", [("size", "in", ["micro", "small"])]),
    ("size is not null", [("size", "is not null", [])]),
    ("not size is not null", [("size", "is null", [])]),
    ("late", [("late", "!=", [False])]),
    ("not late", [("late", "=", [False])]),
    ("not not late", [("late", "in", [True])]),
    ("late in (false, true)", [("late", "is not null", [])]),
    ("99.99 < tax", [("tax", ">=", ["100.00"])]),
    ("tax <= 1000.49", [("tax", "<", ["1000.5"])]),
    ("not tax >= 100", [("tax", "<=", ["99.99"])]),
    ("tax between 0 and 99.99", [("tax", "<", [100]), ("tax", ">", ["-0.01"])]),
    ("staff > 9", [("staff", ">=", [10])]),
    ("10 > staff", [("staff", "<=", ["9"])]),
    ("filed >= date '2024-01-01'", [("filed", ">", ["2023-12-31"])]),
    ("not (filed < '2025-01-01')", [("filed", ">=", ["2025-01-01"])]),
    ("year between 2021 and 2023", [("year", "<", [2024]), ("year", ">", [2020])]),
    ("year != 2022", [("year", "!=", ["2022"])]),
    ("year not in (2021, 2022)", [("year", "not in", [2022, 2021])]),
]
AGGREGATES: list[tuple[str, dict[str, JsonValue]]] = [
    ("count(*)", {"function": "count"}),
    ("count(size)", {"function": "count_values", "column": "size"}),
    ("count(tax)", {"function": "count_values", "column": f"{FILINGS}.tax"}),
    ("count(distinct uscc)", {"function": "count_units"}),
    ("sum(tax)", {"function": "sum", "column": "tax"}),
    ("sum(staff)", {"function": "sum", "column": "staff"}),
]
DIMENSIONS = ["street", "size", "late", "year"]

twins = st.lists(st.sampled_from(CONDITIONS), max_size=4)
asked = st.lists(
    st.tuples(st.sampled_from(AGGREGATES), st.lists(st.sampled_from(CONDITIONS), max_size=2)),
    min_size=1,
    max_size=4,
    unique_by=lambda pair: pair[0][0],
)
grouped = st.lists(st.sampled_from(DIMENSIONS), max_size=3, unique=True)


def conjunction(conditions: list[Twin]) -> str:
    return " AND ".join(f"({sql})" if index % 2 else sql for index, (sql, _) in enumerate(conditions))


def wire(conditions: list[Twin]) -> list[JsonValue]:
    return [
        {"column": column, "is": comparison, "values": values}
        for _, twin in conditions
        for column, comparison, values in twin
    ]


def sql_of(dimensions: list[str], aggregates: list[Any], where: list[Twin], margins: bool) -> str:
    """Write the question as SQL."""
    outputs = list(dimensions)
    for index, ((call, _), conditions) in enumerate(aggregates):
        outputs.append(f"{call}{f' FILTER (WHERE {conjunction(conditions)})' if conditions else ''} AS a{index}")
    text = f"SELECT {', '.join(outputs)} FROM tax.filings"
    text += f" WHERE {conjunction(where)}" if where else ""
    if dimensions:
        text += f" GROUP BY {'CUBE (' if margins else ''}{', '.join(dimensions)}{')' if margins else ''}"
    return text


def json_of(dimensions: list[str], aggregates: list[Any], where: list[Twin], margins: bool) -> JsonValue:
    """Write the same question as JSON, in another order."""
    return {
        "v": 1,
        "question": {
            "kind": "table",
            "source": {"dataset": FILINGS, "version": 2},
            "where": wire(where)[::-1],
            "group_by": [{"column": name} for name in reversed(dimensions)],
            "aggregates": [
                function | {"where": wire(conditions)} for (_, function), conditions in reversed(aggregates)
            ],
            "margins": margins and bool(dimensions),
        },
    }


@settings(max_examples=150, deadline=None)
@given(grouped, asked, twins, st.booleans())
def test_sql_and_json_of_one_question_have_one_digest(
    dimensions: list[str], aggregates: list[Any], where: list[Twin], margins: bool
) -> None:
    one = bind(parse_sql(sql_of(dimensions, aggregates, where, margins)), CATALOGUE)
    other = bind(parse_plan(json_of(dimensions, aggregates, where, margins)), CATALOGUE)
    assert one.question == other.question
    assert question_digest(one.question) == question_digest(other.question)
    assert (uses(one), operations(one)) == (uses(other), operations(other))
    assert bind(one, CATALOGUE) == one
    assert parse_plan(plan_to_json(one)) == one
    admitted = permitted(one, CATALOGUE)
    assert isinstance(admitted, Admitted)
    assert admitted.digest == question_digest(separate_conditions(other, CATALOGUE).question)


@settings(max_examples=100, deadline=None)
@given(grouped, asked, twins, st.booleans())
def test_what_policies_refuse_is_never_admitted(
    dimensions: list[str], aggregates: list[Any], where: list[Twin], margins: bool
) -> None:
    plan = parse_sql(sql_of(dimensions, aggregates, where, margins))
    refusal = Decision(outcome=type(PERMIT.outcome).REFUSE, determining=(), disclosure=PERMIT.disclosure, terms=("x",))
    assert not isinstance(admit(plan, CATALOGUE, refusal), Admitted)


# --- meaning ----------------------------------------------------------------------------------------------------------

Row = dict[str, Any]
NAMES = ("uscc", "year", "street", "size", "tax", "staff", "filed", "late")
TYPES = ["VARCHAR", "INTEGER", "VARCHAR", "VARCHAR", "DECIMAL(18,2)", "INTEGER", "DATE", "BOOLEAN"]


def values(name: str) -> list[Any]:
    """Return values around everything that the conditions compare with."""
    found: dict[str, list[Any]] = {
        "uscc": ["a", "b", "c"],
        "year": [2020, 2021, 2022, 2023, 2024],
        "street": ["east", "west", "莲花街道", None],
        "size": ["micro", "small", "large", None],
        "tax": [Decimal(text) for text in ("-0.01", "0", "99.99", "100", "1000.49", "1000.5", "1000.51")] + [None],
        "staff": [0, 9, 10, 11, None],
        "filed": [date(2023, 12, 31), date(2024, 1, 1), date(2024, 12, 31), date(2025, 1, 1), None],
        "late": [True, False, None],
    }
    return found[name]


rows = st.lists(st.fixed_dictionaries({name: st.sampled_from(values(name)) for name in NAMES}), max_size=12)


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the table of the example, empty."""
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA tax")
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(NAMES, TYPES, strict=True))
        connection.execute(f"CREATE TABLE tax.filings ({columns})")
        yield connection


def meets(row: Row, condition: Condition) -> bool:
    """Tell whether a row meets a bound condition."""
    value = row[condition.column.name]
    if condition.comparison in (Comparison.IS_NULL, Comparison.NOT_NULL):
        return (value is None) is (condition.comparison is Comparison.IS_NULL)
    if value is None:
        return False
    read: Callable[[Any], Any] = Decimal if isinstance(value, int | Decimal) and not isinstance(value, bool) else str
    have = str(value).lower() if isinstance(value, bool) else read(str(value))
    wanted = [read(str(literal)) for literal in condition.values]
    match condition.comparison:
        case Comparison.EQ | Comparison.IN:
            return have in wanted
        case Comparison.NE | Comparison.NOT_IN:
            return have not in wanted
        case Comparison.LT:
            return bool(have < wanted[0])
        case Comparison.GE:
            return bool(have >= wanted[0])
        case other:
            raise AssertionError(f"{other} is not canonical")


def total(aggregate: Aggregate, cell: list[Row]) -> Any:
    cell = [row for row in cell if all(meets(row, condition) for condition in aggregate.where)]
    if aggregate.function is Function.COUNT:
        return len(cell)
    if aggregate.function is Function.COUNT_UNITS:
        return len({row["uscc"] for row in cell})
    assert isinstance(aggregate.column, Column)
    found = [value for row in cell if (value := row[aggregate.column.name]) is not None]
    if aggregate.function is Function.COUNT_VALUES:
        return len(found)
    # SQL has no sum of nothing; the product says 0 there, and its count of values tells which it is.
    return sum(found) if found else None


def answer(plan: Plan, table: list[Row]) -> list[tuple[Any, ...]]:
    """Evaluate a bound plan on rows; cells come sorted as text, columns as the partner wrote them."""
    question, presentation = plan.question, plan.presentation
    assert isinstance(question, TableQuestion)
    assert presentation is not None
    selected = [row for row in table if all(meets(row, condition) for condition in question.where)]
    names = [dimension.column.name for dimension in question.group_by]
    kept = [set(names)]
    if question.margins:
        kept = [set(subset) for size in range(len(names) + 1) for subset in combinations(names, size)]
    found = []
    for subset in kept:
        cells: dict[tuple[Any, ...], list[Row]] = {} if subset else {(None,) * len(names): []}
        for row in selected:
            cells.setdefault(tuple(row[name] if name in subset else None for name in names), []).append(row)
        for key, cell in cells.items():
            outputs = dict(zip(presentation.names, (*key, *(total(a, cell) for a in question.aggregates)), strict=True))
            found.append(tuple(outputs[name] for name in presentation.columns or presentation.names))
    return sorted(found, key=repr)


@settings(max_examples=200, deadline=None)
@given(dimensions=grouped, aggregates=asked, where=twins, margins=st.booleans(), table=rows)
def test_a_plan_means_what_the_statement_means(
    database: duckdb.DuckDBPyConnection,
    dimensions: list[str],
    aggregates: list[Any],
    where: list[Twin],
    margins: bool,
    table: list[Row],
) -> None:
    text = sql_of(dimensions, aggregates, where, margins)
    database.execute("DELETE FROM tax.filings")
    for row in table:
        database.execute(
            f"INSERT INTO tax.filings VALUES ({', '.join('?' * len(NAMES))})", [row[name] for name in NAMES]
        )
    expected = sorted(database.execute(text).fetchall(), key=repr)
    assert answer(bind(parse_sql(text), CATALOGUE), table) == expected
