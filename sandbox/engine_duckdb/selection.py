"""The select list of stage 1: every aggregate once, and how coarser cells follow from finer ones."""

from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.catalog.model import ItemType
from sandbox.engine_duckdb.compile import Parameters, column_sql, conditions_sql, total_column_sql
from sandbox.engine_duckdb.job import JobColumn, JobCondition, JobMeasure, JobTable
from sandbox.operations.measure import MeasureKind

__all__ = ["Fold", "MeasureColumns", "Population", "Selection", "population_of", "value_sql"]

_COUNTED = frozenset({MeasureKind.ROWS, MeasureKind.UNITS, MeasureKind.MODEL})
_ADDED = frozenset({MeasureKind.SUM, MeasureKind.SQUARES, MeasureKind.PRODUCT})


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
class MeasureColumns:
    """Names of the columns of stage 1 that belong to a measure.

    A unit's part of a cell is at most the product of `bounds`, published totals (times its rows in the cell where
    `is_looked_up`), and at most the product of `tops`, the largest single values, times its rows in the cell. Where one
    of the two is empty it was not asked for, the other then holds.
    """

    population: int
    total: str | None = None
    absolute: str | None = None
    bounds: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
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

    `fewest`, `most`: bounds of the rows of one unit in a cell, in the finest cells and in the coarsest.
    """

    tables: tuple[JobTable, ...]
    parameters: Parameters
    fewest: int
    most: int
    populations: list[Population] = field(default_factory=lambda: [Population()])
    columns: dict[str, tuple[str, Fold]] = field(default_factory=dict)
    _seen: dict[tuple[object, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count the rows of the cell as such."""
        self._add(("rows", 0), "count(*)", Fold.SUM)

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
            bounds=self._bounds(measure) if self.most > 1 else (),
            tops=self._tops(measure) if self.fewest < self.tables[0].max_rows_per_unit or self.most == 1 else (),
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
        self._add(("rows", number), counted, Fold.SUM)
        return number

    def _bounds(self, measure: JobMeasure) -> tuple[str, ...]:
        return tuple(
            self._figure("max", total_column_sql(column), measure.where, Fold.MAX) for column in _factors(measure)
        )

    def _tops(self, measure: JobMeasure) -> tuple[str, ...]:
        return tuple(
            self._figure("max", magnitude_sql(column), measure.where, Fold.MAX) for column in _factors(measure)
        )

    def _figure(self, function: str, value: str, where: tuple[JobCondition, ...], fold: Fold) -> str:
        key = (function, value, where)
        if key in self._seen:
            return self._seen[key]
        condition = f" FILTER (WHERE {conditions_sql(where, self.parameters)})" if where else ""
        return self._add(key, f"coalesce({function}({value}){condition}, 0)", fold)

    def _add(self, key: tuple[object, ...], sql: str, fold: Fold) -> str:
        name = f"c{len(self.columns)}"
        self.columns[name] = (sql, fold)
        self._seen[key] = name
        return name


def magnitude_sql(column: JobColumn) -> str:
    """Return the absolute value of a number; of one that is declared never to be negative, itself."""
    return column_sql(column) if column.is_non_negative else f"abs({column_sql(column)})"


def _factors(measure: JobMeasure) -> tuple[JobColumn, ...]:
    return measure.columns * 2 if measure.kind is MeasureKind.SQUARES else measure.columns


def _can_be_null(column: JobColumn, tables: tuple[JobTable, ...]) -> bool:
    # A row without a partner in a left join has no value there.
    return column.is_nullable or tables[column.table].join is not None or column.type is ItemType.TEXT
