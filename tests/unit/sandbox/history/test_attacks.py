"""Attacks on exact statistics, each with its control: without history the exact oracle says that it succeeds."""

from dataclasses import dataclass

import pytest

from tests.lib.atoms import ask, column
from tests.unit.sandbox.history.firms import FIRMS, make_node
from yingbi.plan.model import Comparison, Condition, Dimension, Function, TableQuestion

VICTIM = 7


def where(name: str, comparison: Comparison, *values: str | int | bool, dataset: str = "unit/firms") -> Condition:
    return Condition(column=column(name, dataset), comparison=comparison, values=values)


_BELOW_7, _BELOW_8 = where("staff", Comparison.LT, 7), where("staff", Comparison.LT, 8)
_NOT_7 = where("staff", Comparison.NE, 7)


@dataclass(frozen=True)
class Attack:
    questions: list[TableQuestion]
    victim: int = VICTIM
    secret: tuple[str, ...] = ()
    rows: int = 1
    public_rows: bool = False
    public_members: bool = True


def _counts(*conditions: Condition) -> TableQuestion:
    return ask(measure=Function.COUNT, where=conditions)


_PENALISED = where("penalised", Comparison.EQ, True)

ATTACKS: dict[str, Attack] = {
    "differencing by one unit": Attack([ask(where=[_BELOW_7]), ask(where=[_BELOW_8])]),
    "differencing in groups": Attack(
        [ask("street", where=[where("staff", Comparison.LT, limit)]) for limit in (11, 12)], victim=11
    ),
    "individual tracker": Attack(
        [
            ask(where=[where("street", Comparison.EQ, "b")]),
            ask(where=[where("street", Comparison.EQ, "b"), where("staff", Comparison.NOT_IN, 7)]),
        ]
    ),
    "general tracker": Attack(
        [
            ask(where=[where("staff", Comparison.IN, 7, *range(20))]),
            ask(where=[where("staff", Comparison.IN, 7, *range(20, FIRMS))]),
            ask(),
        ]
    ),
    "double tracker of two partners": Attack(
        [
            ask(where=[where("staff", Comparison.LT, 20)]),
            ask(where=[where("staff", Comparison.LT, 20), where("staff", Comparison.GE, 10)]),
            ask(where=[where("staff", Comparison.IN, *range(10, 20), 7)]),
        ]
    ),
    "duplicated rows": Attack([ask("street"), ask("street", where=[_NOT_7])], rows=2),
    "mean of an indicator": Attack(
        [_counts(_PENALISED), _counts(_PENALISED, _NOT_7)], secret=("penalised",), public_rows=True
    ),
    "count of a confidential predicate by its complement": Attack(
        [_counts(_PENALISED), _counts(where("penalised", Comparison.NE, True), _NOT_7)],
        secret=("penalised",),
        public_rows=True,
    ),
    "mean and sum": Attack([ask("street", measure=Function.MEAN), ask("street", where=[_NOT_7])]),
    "variance and sum": Attack([ask("street", measure=Function.VARIANCE), ask("street", where=[_NOT_7])]),
    "median and sum": Attack([ask("street", measure=Function.QUANTILE), ask("street", where=[_NOT_7])]),
    "boundary shaving": Attack(
        [
            ask(Dimension(column=column("tax"), edges=("100", "500")), measure=Function.COUNT),
            ask(Dimension(column=column("tax"), edges=("100", "500")), measure=Function.COUNT, where=[_NOT_7]),
        ],
        secret=("tax",),
        public_rows=True,
    ),
    "sums over a confidential class": Attack(
        [ask("penalised"), ask("penalised", where=[_NOT_7])], secret=("penalised",)
    ),
    "total over confidential classes": Attack([ask("penalised"), ask(where=[_NOT_7])], secret=("penalised",)),
    "margins": Attack([ask("street", where=[_NOT_7]), ask("street", "sector", margins=True)]),
    "two versions of the hierarchy": Attack([ask("community"), ask("community_2025")]),
    "two versions of the data": Attack([ask(version=1), ask(version=2)], victim=FIRMS - 1),
    "join with a list that lacks one": Attack([ask(version=1), ask(version=1, joins=["unit/licences"])]),
    "members of a confidential list": Attack([_counts(), _counts(_NOT_7)], public_members=False),
    "distinct units": Attack([ask(measure=Function.COUNT_UNITS, of=None), _counts(_NOT_7)], public_members=False),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_caught_and_succeeds_without_history(name: str) -> None:
    attack = ATTACKS[name]
    node = make_node(secret=attack.secret, rows=attack.rows, public_members=attack.public_members)
    for question in attack.questions:
        node.ask(question)
    assert node.gives_away(attack.victim, with_history=False, public_rows=attack.public_rows), (
        "the control must succeed"
    )
    for unit in range(FIRMS):
        assert not node.gives_away(unit, with_history=True, public_rows=attack.public_rows)
