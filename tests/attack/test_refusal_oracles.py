"""What refusals, held results and suppression tell (disclosure.md 6.9): tried on neighbours that differ in one unit.

Before a run nothing may tell neighbours apart, and nothing may touch data. After it some things do; those that are
known are listed in `TELLING`, tried, and explained in docs/disclosure.md ("What suppression tells").
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest

from sandbox.disclosure.json_form import table_json
from sandbox.disclosure.released import ReleasedTable
from sandbox.engine_duckdb.engine import DuckdbEngine
from sandbox.engine_duckdb.snapshots import FolderSnapshots
from sandbox.node.gate import Failed, HeldBack, Refused, Released
from sandbox.node.judging import Asking
from sandbox.node.questions import QuestionBook
from tests.lib.attack_world import Build, World
from tests.lib.attack_world_2 import new_second_world, open_second_world
from tests.lib.in_process import InProcessCage
from tests.lib.nodes import PARTNER, PURPOSE

Change = Callable[[pd.DataFrame], pd.DataFrame]


def with_cells(number: int | list[int], **values: Any) -> Change:
    """Return a change of some firms."""

    def change(firms: pd.DataFrame) -> pd.DataFrame:
        changed = firms.copy()
        for name, new in values.items():
            changed.loc[number, name] = new
        return changed

    return change


def late_in_small_cell(late: int) -> Change:
    """Return a change after which `late` firms of p0 and B are late, the first ones."""

    def change(firms: pd.DataFrame) -> pd.DataFrame:
        changed = firms.copy()
        inside = changed.index[(changed.place == "p0") & (changed.industry == "B")]
        changed.loc[inside, "late"] = [at < late for at in range(len(inside))]
        return changed

    return change


SIZE = 12
"""Firms of p0 and B."""

LATENESS = tuple(late_in_small_cell(late) for late in (0, 2, SIZE - 2, SIZE))
"""Worlds in which none, few, all but few, or all of them are late."""


def told(world: World, sql: str) -> object:
    """Return everything that a partner is told of a question, without names that chance makes."""
    answer = world.gate.answer(Asking(partner=PARTNER, purpose=PURPOSE, sql=sql))
    match answer:
        case Refused(explanation=found):
            return "refused", str(found.problem), [reason.message for reason in found.reasons]
        case Failed(problem=problem):
            return "failed", problem.code, str(problem)
        case HeldBack(output=output):
            return "held", dict(output.notice)
        case Released(result=result):
            assert isinstance(result, ReleasedTable)
            return "released", table_json(result)


def pattern(world: World, sql: str) -> object:
    """Return what is told besides numbers: which values came out, and why others did not."""
    found = told(world, sql)
    match found:
        case ("released", dict(table)):
            rows = [[one if isinstance(one, dict) else "number" for one in row] for row in table["rows"]]
            return "released", rows, table["suppressed_for"]
        case _:
            return found


class Worlds:
    """Worlds by the change that makes them of the first one, each made once; opened as fresh copies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[Change, Path] = {}
        self._copies = 0

    @contextmanager
    def open(self, change: Change) -> Iterator[World]:
        if change not in self._made:
            target = self._folder / f"made-{len(self._made)}"
            target.mkdir()
            self._made[change] = new_second_world(target, change)
        self._copies += 1
        copy = shutil.copytree(self._made[change], self._folder / f"copy-{self._copies}")
        with open_second_world(copy, Build.PRODUCT) as world:
            yield world


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    return Worlds(tmp_path_factory.mktemp("neighbours"))


# --- before the run ---------------------------------------------------------------------------------------------------

SAME = with_cells(0, tax=77_777)
NEIGHBOURS = {
    "another tax": with_cells(0, tax=1),
    "not late": with_cells(0, late=False, fine=None),
    "another list": with_cells(0, sanctioned=True),
    "a giant": with_cells(0, tax=99_999_999),
}

REFUSED = (
    "",
    "select",
    "select * from lab.register",
    "select sum(tax) from lab.registers",
    "select sum(taxes) from lab.register",
    "select sum(tax) from lab.register where uscc = 'R00000'",
    "select sum(tax) from lab.register where tax >= 77777",
    "select sum(tax) from lab.register where tax = 77777",
    "select sum(tax) from lab.register where place = 'p9'",
    "select sum(place) from lab.register",
    "select tax, count(*) from lab.register group by tax",
    "select quantile_cont(tax, 0.51) from lab.register",
    "select sum(capital) from lab.register where late",
    "select late, avg(capital) from lab.register group by late",
    "select count(*) from lab.register left join lab.sanctions s using (uscc) where s.year is not null",
    "select s.year, count(*) from lab.register left join lab.sanctions s using (uscc) group by 1",
    "select sum(s.amount) from lab.register join lab.sanctions s using (uscc)",
    "select count(*) from lab.register for version as of 9",
    "select sum(tax) / 0 from lab.register",
    "select sum(tax) from lab.register having sum(tax) > 1e9999",
)


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_refusals_before_a_run_do_not_tell_neighbours_apart(neighbour: str, worlds: Worlds) -> None:
    answers: list[list[Any]] = []
    for change in (SAME, NEIGHBOURS[neighbour]):
        with worlds.open(change) as world:
            answers.append([told(world, sql) for sql in REFUSED])
            rows = QuestionBook(world.home.database, world.home.clock).list_questions()
            answers[-1] += [(row.state, row.code, row.operations) for row in rows]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 2 * len(REFUSED)
    assert {answer[0] for answer in answers[0]} == {"refused"}


