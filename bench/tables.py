"""Tables with everything that the rules need, in turn with plain DuckDB on the same snapshot and the same query."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Final

import duckdb
from sqlalchemy import create_engine

from bench.figures import Figure
from bench.filings import FILINGS, Filings
from policies.disclosure import DisclosureRules
from sandbox.candidate import Candidate
from sandbox.disclosure.history.history import History
from sandbox.disclosure.history.store import HistoryStore
from sandbox.disclosure.history_gate import HistoryGate, HistoryVerdict, Proposal
from sandbox.disclosure.release import ReleaseContext, release
from sandbox.engine_duckdb.engine import DuckdbEngine
from sandbox.engine_duckdb.job import Settings, TableJob
from sandbox.engine_duckdb.resolve import Resolver, resolve_table
from sandbox.engine_duckdb.session import Session
from sandbox.engine_duckdb.snapshots import FolderSnapshots
from sandbox.engine_duckdb.tables import compute_table
from sandbox.operations.registry import measures_of
from tests.lib.in_process import InProcessCage
from yingbi.clock import SystemClock
from yingbi.plan.model import Aggregate, Column, Comparison, Condition, Dimension, Function, Source, TableQuestion

__all__ = ["ask_table", "measure_tables"]

_RULES: Final = DisclosureRules(min_units=5)
_RUNS: Final = 7
_THREADS: Final = 2
_MEMORY: Final = 4 << 30

# What earlier questions asked: 1,010 cells, hence as many sums.
_EARLIER: Final = (
    ("street", "size", "year"),
    ("industry", "size", "year"),
    ("street", "industry"),
    ("industry", "year"),
    ("street", "year"),
    ("street", "size"),
    ("size", "year"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    name: str
    by: tuple[str, ...]
    column: str | None = "tax"
    year: str | None = None
    margins: bool = False

    def question(self, version: int) -> TableQuestion:
        """Return the question: count, and the sum of a column."""
        return ask_table(self.by, self.column, version=version, year=self.year, margins=self.margins)

    def sql(self, table: str) -> str:
        """Return the same question in plain SQL."""
        names = ", ".join(self.by)
        total = "" if self.column is None else f", sum({self.column})"
        where = "" if self.year is None else f" WHERE year = '{self.year}'"
        grouped = f"CUBE ({names})" if self.margins else names
        return f"SELECT {names}, count(*){total} FROM {table}{where} GROUP BY {grouped}"


_CASES: Final = (
    _Case(name="street, industry, year: count, sum", by=("street", "industry", "year")),
    _Case(name="the same of a column with both signs", by=("street", "industry", "year"), column="profit"),
    _Case(name="with half-years: a row a unit", by=("street", "industry", "year", "half")),
    _Case(name="street, industry, size: ten rows a unit", by=("street", "industry", "size")),
    _Case(name="zone, industry, of one year", by=("zone", "industry"), year="2024"),
    _Case(name="street, industry, year with all margins", by=("street", "industry", "year"), margins=True),
    _Case(name="street, industry, year: count", by=("street", "industry", "year"), column=None),
)


class _Nothing:
    """A history that remembers nothing, to time everything else."""

    def judge(self, proposal: Proposal) -> HistoryVerdict:
        """Find nothing."""
        del proposal
        return HistoryVerdict(suppress={}, findings=(), token="")

    def record(self, token: str) -> None:
        """Remember nothing."""

    def discard(self, token: str) -> None:
        """Forget nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Again:
    """A history that judges as the true one and forgets what it judged, so that it can be timed again."""

    history: HistoryGate

    def judge(self, proposal: Proposal) -> HistoryVerdict:
        """Judge."""
        return self.history.judge(proposal)

    def record(self, token: str) -> None:
        """Forget."""
        self.history.discard(token)

    def discard(self, token: str) -> None:
        """Forget."""
        self.history.discard(token)


def ask_table(
    by: Sequence[str], column: str | None, *, version: int, year: str | None = None, margins: bool = False
) -> TableQuestion:
    """Return the question for a count and the sum of a column, of one year or of all."""
    aggregates = [Aggregate(function=Function.COUNT)]
    if column is not None:
        aggregates.append(Aggregate(function=Function.SUM, column=_column(column)))
    return TableQuestion(
        source=Source(dataset=FILINGS, version=version),
        group_by=tuple(Dimension(column=_column(name)) for name in by),
        aggregates=tuple(aggregates),
        where=()
        if year is None
        else (Condition(column=_column("year"), comparison=Comparison.EQ, values=(year,)),),
        margins=margins,
    )


def measure_tables(filings: Filings, source: Path, folder: Path) -> list[Figure]:
    """Measure every case, and the first one also with rules and history, each in turn with plain DuckDB."""
    settings = Settings(
        data=(str(filings.folder),), memory_bytes=_MEMORY, threads=_THREADS, temp_bytes=_MEMORY
    )
    plain = _plain(source, filings)
    figures = []
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for case in _CASES:
            job = _job(case.question(filings.version.version), filings)
            figures += _beside(case, plain, lambda job=job: _compute(job, settings, scratch))
        figures += _measure_gate(_CASES[0], filings, plain, settings, scratch)
    plain.close()
    return figures


