"""What the sum has to know of the arrays that it sums; recipes' layouts are of this form."""

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Layout", "Part"]


class Part(Protocol):
    """One array: its name, its shape, and what one party may put into it. All of it is public."""

    @property
    def name(self) -> str:
        """Return the array's name."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the array's shape, of at least one dimension."""
        ...

    @property
    def bound(self) -> float:
        """Return the largest absolute value that an entry of one party may have."""
        ...

    @property
    def is_count(self) -> bool:
        """Tell whether its entries are counts: whole and not negative."""
        ...


class Layout(Protocol):
    """The arrays of a contribution, in the order in which they are laid one after the other."""

    @property
    def parts(self) -> Sequence[Part]:
        """Return the arrays."""
        ...
