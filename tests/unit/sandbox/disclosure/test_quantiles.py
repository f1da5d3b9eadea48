"""Quantiles: fractions, sides, digits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.disclosure import DisclosureRules
from sandbox.disclosure.facts import facts_of
from sandbox.disclosure.quantiles import check_quantiles, round_quantile
from sandbox.disclosure.verdict import RuleId
from tests.unit.sandbox.disclosure.tables import aggregate, candidate_of, catalogue, firms, question
from yingbi.plan.model import Function


def _rules_that_fail(fraction: str, taxes: list[int]) -> set[str]:
    asked = question(aggregate(Function.QUANTILE, "tax", fraction=fraction))
    candidate = candidate_of(asked, firms("a", taxes))
    judgement = check_quantiles(candidate, DisclosureRules(min_units=10), facts_of(asked, catalogue()))
    assert any(mask.any() for mask in judgement.suppress.values()) is bool(judgement.findings)
    return {finding.rule for finding in judgement.findings}


@pytest.mark.parametrize(("below", "above", "fails"), [(9, 30, True), (10, 10, False), (30, 9, True), (11, 11, False)])
def test_each_side_needs_the_threshold(below: int, above: int, fails: bool) -> None:
    # The median falls on the middle value when it is frequent enough.
    taxes = [1] * below + [5] * 40 + [9] * above
    assert _rules_that_fail("0.5", taxes) == ({RuleId.QUANTILE_SIDES.value} if fails else set())


def test_many_equal_values_leave_no_side() -> None:
    assert _rules_that_fail("0.5", [7] * 100) == {RuleId.QUANTILE_SIDES.value}


@pytest.mark.parametrize(("fraction", "fails"), [("0.5", False), ("0.25", False), ("0.51", True), ("0.01", True)])
def test_few_fractions_are_answered(fraction: str, fails: bool) -> None:
    assert (RuleId.QUANTILE_FRACTION.value in _rules_that_fail(fraction, list(range(1000)))) is fails


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (7, 7), (99, 99), (104, 100), (105, 110), (12649, 13000), (12499, 12000), (-105, -110), (999, 1000)],
)
def test_two_digits_are_kept(value: int, expected: int) -> None:
    assert round_quantile(value) == expected


@given(st.integers(-(10**18), 10**18))
def test_rounding_moves_by_at_most_five_percent(value: int) -> None:
    assert abs(round_quantile(value) - value) * 20 <= abs(value)
    assert round_quantile(-value) == -round_quantile(value)
