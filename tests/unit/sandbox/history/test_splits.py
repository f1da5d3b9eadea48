"""Splits of a column: a class meets a condition exactly when its values do; bins are where their values are."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.catalog.model import DataItem, ItemType
from sandbox.disclosure.history.splits import Ranges, Values, condition_cuts, cut_texts, point_of
from tests.lib.atoms import column, make_item
from yingbi.errors import InvalidRequestError
from yingbi.plan.model import Comparison, Condition, Dimension

NUMBER = make_item("number", ItemType.INTEGER)
_ORDERED = (Comparison.EQ, Comparison.NE, Comparison.LT, Comparison.LE, Comparison.GT, Comparison.GE)
_conditions = st.one_of(
    st.tuples(st.sampled_from(_ORDERED), st.tuples(st.integers(0, 9))),
    st.tuples(st.sampled_from((Comparison.IN, Comparison.NOT_IN)), st.lists(st.integers(0, 9), min_size=1).map(tuple)),
    st.sampled_from((Comparison.IS_NULL, Comparison.NOT_NULL)).map(lambda one: (one, ())),
)


def _expected(comparison: Comparison, values: tuple[int, ...], value: int | None) -> bool:
    if comparison is Comparison.IS_NULL or value is None:
        return comparison is Comparison.IS_NULL and value is None
    first = values[0] if values else 0
    return {
        Comparison.NOT_NULL: True,
        Comparison.EQ: value == first,
        Comparison.NE: value != first,
        Comparison.LT: value < first,
        Comparison.LE: value <= first,
        Comparison.GT: value > first,
        Comparison.GE: value >= first,
        Comparison.IN: value in values,
        Comparison.NOT_IN: value not in values,
    }[comparison]


@settings(max_examples=300, deadline=None)
@given(asked=_conditions, others=st.sets(st.integers(0, 9)))
def test_classes_meet_what_their_values_meet(asked: tuple[Comparison, tuple[int, ...]], others: set[int]) -> None:
    comparison, values = asked
    condition = Condition(column=column("number"), comparison=comparison, values=values)
    cuts = tuple(sorted(condition_cuts(NUMBER, condition) | others))
    ranges, by_value = Ranges(cuts=cuts), Values(labels=tuple(str(number) for number in range(10)))
    for value in range(10):
        expected = _expected(comparison, values, value)
        assert ranges.accepted(NUMBER, condition)[np.searchsorted(cuts, value, side="right")] == expected
        assert by_value.accepted(NUMBER, condition)[value] == expected
    for split in (ranges, by_value):
        assert split.accepted(NUMBER, condition)[-1] == _expected(comparison, values, None)
        assert len(split.accepted(NUMBER, condition)) == split.classes


@given(edges=st.sets(st.integers(0, 9), min_size=1), others=st.sets(st.integers(0, 9)))
def test_bins_are_where_their_values_are(edges: set[int], others: set[int]) -> None:
    dimension = Dimension(column=column("number"), edges=tuple(str(one) for one in sorted(edges)))
    cuts = tuple(sorted(edges | others))
    for split in (Ranges(cuts=cuts), Values(labels=tuple(str(number) for number in range(10)))):
        categories, names = split.categories(NUMBER, dimension), split.category_names(dimension)
        for value in range(10):
            own = value if isinstance(split, Values) else int(np.searchsorted(cuts, value, side="right"))
            assert categories[own] == names[str(sum(edge <= value for edge in edges))]
        assert categories[-1] == names[None]


def test_codes_and_booleans_are_compared_as_text() -> None:
    flag = make_item("flag", ItemType.BOOLEAN)
    split = Values(labels=("false", "true"))
    for comparison, value, expected in (
        (Comparison.EQ, True, [False, True, False]),
        (Comparison.NE, True, [True, False, False]),
        (Comparison.EQ, "false", [True, False, False]),
    ):
        condition = Condition(column=column("flag"), comparison=comparison, values=(value,))
        assert split.accepted(flag, condition).tolist() == expected


def test_decimals_and_dates_are_points() -> None:
    amount = DataItem(name="amount", title="amount", type=ItemType.DECIMAL, decimals=2)
    day = make_item("day", ItemType.DATE)
    assert point_of(amount, "12.5") == 1250
    assert cut_texts(amount, (1250, -5, 0)) == ("12.5", "-0.05", "0")
    assert cut_texts(day, (point_of(day, "2026-02-28") + 1,)) == ("2026-03-01",)
    assert point_of(day, "2026-01-02") - point_of(day, "2026-01-01") == timedelta(days=1).days
    assert date.fromordinal(point_of(day, "2026-01-02")) == date(2026, 1, 2)
    assert Decimal(point_of(amount, 3)) == 300


@pytest.mark.parametrize("item", [NUMBER, make_item("day", ItemType.DATE)], ids=["number", "date"])
def test_what_is_no_literal_is_refused(item: DataItem) -> None:
    with pytest.raises(InvalidRequestError):
        point_of(item, "many")
