"""Small symmetric systems, solved in plain doubles in a fixed order: no LAPACK, whose bits differ between machines.

LDL' without pivoting (Golub and Van Loan, "Matrix Computations", 4.1.2), row by row. A pivot that is nothing beside
its diagonal marks a column that the ones before it explain; it takes no part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from federated.horizontal.exact import add_up

__all__ = ["Factor", "factor", "packed_size", "unpack"]


def packed_size(size: int) -> int:
    """Return the number of entries on and above the diagonal."""
    return size * (size + 1) // 2


def unpack(packed: Sequence[float], size: int) -> list[list[float]]:
    """Return the symmetric matrix whose upper triangle was written row by row."""
    matrix = [[0.0] * size for _ in range(size)]
    position = 0
    for i in range(size):
        for j in range(i, size):
            matrix[i][j] = matrix[j][i] = packed[position]
            position += 1
    return matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A = L D L'; `pivots` (D) is 0 for columns that take no part."""

    lower: list[list[float]]
    pivots: list[float]

    def solve(self, right: Sequence[float]) -> list[float]:
        """Return x of A x = right; 0 for columns that take no part."""
        size = len(self.pivots)
        forward: list[float] = []
        for i in range(size):
            used = add_up(x * y for x, y in zip(self.lower[i], forward, strict=False))
            forward.append(right[i] - used if self.pivots[i] > 0.0 else 0.0)
        result = [0.0] * size
        for i in range(size - 1, -1, -1):
            if self.pivots[i] > 0.0:
                used = add_up(self.lower[j][i] * result[j] for j in range(i + 1, size))
                result[i] = forward[i] / self.pivots[i] - used
        return result

    def inverse(self) -> list[list[float]]:
        """Return the inverse; rows and columns that take no part are 0."""
        size = len(self.pivots)
        return [self.solve([1.0 if i == j else 0.0 for i in range(size)]) for j in range(size)]


def factor(matrix: Sequence[Sequence[float]], tolerance: float, takes_part: Sequence[bool]) -> Factor:
    """Factorise a symmetric matrix; columns with pivots up to `tolerance` times their diagonal take no part."""
    size = len(matrix)
    lower = [[0.0] * size for _ in range(size)]
    pivots = [0.0] * size
    for i in range(size):
        if not takes_part[i]:
            continue
        row = [0.0] * i
        for j in range(i):
            if pivots[j] > 0.0:
                row[j] = matrix[i][j] - add_up(x * y for x, y in zip(row[:j], lower[j], strict=False))
                lower[i][j] = row[j] / pivots[j]
        pivot = matrix[i][i] - add_up(x * y for x, y in zip(row, lower[i], strict=False))
        if pivot > tolerance * matrix[i][i]:
            pivots[i] = pivot
    return Factor(lower=lower, pivots=pivots)
