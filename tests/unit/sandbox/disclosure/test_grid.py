"""Empty cells are made explicit where their emptiness is not public."""

import json

import pytest

from policies.disclosure import DisclosureRules, Zeros
from sandbox.catalog.model import Visibility
from sandbox.disclosure import grid
from sandbox.disclosure.facts import facts_of
from sandbox.disclosure.grid import complete_grid
from sandbox.disclosure.json_form import table_json
from sandbox.disclosure.release import ReleaseContext, release
from sandbox.disclosure.released import ReleasedTable
from sandbox.disclosure.rules import judge_table
from tests.unit.sandbox.disclosure.tables import (
    RecordingHistory,
    Rows,
    aggregate,
    candidate_of,
    catalogue,
    column,
    condition,
    firms,
    question,
)
from yingbi.plan.model import Condition, Dimension, Function, Source, TableQuestion

COUNT, SUM = aggregate(Function.COUNT), aggregate(Function.SUM, "tax")


def _rows(small: int) -> Rows:
    """Street a has all three sizes, street b has large, medium and `small` small firms."""
    rows = [row for place, size in enumerate("lms") for row in firms("a", [5] * 20, start=100 * place, size=size)]
    rows += [
        row for place, size in enumerate("lm") for row in firms("b", [5] * 20, start=1000 + 100 * place, size=size)
    ]
    return rows + firms("b", [5] * small, start=2000, size="s")


def _release(
    rows: Rows, asked: TableQuestion, rules: DisclosureRules, membership: Visibility = Visibility.PUBLIC
) -> tuple[ReleasedTable, RecordingHistory]:
    context = ReleaseContext(catalogue=catalogue(membership=membership))
    history = RecordingHistory()
    table = release(candidate_of(asked, rows), rules, history, context=context)
    assert isinstance(table, ReleasedTable)
    return table, history


ASKED = question(COUNT, SUM, by=["size", "street"])


def test_an_empty_cell_looks_like_a_small_one() -> None:
    texts = set()
    for small in (0, 1, 9):
        table, _ = _release(_rows(small), ASKED, DisclosureRules())
        value = table_json(table)
        value.pop("suppressed_for")
        texts.add(json.dumps(value))
    assert len(texts) == 1


def test_an_empty_cell_is_a_target_of_history() -> None:
    _, history = _release(_rows(0), ASKED, DisclosureRules())
    proposal = history.proposals[0]
    place = proposal.keys.index(("s", "b"))
    assert all(one.primary[place] and not one.publishable[place] for one in proposal.measures.values())


def test_an_allowed_zero_is_an_answer() -> None:
    table, history = _release(_rows(0), ASKED, DisclosureRules(zeros=Zeros.ALLOW))
    place = history.proposals[0].keys.index(("s", "b"))
    assert all(one.publishable[place] for one in history.proposals[0].measures.values())
    assert next(row.values[0] for row in table.rows if row.keys == ("s", "b")) == "0"


@pytest.mark.parametrize(
    ("by", "where", "membership", "cells"),
    [
        (["street"], (), Visibility.PUBLIC, 2),
        (["street"], (), Visibility.CONFIDENTIAL, 3),
        (["street"], (condition("size", "l"),), Visibility.PUBLIC, 3),
        (["size"], (), Visibility.PUBLIC, 3),
        (["secret", "street"], (), Visibility.PUBLIC, 3),
    ],
)
def test_cells_are_added_where_their_absence_would_tell(
    by: list[str], where: tuple[Condition, ...], membership: Visibility, cells: int
) -> None:
    asked = question(COUNT, by=by, where=where)
    rows = [dict(row, secret=1) for row in _rows(9)]
    completed = complete_grid(candidate_of(asked, rows), facts_of(asked, catalogue(membership=membership)))
    assert completed.cells == cells


def test_margins_are_completed_level_by_level() -> None:
    asked = question(COUNT, by=["size", "street"], margins=True)
    completed = complete_grid(candidate_of(asked, _rows(0)), facts_of(asked, catalogue()))
    assert completed.cells == 3 * 3 + 3 + 3 + 1
    assert len(set(zip(completed.keys, map(tuple, completed.is_total.tolist()), strict=True))) == completed.cells


def test_bins_are_completed_and_named_by_their_edges() -> None:
    asked = TableQuestion(
        source=Source(dataset="tax/filings", version=1),
        group_by=(Dimension(column=column("tax"), edges=("10", "20")),),
        aggregates=(COUNT,),
    )
    rows = [dict(row, tax=str(number)) for number, n in ((0, 40), (2, 30)) for row in firms("a", [1] * n, start=n * 99)]
    table, _ = _release(rows, asked, DisclosureRules())
    assert [(row.keys[0], row.values[0]) for row in table.rows] == [("< 10", "40"), ("[10, 20)", None), (">= 20", "30")]


def test_a_grid_that_is_too_large_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "MAX_GRID", 8)
    candidate = candidate_of(ASKED, _rows(0))
    assert complete_grid(candidate, facts_of(ASKED, catalogue())) is candidate


def test_empty_cells_change_no_verdict_on_the_others() -> None:
    candidate = candidate_of(ASKED, _rows(9))
    facts = facts_of(ASKED, catalogue())
    before = judge_table(candidate, DisclosureRules(), facts)
    after = judge_table(complete_grid(candidate, facts), DisclosureRules(), facts)
    for measure, mask in before.suppress.items():
        assert after.suppress[measure][: candidate.cells].tolist() == mask.tolist()
