"""Tables with everything that the rules need, in turn with plain DuckDB on the same snapshot and the same query."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

import duckdb
from sqlalchemy import create_engine

from bench.figures import Figure
from bench.filings import TABLE, Filings, admit_sql
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
from sandbox.query.admit import Admitted
from tests.lib.in_process import InProcessCage
from yingbi.clock import SystemClock
from yingbi.plan.model import TableQuestion

__all__ = ["measure_tables"]

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

    def sql(self, table: str) -> str:
        """Return the question, of a table of the data set or of plain DuckDB."""
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


def measure_tables(filings: Filings, source: Path, folder: Path) -> list[Figure]:
    """Measure every case, and the first one also with rules and history, each in turn with plain DuckDB.

    Both sides have a connection that is open, with the data in its memory; a job on a connection of its own beside
    plain DuckDB that opens one is a figure by itself.
    """
    settings = Settings(data=(str(filings.folder),), memory_bytes=_MEMORY, threads=_THREADS, temp_bytes=_MEMORY)
    with tempfile.TemporaryDirectory(dir=folder) as scratch, Session(settings, scratch) as session:
        with _plain(source, filings) as plain:
            figures = [_measure_case(case, filings, session, plain) for case in _CASES]
            figures += _measure_gate(_CASES[0], filings, session, plain)
        figures.append(_measure_fresh(_CASES[0], filings, settings, scratch))
    return figures


def _connect() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": str(_THREADS), "memory_limit": f"{_MEMORY}B"})


def _plain(source: Path, filings: Filings) -> duckdb.DuckDBPyConnection:
    """Return plain DuckDB over the snapshot, and over the source as anybody would load it: dimensions are texts."""
    connection = _connect()
    connection.execute(f"ATTACH '{filings.folder / 'data.duckdb'}' AS d (READ_ONLY)")
    connection.execute(f"ATTACH '{source.with_suffix('.duckdb')}' AS texts")
    connection.execute(f"CREATE TABLE texts.rows AS SELECT * FROM '{source}'")
    return connection


def _measure_case(case: _Case, filings: Filings, session: Session, plain: duckdb.DuckDBPyConnection) -> Figure:
    job = _job(admit_sql(case.sql(TABLE), filings), filings)
    times = _in_turn([*_beside(case, plain), lambda: _compute(session, job)])
    return _figure(f"table, {case.name}", times[2], times[:2])


def _measure_fresh(case: _Case, filings: Filings, settings: Settings, scratch: str) -> Figure:
    job = _job(admit_sql(case.sql(TABLE), filings), filings)

    def plain() -> None:
        with _connect() as connection:
            connection.execute(f"ATTACH '{filings.folder / 'data.duckdb'}' AS d (READ_ONLY)")
            connection.execute(case.sql("d.rows")).fetchnumpy()

    def ours() -> None:
        with Session(settings, scratch) as session:
            compute_table(session, job, lambda percent: None)

    times = _in_turn([plain, ours])
    return _figure(f"table, {case.name}, each on a connection of its own", times[1], times[:1])


def _beside(case: _Case, plain: duckdb.DuckDBPyConnection) -> list[Callable[[], object]]:
    return [
        lambda: plain.execute(case.sql("d.rows")).fetchnumpy(),
        lambda: plain.execute(case.sql("texts.rows")).fetchnumpy(),
    ]


def _measure_gate(case: _Case, filings: Filings, session: Session, plain: duckdb.DuckDBPyConnection) -> list[Figure]:
    admitted = admit_sql(case.sql(TABLE), filings)
    job = _job(admitted, filings)
    engine = DuckdbEngine(
        cage=InProcessCage(), snapshots=FolderSnapshots(filings.data), catalogue=lambda: filings.catalogue
    )
    store = HistoryStore(create_engine("sqlite://"), SystemClock())
    store.prepare()
    history = History(store, engine)
    answers = _ask_earlier(engine, history, filings)
    candidate = _run(engine, admitted)
    context = ReleaseContext(catalogue=filings.catalogue, presentation=admitted.plan.presentation)
    release(candidate, admitted.rules, _Again(history=history), context=context)
    times = _in_turn(
        [
            *_beside(case, plain),
            lambda: _compute(session, job),
            lambda: release(candidate, admitted.rules, _Nothing(), context=context),
            lambda: release(candidate, admitted.rules, _Again(history=history), context=context),
        ]
    )
    rules = [one + other for one, other in zip(times[2], times[3], strict=True)]
    everything = [one + other for one, other in zip(times[2], times[4], strict=True)]
    name = f"table, {case.name}"
    return [
        _figure(f"{name}, all rules and layout", rules, times[:2]),
        _figure(f"{name}, and history of {answers:,} sums", everything, times[:2], target="1.5 times plain"),
    ]


def _ask_earlier(engine: DuckdbEngine, history: HistoryGate, filings: Filings) -> int:
    """Ask the earlier questions and return how many sums came out."""
    answers = 0
    for by in _EARLIER:
        admitted = admit_sql(_Case(name="", by=by).sql(TABLE), filings)
        context = ReleaseContext(catalogue=filings.catalogue, presentation=admitted.plan.presentation)
        found = release(_run(engine, admitted), admitted.rules, history, context=context)
        answers += sum(row.values[-1] is not None for row in getattr(found, "rows", ()))
    return answers


def _run(engine: DuckdbEngine, admitted: Admitted) -> Candidate:
    found = engine.run(admitted)
    if not isinstance(found, Candidate):
        raise TypeError("expected a table")
    return found


def _job(admitted: Admitted, filings: Filings) -> TableJob:
    question = admitted.question
    if not isinstance(question, TableQuestion):
        raise TypeError("expected a table")
    resolver = Resolver.of_source(question.source, filings.catalogue)
    return resolve_table(question, admitted.measures, resolver, admitted.rules)


def _compute(session: Session, job: TableJob) -> None:
    session.run("DROP TABLE IF EXISTS cells")
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


def _figure(name: str, ours: list[float], plain: Sequence[list[float]], *, target: str = "") -> Figure:
    """Return a figure with its ratios, run by run, to plain DuckDB on the snapshot and on texts."""
    shown = []
    for beside, what in zip(plain, ("plain", "plain on texts"), strict=False):
        ratio = statistics.median(one / other for one, other in zip(ours, beside, strict=True))
        shown.append(f"{ratio:.2f} times {what} ({statistics.median(beside) * 1000:,.0f} ms)")
    return Figure(
        name=name,
        value=statistics.median(ours) * 1000,
        unit="ms",
        runs=[time * 1000 for time in ours],
        target=target,
        baseline=", ".join(shown),
    )
