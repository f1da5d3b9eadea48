"""Membership inference: the advantage, its bound, and the decision."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.yingbi.models.samples import drawn, histogram
from yingbi.errors import InvalidRequestError
from yingbi.models.histogram import make_histogram
from yingbi.models.membership import MembershipReason, MembershipRule, check_membership, losses_of_scores

BARE = MembershipRule(most=0.1, least_rows=1)


def test_the_best_threshold_is_found() -> None:
    # At most bin 1: 90 of 100 members, 60 of 100 others.
    check = check_membership([50, 40, 5, 5], [40, 20, 20, 20], BARE)
    assert check.advantage == pytest.approx(0.3)
    assert check.reasons == (MembershipReason.ADVANTAGE,)
    assert not check.is_passed


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=20))
def test_it_is_the_largest_of_all_thresholds(pairs: list[tuple[int, int]]) -> None:
    members, others = (np.array(side) for side in zip(*pairs, strict=True))
    check = check_membership(members.tolist(), others.tolist(), BARE)
    if min(members.sum(), others.sum()) == 0:
        assert check.reasons == (MembershipReason.TOO_FEW,)
        return
    cut = np.abs(members.cumsum() / members.sum() - others.cumsum() / others.sum())
    assert check.advantage == pytest.approx(cut.max(), abs=1e-12)
    assert check.advantage <= check.bound <= 1
    assert check.is_passed == (check.advantage <= 0.1)


def test_the_bound_is_massarts() -> None:
    check = check_membership([500, 500], [100, 100], BARE)
    slack = math.sqrt(math.log(4 / 0.05) / 2000) + math.sqrt(math.log(4 / 0.05) / 400)
    assert check.advantage == 0
    assert check.bound == pytest.approx(slack)


def test_the_bound_holds_where_nothing_is_learnt() -> None:
    # Two samples of one distribution, 500 times: the true advantage, 0, is above "advantage - slack" with 95 %.
    random = np.random.default_rng(4)
    missed = 0
    for _ in range(500):
        first, second = (np.bincount(random.integers(0, 50, size), minlength=50) for size in (800, 200))
        check = check_membership(first.tolist(), second.tolist(), BARE)
        missed += 2 * check.advantage > check.bound
    assert missed <= 25


def test_too_few_rows_are_no_proof() -> None:
    check = check_membership([10, 10], [10, 10], MembershipRule(least_rows=100))
    assert check.reasons == (MembershipReason.TOO_FEW,)
    assert check_membership([0, 0], [10, 10], BARE).advantage == 1


def test_a_bound_can_be_asked_for() -> None:
    rule = MembershipRule(most=0.1, most_bound=0.1)
    check = check_membership([500, 500], [100, 100], rule)
    assert check.reasons == (MembershipReason.BOUND,)
    assert check_membership([50_000] * 2, [50_000] * 2, rule).is_passed


def test_losses_follow_from_scores() -> None:
    # A bad with score 0.9 and a good with score 0.1 have the same, small loss.
    sample = make_histogram([7, 0, 0, 1], [2, 0, 0, 5])
    assert losses_of_scores(sample) == (12, 0, 0, 3)
    with pytest.raises(InvalidRequestError, match="symmetric"):
        losses_of_scores(make_histogram([1, 1], [1, 1], [0, 0.2, 1]))


def test_a_model_that_knows_its_rows_is_held() -> None:
    scores, events = drawn(2000)
    memorised = np.where(events, np.maximum(scores, 0.95), np.minimum(scores, 0.05))
    others = losses_of_scores(histogram(*drawn(2000, seed=8)))
    assert check_membership(losses_of_scores(histogram(scores, events)), others).is_passed
    held = check_membership(losses_of_scores(histogram(memorised, events)), others)
    assert held.advantage > 0.5
    assert held.to_json()["verdict"] == "hold"


def test_what_is_written_has_no_counts_and_no_floats() -> None:
    assert check_membership([50, 40, 5, 5], [40, 20, 20, 20]).to_json() == {
        "advantage": "0.300000",
        "bound": "0.596041",
        "verdict": "hold",
        "reasons": ["advantage"],
        "rule": {"most": "0.100000", "most_bound": None, "least_rows": "100", "confidence": "0.950000"},
    }


@pytest.mark.parametrize(("first", "second"), [([], []), ([1], [1, 2]), ([math.inf], [1]), ([math.nan], [1])])
def test_samples_that_are_none(first: list[float], second: list[float]) -> None:
    with pytest.raises(InvalidRequestError):
        check_membership(first, second)
