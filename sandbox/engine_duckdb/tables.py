"""Tables, in the cage: one grouping for everything, and exact figures only where a rule is in doubt (docs/cage.md).

Stage 1 is one `GROUP BY` over the rows; margins are sums of its cells. It gives totals, rows, the sum of absolute
values, and two upper bounds of the largest unit: its published total, and K times the largest value, where a unit has
at most K rows in the cell (`multiplicity.py`). `rows >= K*t` implies at least t units. Stage 2 looks again at the cells
that these bounds leave in doubt: distinct units of small cells, and the two largest units where the bounds would break
a dominance rule.
"""

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import isqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sandbox.catalog.model import ItemType
from sandbox.engine_duckdb.compile import (
    Parameters,
    column_sql,
    conditions_sql,
    dimension_sql,
    halves,
    source_sql,
    total_column_sql,
)
from sandbox.engine_duckdb.job import JobColumn, JobDimension, JobMeasure, JobRules, TableJob
from sandbox.engine_duckdb.multiplicity import rows_in_cell
from sandbox.engine_duckdb.selection import MeasureColumns, Population, Selection, value_sql
from sandbox.engine_duckdb.session import Columns, Session, integers, texts
from sandbox.engine_duckdb.wide import pack_texts, pack_wide
from sandbox.operations.measure import MeasureKind
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, RefusedError

