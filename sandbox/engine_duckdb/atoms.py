"""Atoms, in the cage: rows grouped by every facet that answers have used (sandbox/disclosure/atoms.py).

Rows of several versions are one row where unit, row number and a value agree (a full outer join; where values need only
be near, they are sorted by row first); facets of other data sets are looked up by the unit. Units are counted exactly
only where an atom could have fewer than `cap` of them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandbox.catalog.model import ItemType
from sandbox.engine_duckdb.compile import (
    Parameters,
    column_sql,
    conditions_sql,
    dimension_sql,
    halves,
    total_column_sql,
)
from sandbox.engine_duckdb.job import AtomsJob, JobDimension, JobFacet, JobMeasure
from sandbox.engine_duckdb.selection import value_sql
from sandbox.engine_duckdb.session import Columns, Session, integers, texts
from sandbox.engine_duckdb.wide import pack_wide
from sandbox.operations.measure import MeasureKind
from yingbi.canonical import JsonValue

__all__ = ["compute_atoms"]

Arrays = dict[str, NDArray[Any]]

# Two values are near when they differ by at most one part in so many of the larger.
_NEAR = 10


def compute_atoms(session: Session, job: AtomsJob) -> tuple[JsonValue, Arrays]:
    """Form the atoms of a job, or with a measure its total in each; labels in ascending order, atoms by their codes."""
    if job.is_near:
        session.run(_near_sql(job))
    if job.is_contribution:
        return _contributions(session, job)
    parameters = Parameters()
    facets = "".join(f"{_facet_sql(facet, parameters)} AS f{i}, " for i, facet in enumerate(job.facets))
    total = "0" if job.measure is None else _total_sql(job.measure, job, parameters)
    keys = ", ".join(f"f{i}" for i in range(len(job.facets)))
    sql = (
        f"CREATE TEMP TABLE atoms AS SELECT {facets}count(*) AS n, min({_unit_sql(job)}) AS low,"  # noqa: S608 - ours
        f" max({_unit_sql(job)}) AS high, CAST({total} AS HUGEINT) AS total FROM {_source_sql(job)}"
        f"{' GROUP BY ' + keys if keys else ' HAVING count(*) > 0'}"
    )
    session.run(sql, parameters.values)
    labels = [_make_labels(session, i, facet) for i, facet in enumerate(job.facets)]
    found = _fetch(session, job)
    arrays: Arrays = {f"code{i}": np.asarray(found[f"code{i}"], dtype=np.int32) for i in range(len(job.facets))}
    if job.measure is not None:
        return {"labels": list(labels)}, arrays | pack_wide("totals", integers(found, "total"))
    arrays["rows"] = np.asarray(found["n"], dtype=np.int64)
    arrays["units"] = _count_units(session, job, found)
    is_solo = np.asarray(found["low"]) == np.asarray(found["high"])
    arrays["solo"] = np.where(is_solo, found["low"], -1).astype(np.int64)
    return {"labels": list(labels)}, arrays


def _contributions(session: Session, job: AtomsJob) -> tuple[JsonValue, Arrays]:
    """Find what rows contribute to each atom, or exactly who contributes to each set of atoms."""
    parameters = Parameters()
    facets = "".join(f"{_facet_sql(facet, parameters)} AS f{i}, " for i, facet in enumerate(job.facets))
    keys = ", ".join(f"f{i}" for i in range(len(job.facets)))
    value, bound, condition = _contributed_sql(job)
    session.run(
        f"CREATE TEMP TABLE atoms AS SELECT {facets}count(*) FILTER (WHERE {condition}) AS n,"  # noqa: S608 - ours
        f" CAST(coalesce(sum(CAST({value} AS HUGEINT)), 0) AS DOUBLE) AS absolute,"
        f" CAST(coalesce(max({bound}), 0) AS DOUBLE) AS bound, 0 AS low, 0 AS high, 0 AS total"
        f" FROM {_source_sql(job)}{' GROUP BY ' + keys if keys else ' HAVING count(*) > 0'}",
        parameters.values,
    )
    labels = [_make_labels(session, i, facet) for i, facet in enumerate(job.facets)]
    found = _fetch(session, job, "absolute, bound")
    if job.sets:
        return {"labels": list(labels)}, _largest(session, job, found)
    arrays: Arrays = {f"code{i}": np.asarray(found[f"code{i}"], dtype=np.int32) for i in range(len(job.facets))}
    arrays["rows"] = np.asarray(found["n"], dtype=np.int64)
    arrays["absolute"] = np.asarray(found["absolute"], dtype=np.float64)
    arrays["bound"] = np.asarray(found["bound"], dtype=np.float64)
    return {"labels": list(labels)}, arrays


def _largest(session: Session, job: AtomsJob, found: Columns) -> Arrays:
    parameters = Parameters()
    facets = "".join(f", {_facet_sql(facet, parameters)} AS f{i}" for i, facet in enumerate(job.facets))
    atoms = np.asarray(found["atom"])
    members = np.concatenate([np.asarray(one, dtype=np.int64) for one in job.sets])
    numbers = np.repeat(np.arange(len(job.sets)), [len(one) for one in job.sets])
    wanted = parameters.add(atoms[members].tolist(), "BIGINT[]"), parameters.add(numbers.tolist(), "BIGINT[]")
    least = parameters.add([int(one) for one in job.least], "HUGEINT[]")
    match = " AND ".join(f"s.f{i} IS NOT DISTINCT FROM a.f{i}" for i in range(len(job.facets))) or "TRUE"
    value, bound, condition = _contributed_sql(job)
    rows = session.fetch(
        f"WITH w AS (SELECT unnest({wanted[0]}) AS atom, unnest({wanted[1]}) AS number),"  # noqa: S608 - ours
        f" leasts AS (SELECT unnest({least}) AS least, unnest(range(len({least}))) AS number),"
        " a AS (SELECT atoms.*, atoms.rowid AS atom FROM atoms WHERE atoms.rowid IN (SELECT atom FROM w)),"
        f" s AS (SELECT {_unit_sql(job)} AS u, CAST({value} AS HUGEINT) AS x, {bound} AS most{facets}"
        f" FROM {_source_sql(job)} WHERE {condition} AND {bound} >= (SELECT min(least) FROM leasts)),"
        " of_atom AS (SELECT a.atom, s.u, sum(s.x) AS x, max(s.most) AS most"
        f" FROM s JOIN a ON {match} GROUP BY a.atom, s.u),"
        " of_unit AS (SELECT w.number, of_atom.u, sum(of_atom.x) AS x FROM of_atom JOIN w ON w.atom = of_atom.atom"
        " JOIN leasts ON leasts.number = w.number AND of_atom.most >= leasts.least GROUP BY w.number, of_atom.u),"
        " top AS (SELECT number, x, row_number() OVER (PARTITION BY number ORDER BY x DESC) AS place FROM of_unit)"
        f" SELECT number, count(*) AS units, {halves('sum(x)', 'absolute')},"
        f" {halves('coalesce(max(x) FILTER (WHERE place = 1), 0)', 'largest')},"
        f" {halves('coalesce(max(x) FILTER (WHERE place = 2), 0)', 'second')} FROM top GROUP BY number",
        parameters.values,
    )
    place = {int(number): at for at, number in enumerate(rows["number"])}
    at = [place.get(number, -1) for number in range(len(job.sets))]
    units = [*np.asarray(rows["units"]).tolist(), 0]
    arrays: Arrays = {"units": np.array([units[one] for one in at], dtype=np.int64)}
    for name in ("absolute", "largest", "second"):
        values = [*integers(rows, name), 0]
        arrays |= pack_wide(name, [values[one] for one in at])
    return arrays


def _contributed_sql(job: AtomsJob) -> tuple[str, str, str]:
    """Return what a row contributes (absolute), what its unit does at most over all rows, and whether it does."""
    if job.subject is None:
        return "1", str(job.tables[0].max_rows_per_unit), "TRUE"
    name = column_sql(job.subject)
    return f"abs({name})", total_column_sql(job.subject), f"{name} IS NOT NULL"


def _make_labels(session: Session, number: int, facet: JobFacet) -> JsonValue:
    """Number the values of a facet in ascending order, and return their texts; bins and presence have none."""
    if facet.column is None or facet.edges is not None:
        return []
    value = f"CAST(f{number} AS VARCHAR)" if facet.column.type is ItemType.CODE else f"f{number}"
    session.run(
        f"CREATE TEMP TABLE labels{number} AS SELECT v, row_number() OVER (ORDER BY v) - 1 AS code"  # noqa: S608 - ours
        f" FROM (SELECT DISTINCT {value} AS v FROM atoms WHERE f{number} IS NOT NULL)"
    )
    found = session.fetch(f"SELECT CAST(v AS VARCHAR) AS label FROM labels{number} ORDER BY code")  # noqa: S608 - ours
    return list(texts(found["label"]))


def _fetch(session: Session, job: AtomsJob, more: str = "") -> Columns:
    chosen, joins = [], []
    for i, facet in enumerate(job.facets):
        if facet.column is None or facet.edges is not None:
            chosen.append(f"CAST(coalesce(f{i}, -1) AS INTEGER) AS code{i}")
            continue
        value = f"CAST(f{i} AS VARCHAR)" if facet.column.type is ItemType.CODE else f"f{i}"
        chosen.append(f"CAST(coalesce(labels{i}.code, -1) AS INTEGER) AS code{i}")
        joins.append(f" LEFT JOIN labels{i} ON labels{i}.v = {value}")
    order = ", ".join(f"code{i}" for i in range(len(job.facets))) or "1"
    figures = f"n, low, high, {halves('total', 'total')}, atoms.rowid AS atom{more and ', ' + more}"
    return session.fetch(f"SELECT {', '.join([*chosen, figures])} FROM atoms{''.join(joins)} ORDER BY {order}")  # noqa: S608 - ours


def _count_units(session: Session, job: AtomsJob, found: Columns) -> NDArray[np.int64]:
    """Return units: exact where the rows do not already prove `cap` of them, elsewhere at least rows / K."""
    rows = np.asarray(found["n"], dtype=np.int64)
    bound = sum(job.tables[index].max_rows_per_unit for index in job.versions)
    if bound == 1:
        return rows
    is_solo = np.asarray(found["low"]) == np.asarray(found["high"])
    units = np.where(is_solo, 1, -(-rows // bound)).astype(np.int64)
    doubtful = ~is_solo & (rows < bound * job.cap)
    if doubtful.any():
        places = {int(atom): place for place, atom in enumerate(found["atom"])}
        counted = _count_distinct(session, job, np.asarray(found["atom"])[doubtful])
        for atom, count in zip(counted["atom"].tolist(), counted["units"].tolist(), strict=True):
            units[places[atom]] = count
    return units


def _count_distinct(session: Session, job: AtomsJob, atoms: NDArray[Any]) -> Columns:
    parameters = Parameters()
    facets = "".join(f", {_facet_sql(facet, parameters)} AS f{i}" for i, facet in enumerate(job.facets))
    wanted = parameters.add(atoms.tolist(), "BIGINT[]")
    match = " AND ".join(f"s.f{i} IS NOT DISTINCT FROM a.f{i}" for i in range(len(job.facets))) or "TRUE"
    return session.fetch(
        f"WITH s AS (SELECT {_unit_sql(job)} AS u{facets} FROM {_source_sql(job)}),"  # noqa: S608 - ours
        f" a AS (SELECT atoms.*, w.atom FROM atoms JOIN (SELECT unnest({wanted}) AS atom) AS w ON w.atom = atoms.rowid)"
        f" SELECT a.atom, count(DISTINCT u) AS units FROM s JOIN a ON {match} GROUP BY a.atom",
        parameters.values,
    )


def _source_sql(job: AtomsJob) -> str:
    first, *others = job.versions
    parts = [f"{_rows_sql(job, first)} AS t{first}"]
    for index in others:
        known = [number for number in job.versions if number < index]
        parts.append(f"FULL JOIN {_rows_sql(job, index)} AS t{index} ON {_same_row(job, index, known)}")
    for index in range(len(job.versions), len(job.tables)):
        is_version = index in job.rows_of
        on = _same_row(job, index, list(job.versions)) if is_version else f"t{index}._unit = {_unit_sql(job)}"
        parts.append(f"LEFT JOIN {_rows_sql(job, index)} AS t{index} ON {on}")
    return " ".join(parts)


def _rows_sql(job: AtomsJob, index: int) -> str:
    if not job.is_near or index not in (*job.versions, *job.rows_of):
        return f"d{index}.rows"
    return (
        f"(SELECT r.*, near._same FROM d{index}.rows AS r JOIN near"  # noqa: S608 - ours
        f" ON near.version = {index} AND near._unit = r._unit AND near._row = r._row)"
    )


def _same_row(job: AtomsJob, index: int, known: list[int]) -> str:
    agree = [f"t{index}.{name} = {_first(known, name)}" for name in ("_unit", "_row")]
    if job.same is not None:
        # Rows that are joined already agree, so that the first that is there has the value of all.
        name = "_same" if job.is_near else column_sql(job.same).partition(".")[2]
        agree.append(f"t{index}.{name} IS NOT DISTINCT FROM {_first(known, name)}")
    return " AND ".join(agree)


def _near_sql(job: AtomsJob) -> str:
    """Return the statement that numbers the values of each row, those that lie close together alike (`Sameness`)."""
    if job.same is None:
        raise ValueError("expected a column")
    name = column_sql(job.same).partition(".")[2]
    values = " UNION ALL ".join(
        f"SELECT {index} AS version, _unit, _row, CAST({name} AS DOUBLE) AS x FROM d{index}.rows"  # noqa: S608 - ours
        for index in (*job.versions, *job.rows_of)
    )
    order = "OVER (PARTITION BY _unit, _row ORDER BY x NULLS LAST, version"
    return (
        f"CREATE TEMP TABLE near AS SELECT version, _unit, _row, sum(step) {order} ROWS UNBOUNDED PRECEDING) AS _same"  # noqa: S608 - ours
        f" FROM (SELECT *, CASE WHEN row_number() {order}) = 1 OR (x IS NULL AND lag(x) {order}) IS NULL) THEN 0"
        f" WHEN x IS NULL OR (x - lag(x) {order})) * {_NEAR} > greatest(abs(x), abs(lag(x) {order}))) THEN 1"
        f" ELSE 0 END AS step FROM ({values}))"
    )


def _unit_sql(job: AtomsJob) -> str:
    return _first(list(job.versions), "_unit")


def _first(tables: list[int], name: str) -> str:
    names = [f"t{index}.{name}" for index in tables]
    return names[0] if len(names) == 1 else f"coalesce({', '.join(names)})"


def _facet_sql(facet: JobFacet, parameters: Parameters) -> str:
    if facet.column is None:
        return f"CASE WHEN t{facet.table}._unit IS NOT NULL THEN 0 END"
    return dimension_sql(JobDimension(column=facet.column, edges=facet.edges), parameters)


def _total_sql(measure: JobMeasure, job: AtomsJob, parameters: Parameters) -> str:
    """Return the total of a measure; quantiles and models are guarded as if they were the sum of their first column."""
    condition = conditions_sql(measure.where, parameters)
    if measure.kind is MeasureKind.UNITS:
        return f"count(DISTINCT {_unit_sql(job)}) FILTER (WHERE {condition})"
    if measure.kind in (MeasureKind.QUANTILE, MeasureKind.MODEL):
        measure = JobMeasure(kind=MeasureKind.SUM, columns=measure.columns[:1], where=measure.where)
    if measure.kind in (MeasureKind.ROWS, MeasureKind.VALUES):
        present = [f"{column_sql(column)} IS NOT NULL" for column in measure.columns]
        return f"count(*) FILTER (WHERE {' AND '.join([condition, *present])})"
    return f"coalesce(sum({value_sql(measure)}) FILTER (WHERE {condition}), 0)"
