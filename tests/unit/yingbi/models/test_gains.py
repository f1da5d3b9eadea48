"""Gains tables and the test of fit."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.unit.yingbi.models.samples import SAMPLE
from yingbi.models.gains import chi_square_tail, gains, hosmer_lemeshow
from yingbi.models.histogram import make_histogram


def test_a_table_that_is_counted_by_hand() -> None:
    # 40 rows in two groups of 20: the upper has bins 3 and 2 whole, the lower bins 1 and 0.
    table = gains(make_histogram([8, 6, 4, 2], [2, 4, 6, 8]), 2)
    assert [row.group.bad for row in table] == [14, 6]
    assert [row.rate for row in table] == pytest.approx([0.7, 0.3])
    assert [row.lift for row in table] == pytest.approx([1.4, 0.6])
    assert [row.found for row in table] == pytest.approx([0.7, 1.0])
    assert [row.cumulative_lift for row in table] == pytest.approx([1.4, 1.0])
    assert [row.ks for row in table] == pytest.approx([0.4, 0.0])


def test_a_bin_that_a_border_cuts_is_shared_out() -> None:
    table = gains(make_histogram([6], [4]), 2)
    assert [(row.group.good, row.group.bad) for row in table] == [(3, 2), (3, 2)]


def test_the_last_group_has_found_everything() -> None:
    table = gains(SAMPLE)
    assert len(table) == 10
    assert table[-1].found == pytest.approx(1.0)
    assert table[-1].cumulative_lift == pytest.approx(1.0)
    assert all(one.found <= other.found for one, other in pairwise(table))
    assert gains(make_histogram([1], [0])) == ()


def test_fit_that_is_counted_by_hand() -> None:
    # Two groups of 20 at 0.25 and 0.75: (6 - 5)² / 3.75 and (14 - 15)² / 3.75.
    sample = make_histogram([14, 6], [6, 14])
    held, own = (hosmer_lemeshow(sample, 2, is_hold_out=flag) for flag in (True, False))
    assert held is not None
    assert held.statistic == pytest.approx(2 / 3.75)
    assert (held.freedom, own) == (2, None)
    assert held.probability == pytest.approx(stats.chi2.sf(2 / 3.75, 2))


def test_a_well_calibrated_sample_fits_and_another_does_not() -> None:
    size = 1000.0
    middles = [(place + 0.5) / 10 for place in range(10)]
    good = hosmer_lemeshow(make_histogram([size * (1 - p) for p in middles], [size * p for p in middles]))
    bent = hosmer_lemeshow(make_histogram([size * (1 - p * p) for p in middles], [size * p * p for p in middles]))
    assert good is not None
    assert bent is not None
    assert good.probability == pytest.approx(1.0)
    assert bent.probability < 1e-6


@given(st.floats(0, 400), st.integers(1, 40))
def test_the_tail_is_scipys(statistic: float, freedom: int) -> None:
    assert chi_square_tail(statistic, freedom) == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-9, abs=1e-300)
