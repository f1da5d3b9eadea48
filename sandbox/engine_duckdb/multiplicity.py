"""How many rows one unit can have in a cell, from declarations alone (docs/cage.md, "Tables").

Publication made sure that no two rows of a unit agree in every row key. A cell that fixes all of them has one row a
unit: its rows are its units, and its largest row is its largest unit.
"""

from sandbox.engine_duckdb.job import JobKey, TableJob
from yingbi.plan.model import Comparison

__all__ = ["rows_in_cell"]


def rows_in_cell(job: TableJob, mask: int) -> int:
    """Return an upper bound of the rows of one unit in a cell that sums over the dimensions in `mask`."""
    base = job.tables[0]
    if not base.row_keys:
        return base.max_rows_per_unit
    most = 1
    for key in base.row_keys:
        left = _values_left(job, key, mask)
        if left is None:
            return base.max_rows_per_unit
        most *= left
    return min(most, base.max_rows_per_unit)


def _values_left(job: TableJob, key: JobKey, mask: int) -> int | None:
    """Return how many values of a row key can meet in one cell; nothing where that is unknown."""
    for place, dimension in enumerate(job.dimensions):
        is_fixed = not mask >> place & 1 and dimension.edges is None
        if is_fixed and (dimension.column.table, dimension.column.name) == (0, key.name):
            return 1
    known = [] if key.values is None else [key.values]
    for condition in job.where:
        is_list = condition.comparison in (Comparison.EQ, Comparison.IN)
        if is_list and (condition.column.table, condition.column.name) == (0, key.name):
            known.append(len(set(condition.values)))
    return min(known, default=None)
