"""Profile a source at the node: aggregates that help to declare it, and never a value of it (docs/data.md).

*Not protected*: a profile is for the data's owner, not for release. Still nothing in it is about few rows: counts are
rounded to two digits and those below ten say so only, shares to whole percent, and bounds are round numbers around
the middle 98 % of the values, never a least or greatest value.
"""

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import duckdb

from sandbox.catalog.detectors import MIN_VALUES, Detector, count_matches
from sandbox.catalog.model import DataItem, ItemType
from sandbox.catalog.validate import MAX_DECIMALS
from sandbox.engine_duckdb.conversion import converted
from sandbox.engine_duckdb.sources import Source, connect, guarded, open_source, quoted

__all__ = ["THRESHOLD", "ColumnProfile", "Profile", "envelope", "profile", "rounded_count"]

THRESHOLD: Final = 10
"""Counts below this are told as `<10`."""

_SAMPLE: Final = 20_000
_LEAST_FOR_BOUNDS: Final = 100 * THRESHOLD
# What is in a longer text; check digits are not computed here.
_EMBEDDED: Final[Mapping[Detector, str]] = {
    Detector.USCC: r"(?:^|[^0-9A-Z])[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}(?:[^0-9A-Z]|$)",
    Detector.ID_CARD: r"(?:^|[^0-9])[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx](?:[^0-9]|$)",
    Detector.MOBILE_PHONE: r"(?:^|[^0-9])1[3-9][0-9]{9}(?:[^0-9]|$)",
    Detector.BANK_CARD: r"(?:^|[^0-9])[3-6][0-9]{15,18}(?:[^0-9]|$)",
    Detector.EMAIL: r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}",
}

# Every name that goes into these is quoted by `quoted`, or ours.
_STAGE: Final = "CREATE TABLE profiled AS SELECT * FROM {relation}"
_COUNT: Final = "SELECT {counts} FROM profiled"
_COUNT_VALUES: Final = "SELECT count({column}), approx_count_distinct({column}) FROM profiled"
_PERCENTILES: Final = """
    SELECT quantile_disc(v, 0.01), quantile_disc(v, 0.99) FROM (SELECT {value} AS v FROM profiled)"""
