"""Columns of all sorts of frames: what is a number, what is a code, and that training and scoring read alike."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.horizontal.prepare import coded_column
from federated.horizontal.spec import Feature, Kind
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.columns import MISSING, UNKNOWN, code_places, read_codes, read_numbers
from yingbi.models.features import ModelFeature, read_column


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ([1, 2], [1.0, 2.0]),
        ([True, False], [1.0, 0.0]),
        ([Decimal("1.5"), Decimal("2")], [1.5, 2.0]),
        ([np.int8(1), np.float32(2.5)], [1.0, 2.5]),
        ([np.True_, 1.0], [1.0, 1.0]),
        (np.array([1, 2], dtype=np.uint8), [1.0, 2.0]),
        (np.array([1.5, 2.5], dtype=np.float32), [1.5, 2.5]),
        (pd.Series([1, 2], dtype="Int64"), [1.0, 2.0]),
        (pa.chunked_array([[1], [2]]), [1.0, 2.0]),
        ([], []),
    ],
)
def test_numbers_of_all_types_are_numbers(values: Any, numbers: list[float]) -> None:
    assert read_numbers(values, "x").tolist() == numbers


@pytest.mark.parametrize(
    "values",
    [
        np.ma.array([7.0, 2.0], mask=[True, False]),
        [None, 2],
        [math.nan, 2],
        [pd.NA, 2],
        [pd.NaT, 2],
        pd.Series([None, 2], dtype="Int64"),
        pd.Series([None, 2.0]),
        pa.array([None, 2]),
    ],
)
def test_missing_values_of_all_sorts_are_missing(values: Any) -> None:
    assert np.array_equal(read_numbers(values, "x"), [np.nan, 2.0], equal_nan=True)
    assert read_codes(values, "x", code_places(["1", "2"])).tolist() == [MISSING, 1]


@pytest.mark.parametrize(
    "values",
    [
        ["30"],
        [1.0, "30"],
        [b"30"],
        [bytearray(b"30")],
        [memoryview(b"30")],
        [1j],
        [[1]],
        [object()],
        np.array(["30"]),
        np.array([b"30"]),
        np.array(["30"], dtype=object),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.array([1], dtype="m8[s]"),
        pd.Series(["30"], dtype="string"),
        pd.Series(["30"], dtype="category"),
        pa.array(["30"]),
        [10**400],
        [math.inf],
        [Decimal("Infinity")],
        [Decimal("sNaN")],
        np.ones((2, 2)),
        5.0,
    ],
)
def test_what_is_no_number_is_refused_and_not_shown(values: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"^expected [a-z ]+ in `x`$") as caught:
        read_numbers(values, "x")
    assert caught.value.code is ErrorCode.DATA_INVALID
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("values", [["x", math.nan], ["x", None], ("x", pd.NA)])
def test_a_list_of_texts_keeps_what_is_missing_and_what_is_true(values: Any) -> None:
    """NumPy by itself would make the text `nan` of it."""
    places = code_places(["x", "nan", "true"])
    assert read_codes(values, "x", places).tolist() == [0, MISSING]
    assert read_codes(["x", True], "x", places).tolist() == [0, 2]


def test_equal_values_of_other_types_are_other_codes() -> None:
    places = code_places(["1", "true"])
    for values in ([1, True, 1.0], [True, 1, 1.0], [np.True_, np.int64(1), np.float64(1)]):
        assert read_codes(values, "x", places).tolist() == [0 if type(v) not in (bool, np.bool_) else 1 for v in values]


def test_great_numbers_are_codes_by_all_their_digits() -> None:
    places = code_places(["9007199254740993"])
    found = read_codes([9007199254740993, 9007199254740995, "9007199254740993"], "x", places)
    assert found.tolist() == [0, UNKNOWN, 0]


CODES = st.one_of(
    st.sampled_from(["0", "1", "01", "1.0", "1.50", "-1", "1e3", "1e300", "1e999", "true", "nan", "A", "餐饮"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=5),
)
VALUES = st.one_of(
    CODES, st.integers(-3, 3), st.floats(allow_infinity=False), st.booleans(), st.none(), st.integers(2**53, 2**54)
)


@given(st.lists(CODES, min_size=1, unique=True), st.lists(VALUES), st.booleans())
def test_a_frame_is_read_as_the_nodes_read_their_own(codes: list[str], values: list[Any], is_series: bool) -> None:
    rows = pd.Series(values, dtype=object)
    feature, frame = ModelFeature(name="x", codes=tuple(codes)), {"x": rows if is_series else values}
    try:
        expected = coded_column(Feature(name="x", kind=Kind.CODED, codes=tuple(codes)), rows).tolist()
    except InvalidRequestError:
        with pytest.raises(InvalidRequestError):
            read_column(feature, frame)
    else:
        assert read_column(feature, frame).tolist() == expected
