"""How far apart the worlds are: worlds in which a held value moves by at least p %, up and down.

With values that cannot be negative, x + alpha d is a world while nothing in it is negative: every released number
stays, the target moves. A direction in proportion to x (projected in that weight) keeps clear of the boundary. This is
the p % rule for whatever follows from all answers together.

This alone of all history looks at confidential values: what it cannot prove is for a person to see (review), and the
proof is kept as evidence at the node. Doing so is not simulatable; docs/history.md says what that costs.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

__all__ = ["Equations", "Movement", "other_worlds"]

Floats = NDArray[np.float64]

_RIDGE = 1e-12
_PASSES = 3
# What a released number may change by in a proof, relative to the sum of all values.
_EXACT = 1e-9
_FAR = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Equations:
    """Released cells (m x N) and held back ones (k x N) as sums over atoms."""

    released: sparse.csr_array
    held: sparse.csr_array


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """How far one held value can go up and down, in percent of itself, while released values stay (0: not shown)."""

    percent: Decimal

    def is_enough(self, p_percent: int) -> bool:
        """Return whether the value can be wrong by at least `p_percent`."""
        return self.percent >= p_percent


def other_worlds(equations: Equations, values: Floats, upper: Floats) -> tuple[Movement, ...]:
    """Return, for each held value, how far an explicit world moves it.

    `values`: non-negative totals of the atoms (N); `upper`: greatest possible ones. Time O(nnz m + m^3 / 3 + N k T).

    *Assumes* that an attacker knows nothing of the values but bounds. *Not protected*: values whose movement needs
    atoms of total zero to change. A total of zero has no p % of itself, and is left out: that it is not determined must
    do.
    """
    cells, targets = equations.released, equations.held.toarray().T
    weighted = sparse.csr_array(cells.multiply(values[None, :]))
    weights = np.zeros((cells.shape[0], targets.shape[1]))
    if cells.shape[0]:
        gram = np.asarray((weighted @ cells.T).toarray())
        scale = np.sqrt(np.maximum(gram.diagonal(), np.finfo(np.float64).tiny))
        gram /= scale[:, None] * scale[None, :]
        factor = cho_factor(gram + _RIDGE * np.eye(len(gram)), lower=True, check_finite=False)
        for _ in range(_PASSES):
            left = np.asarray(weighted @ (targets - np.asarray(cells.T @ weights)))
            weights += cho_solve(factor, left / scale[:, None], check_finite=False) / scale[:, None]
    growth = targets - np.asarray(cells.T @ weights)
    steps = values[:, None] * growth
    kept = np.abs(np.asarray(cells @ steps)).max(axis=0, initial=0.0) <= _EXACT * max(float(values.sum()), 1.0)
    return tuple(
        _movement(values, upper, growth[:, place], float(targets[:, place] @ values), float(targets[:, place] @ step))
        if kept[place]
        else Movement(percent=Decimal(0))
        for place, step in enumerate(steps.T)
        if float(targets[:, place] @ values) > 0
    )


def _movement(values: Floats, upper: Floats, growth: Floats, total: float, gain: float) -> Movement:
    if total <= 0 or gain <= _EXACT * total:
        return Movement(percent=Decimal(0))
    # Both ways: an estimate from above and one from below must each be wrong by that much.
    reach = min(_reach(values, upper, growth), _reach(values, upper, -growth))
    percent = min(100.0 * reach * gain / total, 100_000.0)
    return Movement(percent=Decimal(int(percent * 100)).scaleb(-2))


def _reach(values: Floats, upper: Floats, growth: Floats) -> float:
    """Return the largest alpha with 0 <= values * (1 + alpha * growth) <= upper."""
    falls, rises = (values > 0) & (growth < 0), (values > 0) & (growth > 0)
    down = -1.0 / growth[falls]
    room = (upper[rises] - values[rises]) / (values[rises] * growth[rises])
    return float(max(0.0, min(down.min(initial=_FAR), room.min(initial=_FAR))))
