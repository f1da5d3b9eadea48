"""Released cells as linear equations over variables, and a factor of their Gram matrix that grows by blocks.

Variables are (atom a, combination of classes v), weighted by rows of the atom times share of the combination. In that
weight the Gram matrix of two cells is (rows in both public parts) * (overlap of both class sets): it does not change
when later questions split atoms or classes further, so that a factor stays good for ever. Combinations are never
listed: an atom's values are kept as coordinates over the functions of classes that the sets in use span (`Blocks`),
where the weight is the rows alone. No answer tells anything of the other functions, and no target that is determined
involves them, so that nothing is lost. Where everybody knows how many rows an atom has in all classes together
(*centred* systems), worlds sum to zero over an atom's classes: the constant is not among the functions.

Nothing here receives a confidential value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf

from sandbox.disclosure.history.partition import Blocks, Cells, Layer

__all__ = [
    "DEPENDENT",
    "Factor",
    "Frame",
    "Rows",
    "build_frame",
    "empty_factor",
    "extend",
    "forward",
    "gram",
    "independent",
    "joined",
    "rows_of",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Relative squared distance of a row from the span of the others below which it is taken to be in that span. Rows left
# out by mistake are found again: every projected direction is checked against all released rows (`worlds`).
DEPENDENT = 1e-11


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Some cells as rows of equations: stacked public part, number of the set, scale to norm one (0: empty cell)."""

    part: Ints
    secret: Ints
    scale: Floats

    def __len__(self) -> int:
        return len(self.part)

    def take(self, index: Ints | Bools) -> "Rows":
        """Return some of the rows."""
        return Rows(part=self.part[index], secret=self.secret[index], scale=self.scale[index])


