"""Arrow columns made from buffers say what a list of Python values would."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sandbox.catalog.model import DataItem, ItemType
from sandbox.synth.catalogue import catalogue
from sandbox.synth.columns import Values, arrow_column, fixed_point, in_bounds, text_array, texts

DOMAIN = ("街", "b", "")


def item(kind: ItemType, decimals: int = 0) -> DataItem:
    return DataItem(name="x", title="x", type=kind, decimals=decimals, domain=DOMAIN)


def known(mask: list[bool]) -> Any:
    return np.array(mask, dtype=bool)


@given(st.lists(st.tuples(st.integers(-(10**18) + 1, 10**18 - 1), st.booleans())), st.integers(0, 6))
def test_decimals(cells: list[tuple[int, bool]], decimals: int) -> None:
    values = Values(np.array([number for number, _ in cells], dtype=np.int64), known([there for _, there in cells]))
    expected = [Decimal(number).scaleb(-decimals) if there else None for number, there in cells]
    array = arrow_column(item(ItemType.DECIMAL, decimals), values)
    array.validate(full=True)
    assert array.to_pylist() == expected


@given(st.lists(st.tuples(st.integers(0, len(DOMAIN) - 1), st.booleans())))
def test_codes_and_integers_and_dates(cells: list[tuple[int, bool]]) -> None:
    numbers, mask = np.array([number for number, _ in cells], dtype=np.int64), known([there for _, there in cells])
    ways: dict[ItemType, Callable[[int], object]] = {
        ItemType.CODE: lambda number: DOMAIN[number],
        ItemType.INTEGER: lambda number: number,
        ItemType.DATE: lambda number: date(1970, 1, 1) + timedelta(days=number),
    }
    for kind, read in ways.items():
        array = arrow_column(item(kind), Values(numbers, mask))
        array.validate(full=True)
        assert array.to_pylist() == [read(number) if there else None for number, there in cells]
        assert arrow_column(item(kind), Values(numbers)).null_count == 0


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_flags(cells: list[tuple[bool, bool]]) -> None:
    values = Values(known([flag for flag, _ in cells]), known([there for _, there in cells]))
    expected = [flag if there else None for flag, there in cells]
    assert arrow_column(item(ItemType.BOOLEAN), values).to_pylist() == expected


@given(st.lists(st.tuples(st.text("ab9", min_size=3, max_size=3), st.booleans()), min_size=1))
def test_texts(cells: list[tuple[str, bool]]) -> None:
    matrix = np.array([list(text.encode()) for text, _ in cells], dtype=np.uint8)
    array = arrow_column(item(ItemType.TEXT), Values(matrix, known([there for _, there in cells])))
    array.validate(full=True)
    assert array.to_pylist() == [text if there else None for text, there in cells]
    assert arrow_column(item(ItemType.TEXT), Values(matrix)).to_pylist() == [text for text, _ in cells]


@given(st.lists(st.text()))
def test_text_array(values: list[str]) -> None:
    encodable = [value for value in values if value.isprintable()]
    assert text_array(encodable).to_pylist() == encodable


def test_texts_put_constants_beside_columns() -> None:
    matrix = np.array([list(b"12"), list(b"34")], dtype=np.uint8)
    assert [bytes(row) for row in texts([b"a-", matrix, b"!"])] == [b"a-12!", b"a-34!"]


def test_fixed_point_rounds_and_bounds_hold() -> None:
    assert fixed_point(np.array([1.005, -2.345, 0.0]), 1).tolist() == [10, -23, 0]
    filings = next(dataset for dataset in catalogue() if dataset.name == "tax/annual_filings")
    moved = in_bounds(filings, "adjustment", np.array([-(10**12), 5, 10**12]))
    assert moved.tolist() == [-(10**10), 5, 10**10]
    assert in_bounds(filings, "uscc", np.array([10**12])).tolist() == [10**12]
