"""Profiles: what they tell helps, and no value of a row is in them."""

import json
from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.catalog.detectors import Detector, evidence_of, suggest
from sandbox.catalog.model import ItemType
from sandbox.engine_duckdb.profile import ColumnProfile, envelope, profile, rounded_count
from sandbox.engine_duckdb.sources import ParquetSource
from sandbox.synth.identifiers import make_usccs
from tests.unit.sandbox.data.examples import FILINGS, write_csv
from yingbi.errors import InvalidRequestError

ROWS = 2000
CANARY = "Canary7f3a91"


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ColumnProfile]:
    notes: list[str | None] = [f"nothing {at}" for at in range(ROWS)]
    notes[:200] = [f"call 139{at:08} soon" for at in range(200)]
    notes[200:203] = [f"see 11010519491231002X {CANARY}"] * 3
    numbers: list[int | None] = [7 + at * 3 for at in range(ROWS)]
    numbers[0], numbers[1] = None, 123_456_789
    table = pa.table(
        {
            "uscc": [bytes(code).decode() for code in make_usccs(ROWS, 3)],
            "note": notes,
            "number": pa.array(numbers, pa.int64()),
            "amount": pa.array([Decimal(at - 1000).scaleb(-2) for at in range(ROWS)], pa.decimal128(10, 2)),
            "text_number": [str(at) for at in range(ROWS)],
            "day": pa.array([date(2020, 1, 1) + timedelta(days=at) for at in range(ROWS)]),
            "flag": ["是", "否"] * (ROWS // 2),
            "rare": pa.array([CANARY] * 9 + [None] * (ROWS - 9), pa.string()),
            "empty": pa.nulls(ROWS, pa.string()),
            "list": [[at] for at in range(ROWS)],
        }
    )
    path = tmp_path_factory.mktemp("profile") / "x.parquet"
    pq.write_table(table, path)
    found = profile(ParquetSource(path=path))
    assert found.rows == "2000"
    return {column.name: column for column in found.columns}


def test_types_are_the_narrowest_that_all_values_have(columns: dict[str, ColumnProfile]) -> None:
    assert {name: column.type for name, column in columns.items()} == {
        "uscc": ItemType.TEXT,
        "note": ItemType.TEXT,
        "number": ItemType.INTEGER,
        "amount": ItemType.DECIMAL,
        "text_number": ItemType.INTEGER,
        "day": ItemType.DATE,
        "flag": ItemType.BOOLEAN,
        "rare": ItemType.TEXT,
        "empty": ItemType.TEXT,
        "list": ItemType.TEXT,
    }


def test_counts_are_rounded_and_small_ones_not_told(columns: dict[str, ColumnProfile]) -> None:
    assert (columns["number"].nulls, columns["number"].nulls_percent) == ("<10", 0)
    assert (columns["rare"].nulls, columns["rare"].nulls_percent, columns["rare"].distinct) == ("2000", 100, "<10")
    assert columns["empty"].distinct == "0"
    assert int(columns["uscc"].distinct) in range(1700, 2001)


def test_bounds_are_round_and_do_not_tell_extremes(columns: dict[str, ColumnProfile]) -> None:
    assert columns["number"].bounds == ("50", "10000"), "not the 123 million of one row"
    assert columns["amount"].bounds == ("-10", "10")
    assert columns["text_number"].bounds == ("10", "2000")
    assert columns["day"].bounds is None


def test_identifiers_are_found_in_columns_and_in_texts(columns: dict[str, ColumnProfile]) -> None:
    assert columns["uscc"].matches == {Detector.USCC: Fraction(1)}
    assert columns["note"].matches == {}
    assert columns["note"].embedded == {Detector.MOBILE_PHONE: "200", Detector.ID_CARD: "<10", Detector.USCC: "<10"}
    # An identity number has the form of a USCC too; only its check characters tell them apart.
    suggested = suggest(evidence_of(FILINGS, {name: column.matches for name, column in columns.items()}))
    assert ("uscc", Detector.USCC) in {(found.item, found.detector) for found in suggested}


def test_no_value_is_in_a_profile(columns: dict[str, ColumnProfile]) -> None:
    told = json.dumps([asdict(column) for column in columns.values()], default=str)
    for value in (CANARY, "123456789", "139000", "11010519491231002X", "nothing 7", "2020-01-01"):
        assert value not in told


def test_few_values_have_no_bounds_and_no_shares(tmp_path: Path) -> None:
    rows = [{"n": str(at), "code": "91990304YB0000001Z"} for at in range(999)]
    found = {column.name: column for column in profile(write_csv(tmp_path / "x.csv", rows)).columns}
    assert found["n"].bounds is None
    few = profile(write_csv(tmp_path / "y.csv", rows[:19]))
    assert [column.matches for column in few.columns] == [{}, {}]
    assert profile(write_csv(tmp_path / "z.csv", rows[:9])).rows == "<10"


def test_a_source_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text(CANARY)
    with pytest.raises(InvalidRequestError) as caught:
        profile(ParquetSource(path=tmp_path / "x.parquet"))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0"), (1, "<10"), (9, "<10"), (10, "10"), (99, "99"), (104, "100"), (105, "110"), (999, "1000")],
)
def test_a_count_is_told_with_two_digits(count: int, told: str) -> None:
    assert rounded_count(count) == told


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_an_envelope_holds_what_it_is_around(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    texts = envelope(low, high)
    below, above = map(float, texts)
    assert below <= low or low == pytest.approx(below)
    assert above >= high or high == pytest.approx(above)
    for text, value in zip(texts, (low, high), strict=True):
        digits = text.lstrip("-").replace(".", "").strip("0")
        assert digits in ("", "1", "2", "5"), "a round number"
        assert abs(float(text)) <= max(5 * abs(value), 1e-5)
