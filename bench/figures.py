"""Figures: repeated measurements with their median, target and what they are compared with."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

__all__ = ["Figure", "median_rate", "median_time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the result: `value` in `unit`, all runs, the target in words, and the ratio to the baseline."""

    name: str
    value: float
    unit: str
    runs: Sequence[float]
    target: str = ""
    baseline: str = ""


def median_rate(run: Callable[[], int], *, runs: int) -> tuple[float, list[float]]:
    """Call `run` (returns how many things it did) `runs` times; return the median of things per second, and all."""
    rates = []
    for _ in range(runs):
        start = perf_counter()
        count = run()
        rates.append(count / (perf_counter() - start))
    return statistics.median(rates), rates


def median_time(run: Callable[[], object], *, runs: int) -> tuple[float, list[float]]:
    """Call `run` `runs` times; return the median of seconds, and all."""
    times = []
    for _ in range(runs):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return statistics.median(times), times
