"""Functions that are not among + - * / and the square root, with the same bits on every machine.

INVARIANT: `advance` and `model` call no exp, log or erfc of a C library, whose last bits differ. Python's `decimal` is
specified to the digit (General Decimal Arithmetic: `ln` and `exp` are correctly rounded), and so is turning its
results into doubles.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from math import isfinite
from typing import Final

__all__ = ["add_up", "ln", "log_odds", "two_sided_p"]

_DIGITS: Final = Context(
    prec=50,
    rounding=ROUND_HALF_EVEN,
    Emin=-999_999,
    Emax=999_999,
    capitals=1,
    clamp=0,
    flags=[],
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
_ROOT_TWO_PI: Final = Decimal("2.5066282746310005024157652848110452530069867406099383")
_SERIES_UP_TO: Final = 6.0
_NEVER: Final = 38.0
"""Beyond so many standard errors the p value is below what a double can say."""


def add_up(values: Iterable[float]) -> float:
    """Return the sum, added from left to right (`sum` compensates in newer Pythons, and so gives other bits)."""
    total = 0.0
    for value in values:
        total += value
    return total


def ln(value: float) -> float:
    """Return the natural logarithm of a positive number."""
    return float(_DIGITS.ln(Decimal(value)))


def log_odds(events: float, others: float) -> float:
    """Return ln(events / others); both positive."""
    return float(_DIGITS.ln(_DIGITS.divide(Decimal(events), Decimal(others))))


def two_sided_p(z: float) -> float:
    """Return the probability that a standard normal number is at least as far from 0 as `z`.

    Below 6: the series of Φ(z) - 1/2 (Abramowitz and Stegun 26.2.11). Beyond: the continued fraction of the tail
    (26.2.14), from its 200th level upward.
    """
    distance = abs(z)
    if not isfinite(z) or distance >= _NEVER:
        return 0.0
    x = Decimal(distance)
    # No operators: they would round as the thread's own context says.
    exponent = _DIGITS.minus(_DIGITS.divide(_DIGITS.multiply(x, x), Decimal(2)))
    density = _DIGITS.divide(_DIGITS.exp(exponent), _ROOT_TWO_PI)
    if distance < _SERIES_UP_TO:
        inner = _DIGITS.multiply(density, _series(x))
        return float(_DIGITS.subtract(Decimal(1), _DIGITS.multiply(Decimal(2), inner)))
    tail = x
    for level in range(200, 0, -1):
        tail = _DIGITS.add(x, _DIGITS.divide(Decimal(level), tail))
    return float(_DIGITS.multiply(Decimal(2), _DIGITS.divide(density, tail)))


def _series(x: Decimal) -> Decimal:
    square = _DIGITS.multiply(x, x)
    term = total = x
    for odd in range(3, 601, 2):
        term = _DIGITS.divide(_DIGITS.multiply(term, square), Decimal(odd))
        total = _DIGITS.add(total, term)
    return total
