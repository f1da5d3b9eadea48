"""Sensitivity of what was rounded, and the deviation that a cost asks for."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.privacy import plan_noise, sensitivity_in_units
from yingbi.errors import InvalidRequestError


def test_without_rounding_it_is_the_sensitivity_in_units() -> None:
    assert sensitivity_in_units(1.0, scale=1, rounded=0) == 1
    assert sensitivity_in_units(1.5, scale=8, rounded=0) == 12
    assert sensitivity_in_units(1.01, scale=8, rounded=0) == 9


def test_rounding_moves_each_entry_by_up_to_one() -> None:
    assert sensitivity_in_units(1.0, scale=1, rounded=1) == 2
    assert sensitivity_in_units(1.0, scale=1, rounded=100) == 11
    assert sensitivity_in_units(1.0, scale=1, rounded=101) == 12


def test_floating_point_moves_it_by_twice_its_error() -> None:
    assert sensitivity_in_units(1.0, scale=1024, rounded=4, error=2.0**-11) == 1024 + 2 * 2
    assert sensitivity_in_units(1.0, scale=1024, rounded=4, error=2.0**-10) == 1024 + 2 * 3


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 8), st.integers(0, 8))
def test_no_two_neighbours_are_further_apart(data: st.DataObject, size: int, power: int) -> None:
    scale = 2**power
    entries = st.lists(st.floats(-50, 50), min_size=size, max_size=size)
    one, moved = np.array(data.draw(entries)), np.array(data.draw(entries)) / 50
    other = one + moved
    exact = sum((Fraction(float(b)) - Fraction(float(a))) ** 2 for a, b in zip(one, other, strict=True))
    if not exact:
        return
    sensitivity = math.nextafter(math.sqrt(exact), math.inf)
    first, second = (np.rint(values * scale).astype(np.int64) for values in (one, other))
    distance = int(((first - second) ** 2).sum())
    assert distance <= sensitivity_in_units(sensitivity, scale=scale, rounded=size) ** 2


def test_the_bound_is_reached() -> None:
    # Half a unit apart and less, on two sides of where rounding changes: each entry moves by a whole unit.
    one, other = np.full(100, 0.4999), np.full(100, 0.5001)
    distance = np.linalg.norm(np.rint(one) - np.rint(other))
    exact = float(np.linalg.norm(one - other))
    assert distance == 10
    assert sensitivity_in_units(exact, scale=1, rounded=100) == 11


@pytest.mark.parametrize(
    "change",
    [
        {"sensitivity": 0.0},
        {"sensitivity": -1.0},
        {"sensitivity": math.nan},
        {"sensitivity": math.inf},
        {"sensitivity": 2.0**53},
        {"scale": 0},
        {"rounded": -1},
        {"error": -1.0},
        {"error": math.nan},
        {"error": math.inf},
    ],
    ids=str,
)
def test_a_sensitivity_that_is_none_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidRequestError):
        sensitivity_in_units(**{"sensitivity": 1.0, "scale": 2, "rounded": 3, "error": 0.0} | change)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 2**53), st.integers(1, 10**13).map(lambda steps: Decimal(steps) / 10**10))
def test_the_deviation_is_enough_exactly_and_hardly_more(sensitivity: int, rho: Decimal) -> None:
    noise = plan_noise(sensitivity, rho)
    cost = Fraction(sensitivity) ** 2 / (2 * Fraction(noise.deviation) ** 2)
    assert Fraction(rho) * (1 - Fraction(1, 2**38)) < cost < Fraction(rho)


@pytest.mark.parametrize(
    ("sensitivity", "rho"), [(0, "1"), (-1, "1"), (2**53 + 1, "1"), (1, "0"), (1, "-1"), (1, "NaN")]
)
def test_a_plan_without_noise_is_refused(sensitivity: int, rho: str) -> None:
    with pytest.raises(InvalidRequestError):
        plan_noise(sensitivity, Decimal(rho))
