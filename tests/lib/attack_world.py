"""A small published world with planted victims, its truth, and a partner's view of it: questions in, answers out.

`World.ask` is all that an attacker has. `Build` says which part of the gate is on: the product, or a control build in
which an attack must succeed, so that its failure against the product means something.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from policies.compiled import CompiledAgreement
from sandbox.candidate import Candidate
from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType, Visibility
from sandbox.disclosure.history_gate import NoHistoryControlBuild
from sandbox.disclosure.released import ColumnKind, Outgoing, ReleasedModel, ReleasedRow, ReleasedTable
from sandbox.disclosure.verdict import Judgement
from sandbox.node.gate import Answer, Failed, Gate, HeldBack, Refused, Released
from sandbox.node.home import NodeHome
from sandbox.node.judging import Asking
from sandbox.node.wiring import open_gate
from sandbox.query.sql import parse_sql
from tests.lib.in_process import InProcessCage
from tests.lib.items import boolean_item, code_item, number_item, unit_item
from tests.lib.nodes import PARTNER, PURPOSE, broad_agreement, new_node, publish_table
from yingbi.canonical import JsonValue
from yingbi.events.fields import Grade, PrivacyUnit
from yingbi.plan.codec import plan_to_json

__all__ = ["CHANGED", "FIRMS", "SECOND", "Build", "DeniedError", "World", "firms_dataset", "new_world", "open_world"]

FIRMS = 420
STREETS = ("s0", "s1", "s2", "s3")
COMMUNITIES = tuple(f"c{number:02}" for number in range(12))
INDUSTRIES = ("A", "B", "C", "D", "E", "F")
SECOND = "partner:bank-b"
CHANGED = 33_333

Cell = tuple[str | None, ...]


class Build(StrEnum):
    """Which part of the gate is on."""

    PRODUCT = "product"
    NO_HISTORY = "no-history"
    NO_RULES = "no-rules"


class DeniedError(Exception):
    """A question was refused, failed or held; `said` is everything that the partner was told."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What attackers see (`ask`), and what they are after (`truth`: one row a firm; `filings`: one row a filing)."""

    gate: Gate
    truth: pd.DataFrame
    filings: pd.DataFrame
    home: NodeHome

    def ask(self, sql: str, *, partner: str = PARTNER, version: int | None = None) -> dict[Cell, list[Decimal | None]]:
        """Return the released values by cell (`*` is a total); what is suppressed is `None`."""
        asking = Asking(partner=partner, purpose=PURPOSE, sql=sql)
        if version is not None:
            plan = parse_sql(sql)
            source = replace(plan.question.source, version=version)
            asked = plan_to_json(replace(plan, question=replace(plan.question, source=source)))
            asking = Asking(partner=partner, purpose=PURPOSE, plan=asked)
        result = self.result(self.gate.answer(asking))
        assert isinstance(result, ReleasedTable)
        return {_key(row): _values(row, result) for row in result.rows}

    def one(self, sql: str, *, partner: str = PARTNER, version: int | None = None) -> Decimal | None:
        """Return the single value of an answer, `None` where it is suppressed."""
        rows = self.ask(sql, partner=partner, version=version)
        return next(iter(rows.values()))[0] if rows else None

    def model(self, plan: JsonValue, *, partner: str = PARTNER) -> ReleasedModel:
        """Return a released model."""
        result = self.result(self.gate.answer(Asking(partner=partner, purpose=PURPOSE, plan=plan)))
        assert isinstance(result, ReleasedModel)
        return result

    def result(self, answer: Answer) -> Outgoing:
        """Return what was released, or raise what a partner is told."""
        match answer:
            case Released(result=result):
                return result
            case Refused(explanation=found):
                raise DeniedError(str(found.problem or [reason.message for reason in found.reasons]))
            case Failed(problem=problem):
                raise DeniedError(str(problem))
            case HeldBack(output=output):
                raise DeniedError(str(output.notice))


def new_world(folder: Path) -> Path:
    """Publish the world into a node below `folder` and return the node's folder; `open_world` opens copies of it."""
    home = new_node(folder / "node")
    firms = _firms()
    early = firms[firms.number < FIRMS - 1].copy()
    early.loc[early.number == 64, "tax"] -= CHANGED
    publish_table(home, firms_dataset(), _write(folder / "firms.parquet", early))
    # Version 2 has one firm more, and one filed late: what either adds to a total is its own.
    publish_table(home, firms_dataset(), _write(folder / "firms2.parquet", firms))
    publish_table(home, _filings_dataset(), _write(folder / "filings.parquet", _filings(firms)))
    home.close()
    return folder / "node"


def _key(row: ReleasedRow) -> Cell:
    return tuple("*" if total else key for key, total in zip(row.keys, row.totals, strict=True))


def _values(row: ReleasedRow, table: ReleasedTable) -> list[Decimal | None]:
    """Return the values of a row in the order in which they were asked for."""
    names = [column.name for column in table.columns if column.kind is ColumnKind.VALUE]
    values = dict(zip(names, row.values, strict=True))
    return [None if values[name] is None else Decimal(str(values[name])) for name in table.order if name in values]


@contextmanager
def open_world(node: Path, build: Build) -> Iterator[World]:
    """Open the world for two partners with equal agreements; the folder remembers what is released."""
    home = NodeHome.open(node)
    firms = _firms()
    history = None
    if build is not Build.PRODUCT:
        history = NoHistoryControlBuild(i_know_that_differencing_will_succeed=True)
    rules_off = patch("sandbox.disclosure.release.judge_table", _no_rules) if build is Build.NO_RULES else nullcontext()
    with rules_off, open_gate(home, list(_agreements()), cage=InProcessCage(), history=history) as gate:
        yield World(gate=gate, truth=firms.set_index("number"), filings=_filings(firms), home=home)
    home.close()