def test_a_refusal_does_not_touch_data(worlds: Worlds) -> None:
    """So that its time cannot depend on data either: no engine, no cage, no file of a snapshot."""
    touched = AssertionError("a refusal looked at data")
    with worlds.open(SAME) as world:
        parts = [(DuckdbEngine, "run"), (InProcessCage, "start"), (FolderSnapshots, "folder")]
        with ExitStack() as stack:
            for part, name in parts:
                stack.enter_context(patch.object(part, name, side_effect=touched))
            assert all(told(world, sql)[0] == "refused" for sql in REFUSED)  # type: ignore[index]
            permitted = Asking(partner=PARTNER, purpose=PURPOSE, sql="select sum(tax) from lab.register")
            assert world.gate.explain(permitted).admitted is not None
            with pytest.raises(AssertionError):
                told(world, "select sum(tax) from lab.register")


def test_what_explain_says_does_not_tell_values_apart(worlds: Worlds) -> None:
    asked = ("select place, sum(tax) from lab.register group by place", "select count(*) from lab.register where late")
    found = []
    for change in (SAME, NEIGHBOURS["another tax"], NEIGHBOURS["not late"]):
        with worlds.open(change) as world:
            every = [world.gate.explain(Asking(partner=PARTNER, purpose=PURPOSE, sql=sql)) for sql in asked]
            found.append([(one.cost, one.admitted and one.admitted.digest, one.output_duties) for one in every])
    assert found[0] == found[1] == found[2]


# --- after the run: what must not tell --------------------------------------------------------------------------------

LATE = "select count(*) filter (where late) from lab.register where place = 'p0' and industry = 'B'"
LATE_BY_WHERE = "select count(*) from lab.register where late and place = 'p0' and industry = 'B'"
LATE_TABLE = "select place, industry, count(*) filter (where late) from lab.register group by place, industry"


@pytest.mark.parametrize("sql", [LATE, LATE_BY_WHERE])
def test_a_notice_does_not_say_whether_all_or_none_or_few_meet_a_condition(sql: str, worlds: Worlds) -> None:
    found = []
    for change in LATENESS:
        with worlds.open(change) as world:
            found.append(told(world, sql))
    assert found[0] == found[1] == found[2] == found[3]
    assert found[0][0] == "held"  # type: ignore[index]


def test_a_table_does_not_say_why_one_value_is_suppressed(worlds: Worlds) -> None:
    found = []
    for change in LATENESS:
        with worlds.open(change) as world:
            found.append(pattern(world, LATE_TABLE))
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.parametrize("industry", ["A", "B", "C"])
def test_a_review_does_not_say_that_somebody_has_a_loss(industry: str, worlds: Worlds) -> None:
    """A column that may be negative is for a person by declaration, whoever has a loss."""
    sql = f"select sum(profit) from lab.register where place = 'p3' and industry = '{industry}'"
    found = []
    for change in (SAME, with_cells(3, profit=4_321)):
        with worlds.open(change) as world:
            found.append(told(world, sql))
    assert found[0] == found[1]
    assert found[0][0] == "held"  # type: ignore[index]


# --- after the run: what is known to tell -----------------------------------------------------------------------------

TELLING: dict[str, tuple[str, Change, Change]] = {
    "somebody is large": (
        "select place, sum(tax) from lab.register group by place",
        SAME,
        with_cells(1, tax=9_000),
    ),
    "few, or nearly all, or all, or none": (LATE, LATENESS[1], late_in_small_cell(6)),
    "all are zero": (
        "select place, sum(fine) from lab.register where fine is not null group by place",
        SAME,
        lambda firms: firms.assign(fine=firms.fine.where((firms.place != "p4") | firms.fine.isna(), 0)),
    ),
    "a quantile has nobody on one side": (
        "select place, quantile_cont(tax, 0.5) from lab.register group by place",
        SAME,
        lambda firms: firms.assign(tax=firms.tax.where(firms.place != "p5", 8_000)),
    ),
    "somebody is on a list": (
        "select count(*) from lab.sanctions join lab.register r using (uscc) where r.place = 'p0'",
        SAME,
        NEIGHBOURS["another list"],
    ),
}
"""Name, question, and two worlds whose patterns (not only numbers) differ, or may after a second question."""


@pytest.mark.parametrize("name", TELLING)
def test_what_is_known_to_tell_does(name: str, worlds: Worlds) -> None:
    """The list in the documentation is true: if one of these tells nothing any more, take it off."""
    sql, one, other = TELLING[name]
    found = []
    for change in (one, other):
        with worlds.open(change) as world:
            first = pattern(world, sql)
            second = pattern(world, sql + " and r.industry != 'F'") if name == "somebody is on a list" else None
            found.append((first, second))
    assert found[0] != found[1]
