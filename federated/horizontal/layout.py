"""What one exchange sends: names, shapes and bounds of the sums (docs/spec/recipes.md, "Layouts")."""

from dataclasses import dataclass

__all__ = ["Layout", "Part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One array of a contribution; no entry of one party's sum is larger than `bound` in magnitude."""

    name: str
    shape: tuple[int, ...]
    bound: float
    is_count: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All arrays of a contribution, in the order in which they are concatenated.

    `sensitivity`: the largest L2 distance between the concatenated sums of two tables of which one has one record more.
    """

    parts: tuple[Part, ...]
    sensitivity: float

    @property
    def size(self) -> int:
        """Return how many numbers a contribution has."""
        total = 0
        for part in self.parts:
            entries = 1
            for length in part.shape:
                entries *= length
            total += entries
        return total
