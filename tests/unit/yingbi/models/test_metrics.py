"""Metrics from histograms: against definitions over single rows, and against numbers of other programs."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.yingbi.models.samples import SAMPLE, drawn, histogram
from yingbi.errors import InvalidRequestError
from yingbi.models.histogram import group_rows, make_histogram, merge_small
from yingbi.models.metrics import (
    Estimate,
    auc,
    brier,
    calibration_gap,
    delong_variance,
    gini,
    hanley_mcneil_variance,
    ks,
    log_loss,
    roc,
    separation,
)

counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=30).filter(
    lambda pairs: any(good for good, _ in pairs) and any(bad for _, bad in pairs)
)


def of(estimate: Estimate | None) -> float:
    assert estimate is not None
    assert estimate.low <= estimate.value <= estimate.high
    return estimate.value


def test_values_are_those_of_scikit_learn_and_toad() -> None:
    # scikit-learn 1.9.1: roc_auc_score, brier_score_loss, log_loss of the middles of bins; toad 0.1.7: metrics.KS.
    assert of(auc(SAMPLE)) == pytest.approx(0.8763170498084292, abs=1e-12)
    assert of(gini(SAMPLE)) == pytest.approx(2 * 0.8763170498084292 - 1, abs=1e-12)
    assert of(brier(SAMPLE)) == pytest.approx(0.13598684210526316, abs=1e-12)
    assert of(log_loss(SAMPLE)) == pytest.approx(0.44259066885630693, abs=1e-12)
    assert of(ks(SAMPLE)) == pytest.approx(0.6168582375478927, abs=1e-12)


def test_the_example_of_hanley_and_mcneil() -> None:
    # Hanley and McNeil 1982, table I: ratings of 51 abnormal and 58 normal images; area 0.893, standard error 0.032.
    rated = make_histogram([33, 6, 6, 11, 2], [3, 2, 2, 11, 33])
    area = of(auc(rated, is_hanley_mcneil=True))
    assert area == pytest.approx(0.893, abs=5e-4)
    assert math.sqrt(hanley_mcneil_variance(area, 51, 58)) == pytest.approx(0.032, abs=5e-4)


@given(counts)
def test_auc_and_its_variance_are_those_over_pairs_of_rows(pairs: list[tuple[int, int]]) -> None:
    goods, bads = zip(*pairs, strict=True)
    sample = make_histogram(goods, bads)
    good, bad = (np.repeat(np.arange(len(pairs)), side) for side in (goods, bads))
    wins = (bad[:, None] > good[None, :]) + 0.5 * (bad[:, None] == good[None, :])
    assert of(auc(sample)) == pytest.approx(wins.mean(), abs=1e-12)
    if min(len(good), len(bad)) > 1:
        variance = wins.mean(axis=1).var(ddof=1) / len(bad) + wins.mean(axis=0).var(ddof=1) / len(good)
        assert delong_variance(sample) == pytest.approx(variance, abs=1e-12)


@given(counts)
def test_ks_is_the_largest_distance_and_no_larger_than_one(pairs: list[tuple[int, int]]) -> None:
    sample = make_histogram(*zip(*pairs, strict=True))
    value = of(ks(sample))
    assert 0 <= value <= 1
    assert value == pytest.approx(max(abs(hits - alarms) for alarms, hits in roc(sample)), abs=1e-12)
    at = separation(sample)
    assert at is not None
    assert at.score in sample.edges


def test_fine_bins_give_the_exact_auc() -> None:
    scores, events = drawn(4000)
    order = scores[events][:, None] > scores[~events][None, :]
    assert of(auc(histogram(scores, events, 100_000))) == pytest.approx(order.mean(), abs=2e-5)
    assert of(auc(histogram(scores, events, 100))) == pytest.approx(order.mean(), abs=2e-3)


def test_intervals_cover_as_often_as_they_say() -> None:
    # 400 samples of 800 rows, 95 %: outside of 90.5 % to 98.5 % with a probability under 1e-4.
    truth = of(auc(histogram(*drawn(400_000, seed=99), 1000)))
    found = [auc(histogram(*drawn(800, seed=seed), 1000)) for seed in range(400)]
    covered = sum(one is not None and one.low <= truth <= one.high for one in found)
    assert 362 <= covered <= 394


def test_one_kind_of_rows_tells_nothing() -> None:
    for sample in (make_histogram([1, 2], [0, 0]), make_histogram([0, 0], [3, 4]), make_histogram([0], [0])):
        assert auc(sample) is None
        assert ks(sample) is None
        assert gini(sample) is None
    assert log_loss(make_histogram([0], [0])) is None
    assert calibration_gap(make_histogram([0], [0])) is None
    single = auc(make_histogram([1, 0], [0, 1]))
    assert single == Estimate(value=1.0, low=0.0, high=1.0), "of one row each, nothing is known"


def test_what_noise_made_negative_is_none() -> None:
    assert make_histogram([-3, 5], [1, -0.5]) == make_histogram([0, 5], [1, 0])


@pytest.mark.parametrize(
    ("goods", "bads", "edges"),
    [
        ([], [], None),
        ([1], [1, 2], None),
        ([1, 2], [1, 2], [0, 1]),
        ([1, 2], [1, 2], [0, 0.5, 0.5]),
        ([math.nan], [1], None),
        ([math.inf], [1], None),
    ],
)
def test_histograms_that_are_none(goods: list[float], bads: list[float], edges: list[float] | None) -> None:
    with pytest.raises(InvalidRequestError):
        make_histogram(goods, bads, edges)


@given(counts, st.integers(1, 12))
def test_groups_are_of_equal_size_and_lose_nobody(pairs: list[tuple[int, int]], groups: int) -> None:
    sample = make_histogram(*zip(*pairs, strict=True))
    found = group_rows(sample, groups)
    assert len(found) == groups
    assert [group.rows for group in found] == pytest.approx([sample.rows / groups] * groups, abs=1e-6)
    assert sum(group.bad for group in found) == pytest.approx(sample.bad)
    scores = [group.score for group in found]
    assert all(high >= low - 1e-9 for high, low in pairwise(scores))


@given(counts, st.integers(1, 20))
def test_merged_bins_are_large_enough_or_one(pairs: list[tuple[int, int]], least: int) -> None:
    sample = make_histogram(*zip(*pairs, strict=True))
    merged = merge_small(sample, least)
    assert (merged.good, merged.bad) == (sample.good, sample.bad)
    assert (merged.edges[0], merged.edges[-1]) == (sample.edges[0], sample.edges[-1])
    smallest = min(min(pair) for pair in zip(merged.goods, merged.bads, strict=True))
    assert smallest >= least or len(merged.goods) == 1
