"""A small data set of firms on which attacks are played, with history and without (the control)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from policies.disclosure import DisclosureRules
from sandbox.catalog.model import Catalogue, ItemType
from sandbox.disclosure.history import History, HistoryLimits, HistoryStore
from sandbox.disclosure.history_gate import HistoryVerdict
from tests.lib.atoms import (
    ArraySource,
    Data,
    column,
    combination_is_in_span,
    equations,
    make_catalogue,
    make_dataset,
    make_item,
    propose,
)
from yingbi.clock import SystemClock
from yingbi.plan.model import Column, TableQuestion

__all__ = ["FIRMS", "RULES", "Node", "make_node", "make_store"]

FIRMS = 40
RULES = DisclosureRules(min_units=4)
_STREETS, _SECTORS, _OLD, _NEW = ("a", "b"), ("x", "y", "z"), ("p", "q", "r"), ("P", "Q", "R")


def make_store() -> HistoryStore:
    """Return a history in a database of its own."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    store = HistoryStore(engine, SystemClock())
    store.prepare()
    return store


@dataclass(slots=True, eq=False)
class Node:
    """A node that answers: `learned` is what an attacker knows with history, `asked` what he would without."""

    data: Mapping[tuple[str, int], Data]
    catalogue: Catalogue
    history: History
    secret: Sequence[Column] = ()
    units: int = FIRMS
    learned: list[NDArray[np.int64]] = field(default_factory=list)
    asked: list[NDArray[np.int64]] = field(default_factory=list)

    def ask(self, question: TableQuestion, rules: DisclosureRules = RULES) -> HistoryVerdict:
        """Judge, record and learn."""
        proposal = propose(self.data, self.catalogue, question, rules)
        verdict = self.history.judge(proposal)
        self.history.record(verdict.token)
        measure, one = next(iter(proposal.measures.items()))
        released = one.publishable & ~verdict.suppress.get(measure, np.zeros(len(one.publishable), dtype=bool))
        for known, mask in ((self.learned, released), (self.asked, one.publishable)):
            known.append(equations(self.data, self.catalogue, proposal, mask, self.secret, self.units))
        return verdict

    def gives_away(self, unit: int, *, with_history: bool, public_rows: bool = False) -> bool:
        """Tell exactly whether any combination of one unit's variables follows from what came out."""
        known = np.concatenate(self.learned if with_history else self.asked)
        width = known.shape[1] // self.units
        places = list(range(unit * width, (unit + 1) * width))
        if not public_rows:
            return combination_is_in_span(known, places)
        # That a unit counts once is known to everybody: one combination is no news.
        once = np.kron(np.eye(self.units, dtype=np.int64), np.ones((1, width), np.int64))
        return combination_is_in_span(np.concatenate((known, once)), places, known=1)


def make_node(
    *, secret: Sequence[str] = (), limits: HistoryLimits | None = None, rows: int = 1, public_members: bool = True
) -> Node:
    """Return a node with two versions of the firms (the last joins in the second) and licences (firm 7 has none)."""
    data = {("unit/firms", 1): _firms(FIRMS - 1, rows), ("unit/firms", 2): _firms(FIRMS, rows)}
    licensed = np.array([unit for unit in range(FIRMS - 1) if unit != 7])
    licences = {"grade": np.array(["g" if unit % 2 else "h" for unit in licensed], dtype=object)}
    data["unit/licences", 1] = Data(unit=licensed, row=np.zeros(len(licensed), dtype=np.int64), columns=licences)
    firms = make_dataset(
        "unit/firms",
        [
            make_item("street", public=True, domain=_STREETS),
            make_item("sector", public=True, domain=_SECTORS),
            make_item("community", public=True, domain=_OLD),
            make_item("community_2025", public=True, domain=_NEW),
            make_item("staff", ItemType.INTEGER, public=True),
            make_item("penalised", ItemType.BOOLEAN),
            make_item("tax", ItemType.INTEGER, edges=("100", "500")),
        ],
        public_members=public_members,
        rows=rows,
    )
    others = make_dataset("unit/licences", [make_item("grade", public=True, domain=("g", "h"))])
    catalogue = make_catalogue([firms, others], data)
    history = History(make_store(), ArraySource(data=data, catalogue=catalogue), limits)
    return Node(data=data, catalogue=catalogue, history=history, secret=[column(name) for name in secret])


def _firms(count: int, rows: int) -> Data:
    unit = np.repeat(np.arange(count), rows)
    moved = np.where(unit == 7, 1, unit // 13 % 3)
    columns = {
        "street": np.array(_STREETS)[unit % 2],
        "sector": np.array(_SECTORS)[unit % 3],
        "community": np.array(_OLD)[unit // 13 % 3],
        "community_2025": np.array(_NEW)[moved],
        "staff": unit.astype(str),
        "penalised": np.array(["false", "true"])[(unit * 7 // 3) % 2],
        "tax": (unit * 37 % 1000).astype(str),
    }
    return Data(
        unit=unit,
        row=np.tile(np.arange(rows), count),
        columns={name: values.astype(object) for name, values in columns.items()},
    )
