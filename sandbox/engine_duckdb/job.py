"""A job as it enters the cage: a question with every name resolved and every literal in stored form.

Made by the node (`resolve.py`), read by the worker (`worker.py`); both ends use the same frozen types and the codec
below. Literals are texts of stored values: fixed-point integers, `YYYY-MM-DD`, `true`, `false`, or a code.
"""

import dataclasses
import types
import typing
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeVar, cast

from sandbox.catalog.model import ItemType
from sandbox.operations.measure import MeasureKind
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, UnavailableError
from yingbi.plan.model import Comparison, Family, JoinKind

__all__ = [
    "AtomsJob",
    "Job",
    "JobColumn",
    "JobCondition",
    "JobDimension",
    "JobFacet",
    "JobKey",
    "JobMeasure",
    "JobRules",
    "JobTable",
    "JobViewColumn",
    "RegressionJob",
    "Settings",
    "TableJob",
    "ViewJob",
    "pack_job",
    "unpack_job",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobColumn:
    """A column of the table with this index; `is_non_negative` and `is_small` follow from its declared bounds.

    `is_small`: products of two such values fit 64 bits.
    """

    table: int
    name: str
    type: ItemType
    is_nullable: bool
    is_non_negative: bool = False
    is_small: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCondition:
    """A column against literals in stored form."""

    column: JobColumn
    comparison: Comparison
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDimension:
    """A column to group by, by value or between edges in stored form."""

    column: JobColumn
    edges: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMeasure:
    """A measure with resolved columns; `fraction` is of quantiles."""

    kind: MeasureKind
    columns: tuple[JobColumn, ...] = ()
    where: tuple[JobCondition, ...] = ()
    fraction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKey:
    """A column of the row key, and how many values its declaration allows (nothing: any number)."""

    name: str
    values: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTable:
    """A snapshot: its rows, the most rows of one unit, and how it is joined (the first table is not).

    No two rows of a unit agree in all of `row_keys`.
    """

    rows: int
    max_rows_per_unit: int
    join: JoinKind | None = None
    row_keys: tuple[JobKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRules:
    """The parameters of the rules that decide where exact figures are needed; `share` is a fraction `a/b`."""

    min_units: int
    top: int
    share: str
    p_percent: int

    @property
    def share_ratio(self) -> tuple[int, int]:
        """Return the share as numerator and denominator."""
        return _ratio(self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the engine may use inside: folders of snapshots in the order of the tables' indices, and limits."""

    data: tuple[str, ...]
    memory_bytes: int
    threads: int
    temp_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableJob:
    """A table to compute; `tables[0]` is the data set whose rows are read."""

    tables: tuple[JobTable, ...]
    where: tuple[JobCondition, ...]
    dimensions: tuple[JobDimension, ...]
    measures: tuple[JobMeasure, ...]
    margins: bool
    rules: JobRules


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionJob:
    """A regression to compute; `scales` are the digits after the point of target and features, in that order."""

    tables: tuple[JobTable, ...]
    family: Family
    target: JobColumn
    features: tuple[JobColumn, ...]
    scales: tuple[int, ...]
    where: tuple[JobCondition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacet:
    """A facet of the table with this index: a column by value or between edges, or presence."""

    table: int
    column: JobColumn | None
    edges: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AtomsJob:
    """Atoms to form: rows in any of the tables `versions`; the other tables are looked up by the unit.

    With `measure`, totals of it over the rows of the one table in `versions` (`rows_of` tells other versions of the
    same data set, looked up by unit and row). With `is_contribution`, what rows contribute to `subject` (or to counts),
    and with `sets` who contributes to each set of atoms, which are numbered in the order of their codes: units whose
    total over all the data set is at least `least`. Rows of several versions are one where unit, row and the column
    `same` agree; with `is_near`, where the column's values lie close together.
    """

    tables: tuple[JobTable, ...]
    versions: tuple[int, ...]
    rows_of: tuple[int, ...]
    facets: tuple[JobFacet, ...]
    cap: int
    measure: JobMeasure | None = None
    is_contribution: bool = False
    subject: JobColumn | None = None
    sets: tuple[tuple[int, ...], ...] = ()
    least: tuple[str, ...] = ()
    same: JobColumn | None = None
    is_near: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobViewColumn:
    """A column of a view: a number with digits after the point, or the places of its values in `codes`."""

    column: JobColumn
    scale: int = 0
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewJob:
    """A view to read for a federation: rows that meet `event` are the positive ones.

    `key`: of the hash over the unit's number, in hexadecimal. `held_out`: rows whose hash is below this are held out.
    """

    tables: tuple[JobTable, ...]
    columns: tuple[JobViewColumn, ...]
    event: JobCondition
    key: str
    held_out: str


Job = TableJob | RegressionJob | AtomsJob | ViewJob
_KINDS: typing.Final[dict[str, type[Job]]] = {
    "table": TableJob,
    "regression": RegressionJob,
    "atoms": AtomsJob,
    "view": ViewJob,
}


def pack_job(job: Job, settings: Settings) -> JsonValue:
    """Return a job and its settings as JSON."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(job, cls))
    return {"kind": kind, "job": _pack(job), "settings": _pack(settings)}


def unpack_job(value: JsonValue) -> tuple[Job, Settings]:
    """Read what `pack_job` wrote.

    Raises:
        UnavailableError: anything else.
    """
    try:
        match value:
            case {"kind": str(kind), "job": job, "settings": settings}:
                return _unpack(_KINDS[kind], job), _unpack(Settings, settings)
    except (KeyError, TypeError, ValueError) as error:
        raise _not_a_job() from error
    raise _not_a_job()


@lru_cache(maxsize=16)
def _ratio(share: str) -> tuple[int, int]:
    return Fraction(share).as_integer_ratio()


def _pack(value: Any) -> JsonValue:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_pack(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {field.name: _pack(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return cast("JsonValue", value)


def _unpack(cls: type[T], value: Any) -> T:
    hints = typing.get_type_hints(cls)
    if not isinstance(value, dict) or set(value) != set(hints):
        raise ValueError
    return cls(**{name: _typed(hint, value[name]) for name, hint in hints.items()})


def _typed(hint: Any, value: Any) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        return _typed(next(option for option in typing.get_args(hint) if option is not type(None)), value)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError
        return tuple(_typed(typing.get_args(hint)[0], item) for item in value)
    if dataclasses.is_dataclass(hint):
        return _unpack(cast("type[Any]", hint), value)
    if issubclass(hint, StrEnum):
        return hint(value)
    if type(value) is not hint:
        raise ValueError
    return value


def _not_a_job() -> UnavailableError:
    return UnavailableError(ErrorCode.ENGINE_FAILED, "expected a job")
