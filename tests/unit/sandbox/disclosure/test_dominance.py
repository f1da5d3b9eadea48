"""Dominance: shares exactly at k, rests exactly at p %, and bounds that err on the safe side."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.disclosure import DisclosureRules
from sandbox.candidate import Candidate
from sandbox.disclosure.dominance import check_dominance, is_dominated, is_p_sensitive
from sandbox.disclosure.facts import facts_of
from sandbox.disclosure.verdict import Judgement, RuleId
from tests.unit.sandbox.disclosure.tables import Rows, aggregate, candidate_of, catalogue, firms, question
from yingbi.events.outputs import CheckVerdict
from yingbi.plan.model import Function

NINE_TENTHS = Decimal("0.90")


@pytest.mark.parametrize(
    ("absolute", "largest", "second", "expected"),
    [(1000, 500, 400, True), (1001, 500, 400, False), (1000, 500, 399, False), (0, 0, 0, False), (10, 10, 0, True)],
)
def test_two_largest_hold_exactly_nine_tenths(absolute: int, largest: int, second: int, expected: bool) -> None:
    assert is_dominated(absolute, largest, second, top=2, share=NINE_TENTHS) is expected


@pytest.mark.parametrize(("largest", "expected"), [(899, False), (900, True)])
def test_one_largest(largest: int, expected: bool) -> None:
    assert is_dominated(1000, largest, 100, top=1, share=NINE_TENTHS) is expected


@pytest.mark.parametrize(
    ("rest", "largest", "expected"), [(9, 100, True), (10, 100, False), (11, 100, False), (0, 1, True), (0, 0, False)]
)
def test_rest_is_exactly_ten_percent_of_the_largest(rest: int, largest: int, expected: bool) -> None:
    second = largest // 2
    assert is_p_sensitive(largest + second + rest, largest, second, p_percent=10) is expected


def test_a_share_is_a_decimal_and_not_a_float() -> None:
    # 0.7 as a float is a little less than seven tenths.
    share = Decimal("0.7")
    assert is_dominated(10**30, 7 * 10**29, 0, top=1, share=share)
    assert not is_dominated(10**30, 7 * 10**29 - 1, 0, top=1, share=share)


values = st.lists(st.integers(0, 1000), min_size=1, max_size=12)


@given(values, st.integers(1, 5), st.decimals("0.05", "1", places=2))
def test_more_than_two_largest_are_never_judged_too_mildly(contributions: list[int], top: int, share: Decimal) -> None:
    ordered = [*sorted(contributions, reverse=True), 0, 0]
    truth = sum(ordered) > 0 and Fraction(sum(ordered[:top])) >= Fraction(share) * sum(ordered)
    judged = is_dominated(sum(ordered), ordered[0], ordered[1], top=top, share=share)
    assert judged or not truth
    if top <= 2:
        assert judged == truth


@given(values, st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 99))
def test_upper_bounds_of_the_largest_are_never_judged_too_mildly(
    contributions: list[int], more: int, more_second: int, p: int
) -> None:
    ordered = [*sorted(contributions, reverse=True), 0, 0]
    exact = is_p_sensitive(sum(ordered), ordered[0], ordered[1], p_percent=p)
    second = min(ordered[1] + more_second, ordered[0] + more)
    bounded = is_p_sensitive(sum(ordered), ordered[0] + more, second, p_percent=p)
    assert bounded or not exact


@given(values, st.integers(0, 1000), st.integers(1, 99), st.decimals("0.05", "1", places=2))
def test_a_further_small_unit_never_fails_what_passed(
    contributions: list[int], extra: int, p: int, share: Decimal
) -> None:
    ordered = [*sorted(contributions, reverse=True), 0, 0]
    extra = min(extra, ordered[1])
    before = (sum(ordered), ordered[0], ordered[1])
    after = (sum(ordered) + extra, ordered[0], ordered[1])
    if sum(ordered) > 0:
        assert is_p_sensitive(*before, p_percent=p) or not is_p_sensitive(*after, p_percent=p)
        assert is_dominated(*before, top=2, share=share) or not is_dominated(*after, top=2, share=share)


@given(values, st.integers(1, 99), st.integers(1, 50))
def test_a_larger_p_is_stricter(contributions: list[int], p: int, more: int) -> None:
    ordered = [*sorted(contributions, reverse=True), 0, 0]
    facts = (sum(ordered), ordered[0], ordered[1])
    assert is_p_sensitive(*facts, p_percent=p + more) or not is_p_sensitive(*facts, p_percent=p)


def _judge(
    rows: Rows, function: Function = Function.SUM, name: str | None = "tax", rules: DisclosureRules | None = None
) -> tuple[Candidate, Judgement]:
    candidate = candidate_of(question(aggregate(function, name), by=["street"]), rows)
    facts = facts_of(candidate.question, catalogue(max_rows_per_unit=30))
    return candidate, check_dominance(candidate, rules or DisclosureRules(), facts)


def test_a_giant_fails_its_street_only() -> None:
    candidate, judgement = _judge(firms("a", [10] * 30 + [10**6]) + firms("b", [10] * 30, start=100))
    failed = {key for key, gone in zip(candidate.keys, next(iter(judgement.suppress.values())), strict=True) if gone}
    assert failed == {("a",)}
    assert {one.rule for one in judgement.findings} == {RuleId.DOMINANCE_TOP.value, RuleId.DOMINANCE_P_PERCENT.value}
    assert judgement.findings[0].dimension == "street"


@pytest.mark.parametrize(
    ("taxes", "rules", "rule"),
    [
        ([60, 60, 10], DisclosureRules(), RuleId.DOMINANCE_TOP),
        ([100, 40, 10], DisclosureRules(dominance_share=Decimal("0.99"), p_percent=51), RuleId.DOMINANCE_P_PERCENT),
    ],
)
def test_either_rule_is_enough(taxes: list[int], rules: DisclosureRules, rule: RuleId) -> None:
    _, judgement = _judge(firms("a", taxes), rules=rules)
    assert [one.rule for one in judgement.findings] == [rule.value]
    assert any(mask.any() for mask in judgement.suppress.values())


def test_rows_of_one_unit_are_added_up_before_they_are_compared() -> None:
    # Sixty rows of ten each: nobody dominates by row, but 54 of them are one firm's.
    rows = [dict(row, unit=0 if place < 54 else row["unit"]) for place, row in enumerate(firms("a", [10] * 60))]
    _, judgement = _judge(rows)
    assert any(mask.any() for mask in judgement.suppress.values())


def test_counts_are_dominated_too() -> None:
    rows = [dict(row, unit=0 if place < 54 else row["unit"]) for place, row in enumerate(firms("a", [10] * 60))]
    _, judgement = _judge(rows, Function.COUNT, None)
    assert any(mask.any() for mask in judgement.suppress.values())


def test_negative_contributions_need_a_person() -> None:
    rows = [dict(row, profit=row["tax"]) for row in firms("a", [-5] + [10] * 30)]
    _, judgement = _judge(rows, name="profit")
    assert [one.verdict for one in judgement.findings] == [CheckVerdict.REVIEW]
    assert [mask.tolist() for mask in judgement.review.values() if mask.any()] == [[True]]