def joined(rows: Sequence[Rows]) -> Rows:
    """Return several lists of rows as one."""
    whole = np.zeros(0, dtype=np.int64)
    return Rows(
        part=np.concatenate([whole, *(one.part for one in rows)]),
        secret=np.concatenate([whole, *(one.secret for one in rows)]),
        scale=np.concatenate([whole.astype(np.float64), *(one.scale for one in rows)]),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """Everything that a system's cells are made of.

    `rows`: rows of each atom (N, float64). `layers` and `offset`: all layers of all answers, and where their parts
    begin in the stack. `of_atom`: atoms x stacked parts, sparse; `by_part`: the same transposed,
    and with the atoms' rows. `part_rows`: rows of each stacked part. `forms`:
    sets of classes as vectors (k x B); `shares`: their products.
    """

    rows: Floats
    forms: Floats
    shares: Floats
    layers: tuple[Layer, ...]
    offset: Ints
    of_atom: sparse.csr_array
    by_part: sparse.csr_array
    by_part_weighted: sparse.csr_array
    part_rows: Floats

    @property
    def atoms(self) -> int:
        """Return the number of atoms."""
        return len(self.rows)

    @property
    def free(self) -> int:
        """Return how many combinations of classes can vary in an atom."""
        return int(self.forms.shape[1])

    def flat(self) -> "Frame":
        """Return the frame in which every cell tells its whole public part."""
        return replace(self, forms=np.ones((1, 1)), shares=np.ones((1, 1)))

    def restricted(self, atoms: Ints) -> "Frame":
        """Return the frame of some atoms only: good for `adjoint` on them."""
        return replace(self, rows=self.rows[atoms], of_atom=self.of_atom[atoms])

    def part_sums(self, values: Floats) -> Floats:
        """Add up values over atoms (N, B, r) by public part: (parts, B, r)."""
        of_parts = len(self.part_rows)
        flat = values.reshape(self.atoms, values.shape[1] * values.shape[2])
        return np.asarray(self.of_atom.T @ flat).reshape(of_parts, *values.shape[1:])

    def apply(self, rows: Rows, values: Floats) -> Floats:
        """Return the scaled sums of `values` (N, B, r) over the cells of `rows`: (m, r)."""
        sums = self.part_sums(values)[rows.part]
        inside = self.forms[rows.secret] * rows.scale[:, None]
        return np.asarray(np.einsum("mb,mbr->mr", inside, sums, optimize=False))

    def adjoint(self, rows: Rows, weights: Floats) -> Floats:
        """Return, weighted, what the adjoint of `apply` makes of `weights` (m, r): a direction (N, B, r)."""
        inside = self.forms[rows.secret] * rows.scale[:, None]
        by_part = sparse.csr_array(
            (np.ones(len(rows)), (rows.part, np.arange(len(rows)))), shape=(len(self.part_rows), len(rows))
        )
        spread = inside[:, :, None] * weights[:, None, :]
        parts = np.asarray(by_part @ spread.reshape(len(rows), self.free * weights.shape[1]))
        values = np.asarray(self.of_atom @ parts).reshape(self.atoms, self.free, weights.shape[1])
        return self.weighted(values)

    def weighted(self, values: Floats) -> Floats:
        """Multiply values over variables (N, B, r) by the variables' weights."""
        return np.asarray(values * self.rows[:, None, None])


def build_frame(rows: Ints, blocks: Blocks, answers: Sequence[Cells], more: Sequence[Layer] = ()) -> Frame:
    """Stack the layers of all answers, and `more` after them; time and memory O(atoms x layers)."""
    layers = (*(layer for cells in answers for layer in cells.layers), *more)
    sizes = np.array([layer.parts for layer in layers], dtype=np.int64)
    offset = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    codes = np.stack([layer.codes for layer in layers], axis=1) if layers else np.zeros((len(rows), 0), np.int32)
    inside = codes >= 0
    columns = (codes + offset[:-1].astype(np.int32))[inside]
    starts = np.concatenate(([0], np.cumsum(inside.sum(axis=1)))).astype(np.int32)
    of_atom = sparse.csr_array((np.ones(len(columns)), columns, starts), shape=(len(rows), int(offset[-1])))
    weight = rows.astype(np.float64)
    by_part = sparse.csr_array(of_atom.T)
    weighted = sparse.csr_array((weight[by_part.indices], by_part.indices, by_part.indptr), shape=by_part.shape)
    return Frame(
        rows=weight,
        forms=blocks.forms,
        shares=blocks.overlaps,
        layers=layers,
        offset=offset,
        of_atom=of_atom,
        by_part=by_part,
        by_part_weighted=weighted,
        part_rows=np.asarray(of_atom.T @ weight),
    )


def rows_of(frame: Frame, blocks: Blocks, cells: Cells, first_layer: int) -> Rows:
    """Return the cells of one answer, whose layers begin at `first_layer` of the stack, as rows scaled to norm one."""
    part = frame.offset[first_layer + cells.layer] + cells.part
    secret = np.array([blocks.number[one] for one in cells.secret], dtype=np.int64)
    square = frame.part_rows[part] * np.diag(frame.shares)[secret]
    scale = np.divide(1.0, np.sqrt(square), out=np.zeros(len(square)), where=square > 0)
    return Rows(part=part, secret=secret, scale=scale)


def gram(frame: Frame, one: Rows, other: Rows) -> Floats:
    """Return the scaled Gram matrix of two lists of rows (m x n, Fortran order)."""
    left, left_at = np.unique(one.part, return_inverse=True)
    right, right_at = np.unique(other.part, return_inverse=True)
    # Transposed, so that the result is in Fortran order without a copy.
    both = (frame.by_part[right] @ frame.by_part_weighted[left].T).toarray()
    if len(right) < len(other) or not np.array_equal(right_at, np.arange(len(right))):
        both = both[right_at]
    if len(left) < len(one) or not np.array_equal(left_at, np.arange(len(left))):
        both = both[:, left_at]
    if frame.shares.shape[0] > 1:
        both *= frame.shares[np.ix_(other.secret, one.secret)]
    elif len(frame.shares):
        both *= frame.shares[0, 0]
    both *= other.scale[:, None]
    both *= one.scale[None, :]
    return np.asfortranarray(both.T)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Factor:
    """Cholesky factor of independent rows, in two blocks: what was there, and what a proposal adds.

    `lower` (m x m, Fortran order); `coupling` = lower^-1 G_old,new (m x k); `tail` (k x k). Memory 8 m^2 bytes.
    """

    lower: Floats
    coupling: Floats
    tail: Floats

    def solve(self, right: Floats) -> Floats:
        """Solve G u = right, for right of (m + k) x r; time O((m + k)^2 r)."""
        size = len(self.lower)
        head = forward(self.lower, right[:size])
        rest = forward(self.tail, right[size:] - self.coupling.T @ head)
        rest = _backward(self.tail, rest)
        return np.concatenate((_backward(self.lower, head - self.coupling @ rest), rest))

    def merged(self) -> Floats:
        """Return one factor of all rows: what is kept when the proposal is recorded."""
        size, total = len(self.lower), len(self.lower) + len(self.tail)
        whole = np.zeros((total, total), order="F")
        whole[:size, :size] = self.lower
        whole[size:, :size] = self.coupling.T
        whole[size:, size:] = self.tail
        return whole


def empty_factor() -> Floats:
    """Return the factor of no rows."""
    return np.zeros((0, 0), order="F")


def extend(lower: Floats, between: Floats, within: Floats) -> tuple[Floats, Floats]:
    """Return the coupling and the Schur complement of new rows; time O(m^2 n), one triangular solve."""
    coupling = forward(lower, between)
    return coupling, within - coupling.T @ coupling


def independent(schur: Floats, candidates: Ints) -> tuple[Ints, Floats]:
    """Return which of the candidate rows (indices of `schur`) are independent, and the factor of those, in that order.

    Pivoted Cholesky, rank revealing; time O(n^3 / 3).
    """
    if len(candidates) == 0:
        return candidates, empty_factor()
    block = np.asfortranarray(schur[np.ix_(candidates, candidates)])
    factor, pivots, rank, _ = dpstrf(block, tol=DEPENDENT, lower=1)
    order = np.asarray(pivots[:rank], dtype=np.int64) - 1
    return candidates[order], np.asfortranarray(np.tril(factor[:rank, :rank]))


def forward(lower: Floats, right: Floats) -> Floats:
    """Solve L x = right."""
    if len(lower) == 0 or right.shape[1] == 0:
        return right
    return np.asarray(solve_triangular(lower, right, lower=True, check_finite=False))


def _backward(lower: Floats, right: Floats) -> Floats:
    if len(lower) == 0 or right.shape[1] == 0:
        return right
    return np.asarray(solve_triangular(lower, right, lower=True, trans="T", check_finite=False))
