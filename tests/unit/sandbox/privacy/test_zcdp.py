"""Rho, and what it is in epsilon and delta: other programs' numbers, and the safe side of rounding."""

import math
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opendp.combinators import make_zCDP_to_approxDP
from opendp.domains import atom_domain
from opendp.measurements import make_gaussian
from opendp.metrics import absolute_distance
from opendp.mod import enable_features
from scipy.special import log_ndtr

from sandbox.privacy.zcdp import RHO_STEP, check_rho, epsilon_of, largest_rho
from yingbi.errors import ErrorCode, InvalidRequestError

enable_features("contrib")

# dp-accounting 0.6.0, `rdp.rdp_privacy_accountant.compute_epsilon(orders, [rho * order for order in orders], delta)`
# with orders 1 + exp(n / 500) for n from -5000 to 7999: an upper bound by the same proposition, on a grid.
DP_ACCOUNTING = {
    ("0.0001", "1e-5"): 0.045047465341236465,
    ("0.0001", "1e-9"): 0.07436280544103102,
    ("0.001", "1e-6"): 0.1828953915416343,
    ("0.01", "1e-5"): 0.5457255678573892,
    ("0.01", "1e-9"): 0.8101746341626289,
    ("0.1", "1e-6"): 2.141939042028632,
    ("0.5", "1e-5"): 4.728388525633424,
    ("0.5", "1e-6"): 5.221535565908445,
    ("1", "1e-6"): 7.766219014266936,
    ("5", "1e-9"): 24.405987840916552,
    ("50", "1e-6"): 100.68991037371342,
}


@pytest.mark.parametrize(("rho", "delta"), DP_ACCOUNTING)
def test_epsilon_is_that_of_dp_accounting(rho: str, delta: str) -> None:
    grid = DP_ACCOUNTING[rho, delta]
    found = float(epsilon_of(Decimal(rho), Decimal(delta)))
    # On a grid it can only be larger; ours is rounded up to a step of 1e-10.
    assert grid * (1 - 2e-6) < found <= grid + 2e-10


@pytest.mark.parametrize("rho", ["0.0001", "0.01", "0.1", "0.5", "1", "5", "50"])
@pytest.mark.parametrize("delta", ["1e-3", "1e-6", "1e-12"])
def test_epsilon_is_that_of_opendp(rho: str, delta: str) -> None:
    scale = 1 / math.sqrt(2 * float(rho))
    gaussian: Any = make_gaussian(atom_domain(T="i64"), absolute_distance(T="i64"), scale=scale)
    approximate: Any = make_zCDP_to_approxDP(gaussian)
    curve = approximate.map(1)
    assert float(epsilon_of(Decimal(rho), Decimal(delta))) == pytest.approx(curve.epsilon(delta=float(delta)), rel=1e-7)


def exact_log_delta(rho: float, epsilon: float) -> float:
    """Return the logarithm of the smallest delta of the (continuous) Gaussian mechanism (Balle, Wang 2018)."""
    distance = math.sqrt(2 * rho)
    first = float(log_ndtr(distance / 2 - epsilon / distance))
    second = epsilon + float(log_ndtr(-distance / 2 - epsilon / distance))
    return first + math.log1p(-math.exp(second - first))


@pytest.mark.parametrize("rho", ["0.00001", "0.001", "0.1", "1", "10"])
@pytest.mark.parametrize("delta", ["0.1", "1e-6", "1e-15"])
def test_epsilon_is_not_below_what_a_gaussian_really_costs(rho: str, delta: str) -> None:
    epsilon = float(epsilon_of(Decimal(rho), Decimal(delta)))
    assert exact_log_delta(float(rho), epsilon) < math.log(float(delta))
    # And not far above it: a fifth less would not do.
    assert exact_log_delta(float(rho), epsilon * 0.8) > math.log(float(delta)) or delta == "0.1"


def log_delta(rho: Decimal, epsilon: Decimal) -> float:
    """Return the logarithm of proposition 12's delta at the best of many orders, in floating point."""
    cost, granted = float(rho), float(epsilon)
    alphas = [1 + math.exp(number / 100) for number in range(-1_200, 2_600)]
    return min((a - 1) * (a * cost - granted + math.log1p(-1 / a)) - math.log(a) for a in alphas)


