"""Zero-concentrated differential privacy (zCDP), and what it is in epsilon and delta.

A mechanism is rho-zCDP if for neighbouring data its outputs' Rényi divergence of every order alpha > 1 is at most
rho alpha (Bun, Steinke 2016, definition 1.1). What several releases cost adds up (lemma 1.7), whatever each of them was
chosen by: so accounting is in rho, and epsilon and delta are only how a budget is granted and shown.

Conversion (Canonne, Kamath, Steinke 2020, proposition 12 at divergence alpha rho; the sharper form of Bun and Steinke's
proposition 1.3): rho-zCDP is (epsilon, delta)-differentially private for **every** alpha > 1 with

    epsilon = alpha rho + ln(1 - 1/alpha) - (ln delta + ln alpha) / (alpha - 1)

Only how tight the answer is depends on the alpha that is chosen, so that one is looked for in floating point. The
formula is then taken at this alpha in decimals of 60 digits, and rounded to the safe side.
"""

import math
from collections.abc import Callable
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["RHO_STEP", "check_rho", "epsilon_of", "largest_rho"]

RHO_STEP: Final = Decimal("1e-10")
"""Rho and epsilon are multiples of it: ten digits behind the point, as many as an entry of the log can hold."""

_MAX_RHO: Final = Decimal(1_000)
_MAX_EPSILON: Final = Decimal(1_000)
_CONTEXT: Final = Context(prec=60, Emin=MIN_EMIN, Emax=MAX_EMAX)
# Far above what is rounded away in 60 digits, far below a step.
_SLACK: Final = Decimal("1e-40")
# Far above what two searches for alpha differ by: so that a budget that is spent to its end is not shown as overspent.
_SEARCH: Final = Decimal("1e-11")
# Where alpha - 1 is looked for: from exp(-14) to exp(28), first in so many points, then between the best one's sides.
_FIRST, _LAST, _POINTS, _CUTS = -14.0, 28.0, 400, 80
_GOLDEN: Final = (math.sqrt(5) - 1) / 2


def epsilon_of(rho: Decimal, delta: Decimal) -> Decimal:
    """Return an epsilon for which rho-zCDP is (epsilon, delta)-differentially private, rounded up to a step.

    Raises:
        InvalidRequestError: rho or delta is out of range.
    """
    check_rho(rho)
    _check_delta(delta)
    if not rho:
        return Decimal(0)
    cost, log_delta = float(rho), _log(delta)

    def bound(alpha: float) -> float:
        return alpha * cost + math.log1p(-1 / alpha) - (log_delta + math.log(alpha)) / (alpha - 1)

    with localcontext(_CONTEXT):
        alpha = _smallest(bound)
        value = alpha * rho + _rest(alpha, delta)
        return max(value + _SLACK, Decimal(0)).quantize(RHO_STEP, ROUND_CEILING)


def largest_rho(epsilon: Decimal, delta: Decimal) -> Decimal:
    """Return a rho that is (epsilon, delta)-differentially private, rounded down to a step: what a budget holds.

    INVARIANT: `epsilon_of(largest_rho(epsilon, delta), delta) <= epsilon`.

    Raises:
        InvalidRequestError: epsilon or delta is out of range.
    """
    if not (epsilon.is_finite() and 0 < epsilon <= _MAX_EPSILON):
        raise _invalid(f"expected epsilon above 0 and at most {_MAX_EPSILON}")
    _check_delta(delta)
    granted, log_delta = float(epsilon), _log(delta)

    def bound(alpha: float) -> float:
        return -(granted - math.log1p(-1 / alpha) + (log_delta + math.log(alpha)) / (alpha - 1)) / alpha

    with localcontext(_CONTEXT):
        alpha = _smallest(bound)
        value = (epsilon - _rest(alpha, delta)) / alpha
        return max(value - _SEARCH, Decimal(0)).quantize(RHO_STEP, ROUND_FLOOR)


def check_rho(rho: Decimal) -> None:
    """Refuse what is no cost.

    Raises:
        InvalidRequestError: it is below zero, above a thousand, or no multiple of a step.
    """
    if not (rho.is_finite() and 0 <= rho <= _MAX_RHO and rho == rho.quantize(RHO_STEP)):
        raise _invalid(f"expected rho from 0 to {_MAX_RHO} with at most ten digits behind the point")


def _rest(alpha: Decimal, delta: Decimal) -> Decimal:
    """Return the epsilon of the formula without its term in rho."""
    return (1 - 1 / alpha).ln() - (delta.ln() + alpha.ln()) / (alpha - 1)


def _smallest(bound: Callable[[float], float]) -> Decimal:
    """Return an alpha at which a bound is, as near as it matters, smallest."""

    def at(place: float) -> float:
        return bound(1 + math.exp(place))

    step = (_LAST - _FIRST) / _POINTS
    best = min((_FIRST + number * step for number in range(_POINTS + 1)), key=at)
    low, high = best - step, best + step
    for _ in range(_CUTS):
        inner, outer = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, outer) if at(inner) <= at(outer) else (inner, high)
    return Decimal(1 + math.exp((low + high) / 2))


def _log(delta: Decimal) -> float:
    # A float of its own would be zero for a tiny delta.
    return float(_CONTEXT.ln(delta))


def _check_delta(delta: Decimal) -> None:
    if not (delta.is_finite() and 0 < delta < 1):
        raise _invalid("expected delta above 0 and below 1")


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.DATA_INVALID, message)
