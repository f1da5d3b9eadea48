"""Regressions, in the cage: exact sums in the engine, small dense algebra in NumPy (docs/cage.md, "Regressions").

Linear: the cross products of all terms are exact integers (grouped by the codes, so that indicators cost nothing), are
centred exactly, and only then become floats. Logistic: iteratively reweighted least squares over the distinct rows of
features, streamed in pieces. The leverage of a unit is the sum over its rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sandbox.catalog.model import ItemType
from sandbox.engine_duckdb.compile import Parameters, column_sql, conditions_sql, halves, source_sql
from sandbox.engine_duckdb.job import JobColumn, JobRules, RegressionJob, TableJob
from sandbox.engine_duckdb.session import Columns, Session, integers, texts
from sandbox.engine_duckdb.tables import count_outside, tables_used
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, RefusedError
from yingbi.plan.model import Family

__all__ = ["compute_regression"]

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

_BATCH_ROWS: Final = 1 << 16
_MAX_TERMS: Final = 512
_MAX_STEPS: Final = 50
_STEP: Final = 1e-10
_MAX_LOGIT: Final = 30.0
_SINGULAR: Final = 1e-11
_CATEGORIES: Final = frozenset({ItemType.CODE, ItemType.BOOLEAN})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    """A column of the design: a number, or the indicator of a level (by its code)."""

    feature: int
    level: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moments:
    """Exact sums of terms and target, and what follows from them: means, spreads, correlations."""

    rows: int
    means: Floats
    spreads: Floats
    correlations: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fit:
    """Parameters in stored units, intercept first; `inverse` is of the standardised terms' information matrix."""

    coefficients: Floats
    errors: Floats
    inverse: Floats
    weights: Floats | None = None
    r_squared: float | None = None
    is_converged: bool = True


def compute_regression(
    session: Session, job: RegressionJob, progress: Callable[[int], None]
) -> tuple[JsonValue, Arrays]:
    """Fit a regression and measure what the rules need; the host turns it into a `RegressionCandidate`."""
    model = _Model(session, job)
    model.load()
    progress(30)
    moments = model.moments()
    fit = model.fit(moments)
    progress(80)
    leverage = model.leverage(moments, fit)
    factors = model.factors()
    value, arrays = model.describe()
    arrays["coefficients"] = fit.coefficients * factors
    arrays["standard_errors"] = fit.errors * factors
    arrays["leverage"] = np.array([leverage])
    if fit.r_squared is not None:
        arrays["r_squared"] = np.array([fit.r_squared])
    value["converged"] = fit.is_converged
    progress(100)
    return value, arrays


