"""Integers of up to 128 bits as two arrays, so that totals cross the pipe exactly."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["pack_texts", "pack_wide", "unpack_texts", "unpack_wide"]

_LOW: Final = 2**64


def pack_wide(name: str, values: Sequence[int | None]) -> dict[str, NDArray[Any]]:
    """Return arrays `name.hi`, `name.lo` and, where a value is absent, `name.none`."""
    known = [0 if value is None else value for value in values]
    arrays: dict[str, NDArray[Any]] = {
        f"{name}.hi": np.array([value // _LOW for value in known], dtype=np.int64),
        f"{name}.lo": np.array([value % _LOW for value in known], dtype=np.uint64),
    }
    if None in values:
        arrays[f"{name}.none"] = np.array([value is None for value in values], dtype=np.bool_)
    return arrays


def unpack_wide(arrays: dict[str, NDArray[Any]], name: str) -> tuple[int | None, ...]:
    """Return what `pack_wide` packed, as Python integers."""
    high, low = arrays[f"{name}.hi"].tolist(), arrays[f"{name}.lo"].tolist()
    values = [one * _LOW + other for one, other in zip(high, low, strict=True)]
    absent = arrays.get(f"{name}.none")
    if absent is None:
        return tuple(values)
    return tuple(None if is_none else value for value, is_none in zip(values, absent.tolist(), strict=True))


def pack_texts(values: Sequence[str | None]) -> tuple[list[str], NDArray[np.int32]]:
    """Return the distinct texts in order of appearance and a code a value, -1 for null."""
    codes: dict[str, int] = {}
    array = np.array([-1 if value is None else codes.setdefault(value, len(codes)) for value in values], dtype=np.int32)
    return list(codes), array


def unpack_texts(labels: Sequence[str], codes: NDArray[np.int32]) -> tuple[str | None, ...]:
    """Return what `pack_texts` packed."""
    return tuple(None if code < 0 else labels[code] for code in codes.tolist())
