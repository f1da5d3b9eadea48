"""Tables against a second computation in plain Python, row by row."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.disclosure import DisclosureRules
from sandbox.candidate import Candidate, MeasureValues
from sandbox.catalog.model import Catalogue
from sandbox.operations.measure import Measure, MeasureKind
from tests.unit.sandbox.engine_duckdb.world import FILINGS, FIRMS, RULES, Home, Row, column, home
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.model import (
    Aggregate,
    Comparison,
    Condition,
    Dimension,
    Function,
    Join,
    JoinKind,
    Source,
    TableQuestion,
)

COUNT = Aggregate(function=Function.COUNT)
UNITS = Aggregate(function=Function.COUNT_UNITS)
Value = Callable[[Row], int | None]


def total_of(name: str, dataset: str = FILINGS, **rest: Any) -> Aggregate:
    return Aggregate(function=Function.SUM, column=column(name, dataset), **rest)


def asked(*aggregates: Aggregate, by: tuple[str, ...] = (), **rest: Any) -> TableQuestion:
    rest.setdefault("source", Source(dataset=FILINGS, version=1))
    dimensions = tuple(Dimension(column=column(name)) for name in by)
    return TableQuestion(**{"group_by": dimensions, "aggregates": aggregates, **rest})


def text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower()


def cells_of(candidate: Candidate) -> dict[tuple[Any, ...], int]:
    """Cells by key; a dimension that is summed over is a dot."""
    named = {}
    for place, key in enumerate(candidate.keys):
        shown = tuple("·" if total else part for part, total in zip(key, candidate.is_total[place], strict=True))
        named[shown] = place
    assert len(named) == candidate.cells
    return named


def grouped(rows: list[Row], by: tuple[str, ...], *, margins: bool) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = {}
    masks = list(itertools.product([False, True], repeat=len(by))) if margins else [(False,) * len(by)]
    for row in rows:
        for mask in masks:
            key = tuple("·" if hidden else text(row[name]) for name, hidden in zip(by, mask, strict=True))
            found.setdefault(key, []).append(row)
    return found


def check_measure(values: MeasureValues, place: int, rows: list[Row], value: Value, rules: DisclosureRules) -> None:
    """Hold one cell of a measure against its rows: totals are exact, bounds are bounds, doubts are settled."""
    known = [(row, number) for row in rows if (number := value(row)) is not None]
    units = len({row["_unit"] for row, _ in known})
    by_unit: dict[int, int] = {}
    for row, number in known:
        by_unit[row["_unit"]] = by_unit.get(row["_unit"], 0) + abs(number)
    one, two, *_ = [*sorted(by_unit.values(), reverse=True), 0, 0]
    absolute = sum(by_unit.values())
    assert values.totals[place] == sum(number for _, number in known)
    assert values.rows[place] == len(known)
    assert values.absolute[place] == absolute
    assert values.negative[place] == any(number < 0 for _, number in known)
    if values.units_exact[place]:
        assert values.units[place] == units
    else:
        assert rules.min_units <= values.units[place] <= units
    if values.largest_exact[place]:
        assert (values.largest[place], values.second[place]) == (one, two)
    else:
        assert values.largest[place] >= one
        assert values.second[place] >= two
    found = sensitive(absolute, values.largest[place], values.second[place], rules)
    assert found is sensitive(absolute, one, two, rules)


def sensitive(absolute: int, one: int, two: int, rules: DisclosureRules) -> bool:
    held = one + (rules.dominance_top - 1) * two
    rest = max(absolute - one - two, 0)
    return held >= Fraction(rules.dominance_share) * absolute or 100 * rest < rules.p_percent * one


VALUES: dict[str, Value] = {
    "turnover": lambda row: row["turnover"],
    "profit": lambda row: row["profit"],
    "squares": lambda row: None if row["profit"] is None else row["profit"] ** 2,
    "rows": lambda row: 1,
    "present": lambda row: None if row["profit"] is None else 1,
}


@pytest.mark.parametrize("rows_per_unit", [1, 3])
@pytest.mark.parametrize("margins", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_table_equals_the_rows_added_up_one_by_one(
    tmp_path: Path, seed: int, margins: bool, rows_per_unit: int
) -> None:
    made, rows, _ = home(tmp_path, seed=seed, rows_per_unit=rows_per_unit)
    by = ("active", "sector", "street")
    question = asked(
        COUNT,
        total_of("turnover"),
        Aggregate(function=Function.VARIANCE, column=column("profit")),
        by=by,
        margins=margins,
    )
    candidate = made.ask(question)
    expected = grouped(rows, by, margins=margins)
    cells = cells_of(candidate)
    assert set(cells) == set(expected)
    for key, members in expected.items():
        for measure, values in candidate.measures.items():
            name = {
                MeasureKind.SQUARES: "squares",
                MeasureKind.VALUES: "present",
                MeasureKind.ROWS: "rows",
                MeasureKind.SUM: measure.columns[0].name if measure.columns else "",
            }[measure.kind]
            check_measure(values, cells[key], members, VALUES[name], RULES)
        assert candidate.rows[cells[key]] == len(members)
    assert candidate.selected.rows == len(rows)
    assert (candidate.outside.rows, candidate.outside.units) == (0, 0)


@pytest.mark.parametrize(
    "rules", [RULES, DisclosureRules(min_units=30, dominance_top=1, dominance_share=Decimal("0.2"))]
)
def test_every_doubt_is_settled_whatever_the_rules(tmp_path: Path, rules: DisclosureRules) -> None:
    made, rows, _ = home(tmp_path, units=400, seed=9)
    candidate = made.ask(asked(COUNT, total_of("turnover"), total_of("profit"), by=("sector",), margins=True), rules)
    for key, members in grouped(rows, ("sector",), margins=True).items():
        for measure, values in candidate.measures.items():
            name = measure.columns[0].name if measure.columns else "rows"
            check_measure(values, cells_of(candidate)[key], members, VALUES[name], rules)


def test_a_dominated_cell_has_its_exact_largest_and_at_least_its_second(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=50)
    giant = [dict(row, turnover=10**12 if row["_unit"] == 7 else 10**4) for row in rows]
    made.publish(FILINGS, giant, version=2)
    candidate = made.ask(asked(total_of("turnover"), source=Source(dataset=FILINGS, version=2)))
    (values,) = candidate.measures.values()
    per_unit: dict[int, int] = {}
    for row in giant:
        per_unit[row["_unit"]] = per_unit.get(row["_unit"], 0) + row["turnover"]
    one, two, *_ = sorted(per_unit.values(), reverse=True)
    assert values.largest[0] == one
    assert values.second[0] >= two
    assert sensitive(sum(per_unit.values()), one, two, RULES)


@pytest.mark.parametrize("by", [("year", "street"), ("year", "street", "sector")])
@pytest.mark.parametrize("name", ["turnover", "profit"])
def test_a_cell_that_fixes_the_row_key_has_one_row_a_unit(tmp_path: Path, by: tuple[str, ...], name: str) -> None:
    made, rows, _ = home(tmp_path, units=400, rows_per_unit=4)
    candidate = made.ask(asked(COUNT, total_of(name), by=by, margins=True))
    count, total = candidate.measures.values()
    for key, members in grouped(rows, by, margins=True).items():
        place = cells_of(candidate)[key]
        check_measure(total, place, members, VALUES[name], RULES)
        check_measure(count, place, members, VALUES["rows"], RULES)
        if key[0] != "·":
            assert candidate.units_exact[place]
            assert candidate.units[place] == len(members)


def test_a_filter_that_fixes_the_row_key_leaves_one_row_a_unit(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=400, rows_per_unit=4)
    picked = (Condition(column=column("year"), comparison=Comparison.EQ, values=("2021",)),)
    candidate = made.ask(asked(total_of("turnover"), by=("street",), where=picked))
    assert candidate.units_exact.all()
    assert candidate.selected.units_exact
    assert candidate.selected.units == sum(row["year"] == 2021 for row in rows)


def test_a_bin_of_the_row_key_does_not_fix_it(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=400, rows_per_unit=4)
    bins = (Dimension(column=column("year"), edges=("2021",)),)
    candidate = made.ask(asked(total_of("turnover"), group_by=bins))
    (values,) = candidate.measures.values()
    for place, members in enumerate(
        ([row for row in rows if row["year"] < 2021], [row for row in rows if row["year"] >= 2021])
    ):
        check_measure(values, place, members, VALUES["turnover"], RULES)


def test_what_a_version_was_not_checked_for_is_not_relied_on(tmp_path: Path) -> None:
    """A version of before a revision: several rows have one row key of today, and values are below today's bounds."""
    made, rows, _ = home(tmp_path, units=60, rows_per_unit=4)
    again = [dict(row, year=2020, profit=-5000) for row in rows]
    made.publish(FILINGS, again, version=2)
    declared = made.declared[FILINGS]
    stricter = tuple(
        replace(item, bounds=(Decimal(0), Decimal(10**12)), nullable=False) if item.name == "profit" else item
        for item in declared.items
    )
    datasets = {**made.declared, FILINGS: replace(declared, items=stricter)}
    made.catalogue = Catalogue(datasets=datasets, versions=made.catalogue.versions)
    source = Source(dataset=FILINGS, version=2)
    candidate = made.ask(asked(COUNT, total_of("profit"), by=("year",), source=source))
    count, total = candidate.measures.values()
    check_measure(total, 0, again, VALUES["profit"], RULES)
    check_measure(count, 0, again, VALUES["rows"], RULES)
    assert total.negative[0]


