"""Features of a released model: what values they may have, and a partner's rows brought into that form."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.numbers import read_number, write_number
from yingbi.models.tolerant import Row, objects

__all__ = ["ModelFeature", "read_column", "read_features"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]{1,2})?", re.ASCII)
_CODE: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFeature:
    """One column that a model scores with: numeric (`bounds`, `edges`, `special`) or coded (`codes`)."""

    name: str
    bounds: tuple[float, float] = (0.0, 0.0)
    edges: tuple[float, ...] = ()
    special: tuple[float, ...] = ()
    codes: tuple[str, ...] = ()

    @property
    def is_coded(self) -> bool:
        """Tell whether its values are codes."""
        return bool(self.codes)

    @property
    def middle(self) -> float:
        """Return the middle of the bounds."""
        return (self.bounds[0] + self.bounds[1]) / 2

    @property
    def half(self) -> float:
        """Return half the width of the bounds."""
        return (self.bounds[1] - self.bounds[0]) / 2


def read_features(document: Row) -> tuple[ModelFeature, ...]:
    """Read the features of a model document.

    Raises:
        InvalidRequestError: there are none, or one has another form.
    """
    found = tuple(_read_feature(item) for item in objects(document, "features"))
    if not found or len({feature.name for feature in found}) < len(found):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected different features")
    return found


def read_column(
    feature: ModelFeature, frame: Any, *, is_lenient: bool = False, keeps_special: bool = False
) -> NDArray[Any]:
    """Return a feature's column of a frame: float64, NaN for missing and special; or int64 places of codes, -1 missing.

    `frame`: a pandas frame, or a mapping of names to sequences. With `is_lenient` an unknown code counts as missing;
    with `keeps_special` special values stay numbers.

    Raises:
        InvalidRequestError: the column is not there, is no number, is infinite, or has a code that the model lacks.
    """
    try:
        column = frame[feature.name]
    except (KeyError, ValueError, IndexError) as error:
        raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, f"expected the feature `{feature.name}`") from error
    if feature.is_coded:
        return _codes(feature, column, is_lenient=is_lenient)
    numbers = _numbers(feature, column)
    return numbers if keeps_special else np.where(np.isin(numbers, feature.special), np.nan, numbers)


def _read_feature(item: Row) -> ModelFeature:
    name, kind = item.get("name"), item.get("kind")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected the name of a feature")
    if kind == "coded":
        codes = item.get("codes")
        if not isinstance(codes, list) or not codes or not all(map(_is_code, codes)) or len(set(codes)) < len(codes):
            raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected codes of `{name}`")
        return ModelFeature(name=name, codes=tuple(codes))
    bounds = _read_numbers(item.get("bounds"), name)
    if kind != "numeric" or len(bounds) != 2 or not bounds[0] < bounds[1]:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected codes or bounds of `{name}`")
    edges, special = (_read_numbers(item.get(part, []), name) for part in ("edges", "special"))
    return ModelFeature(name=name, bounds=(bounds[0], bounds[1]), edges=edges, special=special)


def _is_code(value: object) -> bool:
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def _read_numbers(value: object, name: str) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected numbers of `{name}`")
    return tuple(read_number(item, name) for item in value)


def _numbers(feature: ModelFeature, column: Any) -> NDArray[np.float64]:
    try:
        # A missing value of pandas is no float; a frame's own conversion knows it.
        values = column.to_numpy(dtype="float64", na_value=np.nan) if hasattr(column, "to_numpy") else column
        numbers = np.array([np.nan if item is None else item for item in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected numbers in `{feature.name}`") from error
    if bool(np.isinf(numbers).any()):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected finite numbers in `{feature.name}`")
    return numbers


def _codes(feature: ModelFeature, column: Sequence[Any], *, is_lenient: bool) -> NDArray[np.int64]:
    places = _places(feature.codes)
    found = np.empty(len(column), dtype=np.int64)
    for row, value in enumerate(column):
        place = None if _is_missing(value) else places.get(_code_text(value) or "")
        if place is None and not (is_lenient or _is_missing(value)):
            raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected codes that the model has in `{feature.name}`")
        found[row] = -1 if place is None else place
    return found


def _places(codes: Sequence[str]) -> dict[str, int]:
    """Return the place of each code, also by its value where it is a number: frames hold 1 and 1.0 for `1`.

    INVARIANT: as the nodes read their own columns (federated/horizontal/prepare.py).
    """
    places = {code: place for place, code in enumerate(codes)}
    for place, code in enumerate(codes):
        if _DECIMAL.fullmatch(code) is not None:
            places.setdefault(write_number(float(code)), place)
    return places


def _code_text(value: Any) -> str | None:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, Real):
        return write_number(float(value))
    return value if isinstance(value, str) else None


def _is_missing(value: Any) -> bool:
    # pandas' own missing value is neither equal nor unequal to itself: it has no truth.
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value)
