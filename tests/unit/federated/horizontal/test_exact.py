"""Logarithms and p values: right, and the same whatever the thread's decimal context is."""

import decimal
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfc

from federated.horizontal.exact import add_up, ln, log_odds, two_sided_p


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_logarithms_are_those_of_the_c_library_to_one_bit(value: float) -> None:
    assert ln(value) == pytest.approx(math.log(value), rel=3e-16, abs=1e-300)


@given(st.integers(1, 2**28), st.integers(1, 2**28))
def test_log_odds(one: int, other: int) -> None:
    assert log_odds(one, other) == -log_odds(other, one)
    assert log_odds(one, other) == pytest.approx(math.log(one) - math.log(other), rel=1e-12, abs=1e-14)


@given(st.floats(-37.0, 37.0))
def test_p_values_are_scipys(z: float) -> None:
    assert two_sided_p(z) == pytest.approx(float(erfc(abs(z) / math.sqrt(2.0))), rel=2e-13)


def test_p_values_meet_where_series_and_fraction_meet() -> None:
    below, above = two_sided_p(math.nextafter(6.0, 0.0)), two_sided_p(6.0)
    assert above == pytest.approx(below, rel=1e-13)
    assert above <= below
    assert two_sided_p(0.0) == 1.0
    assert two_sided_p(40.0) == two_sided_p(math.inf) == 0.0


def test_the_threads_decimal_context_changes_nothing() -> None:
    expected = [ln(0.3), log_odds(3.0, 7.0), two_sided_p(1.3), two_sided_p(9.0)]
    with decimal.localcontext() as context:
        context.prec, context.rounding = 3, decimal.ROUND_UP
        context.traps[decimal.Inexact] = True
        assert [ln(0.3), log_odds(3.0, 7.0), two_sided_p(1.3), two_sided_p(9.0)] == expected


def test_sums_go_from_left_to_right_without_compensation() -> None:
    assert add_up([1e16, 1.0, -1e16]) == 0.0
    assert add_up([]) == 0.0
