"""Guards of the gate that no other test misses when they are off."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from policies.disclosure import DisclosureRules, Zeros
from sandbox.catalog.model import ItemType
from sandbox.disclosure.history import History
from tests.lib import attack_world
from tests.lib.atoms import ArraySource, Data, ask, column, make_catalogue, make_dataset, make_item, propose
from tests.lib.attack_world_2 import new_second_world, open_second_world
from tests.unit.sandbox.history.firms import make_store
from tests.unit.sandbox.history.test_versions import Node, firms, graded
from yingbi.plan.model import Comparison, Condition, Function

UNITS = 60
ALLOWED = DisclosureRules(min_units=4, zeros=Zeros.ALLOW)
REFUSED = DisclosureRules(min_units=4, zeros=Zeros.REFUSE)
_GIANT = 5_000_000
_LISTED = Condition(column=column("grade", "unit/lists"), comparison=Comparison.EQ, values=("a",))
_HIGH = Condition(column=column("band"), comparison=Comparison.GE, values=(100,))


# --- differences with something left on both sides --------------------------------------------------------------------


def _with_giant(frame: pd.DataFrame) -> None:
    """Let firms founded from 2000 to 2009 own nearly everything, and one founded later nearly all that is left."""
    is_common = frame.founded.between(2000, 2009)
    frame["tax"] = np.where(is_common, 500_000, 1000).astype(np.int64)
    frame.loc[frame.index[frame.founded == 2012][0], "tax"] = _GIANT


def test_two_overlapping_cells_do_not_tell_the_giant_of_their_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody else left of either cell is small, as a partner may well know; then the difference is the giant's."""
    monkeypatch.setattr(attack_world, "_plant", _with_giant)
    with attack_world.open_world(attack_world.new_world(tmp_path), attack_world.Build.PRODUCT) as world:
        assert world.one("SELECT sum(tax) FROM lab.firms WHERE founded < 2010") is not None
        with pytest.raises(attack_world.DeniedError):
            world.one("SELECT sum(tax) FROM lab.firms WHERE founded >= 2000 AND founded < 2020")


def test_nor_do_those_of_two_versions() -> None:
    tax = np.where((np.arange(UNITS) >= 10) & (np.arange(UNITS) < 20), 500_000, 10)
    earlier, later = np.arange(20), np.arange(10, UNITS)
    tax[40] = 1_000_000
    node = Node({1: firms(tax[earlier], earlier), 2: firms(tax[later], later)})
    assert node.ask(ask(), ALLOWED)[0] == [True]
    assert node.ask(ask(version=2), ALLOWED)[0] == [False]


# --- two versions -----------------------------------------------------------------------------------------------------


def _moved(count: int) -> NDArray[np.int64]:
    grade = (np.arange(UNITS) // 2) % 2
    grade[:count] = 1 - grade[:count]
    return grade


@pytest.mark.parametrize(("giant", "expected"), [(_GIANT, [False]), (1000, [True])])
def test_one_firm_may_not_be_all_of_what_moves_between_classes(giant: int, expected: list[bool]) -> None:
    """Twelve firms move between the classes of a joined list, enough to be counted; one of them pays nearly all."""
    tax = np.full(UNITS, 1000)
    tax[20:] = 500_000
    tax[0] = giant
    node = Node({1: firms(tax)}, {1: graded(_moved(0)), 2: graded(_moved(12))})
    first, second = [ask(where=[_LISTED], joins=["unit/lists"], joined=version) for version in (1, 2)]
    assert node.ask(first, ALLOWED)[0] == [True]
    assert node.ask(second, ALLOWED)[0] == expected


@pytest.mark.parametrize(("others", "expected"), [(0, False), (1, False), (4, True)])
def test_who_comes_and_is_not_of_the_class_is_counted_too(others: int, expected: bool) -> None:
    """Nine come, and all but few of them are of the high band: how many come is known, so that the rest is told."""
    band = np.where(np.arange(UNITS) < 20, 200, 50)
    new = np.where(np.arange(9) < others, 50, 200)
    units = np.append(np.arange(UNITS), 100 + np.arange(9))
    later = firms(np.full(UNITS + 9, 1000), units, np.append(band, new))
    node = Node({1: firms(np.full(UNITS, 1000), band=band), 2: later})
    first, second = [ask(measure=Function.COUNT, of=None, where=[_HIGH], version=version) for version in (1, 2)]
    assert node.ask(first, REFUSED)[0] == [True]
    assert node.ask(second, REFUSED)[0] == [expected]


# --- one version ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left_out", "expected"), [(6, False), (8, True)])
def test_a_half_less_its_quarters_is_no_table_of_few(left_out: int, expected: bool) -> None:
    """Quarters without the first six firms: three are left of each half, of two quarters; of everybody six."""
    number = np.arange(UNITS)
    columns = {
        "half": np.array(["a", "b"])[number % 2],
        "quarter": np.array(["p", "q", "r", "s"])[number % 4],
        "number": number.astype(str),
        "tax": np.full(UNITS, "1000"),
    }
    made = {name: values.astype(object) for name, values in columns.items()}
    data = {("unit/firms", 1): Data(unit=number, row=np.zeros(UNITS, dtype=np.int64), columns=made)}
    items = [
        make_item("half", public=True, domain=("a", "b")),
        make_item("quarter", public=True, domain=("p", "q", "r", "s")),
        make_item("number", ItemType.INTEGER, public=True),
        make_item("tax", ItemType.INTEGER),
    ]
    catalogue = make_catalogue([make_dataset("unit/firms", items)], data)
    history = History(make_store(), ArraySource(data=data, catalogue=catalogue))
    most = Condition(column=column("number"), comparison=Comparison.GE, values=(left_out,))
    held = []
    for question in (ask("quarter", where=[most]), ask("half")):
        verdict = history.judge(propose(data, catalogue, question, ALLOWED))
        history.record(verdict.token)
        held.append([int(mask.sum()) for mask in verdict.suppress.values()])
    assert held[0] == [0]
    assert (held[1] == [0]) is expected


def test_a_public_number_is_not_added_up_over_a_list_that_nobody_may_know(tmp_path: Path) -> None:
    with open_second_world(new_second_world(tmp_path), attack_world.Build.PRODUCT) as world:
        assert world.one("SELECT count(*) FROM lab.sanctions") is not None
        with pytest.raises(attack_world.DeniedError, match="would tell who is in it"):
            world.one("SELECT sum(year) FROM lab.sanctions")
