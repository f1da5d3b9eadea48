"""A second world of victims: public sizes, both signs, missing values, a list that nobody may know who is on, a giant.

`lab/register` (everybody knows who is in it, in two versions) and `lab/sanctions` (nobody does), one row a firm each.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from policies.compiled import CompiledAgreement
from policies.model import Disclosure
from sandbox.candidate import Candidate, RegressionCandidate
from sandbox.catalog.model import Dataset, Visibility
from sandbox.disclosure.history_gate import NoHistoryControlBuild
from sandbox.disclosure.verdict import Judgement
from sandbox.node.home import NodeHome
from sandbox.node.wiring import open_gate
from tests.lib.attack_world import SECOND, Build, World
from tests.lib.in_process import InProcessCage
from tests.lib.items import boolean_item, code_item, number_item, unit_item
from tests.lib.nodes import PARTNER, broad_agreement, new_node, publish_table
from yingbi.events.fields import PrivacyUnit

__all__ = ["new_second_world", "open_second_world", "register", "sanctions"]

FIRMS = 360
PLACES = tuple(f"p{number}" for number in range(6))
INDUSTRIES = ("A", "B", "C", "F")
KINDS = ("fine", "warning")


def register() -> pd.DataFrame:
    """Return the firms, one row each; tests name victims by number.

    0 is the only one of industry F. 1 is the giant of place p1. 3 alone has a loss. Everybody of p4 in industry B is
    on the list of sanctions, and has a `fined_on`; nobody of p5 in industry B is.
    """
    random = np.random.default_rng(20261102)
    number = np.arange(FIRMS)
    frame = pd.DataFrame(
        {
            "number": number,
            "uscc": [f"R{at:05}" for at in number],
            "place": number % 6,
            "industry": random.choice(["A", "B", "C"], FIRMS),
            "founded": 1995 + random.integers(0, 30, FIRMS),
            "capital": random.integers(1_000_000, 9_000_000, FIRMS),
            "tax": np.round(random.lognormal(9, 0.5, FIRMS)).astype(np.int64),
            "profit": random.integers(1, 50_000, FIRMS),
            "late": random.random(FIRMS) < 0.4,
        }
    )
    frame.loc[0, ["industry", "tax"]] = ["F", 77_777]
    frame.loc[1, "tax"] = 9_000_000
    frame.loc[3, "profit"] = -4_321
    sanctioned = random.random(FIRMS) < 0.35
    sanctioned |= ((frame.place == 4) & (frame.industry == "B")).to_numpy()
    sanctioned &= ~((frame.place == 5) & (frame.industry == "B")).to_numpy()
    sanctioned[0] = False
    frame["sanctioned"] = sanctioned
    frame["fine"] = (
        pd.Series(np.where(sanctioned, random.integers(100, 999, FIRMS), 0)).where(sanctioned).astype("Int64")
    )
    frame["paid"] = pd.Series(random.integers(1_000, 9_000, FIRMS)).astype("Int64")
    frame["place"] = [PLACES[at] for at in frame.place]
    return frame


def sanctions(firms: pd.DataFrame) -> pd.DataFrame:
    """Return the list: those of the firms that are on it."""
    listed = firms[firms.sanctioned]
    return pd.DataFrame(
        {
            "uscc": listed.uscc,
            "year": 2020 + listed.number % 5,
            "kind": [KINDS[at % 2] for at in listed.number],
            "amount": 100 + listed.number,
        }
    )


def new_second_world(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame] = pd.DataFrame.copy) -> Path:
    """Publish the world, or a neighbour that `change` makes of it, into a node below `folder`; return its folder."""
    home = new_node(folder / "node")
    firms = change(register())
    # In version 2 firm 12 has filed what was missing: nothing else changed.
    before = firms.assign(paid=firms.paid.where(firms.number != 12))
    publish_table(home, _register_dataset(), _write(folder / "register.parquet", before))
    publish_table(home, _register_dataset(), _write(folder / "register2.parquet", firms))
    publish_table(home, _sanctions_dataset(), _write(folder / "sanctions.parquet", sanctions(firms)))
    home.close()
    return folder / "node"


@contextmanager
def open_second_world(node: Path, build: Build, *, rounding: int | None = None) -> Iterator[World]:
    """Open the world for two partners; without rules, nothing is refused for what its answer would tell."""
    home = NodeHome.open(node)
    firms = register()
    history = None
    if build is not Build.PRODUCT:
        history = NoHistoryControlBuild(i_know_that_differencing_will_succeed=True)
    with ExitStack() as stack:
        for target, replacement in _RULES.items() if build is Build.NO_RULES else ():
            stack.enter_context(patch(target, replacement))
        gate = stack.enter_context(open_gate(home, list(_agreements(rounding)), cage=InProcessCage(), history=history))
        yield World(gate=gate, truth=firms.set_index("number"), filings=sanctions(firms), home=home)
    home.close()


def _agreements(rounding: int | None) -> Iterator[CompiledAgreement]:
    datasets = (_register_dataset(), _sanctions_dataset())
    disclosure = None if rounding is None else Disclosure(min_entities=None, rounding=rounding)
    for name, assignee in (("agr-a-2026", PARTNER), ("agr-b-2026", SECOND)):
        yield broad_agreement(datasets, name=name, assignee=assignee, disclosure=disclosure)


def _no_table_rules(candidate: Candidate, *_: object) -> Judgement:
    nothing = {measure: np.zeros(candidate.cells, dtype=np.bool_) for measure in candidate.measures}
    return Judgement(suppress=nothing, protect=nothing, review=nothing, findings=(), remedies=())


def _no_model_rules(_: RegressionCandidate, *__: object) -> Judgement:
    return Judgement()


_RULES: dict[str, object] = {
    "sandbox.disclosure.release.judge_table": _no_table_rules,
    "sandbox.disclosure.release.judge_model": _no_model_rules,
    "sandbox.query.admit._Checks._check_membership": lambda *_: (),
    "sandbox.query.admit._Checks._check_weights": lambda *_: (),
    "sandbox.query.admit.FRACTIONS": tuple(Decimal(step) / 20 for step in range(1, 20)),
    "sandbox.query.separate._being_in": lambda *_: {},
}
"""What is off in the control build: rules on answers, and refusals because of what an answer would tell."""


def _write(path: Path, frame: pd.DataFrame) -> Path:
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return path


def _register_dataset() -> Dataset:
    return Dataset(
        name="lab/register",
        title="登记",
        owner="unit:futian-bureau",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        items=(
            unit_item(),
            code_item("place", PLACES),
            code_item("industry", INDUSTRIES),
            number_item("founded", (1990, 2030), ("2000", "2010", "2020"), visibility=Visibility.PUBLIC),
            number_item("capital", (0, 10_000_000), ("2000000", "5000000"), visibility=Visibility.PUBLIC),
            number_item("tax", (0, 100_000_000), ("5000", "10000", "20000")),
            number_item("profit", (-100_000, 100_000), ("0", "10000")),
            number_item("fine", (0, 1_000), ("500",), nullable=True),
            number_item("paid", (0, 10_000), ("5000",), nullable=True),
            boolean_item("late"),
        ),
    )


def _sanctions_dataset() -> Dataset:
    return Dataset(
        name="lab/sanctions",
        title="名单",
        owner="unit:futian-bureau",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.CONFIDENTIAL,
        items=(
            unit_item(),
            number_item("year", (2000, 2030), ("2022",), visibility=Visibility.PUBLIC),
            code_item("kind", KINDS, visibility=Visibility.CONFIDENTIAL),
            number_item("amount", (0, 10_000), ("200",)),
        ),
    )
