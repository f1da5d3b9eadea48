"""A node's view of its table, as the app finds it: a folder with `table.npz`."""

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from federated.horizontal.recipe import Table

__all__ = ["read_view"]

_COLUMN: Final = "column:"


@cache
def read_view(folder: Path) -> Table:
    """Return the table of a view; read once a process."""
    with np.load(folder / "table.npz", allow_pickle=False) as file:
        arrays = dict(file)
    columns = {name.removeprefix(_COLUMN): array for name, array in arrays.items() if name.startswith(_COLUMN)}
    return Table(columns=columns, target=arrays["target"], is_held_out=arrays["is_held_out"])
