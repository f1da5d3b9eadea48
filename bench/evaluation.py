"""How useful the gate leaves the data: ordinary questions over generated data, and what becomes of them.

`python -m bench.evaluation --scale 0.1` makes a node, asks `bench.questions.ORDINARY` one after the other as one
partner, and prints how many were released, refused, failed and held, how many values were suppressed and by what, and
how long an answer took. A question that the gate keeps from an honest analyst is a false block.
"""

import argparse
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.machine import describe_machine
from bench.questions import ORDINARY
from sandbox.disclosure.released import ReleasedTable
from sandbox.node.gate import Answer, Failed, Gate, HeldBack, Refused, Released
from sandbox.node.judging import Asking
from sandbox.node.wiring import open_gate
from sandbox.synth.catalogue import catalogue
from sandbox.synth.generate import generate
from tests.lib.nodes import PARTNER, PURPOSE, broad_agreement, new_node, publish_table
from yingbi.clock import SystemClock


@dataclass(slots=True)
class Tally:
    """What became of the questions."""

    outcomes: Counter[str] = field(default_factory=Counter)
    kept_back: list[tuple[str, str]] = field(default_factory=list)
    values: int = 0
    suppressed: int = 0
    whole: int = 0
    risks: Counter[str] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)

    def add(self, question: str, answer: Answer) -> None:
        """Count one answer."""
        self.outcomes[type(answer).__name__.lower()] += 1
        match answer:
            case Refused(explanation=found):
                self.kept_back.append((question, str(found.problem or found.reasons[0].message)))
            case Failed(problem=problem):
                self.kept_back.append((question, str(problem)))
            case HeldBack(output=output):
                self.kept_back.append((question, f"held: {output.notice['findings']}"))
            case Released(result=ReleasedTable() as table):
                hidden = sum(sum(row.suppressed) for row in table.rows)
                self.values += sum(len(row.values) for row in table.rows)
                self.suppressed += hidden
                self.whole += not hidden
                self.risks.update(risk.value for risk in table.risks)


def main() -> None:
    """Ask all ordinary questions and print what became of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.evaluation")
    parser.add_argument("--scale", default="0.1", help="scale of the generated data; 1 is a district")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to put the node; a temporary folder by default")
    options = parser.parse_args()
    console = Console(width=160)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        console.print("; ".join(f"{key}: {value}" for key, value in describe_machine(folder).items()))
        home = new_node(folder / "node", clock=SystemClock(), isolation="bubblewrap")
        declared = {dataset.name: dataset for dataset in catalogue()}
        for written in generate(folder / "synth", scale=Decimal(options.scale), seed=options.seed):
            if written.name in declared:
                publish_table(home, declared[written.name], written.path)
        with open_gate(home, [broad_agreement(declared.values())]) as gate:
            show(console, ask_all(gate), options.scale)
        home.close()


def ask_all(gate: Gate) -> Tally:
    """Ask every ordinary question once, in order."""
    tally = Tally()
    for question in track(ORDINARY, description="questions", console=Console(stderr=True)):
        start = perf_counter()
        tally.add(question, gate.answer(Asking(partner=PARTNER, purpose=PURPOSE, sql=question)))
        tally.times_s.append(perf_counter() - start)
    return tally


def show(console: Console, tally: Tally, scale: str) -> None:
    """Print the tally."""
    released = tally.outcomes["released"]
    table = Table("figure", "value", title=f"{len(ORDINARY)} ordinary questions, scale {scale}")
    table.add_row("outcomes", ", ".join(f"{count} {name}" for name, count in tally.outcomes.most_common()))
    table.add_row("false blocks (not released)", f"{1 - released / len(ORDINARY):.1%}")
    table.add_row("tables released whole", f"{tally.whole} of {released}")
    table.add_row("values suppressed", f"{tally.suppressed} of {tally.values} ({tally.suppressed / tally.values:.1%})")
    table.add_row("tables in which values are suppressed for", ", ".join(f"{k} {v}" for k, v in tally.risks.items()))
    table.add_row("seconds an answer", f"median {median(tally.times_s):.2f}, largest {max(tally.times_s):.2f}")
    console.print(table)
    for question, why in tally.kept_back:
        console.print(f"not released: {question}\n    {why}", markup=False, highlight=False)


if __name__ == "__main__":
    main()
