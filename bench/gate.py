"""The gate: publication, judging a question, workers, tables beside plain DuckDB, spilling, history."""

from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep
from typing import Final

from bench.figures import Figure, median_time
from bench.filings import TABLE, Filings, admit_sql, judge_of, publish_filings, write_filings
from bench.histories import measure_history
from bench.tables import measure_tables
from policies.evaluate import evaluate
from policies.request import Context, Request
from sandbox.catalog.view import CatalogueFacts
from sandbox.engine_duckdb.engine import DuckdbEngine
from sandbox.engine_duckdb.snapshots import FolderSnapshots
from sandbox.isolation.bubblewrap import BubblewrapCage, find_bubblewrap
from sandbox.isolation.cage import Cage
from sandbox.isolation.limits import MEBIBYTE, Limits
from sandbox.isolation.pool import CagePool
from sandbox.isolation.uncaged import UncagedForDevelopment
from sandbox.node.judging import Asking
from sandbox.query.uses import operations, uses
from tests.lib.nodes import NOW, PARTNER, PURPOSE

__all__ = ["measure_gate"]

_QUESTION: Final = f"SELECT street, industry, year, count(*), sum(tax) FROM {TABLE} GROUP BY street, industry, year"
_SMALL: Final = f"SELECT half, count(*) FROM {TABLE} GROUP BY half"
_SPILLING: Final = f"SELECT zone, count(distinct uscc), median(tax) FROM {TABLE} GROUP BY zone"
_SPILL_ROW: Final = 64
_SPILL_LEAST: Final = 128 * MEBIBYTE
_JUDGED: Final = 200
_DECIDED: Final = 20_000
_RUNS: Final = 5
_START_S: Final = 1.5


def measure_gate(folder: Path, rows: int) -> list[Figure]:
    """Measure every part over generated filings of about `rows` rows."""
    source = folder / "filings.parquet"
    write_filings(source, rows=rows)
    start = perf_counter()
    filings = publish_filings(source, folder)
    took = perf_counter() - start
    name = f"publication of {rows:,} rows (Parquet of {source.stat().st_size >> 20} MB)"
    return [
        Figure(name=name, value=took, unit="s", runs=[took]),
        *_measure_judging(filings),
        *_measure_workers(filings),
        *measure_tables(filings, source, folder),
        _measure_spill(filings, rows),
        *measure_history(),
    ]


def _measure_judging(filings: Filings) -> list[Figure]:
    judge = judge_of(filings)
    asking = Asking(partner=PARTNER, purpose=PURPOSE, sql=_QUESTION)
    value, runs = median_time(lambda: judge.judge(asking, filings.catalogue, {}), runs=_JUDGED)
    return [
        Figure(
            name="SQL text to admitted plan", value=value * 1000, unit="ms", runs=_extremes(runs, 1000), target="2 ms"
        ),
        _measure_decision(filings),
    ]


def _measure_decision(filings: Filings) -> Figure:
    plan = admit_sql(_QUESTION, filings).plan
    request = Request(
        assignee=PARTNER,
        purpose=PURPOSE,
        operations=operations(plan),
        datasets=(plan.question.source.dataset,),
        uses=uses(plan),
        place=judge_of(filings).place,
    )
    context = Context(at=NOW, catalogue=CatalogueFacts(filings.catalogue))
    agreements = judge_of(filings).agreements
    value, runs = median_time(lambda: evaluate(agreements, request, context), runs=_DECIDED)
    return Figure(
        name="one decision on policies, p50", value=value * 1e6, unit="µs", runs=_extremes(runs, 1e6), target="10 µs"
    )


def _measure_workers(filings: Filings) -> list[Figure]:
    """Measure the smallest job with a new worker and with one that waits; a moment lets its successor start."""
    cage, how = _cage()
    snapshots = FolderSnapshots(filings.data)
    admitted = admit_sql(_SMALL, filings)
    engine = DuckdbEngine(cage=cage, snapshots=snapshots, catalogue=lambda: filings.catalogue)
    engine.run(admitted)
    cold, cold_runs = median_time(lambda: engine.run(admitted), runs=_RUNS)
    with CagePool(cage) as pool:
        engine = DuckdbEngine(cage=pool, snapshots=snapshots, catalogue=lambda: filings.catalogue)
        spec = engine.warm(admitted)
        times = []
        for _ in range(_RUNS):
            pool.warm(spec)
            sleep(_START_S)
            times.append(median_time(lambda: engine.run(admitted), runs=1)[0])
    warm = sorted(times)[len(times) // 2]
    return [
        Figure(name=f"job of two cells, new worker ({how})", value=cold, unit="s", runs=cold_runs),
        Figure(name=f"job of two cells, worker that waited ({how})", value=warm, unit="s", runs=times),
    ]


def _measure_spill(filings: Filings, rows: int) -> Figure:
    cage, _ = _cage()
    memory = max(_SPILL_LEAST, rows * _SPILL_ROW)
    limits = replace(Limits(), memory_bytes=memory)
    engine = DuckdbEngine(cage=cage, snapshots=FolderSnapshots(filings.data), catalogue=lambda: filings.catalogue)
    admitted = admit_sql(_SPILLING, filings)
    value, runs = median_time(lambda: engine.run(admitted, limits=limits), runs=1)
    name = f"distinct units and medians of 60 zones over {rows:,} rows within {memory >> 20} MiB"
    return Figure(name=name, value=value, unit="s", runs=runs)


def _cage() -> tuple[Cage, str]:
    if find_bubblewrap() is None:
        return UncagedForDevelopment(), "not isolated"
    return BubblewrapCage(), "bubblewrap"


def _extremes(runs: list[float], factor: float) -> list[float]:
    """Return least, 5 %, 95 % and greatest of many runs."""
    ordered = sorted(runs)
    return [ordered[place] * factor for place in (0, len(runs) // 20, len(runs) * 19 // 20, len(runs) - 1)]