class _Model:
    def __init__(self, session: Session, job: RegressionJob) -> None:
        self._session = session
        self._job = job
        self._levels: dict[int, list[str]] = {}
        self._terms: list[_Term] = []

    def load(self) -> None:
        """Copy the complete rows (unit, target, features; codes as numbers) to a table of the session."""
        parameters = Parameters()
        columns = (self._job.target, *self._job.features)
        # A boolean target is 0 or 1; a boolean feature has levels, as a code has.
        stored = [f"CAST({column_sql(columns[0])} AS BIGINT)", *map(_stored_sql, columns[1:])]
        chosen = [f"{sql} AS {name}" for name, sql in zip(self._names(), stored, strict=True)]
        present = " AND ".join(f"{column_sql(column)} IS NOT NULL" for column in columns)
        where = conditions_sql(self._job.where, parameters)
        sql = (
            f"CREATE TEMP TABLE complete AS SELECT t0._unit AS u, {', '.join(chosen)}"  # noqa: S608 - ours
            f" FROM {self._source()} WHERE {where} AND {present}"
        )
        self._session.run(sql, parameters.values)
        for number, feature in enumerate(self._job.features):
            if feature.type in _CATEGORIES:
                self._levels[number] = self._number_levels(number)
        self._terms = list(self._make_terms())
        if len(self._terms) > _MAX_TERMS:
            raise RefusedError(ErrorCode.RESOURCE_LIMIT, f"expected at most {_MAX_TERMS} terms")
        joins = "".join(f" JOIN levels{n} ON levels{n}.v = x{n}" for n in self._levels)
        numbers = [f"levels{n}.code AS x{n}" if n in self._levels else f"x{n}" for n in range(len(self._job.features))]
        self._session.run(
            f"CREATE TEMP TABLE model AS SELECT u, y, {', '.join(numbers)} FROM complete{joins} ORDER BY ALL"  # noqa: S608 - ours
        )

    def moments(self) -> _Moments:
        """Return exact moments of terms and target (the target comes last)."""
        groups = self._grouped()
        products = self._products()
        rows = sum(groups["n"])
        sums = [self._sum_of(groups, term) for term in self._terms] + [sum(groups["y"])]
        size = len(sums)
        centred = np.zeros((size, size), dtype=object)
        for i in range(size):
            for j in range(i, size):
                total = self._cross(groups, products, i, j)
                centred[i, j] = centred[j, i] = rows * total - sums[i] * sums[j]
        spreads = np.array([sqrt(centred[i, i]) / rows if rows else 0.0 for i in range(size)])
        scale = np.array([sqrt(centred[i, i]) or 1.0 for i in range(size)])
        correlations = np.array([[centred[i, j] / scale[i] / scale[j] for j in range(size)] for i in range(size)])
        means = np.array([total / rows if rows else 0.0 for total in sums])
        return _Moments(rows=rows, means=means, spreads=spreads, correlations=correlations)

    def fit(self, moments: _Moments) -> _Fit:
        """Fit the model; one whose terms do not determine its parameters has none (NaN) and is not converged."""
        size = len(self._terms)
        inner = moments.correlations[:size, :size]
        enough = moments.rows > size + 1 and bool((moments.spreads > 0).all())
        if not enough or (size and float(np.linalg.eigvalsh(inner)[0]) < _SINGULAR):
            nothing = np.full(size + 1, np.nan)
            return _Fit(
                coefficients=nothing, errors=nothing, inverse=np.zeros((size + 1, size + 1)), is_converged=False
            )
        return _fit_linear(moments) if self._job.family is Family.LINEAR else self._fit_logistic(moments)

    def leverage(self, moments: _Moments, fit: _Fit) -> float:
        """Return the largest leverage of a unit: one where there is no fit."""
        if not fit.is_converged:
            return 1.0
        largest, unit, carried = 0.0, None, 0.0
        for batch in self._session.batches("SELECT * FROM model ORDER BY u", rows=_BATCH_ROWS):
            design = self._design(batch, moments)
            values = np.einsum("ij,jk,ik->i", design, fit.inverse, design)
            if fit.weights is not None:
                values *= _variance(_logistic(design @ fit.weights))
            units, starts = np.unique(batch["u"], return_index=True)
            sums = np.add.reduceat(values, starts)
            if unit == units[0]:
                sums[0] += carried
            largest = max(largest, float(sums.max()))
            unit, carried = units[-1], float(sums[-1])
        return largest

    def factors(self) -> Floats:
        """Return what turns parameters of stored integers into those of real numbers."""
        target = 10.0 ** self._job.scales[0] if self._job.family is Family.LINEAR else 1.0
        terms = [1.0 if term.level is not None else 10.0 ** self._job.scales[1 + term.feature] for term in self._terms]
        return np.array([1.0, *terms]) / target

    def describe(self) -> tuple[dict[str, JsonValue], Arrays]:
        """Return counts: rows, units, units by level and class, what the filter selects and leaves out."""
        rows, units, events = self._session.row("SELECT count(*), count(DISTINCT u), sum(y) FROM model")
        parameters = Parameters()
        where = conditions_sql(self._job.where, parameters)
        selected = self._session.row(
            f"SELECT count(*), count(DISTINCT t0._unit) FROM {self._source()} WHERE {where}",  # noqa: S608 - ours
            parameters.values,
        )
        outside = count_outside(self._session, self._as_table(), int(selected[0]))
        value: dict[str, JsonValue] = {
            "rows": int(rows),
            "units": int(units),
            "selected": [int(selected[0]), int(selected[1]), True],
            "outside": list(outside),
            "terms": [[term.feature, term.level] for term in self._terms],
            "levels": [[n, list(names), list(self._units_by(f"x{n}"))] for n, names in self._levels.items()],
        }
        if self._job.family is Family.LOGISTIC:
            by_class = {int(y): int(count) for y, count in self._classes()}
            value |= {"events": int(events or 0), "classes": [by_class.get(0, 0), by_class.get(1, 0)]}
        return value, {}

    # --- terms --------------------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        return ["y", *(f"x{number}" for number in range(len(self._job.features)))]

    def _source(self) -> str:
        columns = (self._job.target, *self._job.features, *(condition.column for condition in self._job.where))
        return source_sql(self._job.tables, tables_used(columns))

    def _number_levels(self, number: int) -> list[str]:
        self._session.run(
            f"CREATE TEMP TABLE levels{number} AS SELECT v, row_number() OVER (ORDER BY v) - 1 AS code"  # noqa: S608 - ours
            f" FROM (SELECT DISTINCT x{number} AS v FROM complete)"
        )
        found = self._session.fetch(f"SELECT v FROM levels{number} ORDER BY code")  # noqa: S608 - ours
        return [text for text in texts(found["v"]) if text is not None]

    def _make_terms(self) -> Iterator[_Term]:
        for number in range(len(self._job.features)):
            if number not in self._levels:
                yield _Term(feature=number)
            # The first level in code point order is the reference.
            for level in range(1, len(self._levels.get(number, ()))):
                yield _Term(feature=number, level=level)

    def _units_by(self, name: str) -> list[int]:
        found = self._session.fetch(
            f"SELECT {name}, count(DISTINCT u) AS units FROM model GROUP BY {name} ORDER BY {name}"  # noqa: S608 - ours
        )
        return [int(units) for units in found["units"].tolist()]

    def _classes(self) -> list[tuple[int, int]]:
        found = self._session.fetch("SELECT y, count(DISTINCT u) AS units FROM model GROUP BY y ORDER BY y")
        return list(zip(found["y"].tolist(), found["units"].tolist(), strict=True))

    def _as_table(self) -> TableJob:
        rules = JobRules(min_units=2**31, top=1, share="1/1", p_percent=0)
        return TableJob(
            tables=self._job.tables, where=self._job.where, dimensions=(), measures=(), margins=False, rules=rules
        )

    def _design(self, batch: Columns, moments: _Moments) -> Floats:
        """Return the standardised design of a piece: intercept, then every term less its mean, by its spread."""
        columns = [np.ones(len(next(iter(batch.values()))))]
        for place, term in enumerate(self._terms):
            values = np.asarray(batch[f"x{term.feature}"])
            raw = values.astype(np.float64) if term.level is None else (values == term.level).astype(np.float64)
            columns.append((raw - moments.means[place]) / moments.spreads[place])
        return np.column_stack(columns)

    # --- exact sums ---------------------------------------------------------------------------------------------------

    def _numbers(self) -> list[int]:
        return [number for number in range(len(self._job.features)) if number not in self._levels]

    def _grouped(self) -> dict[str, list[int]]:
        """Return rows and sums by every combination of codes."""
        keys = [f"x{number}" for number in self._levels]
        summed = ["y", *(f"x{number}" for number in self._numbers())]
        figures = [halves(f"coalesce(sum({name}), 0)", f"s_{name}") for name in summed]
        grouping = f" GROUP BY {', '.join(keys)} ORDER BY {', '.join(keys)}" if keys else ""
        found = self._session.fetch(f"SELECT {', '.join([*keys, 'count(*) AS n', *figures])} FROM model{grouping}")  # noqa: S608 - ours
        groups = {name: integers(found, f"s_{name}") for name in summed}
        return groups | {name: [int(value) for value in found[name].tolist()] for name in ["n", *keys]}

    def _products(self) -> dict[tuple[str, str], int]:
        """Return the sums of products of numbers and target."""
        names = [*(f"x{number}" for number in self._numbers()), "y"]
        pairs = [(one, other) for place, one in enumerate(names) for other in names[place:]]
        figures = [
            halves(f"coalesce(sum(CAST({one} AS HUGEINT) * {other}), 0)", f"p{place}")
            for place, (one, other) in enumerate(pairs)
        ]
        found = self._session.fetch(f"SELECT {', '.join(figures)} FROM model")  # noqa: S608 - ours
        return {pair: integers(found, f"p{place}")[0] for place, pair in enumerate(pairs)}

    def _sum_of(self, groups: dict[str, list[int]], term: _Term) -> int:
        if term.level is None:
            return sum(groups[f"x{term.feature}"])
        return _weighted(groups["n"], groups, [term])

    def _cross(self, groups: dict[str, list[int]], products: dict[tuple[str, str], int], i: int, j: int) -> int:
        """Return the sum of products of two terms (the target is the last)."""
        terms = [self._terms[place] for place in (i, j) if place < len(self._terms)]
        names = [f"x{term.feature}" for term in terms if term.level is None]
        names += ["y"] * ((i == len(self._terms)) + (j == len(self._terms)))
        indicators = [term for term in terms if term.level is not None]
        if len(names) == 2:
            return products[names[0], names[1]]
        return _weighted(groups[names[0]] if names else groups["n"], groups, indicators)

    # --- logistic -----------------------------------------------------------------------------------------------------

    def _fit_logistic(self, moments: _Moments) -> _Fit:
        names = ", ".join(f"x{number}" for number in range(len(self._job.features)))
        self._session.run(
            f"CREATE TEMP TABLE distinct_rows AS SELECT {names}, count(*) AS n, CAST(sum(y) AS BIGINT) AS events"  # noqa: S608 - ours
            f" FROM model GROUP BY {names} ORDER BY {names}"
        )
        weights = np.zeros(len(self._terms) + 1)
        information: Floats = np.eye(len(weights), dtype=np.float64)
        is_converged = False
        for _ in range(_MAX_STEPS):
            gradient, information, reach = self._newton(moments, weights)
            if reach > _MAX_LOGIT or float(np.linalg.eigvalsh(information)[0]) < _SINGULAR:
                break
            step = np.linalg.solve(information, gradient)
            weights = weights + step
            if float(np.abs(step).max()) < _STEP:
                is_converged = True
                break
        if not is_converged:
            nothing = np.full(len(weights), np.nan)
            return _Fit(coefficients=nothing, errors=nothing, inverse=information, is_converged=False)
        inverse: Floats = np.linalg.inv(self._newton(moments, weights)[1]).astype(np.float64)
        back = _unstandardised(moments, len(self._terms))
        return _Fit(
            coefficients=back @ weights,
            errors=np.sqrt(np.diag(back @ inverse @ back.T)),
            inverse=inverse,
            weights=weights,
        )

    def _newton(self, moments: _Moments, weights: Floats) -> tuple[Floats, Floats, float]:
        """Return gradient and information of the log likelihood, and the largest logit."""
        gradient = np.zeros(len(weights))
        information = np.zeros((len(weights), len(weights)))
        reach = 0.0
        for batch in self._session.batches("SELECT * FROM distinct_rows", rows=_BATCH_ROWS):
            design = self._design(batch, moments)
            counts, events = batch["n"].astype(np.float64), batch["events"].astype(np.float64)
            logits = design @ weights
            chance = _logistic(logits)
            gradient += design.T @ (events - counts * chance)
            information += (design * (counts * _variance(chance))[:, None]).T @ design
            reach = max(reach, float(np.max(np.abs(logits), initial=0.0)))
        return gradient, information, reach


