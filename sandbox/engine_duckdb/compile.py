"""SQL from our own templates (disclosure.md section 1): identifiers are checked and quoted, literals are bound.

Nothing that a partner wrote is in a statement's text. Arithmetic is on integers only: fixed point, sums in 128 bits.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.catalog.model import ItemType
from sandbox.engine_duckdb.job import JobColumn, JobCondition, JobDimension, JobTable
from yingbi.errors import ErrorCode, UnavailableError
from yingbi.plan.model import Comparison, JoinKind

__all__ = ["Parameters", "column_sql", "conditions_sql", "dimension_sql", "halves", "source_sql", "total_column_sql"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_OPERATORS: Final = {
    Comparison.EQ: "=",
    Comparison.NE: "<>",
    Comparison.LT: "<",
    Comparison.LE: "<=",
    Comparison.GT: ">",
    Comparison.GE: ">=",
}
_LISTS: Final = {Comparison.IN: "IN", Comparison.NOT_IN: "NOT IN"}
_NULLS: Final = {Comparison.IS_NULL: "IS NULL", Comparison.NOT_NULL: "IS NOT NULL"}


@dataclass(slots=True)
class Parameters:
    """The bound values of one statement, in order; `add` returns the place to write into its text."""

    values: list[Any] = field(default_factory=list)

    def add(self, value: object, kind: str) -> str:
        """Bind a value of an SQL type (ours) and return its place."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


def column_sql(column: JobColumn) -> str:
    """Return a column: `t0."turnover"`."""
    return f't{column.table}."{_checked(column.name)}"'


def total_column_sql(column: JobColumn) -> str:
    """Return the published absolute total of the row's unit for a number."""
    return f't{column.table}."_total_{_checked(column.name)}"'


def conditions_sql(conditions: Iterable[JobCondition], parameters: Parameters) -> str:
    """Return the conjunction of conditions, `TRUE` for none."""
    return " AND ".join(_condition_sql(condition, parameters) for condition in conditions) or "TRUE"


def dimension_sql(dimension: JobDimension, parameters: Parameters) -> str:
    """Return what a dimension groups by: the value, or how many edges are at or below it; null stays null."""
    name = column_sql(dimension.column)
    if dimension.edges is None:
        return name
    bins = [
        f"WHEN {name} < {_bind(dimension.column, edge, parameters)} THEN {number}"
        for number, edge in enumerate(dimension.edges)
    ]
    return f"CASE WHEN {name} IS NULL THEN NULL {' '.join(bins)} ELSE {len(dimension.edges)} END"


def source_sql(tables: Sequence[JobTable], used: Iterable[int], *, keep_all: bool = False) -> str:
    """Return the FROM clause: the first table and those joined by unit that are `used` (or that restrict the rows).

    `keep_all` turns inner joins into outer ones, for looking at what they leave out.
    """
    wanted = set(used)
    joins = []
    for index, table in enumerate(tables[1:], start=1):
        if table.join is JoinKind.INNER:
            kind = "LEFT" if keep_all else "INNER"
        elif index in wanted:
            kind = "LEFT"
        else:
            continue
        joins.append(f"{kind} JOIN d{index}.rows AS t{index} ON t{index}._unit = t0._unit")
    return " ".join(["d0.rows AS t0", *joins])


def halves(expression: str, name: str) -> str:
    """Return two columns that hold a 128-bit integer: NumPy has none, and DuckDB would make it a float."""
    wide = f"CAST({expression} AS HUGEINT)"
    low = f"CAST({wide} & 18446744073709551615::HUGEINT AS UBIGINT)"
    return f"CAST({wide} >> 64 AS BIGINT) AS {name}_hi, {low} AS {name}_lo"


def _condition_sql(condition: JobCondition, parameters: Parameters) -> str:
    name = column_sql(condition.column)
    if condition.comparison in _NULLS:
        return f"{name} {_NULLS[condition.comparison]}"
    values = [_bind(condition.column, value, parameters) for value in condition.values]
    if condition.comparison in _LISTS:
        return f"{name} {_LISTS[condition.comparison]} ({', '.join(values)})"
    return f"{name} {_OPERATORS[condition.comparison]} {values[0]}"


def _bind(column: JobColumn, value: str, parameters: Parameters) -> str:
    match column.type:
        case ItemType.INTEGER | ItemType.DECIMAL:
            return parameters.add(int(value), "HUGEINT" if len(value) > 18 else "BIGINT")
        case ItemType.DATE:
            return parameters.add(value, "DATE")
        case ItemType.BOOLEAN:
            return parameters.add(value == "true", "BOOLEAN")
        case _:
            return parameters.add(value, "VARCHAR")


def _checked(name: str) -> str:
    # SECURITY: checked again where it is written, whoever resolved it.
    if not _NAME.fullmatch(name):
        raise UnavailableError(ErrorCode.ENGINE_FAILED, "expected the name of a column")
    return name
