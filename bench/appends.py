"""How fast entries become durable: one caller, 256 callers, batches of 1,000; beside plain SQLite inserts."""

import threading
from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure, median_rate
from bench.logs import PlainSqlite, make_statements, new_log
from ledger.log import Log
from yingbi.statement import Statement, parse_statement

__all__ = ["measure_appends"]

_CALLERS = 256
_EACH = 60
_SINGLE = 500
_BATCHES = 40


def measure_appends(folder: Path, *, runs: int = 5) -> list[Figure]:
    """Measure on a new log in `folder`; statements are made beforehand, as their signers would."""
    statements = make_statements(1000)
    rows = [statement.envelope for statement in statements]
    log, store = new_log(folder)
    plain = PlainSqlite(folder)
    try:
        parsing, parsing_runs = median_rate(lambda: _parse(rows), runs=runs)
        return [
            _compare(
                "durable appends, 1 caller",
                lambda: _append_one_by_one(log, statements),
                lambda: _insert(plain, rows),
                runs,
                "at least 150/s",
            ),
            _compare(
                f"durable appends, {_CALLERS} concurrent callers",
                lambda: _in_threads(lambda at: log.append(statements[at])),
                lambda: _in_threads(lambda at: plain.insert([rows[at]])),
                runs,
                "at least 7,000/s",
            ),
            _compare(
                "durable appends, batches of 1,000",
                lambda: _batches(lambda: log.append_batch(statements)),
                lambda: _batches(lambda: plain.insert(rows)),
                runs,
                "at least 20,000/s",
            ),
            Figure(name="parsing and validating a statement", value=parsing, unit="/s", runs=parsing_runs),
        ]
    finally:
        plain.close()
        log.close()
        store.close()


def _compare(name: str, ours: Callable[[], int], plain: Callable[[], int], runs: int, target: str) -> Figure:
    # In turn, so that a machine whose speed drifts is fair to both.
    rates: list[float] = []
    others: list[float] = []
    for _ in range(runs):
        rates += median_rate(ours, runs=1)[1]
        others += median_rate(plain, runs=1)[1]
    value, other = sorted(rates)[runs // 2], sorted(others)[runs // 2]
    baseline = f"plain SQLite {other:,.0f}/s; ours is {value / other:.2f} of it"
    return Figure(name=name, value=value, unit="/s", runs=rates, target=target, baseline=baseline)


def _append_one_by_one(log: Log, statements: list[Statement]) -> int:
    for statement in statements[:_SINGLE]:
        log.append(statement)
    return _SINGLE


def _insert(plain: PlainSqlite, rows: list[bytes]) -> int:
    for row in rows[:_SINGLE]:
        plain.insert([row])
    return _SINGLE


def _in_threads(call: Callable[[int], object]) -> int:
    def work() -> None:
        for at in range(_EACH):
            call(at)

    threads = [threading.Thread(target=work) for _ in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _CALLERS * _EACH


def _batches(call: Callable[[], object]) -> int:
    for _ in range(_BATCHES):
        call()
    return _BATCHES * 1000


def _parse(rows: list[bytes]) -> int:
    for row in rows:
        parse_statement(row)
    return len(rows)
