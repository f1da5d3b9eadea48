"""Class disclosure: slices, conditions, sums of two values, sums at bounds, variances of zero."""

import pytest

from policies.disclosure import DisclosureRules
from sandbox.candidate import Candidate
from sandbox.disclosure.class_disclosure import check_class_disclosure
from sandbox.disclosure.facts import facts_of
from sandbox.disclosure.verdict import Judgement, RuleId
from tests.unit.sandbox.disclosure.tables import Rows, aggregate, candidate_of, catalogue, condition, firms, question
from yingbi.plan.model import Function, TableQuestion

COUNT = aggregate(Function.COUNT)


def _judge(asked: TableQuestion, rows: Rows, k: int = 1) -> tuple[Candidate, Judgement]:
    candidate = candidate_of(asked, rows)
    facts = facts_of(asked, catalogue(max_rows_per_unit=k))
    return candidate, check_class_disclosure(candidate, DisclosureRules(min_units=10), facts)


def _failed(candidate: Candidate, judgement: Judgement) -> set[tuple[str | None, ...]]:
    masks = list(judgement.suppress.values())
    return {key for place, key in enumerate(candidate.keys) if any(mask[place] for mask in masks)}


def _sizes(street: str, large: int, small: int, start: int) -> Rows:
    return firms(street, [1] * large, start=start, size="l") + firms(street, [1] * small, start=start + 500, size="s")


@pytest.mark.parametrize(("small", "fails"), [(0, True), (1, True), (9, True), (10, False), (11, False)])
def test_all_or_all_but_few_of_a_street_have_one_size(small: int, fails: bool) -> None:
    rows = _sizes("a", 40, small, 0) + _sizes("b", 40, 40, 2000)
    candidate, judgement = _judge(question(COUNT, by=["size", "street"]), rows)
    assert {key[1] for key in _failed(candidate, judgement)} == ({"a"} if fails else set())
    assert {one.dimension for one in judgement.findings} == ({"size"} if fails else set())


def test_public_dimensions_are_no_secret() -> None:
    rows = firms("a", [1] * 40, grid=1) + firms("b", [1] * 40, start=100, grid=2)
    _, judgement = _judge(question(COUNT, by=["grid", "street"]), rows)
    assert judgement.findings == ()


def test_margins_are_slices_too() -> None:
    rows = _sizes("a", 40, 0, 0) + _sizes("b", 40, 5, 2000)
    candidate, judgement = _judge(question(COUNT, by=["size", "street"], margins=True), rows)
    failed = {
        (key, tuple(totals))
        for key, totals, gone in zip(
            candidate.keys, candidate.is_total.tolist(), next(iter(judgement.suppress.values())), strict=True
        )
        if gone
    }
    assert (("l", None), (False, True)) in failed  # sizes over all streets: all but five are large
    assert ((None, "a"), (True, False)) not in failed  # the size is not told by a total over sizes


def test_rows_of_few_units_do_not_make_a_category_large() -> None:
    rows = _sizes("a", 40, 0, 0) + [dict(row, unit=7000, size="s") for row in firms("a", [1] * 30)]
    candidate, judgement = _judge(question(COUNT, by=["size", "street"]), rows, k=30)
    assert len(_failed(candidate, judgement)) == 2


@pytest.mark.parametrize(("penalised", "fails"), [(0, True), (40, True), (20, False)])
def test_a_condition_that_all_or_none_meet(penalised: int, fails: bool) -> None:
    rows = [dict(row, penalised=place < penalised) for place, row in enumerate(firms("a", [1] * 40))]
    asked = question(aggregate(Function.COUNT, where=(condition("penalised", True),)), by=["street"])
    _, judgement = _judge(asked, rows)
    assert (RuleId.CLASS_CONDITION.value in {one.rule for one in judgement.findings}) is fails


@pytest.mark.parametrize(
    ("ones", "fails"), [(0, True), (9, True), (10, False), (20, False), (30, False), (31, True), (40, True)]
)
def test_a_mean_of_an_indicator_counts_ones_and_zeros(ones: int, fails: bool) -> None:
    rows = [dict(row, penalised=int(place < ones)) for place, row in enumerate(firms("a", [1] * 40))]
    candidate, judgement = _judge(question(aggregate(Function.MEAN, "penalised"), by=["street"]), rows)
    sums = next(measure for measure in candidate.measures if measure.kind == "sum")
    assert bool(judgement.suppress[sums][0]) is fails


def test_ones_of_few_units_are_few() -> None:
    rows = [dict(row, unit=place // 3, penalised=int(place < 27)) for place, row in enumerate(firms("a", [1] * 90))]
    candidate, judgement = _judge(question(aggregate(Function.SUM, "penalised"), by=["street"]), rows, k=3)
    sums = next(measure for measure in candidate.measures if measure.kind == "sum")
    assert judgement.suppress[sums][0]  # 27 rows, but of nine units


def test_a_sum_at_its_bound_tells_every_value() -> None:
    rows = [dict(row, rate=10000) for row in firms("a", [1] * 20)] + [
        dict(row, rate=9999) for row in firms("b", [1] * 20, start=100)
    ]
    candidate, judgement = _judge(question(aggregate(Function.SUM, "rate"), by=["street"]), rows)
    assert _failed(candidate, judgement) == {("a",)}


def test_a_variance_of_zero_tells_every_value() -> None:
    rows = firms("a", [7] * 20) + firms("b", [7] * 19 + [8], start=100)
    candidate, judgement = _judge(question(aggregate(Function.VARIANCE, "tax"), by=["street"]), rows)
    assert _failed(candidate, judgement) == {("a",)}
    assert {one.rule for one in judgement.findings} == {RuleId.CLASS_CONSTANT.value}
