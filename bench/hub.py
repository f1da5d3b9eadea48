"""The hub and what goes through it: questions to their verified results, signed reads, submissions of many partners.

Hub, witness and node are processes of their own over TLS on loopback, set up as the demonstration does.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, sleep
from typing import Final

from bench.figures import Figure
from bench.requests import measure_reads, measure_submissions
from bench.scene import PURPOSE, TERMS, Scene, agree, bring_in
from policies.compiled import compile_agreement
from policies.model import Agreement
from policies.parse import parse_agreement
from sandbox.node.gate import Gate, Released
from sandbox.node.home import NodeHome
from sandbox.node.judging import Asking
from sandbox.node.wiring import open_gate
from yingbi.cli.demo.setting import BANK, TAX
from yingbi.client import Client
from yingbi.clock import parse_time

__all__ = ["SMALL", "Sizes", "measure_hub"]

_TABLE: Final = "tax.annual_filings"
_YEARS: Final = ("2023", "2024", "2025")
_SHAPES: Final = (
    "select street, count(*) from {table} where year = '{year}' group by street",
    "select size, count(*) from {table} where year = '{year}' group by size",
    "select street, avg(tax_paid) from {table} where year = '{year}' group by street",
    "select size, avg(tax_paid) from {table} where year = '{year}' group by size",
    "select count(*), avg(tax_paid) from {table} where year = '{year}'",
    "select street, count(distinct uscc) from {table} where year = '{year}' group by street",
    "select size, count(*) from {table} where year = '{year}' and street = '福田街道' group by size",
)
_IN_HASTE: Final = (
    "select size, count(distinct uscc) from {table} where year = '{year}' group by size",
    "select street, count(*), avg(tax_paid) from {table} where year = '{year}' group by street",
    "select size, count(*), avg(tax_paid) from {table} where year = '{year}' group by size",
)
_PAUSE_S: Final = 1.0
_WARM_UP: Final = "select year, count(*) from tax.annual_filings group by year"
_STEPS: Final = (
    ("asked to submitted", "asked", "job.submitted"),
    ("submitted to leased", "job.submitted", "job.leased"),
    ("leased to started", "job.leased", "job.started"),
    ("started to released", "job.started", "output.released"),
    ("released to heard by the analyst", "output.released", "heard"),
    ("heard to decrypted and verified", "heard", "verified"),
)
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured: questions with a pause and without, reads of a run, partners, their submissions, runs."""

    questions: int = 20
    in_haste: int = 9
    reads: int = 1600
    partners: int = 50
    each: int = 4
    runs: int = 3


SMALL: Final = Sizes(questions=2, in_haste=2, reads=80, partners=4, each=2, runs=1)
"""Sizes at which everything runs and nothing is measured well."""


def measure_hub(folder: Path, sizes: Sizes) -> list[Figure]:
    """Set the scene in `folder`, and measure one after the other: the node is asked first and stopped then."""
    with Scene(folder / "stage") as scene:
        cast, url = scene.begin()
        try:
            terms = parse_agreement(TERMS.encode())
            agree(cast, [terms])
            bank = cast.client(BANK)
            figures, job = _measure_questions(scene, bank, terms, sizes)
            scene.kill(TAX.name)
            partners = bring_in(cast, terms, sizes.partners)
            with scene.apart():
                figures.append(measure_reads(scene, url, cast.key(BANK), job, count=sizes.reads, runs=sizes.runs))
                query = bank.sql(_questions(_SHAPES, 1)[0])
                figures.append(measure_submissions(scene, url, partners, query, each=sizes.each, runs=sizes.runs))
        finally:
            cast.close()
    return figures


def _measure_questions(scene: Scene, bank: Client, terms: Agreement, sizes: Sizes) -> tuple[list[Figure], str]:
    """Ask through the hub and, in turn, a gate in this process over a copy of the same node; return a job too.

    A pause before each lets the worker start that waits for the next question; then some are asked without.
    """
    home = NodeHome.open(scene.copy_node())
    took: list[float] = []
    floor: list[float] = []
    steps: list[list[float]] = []
    with open_gate(home, [compile_agreement(terms)]) as gate:
        _ask(bank, _WARM_UP, terms)
        _ask_gate(gate, _WARM_UP)
        before = {name: scene.spent_s(name) for name in ("hub", TAX.name, "witness")}
        for sql in _questions(_SHAPES, sizes.questions):
            sleep(_PAUSE_S)
            job, seconds, parts = _ask(bank, sql, terms)
            took.append(seconds * 1000)
            steps.append([part * 1000 for part in parts])
            sleep(_PAUSE_S)
            floor.append(_ask_gate(gate, sql) * 1000)
        spent = [(scene.spent_s(name) - then) * 1000 / len(took) for name, then in before.items()]
        hurried = [_ask(bank, sql, terms)[1] * 1000 for sql in _questions(_IN_HASTE, sizes.in_haste)]
    home.close()
    value, least = statistics.median(took), statistics.median(floor)
    ratio = statistics.median(one / other for one, other in zip(took, floor, strict=True))
    high = statistics.quantiles(took, n=20, method="inclusive")[-1]
    beside = "processor of hub {:.0f} ms, node {:.0f} ms, witness {:.0f} ms".format(*spent)
    figures = [
        Figure(
            name=f"{len(took)} questions: submitted, released, decrypted and verified (p50; runs: p95)",
            value=value,
            unit="ms",
            runs=[high],
            target="under 400 ms",
            baseline=f"the gate alone {least:,.0f} ms, {ratio:.2f} times that; {beside}",
        ),
    ]
    for (name, _, _), times in zip(_STEPS, zip(*steps, strict=True), strict=True):
        part = statistics.median(times)
        beside = f"{part / value:.0%} of the whole"
        figures.append(Figure(name=f"  {name}", value=part, unit="ms", runs=[min(times), max(times)], baseline=beside))
    runs = [min(hurried), max(hurried)]
    name = f"{len(hurried)} questions without a pause (p50)"
    figures.append(Figure(name=name, value=statistics.median(hurried), unit="ms", runs=runs))
    return figures, job


def _questions(shapes: Sequence[str], count: int) -> list[str]:
    found = [shape.format(table=_TABLE, year=year) for shape in shapes for year in _YEARS]
    if count > len(found):
        raise ValueError(f"expected at most {len(found)} questions")
    return found[:count]


def _ask(bank: Client, sql: str, terms: Agreement) -> tuple[str, float, list[float]]:
    """Return the job of a question, the seconds to its verified result, and the seconds of its steps."""
    query = bank.sql(sql)
    at = {"asked": datetime.now(UTC)}
    start = perf_counter()
    job = query.submit(agreement=terms.id, purpose=terms.purpose).wait(timeout_s=_TIMEOUT_S, progress=False)
    at["heard"] = datetime.now(UTC)
    if not job.status.has_result:
        raise RuntimeError(f"expected a result of `{sql}`: {job.status}")
    job.released()
    took = perf_counter() - start
    at["verified"] = datetime.now(UTC)
    # An entry's time is when its batch was judged; writing it and the witness come after.
    for receipt in job.receipts():
        at.setdefault(receipt.type, parse_time(json.loads(receipt.entry)["time"]))
    return job.id, took, [(at[end] - at[begin]).total_seconds() for _, begin, end in _STEPS]


def _ask_gate(gate: Gate, sql: str) -> float:
    start = perf_counter()
    answer = gate.answer(Asking(partner=BANK, purpose=PURPOSE, sql=sql))
    took = perf_counter() - start
    if not isinstance(answer, Released):
        raise TypeError(f"expected an answer to `{sql}`, not {answer}")
    return took