__all__ = ["MAX_CELLS", "compute_table", "count_outside", "tables_used"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Arrays = dict[str, NDArray[Any]]

MAX_CELLS: Final = 200_000
"""Most cells of a table, margins included; judging more would take longer than computing them."""

_FIRST_LOOK: Final = 16
"""Units below this part of what breaks a dominance rule when all of the `top` largest have it are looked for last."""

_MARGIN: Final = 1e-6
_TOTALLED: Final = frozenset({MeasureKind.SUM, MeasureKind.SQUARES})
"""Measures of which the published total of a unit bounds its part."""

_COUNTED: Final = frozenset({MeasureKind.ROWS, MeasureKind.VALUES, MeasureKind.UNITS, MeasureKind.QUANTILE})


def compute_table(session: Session, job: TableJob, progress: Callable[[int], None]) -> tuple[JsonValue, Arrays]:
    """Compute a table and all that the rules need (disclosure.md section 2); the host turns it into a `Candidate`."""
    return _Table(session, job, progress).answer()


def tables_used(columns: Iterable[JobColumn]) -> set[int]:
    """Return the indices of the tables that columns come from."""
    return {column.table for column in columns}


def count_outside(session: Session, job: TableJob, selected: int) -> tuple[int, int, bool]:
    """Return rows, units and exactness of what the filter leaves out of the data set."""
    base = job.tables[0]
    rows = base.rows - selected
    if rows == 0 or base.max_rows_per_unit == 1:
        return rows, rows, True
    if rows >= base.max_rows_per_unit * job.rules.min_units:
        return rows, -(-rows // base.max_rows_per_unit), False
    parameters = Parameters()
    inner = [f"t{i}._unit IS NOT NULL" for i, table in enumerate(job.tables) if table.join == "inner"]
    condition = " AND ".join([conditions_sql(job.where, parameters), *inner])
    used = tables_used(item.column for item in job.where)
    sql = f"SELECT count(DISTINCT t0._unit) FROM {source_sql(job.tables, used, keep_all=True)}"  # noqa: S608 - ours
    return rows, int(session.row(f"{sql} WHERE ({condition}) IS NOT TRUE", parameters.values)[0]), True


@dataclass(slots=True)
class _Figures:
    """What is known of one measure, a Python list a figure."""

    totals: list[int | None]
    rows: Ints
    units: Ints
    units_exact: Bools
    absolute: list[int]
    largest: list[int]
    second: list[int]
    largest_exact: Bools
    negative: Bools
    decided: Bools = field(init=False)
    """Whether exact figures are known, or enough of them to break a dominance rule."""

    below: Ints | None = None
    above: Ints | None = None

    def __post_init__(self) -> None:
        self.decided = self.largest_exact.copy()


class _Table:
    def __init__(self, session: Session, job: TableJob, progress: Callable[[int], None]) -> None:
        self._session = session
        self._job = job
        self._progress = progress
        self._margin = 2 ** len(job.dimensions) - 1
        self._most = [rows_in_cell(job, mask) for mask in range(self._margin + 1)]
        self._selection: Selection
        self._groupings: Ints
        self._repeats: Ints
        self._units: dict[tuple[int, bool], tuple[Ints, Bools]] = {}

    def answer(self) -> tuple[JsonValue, Arrays]:
        columns = self._stage_one()
        found = self._fetch_cells()
        self._progress(60)
        figures = [self._figures(m, c, found) for m, c in zip(self._job.measures, columns, strict=True)]
        return self._pack(found, figures)

    # --- stage 1 ------------------------------------------------------------------------------------------------------

    def _stage_one(self) -> list[MeasureColumns]:
        parameters = Parameters()
        keys = [f"{dimension_sql(item, parameters)} AS k{i}" for i, item in enumerate(self._job.dimensions)]
        self._selection = Selection(self._job.tables, parameters, self._most[0])
        columns = [self._selection.add(measure) for measure in self._job.measures]
        chosen = [*keys, *(f"{column.sql} AS {name}" for name, column in self._selection.columns.items())]
        where = conditions_sql(self._job.where, parameters)
        grouped = f" GROUP BY {', '.join(f'k{i}' for i in range(len(keys)))}" if keys else ""
        source = source_sql(self._job.tables, self._used())
        fine = f"SELECT {', '.join(chosen)} FROM {source} WHERE {where}{grouped}"  # noqa: S608 - ours
        self._session.run(self._fold_sql(fine), parameters.values)
        return columns

    def _fold_sql(self, fine: str) -> str:
        """Return the statement that makes `cells` of the finest cells: margins, and the canonical order."""
        count = len(self._job.dimensions)
        names = [f"k{i}" for i in range(count)]
        if self._job.margins and names:
            figures = [f"{column.folded(name)} AS {name}" for name, column in self._selection.columns.items()]
            totals = [f"GROUPING(k{i}) AS f{i}" for i in range(count)]
            sets = [f"({', '.join(n for i, n in enumerate(names) if not mask >> i & 1)})" for mask in range(2**count)]
            inner = (
                f"SELECT {', '.join([*names, *totals, *figures])} FROM fine GROUP BY GROUPING SETS ({', '.join(sets)})"  # noqa: S608 - ours
            )
        else:
            inner = f"SELECT *{''.join(f', 0 AS f{i}' for i in range(count))} FROM fine"  # noqa: S608 - ours
        mask = " + ".join(f"f{i} * {2**i}" for i in range(count)) or "0"
        order = ", ".join(_order_sql(i, item) for i, item in enumerate(self._job.dimensions)) or "1"
        numbered = f"row_number() OVER (ORDER BY {order}) - 1 AS idx, {mask} AS grouping_mask"
        return f"CREATE TEMP TABLE cells AS WITH fine AS MATERIALIZED ({fine}) SELECT {numbered}, * FROM ({inner})"  # noqa: S608 - ours

    def _fetch_cells(self) -> Columns:
        count = len(self._job.dimensions)
        keys = [f"CAST(k{i} AS VARCHAR) AS k{i}, f{i}" for i in range(count)]
        figures = [halves(name, name) if column.is_wide else name for name, column in self._selection.columns.items()]
        if int(self._session.row("SELECT count(*) FROM cells")[0]) > MAX_CELLS:
            raise RefusedError(ErrorCode.RESOURCE_LIMIT, f"expected a table of at most {MAX_CELLS} cells")
        sql = f"SELECT grouping_mask, {', '.join([*keys, *figures])} FROM cells ORDER BY idx"  # noqa: S608 - ours
        found = self._session.fetch(sql)
        self._groupings = np.asarray(found["grouping_mask"], dtype=np.int64)
        self._repeats = np.array(self._most, dtype=np.int64)[self._groupings]
        return found

    def _used(self) -> set[int]:
        measured = [column for measure in self._job.measures for column in measure.columns]
        where = [c.column for measure in self._job.measures for c in measure.where]
        return tables_used([*measured, *where]) | self._frame_used()

    def _frame_used(self) -> set[int]:
        return tables_used([*(d.column for d in self._job.dimensions), *(c.column for c in self._job.where)])

    # --- stage 2 ------------------------------------------------------------------------------------------------------

    def _figures(self, measure: JobMeasure, columns: MeasureColumns, found: Columns) -> _Figures:
        rows = _counts(found, self._selection.rows_column(columns.population))
        units, exact = self._count_units(columns.population, rows, everywhere=measure.kind is MeasureKind.UNITS)
        if measure.kind in _COUNTED:
            figures = self._counted(measure, rows, units, exact)
        else:
            figures = self._added(columns, found, rows, units, exact)
        if measure.kind is MeasureKind.QUANTILE:
            self._quantiles(measure, figures)
        else:
            self._settle(measure, columns, figures)
        return figures

    def _counted(self, measure: JobMeasure, rows: Ints, units: Ints, exact: Bools) -> _Figures:
        is_units = measure.kind is MeasureKind.UNITS
        most = np.ones_like(rows) if is_units else self._repeats
        counts = units if is_units else rows
        totals = counts.tolist()
        return _Figures(
            totals=list(totals),
            rows=rows,
            units=units,
            units_exact=exact,
            absolute=list(totals),
            largest=np.minimum(most, counts).tolist(),
            second=np.minimum(most, np.maximum(counts - 1, 0)).tolist(),
            largest_exact=(most == 1) | (rows == 0),
            negative=np.zeros(len(totals), dtype=np.bool_),
        )

    def _added(self, columns: MeasureColumns, found: Columns, rows: Ints, units: Ints, exact: Bools) -> _Figures:
        totals = integers(found, columns.total or "")
        absolute = totals if columns.absolute is None else integers(found, columns.absolute)
        # A unit's absolute total is at most its bounds, and at most the cell's.
        largest = list(map(min, self._largest(columns, found), absolute))
        return _Figures(
            totals=list(totals),
            rows=rows,
            units=units,
            units_exact=exact,
            absolute=list(absolute),
            largest=largest,
            second=list(largest),
            largest_exact=np.array([total == 0 for total in absolute], dtype=np.bool_),
            negative=np.array(list(map(operator.ne, totals, absolute)), dtype=np.bool_),
        )

    def _largest(self, columns: MeasureColumns, found: Columns) -> list[int]:
        """Return an upper bound of every cell's largest unit."""
        is_repeated = columns.is_looked_up or not columns.are_totals
        bounds = self._repeats.tolist() if is_repeated else [1] * len(self._repeats)
        for name in columns.bounds:
            bounds = list(map(operator.mul, bounds, integers(found, name)))
        return bounds

    def _count_units(self, population: int, rows: Ints, *, everywhere: bool) -> tuple[Ints, Bools]:
        """Return units and where they are exact: counted in cells of few rows, elsewhere at least rows / K."""
        key = (population, everywhere)
        if key not in self._units:
            units = -(-rows // self._repeats)
            exact = (rows <= 1) | (self._repeats == 1)
            doubtful = ~exact & (everywhere | (rows < self._repeats * self._job.rules.min_units))
            units, exact = units.copy(), exact | doubtful
            for cells, counted in self._look_again(self._selection.populations[population], doubtful):
                units[cells] = counted["units"]
            self._units[key] = units, exact
        return self._units[key]

    def _look_again(self, population: Population, doubtful: Bools) -> Iterable[tuple[Ints, Columns]]:
        """Count the distinct units of doubtful cells, one statement for each kind of margin."""
        for mask in np.unique(self._groupings[doubtful]):
            wanted = np.flatnonzero(doubtful & (self._groupings == mask))
            parameters = Parameters()
            rows = self._rows_sql(population, "", parameters)
            sql = (
                f"WITH s AS ({rows}), {_doubt_sql(wanted, parameters)}"  # noqa: S608 - ours
                f" SELECT idx, count(DISTINCT u) AS units FROM s JOIN doubt ON {self._match_sql(int(mask))}"
                " GROUP BY idx ORDER BY idx"
            )
            found = self._session.fetch(sql, parameters.values)
            yield np.asarray(found["idx"], dtype=np.int64), found

    def _settle(self, measure: JobMeasure, columns: MeasureColumns, figures: _Figures) -> None:
        """Look for the two largest units where bounds neither keep every dominance rule nor break one.

        First for units that have a good part of the cell. Then the largest is known where it matters, and with it how
        large the second must be to matter: two looks decide every cell.
        """
        numerator, denominator = self._job.rules.share_ratio
        part = _FIRST_LOOK * self._job.rules.top * denominator
        cells = self._in_doubt(figures, np.flatnonzero(~figures.decided & ~_clearly_safe(figures, self._job.rules)))
        self._look_for(measure, columns, figures, {cell: numerator * figures.absolute[cell] // part for cell in cells})
        cells = self._in_doubt(figures, np.array(cells, dtype=np.int64))
        self._look_for(measure, columns, figures, {cell: self._floor(figures, cell) for cell in cells})

    def _in_doubt(self, figures: _Figures, cells: Ints) -> list[int]:
        rules = self._job.rules
        return [
            cell
            for cell in cells.tolist()
            if not figures.decided[cell]
            and not _is_safe(figures.absolute[cell], figures.largest[cell], figures.second[cell], rules)
        ]

    def _floor(self, figures: _Figures, cell: int) -> int:
        """Return the most that a second unit can have beside the largest without breaking a dominance rule."""
        rules, (numerator, denominator) = self._job.rules, self._job.rules.share_ratio
        absolute, largest = figures.absolute[cell], figures.largest[cell]
        held = (numerator * absolute - denominator * largest - 1) // (denominator * max(1, rules.top - 1))
        rest = (100 * (absolute - largest) - rules.p_percent * largest) // 100
        return max(0, min(held, rest))

    def _look_for(
        self, measure: JobMeasure, columns: MeasureColumns, figures: _Figures, floors: dict[int, int]
    ) -> None:
        """Look for units that have more of a cell than its floor, with one statement for each kind of margin."""
        by_mask: dict[int, dict[int, int]] = {}
        for cell, floor in floors.items():
            mask = int(self._groupings[cell])
            is_bounded = self._most[mask] == 1 or measure.kind in _TOTALLED
            by_mask.setdefault(mask, {})[cell] = floor if is_bounded else 0
        for mask, wanted in sorted(by_mask.items()):
            self._find_largest(measure, columns, figures, wanted, mask)

    def _find_largest(
        self, measure: JobMeasure, columns: MeasureColumns, figures: _Figures, floors: dict[int, int], mask: int
    ) -> None:
        parameters = Parameters()
        rows, reach = self._candidates_sql(measure, columns, mask, list(floors.values()), parameters)
        chosen = f"FROM s JOIN doubt ON {self._match_sql(mask)} AND s.b > doubt.reach"
        # With one row a unit there is nothing to add up.
        is_single = self._most[mask] == 1
        totals = f"v AS total {chosen}" if is_single else f"CAST(sum(v) AS HUGEINT) AS total {chosen} GROUP BY idx, u"
        sql = (
            f"WITH s AS ({rows}), {_doubt_sql(floors, parameters, reach)}, per_unit AS (SELECT idx, {totals}),"  # noqa: S608 - ours
            " top AS (SELECT idx, max(total, 2) AS pair FROM per_unit GROUP BY idx)"
            f" SELECT idx, {halves('pair[1]', 'one')}, {halves('coalesce(pair[2], 0)', 'two')} FROM top"
        )
        found = self._session.fetch(sql, parameters.values)
        pairs = zip(integers(found, "one"), integers(found, "two"), strict=True)
        known = dict(zip(found["idx"].tolist(), pairs, strict=True))
        for cell, floor in floors.items():
            one, two = known.get(cell, (0, 0))
            # Units that were not looked at have at most `floor` each.
            figures.largest[cell], figures.second[cell] = max(one, floor), max(two, floor)
            figures.largest_exact[cell] = floor == 0 or two >= floor
            is_broken = not _is_safe(figures.absolute[cell], one, two, self._job.rules)
            figures.decided[cell] = figures.largest_exact[cell] or is_broken

    def _candidates_sql(
        self, measure: JobMeasure, columns: MeasureColumns, mask: int, floors: Sequence[int], parameters: Parameters
    ) -> tuple[str, list[int]]:
        """Return the rows of units that can have more than a floor of their cell, and what their `b` must exceed."""
        population = self._selection.populations[columns.population]
        value = f"abs({value_sql(measure)})"
        if not any(floors):
            # A unit with a total of nothing has no part in the two largest that matters.
            return self._rows_sql(population, f", {value} AS v, 1 AS b", parameters), [0] * len(floors)
        bound, reach = value, list(floors)
        if self._most[mask] > 1:
            factor = self._most[mask] if columns.is_looked_up else 1
            bound = total_column_sql(measure.columns[0])
            reach = [_reach(floor, measure.kind, factor) for floor in floors]
        rows = self._rows_sql(population, f", {value} AS v, {bound} AS b", parameters)
        # That the least of all is exceeded is not needed for the answer, but the scan can use it.
        least = min(reach)
        return f"{rows} AND {bound} > {parameters.add(least, 'BIGINT' if least < 2**63 else 'HUGEINT')}", reach

    def _quantiles(self, measure: JobMeasure, figures: _Figures) -> None:
        """Find exact order statistics, interpolated in fixed point, ties to even; and the units on each side."""
        fraction = Fraction(measure.fraction or "0")
        size = len(figures.totals)
        figures.totals = [None] * size
        figures.below, figures.above = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        for mask in np.unique(self._groupings):
            cells = np.flatnonzero((self._groupings == mask) & (figures.rows > 0))
            if len(cells):
                self._order_statistics(measure, figures, cells, int(mask), fraction)
                self._sides(measure, figures, cells, int(mask))

    def _order_statistics(
        self, measure: JobMeasure, figures: _Figures, cells: Ints, mask: int, fraction: Fraction
    ) -> None:
        parameters = Parameters()
        places = [(int(figures.rows[cell]) - 1) * fraction for cell in cells]
        lower = [place.numerator // place.denominator for place in places]
        rows = self._values_sql(measure, parameters)
        sql = (
            f"WITH s AS ({rows}), {_doubt_sql(cells, parameters, lower)}, ranked AS"  # noqa: S608 - ours
            " (SELECT idx, reach, v, row_number() OVER (PARTITION BY idx ORDER BY v) - 1 AS place"
            f" FROM s JOIN doubt ON {self._match_sql(mask)})"
            " SELECT idx, min(v) AS low, max(v) AS high FROM ranked WHERE place IN (reach, reach + 1)"
            " GROUP BY idx ORDER BY idx"
        )
        found = self._session.fetch(sql, parameters.values)
        parts = {int(cell): place - whole for cell, place, whole in zip(cells, places, lower, strict=True)}
        for cell, low, high in zip(found["idx"].tolist(), found["low"].tolist(), found["high"].tolist(), strict=True):
            figures.totals[cell] = int(low) + round((int(high) - int(low)) * parts[cell])

    def _sides(self, measure: JobMeasure, figures: _Figures, cells: Ints, mask: int) -> None:
        parameters = Parameters()
        values = [figures.totals[cell] or 0 for cell in cells]
        sql = (
            f"WITH s AS ({self._values_sql(measure, parameters)}), {_doubt_sql(cells, parameters, values)}"  # noqa: S608 - ours
            " SELECT idx, count(DISTINCT u) FILTER (WHERE v < reach) AS below,"
            " count(DISTINCT u) FILTER (WHERE v > reach) AS above"
            f" FROM s JOIN doubt ON {self._match_sql(mask)} GROUP BY idx ORDER BY idx"
        )
        found = self._session.fetch(sql, parameters.values)
        if figures.below is not None and figures.above is not None:
            figures.below[found["idx"]] = found["below"]
            figures.above[found["idx"]] = found["above"]

    def _values_sql(self, measure: JobMeasure, parameters: Parameters) -> str:
        name = column_sql(measure.columns[0])
        population = Population(where=measure.where, present=measure.columns)
        return self._rows_sql(population, f", {name} AS v", parameters)

    def _rows_sql(self, population: Population, extra: str, parameters: Parameters) -> str:
        """Return the rows of a population with their unit and keys, for a second look."""
        keys = [f"{dimension_sql(item, parameters)} AS k{i}" for i, item in enumerate(self._job.dimensions)]
        where = conditions_sql(self._job.where, parameters)
        condition = population.sql(parameters)
        source = source_sql(self._job.tables, self._used())
        chosen = ", ".join(["t0._unit AS u", *keys])
        return f"SELECT {chosen}{extra} FROM {source} WHERE {where} AND {condition}"  # noqa: S608 - ours

    def _match_sql(self, mask: int) -> str:
        places = [i for i in range(len(self._job.dimensions)) if not mask >> i & 1]
        return " AND ".join(f"s.k{i} IS NOT DISTINCT FROM doubt.k{i}" for i in places) or "TRUE"

    # --- answer -------------------------------------------------------------------------------------------------------

    def _pack(self, found: Columns, figures: Sequence[_Figures]) -> tuple[JsonValue, Arrays]:
        arrays: Arrays = {}
        labels: list[JsonValue] = []
        for i in range(len(self._job.dimensions)):
            known, arrays[f"key{i}"] = pack_texts(texts(found[f"k{i}"]))
            labels.append(list(known))
            arrays[f"total{i}"] = np.asarray(found[f"f{i}"]).astype(np.bool_)
        rows = _counts(found, self._selection.rows_column(0))
        arrays["rows"] = rows
        arrays["units"], arrays["units_exact"] = self._count_units(0, rows, everywhere=False)
        for number, item in enumerate(figures):
            arrays |= _pack_figures(f"m{number}", item)
        selected = int(rows[self._groupings == self._groupings.min(initial=0)].sum())
        value: dict[str, JsonValue] = {
            "labels": labels,
            "selected": list(self._selected(selected)),
            "outside": list(count_outside(self._session, self._job, selected)),
        }
        self._progress(100)
        return value, arrays

    def _selected(self, rows: int) -> tuple[int, int, bool]:
        most = self._most[self._margin]
        if rows <= 1 or most == 1:
            return rows, rows, True
        if rows >= most * self._job.rules.min_units:
            return rows, -(-rows // most), False
        parameters = Parameters()
        where = conditions_sql(self._job.where, parameters)
        source = source_sql(self._job.tables, self._used())
        sql = f"SELECT count(DISTINCT t0._unit) FROM {source} WHERE {where}"  # noqa: S608 - ours
        return rows, int(self._session.row(sql, parameters.values)[0]), True


def _pack_figures(name: str, figures: _Figures) -> Arrays:
    arrays: Arrays = {
        f"{name}.rows": figures.rows,
        f"{name}.units": figures.units,
        f"{name}.units_exact": figures.units_exact,
        f"{name}.largest_exact": figures.largest_exact,
        f"{name}.negative": figures.negative,
        **pack_wide(f"{name}.totals", figures.totals),
        **pack_wide(f"{name}.absolute", figures.absolute),
        **pack_wide(f"{name}.largest", figures.largest),
        **pack_wide(f"{name}.second", figures.second),
    }
    if figures.below is not None and figures.above is not None:
        arrays[f"{name}.below"], arrays[f"{name}.above"] = figures.below, figures.above
    return arrays


def _clearly_safe(figures: _Figures, rules: JobRules) -> Bools:
    """Return where floats, with a margin far above their error, show what `_is_safe` says exactly."""
    absolute, largest, second = (
        np.array(values, dtype=np.float64) for values in (figures.absolute, figures.largest, figures.second)
    )
    numerator, denominator = rules.share_ratio
    room = numerator / denominator * absolute - largest - (rules.top - 1) * second
    rest = absolute - largest - second - rules.p_percent / 100 * largest
    clear: Bools = np.minimum(room, rest) > _MARGIN * absolute
    return clear


def _is_safe(absolute: int, largest: int, second: int, rules: JobRules) -> bool:
    """Return whether the two largest units, or upper bounds of them, keep both dominance rules."""
    numerator, denominator = rules.share_ratio
    held = min(largest + (rules.top - 1) * second, absolute)
    rest = max(absolute - largest - second, 0)
    return held * denominator < numerator * absolute and 100 * rest >= rules.p_percent * min(largest, absolute)


def _reach(floor: int, kind: MeasureKind, factor: int) -> int:
    """Return a published total that a unit must exceed to contribute more than `floor` to a cell."""
    return isqrt(floor // factor) if kind is MeasureKind.SQUARES else floor // factor


def _doubt_sql(cells: Iterable[int], parameters: Parameters, reach: Sequence[int] | None = None) -> str:
    """Return the common table `doubt`: the cells in question, with a number each where there is one."""
    numbers = f"unnest({parameters.add([int(cell) for cell in cells], 'BIGINT[]')}) AS idx"
    if reach is not None:
        numbers += f", unnest({parameters.add(list(reach), 'HUGEINT[]')}) AS reach"
    chosen = "cells.*" if reach is None else "cells.*, wanted.reach"
    return f"doubt AS (SELECT {chosen} FROM (SELECT {numbers}) AS wanted JOIN cells USING (idx))"  # noqa: S608 - ours


def _order_sql(number: int, dimension: JobDimension) -> str:
    is_text = dimension.column.type is ItemType.CODE and dimension.edges is None
    key = f"CAST(k{number} AS VARCHAR)" if is_text else f"k{number}"
    return f"f{number}, k{number} IS NULL, {key}"


def _counts(found: Columns, name: str) -> Ints:
    return np.asarray(found[name], dtype=np.int64)
