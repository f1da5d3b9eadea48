"""How much noise: the sensitivity of what was rounded to a fixed point, and the deviation that a cost asks for.

Both are public: they follow from the question, the fixed point and the cost alone, and everybody computes the same.
"""

import math
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final

from sandbox.privacy.zcdp import check_rho
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["Noise", "plan_noise", "sensitivity_in_units"]

_MAX_UNITS: Final = 2**53
_CONTEXT: Final = Context(prec=60)
# Keeps the deviation above what is exact, and above what a library makes of it in floating point.
_MARGIN: Final = 1 + Decimal(2) ** -40


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Discrete Gaussian noise for one release: how far one record moves it, what it costs, its standard deviation.

    `sensitivity` and `deviation` are in units of the fixed point; `deviation` >= sensitivity / sqrt(2 rho), exactly.
    """

    sensitivity: int
    rho: Decimal
    deviation: float


def sensitivity_in_units(sensitivity: float, *, scale: int, rounded: int, error: float = 0.0) -> int:
    """Return the largest L2 distance, in units, between the integers of two data sets that differ by one record.

    With f exact, s the scale and neighbours x, x': an entry of the integers is s f + s a + b, where a is the error of
    floating point, |a| <= `error`, and b that of rounding, |b| <= 1/2. In entries that rounding cannot move (counts,
    summed exactly) both are 0; of the others there are r = `rounded`. So by the triangle inequality the distance is at
    most

        s |f(x) - f(x')| + sqrt(r) (2 s error + 1)

    It is computed exactly and rounded up, each term by itself.

    Args:
        sensitivity: largest L2 distance between the exact vectors of two neighbours.
        scale: units in 1.
        rounded: entries that rounding can move.
        error: largest difference between an entry as computed in floating point and as it would be exactly. It is 0
            where sums are exact, as when each record's terms are multiples of a power of two and stay within 53 bits.

    Raises:
        InvalidRequestError: a number is out of range.
    """
    if not (0 < sensitivity < math.inf and 0 <= error < math.inf and scale >= 1 and rounded >= 0):
        raise _invalid("expected a sensitivity above zero, an error, a scale and a number of entries")
    moved = math.ceil(Fraction(sensitivity) * scale)
    squared = math.ceil(rounded * (2 * scale * Fraction(error) + 1) ** 2)
    units = moved + (math.isqrt(squared - 1) + 1 if squared else 0)
    if units > _MAX_UNITS:
        raise _invalid("expected a sensitivity that the fixed point has room for")
    return units


def plan_noise(sensitivity: int, rho: Decimal) -> Noise:
    """Return the noise that makes a release of this sensitivity rho-zCDP (`sandbox.privacy.mechanism`).

    Raises:
        InvalidRequestError: the sensitivity is not positive, or rho is not a cost above zero.
    """
    check_rho(rho)
    if not rho:
        raise _invalid("expected rho above zero; without noise nothing is private")
    if not 1 <= sensitivity <= _MAX_UNITS:
        raise _invalid(f"expected a sensitivity of 1 to {_MAX_UNITS} units")
    exact = _CONTEXT.divide(Decimal(sensitivity), _CONTEXT.sqrt(2 * rho))
    return Noise(sensitivity=sensitivity, rho=rho, deviation=float(_CONTEXT.multiply(exact, _MARGIN)))


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.DATA_INVALID, message)
