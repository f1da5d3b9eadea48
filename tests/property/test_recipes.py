"""Recipes on any table: what is sent keeps its announced form, bounds and sensitivity, and sums of parts are sums."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.horizontal.encoding import bin_counts, bin_offsets
from federated.horizontal.parameters import (
    Direction,
    LogisticParameters,
    Missing,
    NetworkParameters,
    Optimizer,
    RecipeName,
    TreesParameters,
    WoeParameters,
)
from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import Feature, Kind, PrivacySpec, TrainingSpec
from federated.horizontal.state import Phase, State
from federated.horizontal.table import Table
from tests.unit.federated.horizontal.examples import Sums, add, contribution, make_spec, make_table, private
from yingbi.canonical import canonical_bytes, parse_canonical
from yingbi.errors import RefusedError

SMALL: dict[RecipeName, Any] = {
    RecipeName.LOGISTIC_REGRESSION: LogisticParameters(max_steps=3, min_events_per_variable=0, l2=1.0),
    RecipeName.GRADIENT_BOOSTED_TREES: TreesParameters(trees=2, depth=2, min_child_weight=0.01),
    RecipeName.SMALL_NETWORK: NetworkParameters(units=2, steps=2, learning_rate=0.5),
    RecipeName.WOE_BINS: WoeParameters(min_events=1),
}
RECIPE = pytest.mark.parametrize("recipe", list(RecipeName))
PRIVATE = pytest.mark.parametrize("is_private", [False, True])

AGE = st.one_of(st.floats(-100.0, 100.0), st.sampled_from([np.nan, -1.0, 0.0, 50.0, 1e30, -1e30]))
DEBT = st.one_of(st.floats(-20.0, 20.0), st.sampled_from([np.nan, -10.0, 10.0]))
ROWS = st.lists(st.tuples(AGE, DEBT, st.integers(-1, 3), st.integers(0, 1), st.booleans()), min_size=1, max_size=25)
CLIP = st.sampled_from([0.001, 0.3, 1.0, 2.0, 64.0])


def table_of(rows: list[tuple[float, float, int, int, bool]]) -> Table:
    age, debt, trade, target, is_held_out = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return Table(
        columns={
            "age": np.array(age, dtype=np.float64),
            "debt": np.array(debt, dtype=np.float64),
            "trade": np.array(trade, dtype=np.int64),
        },
        target=np.array(target, dtype=np.int64),
        is_held_out=np.array(is_held_out, dtype=np.bool_),
    )


def spec_of(recipe: RecipeName, is_private: bool, clip: float = 1.0) -> TrainingSpec:
    return make_spec(recipe, SMALL[recipe], min_entities=1, privacy=private(recipe, clip) if is_private else None)


def states_of(spec: TrainingSpec, use: Callable[[State], None]) -> None:
    """Visit all states of a training on some other rows, so that they depend on no drawn row."""
    recipe, other = RECIPES[spec.recipe], make_table(150, seed=9)
    state = recipe.start(spec)
    while state.phase is not Phase.DONE:
        use(state)
        state = recipe.advance(spec, state, contribution(spec, state, other), 1)


def distance(one: Sums, other: Sums) -> float:
    return float(np.sqrt(sum(float(((one[name] - other[name]) ** 2).sum()) for name in one)))


@RECIPE
@PRIVATE
@settings(max_examples=40, deadline=None)
@given(rows=ROWS, clip=CLIP)
def test_one_record_moves_the_sums_by_no_more_than_the_sensitivity(
    recipe: RecipeName, is_private: bool, rows: list[Any], clip: float
) -> None:
    spec = spec_of(recipe, is_private, clip)
    whole, without = table_of(rows), table_of(rows[1:])

    def check(state: State) -> None:
        layout = RECIPES[recipe].layout(spec, state)
        moved = distance(contribution(spec, state, whole), contribution(spec, state, without))
        # Private sums are exact, so nothing is allowed for rounding but that of this test's own square root.
        slack = 1e-15 if is_private or state.phase is Phase.EVALUATE else 1e-9
        assert moved <= layout.sensitivity * (1.0 + slack)

    states_of(spec, check)


@RECIPE
@PRIVATE
@settings(max_examples=25, deadline=None)
@given(rows=ROWS, at=st.integers(0, 25))
def test_sums_of_parts_are_the_sums_of_all_rows(recipe: RecipeName, is_private: bool, rows: list[Any], at: int) -> None:
    """Bit for bit, where the entries are on a grid; else to rounding."""
    spec = spec_of(recipe, is_private)
    whole, parts = table_of(rows), (table_of(rows[:at]), table_of(rows[at:]))

    def check(state: State) -> None:
        pooled = contribution(spec, state, whole)
        added = add([contribution(spec, state, part) for part in parts])
        is_exact = is_private or recipe in (RecipeName.GRADIENT_BOOSTED_TREES, RecipeName.WOE_BINS)
        for name, array in pooled.items():
            if is_exact or state.phase is Phase.EVALUATE:
                assert np.array_equal(array, added[name])
            else:
                assert np.allclose(array, added[name], rtol=1e-12, atol=1e-12)

    states_of(spec, check)


@RECIPE
@settings(max_examples=25, deadline=None)
@given(rows=ROWS)
def test_order_of_rows_does_not_matter_to_exact_sums(recipe: RecipeName, rows: list[Any]) -> None:
    spec = spec_of(recipe, is_private=True)
    one, other = table_of(rows), table_of(rows[::-1])

    def check(state: State) -> None:
        there, back = contribution(spec, state, one), contribution(spec, state, other)
        assert all(np.array_equal(there[name], back[name]) for name in there)

    states_of(spec, check)


@RECIPE
@PRIVATE
@settings(max_examples=25, deadline=None)
@given(rows=ROWS)
def test_held_out_rows_take_part_in_the_evaluation_only(recipe: RecipeName, is_private: bool, rows: list[Any]) -> None:
    spec = spec_of(recipe, is_private)
    whole, training = table_of(rows), table_of([row for row in rows if not row[4]])

    def check(state: State) -> None:
        if state.phase is Phase.TRAIN:
            one, other = contribution(spec, state, whole), contribution(spec, state, training)
            assert all(np.array_equal(one[name], other[name]) for name in one)
        else:
            assert float(contribution(spec, state, whole)["score_counts"].sum()) == len(rows)

    states_of(spec, check)


@RECIPE
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([1.0, 1e3, 1e6, 1e9, 1e15]))
def test_noise_of_any_size_ends_in_a_model(recipe: RecipeName, seed: int, scale: float) -> None:
    """In private mode whatever the noise makes of the sums, training ends, finite, with a document."""
    spec = spec_of(recipe, is_private=True)
    random = np.random.default_rng(seed)
    state, exchanges = RECIPES[recipe].start(spec), 0
    while state.phase is not Phase.DONE:
        layout = RECIPES[recipe].layout(spec, state)
        sums = {part.name: random.normal(0.0, scale, part.shape) for part in layout.parts}
        if recipe is RecipeName.WOE_BINS and not _is_enough(spec, sums):
            with pytest.raises(RefusedError, match="rows of each target"):
                RECIPES[recipe].advance(spec, state, sums, 3)
            return
        state = RECIPES[recipe].advance(spec, state, sums, 3)
        exchanges += 1
    assert exchanges <= RECIPES[recipe].max_rounds(spec)
    assert all(np.isfinite(array).all() for array in state.arrays.values())
    canonical_bytes(RECIPES[recipe].model(spec, state))


def _is_enough(spec: TrainingSpec, sums: Sums) -> bool:
    counts = np.maximum(0.0, np.rint(sums["counts"]))
    offsets = bin_offsets(bin_counts(spec.features, with_special=True))
    return all(bool((counts[first:end].sum(axis=0) >= 1.0).all()) for first, end in pairwise(offsets))


# --- specifications ---------------------------------------------------------------------------------------------------

NUMBERS = st.floats(-1e6, 1e6).map(lambda value: value + 0.0)
ASCENDING = st.lists(NUMBERS, min_size=2, max_size=31, unique=True).map(sorted)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,15}", fullmatch=True)
CODES = st.lists(
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=6),
    min_size=2,
    max_size=9,
    unique=True,
)


@st.composite
def features(draw: Any) -> Feature:
    name = draw(NAMES)
    if draw(st.booleans()):
        return Feature(name=name, kind=Kind.CODED, codes=tuple(draw(CODES)))
    edges = draw(ASCENDING)
    special = draw(st.lists(NUMBERS, max_size=4, unique=True))
    bounds = (edges[0], edges[-1])
    return Feature(name=name, kind=Kind.NUMERIC, bounds=bounds, edges=tuple(edges), special=tuple(special))


PARAMETERS = {
    RecipeName.LOGISTIC_REGRESSION: st.builds(
        LogisticParameters,
        l2=st.floats(0.0, 1e6),
        max_steps=st.integers(1, 50),
        tolerance=st.floats(1e-12, 1e-3),
        missing=st.sampled_from(Missing),
        min_events_per_variable=st.integers(0, 100),
    ),
    RecipeName.GRADIENT_BOOSTED_TREES: st.builds(
        TreesParameters,
        trees=st.integers(1, 500),
        depth=st.integers(1, 6),
        learning_rate=st.floats(0.001, 1.0),
        l2=st.floats(0.0, 1e6),
        min_child_weight=st.floats(0.001, 1e6),
        min_gain=st.floats(0.0, 1e6),
    ),
    RecipeName.SMALL_NETWORK: st.builds(
        NetworkParameters,
        units=st.integers(1, 64),
        steps=st.integers(1, 1000),
        optimizer=st.sampled_from(Optimizer),
        learning_rate=st.floats(1e-6, 10.0),
        l2=st.floats(0.0, 10.0),
        missing=st.sampled_from(Missing),
    ),
    RecipeName.WOE_BINS: st.builds(
        WoeParameters, min_events=st.integers(1, 10_000), direction=st.sampled_from(Direction)
    ),
}


@RECIPE
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_specification_reads_back_from_its_canonical_bytes(recipe: RecipeName, data: Any) -> None:
    chosen = data.draw(st.lists(features(), min_size=1, max_size=5, unique_by=lambda feature: feature.name))
    is_clipped = recipe in (RecipeName.LOGISTIC_REGRESSION, RecipeName.SMALL_NETWORK)
    clip = data.draw(st.floats(0.001, 64.0)) if is_clipped else None
    spec = TrainingSpec(
        recipe=recipe,
        parameters=data.draw(PARAMETERS[recipe]),
        target=data.draw(NAMES.filter(lambda name: all(name != feature.name for feature in chosen))),
        positive=data.draw(CODES)[0],
        features=tuple(chosen),
        min_entities=data.draw(st.integers(1, 1000)),
        hold_out=data.draw(st.floats(0.0, 0.9)),
        privacy=data.draw(st.sampled_from([None, PrivacySpec(clip=clip)])),
    )
    again = TrainingSpec.from_json(parse_canonical(canonical_bytes(spec.to_json()), max_bytes=1 << 20))
    assert again == spec
    assert again.digest == spec.digest
    assert RECIPES[recipe].start(again).digest() == RECIPES[recipe].start(spec).digest()