def _no_rules(candidate: Candidate, *_: object) -> Judgement:
    nothing = {measure: np.zeros(candidate.cells, dtype=np.bool_) for measure in candidate.measures}
    return Judgement(suppress=nothing, protect=nothing, review=nothing, findings=(), remedies=())


def _agreements() -> Iterator[CompiledAgreement]:
    datasets = (firms_dataset(), _filings_dataset())
    yield broad_agreement(datasets, name="agr-a-2026", assignee=PARTNER)
    yield broad_agreement(datasets, name="agr-b-2026", assignee=SECOND)


def _firms() -> pd.DataFrame:
    random = np.random.default_rng(20261101)
    number = np.arange(FIRMS)
    community = number % 12
    frame = pd.DataFrame(
        {
            "number": number,
            "uscc": [f"U{at:05}" for at in number],
            "community": community,
            "industry": random.choice(list(INDUSTRIES[:5]), FIRMS),
            "size": random.choice(["small", "medium", "large"], FIRMS, p=[0.6, 0.3, 0.1]),
            "founded": 1995 + random.integers(0, 30, FIRMS),
            "staff": random.integers(1, 200, FIRMS),
            "tax": np.round(random.lognormal(9, 0.6, FIRMS)).astype(np.int64),
            "penalised": random.random(FIRMS) < 0.3,
        }
    )
    _plant(frame)
    frame["penalties"] = frame.penalised.astype(np.int64)
    frame["street"] = [STREETS[place // 3] for place in frame.community]
    moved = frame.community.where(frame.number != 15, 4)
    frame["community_2025"] = [COMMUNITIES[place] for place in moved]
    frame["community"] = [COMMUNITIES[place] for place in frame.community]
    return frame


def _plant(frame: pd.DataFrame) -> None:
    """Plant the victims; tests name them by number."""
    # 0: the only firm of industry F, known to everybody.
    frame.loc[0, ["industry", "tax"]] = ["F", 77_777]
    # 2: a giant in its community and industry; 6 and 18: two that together own theirs.
    frame.loc[2, ["industry", "tax"]] = ["E", 9_000_000]
    frame.loc[[6, 18], "industry"] = "D"
    frame.loc[6, "tax"], frame.loc[18, "tax"] = 3_000_000, 2_000_000
    # Everybody of community c11 in industry A is penalised, and nobody of c10 in industry B.
    frame.loc[(frame.community == 11) & (frame.industry == "A"), "penalised"] = True
    frame.loc[(frame.community == 10) & (frame.industry == "B"), "penalised"] = False
    # 15: moves from c03 to c04 in the 2025 hierarchy; the last one comes with version 2.
    frame.loc[[15, FIRMS - 1], "tax"] = [55_555, 44_444]
    # 64: paid more between version 1 and version 2.
    frame.loc[64, "tax"] = 40_000
    # 30: the only firm with 500 staff or more, above an edge.
    frame.loc[30, ["staff", "tax"]] = [700, 66_666]


def _filings(firms: pd.DataFrame) -> pd.DataFrame:
    """Return up to eight filings a firm; firm 40 is alone in kind `rare` with eight of them."""
    rows = []
    for firm in firms.itertuples():
        count = 8 if firm.number == 40 else 2
        kind = "rare" if firm.number == 40 else "usual"
        amounts = [1111 + at if firm.number == 40 else int(firm.tax) // 10 + at for at in range(count)]
        rows += [
            {"uscc": firm.uscc, "number": at, "street": firm.street, "kind": kind, "amount": amount}
            for at, amount in enumerate(amounts)
        ]
    return pd.DataFrame(rows)


def _write(path: Path, frame: pd.DataFrame) -> Path:
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return path


def firms_dataset() -> Dataset:
    return Dataset(
        name="lab/firms",
        title="企业",
        owner="unit:futian-bureau",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        items=(
            unit_item(),
            code_item("street", STREETS),
            code_item("community", COMMUNITIES, parent="street"),
            code_item("community_2025", COMMUNITIES, parent="street"),
            code_item("industry", INDUSTRIES),
            code_item("size", ("small", "medium", "large")),
            number_item("founded", (1990, 2030), ("2000", "2010", "2020"), visibility=Visibility.PUBLIC),
            number_item("staff", (0, 1000), ("10", "50", "100", "500")),
            number_item("tax", (0, 100_000_000), ("1000", "5000", "10000", "20000", "100000")),
            number_item("penalties", (0, 1), ("1",)),
            boolean_item("penalised"),
        ),
    )


def _filings_dataset() -> Dataset:
    return Dataset(
        name="lab/filings",
        title="申报",
        owner="unit:futian-bureau",
        privacy_unit=PrivacyUnit.ENTERPRISE,
        membership=Visibility.PUBLIC,
        max_rows_per_unit=8,
        items=(
            unit_item(),
            DataItem(
                name="number",
                title="序号",
                type=ItemType.INTEGER,
                role=ItemRole.ROW_KEY,
                visibility=Visibility.PUBLIC,
                grade=Grade.GENERAL_1,
                nullable=False,
                bounds=(Decimal(0), Decimal(7)),
            ),
            code_item("street", STREETS),
            code_item("kind", ("usual", "rare")),
            number_item("amount", (0, 100_000_000), ("1000", "10000")),
        ),
    )
