"""WOE bins: monotonic, large enough, and with the values that the textbook gives."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.horizontal import woe_rounds
from federated.horizontal.parameters import Direction, RecipeName, WoeParameters
from federated.horizontal.recipe import RECIPES
from federated.horizontal.state import Phase
from federated.horizontal.woe_rounds import Band, Block, band_of, merge
from tests.unit.federated.horizontal.examples import AGE, DEBT, FEATURES, TRADE, make_spec, make_table, split, train
from yingbi.errors import InvalidRequestError, RefusedError

NAME = RecipeName.WOE_BINS
RECIPE = RECIPES[NAME]
SPEC = make_spec(NAME, WoeParameters(min_events=2), features=(DEBT,))


def blocks(*counts: tuple[int, int]) -> list[Block]:
    return [Block(bins=(n,), others=others, events=events) for n, (others, events) in enumerate(counts)]


def shown(merged: list[Block]) -> list[tuple[tuple[int, ...], int, int]]:
    return [(block.bins, block.others, block.events) for block in merged]


def test_rates_that_are_in_order_stay() -> None:
    given_ = blocks((90, 10), (80, 20), (70, 30), (60, 40), (50, 50), (0, 0))
    # The missing bin has no rows; it goes to the largest bin, of equals to the first.
    assert shown(merge(SPEC, DEBT, given_)) == [
        ((0, 5), 90, 10),
        *(((n,), 90 - 10 * n, 10 + 10 * n) for n in range(1, 5)),
    ]


def test_violators_are_pooled() -> None:
    merged = merge(SPEC, DEBT, blocks((90, 10), (60, 40), (80, 20), (50, 50), (40, 60), (80, 20)))
    assert shown(merged) == [((0,), 90, 10), ((1, 2), 140, 60), ((3,), 50, 50), ((4,), 40, 60), ((5,), 80, 20)]


def test_the_better_direction_is_taken_and_another_one_can_be_asked_for() -> None:
    falling = blocks((50, 50), (60, 40), (70, 30), (80, 20), (90, 10), (0, 0))
    assert len(merge(SPEC, DEBT, falling)) == 5
    rising = make_spec(NAME, WoeParameters(min_events=2, direction=Direction.INCREASING), features=(DEBT,))
    assert shown(merge(rising, DEBT, falling)) == [((0, 1, 2, 3, 4, 5), 350, 150)]
    free = make_spec(NAME, WoeParameters(min_events=2, direction=Direction.ANY), features=(DEBT,))
    wave = blocks((50, 50), (90, 10), (50, 50), (90, 10), (50, 50), (30, 30))
    assert [block.bins for block in merge(free, DEBT, wave)] == [(n,) for n in range(6)]


@pytest.mark.parametrize(
    ("small", "partner"),
    [
        ((2, 2), "the nearer rate"),
        ((3, 1), "the nearer rate"),
        ((30, 1), "too few events"),
        ((1, 30), "too few others"),
    ],
)
def test_small_bins_go_to_the_neighbour_of_the_nearer_rate(small: tuple[int, int], partner: str) -> None:
    free = make_spec(NAME, WoeParameters(min_events=2, direction=Direction.ANY), features=(DEBT,))
    given_ = blocks((90, 10), small, (20, 80), (50, 50), (80, 20), (70, 30))
    rate = small[1] / sum(small)
    expected = (0, 1) if rate - 0.1 <= 0.8 - rate else (1, 2)
    assert expected in [block.bins for block in merge(free, DEBT, given_)], partner


def test_a_missing_bin_of_few_rows_looks_like_one_of_none() -> None:
    few, none = (
        merge(SPEC, DEBT, blocks((90, 10), (160, 40), (70, 30), (60, 40), (50, 50), missing))
        for missing in ((2, 1), (0, 0))
    )
    assert [block.bins for block in few] == [block.bins for block in none]
    assert (1, 5) in [block.bins for block in few]


def test_what_joins_the_largest_bin_does_not_break_the_order() -> None:
    spec = make_spec(NAME, WoeParameters(min_events=40), features=(DEBT,))
    merged = merge(spec, DEBT, blocks((400, 110), (385, 111), (300, 120), (200, 100), (100, 80), (0, 39)))
    rates = [block.events / block.rows for block in merged]
    assert rates == sorted(rates)
    assert sum(block.events for block in merged) == 560


def test_special_values_have_bins_of_their_own_where_they_are_many() -> None:
    spec = make_spec(NAME, WoeParameters(min_events=2), features=(AGE,))
    given_ = blocks((90, 10), (80, 20), (70, 30), (60, 40), (50, 50), (2, 2), (2, 2))
    assert [block.bins for block in merge(spec, AGE, given_)] == [(0,), (1,), (2,), (3,), (4,), (5, 6)]
    given_ = blocks((90, 10), (80, 20), (70, 30), (60, 40), (50, 50), (30, 30), (40, 40))
    assert [block.bins for block in merge(spec, AGE, given_)][-2:] == [(5,), (6,)]


def test_rare_codes_are_pooled_and_the_pool_joins_the_largest_where_it_is_rare_itself() -> None:
    spec = make_spec(NAME, WoeParameters(min_events=5), features=(TRADE,))
    assert [b.bins for b in merge(spec, TRADE, blocks((50, 50), (4, 4), (80, 20), (3, 3), (0, 0)))] == [
        (0,),
        (2,),
        (1, 3, 4),
    ]
    assert [b.bins for b in merge(spec, TRADE, blocks((50, 50), (4, 1), (80, 21), (3, 1), (0, 0)))] == [
        (0,),
        (1, 2, 3, 4),
    ]


COUNT = st.tuples(st.integers(0, 60), st.integers(0, 60))


@given(
    st.lists(COUNT, min_size=7, max_size=7),
    st.sampled_from(list(Direction)),
    st.integers(1, 30),
    st.integers(1, 10),
)
def test_whatever_the_counts_every_bin_is_large_enough_and_in_order(
    counts: list[tuple[int, int]], direction: Direction, min_entities: int, min_events: int
) -> None:
    spec = make_spec(
        NAME, WoeParameters(min_events=min_events, direction=direction), features=(AGE,), min_entities=min_entities
    )
    totals = [sum(column) for column in zip(*counts, strict=True)]
    merged = merge(spec, AGE, blocks(*counts)) if min(totals) > 0 else []
    if min(totals) < max(min_entities, min_events):
        return
    assert sorted(n for block in merged for n in block.bins) == list(range(7))
    assert sum(block.events for block in merged) == totals[1]
    assert sum(block.others for block in merged) == totals[0]
    assert all(block.rows >= min_entities and min(block.others, block.events) >= min_events for block in merged)
    ordinary = [block for block in merged if min(block.bins) < 5]
    for block in ordinary:
        own = [n for n in block.bins if n < 5]
        assert own == list(range(own[0], own[-1] + 1)), "a range"
    if direction is Direction.ANY or min(min(block.bins) for block in merged) > 4:
        return
    rates = [block.events / block.rows for block in sorted(ordinary, key=lambda block: block.bins)]
    order = [rates == sorted(set(rates)), rates == sorted(set(rates), reverse=True)]
    assert any(order if direction is Direction.AUTO else [order[direction is Direction.DECREASING]])


@given(st.lists(COUNT, min_size=5, max_size=5))
def test_pooling_adjacent_violators_is_isotonic_regression(counts: list[tuple[int, int]]) -> None:
    """Against the minimax formula: the rate of a bin is max over starts of min over ends of pooled rates."""
    found = woe_rounds._monotonic(blocks(*counts), Direction.INCREASING)
    rate = {n: (block.events, block.rows) for block in found for n in block.bins}
    for n in range(5):
        if not sum(counts[n]):
            continue
        pooled: list[list[float]] = []
        for start in range(n + 1):
            part = [
                (sum(e for _, e in counts[start : end + 1]), sum(o + e for o, e in counts[start : end + 1]))
                for end in range(n, 5)
            ]
            pooled.append([events / rows for events, rows in part if rows])
        expected = max(min(line) for line in pooled if line)
        assert rate[n][0] / rate[n][1] == pytest.approx(expected, abs=1e-12)


def test_woe_and_iv_are_the_textbooks() -> None:
    spec = make_spec(NAME)
    table = make_table(5000)
    state, states = train(spec, split(table, 3))
    assert len(states) == 1
    assert state.phase is Phase.DONE
    model: Any = RECIPE.model(spec, state)
    rows = table.training
    events, others = float(rows.target.sum()), float((1 - rows.target).sum())
    for variable in model["variables"]:
        total = 0.0
        assert sum(item["rows"] for item in variable["bins"]) == rows.rows
        for item in variable["bins"]:
            good, bad = (item["rows"] - item["events"]) / others, item["events"] / events
            assert float(item["woe"]) == pytest.approx(math.log(good / bad), rel=1e-12)
            assert float(item["iv"]) == pytest.approx((good - bad) * math.log(good / bad), rel=1e-12)
            total += float(item["iv"])
        assert float(variable["iv"]) == pytest.approx(total, rel=1e-12)
        assert variable["band"] == band_of(total)


def test_ranges_and_codes_say_which_rows_they_hold() -> None:
    spec = make_spec(NAME)
    table = make_table(5000)
    model: Any = RECIPE.model(spec, train(spec, [table])[0])
    rows = table.training
    age = rows.columns["age"]
    for item in model["variables"][0]["bins"]:
        low = -math.inf if item["from"] is None else float(item["from"])
        high = math.inf if item["to"] is None else float(item["to"])
        inside = (age >= low) & (age < high) & (age != -1.0) if item["is_range"] else np.zeros(rows.rows, bool)
        inside |= np.isnan(age) & item["missing"]
        inside |= np.isin(age, [float(value) for value in item["special"]])
        assert item["rows"] == inside.sum()
        assert item["events"] == rows.target[inside].sum()
    for item in model["variables"][2]["bins"]:
        held = [TRADE.codes.index(code) for code in item["codes"]] + [-1] * item["missing"]
        assert item["rows"] == np.isin(rows.columns["trade"], held).sum()


@pytest.mark.parametrize(
    ("information", "band"),
    [(0.0, "unpredictive"), (0.02, "weak"), (0.1, "medium"), (0.3, "strong"), (0.5, "suspicious"), (9.0, "suspicious")],
)
def test_bands(information: float, band: str) -> None:
    assert band_of(information) is Band(band)


def test_noisy_counts_are_rounded_and_never_negative() -> None:
    spec = make_spec(NAME)
    exact, _ = train(spec, [make_table(3000)])
    noisy = replace(exact, arrays={"counts": exact.arrays["counts"] + 0.3})
    assert RECIPE.model(spec, noisy) == RECIPE.model(spec, exact)
    negative = replace(exact, arrays={"counts": np.where(exact.arrays["counts"] > 30, exact.arrays["counts"], -5.0)})
    RECIPE.model(spec, negative)


@pytest.mark.parametrize(("min_entities", "min_events"), [(600, 1), (1, 600)])
def test_too_few_rows_for_one_bin_are_refused(min_entities: int, min_events: int) -> None:
    spec = make_spec(NAME, WoeParameters(min_events=min_events), min_entities=min_entities)
    with pytest.raises(RefusedError, match="at least 600 rows of each target"):
        train(spec, split(make_table(1000), 2))


def test_parameters_of_another_recipe_are_refused() -> None:
    with pytest.raises(InvalidRequestError):
        woe_rounds.parameters_of(make_spec(RecipeName.LOGISTIC_REGRESSION))
    assert list(itertools.chain(feature.name for feature in FEATURES)) == ["age", "debt", "trade"]
