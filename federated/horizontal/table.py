"""A node's rows in the form that recipes take."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.horizontal.spec import Kind, TrainingSpec
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["Table", "check_table"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows of one node, one an entity.

    `columns`: numeric features as float64 (NaN: missing), coded ones as int64 indices into the codes (-1: missing).
    `target`: int64, 1 is the event. `is_held_out`: bool. All of shape (rows,).
    """

    columns: Mapping[str, NDArray[Any]]
    target: NDArray[np.int64]
    is_held_out: NDArray[np.bool_]

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return len(self.target)

    def part(self, mask: NDArray[np.bool_]) -> "Table":
        """Return the rows that are marked."""
        columns = {name: column[mask] for name, column in self.columns.items()}
        return Table(columns=columns, target=self.target[mask], is_held_out=self.is_held_out[mask])

    @cached_property
    def training(self) -> "Table":
        """Return the rows that are trained on; they are kept, every round asks for them again."""
        return self.part(~self.is_held_out)


def check_table(spec: TrainingSpec, table: Table) -> None:
    """Check that a table is what a specification asks for, before anything is computed from it.

    Raises:
        InvalidRequestError: a column is missing or has another type, length or range; or there are too many rows.
    """
    if not _is(table.target, np.int64, table.rows) or not _is(table.is_held_out, np.bool_, table.rows):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected a target and a split for every row")
    if table.rows > spec.max_rows:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected at most {spec.max_rows} rows")
    if table.rows and not 0 <= int(table.target.min()) <= int(table.target.max()) <= 1:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected targets of 0 and 1")
    for feature in spec.features:
        column = table.columns.get(feature.name)
        is_coded = feature.kind is Kind.CODED
        if column is None or not _is(column, np.int64 if is_coded else np.float64, table.rows):
            raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected {feature.kind} values in `{feature.name}`")
        if is_coded and table.rows and not -1 <= int(column.min()) <= int(column.max()) < len(feature.codes):
            raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected known codes in `{feature.name}`")
        if not is_coded and bool(np.isinf(column).any()):
            raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected finite numbers in `{feature.name}`")


def _is(column: NDArray[Any], dtype: Any, rows: int) -> bool:
    return column.dtype == dtype and column.shape == (rows,)
