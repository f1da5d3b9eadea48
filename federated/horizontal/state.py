"""What is known between two exchanges: the same at every party, bit for bit, so that its digest can be recorded."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from federated.content import Arrays
from yingbi.canonical import digest_json

__all__ = ["Phase", "State"]

_TYPES: Final = {"float64": "<f8", "int64": "<i8", "uint64": "<u8"}


class Phase(StrEnum):
    """What the next exchange is for."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """Where a training stands: phase, number of exchanges so far, and the arrays that the recipe keeps."""

    phase: Phase
    step: int
    arrays: Arrays

    def digest(self) -> str:
        """Return the digest of phase, step, and names, types, shapes and little-endian bytes of the arrays."""
        arrays = {name: _described(array) for name, array in self.arrays.items()}
        return digest_json({"phase": str(self.phase), "step": self.step, "arrays": arrays})


def _described(array: NDArray[Any]) -> dict[str, object]:
    # `+ 0` would change NaNs; a state has none. The sign of zero counts: it is part of the bits.
    data = np.ascontiguousarray(array, dtype=_TYPES[array.dtype.name]).tobytes()
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
