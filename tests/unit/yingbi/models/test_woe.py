"""Weight of evidence and information value, against optbinning, toad and scorecardpy."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yingbi.errors import InvalidRequestError
from yingbi.models.woe import EmptyCells, Strength, WoeSign, judge_strength, woe_table

# Bins of two columns of 2,000 drawn rows, and what optbinning 1.0.0 (BinningTable.build) says of them: WoE, IV.
# The last but one bin of each has special values (none), the last one missing values.
X1 = ([103, 402, 562, 406, 0, 0], [79, 185, 192, 71, 0, 0])
X1_WOE = [-0.7625747321586538, -0.2517596043805719, 0.046150609944641596, 0.7158174146391492, 0, 0]
X1_IV = [0.06099057522540734, 0.01967028494596093, 0.0007941554529803657, 0.10086090166425839, 0, 0]
X2 = ([313, 442, 381, 223, 0, 114], [59, 109, 167, 147, 0, 45])
X2_WOE = [0.6408098787131657, 0.3721061319272865, -0.20305030521132206, -0.6111166832398853, 0, -0.09831990929709222]
X2_IV = [0.06442513783754682, 0.034693973509896975, 0.011824074320401773, 0.07794528303592567, 0, 0.000786158026007737]

CELLS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12).filter(
    lambda pairs: any(good for good, _ in pairs) and any(bad for _, bad in pairs)
)


@pytest.mark.parametrize(("counts", "woe", "iv"), [(X1, X1_WOE, X1_IV), (X2, X2_WOE, X2_IV)])
def test_it_is_optbinnings(counts: tuple[list[int], list[int]], woe: list[float], iv: list[float]) -> None:
    table = woe_table(*counts)
    assert [row.woe for row in table.rows] == pytest.approx(woe, abs=1e-12)
    assert [row.iv for row in table.rows] == pytest.approx(iv, abs=1e-12)
    assert table.iv == pytest.approx(sum(iv), abs=1e-12)


def test_it_is_toads() -> None:
    # toad 0.1.7: stats.WOE and stats._IV, of which the second treats an empty cell as one row.
    sign, empty = WoeSign.BAD_OVER_GOOD, EmptyCells.ONE
    table = woe_table([300, 250, 120], [20, 45, 80], sign=sign, empty=empty)
    assert [row.woe for row in table.rows] == pytest.approx(
        [-1.1775062311377729, -0.1842544581274893, 1.125078861856273], abs=1e-12
    )
    assert table.iv == pytest.approx(0.7956226922390297, abs=1e-12)
    gap = woe_table([300, 250, 120, 0], [20, 45, 80, 6], sign=sign, empty=empty)
    assert [row.iv for row in gap.rows] == pytest.approx(
        [0.3840651298257854, 0.016887261037520793, 0.380342221899269, 0.12550280880719594], abs=1e-12
    )


def test_it_is_scorecardpys() -> None:
    # scorecardpy 0.1.9.7: woe_01, miv_01, iv_01.
    table = woe_table([300, 250, 120, 0], [20, 45, 80, 6], sign=WoeSign.BAD_OVER_GOOD, empty=EmptyCells.NINE_TENTHS)
    assert table.iv == pytest.approx(0.9107547328087877, abs=1e-12)
    assert [row.iv for row in table.rows] == pytest.approx(
        [0.382911029010455, 0.016674567213461174, 0.38107388928192576, 0.1300952473029458], abs=1e-12
    )
    assert [row.woe for row in table.rows] == pytest.approx(
        [-1.2167099433482922, -0.2234581703380086, 1.0858751496457537, 3.388460242639799], abs=1e-12
    )


@given(CELLS, st.sampled_from(EmptyCells))
def test_shares_add_up_and_no_bin_lowers_the_value(pairs: list[tuple[int, int]], empty: EmptyCells) -> None:
    goods, bads = zip(*pairs, strict=True)
    table = woe_table(goods, bads, empty=empty)
    assert sum(row.share for row in table.rows) == pytest.approx(1)
    assert all(row.iv >= 0 and math.isfinite(row.woe) for row in table.rows)
    turned = woe_table(goods, bads, empty=empty, sign=WoeSign.BAD_OVER_GOOD)
    assert [row.woe for row in turned.rows] == [-row.woe for row in table.rows]
    assert turned.iv == table.iv


@pytest.mark.parametrize(
    ("goods", "bads"),
    [
        ([], []),
        ([1], [1, 2]),
        ([1, -1], [1, 1]),
        ([3, -1], [1, 1]),
        ([1, 1], [3, -1]),
        ([0], [3]),
        ([3], [0]),
        ([math.nan], [1]),
        ([math.inf, 1], [1, 1]),
        ([1, 1], [1, math.inf]),
    ],
)
def test_counts_that_are_none(goods: list[float], bads: list[float]) -> None:
    with pytest.raises(InvalidRequestError):
        woe_table(goods, bads)


def test_bands() -> None:
    read = [judge_strength(value) for value in (0.0199, 0.02, 0.1, 0.3, 0.5)]
    assert read == [Strength.NONE, Strength.WEAK, Strength.MEDIUM, Strength.STRONG, Strength.SUSPICIOUS]
