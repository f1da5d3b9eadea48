"""Bounds on distinct units that cost no second query: a unit has at most K rows, and parts have at most the whole's.

INVARIANT: every function here returns at most the true number, so that a rule that asks for *at least t* fails closed.
"""

import numpy as np
from numpy.typing import NDArray

from sandbox.candidate import Bools, Ints

__all__ = ["least_units", "units_beyond"]


def least_units(rows: Ints, max_rows_per_unit: int) -> Ints:
    """Return the fewest units that `rows` rows can belong to, when a unit has at most K rows: rows / K, upwards."""
    return -(-rows // max_rows_per_unit)


def units_beyond(
    *, rows: Ints, units: Ints, units_exact: Bools, of_rows: Ints, of_units: Ints, max_rows_per_unit: int
) -> tuple[Ints, Ints]:
    """Return rows, and at least how many units, belong to a set (`of_rows`, `of_units`) and not to its part.

    Units of the part are taken from the whole at most once each: where `units` is a lower bound only, the part may
    have as many units as rows.
    """
    most_in_part: NDArray[np.int64] = np.where(units_exact, units, rows)
    rest_rows = of_rows - rows
    rest_units = np.maximum(of_units - most_in_part, least_units(np.maximum(rest_rows, 0), max_rows_per_unit))
    return rest_rows, np.where(rest_rows > 0, rest_units, 0)
