"""Zeros are told or not as the agreement says; emptiness that everybody knows is no target."""

import pytest

from policies.disclosure import DisclosureRules, Zeros
from sandbox.candidate import Candidate
from sandbox.catalog.model import Visibility
from sandbox.disclosure.facts import facts_of
from sandbox.disclosure.rules import judge_table
from sandbox.disclosure.verdict import Judgement
from sandbox.disclosure.zeros import check_zeros
from tests.unit.sandbox.disclosure.tables import Rows, aggregate, candidate_of, catalogue, condition, firms, question
from yingbi.plan.model import Function, TableQuestion

ROWS = firms("a", [0] * 20) + firms("b", [0] * 19 + [1], start=100)


def _judge(
    asked: TableQuestion, rows: Rows, rules: DisclosureRules, membership: Visibility = Visibility.CONFIDENTIAL
) -> tuple[Candidate, Judgement]:
    candidate = candidate_of(asked, rows)
    return candidate, check_zeros(candidate, rules, facts_of(asked, catalogue(membership=membership)))


def test_a_total_of_nothing_tells_every_contribution() -> None:
    asked = question(aggregate(Function.SUM, "tax"), by=["street"])
    candidate, judgement = _judge(asked, ROWS, DisclosureRules())
    sums = next(measure for measure in candidate.measures if measure.kind == "sum")
    assert judgement.suppress[sums].tolist() == [True, False]


def test_zeros_may_be_allowed() -> None:
    asked = question(aggregate(Function.SUM, "tax"), by=["street"])
    _, judgement = _judge(asked, ROWS, DisclosureRules(zeros=Zeros.ALLOW))
    assert judgement.findings == ()
    assert judgement.suppress == {}


def test_a_count_that_nobody_meets_is_a_zero() -> None:
    asked = question(aggregate(Function.COUNT, where=(condition("size", "l"),)), by=["street"])
    rows = firms("a", [1] * 20, size="s") + firms("b", [1] * 20, start=100, size="l")
    candidate, judgement = _judge(asked, rows, DisclosureRules())
    assert judgement.suppress[next(iter(candidate.measures))].tolist() == [True, False]


@pytest.mark.parametrize("membership", list(Visibility))
def test_emptiness_is_a_target_unless_it_is_public(membership: Visibility) -> None:
    # Without any group there is one cell, and a filter on a public column leaves nothing in it.
    asked = question(aggregate(Function.COUNT), where=(condition("street", "c"),))
    candidate, judgement = _judge(asked, ROWS, DisclosureRules(), membership)
    measure = next(iter(candidate.measures))
    assert judgement.suppress[measure].tolist() == [True]
    assert judgement.protect[measure].tolist() == [membership is Visibility.CONFIDENTIAL]
    together = judge_table(candidate, DisclosureRules(), facts_of(asked, catalogue(membership=membership)))
    assert together.suppress[measure].tolist() == [True]
    assert together.protect[measure].tolist() == [membership is Visibility.CONFIDENTIAL]


def test_emptiness_under_a_confidential_filter_is_a_target() -> None:
    asked = question(aggregate(Function.COUNT), where=(condition("size", "l"),))
    candidate, judgement = _judge(asked, ROWS, DisclosureRules(), Visibility.PUBLIC)
    assert judgement.protect[next(iter(candidate.measures))].tolist() == [True]
