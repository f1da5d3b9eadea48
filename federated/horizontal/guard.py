"""The reply guard: what a recipe's code gave is sent only if it has the announced form and bounds.

It runs at the node outside of the cage, before noise and masks. Flower's own clipping lets NaN, arrays without
dimensions and integers pass; nothing of that passes here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.horizontal.layout import Layout, Part
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["guard"]


def guard(layout: Layout, arrays: Mapping[str, object]) -> dict[str, NDArray[np.float64]]:
    """Return the arrays in the order of the layout, copied, when each is what the layout announces.

    Raises:
        InvalidRequestError: other names, no array, no dimension, another type or shape, something that is not finite or
            beyond its bound, or a count that is negative or no whole number. No value is told.
    """
    names = {part.name for part in layout.parts}
    if set(arrays) != names:
        raise _refused(f"{len(names)} arrays of the announced names")
    return {part.name: _checked(part, arrays[part.name]) for part in layout.parts}


def _checked(part: Part, array: Any) -> NDArray[np.float64]:
    # SECURITY: exactly ndarray: a subclass decides by itself what comparing means.
    if type(array) is not np.ndarray:
        raise _refused(f"an array for `{part.name}`")
    if array.ndim == 0 or array.shape != part.shape:
        raise _refused(f"the announced shape of `{part.name}`")
    if array.dtype != np.dtype("float64") or not array.dtype.isnative:
        raise _refused(f"float64 in `{part.name}`")
    copied = np.array(array, dtype=np.float64, order="C")
    if not np.isfinite(copied).all():
        raise _refused(f"finite numbers in `{part.name}`")
    if (np.abs(copied) > part.bound).any():
        raise _refused(f"numbers within the announced bound in `{part.name}`")
    if part.is_count and ((copied < 0).any() or (copied != np.floor(copied)).any()):
        raise _refused(f"counts in `{part.name}`")
    return copied


def _refused(expected: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.DATA_INVALID, f"expected {expected}")
