"""Run the benchmarks and print one table.

`python -m bench [--section SECTION] [--entries N] [--large] [--rows N] [--small] [--folder DIR]`
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.appends import measure_appends
from bench.bundles import measure_bundles
from bench.certificates import measure_certificates
from bench.figures import Figure
from bench.gate import measure_gate
from bench.hub import SMALL, Sizes, measure_hub
from bench.machine import describe_machine
from bench.proofs import measure_audit, measure_proofs
from bench.rounds import measure_rounds

_LARGE = 10_000_000
_SECTIONS = ("log", "gate", "hub", "rounds", "certificates")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--section", choices=_SECTIONS, help="measure one part only")
    parser.add_argument("--entries", type=int, default=1_000_000, help="size of the log for proofs and audit")
    parser.add_argument("--large", action="store_true", help=f"also proofs at {_LARGE:,} entries (12 GB of disk)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the data set that the gate is measured on")
    parser.add_argument("--small", action="store_true", help="hub and rounds: everything runs once, on little")
    parser.add_argument("--folder", type=Path, help="where to put everything; a temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        machine = describe_machine(folder)
        figures = []
        if options.section in (None, "log"):
            figures += _measure_log(folder, options.entries, is_large=options.large)
        if options.section in (None, "gate"):
            figures += measure_gate(_new(folder, "gate"), options.rows)
        if options.section in (None, "hub"):
            figures += _measure_hub(folder, is_small=options.small)
        if options.section in (None, "rounds"):
            figures += measure_rounds(_new(folder, "rounds"), runs=1 if options.small else 3)
        if options.section in (None, "certificates"):
            figures += measure_certificates()
        _show(machine, figures)


def _measure_log(folder: Path, entries: int, *, is_large: bool) -> list[Figure]:
    figures = measure_appends(_new(folder, "appends"))
    place = _new(folder, "proofs")
    figures += measure_proofs(place, entries, target_ms=0.5)
    figures += measure_audit(place, entries, with_statements=True)
    if is_large:
        figures += measure_proofs(_new(folder, "large"), _LARGE, target_ms=0.8)
    return figures


def _measure_hub(folder: Path, *, is_small: bool) -> list[Figure]:
    figures = measure_hub(_new(folder, "hub"), SMALL if is_small else Sizes())
    return figures + measure_bundles(_new(folder, "bundle"), 500 if is_small else 10_000, runs=1 if is_small else 5)


def _new(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _show(machine: dict[str, str], figures: list[Figure]) -> None:
    console = Console(width=180)
    console.print("; ".join(f"{name}: {value}" for name, value in machine.items()))
    table = Table("figure", "median", "runs", "target", "beside")
    for figure in figures:
        runs = " ".join(f"{run:,.4g}" if run < 10 else f"{run:,.0f}" for run in figure.runs)
        value = f"{figure.value:,.3f}" if figure.value < 100 else f"{figure.value:,.0f}"
        table.add_row(figure.name, f"{value} {figure.unit}", runs, figure.target, figure.baseline)
    console.print(table)


main()
