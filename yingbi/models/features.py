"""Features of a released model: what values they may have, and a partner's rows brought into that form."""

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.columns import MISSING, UNKNOWN, code_places, read_codes, read_numbers
from yingbi.models.numbers import read_number
from yingbi.models.tolerant import Row, objects

__all__ = ["ModelFeature", "read_column", "read_features"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}", re.ASCII)
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
    numbers = read_numbers(column, feature.name)
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


def _codes(feature: ModelFeature, column: Any, *, is_lenient: bool) -> NDArray[np.int64]:
    found = read_codes(column, feature.name, code_places(feature.codes))
    is_unknown = found == UNKNOWN
    if bool(is_unknown.any()) and not is_lenient:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected codes that the model has in `{feature.name}`")
    return np.where(is_unknown, MISSING, found)
