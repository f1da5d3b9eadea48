"""The offline verification of an evidence bundle as a whole process, beside checking its digests with `sha512sum`."""

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.figures import Figure
from policies.parse import parse_agreement
from tests.lib.audited_log import TERMS, AuditedLog
from yingbi.clock import SystemClock

__all__ = ["measure_bundles"]

_ENTRIES_A_JOB: Final = 9
_TERMS: Final = TERMS.replace("2026-11-01", "2026-01-01").replace("2027-01-31", "2035-12-31")
_LIMITS: Final = ("{jobs: 5, jobs_per_day: 4", "{jobs: 1000000, jobs_per_day: 1000000")


def measure_bundles(folder: Path, entries: int, *, runs: int = 5) -> list[Figure]:
    """Measure on a bundle of a log of `entries`: a bureau's first days, and then jobs from request to delivery."""
    place = _fill(entries).write(folder)
    bundle, roots = folder / "bundle.zip", place / "roots.json"
    source = ("--log", place / "log", "--trust", roots, "--documents", place / "documents")
    made = _take(lambda: _yingbi("audit", "bundle", *source, "--out", bundle))
    ours, digests, starts = [], [], []
    for number in range(runs):
        ours.append(_take(lambda: _yingbi("verify", bundle, "--trust", roots)))
        digests.append(_take(partial(_check_digests, bundle, folder / f"unpacked-{number}")))
        starts.append(_take(lambda: _yingbi("verify", "--help")))
    value, processor = _medians(ours)
    beside = f"{processor:.2f} s of processor time; `yingbi verify --help` {_medians(starts)[0]:.2f} s"
    name = f"bundle of {entries:,} entries ({bundle.stat().st_size >> 10:,} KiB)"
    return [
        Figure(
            name=f"{name}, verified offline",
            value=value,
            unit="s",
            runs=[wall for wall, _ in ours],
            target="under 3 s",
            baseline=f"{beside}; unzip and sha512sum -c {_medians(digests)[0]:.2f} s",
        ),
        Figure(name=f"{name}, made, with all controls", value=made[0], unit="s", runs=[made[0]]),
    ]


def _take(run: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that a child process took, and those of the processor."""
    before, start = os.times(), perf_counter()
    run()
    wall, after = perf_counter() - start, os.times()
    return wall, sum(after[2:4]) - sum(before[2:4])


def _medians(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(wall for wall, _ in times), statistics.median(processor for _, processor in times)


def _fill(entries: int) -> AuditedLog:
    """Return a log of exactly so many entries, the last of them of the present."""
    terms = parse_agreement(_TERMS.replace(*_LIMITS).encode())
    began = SystemClock().now() - timedelta(minutes=entries + 2)  # it grows by an entry a minute
    log = AuditedLog(at=began, terms=terms).found()
    number = 0
    while log.size + _ENTRIES_A_JOB <= entries:
        number += 1
        log.run_job(f"job-{number:06}")
    while log.size < entries:
        number += 1
        log.submit(f"job-{number:06}")
    return log


def _yingbi(*arguments: object) -> None:
    command = [sys.executable, "-m", "yingbi", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def _check_digests(bundle: Path, place: Path) -> None:
    """Do what an auditor without this software would: unpack, and have the digests of the bag checked."""
    unzip = ["unzip", "-q", str(bundle), "-d", str(place)]
    if shutil.which("unzip") is None:
        unzip = [sys.executable, "-m", "zipfile", "-e", str(bundle), str(place)]
    subprocess.run(unzip, check=True, capture_output=True)
    (root,) = place.iterdir()
    command = ["sha512sum", "--quiet", "-c", "manifest-sha512.txt"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
