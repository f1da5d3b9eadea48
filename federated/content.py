"""What coordinator and members send each other: named arrays and a few small values, without any transport's types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

__all__ = ["Arrays", "Content"]

Arrays = Mapping[str, NDArray[Any]]
"""Names to arrays of at least one dimension, of float64, int64 or uint64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One message's content."""

    arrays: Arrays
    values: Mapping[str, str | int | bytes]
