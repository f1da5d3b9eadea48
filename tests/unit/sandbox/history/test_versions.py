"""Two versions of the same rows: what changed between them is a total of its own, and so is what came and went."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.disclosure import DisclosureRules, Zeros
from sandbox.catalog.model import Catalogue, ItemType
from sandbox.disclosure.history import History
from sandbox.disclosure.history_gate import HistoryVerdict
from tests.lib.atoms import (
    ArraySource,
    Data,
    ask,
    column,
    combination_is_in_span,
    in_span,
    make_catalogue,
    make_dataset,
    make_item,
    propose,
    selection,
)
from tests.unit.sandbox.history.firms import make_store
from yingbi.plan.model import Comparison, Condition, Function, TableQuestion

UNITS = 60
RULES = DisclosureRules(min_units=4, zeros=Zeros.ALLOW)
Ints = NDArray[np.int64]

_LISTED = Condition(column=column("grade", "unit/lists"), comparison=Comparison.EQ, values=("a",))


class Node:
    """Firms of two halves with a tax and a band, and a list of all firms with a grade; versions of both."""

    def __init__(self, firms: Mapping[int, Data], lists: Mapping[int, Data] | None = None) -> None:
        self.data = {("unit/firms", number): one for number, one in firms.items()}
        self.data |= {
            ("unit/lists", number): one for number, one in (lists or {1: graded(np.arange(UNITS) % 2)}).items()
        }
        self.catalogue: Catalogue = make_catalogue(
            [
                make_dataset(
                    "unit/firms",
                    [
                        make_item("half", public=True, domain=("a", "b")),
                        make_item("tax", ItemType.INTEGER),
                        make_item("band", ItemType.INTEGER, edges=("100",)),
                    ],
                ),
                make_dataset("unit/lists", [make_item("grade", domain=("a", "b"))]),
            ],
            self.data,
        )
        self.history = History(make_store(), ArraySource(data=self.data, catalogue=self.catalogue))

    def ask(self, question: TableQuestion, rules: DisclosureRules = RULES) -> tuple[list[bool], HistoryVerdict]:
        """Return which cells come out."""
        proposal = propose(self.data, self.catalogue, question, rules)
        verdict = self.history.judge(proposal)
        self.history.record(verdict.token)
        measure, one = next(iter(proposal.measures.items()))
        nothing = np.zeros(len(proposal.keys), dtype=bool)
        return (one.publishable & ~verdict.suppress.get(measure, nothing)).tolist(), verdict


def firms(tax: Ints, units: Ints | None = None, band: Ints | None = None) -> Data:
    number = np.arange(len(tax)) if units is None else units
    columns = {
        "half": np.array(["a", "b"])[number % 2],
        "tax": tax.astype(str),
        "band": (np.full(len(tax), 50) if band is None else band).astype(str),
    }
    made = {name: values.astype(object) for name, values in columns.items()}
    return Data(unit=number, row=np.zeros(len(number), dtype=np.int64), columns=made)


def graded(grade: Ints) -> Data:
    columns = {"grade": np.array(["a", "b"])[grade].astype(object)}
    return Data(unit=np.arange(len(grade)), row=np.zeros(len(grade), dtype=np.int64), columns=columns)


TAX = 1000 + np.arange(UNITS) * 7


def changed(count: int, tax: Ints = TAX) -> Ints:
    """Return taxes of which `count` firms' of half a doubled."""
    return np.where((np.arange(len(tax)) % 2 == 0) & (np.arange(len(tax)) < 2 * count), tax * 2, tax)


# --- values that change ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "expected"), [(0, [True, True]), (1, [False, True]), (3, [False, True]), (4, [True] * 2)]
)
@pytest.mark.parametrize("measure", [Function.SUM, Function.MEAN])
def test_a_difference_that_few_firms_make_is_held_back(count: int, expected: list[bool], measure: Function) -> None:
    node = Node({1: firms(TAX), 2: firms(changed(count))})
    assert node.ask(ask("half", measure=measure))[0] == [True, True]
    assert node.ask(ask("half", measure=measure, version=2))[0] == expected


def test_what_changed_little_counts_as_well() -> None:
    """One firm filed a correction of one."""
    node = Node({1: firms(TAX), 2: firms(TAX + (np.arange(UNITS) == 6))})
    node.ask(ask("half"))
    assert node.ask(ask("half", version=2))[0] == [False, True]


