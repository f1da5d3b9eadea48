"""Strictest wins: a join semilattice, of grades and of openness."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.catalog.grades import (
    GRADE_ORDER,
    OPENNESS_ORDER,
    dataset_grade,
    entering_items,
    is_lower,
    is_offered,
    join_grade,
    strictest_grade,
    strictest_openness,
)
from tests.unit.sandbox.catalog.declarations import FILINGS, with_item
from yingbi.events.fields import Grade, Openness

grades = st.sampled_from(Grade)
openness = st.sampled_from(Openness)


def test_orders_are_those_of_the_standard_and_complete() -> None:
    assert [grade.value for grade in GRADE_ORDER] == [
        "general-1", "general-2", "general-3", "general-4", "important", "core",
    ]  # fmt: skip
    assert [each.value for each in OPENNESS_ORDER] == ["open", "conditional", "not-open"]
    assert (set(GRADE_ORDER), set(OPENNESS_ORDER)) == (set(Grade), set(Openness))


@settings(deadline=None)
@given(grades, grades, grades)
def test_strictest_grade_is_a_join_semilattice(one: Grade, two: Grade, three: Grade) -> None:
    assert strictest_grade(one) == strictest_grade(one, one) == one
    assert strictest_grade(one, two) == strictest_grade(two, one)
    assert strictest_grade(strictest_grade(one, two), three) == strictest_grade(one, strictest_grade(two, three))
    joined = strictest_grade(one, two, three)
    assert not any(is_lower(joined, each) for each in (one, two, three))
    assert joined in (one, two, three)


@settings(deadline=None)
@given(openness, openness, openness)
def test_strictest_openness_is_a_join_semilattice(one: Openness, two: Openness, three: Openness) -> None:
    assert strictest_openness(one, one) == one
    assert strictest_openness(one, two) == strictest_openness(two, one)
    assert strictest_openness(strictest_openness(one, two), three) == strictest_openness(one, two, three)
    assert OPENNESS_ORDER.index(strictest_openness(one, two)) >= OPENNESS_ORDER.index(one)


@settings(deadline=None)
@given(grades, grades)
def test_a_join_is_as_strict_as_its_strictest_column(one: Grade, two: Grade) -> None:
    first, second = with_item(FILINGS, "street", grade=one), with_item(FILINGS, "street", grade=two)
    assert join_grade([first, second]) == strictest_grade(dataset_grade(first), dataset_grade(second))
    assert not is_lower(dataset_grade(first), one)


def test_nothing_is_graded_as_the_strictest() -> None:
    assert dataset_grade(replace(FILINGS, items=())) is join_grade([]) is Grade.CORE


def test_core_and_the_negative_list_never_enter() -> None:
    dataset = with_item(with_item(FILINGS, "street", grade=Grade.CORE), "tax_paid", on_negative_list=True)
    assert [item.name for item in entering_items(dataset)] == ["uscc", "community", "filed_on"]


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (FILINGS, True),
        (replace(FILINGS, openness=Openness.NOT_OPEN), False),
        (with_item(FILINGS, "uscc", grade=Grade.CORE), False),
        (with_item(FILINGS, "street", grade=Grade.CORE), True),
    ],
)
def test_what_is_not_open_or_has_a_core_key_is_never_offered(dataset: object, expected: bool) -> None:
    assert is_offered(dataset) is expected  # type: ignore[arg-type]
