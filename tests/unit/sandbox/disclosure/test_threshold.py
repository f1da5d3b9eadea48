"""Threshold: t-1, t, t+1 in the cell, its complement, the complement of a condition and of the filter."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.disclosure import DisclosureRules
from sandbox.candidate import Candidate, Population
from sandbox.disclosure.counting import least_units, units_beyond
from sandbox.disclosure.facts import facts_of
from sandbox.disclosure.threshold import check_threshold, small_cells, small_complements, small_conditions
from sandbox.disclosure.verdict import Judgement, RuleId
from tests.unit.sandbox.disclosure.tables import Rows, aggregate, candidate_of, catalogue, condition, firms, question
from yingbi.plan.model import Aggregate, Condition, Function

RULES = DisclosureRules(min_units=10)
COUNT = aggregate(Function.COUNT)


def _judge(
    rows: Rows,
    *,
    by: Sequence[str] = ("street",),
    where: tuple[Condition, ...] = (),
    aggregates: tuple[Aggregate, ...] = (COUNT,),
    k: int = 1,
) -> tuple[Candidate, Judgement]:
    candidate = candidate_of(question(*aggregates, by=by, where=where), rows)
    return candidate, check_threshold(candidate, RULES, facts_of(candidate.question, catalogue(max_rows_per_unit=k)))


def _rule_ids(judgement: Judgement) -> set[str]:
    return {finding.rule for finding in judgement.findings}


@pytest.mark.parametrize(("units", "fails"), [(0, False), (1, True), (9, True), (10, False), (11, False)])
def test_a_cell_needs_the_threshold(units: int, fails: bool) -> None:
    rows = firms("a", [1] * 40) + firms("b", [1] * units, start=100) + firms("c", [1] * 40, start=200)
    candidate, judgement = _judge(rows)
    mask = next(iter(judgement.suppress.values()))
    keys = [key for key, gone in zip(candidate.keys, mask, strict=True) if gone]
    assert keys == ([("b",)] if fails else [])
    assert (RuleId.THRESHOLD_CELL.value in _rule_ids(judgement)) is fails


@pytest.mark.parametrize(("rest", "fails"), [(0, False), (1, True), (9, True), (10, False)])
def test_the_rest_of_the_selection_needs_it_too(rest: int, fails: bool) -> None:
    rows = firms("a", [1] * 40) + firms("b", [1] * rest, start=100)
    candidate, _ = _judge(rows)
    facts = facts_of(candidate.question, catalogue())
    assert bool(small_complements(candidate, 10, facts)[0]) is fails


@pytest.mark.parametrize(("outside", "fails"), [(0, False), (1, True), (9, True), (10, False)])
def test_what_the_filter_leaves_out_needs_it_too(outside: int, fails: bool) -> None:
    rows = firms("a", [1] * 40, size="l") + firms("b", [1] * 40, start=50, size="l")
    rows += firms("a", [1] * outside, start=100, size="s")
    _, judgement = _judge(rows, where=(condition("size", "l"),))
    mask = next(iter(judgement.suppress.values()))
    assert mask.all() == fails
    assert (RuleId.THRESHOLD_OUTSIDE.value in _rule_ids(judgement)) is fails


@pytest.mark.parametrize(("penalised", "fails"), [(31, True), (30, False), (10, False), (9, True)])
def test_a_condition_of_an_aggregate_is_guarded_on_both_sides(penalised: int, fails: bool) -> None:
    rows = [dict(row, penalised=place < penalised) for place, row in enumerate(firms("a", [1] * 40))]
    asked = aggregate(Function.COUNT, where=(condition("penalised", True),))
    candidate, judgement = _judge(rows, aggregates=(COUNT, asked), by=())
    conditional = next(measure for measure in candidate.measures if measure.where)
    plain = next(measure for measure in candidate.measures if not measure.where)
    assert bool(judgement.suppress[conditional][0]) is fails
    assert not judgement.suppress[plain][0]


def test_rows_without_the_value_do_not_pad_the_rest_of_a_condition() -> None:
    # 40 firms, 36 penalised and 4 not, and 20 of whom the tax is not known: they must not hide the 4.
    rows = [dict(row, penalised=place < 36) for place, row in enumerate(firms("a", [5] * 40))]
    rows += [dict(row, tax=None, penalised=False) for row in firms("a", [0] * 20, start=100)]
    conditional = aggregate(Function.SUM, "tax", where=(condition("penalised", True),))
    candidate, _ = _judge(rows, aggregates=(aggregate(Function.SUM, "tax"), conditional), by=())
    measure = next(one for one in candidate.measures if one.where)
    facts = facts_of(candidate.question, catalogue())
    assert small_conditions(candidate, measure, 10, facts)[0]


def test_many_rows_of_few_units_are_few() -> None:
    rows = [dict(row, unit=row["unit"] % 3) for row in firms("a", [1] * 90)]
    rows += [dict(row, unit=row["unit"] % 30) for row in firms("b", [1] * 90, start=3000)]
    rows += [dict(row, unit=row["unit"] % 30) for row in firms("c", [1] * 90, start=3000)]
    candidate, judgement = _judge(rows, k=30)
    mask = next(iter(judgement.suppress.values()))
    assert [key for key, gone in zip(candidate.keys, mask, strict=True) if gone] == [("a",)]


def test_a_lower_bound_under_the_threshold_fails() -> None:
    candidate, _ = _judge(firms("a", [1] * 40))
    values = next(iter(candidate.measures.values()))
    doubtful = replace(values, units=np.array([9]), units_exact=np.array([False]))
    assert small_cells(doubtful, 10).all()


def test_a_part_known_by_a_lower_bound_may_have_as_many_units_as_rows() -> None:
    rows, units = units_beyond(
        rows=np.array([95]),
        units=np.array([5]),
        units_exact=np.array([False]),
        of_rows=np.array([100]),
        of_units=np.array([60]),
        max_rows_per_unit=20,
    )
    assert rows.tolist() == [5]
    assert units.tolist() == [1]  # 60 - 95 is nothing, and 5 rows are at least one unit of 20


@given(st.integers(1, 500), st.integers(1, 50))
def test_least_units_is_never_more_than_true(rows: int, k: int) -> None:
    # Rows dealt as unevenly as K allows: the fewest units.
    assert least_units(np.array([rows]), k)[0] == len(range(0, rows, k))


@given(st.integers(0, 40), st.integers(0, 40))
def test_one_more_unit_in_every_part_never_fails_what_passed(inside: int, rest: int) -> None:
    def fails(a: int, b: int) -> bool:
        _, judgement = _judge(firms("a", [1] * a) + firms("b", [1] * b, start=1000))
        return bool(next(iter(judgement.suppress.values())).any())

    if inside >= 1 and rest >= 1 and not fails(inside, rest):
        assert not fails(inside + 1, rest)
        assert not fails(inside, rest + 1)


def test_the_outside_is_judged_by_its_lower_bound() -> None:
    candidate, _ = _judge(firms("a", [1] * 40))
    few = replace(candidate, outside=Population(rows=100, units=9, units_exact=False))
    judgement = check_threshold(few, RULES, facts_of(few.question, catalogue()))
    assert all(mask.all() for mask in judgement.suppress.values())