def _fit_linear(moments: _Moments) -> _Fit:
    size = len(moments.means) - 1
    inner, outer = moments.correlations[:size, :size], moments.correlations[:size, size]
    inverse = np.linalg.inv(inner)
    standard = np.linalg.solve(inner, outer)
    explained = min(1.0, max(0.0, float(outer @ standard)))
    spread = moments.spreads[size]
    residual = (1.0 - explained) * spread**2 * moments.rows / (moments.rows - size - 1)
    # Of the standardised design, intercept first: the information is the number of rows times the correlations.
    block = np.zeros((size + 1, size + 1))
    block[0, 0] = 1.0 / moments.rows
    block[1:, 1:] = inverse / moments.rows
    back = _unstandardised(moments, size)
    return _Fit(
        coefficients=back @ np.concatenate(([moments.means[size]], standard * spread)),
        errors=np.sqrt(residual * np.diag(back @ block @ back.T)),
        inverse=block,
        r_squared=explained,
    )


def _unstandardised(moments: _Moments, size: int) -> Floats:
    """Return the matrix from parameters of standardised terms to those of the terms themselves."""
    back = np.zeros((size + 1, size + 1))
    back[0, 0] = 1.0
    for place in range(size):
        back[place + 1, place + 1] = 1.0 / moments.spreads[place]
        back[0, place + 1] = -moments.means[place] / moments.spreads[place]
    return back


def _weighted(values: list[int], groups: dict[str, list[int]], indicators: list[_Term]) -> int:
    """Return the sum of `values` over the groups in which every indicator is one."""
    total = 0
    for place, value in enumerate(values):
        if all(groups[f"x{term.feature}"][place] == term.level for term in indicators):
            total += value
    return total


def _stored_sql(column: JobColumn) -> str:
    name = column_sql(column)
    return f"CAST({name} AS VARCHAR)" if column.type in _CATEGORIES else name


def _logistic(values: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(values, -700.0, 700.0)))
    return result


def _variance(chance: Floats) -> Floats:
    return chance * (1.0 - chance)
