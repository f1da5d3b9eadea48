"""What of a data set goes into the cage of a federation's app: a file of arrays, without identifiers (docs/cage.md).

Written by the node from what the engine read, and read inside by whoever trains. NumPy's own format, never pickle.
"""

import os
import secrets
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["VIEW_NAME", "TrainingView", "read_view", "write_view"]

VIEW_NAME: Final = "view.npz"
_TARGET: Final = "target"
_HELD_OUT: Final = "held_out"
_COLUMN: Final = "column."
# A file that holds one array and no names is no context; the others are what NumPy and its archives raise.
_UNREADABLE: Final = (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingView:
    """One row a privacy unit, in an order that says nothing about it; all arrays of shape (rows,).

    `columns`: numbers as float64 (NaN: missing), codes and booleans as int64 indices of the feature's `codes`
    (-1: missing). `target`: int64, 1 is the event; rows without a target are left out. `is_held_out`: bool, by a keyed
    hash of the unit, so that a unit is on the same side whenever the node is asked.
    """

    columns: Mapping[str, NDArray[Any]]
    target: NDArray[np.int64]
    is_held_out: NDArray[np.bool_]

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return len(self.target)


def write_view(folder: Path, view: TrainingView) -> Path:
    """Write a view into a folder and return its file, which nobody can write any more (side effect: that file)."""
    arrays: dict[str, NDArray[Any]] = {_TARGET: view.target, _HELD_OUT: view.is_held_out}
    arrays |= {f"{_COLUMN}{name}": array for name, array in view.columns.items()}
    path = folder / VIEW_NAME
    unfinished = folder / f".{VIEW_NAME}-{secrets.token_hex(8)}"
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with os.fdopen(handle, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # none of the names is a parameter's
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    return path


def read_view(folder: Path) -> TrainingView:
    """Read what `write_view` wrote.

    Raises:
        InvalidRequestError: it is something else.
    """
    try:
        # SECURITY: without pickle, so that a file is data and never code.
        with (folder / VIEW_NAME).open("rb") as data, np.load(data, allow_pickle=False) as file:
            arrays = dict(file)
        target, is_held_out = arrays.pop(_TARGET), arrays.pop(_HELD_OUT)
        columns = {name.removeprefix(_COLUMN): array for name, array in arrays.items() if name.startswith(_COLUMN)}
    except _UNREADABLE:
        raise _malformed() from None
    known = {np.dtype(np.float64), np.dtype(np.int64)}
    is_fit = (target.dtype, is_held_out.dtype) == (np.int64, np.bool_) and len(columns) == len(arrays)
    shapes = {array.shape for array in (target, is_held_out, *columns.values())}
    if not is_fit or shapes != {(target.size,)} or not {array.dtype for array in columns.values()} <= known:
        raise _malformed()
    return TrainingView(columns=columns, target=target, is_held_out=is_held_out)


def _malformed() -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.DATA_INVALID, "expected the view of a training")