def test_a_change_can_follow_from_three_answers() -> None:
    """Of all, less half b: what changed in half a, though no answer is about half a."""
    node = Node({1: firms(TAX), 2: firms(changed(1))})
    half_b = [Condition(column=column("half"), comparison=Comparison.EQ, values=("b",))]
    answers = [ask(), ask(where=half_b), ask(version=2), ask(where=half_b, version=2)]
    assert [node.ask(one)[0] for one in answers] == [[True], [True], [False], [True]]


def test_a_change_that_comes_back_is_a_change_both_times() -> None:
    node = Node({1: firms(TAX), 2: firms(changed(30)), 3: firms(TAX + (np.arange(UNITS) == 6))})
    assert [node.ask(ask("half", version=number))[0] for number in (1, 2, 3)] == [[True] * 2, [True] * 2, [False, True]]


def test_versions_are_compared_in_whichever_order_they_are_asked() -> None:
    node = Node({1: firms(TAX), 2: firms(changed(1))})
    assert [node.ask(ask("half", version=number))[0] for number in (2, 1)] == [[True] * 2, [False, True]]


# --- who comes and goes ----------------------------------------------------------------------------------------------

_COME = np.append(np.arange(UNITS), 100)
_NEWCOMER = 5000


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        pytest.param(100, [False, True], id="nothing changed"),
        pytest.param(101, [False, True], id="everything changed by a hundredth"),
        pytest.param(200, [True, True], id="control: everything doubled"),
    ],
)
def test_a_newcomer_is_protected_where_the_others_hardly_changed(factor: int, expected: list[bool]) -> None:
    tax = np.append(TAX * factor // 100, _NEWCOMER)
    node = Node({1: firms(TAX), 2: firms(tax, _COME)})
    node.ask(ask("half"))
    assert node.ask(ask("half", version=2))[0] == expected


def test_a_large_change_stands_out_among_small_ones() -> None:
    tax = TAX * 101 // 100
    tax[6] *= 2
    node = Node({1: firms(TAX), 2: firms(tax)})
    node.ask(ask("half"))
    assert node.ask(ask("half", version=2))[0] == [False, True]


@pytest.mark.parametrize(("swapped", "expected"), [(1, False), (3, False), (4, True)])
def test_few_that_come_for_few_that_go_are_held_back(swapped: int, expected: bool) -> None:
    units = np.arange(UNITS)
    units = np.append(units[2 * swapped :], 100 + 2 * np.arange(swapped))
    units = np.append(units, [number for number in range(2 * swapped) if number % 2])
    tax = 1000 + units % 100 * 7
    node = Node({1: firms(TAX), 2: firms(np.asarray(tax), units)})
    node.ask(ask("half"))
    assert node.ask(ask("half", version=2))[0] == [expected, True]


def test_values_may_be_near_by_way_of_a_third_version() -> None:
    """100 and 120 are not near; with 110 they are, and what was two facts is one."""
    newer = firms(np.append(TAX * 110 // 100, _NEWCOMER), _COME)
    node = Node({1: firms(TAX), 2: firms(TAX * 120 // 100), 3: newer})
    answers = [node.ask(ask("half", version=number)) for number in (1, 2, 3)]
    assert [released for released, _ in answers] == [[True, True], [True, True], [False, True]]
    assert {finding.verdict.value for finding in answers[-1][1].findings} == {"pass"}


# --- what two answers add up to --------------------------------------------------------------------------------------


def _split(units: Ints) -> dict[str, NDArray[np.object_]]:
    return {
        "third": np.array(["x", "y", "z"], dtype=object)[units // 2 % 3],
        "five": np.array(list("pqrst"), dtype=object)[units // 2 % 5],
    }


def _two_tables(
    firms: Mapping[int, Data], first: TableQuestion, second: TableQuestion, *, dropped: TableQuestion | None = None
) -> list[bool]:
    """Return what comes out of the second table; both are by half and by something of their own.

    `dropped` is judged in between, and not recorded.
    """
    items = [make_item("half", public=True, domain=("a", "b")), make_item("tax", ItemType.INTEGER)]
    items += [make_item("number", ItemType.INTEGER, public=True)]
    items += [
        make_item("third", public=True, domain=tuple("xyz")),
        make_item("five", public=True, domain=tuple("pqrst")),
    ]
    data = {
        ("unit/firms", number): replace(
            one, columns={**one.columns, **_split(one.unit), "number": one.unit.astype(str).astype(object)}
        )
        for number, one in firms.items()
    }
    catalogue = make_catalogue([make_dataset("unit/firms", items)], data)
    history = History(make_store(), ArraySource(data=data, catalogue=catalogue))
    for question in (first, *([] if dropped is None else [dropped]), second):
        proposal = propose(data, catalogue, question, RULES)
        verdict = history.judge(proposal)
        if question is dropped:
            history.discard(verdict.token)
        else:
            history.record(verdict.token)
    (measure,) = proposal.measures
    mask = proposal.measures[measure].publishable & ~verdict.suppress[measure]
    return [bool(flag) for flag in mask]


@pytest.mark.parametrize(("left_out", "is_held"), [(0, False), (6, True), (8, False)])
def test_two_tables_by_other_columns_do_not_tell_the_few_that_one_leaves_out(left_out: int, *, is_held: bool) -> None:
    """Three firms of each half are left out, or four (the control), each alone in its cells."""
    some = [Condition(column=column("number"), comparison=Comparison.GE, values=(left_out,))]
    found = _two_tables({1: firms(TAX)}, ask("half", "third", where=some), ask("half", "five"))
    assert (not all(found)) is is_held
    assert len(found) == 10


def test_a_judgement_that_was_dropped_leaves_nothing_behind() -> None:
    some, others = (
        [Condition(column=column("number"), comparison=comparison, values=(6,))]
        for comparison in (Comparison.GE, Comparison.LT)
    )
    first, second = ask("half", "third", where=some), ask("half", "five")
    dropped = ask("half", "five", where=others)
    assert _two_tables({1: firms(TAX)}, first, second, dropped=dropped) == _two_tables({1: firms(TAX)}, first, second)


@pytest.mark.parametrize(("count", "is_held"), [(0, False), (3, True), (4, False)])
def test_two_tables_of_two_versions_by_other_columns_do_not_tell_what_few_changed(count: int, *, is_held: bool) -> None:
    versions = {1: firms(TAX), 2: firms(changed(count))}
    found = _two_tables(versions, ask("half", "third"), ask("half", "five", version=2))
    assert (not all(found)) is is_held


# --- classes that change ---------------------------------------------------------------------------------------------


def _moved(count: int) -> Ints:
    """Return grades of which `count` of the first even firms' moved from a to b."""
    grade = (np.arange(UNITS) // 2) % 2
    grade[:count] = 1 - grade[:count]
    return grade


@pytest.mark.parametrize("measure", [Function.COUNT, Function.SUM])
@pytest.mark.parametrize(("count", "expected"), [(0, True), (1, False), (3, False), (4, True)])
def test_who_moves_in_another_version_of_a_joined_list_is_protected(
    count: int, expected: bool, measure: Function
) -> None:
    node = Node({1: firms(TAX)}, {1: graded(_moved(0)), 2: graded(_moved(count))})
    questions = [ask(measure=measure, where=[_LISTED], joins=["unit/lists"], joined=version) for version in (1, 2)]
    assert [node.ask(one)[0] for one in questions] == [[True], [expected]]


@pytest.mark.parametrize(("count", "expected"), [(0, True), (1, False), (4, True)])
def test_who_moves_between_bands_is_protected(count: int, expected: bool) -> None:
    band = np.where(np.arange(UNITS) < 20, 200, 50)
    later = np.where(np.arange(UNITS) < 20 - count, 200, 50)
    node = Node({1: firms(TAX, band=band), 2: firms(TAX, band=later)})
    high = [Condition(column=column("band"), comparison=Comparison.GE, values=(100,))]
    questions = [ask(measure=Function.COUNT, where=high, version=version) for version in (1, 2)]
    assert [node.ask(one)[0] for one in questions] == [[True], [expected]]


def test_that_all_newcomers_are_of_a_class_is_held_back_where_zeros_are() -> None:
    """Five come and none is of the high band; nobody else moved."""
    band = np.where(np.arange(UNITS) < 20, 200, 50)
    units = np.append(np.arange(UNITS), 100 + np.arange(5))
    later = firms(np.full(UNITS + 5, 1000), units, np.append(band, np.full(5, 50)))
    high = [Condition(column=column("band"), comparison=Comparison.GE, values=(100,))]
    questions = [ask(measure=Function.COUNT, where=high, version=version) for version in (1, 2)]
    for zeros, expected in ((Zeros.REFUSE, False), (Zeros.ALLOW, True)):
        node = Node({1: firms(TAX, band=band), 2: later})
        rules = replace(RULES, zeros=zeros)
        assert [node.ask(one, rules)[0] for one in questions] == [[True], [expected]]


# --- a node at work --------------------------------------------------------------------------------------------------


def test_a_second_version_needs_no_person() -> None:
    node = Node({1: firms(TAX), 2: firms(changed(30))})
    node.ask(ask("half"))
    _, verdict = node.ask(ask("half", version=2))
    assert {finding.verdict.value for finding in verdict.findings} == {"pass"}


def test_a_restarted_node_judges_as_the_one_that_went_on() -> None:
    node = Node({1: firms(TAX), 2: firms(TAX * 101 // 100), 3: firms(changed(2, TAX * 101 // 100))})
    store = make_store()
    source = ArraySource(data=node.data, catalogue=node.catalogue)
    node.history = going = History(store, source)
    for version in (1, 2):
        node.ask(ask("half", version=version))
    proposal = propose(node.data, node.catalogue, ask("half", version=3), RULES)
    one, other = going.judge(proposal), History(store, source).judge(proposal)
    (mask,), (again,) = one.suppress.values(), other.suppress.values()
    assert mask.tolist() == again.tolist() == [True, False]


# --- by brute force --------------------------------------------------------------------------------------------------

_SMALL = 16
_Asked = tuple[int, str | None, bool]
_question = st.tuples(st.integers(1, 3), st.sampled_from((None, "a", "b")), st.booleans())


class _Years:
    """Three random versions; a variable is a value that a firm had in some of them."""

    def __init__(self, seed: int, share: float) -> None:
        random = np.random.default_rng(seed)
        self.taxes, self.members = [random.integers(100, 1000, _SMALL)], [random.random(_SMALL) < 0.9]
        for _ in range(2):
            is_new = random.random(_SMALL) < share
            self.taxes.append(np.where(is_new, random.integers(100, 1000, _SMALL), self.taxes[-1]))
            self.members.append(self.members[-1] ^ (random.random(_SMALL) < 0.1))
        ever = sorted({(unit, int(tax[unit])) for tax in self.taxes for unit in range(_SMALL)})
        self.place = {one: number for number, one in enumerate(ever)}
        years = enumerate(zip(self.taxes, self.members, strict=True), start=1)
        self.node = Node({number: firms(tax[inside], np.flatnonzero(inside)) for number, (tax, inside) in years})

    def ask(self, version: int, half: str | None, by_half: bool) -> list[Ints]:
        """Return what comes out, as sums of variables."""
        where = [] if half is None else [Condition(column=column("half"), comparison=Comparison.EQ, values=(half,))]
        question = ask(*(["half"] if by_half else []), where=where, version=version)
        released, _ = self.node.ask(question)
        members = selection(self.node.data, self.node.catalogue, question)[2]
        units = np.flatnonzero(self.members[version - 1])
        return [self._sum(version, units[one]) for one, flag in zip(members, released, strict=True) if flag]

    def change(self, name: str, one: int, other: int) -> tuple[Ints, set[int]]:
        """Return the total of one version less that of another, and whose variables are in it."""
        inside = np.array([name in ("all", "ab"[unit % 2]) for unit in range(_SMALL)])
        totals = [self._sum(number, np.flatnonzero(inside & self.members[number - 1])) for number in (one, other)]
        change = totals[0] - totals[1]
        return change, {unit for (unit, _), at in self.place.items() if change[at]}

    def _sum(self, version: int, units: Ints) -> Ints:
        total = np.zeros(len(self.place), dtype=np.int64)
        total[[self.place[unit, int(self.taxes[version - 1][unit])] for unit in units.tolist()]] = 1
        return total


def _tells(half: str | None, by_half: bool) -> set[str]:
    """Return what the answer to a question tells by itself: a total, and totals of halves."""
    return {half or "all"} | ({"a", "b"} if half is None and by_half else set())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from((0.1, 0.3, 0.8)),
    asked=st.lists(_question, min_size=2, max_size=6),
)
def test_no_answer_tells_a_change_of_few(seed: int, share: float, asked: list[_Asked]) -> None:
    """Nor, whatever was asked, a value that a firm had: also to somebody who knows which values stayed."""
    years = _Years(seed, share)
    learned = np.zeros((0, len(years.place)), dtype=np.int64)
    told: dict[int, set[str]] = {1: set(), 2: set(), 3: set()}
    for version, half, by_half in asked:
        before, cells = learned, years.ask(version, half, by_half)
        learned = np.concatenate((learned, *(one[None] for one in cells)))
        told[version] |= _tells(half, by_half)
        for unit in range(_SMALL):
            assert not combination_is_in_span(learned, [at for (owner, _), at in years.place.items() if owner == unit])
        for other in {1, 2, 3} - {version}:
            for name in told[version] & told[other]:
                change, who = years.change(name, version, other)
                if 0 < len(who) < RULES.min_units and not in_span(before, change[None])[0]:
                    assert not in_span(learned, change[None])[0]
