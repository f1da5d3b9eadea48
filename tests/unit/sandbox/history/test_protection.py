"""Explicit other worlds: how far a held value can move while every released number stays."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from scipy import sparse

from sandbox.disclosure.history import History
from sandbox.disclosure.history.protection import Equations, other_worlds
from tests.lib.atoms import ArraySource, ask, column, propose
from tests.unit.sandbox.history.firms import RULES, make_node, make_store
from yingbi.events.outputs import CheckVerdict
from yingbi.plan.model import Comparison, Condition

_UNBOUNDED = 1e9


def _moves(released: list[list[int]], held: list[int], values: list[float], upper: float = _UNBOUNDED) -> Decimal:
    equations = Equations(
        released=sparse.csr_array(np.array(released, dtype=float).reshape(len(released), len(values))),
        held=sparse.csr_array(np.array([held], dtype=float)),
    )
    return other_worlds(equations, np.array(values), np.full(len(values), upper))[0].percent


@pytest.mark.parametrize(
    ("released", "held", "values", "percent"),
    [
        pytest.param([[1, 1]], [1, 0], [100, 100], 100, id="two equal parts of a known sum"),
        pytest.param([[1, 1]], [1, 0], [100, 5], 5, id="the other part leaves little room"),
        pytest.param([[1, 0], [0, 1]], [1, 0], [100, 100], 0, id="determined"),
        pytest.param([[1, 1], [0, 1]], [1, 0], [100, 50], 0, id="determined by a difference"),
    ],
)
def test_how_far_a_held_value_moves(
    released: list[list[int]], held: list[int], values: list[float], percent: int
) -> None:
    assert abs(_moves(released, held, values) - percent) <= Decimal("0.01")


def test_a_total_of_zero_is_left_to_determination() -> None:
    equations = Equations(released=sparse.csr_array([[1.0, 1.0]]), held=sparse.csr_array([[1.0, 0.0], [0.0, 1.0]]))
    moved = other_worlds(equations, np.array([0.0, 100.0]), np.full(2, _UNBOUNDED))
    assert len(moved) == 1


def test_a_declared_bound_leaves_less_room() -> None:
    assert _moves([[1, 1]], [1, 0], [50, 50]) == 100
    assert _moves([[1, 1]], [1, 0], [50, 50], upper=60) == 20


@pytest.mark.parametrize(("bound", "verdict"), [(10_000, CheckVerdict.PASS), (910, CheckVerdict.REVIEW)])
def test_a_held_value_that_can_hardly_move_is_for_a_person(bound: int, verdict: CheckVerdict) -> None:
    node = make_node()
    firms = node.catalogue.datasets["unit/firms"]
    items = tuple(
        replace(item, bounds=(Decimal(0), Decimal(bound))) if item.name == "tax" else item for item in firms.items
    )
    catalogue = replace(node.catalogue, datasets={**node.catalogue.datasets, "unit/firms": replace(firms, items=items)})
    data = dict(node.data)
    source = data["unit/firms", 1]
    # Street a: three firms (held back) that pay nearly as much as the catalogue says anybody can.
    amounts = np.array(["900" if unit in (0, 2, 4) else "500" for unit in source.unit], dtype=object)
    data["unit/firms", 1] = replace(source, columns={**source.columns, "tax": amounts})
    few = Condition(column=column("staff"), comparison=Comparison.IN, values=(0, 2, 4, *range(1, 39, 2)))
    history = History(make_store(), ArraySource(data=data, catalogue=catalogue))
    verdict_of = history.judge(propose(data, catalogue, ask("street", where=[few], margins=True), RULES))
    found = {finding.rule: finding.verdict for finding in verdict_of.findings}
    assert found["history-protection"] is verdict
    assert verdict_of.evidence["protection"]
