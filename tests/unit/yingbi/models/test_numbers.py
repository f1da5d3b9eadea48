"""Decimal strings of model documents."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yingbi.errors import InvalidRequestError
from yingbi.models.numbers import exp, ln, read_number, rounded, write_number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_reads_back_as_itself(value: float) -> None:
    assert read_number(write_number(value), "x") == value


@pytest.mark.parametrize("value", [1.0, 1, None, True, "", "1,0", "nan", "inf", "1e999", " 1", "1_0", "0x1", "١", "-"])
def test_what_is_no_decimal_string_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequestError, match="decimal string in `x`"):
        read_number(value, "x")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_not_written(value: float) -> None:
    with pytest.raises(InvalidRequestError, match="finite"):
        write_number(value)


def test_rounding_goes_to_even_and_zero_has_no_sign() -> None:
    assert [rounded(value, 1) for value in (0.25, 0.75, -0.04, 2.0)] == ["0.2", "0.8", "0.0", "2.0"]
    assert rounded(-0.5, 0) == "0"
    assert write_number(-0.0) == "0.0"
    assert rounded(-1.5, 0) == "-2"


@given(st.floats(min_value=1e-12, max_value=1e12))
def test_logarithms_are_those_of_the_library_to_its_last_bits(value: float) -> None:
    assert ln(value) == pytest.approx(math.log(value), rel=1e-15, abs=1e-15)
    assert exp(ln(value)) == pytest.approx(value, rel=1e-14)
