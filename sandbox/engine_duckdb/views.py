"""Views for federations, in the engine's cage: granted columns and a keyed mark, never the unit (docs/cage.md).

The number of the unit stays in this cage: what leaves is ordered, and split, by HMAC-SHA-256 of it.
"""

import hmac
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sandbox.engine_duckdb.compile import Parameters, column_sql, conditions_sql, source_sql
from sandbox.engine_duckdb.job import JobViewColumn, ViewJob
from sandbox.engine_duckdb.session import Session
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, UnavailableError

__all__ = ["compute_view"]

_MARK_BYTES: Final = 8


def compute_view(session: Session, job: ViewJob) -> tuple[JsonValue, dict[str, NDArray[Any]]]:
    """Read a view: `x0`, `x1`, ... in the order of the columns, `y` (1 is the event) and `h` (held out)."""
    parameters = Parameters()
    chosen = [f"{_value_sql(item, parameters)} AS x{place}" for place, item in enumerate(job.columns)]
    event = conditions_sql((job.event,), parameters)
    target = column_sql(job.event.column)
    found = session.fetch(
        f"SELECT t0._unit AS u, CAST({event} AS BIGINT) AS y, {', '.join(chosen)}"  # noqa: S608 - ours
        f" FROM {source_sql(job.tables, ())} WHERE {target} IS NOT NULL ORDER BY t0._unit",
        parameters.values,
    )
    units = np.asarray(found["u"], dtype=np.int64)
    # INVARIANT: declared, found at publication, and looked at again: one row a unit.
    if len(units) > 1 and not (np.diff(units) > 0).all():
        raise UnavailableError(ErrorCode.ENGINE_FAILED, "expected one row a unit")
    marks = _marks(units, bytes.fromhex(job.key))
    order = np.argsort(marks, kind="stable")
    arrays = {f"x{place}": _column(found[f"x{place}"], item)[order] for place, item in enumerate(job.columns)}
    arrays["y"] = np.asarray(found["y"], dtype=np.int64)[order]
    arrays["h"] = marks[order] < np.uint64(int(job.held_out))
    return None, arrays


def _value_sql(item: JobViewColumn, parameters: Parameters) -> str:
    column = column_sql(item.column)
    if not item.codes:
        return f"CAST({column} AS DOUBLE) / 1e{int(item.scale)}"
    codes = parameters.add(list(item.codes), "VARCHAR[]")
    place = f"coalesce(list_position({codes}, CAST({column} AS VARCHAR)), 0) - 1"
    return f"CASE WHEN {column} IS NULL THEN -1 ELSE {place} END"


def _column(values: NDArray[Any], item: JobViewColumn) -> NDArray[Any]:
    """Return a column with its missing values as recipes take them."""
    missing, kind = (-1, np.int64) if item.codes else (np.nan, np.float64)
    return np.ascontiguousarray(np.ma.filled(np.ma.asarray(values, dtype=kind), missing))


def _marks(units: NDArray[np.int64], key: bytes) -> NDArray[np.uint64]:
    """Return the first 64 bits of HMAC-SHA-256 over each unit's number, big-endian."""
    marks = (hmac.digest(key, b"%d" % unit, "sha256")[:_MARK_BYTES] for unit in units.tolist())
    return np.frombuffer(b"".join(marks), dtype=">u8").astype(np.uint64)
