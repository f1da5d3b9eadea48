"""What the figures were measured on: processor, memory, interpreter, and how long the disk takes to sync."""

import os
import platform
import sqlite3
import statistics
from pathlib import Path
from time import perf_counter

__all__ = ["describe_machine", "measure_sync_ms"]

_BLOCK = 4096


def describe_machine(folder: Path) -> dict[str, str]:
    """Return the facts that every table of figures is printed with."""
    return {
        "processor": _read_field("/proc/cpuinfo", "model name"),
        "cores": str(os.cpu_count()),
        "memory": _read_field("/proc/meminfo", "MemTotal"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fdatasync": f"{measure_sync_ms(folder):.3f} ms (median)",
        "load": ", ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def measure_sync_ms(folder: Path, *, count: int = 200) -> float:
    """Return the median time of `fdatasync` after writing one block, in milliseconds."""
    path = folder / "sync"
    times = []
    with path.open("wb") as file:
        handle = file.fileno()
        for _ in range(count):
            os.pwrite(handle, b"x" * _BLOCK, 0)
            start = perf_counter()
            os.fdatasync(handle)
            times.append((perf_counter() - start) * 1000)
    path.unlink()
    return statistics.median(times)


def _read_field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "unknown")
