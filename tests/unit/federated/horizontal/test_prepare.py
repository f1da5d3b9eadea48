"""From an engine's columns to a table: all carriers give the same table, and no message tells a value."""

import re
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from federated.horizontal.parameters import RecipeName
from federated.horizontal.prepare import coded_column, numeric_column, prepare, target_column
from federated.horizontal.spec import Feature, Kind
from federated.horizontal.table import Table, check_table
from tests.unit.federated.horizontal.examples import AGE, TRADE, make_spec, make_table
from yingbi.errors import ErrorCode, InvalidRequestError

SPEC = make_spec(RecipeName.LOGISTIC_REGRESSION)
SECRET = bytes(32)
KEYS = [b"a", b"b", b"c", b"d"]
PLAIN = {
    "age": [30.5, None, -1.0, 99.0],
    "debt": [1.0, 2.0, None, -3.0],
    "trade": ["A", "D", None, "B"],
    "bad": [0, 1, 1, 0],
    "name": ["x", "y", "z", "w"],
}
CARRIERS: dict[str, Any] = {
    "lists": lambda values: values,
    "objects": lambda values: np.array(values, dtype=object),
    "pandas": pd.Series,
    "pandas, nullable": lambda values: pd.Series(values).convert_dtypes(),
    "pandas, Arrow": lambda values: pd.Series(pa.array(values).to_pandas()),
    "Arrow": pa.array,
    "Arrow, in pieces": lambda values: pa.chunked_array([values[:1], values[1:]]),
    "Arrow, dictionary": lambda values: pa.array(values).dictionary_encode() if isinstance(values[0], str) else values,
    "categories": lambda values: pd.Series(values).astype("category") if isinstance(values[0], str) else values,
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_all_carriers_give_the_same_table(carrier: str) -> None:
    columns = {name: CARRIERS[carrier](values) for name, values in PLAIN.items()}
    table = prepare(SPEC, columns, keys=KEYS, secret=SECRET)
    assert list(table.columns) == ["age", "debt", "trade"]
    assert np.array_equal(table.columns["age"], [30.5, np.nan, -1.0, 99.0], equal_nan=True)
    assert np.array_equal(table.columns["debt"], [1.0, 2.0, np.nan, -3.0], equal_nan=True)
    assert table.columns["trade"].tolist() == [0, 3, -1, 1]
    assert table.target.tolist() == [0, 1, 1, 0]
    assert table.is_held_out.shape == (4,)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        [True, False],
        [Decimal("1.5"), Decimal("2")],
        np.array([1, 2], dtype=np.uint8),
        np.array([1.5, 2.5], dtype=np.float32),
    ],
)
def test_numbers_of_all_types_are_numbers(values: Any) -> None:
    assert numeric_column(AGE, values).tolist() == [float(value) for value in values]


def test_masked_values_are_missing() -> None:
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    assert np.array_equal(numeric_column(AGE, masked), [np.nan, 2.0], equal_nan=True)


def test_codes_that_are_numbers_match_by_value() -> None:
    grade = Feature(name="grade", kind=Kind.CODED, codes=("-1", "0", "2", "x"))
    for values in ([-1, 0, 2], [-1.0, 0.0, 2.0], ["-1", "0", "2"], np.array([-1, 0, 2], dtype=np.int8)):
        assert coded_column(grade, values).tolist() == [0, 1, 2]
    assert coded_column(grade, ["x", np.nan, pd.NA, pd.NaT, None]).tolist() == [3, -1, -1, -1, -1]
    assert coded_column(grade, []).tolist() == []


@pytest.mark.parametrize(
    ("positive", "values"),
    [
        ("1", [0, 1, 1]),
        ("1", [0.0, 1.0, 1.0]),
        ("1", ["0", "1", "1"]),
        ("true", [False, True, True]),
        ("CHGOFF", ["P I F", "CHGOFF", "CHGOFF"]),
        ("2", pd.Series([1, 2, 2], dtype="Int64")),
    ],
)
def test_the_event_is_a_code_or_a_number(positive: str, values: Any) -> None:
    spec = make_spec(RecipeName.LOGISTIC_REGRESSION, positive=positive)
    assert target_column(spec, values).tolist() == [0, 1, 1]


