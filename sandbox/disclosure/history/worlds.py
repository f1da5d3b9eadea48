"""Other worlds: random directions in which confidential values could differ while every released number stays.

A direction z over variables with A z = 0 for the released rows A shows, where its sum over a set is not zero, that the
set is *not* determined. A random direction has sum zero over a set exactly when the set is determined (with
probability one). Floating point errs to the safe side: directions are checked against every released row, and sums
between noise and `NEARLY` count as determined.

Nothing here receives a confidential value: whoever knows the questions, the answers' layout and the public columns
computes the same, so that refusals by determination tell nothing (Kenthapadi, Mishra and Nissim 2005).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandbox.disclosure.history.system import Factor, Frame, Rows

__all__ = ["NEARLY", "Worlds", "are_determined", "directions", "project"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Of a direction whose sum over a set has standard deviation one when nothing is released.
NEARLY = 1e-6
# What may be left of a released row's sum (same scale); a hundredth of what decides.
_RESIDUAL = 1e-8
_PASSES = 2
_MAX_PASSES = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worlds:
    """Directions (N, B, r). `is_sound`: every released row sums to zero in each."""

    values: Floats
    is_sound: bool

    @property
    def count(self) -> int:
        """Return the number of directions."""
        return int(self.values.shape[2])


def directions(frame: Frame, count: int, seed: int | Sequence[int]) -> Floats:
    """Return random directions (N, B, count) that respect what is public, before any release."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((frame.atoms, frame.free, count))
    return np.asarray(values * np.sqrt(frame.rows)[:, None, None])


def project(frame: Frame, start: Floats, released: Rows, kept: Ints, factor: Factor) -> Worlds:
    """Project directions onto the worlds that give all `released` rows, of which `kept` are independent and factored.

    Two passes (the second refines), more where a released row is not met; time O(N T B r + m^2 r) a pass.
    """
    values, basis = start, released.take(kept)
    for turn in range(_MAX_PASSES):
        left = frame.apply(released, values)
        is_sound = not left.size or float(np.abs(left).max()) <= _RESIDUAL
        if is_sound and (turn >= _PASSES or not len(kept)):
            return Worlds(values=values, is_sound=True)
        values = values - frame.adjoint(basis, factor.solve(left[kept]))
    return Worlds(values=values, is_sound=False)


def are_determined(blocks: Floats) -> Bools:
    """Tell for each of n blocks of b sums (n, b, r), scaled, whether some combination of its sums is determined.

    One that is leaves no direction, so that the least singular value of its b x r matrix is (nearly) zero. Needs more
    directions than sums (r >= b + 1).
    """
    if blocks.shape[1] == 1:
        return np.asarray(np.abs(blocks).max(axis=(1, 2)) < NEARLY)
    squares = blocks @ blocks.transpose(0, 2, 1)
    return np.asarray(np.linalg.eigvalsh(squares)[:, 0] < NEARLY**2 * blocks.shape[2])
