"""Numbers of model documents: decimal strings, and logarithms that are the same on every machine.

All members of a federation release the same document, and compare. Their C libraries may differ in the last bit of a
logarithm; the `decimal` module does not.
"""

import math
import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["exp", "ln", "read_number", "rounded", "write_number"]

_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[+-]?[0-9]{1,3})?")
_CONTEXT: Final = Context(prec=25, rounding=ROUND_HALF_EVEN)


def read_number(value: object, name: str) -> float:
    """Read a decimal string, as `repr` of a float writes it.

    Raises:
        InvalidRequestError: another type, another form, or a number that no double holds.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        number = float(value)
        if math.isfinite(number):
            return number
    raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected a decimal string in `{name}`")


def write_number(value: float) -> str:
    """Write a number as the shortest decimal string that reads as the same double.

    Raises:
        InvalidRequestError: the number is infinite or none.
    """
    if not math.isfinite(value):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected a finite number")
    return repr(float(value) + 0.0)


def rounded(value: float, places: int = 6) -> str:
    """Write a number with a fixed number of decimal places, halves to even; never `-0`."""
    text = f"{Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def ln(value: float) -> float:
    """Return the natural logarithm, rounded from 25 digits."""
    return float(_CONTEXT.ln(Decimal(value)))


def exp(value: float) -> float:
    """Return the exponential, rounded from 25 digits."""
    return float(_CONTEXT.exp(Decimal(value)))
