"""Who contributes to atoms, and to sets of them, against plain Python."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandbox.disclosure.atoms import ABSENT, AtomTable, Contributions, Facet, Largest
from tests.unit.sandbox.engine_duckdb.world import FILINGS, FIRMS, Home, Row, column, home
from yingbi.errors import ErrorCode, UnavailableError

STREET = Facet(column=column("street"), version=1)
SECTOR, PROFIT = Facet(column=column("sector"), version=1), Facet(column=column("profit"), version=1, edges=("0", "10"))
SECRET = (SECTOR, PROFIT, Facet(column=column("size", FIRMS), version=1))
ROWS = 3


@pytest.fixture
def made(tmp_path: Path) -> tuple[Home, list[Row]]:
    world, rows, firms = home(tmp_path, units=80, rows_per_unit=ROWS)
    sizes = {row["_unit"]: row["size"] for row in firms}
    return world, [dict(row, size=sizes.get(row["_unit"])) for row in rows]


def name_of(row: Row) -> tuple[Any, ...]:
    profit = None if row["profit"] is None else int(row["profit"] >= 0) + int(row["profit"] >= 1000)
    return row["street"], row["sector"], profit, row["size"]


def names(table: AtomTable, found: Contributions) -> list[tuple[Any, ...]]:
    def label(code: int, known: tuple[str, ...]) -> Any:
        return None if code == ABSENT else known[code] if known else code

    streets = [table.labels[0][table.codes[atom, 0]] for atom in found.atom]
    rows = zip(streets, found.codes.tolist(), strict=True)
    return [(street, *map(label, codes, found.labels)) for street, codes in rows]


@pytest.mark.parametrize("subject", ["turnover", "profit", None])
def test_contributions_are_those_of_the_rows_of_an_atom_and_class(
    made: tuple[Home, list[Row]], subject: str | None
) -> None:
    world, rows = made
    engine = world.engine()
    table = engine.atoms(FILINGS, [1], [STREET], cap=4)
    found = engine.contributions(table, FILINGS, 1, SECRET, None if subject is None else column(subject))
    assert sorted(names(table, found), key=str) == sorted({name_of(row) for row in rows}, key=str)
    for place, name in enumerate(names(table, found)):
        inside = [row for row in rows if name_of(row) == name]
        values = [1 if subject is None else row[subject] for row in inside]
        told = [abs(value) for value in values if value is not None]
        assert found.rows[place] == len(told)
        assert found.absolute[place] == sum(told)
        assert found.bound[place] >= max([0, *unit_totals(inside, subject).values()])


def unit_totals(rows: Iterable[Row], subject: str | None) -> dict[int, int]:
    totals: dict[int, int] = {}
    for row in rows:
        value = 1 if subject is None else row[subject]
        if value is not None:
            totals[row["_unit"]] = totals.get(row["_unit"], 0) + abs(value)
    return totals


@pytest.mark.parametrize("subject", ["turnover", "profit", None])
def test_the_largest_of_a_set_are_counted_over_all_its_atoms(made: tuple[Home, list[Row]], subject: str | None) -> None:
    world, rows = made
    engine = world.engine()
    table = engine.atoms(FILINGS, [1], [STREET], cap=4)
    of = None if subject is None else column(subject)
    entries = engine.contributions(table, FILINGS, 1, SECRET, of)
    known = names(table, entries)
    random = np.random.default_rng(3)
    sets = [np.flatnonzero(random.random(len(known)) < share) for share in (0.02, 0.3, 0.7, 1.0)]
    sets.append(np.zeros(0, dtype=np.int64))
    found = engine.largest(table, FILINGS, 1, SECRET, of, sets, [0] * len(sets))
    for one, members in zip(found, sets, strict=True):
        inside = {known[place] for place in members}
        sizes = sorted(unit_totals([row for row in rows if name_of(row) in inside], subject).values(), reverse=True)
        first, second = [*sizes, 0, 0][:2]
        assert one == Largest(units=len(sizes), absolute=sum(sizes), largest=first, second=second)


def test_units_that_are_small_over_all_may_be_left_out(made: tuple[Home, list[Row]]) -> None:
    world, rows = made
    engine = world.engine()
    table = engine.atoms(FILINGS, [1], [STREET], cap=4)
    everything = [np.arange(len(engine.contributions(table, FILINGS, 1, [SECTOR], column("turnover")).atom))] * 2
    whole = unit_totals(rows, "turnover")
    least = sorted(whole.values())[len(whole) // 2]
    all_units, large_units = engine.largest(table, FILINGS, 1, [SECTOR], column("turnover"), everything, [0, least])
    assert all_units.units == len(whole)
    assert large_units.units == sum(total >= least for total in whole.values())
    assert (large_units.largest, large_units.second) == (all_units.largest, all_units.second)


def test_contributions_of_rows_that_the_table_does_not_cover_are_refused(made: tuple[Home, list[Row]]) -> None:
    world, rows = made
    plain = [{name: value for name, value in row.items() if name != "size"} for row in rows]
    world.publish(FILINGS, [dict(row, _unit=row["_unit"] + 500) for row in plain], version=2)
    engine = world.engine()
    table = engine.atoms(FILINGS, [1], [STREET], cap=4)
    with pytest.raises(UnavailableError) as raised:
        engine.contributions(table, FILINGS, 2, [], None)
    assert raised.value.code is ErrorCode.ENGINE_FAILED
