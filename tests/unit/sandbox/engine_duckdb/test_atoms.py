"""Atoms and their totals against plain Python."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.disclosure.atoms import ABSENT, AtomTable, Facet, Sameness
from sandbox.operations.measure import Measure, MeasureKind
from tests.lib.atoms import value_numbers
from tests.unit.sandbox.engine_duckdb.test_tables import text
from tests.unit.sandbox.engine_duckdb.world import FILINGS, FIRMS, Home, Row, column, home
from yingbi.errors import ErrorCode, UnavailableError
from yingbi.plan.model import Comparison, Condition

STREET = Facet(column=column("street"), version=1)
CAP = 4


def shown(table: AtomTable) -> list[tuple[Any, ...]]:
    """Atoms with their labels (a bin's number as it is)."""

    def label(code: int, names: tuple[str, ...]) -> Any:
        return None if code == ABSENT else names[code] if names else code

    rows = table.codes.tolist()
    return [tuple(label(code, names) for code, names in zip(row, table.labels, strict=True)) for row in rows]


def check(table: AtomTable, expected: dict[tuple[Any, ...], list[Row]]) -> None:
    assert set(shown(table)) == set(expected)
    assert len(table.rows) == len(expected)
    for place, key in enumerate(shown(table)):
        units = {row["_unit"] for row in expected[key]}
        assert table.rows[place] == len(expected[key])
        assert table.solo[place] == (units.pop() if len(units) == 1 else -1) or len(units) > 1
        count = len({row["_unit"] for row in expected[key]})
        assert table.units[place] == count if count < CAP else CAP <= table.units[place] <= count


def split(rows: list[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(text(row[name]) for name in names), []).append(row)
    return found


@pytest.fixture
def made(tmp_path: Path) -> tuple[Home, list[Row], list[Row]]:
    return home(tmp_path, units=80)


@pytest.mark.parametrize("rows_per_unit", [1, 3])
def test_atoms_are_the_rows_that_agree_in_every_facet(tmp_path: Path, rows_per_unit: int) -> None:
    world, rows, _ = home(tmp_path, units=80, rows_per_unit=rows_per_unit)
    facets = [Facet(column=column(name), version=1) for name in ("street", "sector", "active", "year")]
    table = world.engine().atoms(FILINGS, [1], facets, cap=CAP)
    check(table, split(rows, "street", "sector", "active", "year"))
    assert table.labels[3] == tuple(sorted({str(row["year"]) for row in rows}))
    assert table.codes.tolist() == sorted(table.codes.tolist())


def test_without_facets_there_is_one_atom(made: tuple[Home, list[Row], list[Row]]) -> None:
    world, rows, _ = made
    table = world.engine().atoms(FILINGS, [1], [], cap=CAP)
    assert table.codes.shape == (1, 0)
    assert table.rows.tolist() == [len(rows)]


def test_bins_count_the_edges_at_or_below_and_nulls_are_absent(made: tuple[Home, list[Row], list[Row]]) -> None:
    world, rows, _ = made
    facet = Facet(column=column("profit"), version=1, edges=("-10", "0", "12.5"))
    expected: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        number = None if row["profit"] is None else sum(edge <= row["profit"] for edge in (-1000, 0, 1250))
        expected.setdefault((number,), []).append(row)
    check(world.engine().atoms(FILINGS, [1], [facet], cap=CAP), expected)


def test_decimal_labels_are_canonical_and_ascending(made: tuple[Home, list[Row], list[Row]]) -> None:
    world, rows, _ = made
    table = world.engine().atoms(FILINGS, [1], [Facet(column=column("profit"), version=1)], cap=CAP)
    numbers = [float(label) for label in table.labels[0]]
    assert numbers == sorted({row["profit"] / 100 for row in rows if row["profit"] is not None})


def test_facets_of_other_data_sets_are_looked_up_by_unit(made: tuple[Home, list[Row], list[Row]]) -> None:
    world, rows, firms = made
    sizes = {row["_unit"]: row["size"] for row in firms}
    facets = [
        STREET,
        Facet(column=column("size", FIRMS), version=1),
        Facet(column=column("uscc", FIRMS), version=1, presence=True),
    ]
    merged = [dict(row, size=sizes.get(row["_unit"])) for row in rows]
    expected: dict[tuple[Any, ...], list[Row]] = {}
    for row in merged:
        expected.setdefault((row["street"], row["size"], None if row["size"] is None else 0), []).append(row)
    table = world.engine().atoms(FILINGS, [1], facets, cap=CAP)
    assert table.labels[2] == ()
    check(table, expected)


def second_version(rows: list[Row]) -> list[Row]:
    """Some rows gone, some new, some moved to another street."""
    kept = [dict(row, street="Lianhua") if row["_unit"] % 7 == 0 else row for row in rows if row["_unit"] % 5]
    return kept + [dict(row, _unit=row["_unit"] + 1000, _row=row["_row"] + 10**6) for row in rows[:20]]


def merged_versions(one: list[Row], two: list[Row]) -> list[Row]:
    found: dict[tuple[int, int], Row] = {}
    for version, rows in ((1, one), (2, two)):
        for row in rows:
            whole = found.setdefault((row["_unit"], row["_row"]), {"_unit": row["_unit"], "s1": None, "s2": None})
            whole[f"s{version}"] = row["street"]
            whole[f"row{version}"] = row
    return list(found.values())


def test_rows_of_versions_are_one_where_unit_and_row_agree(made: tuple[Home, list[Row], list[Row]]) -> None:
    world, rows, _ = made
    later = second_version(rows)
    world.publish(FILINGS, later, version=2)
    facets = [STREET, Facet(column=column("street"), version=2)]
    table = world.engine().atoms(FILINGS, [1, 2], facets, cap=CAP)
    check(table, split(merged_versions(rows, later), "s1", "s2"))
    presence = [Facet(column=column("street"), version=v, presence=True) for v in (1, 2)]
    assert sorted(shown(world.engine().atoms(FILINGS, [1, 2], presence, cap=CAP)), key=str) == [
        (0, 0), (0, None), (None, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("version", [1, 2])
def test_totals_are_of_the_rows_of_one_version(made: tuple[Home, list[Row], list[Row]], version: int) -> None:
    world, rows, _ = made
    later = second_version(rows)
    world.publish(FILINGS, later, version=2)
    facets = [STREET, Facet(column=column("street"), version=2)]
    engine = world.engine()
    table = engine.atoms(FILINGS, [1, 2], facets, cap=CAP)
    where = (Condition(column=column("active"), comparison=Comparison.EQ, values=("true",)),)
    profit = (column("profit"),)
    measures = {
        Measure(kind=MeasureKind.ROWS): lambda row: 1,
        Measure(kind=MeasureKind.VALUES, columns=profit): lambda row: int(row["profit"] is not None),
        Measure(kind=MeasureKind.SUM, columns=profit, where=where): lambda r: (r["profit"] or 0) * r["active"],
        Measure(kind=MeasureKind.SQUARES, columns=profit): lambda row: (row["profit"] or 0) ** 2,
        Measure(kind=MeasureKind.PRODUCT, columns=(*profit, column("turnover"))): lambda row: (
            (row["profit"] or 0) * row["turnover"]
        ),
    }
    groups = split(merged_versions(rows, later), "s1", "s2")
    for measure, value in measures.items():
        totals = engine.totals(table, FILINGS, version, measure)
        for place, key in enumerate(shown(table)):
            present = [row[f"row{version}"] for row in groups[key] if row[f"s{version}"] is not None]
            assert totals[place] == sum(map(value, present))


def test_totals_of_rows_that_the_table_does_not_cover_are_refused(made: tuple[Home, list[Row], list[Row]]) -> None:
    world, rows, _ = made
    world.publish(FILINGS, [dict(row, street="Xiangmihu") for row in rows], version=2)
    engine = world.engine()
    table = engine.atoms(FILINGS, [1], [Facet(column=column("street"), version=1)], cap=CAP)
    absent = [dict(row, _unit=row["_unit"] + 500) for row in rows]
    world.publish(FILINGS, absent, version=3)
    with pytest.raises(UnavailableError) as raised:
        engine.totals(table, FILINGS, 3, Measure(kind=MeasureKind.ROWS))
    assert raised.value.code is ErrorCode.ENGINE_FAILED


def three_versions(rows: list[Row]) -> dict[int, list[Row]]:
    """Profits that stay, that change by little, by much, or to nothing, and rows that come and go."""
    changes: list[Callable[[int], int | None]] = [
        lambda x: x,
        lambda x: x + 1,
        lambda x: 2 * x + 7,
        lambda _: None,
        lambda x: -x,
        lambda x: x,
    ]
    versions = {1: rows}
    for number in (2, 3):
        later = []
        for place, row in enumerate(versions[number - 1]):
            change = changes[(place * 5 + number) % len(changes)]
            profit = 50 if row["profit"] is None else change(row["profit"])
            later.append(dict(row, profit=profit))
        versions[number] = [row for row in later if (row["_unit"] + number) % 9]
    return versions


@pytest.mark.parametrize("is_near", [False, True])
def test_a_row_whose_value_changes_is_another_one(made: tuple[Home, list[Row], list[Row]], *, is_near: bool) -> None:
    world, rows, _ = made
    versions = three_versions(rows)
    for number in (2, 3):
        world.publish(FILINGS, versions[number], version=number)
    facets = [Facet(column=column("street"), version=v, presence=True) for v in (1, 2, 3)] + [STREET]
    same = Sameness(column=column("profit"), is_near=is_near)
    engine = world.engine()
    table = engine.atoms(FILINGS, [1, 2, 3], facets, cap=CAP, same=same)
    ever: dict[tuple[int, int], set[str | None]] = {}
    for row in (row for found in versions.values() for row in found):
        ever.setdefault((row["_unit"], row["_row"]), set()).add(text(row["profit"]))
    numbers = {key: value_numbers(values, is_near=is_near) for key, values in ever.items()}
    variables: dict[tuple[int, int, int], dict[int, Row]] = {}
    for number, found in versions.items():
        for row in found:
            key = (row["_unit"], row["_row"])
            variables.setdefault((*key, numbers[key][text(row["profit"])]), {})[number] = row
    expected: dict[tuple[Any, ...], list[dict[int, Row]]] = {}
    for one in variables.values():
        presence = [0 if number in one else None for number in (1, 2, 3)]
        expected.setdefault((*presence, one[1]["street"] if 1 in one else None), []).append(one)
    assert len({key[:3] for key in expected}) > 5, "values that stay, change, and change back"
    check(table, {key: [dict(next(iter(one.values()))) for one in found] for key, found in expected.items()})
    for number in versions:
        totals = engine.totals(table, FILINGS, number, Measure(kind=MeasureKind.SUM, columns=(column("profit"),)))
        entries = engine.contributions(table, FILINGS, number, [], column("profit"))
        told = dict(zip(entries.atom.tolist(), entries.rows.tolist(), strict=True))
        for place, key in enumerate(shown(table)):
            inside = [one[number]["profit"] for one in expected[key] if number in one]
            values = [value for value in inside if value is not None]
            assert totals[place] == sum(values)
            assert told.get(place, 0) == len(values)