def best_epsilon(rho: Decimal, delta: Decimal) -> Decimal:
    """Return the smallest epsilon of proposition 12, to forty digits: everything in decimals, by golden section."""
    with localcontext(Context(prec=60)):

        def at(place: Decimal) -> Decimal:
            order = 1 + place.exp()
            return order * rho + (1 - 1 / order).ln() - (delta.ln() + order.ln()) / (order - 1)

        low, high, golden = Decimal(-10), Decimal(20), (Decimal(5).sqrt() - 1) / 2
        for _ in range(100):
            inner, outer = high - golden * (high - low), low + golden * (high - low)
            low, high = (low, outer) if at(inner) <= at(outer) else (inner, high)
        return at(low)


@pytest.mark.parametrize("rho", ["0.0001", "0.0123", "0.1", "0.77", "5", "50"])
@pytest.mark.parametrize("delta", ["1e-3", "1e-6", "1e-12"])
def test_rounding_is_to_the_safe_side_and_by_no_more_than_a_step(rho: str, delta: str) -> None:
    best = best_epsilon(Decimal(rho), Decimal(delta))
    epsilon = epsilon_of(Decimal(rho), Decimal(delta))
    assert best <= epsilon < best + RHO_STEP * Decimal("1.001")
    for rounded in (epsilon, epsilon.quantize(Decimal("1e-4"), ROUND_FLOOR)):
        held = largest_rho(rounded, Decimal(delta))
        assert best_epsilon(held, Decimal(delta)) <= rounded < best_epsilon(held + 2 * RHO_STEP, Decimal(delta))


EPSILONS = st.decimals(Decimal("0.001"), Decimal(100), places=4)
DELTAS = st.integers(1, 200).map(lambda tenths: Decimal(10) ** (-Decimal(tenths) / 10)).filter(lambda delta: delta < 1)


@settings(max_examples=150, deadline=None)
@given(EPSILONS, DELTAS)
def test_the_largest_rho_is_enough_and_hardly_more_would_be(epsilon: Decimal, delta: Decimal) -> None:
    rho = largest_rho(epsilon, delta)
    assert epsilon_of(rho, delta) <= epsilon
    more = rho + RHO_STEP * 2 + (rho * Decimal("1e-6")).quantize(RHO_STEP)
    assert epsilon_of(more, delta) > epsilon
    # A grid of orders finds at best a delta that is a little too large, never one much below what was granted.
    assert log_delta(rho, epsilon) == pytest.approx(
        float(delta.ln()), abs=max(2e-3, 2e-6 / float(rho)) if rho else None
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**11), st.integers(0, 10**10), DELTAS)
def test_more_rho_is_never_less_epsilon(steps: int, more: int, delta: Decimal) -> None:
    one, two = steps * RHO_STEP, (steps + more) * RHO_STEP
    assert epsilon_of(one, delta) <= epsilon_of(two, delta) + RHO_STEP


def test_nothing_spent_is_nothing() -> None:
    assert epsilon_of(Decimal(0), Decimal("1e-6")) == 0


def test_a_tiny_epsilon_holds_nothing_rather_than_too_much() -> None:
    assert largest_rho(Decimal("1e-9"), Decimal("1e-9")) == 0


def test_a_delta_below_what_a_float_can_be_is_taken() -> None:
    assert 0 < largest_rho(Decimal(1), Decimal("1e-400")) < largest_rho(Decimal(1), Decimal("1e-300"))


WRONG = ["NaN", "Infinity", "-1", "0", "1"]


@pytest.mark.parametrize("delta", WRONG)
def test_a_delta_that_is_none_is_refused(delta: str) -> None:
    for use in (epsilon_of, largest_rho):
        with pytest.raises(InvalidRequestError) as caught:
            use(Decimal(1), Decimal(delta))
        assert caught.value.code is ErrorCode.DATA_INVALID


@pytest.mark.parametrize("epsilon", ["NaN", "Infinity", "-1", "0", "1000.1"])
def test_an_epsilon_that_is_none_is_refused(epsilon: str) -> None:
    with pytest.raises(InvalidRequestError):
        largest_rho(Decimal(epsilon), Decimal("1e-6"))


@pytest.mark.parametrize("rho", ["NaN", "Infinity", "-0.1", "1000.1", "0.00000000001", "1e30"])
def test_a_rho_that_is_none_is_refused(rho: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_rho(Decimal(rho))
