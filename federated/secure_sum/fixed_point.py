"""Real numbers as integers modulo 2^64, so that masks cancel to the last bit.

The **scale** is the largest power of two, 2^64 at most, under which the sum of all parties' entries stays within 2^53:
with P parties and the largest bound L of the layout, P (L scale + 1) <= 2^53. So a sum without noise never wraps, is a
float64 without rounding, and is the same on every machine; and garbage, which is uniform, passes for a sum with
probability at most 2^-10 an entry. One scale serves all parts, because the sensitivity of the whole vector is one
number.

**Error.** An entry is rounded half to even to a multiple of 1/scale: by 1 / (2 scale) at most, and a sum of P entries
by P / (2 scale), which is under P^2 L 2^-52 unless the scale is at its cap. Whole numbers, counts among them, are
exact: the scale is at least 1.

Noise is added to the integers after `encode`, by each party. It may leave the bounds; `decode` is told how much of it
there is, and takes sums up to 2^62.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from federated.content import Arrays
from federated.secure_sum.layout import Layout, Part
from federated.secure_sum.vectors import MIN_PARTIES, Vector, check_vector
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["FixedPoint", "decode", "encode", "fixed_point"]

_MAX_SUM: Final = 2**53
_MAX_NOISED_SUM: Final = 2**62
_MAX_SCALE: Final = 2**64
# Noise of a party beyond it has probability under 2 exp(-128) an entry, as a discrete Gaussian is subgaussian
# (Canonne, Kamath, Steinke 2020).
_DEVIATIONS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoint:
    """How a layout's entries become integers.

    `scale`: units in 1, a power of two. `size`: entries. `rounded`: entries that rounding can move, all but counts.
    """

    scale: int
    size: int
    rounded: int


def fixed_point(layout: Layout, *, parties: int) -> FixedPoint:
    """Return the fixed point of a layout for sums of at most `parties` entries.

    Raises:
        InvalidRequestError: fewer than three parties, a layout that is none, or bounds too large for the scale.
    """
    _check(layout, parties)
    largest = max(Fraction(part.bound) for part in layout.parts)
    ratio = (Fraction(_MAX_SUM, parties) - 1) / largest
    if ratio < 1:
        raise _invalid("expected bounds of which all parties' sum stays within 2^53")
    scale = min(1 << int(ratio).bit_length() - 1, _MAX_SCALE)
    sizes = [(math.prod(part.shape), part.is_count) for part in layout.parts]
    rounded = sum(size for size, is_count in sizes if not is_count)
    return FixedPoint(scale=scale, size=sum(size for size, _ in sizes), rounded=rounded)


def encode(arrays: Arrays, layout: Layout, *, parties: int) -> Vector:
    """Return one party's arrays as a vector; what is beyond its bound is refused, never cut or wrapped.

    Raises:
        InvalidRequestError: as for `fixed_point`; other names, shapes or types than the layout's, an entry that is not
            finite or beyond its bound, a count that is not whole or is negative.
    """
    form = fixed_point(layout, parties=parties)
    if arrays.keys() != {part.name for part in layout.parts}:
        raise _invalid("expected exactly the arrays of the layout")
    vector = np.empty(form.size, np.int64)
    for part, place in _places(layout):
        vector[place] = _to_units(arrays[part.name], part, form.scale)
    return vector.view(np.uint64)


def decode(total: Vector, layout: Layout, *, parties: int, noise: float = 0.0) -> dict[str, NDArray[np.float64]]:
    """Return the arrays of a sum. `parties` is the number that `encode` was given.

    Args:
        total: the sum of all parties' vectors.
        layout: what was encoded.
        parties: how many encoded, at most.
        noise: standard deviation of what each party added to every entry, in units of 1.

    Raises:
        InvalidRequestError: as for `fixed_point`; another length, or an entry that no sum can have: masks that did not
            cancel, or an overflow.
    """
    form = fixed_point(layout, parties=parties)
    check_vector(total)
    if total.size != form.size:
        raise _invalid(f"expected a vector of {form.size} entries, got {total.size}")
    if not (math.isfinite(noise) and noise >= 0):
        raise _invalid("expected the standard deviation of the noise")
    values = total.view(np.int64)
    return {
        part.name: _from_units(values[place], part, form.scale, _most(part, form.scale, parties, noise))
        for part, place in _places(layout)
    }


def _check(layout: Layout, parties: int) -> None:
    if parties < MIN_PARTIES:
        raise _invalid(f"expected at least {MIN_PARTIES} parties, got {parties}")
    if not layout.parts or len({part.name for part in layout.parts}) < len(layout.parts):
        raise _invalid("expected a layout of parts with different names")
    for part in layout.parts:
        if not part.shape or min(part.shape) < 1:
            raise _invalid(f"expected a shape of at least one dimension for `{part.name}`, none of them empty")
        if not (math.isfinite(part.bound) and part.bound > 0):
            raise _invalid(f"expected a bound for `{part.name}` that is finite and above zero")


def _places(layout: Layout) -> Iterator[tuple[Part, slice]]:
    ends = np.cumsum([0, *(math.prod(part.shape) for part in layout.parts)]).tolist()
    for part, (start, end) in zip(layout.parts, pairwise(ends), strict=True):
        yield part, slice(start, end)


def _to_units(array: NDArray[Any], part: Part, scale: int) -> NDArray[np.float64]:
    if array.dtype != np.float64 or array.shape != tuple(part.shape):
        raise _invalid(f"expected `{part.name}` to be float64 in the shape of the layout")
    # NaN is not within any bound.
    if not (np.abs(array) <= part.bound).all():
        raise _invalid(f"expected entries of `{part.name}` within its bound")
    if part.is_count and not ((array >= 0) & (array == np.rint(array))).all():
        raise _invalid(f"expected whole numbers from zero in `{part.name}`")
    # Exact: by a power of two, and nothing in it exceeds 2^53.
    units: NDArray[np.float64] = np.rint(array.ravel() * float(scale))
    return units


def _most(part: Part, scale: int, parties: int, noise: float) -> int:
    """Return the largest absolute value, in units, that an entry of a sum can have."""
    each = Fraction(part.bound) * scale + (0 if part.is_count else Fraction(1, 2))
    most = int(parties * (each + _DEVIATIONS * Fraction(noise) * scale))
    if most > _MAX_NOISED_SUM:
        raise _invalid("expected noise that the sum has room for")
    return most


def _from_units(values: NDArray[np.int64], part: Part, scale: int, most: int) -> NDArray[np.float64]:
    if ((values < -most) | (values > most)).any():
        raise _invalid(f"expected a sum within the bounds of `{part.name}`; the masks did not cancel")
    array: NDArray[np.float64] = (values.astype(np.float64) / float(scale)).reshape(part.shape)
    return array


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.DATA_INVALID, message)