_SAMPLE_VALUES: Final = """
    SELECT * FROM (SELECT {column} FROM profiled WHERE {column} IS NOT NULL) USING SAMPLE reservoir({rows} ROWS)"""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProfile:
    """What is told of a column.

    `type`: what all its values can be read as. `nulls_percent`, `matches`: shares of rows and of present values.
    `distinct`, `embedded` (rows whose text contains such a thing): rounded counts as text. `bounds`: see `envelope`.
    """

    name: str
    source_type: str
    type: ItemType
    nulls: str
    nulls_percent: int
    distinct: str
    matches: Mapping[Detector, Fraction]
    embedded: Mapping[Detector, str]
    bounds: tuple[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A source's columns, and about how many rows it has."""

    rows: str
    columns: tuple[ColumnProfile, ...]

    def shares(self) -> dict[str, Mapping[Detector, Fraction]]:
        """Return the shares of matches by column, as `sandbox.catalog.detectors.evidence_of` takes them."""
        return {column.name: column.matches for column in self.columns}


def profile(source: Source, *, scratch: Path | None = None, on_progress: OnProgress | None = None) -> Profile:
    """Profile all columns of a source; `scratch` is where DuckDB may spill.

    Raises:
        InvalidRequestError: the source cannot be read.
    """
    with _connection(scratch) as connection:
        with open_source(connection, source) as opened:
            types = dict(opened.types)
            statement = _STAGE.format(relation=opened.relation)
            guarded(lambda: connection.execute(statement))
        rows = int(_row(connection, "SELECT count(*) FROM profiled")[0])
        columns = []
        for at, (name, source_type) in enumerate(types.items()):
            columns.append(_profile_column(connection, name, source_type, rows))
            if on_progress is not None:
                on_progress(at + 1, len(types))
    return Profile(rows=rounded_count(rows), columns=tuple(columns))


def rounded_count(count: int) -> str:
    """Return a count as text: two leading digits, `<10` for the small, `0` for none."""
    if 0 < count < THRESHOLD:
        return f"<{THRESHOLD}"
    scale = 10 ** max(0, len(str(count)) - 2)
    return str((count + scale // 2) // scale * scale)


def envelope(low: float, high: float) -> tuple[str, str]:
    """Return round numbers (1, 2 or 5 times a power of ten) at or beyond two numbers."""
    return _round_down(low), _round_up(high)


def _round_up(value: float) -> str:
    if value < 0:
        return _negated(_step(-value, is_up=False))
    return _step(value, is_up=True)


def _round_down(value: float) -> str:
    if value < 0:
        return _negated(_step(-value, is_up=True))
    return _step(value, is_up=False)


def _step(size: float, *, is_up: bool) -> str:
    """Return the 1-2-5 number next to a size from zero on; less than a millionth is zero going down."""
    if size == 0 or (size < 1e-6 and not is_up):
        return "0"
    power = math.floor(math.log10(size)) - 1
    steps = [(digit, at) for at in range(power, power + 4) for digit in (1, 2, 5)]
    fitting = [(digit, at) for digit, at in steps if (digit * 10.0**at >= size if is_up else digit * 10.0**at <= size)]
    digit, at = fitting[0] if is_up else fitting[-1]
    return f"{digit}{'0' * at}" if at >= 0 else f"0.{'0' * (-at - 1)}{digit}"


def _negated(text: str) -> str:
    return text if text == "0" else f"-{text}"


def _profile_column(connection: duckdb.DuckDBPyConnection, name: str, source_type: str, rows: int) -> ColumnProfile:
    column = quoted(name)
    present, distinct = map(int, _row(connection, _COUNT_VALUES.format(column=column)))
    kind = _kind(connection, name, source_type, present)
    is_text = source_type == "VARCHAR"
    return ColumnProfile(
        name=name,
        source_type=source_type if source_type.isalnum() else source_type.partition("(")[0],
        type=kind,
        nulls=rounded_count(rows - present),
        nulls_percent=_percent(rows - present, rows),
        distinct=rounded_count(min(distinct, present)),
        matches=_matches(connection, column) if is_text else {},
        embedded=_embedded(connection, column) if is_text and kind is ItemType.TEXT else {},
        bounds=_bounds(connection, name, source_type, present) if kind in _NUMBERS else None,
    )


_NUMBERS: Final = (ItemType.INTEGER, ItemType.DECIMAL)


def _kind(connection: duckdb.DuckDBPyConnection, name: str, source_type: str, present: int) -> ItemType:
    """Return the narrowest type that all values can be read as; a column without values is text."""
    kinds = (ItemType.BOOLEAN, ItemType.INTEGER, ItemType.DECIMAL, ItemType.DATE)
    reads = ", ".join(f"count({_read_as(kind, name, source_type)})" for kind in kinds)
    counts = _row(connection, _COUNT.format(counts=reads))
    fitting = (kind for kind, count in zip(kinds, counts, strict=True) if present and int(count) == present)
    return next(fitting, ItemType.TEXT)


def _read_as(kind: ItemType, name: str, source_type: str) -> str:
    decimals = MAX_DECIMALS if kind is ItemType.DECIMAL else 0
    item = DataItem(name=name, title=name, type=kind, decimals=decimals)
    return converted(item, quoted(name), source_type)


def _bounds(connection: duckdb.DuckDBPyConnection, name: str, source_type: str, present: int) -> tuple[str, str] | None:
    # SECURITY: with fewer values the percentiles would be values of fewer than ten rows.
    if present < _LEAST_FOR_BOUNDS:
        return None
    value = f"{_read_as(ItemType.DECIMAL, name, source_type)} / 1e{MAX_DECIMALS}"
    low, high = _row(connection, _PERCENTILES.format(value=value))
    return envelope(low, high)


def _matches(connection: duckdb.DuckDBPyConnection, column: str) -> dict[Detector, Fraction]:
    """Return the shares, in whole percent, of a sample's values that match each pattern."""
    statement = _SAMPLE_VALUES.format(column=column, rows=_SAMPLE)
    values = guarded(lambda: connection.execute(statement).fetchall())
    found = count_matches(row[0] for row in values)
    if found.total < MIN_VALUES:
        return {}
    return {
        detector: Fraction(_percent(count, found.total), 100)
        for detector, count in found.counts.items()
        if count >= THRESHOLD
    }


def _embedded(connection: duckdb.DuckDBPyConnection, column: str) -> dict[Detector, str]:
    counted = ", ".join(f"count(*) FILTER (regexp_matches({column}, '{pattern}'))" for pattern in _EMBEDDED.values())
    counts = _row(connection, _COUNT.format(counts=counted))
    return {detector: rounded_count(int(count)) for detector, count in zip(_EMBEDDED, counts, strict=True) if count}


def _percent(part: int, whole: int) -> int:
    return round(100 * part / whole) if part >= THRESHOLD else 0


def _row(connection: duckdb.DuckDBPyConnection, statement: str) -> tuple[float, ...]:
    rows: list[tuple[float, ...]] = guarded(lambda: connection.execute(statement).fetchall())
    return rows[0]


@contextmanager
def _connection(scratch: Path | None) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    connection = connect(folder)
    try:
        yield connection
    finally:
        connection.close()
        shutil.rmtree(folder, ignore_errors=True)