def _plain(source: Path, filings: Filings) -> duckdb.DuckDBPyConnection:
    """Return plain DuckDB over the snapshot, and over the source as anybody would load it: dimensions are texts."""
    config = {"threads": str(_THREADS), "memory_limit": f"{_MEMORY}B"}
    connection = duckdb.connect(":memory:", config=config)
    connection.execute(f"ATTACH '{filings.folder / 'data.duckdb'}' AS d (READ_ONLY)")
    connection.execute(f"ATTACH '{source.with_suffix('.duckdb')}' AS texts")
    connection.execute(f"CREATE TABLE texts.rows AS SELECT * FROM '{source}'")
    return connection


def _beside(case: _Case, plain: duckdb.DuckDBPyConnection, ours: Callable[[], object]) -> list[Figure]:
    times = _in_turn(
        [
            lambda: plain.execute(case.sql("d.rows")).fetchnumpy(),
            lambda: plain.execute(case.sql("texts.rows")).fetchnumpy(),
            ours,
        ]
    )
    return [_figure(f"table, {case.name}", times[2], times[0], times[1])]


def _measure_gate(
    case: _Case, filings: Filings, plain: duckdb.DuckDBPyConnection, settings: Settings, scratch: str
) -> list[Figure]:
    question = case.question(filings.version.version)
    job = _job(question, filings)
    engine = DuckdbEngine(
        cage=InProcessCage(), snapshots=FolderSnapshots(filings.data), catalogue=lambda: filings.catalogue
    )
    store = HistoryStore(create_engine("sqlite://"), SystemClock())
    store.prepare()
    history = History(store, engine)
    answers = _ask_earlier(engine, history, filings)
    candidate = _run(engine, question)
    context = ReleaseContext(catalogue=filings.catalogue)
    release(candidate, _RULES, _Again(history=history), context=context)
    times = _in_turn(
        [
            lambda: plain.execute(case.sql("d.rows")).fetchnumpy(),
            lambda: plain.execute(case.sql("texts.rows")).fetchnumpy(),
            lambda: _compute(job, settings, scratch),
            lambda: release(candidate, _RULES, _Nothing(), context=context),
            lambda: release(candidate, _RULES, _Again(history=history), context=context),
        ]
    )
    rules = [one + other for one, other in zip(times[2], times[3], strict=True)]
    everything = [one + other for one, other in zip(times[2], times[4], strict=True)]
    name = f"table, {case.name}"
    return [
        _figure(f"{name}, all rules and layout", rules, times[0], times[1]),
        _figure(f"{name}, and history of {answers:,} sums", everything, times[0], times[1], target="1.5 times plain"),
    ]


def _ask_earlier(engine: DuckdbEngine, history: HistoryGate, filings: Filings) -> int:
    """Ask the earlier questions and return how many sums came out."""
    answers = 0
    for by in _EARLIER:
        candidate = _run(engine, ask_table(by, "tax", version=filings.version.version))
        found = release(candidate, _RULES, history, context=ReleaseContext(catalogue=filings.catalogue))
        answers += sum(row.values[-1] is not None for row in getattr(found, "rows", ()))
    return answers


def _run(engine: DuckdbEngine, question: TableQuestion) -> Candidate:
    found = engine.compute(question, measures_of(question), _RULES)
    if not isinstance(found, Candidate):
        raise TypeError("expected a table")
    return found


def _job(question: TableQuestion, filings: Filings) -> TableJob:
    resolver = Resolver.of_source(question.source, filings.catalogue)
    return resolve_table(question, measures_of(question), resolver, _RULES)


def _compute(job: TableJob, settings: Settings, scratch: str) -> None:
    with Session(replace(settings), scratch) as session:
        compute_table(session, job, lambda percent: None)


def _in_turn(runs: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Call all in turn, once to warm up and then several times; return seconds."""
    times: list[list[float]] = [[] for _ in runs]
    for number in range(_RUNS + 1):
        for place, run in enumerate(runs):
            start = perf_counter()
            run()
            if number:
                times[place].append(perf_counter() - start)
    return times


def _figure(name: str, ours: list[float], plain: list[float], texts: list[float], *, target: str = "") -> Figure:
    ratios = [statistics.median(one / other for one, other in zip(ours, beside, strict=True)) for beside in (plain, texts)]
    shown = [statistics.median(beside) * 1000 for beside in (plain, texts)]
    return Figure(
        name=name,
        value=statistics.median(ours) * 1000,
        unit="ms",
        runs=[time * 1000 for time in ours],
        target=target,
        baseline=f"{ratios[0]:.2f} times plain ({shown[0]:,.0f} ms), {ratios[1]:.2f} times plain on texts ({shown[1]:,.0f} ms)",
    )


def _column(name: str) -> Column:
    return Column(dataset=FILINGS, name=name)
