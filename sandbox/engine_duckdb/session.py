"""One locked DuckDB connection a job (disclosure.md section 4): settings, snapshots attached read-only, results.

SECURITY: DuckDB's error texts quote data; they are mapped to codes here and dropped.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

import duckdb
import numpy as np
from numpy.typing import NDArray

from sandbox.engine_duckdb.job import Settings
from yingbi.errors import ConflictError, ErrorCode, RefusedError, UnavailableError

__all__ = ["Columns", "Session", "integers", "prepare_engine", "texts"]

Columns = dict[str, NDArray[Any]]

_OFF: Final = (
    "allow_community_extensions",
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "allow_persistent_secrets",
    "python_enable_replacements",
    "python_scan_all_frames",
)
_LOW: Final = 2**64
_ENGINE_SHARE: Final = 3, 4
"""Of the memory limit, what DuckDB itself may hold; Python, NumPy and what DuckDB does not count need the rest."""


class Session:
    """A fresh in-memory database with the job's snapshots attached as `d0`, `d1`, ..., and nothing else in reach."""

    def __init__(self, settings: Settings, scratch: str) -> None:
        with _mapped():
            self._connection = duckdb.connect(":memory:", config=_config(settings, scratch))
            for index, folder in enumerate(settings.data):
                path = f"{folder}/data.duckdb".replace("'", "''")
                self._connection.execute(f"ATTACH '{path}' AS d{index} (READ_ONLY)")
            # INVARIANT: locked after attaching and before the first question; nothing can be set again.
            self._connection.execute("SET enable_external_access = false")
            self._connection.execute("SET lock_configuration = true")

    def interrupt(self) -> None:
        """Stop the statement that runs now (from another thread)."""
        self._connection.interrupt()

    def progress(self) -> float:
        """Return the progress of the statement that runs now, 0 to 100, or less than 0 where it is unknown."""
        return float(self._connection.query_progress())

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        """Run a statement of ours.

        Raises:
            RefusedError: out of memory or scratch space.
            ConflictError: interrupted.
            UnavailableError: anything else.
        """
        with _mapped():
            self._connection.execute(sql, list(values))

    def fetch(self, sql: str, values: Sequence[object] = ()) -> Columns:
        """Run a statement of ours and return its columns; errors as for `run`."""
        with _mapped():
            return dict(self._connection.execute(sql, list(values)).fetchnumpy())

    def row(self, sql: str, values: Sequence[object] = ()) -> tuple[Any, ...]:
        """Run a statement of ours that has one row, and return it; errors as for `run`."""
        with _mapped():
            found = self._connection.execute(sql, list(values)).fetchone()
        return () if found is None else tuple(found)

    def batches(self, sql: str, *, rows: int) -> Iterator[Columns]:
        """Run a statement of ours and return its columns in pieces, in order; errors as for `run`."""
        with _mapped():
            for batch in self._connection.sql(sql).to_arrow_reader(rows):
                names = batch.schema.names
                yield {
                    name: column.to_numpy(zero_copy_only=False)
                    for name, column in zip(names, batch.columns, strict=True)
                }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def prepare_engine() -> None:
    """Run a statement on no data, so that the first job finds everything loaded."""
    with _mapped(), duckdb.connect(":memory:", config={"threads": "1"}) as connection:
        connection.execute("SELECT k, sum(v), max(v, 2) FROM (VALUES ('a', 1)) AS t(k, v) GROUP BY k").fetchnumpy()


def integers(columns: Columns, name: str) -> list[int]:
    """Return a column of integers, of 128 bits where it comes in two (`compile.halves`), as Python integers."""
    if name in columns:
        return [int(value) for value in columns[name].tolist()]
    high, low = columns[f"{name}_hi"].tolist(), columns[f"{name}_lo"].tolist()
    return [one * _LOW + other for one, other in zip(high, low, strict=True)]


def texts(column: NDArray[Any]) -> list[str | None]:
    """Return a text column with `None` for null."""
    mask = np.ma.getmaskarray(column)
    values = np.ma.getdata(column).tolist()
    return [None if is_null else value for value, is_null in zip(values, mask.tolist(), strict=True)]


def _config(settings: Settings, scratch: str) -> dict[str, str | bool | int | float | list[str]]:
    numerator, denominator = _ENGINE_SHARE
    return {
        **dict.fromkeys(_OFF, "false"),
        "memory_limit": f"{settings.memory_bytes * numerator // denominator}B",
        "threads": str(settings.threads),
        "temp_directory": scratch,
        "max_temp_directory_size": f"{settings.temp_bytes}B",
    }


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except (duckdb.OutOfMemoryException, MemoryError):
        code: ErrorCode = ErrorCode.RESOURCE_LIMIT
    except duckdb.InterruptException:
        code = ErrorCode.RUN_CANCELLED
    except duckdb.Error:
        code = ErrorCode.ENGINE_FAILED
    else:
        return
    # Raised here, outside the handler, so that the driver's error is not even its context.
    if code is ErrorCode.RESOURCE_LIMIT:
        raise RefusedError(code, "the computation exceeded its limit of memory or scratch space")
    if code is ErrorCode.RUN_CANCELLED:
        raise ConflictError(code, "the computation was cancelled")
    raise UnavailableError(code, "the computation failed")
