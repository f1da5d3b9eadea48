"""Numbers on a grid: multiples of 2^-24, whose sums are exact, so that no order of adding matters.

Two uses. Trees: sums over nodes equal sums over the pooled rows bit for bit. Private mode: floating-point sums can move
by more than the sensitivity says (Casacuberta, Shoemate, Vadhan and Wagaman, "Widespread Underestimation of Sensitivity
in Differentially Private Libraries and How to Fix It", 2022); exact sums cannot.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRID_BITS", "NORM_MARGIN", "shrink_to_grid", "to_grid"]

Floats = NDArray[np.float64]

GRID_BITS: Final = 24
"""2^22 rows of entries up to 64 sum to at most 2^52 steps; the fixed point of the secure sum is as fine as this for
up to 127 parties of 2^22 rows and entries up to 1."""

NORM_MARGIN: Final = 1.0 - 2.0**-40
"""Clipped norms are aimed so much lower, so that rounding in their computation cannot lift them above the bound."""


def to_grid(values: Floats) -> Floats:
    """Return the nearest multiples of 2^-24."""
    return np.rint(values * 2.0**GRID_BITS) * 2.0**-GRID_BITS


def shrink_to_grid(values: Floats) -> Floats:
    """Return the nearest multiples of 2^-24 that are not larger in magnitude: norms do not grow."""
    return np.trunc(values * 2.0**GRID_BITS) * 2.0**-GRID_BITS
