"""Numbers on a grid: multiples of 2^-24 or 2^-28, whose sums are exact, so that no order of adding matters.

Two uses. Trees: sums over nodes equal sums over the pooled rows bit for bit. Private mode: floating-point sums can move
by more than the sensitivity says (Casacuberta, Shoemate, Vadhan and Wagaman, "Widespread Underestimation of Sensitivity
in Differentially Private Libraries and How to Fix It", 2022); exact sums cannot.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["DERIVATIVE_BITS", "NORM_MARGIN", "RECORD_BITS", "shrink_to_grid", "to_grid"]

Floats = NDArray[np.float64]

DERIVATIVE_BITS: Final = 28
"""Derivatives of the loss, at most 1: 2^22 rows sum to at most 2^50 steps."""

RECORD_BITS: Final = 24
"""Entries of a clipped record, at most 64: 2^22 rows sum to at most 2^52 steps."""

NORM_MARGIN: Final = 1.0 - 2.0**-40
"""Clipped norms are aimed so much lower, so that rounding in their computation cannot lift them above the bound."""


def to_grid(values: Floats, bits: int) -> Floats:
    """Return the nearest multiples of 2^-bits."""
    return np.rint(values * 2.0**bits) * 2.0**-bits


def shrink_to_grid(values: Floats, bits: int) -> Floats:
    """Return the nearest multiples of 2^-bits that are not larger in magnitude: norms do not grow."""
    return np.trunc(values * 2.0**bits) * 2.0**-bits
