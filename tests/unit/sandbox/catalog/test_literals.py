"""One value has one spelling."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.catalog.literals import canonical_literal, decimal_text, order_key
from sandbox.catalog.model import DataItem, ItemType
from tests.unit.sandbox.catalog.declarations import FILED, STREET, TAX

COUNT = DataItem(name="n", title="n", type=ItemType.INTEGER)
FLAG = DataItem(name="f", title="f", type=ItemType.BOOLEAN)
FREE = DataItem(name="t", title="t", type=ItemType.TEXT)


@pytest.mark.parametrize(
    ("item", "text", "expected"),
    [
        (COUNT, "007", "7"),
        (COUNT, "-0", "0"),
        (COUNT, "5.0", "5"),
        (COUNT, "5.1", None),
        (COUNT, "1e3", None),
        (COUNT, "+1", None),
        (COUNT, "٣", None),
        (COUNT, " 1", None),
        (COUNT, "1\n", None),
        (COUNT, "9" * 41, None),
        (COUNT, "", None),
        (TAX, "12.50", "12.5"),
        (TAX, "-0.00", "0"),
        (TAX, "0.125", None),
        (TAX, ".5", None),
        (TAX, "NaN", None),
        (FILED, "2024-02-29", "2024-02-29"),
        (FILED, "2023-02-29", None),
        (FILED, "20240229", None),
        (FILED, "2024-W09-4", None),
        (FLAG, "true", "true"),
        (FLAG, "True", None),
        (STREET, "沙头", "沙头"),
        (STREET, "elsewhere", None),
        (FREE, "anything", None),
    ],
)
def test_spelling(item: DataItem, text: str, expected: str | None) -> None:
    assert canonical_literal(item, text) == expected


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12))
def test_every_spelling_of_a_number_becomes_the_same(value: Decimal) -> None:
    canonical = decimal_text(value)
    assert Decimal(canonical) == value
    assert canonical_literal(TAX, canonical) == canonical
    assert canonical_literal(TAX, format(value, "f")) == canonical


@settings(deadline=None)
@given(st.dates(), st.dates())
def test_dates_sort_as_days(one: object, two: object) -> None:
    assert (one < two) == (order_key(FILED, str(one)) < order_key(FILED, str(two)))  # type: ignore[operator]
