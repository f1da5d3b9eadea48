"""The select list of stage 1: every aggregate once, and how coarser cells follow from finer ones."""

from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.catalog.model import ItemType
from sandbox.engine_duckdb.compile import Parameters, column_sql, conditions_sql, total_column_sql
from sandbox.engine_duckdb.job import JobColumn, JobCondition, JobMeasure, JobTable
from sandbox.operations.measure import MeasureKind

__all__ = ["Fold", "MeasureColumns", "Population", "Selection", "StageColumn", "population_of", "value_sql"]

_COUNTED = frozenset({MeasureKind.ROWS, MeasureKind.UNITS, MeasureKind.MODEL})
_ADDED = frozenset({MeasureKind.SUM, MeasureKind.SQUARES, MeasureKind.PRODUCT})
_MANY = 3
"""The largest of a unit's values is often about so many times their mean."""


class Fold(StrEnum):
    """How the figure of a margin follows from those of its cells."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Rows that contribute to a measure: those that meet `where` and have a value in every column of `present`."""

    where: tuple[JobCondition, ...] = ()
    present: tuple[JobColumn, ...] = ()

    def sql(self, parameters: Parameters) -> str:
        """Return the condition that picks these rows."""
        nulls = [f"{column_sql(column)} IS NOT NULL" for column in self.present]
        return " AND ".join([conditions_sql(self.where, parameters), *nulls])


@dataclass(frozen=True, slots=True, kw_only=True)
class StageColumn:
    """An aggregate of stage 1, and whether it may need 128 bits."""

    sql: str
    fold: Fold
    is_wide: bool

    def folded(self, name: str) -> str:
        """Return the aggregate of a margin over cells that have this one as `name`."""
        figure = f"coalesce({self.fold.value}({name}), 0)"
        return figure if self.is_wide else f"CAST({figure} AS BIGINT)"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureColumns:
    """Names of the columns of stage 1 that belong to a measure.

    A unit's part of a cell is at most the product of `bounds`: of its published totals (`are_totals`; times its rows in
    the cell where `is_looked_up`, because a joined value counts in each of them), or else of the largest single values,
    times its rows in the cell.
    """

    population: int
    total: str | None = None
    absolute: str | None = None
    bounds: tuple[str, ...] = ()
    are_totals: bool = False
    is_looked_up: bool = False


def population_of(measure: JobMeasure, tables: tuple[JobTable, ...]) -> Population:
    """Return the rows that contribute to a measure; a column without nulls excludes none."""
    present = () if measure.kind in _COUNTED else tuple(c for c in measure.columns if _can_be_null(c, tables))
    return Population(where=measure.where, present=tuple(dict.fromkeys(present)))


def value_sql(measure: JobMeasure) -> str:
    """Return what a row adds to a measure: an integer, in 128 bits where 64 could overflow."""
    if measure.kind not in _ADDED:
        return "1"
    names = [column_sql(column) for column in measure.columns]
    if measure.kind is MeasureKind.SUM:
        return names[0]
    pair = (names[0], names[0]) if measure.kind is MeasureKind.SQUARES else (names[0], names[1])
    first = pair[0] if all(column.is_small for column in measure.columns) else f"CAST({pair[0]} AS HUGEINT)"
    return f"{first} * {pair[1]}"


@dataclass(slots=True)
class Selection:
    """Collects the aggregates of stage 1; asking twice for one gives the same column.

    `repeats`: the most rows of one unit in one of the finest cells.
    """

    tables: tuple[JobTable, ...]
    parameters: Parameters
    repeats: int
    populations: list[Population] = field(default_factory=lambda: [Population()])
    columns: dict[str, StageColumn] = field(default_factory=dict)
    _seen: dict[tuple[object, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count the rows of the cell as such."""
        self._add(("rows", 0), "count(*)", Fold.SUM, is_wide=False)

    def add(self, measure: JobMeasure) -> MeasureColumns:
        """Select what a measure needs."""
        population = self._population(population_of(measure, self.tables))
        if measure.kind not in _ADDED:
            return MeasureColumns(population=population)
        value = value_sql(measure)
        is_signed = not (
            measure.kind is MeasureKind.SQUARES or all(column.is_non_negative for column in measure.columns)
        )
        return MeasureColumns(
            population=population,
            total=self._figure("sum", value, measure.where, Fold.SUM),
            absolute=self._figure("sum", f"abs({value})", measure.where, Fold.SUM) if is_signed else None,
            bounds=tuple(self._bound(column, measure) for column in _factors(measure)),
            are_totals=not self._is_narrow,
            is_looked_up=all(column.table > 0 for column in measure.columns),
        )

    def rows_column(self, population: int) -> str:
        """Return the column that counts the rows of a population."""
        return self._seen["rows", population]

    def _population(self, population: Population) -> int:
        if population in self.populations:
            return self.populations.index(population)
        self.populations.append(population)
        number = len(self.populations) - 1
        if not population.where and len(population.present) == 1:
            counted = f"count({column_sql(population.present[0])})"
        else:
            counted = f"count(*) FILTER (WHERE {population.sql(self.parameters)})"
        self._add(("rows", number), counted, Fold.SUM, is_wide=False)
        return number

    @property
    def _is_narrow(self) -> bool:
        """Whether cells fix so much of the row key that the largest value bounds a unit better than its total does."""
        return self.repeats == 1 or _MANY * self.repeats <= self.tables[0].max_rows_per_unit

    def _bound(self, column: JobColumn, measure: JobMeasure) -> str:
        if self._is_narrow:
            return self._figure("max", _magnitude_sql(column), measure.where, Fold.MAX, is_wide=False)
        return self._figure("max", total_column_sql(column), measure.where, Fold.MAX)

    def _figure(
        self, function: str, value: str, where: tuple[JobCondition, ...], fold: Fold, *, is_wide: bool = True
    ) -> str:
        key = (function, value, where)
        if key in self._seen:
            return self._seen[key]
        condition = f" FILTER (WHERE {conditions_sql(where, self.parameters)})" if where else ""
        return self._add(key, f"coalesce({function}({value}){condition}, 0)", fold, is_wide=is_wide)

    def _add(self, key: tuple[object, ...], sql: str, fold: Fold, *, is_wide: bool) -> str:
        name = f"c{len(self.columns)}"
        self.columns[name] = StageColumn(sql=sql, fold=fold, is_wide=is_wide)
        self._seen[key] = name
        return name


def _magnitude_sql(column: JobColumn) -> str:
    """Return the absolute value of a number; of one that is declared never to be negative, itself."""
    return column_sql(column) if column.is_non_negative else f"abs({column_sql(column)})"


def _factors(measure: JobMeasure) -> tuple[JobColumn, ...]:
    return measure.columns * 2 if measure.kind is MeasureKind.SQUARES else measure.columns


def _can_be_null(column: JobColumn, tables: tuple[JobTable, ...]) -> bool:
    # A row without a partner in a left join has no value there.
    return column.is_nullable or tables[column.table].join is not None or column.type is ItemType.TEXT
