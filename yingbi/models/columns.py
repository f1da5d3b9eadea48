"""Columns of a partner's frame as arrays: what NumPy, pandas or Arrow hold, or a list.

Numbers are numbers, never texts that look like one; codes are texts, and where a frame has 1, 1.0 or True they are the
public code `1` or `true`. No message tells a value.

INVARIANT: as the units read their own rows. Theirs is federated/horizontal/prepare.py: what a federation computes with
is in its app, under the app's digest, and takes nothing from here.
"""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.numbers import write_number

__all__ = ["MISSING", "UNKNOWN", "code_places", "read_codes", "read_numbers"]

MISSING: Final = -1
UNKNOWN: Final = -2
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]{1,3})?", re.ASCII)
_MAX_DIGITS: Final = 40


def read_numbers(column: Any, name: str) -> NDArray[np.float64]:
    """Return a column as float64, NaN where missing.

    Raises:
        InvalidRequestError: a value is no number or infinite, or the column has not one value a row.
    """
    values = _values(column, name)
    if values.dtype.kind not in "iufbO":
        raise _invalid("numbers", name)
    try:
        if values.dtype.kind == "O":
            values = np.array([np.nan if _is_missing(value) else _number(value) for value in values.tolist()])
        numbers = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        # Without its cause: its text shows a value.
        raise _invalid("numbers", name) from None
    if bool(np.isinf(numbers).any()):
        raise _invalid("finite numbers", name)
    return numbers


def read_codes(column: Any, name: str, places: Mapping[str, int]) -> NDArray[np.int64]:
    """Return a column as places of codes (`code_places`): int64, `MISSING` where missing, `UNKNOWN` for other values.

    Raises:
        InvalidRequestError: a value is infinite, or the column has not one value a row.
    """
    values = _values(column, name).tolist()
    found = [MISSING if _is_missing(value) else places.get(_code(value), UNKNOWN) for value in values]
    return np.array(found, dtype=np.int64)


def code_places(codes: Sequence[str]) -> dict[str, int]:
    """Return the place of each code by its text, and by that of its value where it is a number and no other's text."""
    places = {code: place for place, code in enumerate(codes)}
    for place, code in enumerate(codes):
        if len(code) <= _MAX_DIGITS and _DECIMAL.fullmatch(code) is not None and math.isfinite(float(code)):
            places.setdefault(write_number(float(code)), place)
    return places


def _code(value: Any) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # A double does not tell greater ones from their neighbours.
        return write_number(value) if abs(value) < 2**53 else str(value)
    return write_number(value) if isinstance(value, float) else str(value)


def _values(column: Any, name: str) -> NDArray[Any]:
    """Return a column's values in one dimension; Arrow and pandas hand over arrays, missing values as None or NaN."""
    if isinstance(column, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(column).tolist()
        column = [None if is_hidden else value for value, is_hidden in zip(column.data, hidden, strict=True)]
    try:
        # NumPy would make texts of all values of a list that has one.
        values = np.asarray(column, dtype=object) if isinstance(column, list | tuple) else np.asarray(column)
    except ValueError:
        # Its message would show values.
        values = np.zeros((0, 0))
    if values.ndim != 1:
        raise _invalid("one value a row", name)
    return values


def _is_missing(value: Any) -> bool:
    # NaN, NaT and pandas' NA are the values that are not equal to themselves, or do not say whether they are.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def _number(value: Any) -> float:
    if not isinstance(value, Real | Decimal | np.bool_):
        raise TypeError
    return float(value)


def _invalid(expected: str, name: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.DATA_INVALID, f"expected {expected} in `{name}`")