CANARY = "330102198001011234"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a code that is not public": ({"trade": ["A", CANARY, "B", "C"]}, "public codes only in `trade`"),
    "a code of another case": ({"trade": ["a", "B", "B", "C"]}, "public codes only in `trade`"),
    "a list for a code": ({"trade": [["A"], "B", "B", "C"]}, "one value a row in `trade`"),
    "a list among objects": ({"trade": np.array([["A", "B"], "B", "B", None], dtype=object)}, "public codes only"),
    "two dimensions": ({"trade": np.full((4, 1), "A")}, "one value a row in `trade`"),
    "bytes": ({"trade": [b"A", b"B", b"C", b"D"]}, "public codes only in `trade`"),
    "text for a number": ({"age": ["1", CANARY, "2", "3"]}, "numbers in `age`"),
    "text among numbers": ({"age": np.array([1, CANARY, 2, 3], dtype=object)}, "numbers in `age`"),
    "dates for numbers": ({"age": np.array(["2020-01-01"] * 4, dtype="M8[D]")}, "numbers in `age`"),
    "complex numbers": ({"age": np.array([1j] * 4)}, "numbers in `age`"),
    "a list for a number": ({"age": np.array([[1, 2], 1, 2, None], dtype=object)}, "numbers in `age`"),
    "an infinite number": ({"debt": [1.0, float("inf"), 2.0, 3.0]}, "finite numbers in `debt`"),
    "a number too large": ({"debt": np.array([10**400, 1, 2, 3], dtype=object)}, "numbers in `debt`"),
    "no target": ({"bad": [0, None, 1, 0]}, "a target in every row in `bad`"),
    "a short column": ({"age": [1.0, 2.0, 3.0]}, "one value a row in `age`"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_and_no_value_is_told(name: str) -> None:
    changes, expected = WRONG[name]
    with pytest.raises(InvalidRequestError, match=re.escape(expected)) as caught:
        prepare(SPEC, {**PLAIN, **changes}, keys=KEYS, secret=SECRET)
    assert caught.value.code is ErrorCode.DATA_INVALID
    assert CANARY not in repr((caught.value.message, caught.value.detail, caught.value.hint))
    assert caught.value.__cause__ is None


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidRequestError, match="a column `debt`"):
        prepare(SPEC, {name: PLAIN[name] for name in PLAIN if name != "debt"}, keys=KEYS, secret=SECRET)


def test_an_entity_has_one_row() -> None:
    with pytest.raises(InvalidRequestError, match="one row for each entity"):
        prepare(SPEC, PLAIN, keys=[b"a", b"b", b"c", b"a"], secret=SECRET)


def broken(table: Table, **changes: Any) -> Table:
    columns = {**table.columns, **changes.pop("columns", {})}
    return Table(**{"columns": columns, "target": table.target, "is_held_out": table.is_held_out, **changes})


def test_a_table_that_was_made_otherwise_is_checked() -> None:
    table = make_table(10)
    check_table(SPEC, table)
    check_table(SPEC, make_table(0))
    wrong = [
        broken(table, target=table.target.astype(np.float64)),
        broken(table, target=table.target + 1),
        broken(table, is_held_out=table.is_held_out[:5]),
        broken(table, columns={"age": table.columns["age"].astype(np.float32)}),
        broken(table, columns={"age": np.full(10, np.inf)}),
        broken(table, columns={"trade": np.full(10, 4)}),
        broken(table, columns={"trade": np.full(10, -2)}),
        broken(table, columns={"trade": np.full(10, 1.0)}),
        Table(columns={"age": table.columns["age"]}, target=table.target, is_held_out=table.is_held_out),
    ]
    for each in wrong:
        with pytest.raises(InvalidRequestError):
            check_table(SPEC, each)
    with pytest.raises(InvalidRequestError, match="at most 9 rows"):
        check_table(make_spec(RecipeName.LOGISTIC_REGRESSION, max_rows=9), table)
    assert TRADE.codes == ("A", "B", "C", "D")