@pytest.mark.parametrize("top", [1, 2, 3, 5])
@pytest.mark.parametrize("share", ["0.3", "0.6", "0.9"])
@pytest.mark.parametrize("p_percent", [0, 10, 60])
def test_bounds_decide_as_exact_figures_do(tmp_path: Path, top: int, share: str, p_percent: int) -> None:
    made, rows, _ = home(tmp_path, units=120, rows_per_unit=4)
    rules = DisclosureRules(min_units=5, dominance_top=top, dominance_share=Decimal(share), p_percent=p_percent)
    by = ("street", "sector")
    candidate = made.ask(asked(total_of("turnover"), total_of("profit"), by=by, margins=True), rules)
    for measure, values in candidate.measures.items():
        value = VALUES[measure.columns[0].name]
        for key, members in grouped(rows, by, margins=True).items():
            check_measure(values, cells_of(candidate)[key], members, value, rules)


@pytest.mark.parametrize(
    ("p_percent", "first", "second", "is_sensitive"),
    [
        (10, 880, 10, False),
        (10, 880, 25, True),
        (10, 700, 10, False),
        (10, 950, 1, True),
        (60, 610, 20, False),
        (60, 610, 26, True),
        (60, 640, 1, True),
    ],
)
def test_a_second_unit_counts_as_much_as_it_has(
    tmp_path: Path, p_percent: int, first: int, second: int, is_sensitive: bool
) -> None:
    """The cell adds up to 1,000,000, of which the two largest units have so many thousandths; the rest have little."""
    made, rows, _ = home(tmp_path, units=402, rows_per_unit=3)
    left = 1_000_000 - 1000 * (first + second)
    parts = {0: 1000 * first, 1: 1000 * second} | dict.fromkeys(range(2, 402), left // 400)
    once = {row["_unit"]: dict(row, street="Futian") for row in rows}
    split = [
        dict(row, turnover=half, year=year, _row=2 * row["_unit"] + year)
        for row in once.values()
        for year, half in ((2020, parts[row["_unit"]] // 2), (2021, parts[row["_unit"]] - parts[row["_unit"]] // 2))
    ]
    made.publish(FILINGS, split, version=2)
    rules = DisclosureRules(min_units=5, p_percent=p_percent)
    source = Source(dataset=FILINGS, version=2)
    (values,) = made.ask(asked(total_of("turnover"), by=("street",), source=source), rules).measures.values()
    check_measure(values, 0, split, VALUES["turnover"], rules)
    assert sensitive(values.absolute[0], values.largest[0], values.second[0], rules) is is_sensitive


def test_distinct_units_are_exact_where_they_are_the_answer(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=400)
    candidate = made.ask(asked(UNITS, by=("street",)))
    (values,) = candidate.measures.values()
    for key, place in cells_of(candidate).items():
        units = len({row["_unit"] for row in rows if (row["street"],) == key})
        assert values.totals[place] == units
        assert values.units_exact[place]


CONDITIONS: dict[str, tuple[Condition, Callable[[Row], bool]]] = {
    "equal": (
        Condition(column=column("street"), comparison=Comparison.EQ, values=("Futian",)),
        lambda row: row["street"] == "Futian",
    ),
    "not equal drops nulls": (
        Condition(column=column("sector"), comparison=Comparison.NE, values=("A",)),
        lambda row: row["sector"] not in ("A", None),
    ),
    "in": (
        Condition(column=column("sector"), comparison=Comparison.IN, values=("A", "C")),
        lambda row: row["sector"] in ("A", "C"),
    ),
    "not in drops nulls": (
        Condition(column=column("sector"), comparison=Comparison.NOT_IN, values=("A", "C")),
        lambda row: row["sector"] == "B",
    ),
    "null": (Condition(column=column("filed"), comparison=Comparison.IS_NULL), lambda row: row["filed"] is None),
    "not null": (
        Condition(column=column("filed"), comparison=Comparison.NOT_NULL),
        lambda row: row["filed"] is not None,
    ),
    "decimal at least": (
        Condition(column=column("profit"), comparison=Comparison.GE, values=("12.5",)),
        lambda row: row["profit"] is not None and row["profit"] >= 1250,
    ),
    "integer below": (
        Condition(column=column("year"), comparison=Comparison.LT, values=("2022",)),
        lambda row: row["year"] < 2022,
    ),
    "date above": (
        Condition(column=column("filed"), comparison=Comparison.GT, values=("2024-06-01",)),
        lambda row: row["filed"] is not None and row["filed"].isoformat() > "2024-06-01",
    ),
    "boolean": (
        Condition(column=column("active"), comparison=Comparison.EQ, values=("true",)),
        lambda row: bool(row["active"]),
    ),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_selects_rows_that_meet_it_and_counts_the_rest(tmp_path: Path, name: str) -> None:
    made, rows, _ = home(tmp_path, units=60)
    condition, meets = CONDITIONS[name]
    candidate = made.ask(asked(COUNT, where=(condition,)))
    inside = [row for row in rows if meets(row)]
    outside = [row for row in rows if not meets(row)]
    assert candidate.rows.tolist() == [len(inside)]
    for population, members in ((candidate.selected, inside), (candidate.outside, outside)):
        units = len({row["_unit"] for row in members})
        assert population.rows == len(members)
        assert population.units == units if population.units_exact else population.units <= units


@pytest.mark.parametrize("name", CONDITIONS)
def test_units_left_out_are_exact_where_they_could_be_few(tmp_path: Path, name: str) -> None:
    made, rows, _ = home(tmp_path, units=60)
    condition, meets = CONDITIONS[name]
    candidate = made.ask(asked(COUNT, where=(condition,)), DisclosureRules(min_units=1000))
    for population, is_in in ((candidate.selected, True), (candidate.outside, False)):
        assert population.units_exact
        assert population.units == len({row["_unit"] for row in rows if meets(row) is is_in})


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_of_an_aggregate_belongs_to_its_measure(tmp_path: Path, name: str) -> None:
    made, rows, _ = home(tmp_path, units=60)
    condition, meets = CONDITIONS[name]
    candidate = made.ask(asked(COUNT, total_of("turnover", where=(condition,)), by=("street",)))
    values = candidate.measures[Measure(kind=MeasureKind.SUM, columns=(column("turnover"),), where=(condition,))]
    for key, members in grouped(rows, ("street",), margins=False).items():
        place = cells_of(candidate)[key]
        check_measure(values, place, members, lambda row: row["turnover"] if meets(row) else None, RULES)
        assert candidate.rows[place] == len(members)


def test_bins_have_their_numbers_as_keys_and_nulls_a_cell(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path)
    edges = ("-10", "0", "12.5")
    candidate = made.ask(asked(COUNT, group_by=(Dimension(column=column("profit"), edges=edges),)))
    numbers = [-1000, 0, 1250]
    expected: dict[tuple[str | None], int] = {}
    for row in rows:
        place = None if row["profit"] is None else sum(edge <= row["profit"] for edge in numbers)
        key = None if place is None else str(place)
        expected[(key,)] = expected.get((key,), 0) + 1
    assert {key: candidate.rows[place] for key, place in cells_of(candidate).items()} == expected
    assert candidate.keys == (("0",), ("1",), ("2",), ("3",), (None,)), "numbers; presentation names them"


def test_cells_are_in_order_of_their_keys_with_totals_last(tmp_path: Path) -> None:
    made, _, _ = home(tmp_path)
    candidate = made.ask(asked(COUNT, by=("sector", "year"), margins=True))
    shown = list(cells_of(candidate))
    ranks = [[{None: "y", "·": "z"}.get(part, "x" + str(part)) for part in key] for key in shown]
    assert ranks == sorted(ranks)
    assert shown[-1] == ("·", "·")


@pytest.mark.parametrize("kind", JoinKind)
def test_a_join_looks_attributes_up_by_unit(tmp_path: Path, kind: JoinKind) -> None:
    made, rows, firms = home(tmp_path)
    by_unit = {row["_unit"]: row for row in firms}
    source = Source(dataset=FILINGS, version=1, joins=(Join(dataset=FIRMS, kind=kind, version=1),))
    question = asked(
        total_of("staff", FIRMS), total_of("turnover"), source=source,
        group_by=(Dimension(column=column("size", FIRMS)),), margins=True,
    )  # fmt: skip
    candidate = made.ask(question)
    merged = [
        {**row, "size": by_unit.get(row["_unit"], {}).get("size"), "staff": by_unit.get(row["_unit"], {}).get("staff")}
        for row in rows
        if kind is JoinKind.LEFT or row["_unit"] in by_unit
    ]
    expected = grouped(merged, ("size",), margins=True)
    assert set(cells_of(candidate)) == set(expected)
    for key, members in expected.items():
        for measure, values in candidate.measures.items():
            name = measure.columns[0].name
            check_measure(values, cells_of(candidate)[key], members, lambda row, name=name: row[name], RULES)  # type: ignore[misc]
    left_out = [row for row in rows if kind is JoinKind.INNER and row["_unit"] not in by_unit]
    assert candidate.outside.rows == len(left_out)
    if candidate.outside.units_exact:
        assert candidate.outside.units == len({row["_unit"] for row in left_out})


@pytest.mark.parametrize("fraction", ["0.05", "0.25", "0.5", "0.9"])
@pytest.mark.parametrize("margins", [False, True])
def test_quantiles_are_interpolated_order_statistics(tmp_path: Path, fraction: str, margins: bool) -> None:
    made, rows, _ = home(tmp_path)
    quantile = Aggregate(function=Function.QUANTILE, column=column("profit"), fraction=fraction)
    candidate = made.ask(asked(quantile, by=("street",), margins=margins))
    (values,) = candidate.measures.values()
    assert values.below is not None
    assert values.above is not None
    for key, members in grouped(rows, ("street",), margins=margins).items():
        place = cells_of(candidate)[key]
        known = sorted(row["profit"] for row in members if row["profit"] is not None)
        at = (len(known) - 1) * Fraction(fraction)
        low, high = known[int(at)], known[min(int(at) + 1, len(known) - 1)]
        expected = round(low + (at - int(at)) * (high - low))
        assert values.totals[place] == expected
        assert abs(expected - np.quantile(known, float(fraction))) <= 0.5000001
        present = [row for row in members if row["profit"] is not None]
        assert values.below[place] == len({row["_unit"] for row in present if row["profit"] < expected})
        assert values.above[place] == len({row["_unit"] for row in present if row["profit"] > expected})


def test_nothing_selected_is_one_cell_of_nothing_without_dimensions_and_none_with(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path)
    never = (Condition(column=column("year"), comparison=Comparison.GE, values=("2029",)),)
    whole = made.ask(asked(COUNT, total_of("turnover"), where=never))
    assert [values.totals for values in whole.measures.values()] == [(0,), (0,)]
    assert whole.outside.rows == len(rows)
    assert made.ask(asked(COUNT, by=("street",), where=never)).cells == 0
    margins = made.ask(asked(COUNT, total_of("turnover"), by=("street",), where=never, margins=True))
    assert margins.is_total.tolist() == [[True]]
    assert margins.selected.rows == 0


def test_sums_beyond_64_bits_are_exact(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=30)
    huge = [dict(row, profit=-(2**62) + row["_unit"]) for row in rows]
    made.publish(FILINGS, huge, version=2)
    source = Source(dataset=FILINGS, version=2)
    candidate = made.ask(asked(total_of("profit"), source=source))
    (values,) = candidate.measures.values()
    assert values.totals == (sum(row["profit"] for row in huge),)
    assert values.totals[0] is not None
    assert values.totals[0] < -(2**64)


@pytest.mark.parametrize("name", ["uscc", "_unit", "nothing", 'street" FROM rows --'])
def test_only_declared_columns_reach_a_statement(tmp_path: Path, name: str) -> None:
    made, _, _ = home(tmp_path, units=5)
    with pytest.raises(InvalidRequestError) as raised:
        made.ask(asked(COUNT, by=(name,)))
    assert raised.value.code is ErrorCode.NAME_UNKNOWN


def test_a_literal_is_never_text_of_a_statement(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=5)
    hostile = Condition(column=column("street"), comparison=Comparison.IN, values=("x') OR TRUE --", "Futian"))
    candidate = made.ask(asked(COUNT, where=(hostile,)))
    assert candidate.rows.tolist() == [sum(row["street"] == "Futian" for row in rows)]


def test_a_join_that_could_multiply_rows_is_refused(tmp_path: Path) -> None:
    made, _, firms = home(tmp_path, units=5)
    made.publish(FIRMS, [*firms, dict(firms[0], _row=99)], version=2)
    source = Source(dataset=FILINGS, version=1, joins=(Join(dataset=FIRMS, kind=JoinKind.INNER, version=2),))
    with pytest.raises(InvalidRequestError):
        made.ask(asked(COUNT, source=source))


def test_the_same_question_has_the_same_answer_in_the_same_order(tmp_path: Path) -> None:
    made: Home = home(tmp_path, units=500)[0]
    question = asked(COUNT, total_of("turnover"), by=("street", "sector", "year"), margins=True)
    one, other = made.ask(question), made.ask(question)
    assert one.keys == other.keys
    for measure, values in one.measures.items():
        assert values.totals == other.measures[measure].totals
        assert values.largest == other.measures[measure].largest
