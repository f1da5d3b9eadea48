"""Rounding: nearest, deterministic, in the column's own unit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.disclosure.facts import facts_of
from sandbox.disclosure.rounding import round_measure, round_to_base
from tests.unit.sandbox.disclosure.tables import Rows, aggregate, candidate_of, catalogue, firms, question
from yingbi.plan.model import Function, TableQuestion


@pytest.mark.parametrize(
    ("value", "base", "expected"),
    [(12, 5, 10), (13, 5, 15), (-13, 5, -15), (0, 5, 0), (5, 10, 10), (-5, 10, -10), (4, 10, 0), (7, 1, 7)],
)
def test_nearest_multiple(value: int, base: int, expected: int) -> None:
    assert round_to_base(value, base) == expected


@given(st.integers(-(10**30), 10**30), st.integers(1, 1000))
def test_it_moves_by_at_most_half_a_base(value: int, base: int) -> None:
    rounded = round_to_base(value, base)
    assert rounded % base == 0
    assert 2 * abs(rounded - value) <= base


def _totals(asked: TableQuestion, rows: Rows, base: int) -> dict[str, tuple[int | None, ...]]:
    candidate = candidate_of(asked, rows)
    facts = facts_of(asked, catalogue())
    return {m.kind.value: round_measure(m, v, base, facts).totals for m, v in candidate.measures.items()}


def test_the_base_is_in_the_unit_of_the_column() -> None:
    rows = [dict(row, rate=1234) for row in firms("a", [1] * 11)]  # 12.34 each, 135.74 together
    totals = _totals(question(aggregate(Function.MEAN, "rate")), rows, 5)
    assert totals == {"sum": (13500,), "values": (10,)}


def test_squares_have_twice_the_digits() -> None:
    rows = [dict(row, rate=1234) for row in firms("a", [1] * 11)]
    assert _totals(question(aggregate(Function.VARIANCE, "rate")), rows, 5)["squares"] == (16_750_000,)


def test_a_base_of_one_changes_nothing_but_quantiles() -> None:
    rows = firms("a", range(1000, 1041))
    assert _totals(question(aggregate(Function.SUM, "tax")), rows, 1)["sum"] == (sum(range(1000, 1041)),)
    assert _totals(question(aggregate(Function.QUANTILE, "tax", fraction="0.5")), rows, 1)["quantile"] == (1000,)
