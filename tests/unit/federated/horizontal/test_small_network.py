"""Small network: the gradient is that of the pooled loss, and everything else is the same everywhere."""

from typing import Any

import numpy as np
import pytest

from federated.horizontal import network_rounds
from federated.horizontal.design import design_matrix
from federated.horizontal.encoding import terms_of
from federated.horizontal.parameters import Missing, NetworkParameters, Optimizer, RecipeName
from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import Phase, State
from federated.horizontal.table import Table
from tests.unit.federated.horizontal.examples import add, contribution, make_spec, make_table, private, split, train
from tests.unit.federated.horizontal.pooled import network_loss
from tests.unit.federated.horizontal.test_logistic_regression import gaussian
from yingbi.errors import InvalidRequestError, RefusedError

NAME = RecipeName.SMALL_NETWORK
RECIPE = RECIPES[NAME]


def flat(arrays: Any) -> list[float]:
    return [value for name in network_rounds.WEIGHTS for value in np.asarray(arrays[name]).reshape(-1).tolist()]


def inputs(spec: TrainingSpec, table: Table) -> Any:
    return design_matrix(spec.features, terms_of(spec.features, Missing.INDICATOR), table)[1:].T


def second_state(spec: TrainingSpec, table: Table) -> State:
    state = RECIPE.start(spec)
    return RECIPE.advance(spec, state, contribution(spec, state, table), 1)


def test_gradients_are_those_of_the_pooled_loss() -> None:
    spec = make_spec(NAME)
    table = make_table(60)
    state = second_state(spec, table)
    sums = add([contribution(spec, state, part) for part in split(table, 3)])
    rows = table.training
    weights = flat(state.arrays)
    loss = network_loss(weights, inputs(spec, rows), rows.target.tolist(), 3)
    assert 64.0 * float(sums["loss"][0]) == pytest.approx(loss, rel=1e-12)
    for place, slope in enumerate(flat(sums)):
        ends = []
        for step in (1e-5, -1e-5):
            moved = [*weights[:place], weights[place] + step, *weights[place + 1 :]]
            ends.append(network_loss(moved, inputs(spec, rows), rows.target.tolist(), 3))
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_parties_train_what_the_pooled_rows_train(optimizer: Optimizer) -> None:
    parameters = NetworkParameters(units=4, steps=40, optimizer=optimizer, learning_rate=0.05)
    spec = make_spec(NAME, parameters)
    table = make_table(2000)
    (one, _), (many, states) = train(spec, [table]), train(spec, split(table, 5))
    assert flat(one.arrays) == pytest.approx(flat(many.arrays), abs=1e-9)
    assert len(states) == 42
    assert float(many.arrays["loss"][0]) < float(states[2].arrays["loss"][0]) - 0.01


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_steps_are_those_of_the_papers(optimizer: Optimizer) -> None:
    """One entry, followed by hand."""
    parameters = NetworkParameters(units=1, steps=5, optimizer=optimizer, learning_rate=0.1, l2=0.5)
    spec = make_spec(NAME, parameters)
    state = RECIPE.advance(spec, RECIPE.start(spec), {"target_counts": np.array([60.0, 40.0])}, 1)
    assert float(state.arrays["output_bias"][0]) == pytest.approx(np.log(4 / 6))
    weight, first, second = float(state.arrays["output"][0]), 0.0, 0.0
    for step in range(1, 6):
        sums = {name: np.zeros(state.arrays[name].shape) for name in network_rounds.WEIGHTS}
        sums["output"] = np.array([30.0 * step])
        state = RECIPE.advance(spec, state, {**sums, "loss": np.array([0.78125])}, 1)
        slope = 3.0 * step / 10.0 + 0.5 * weight
        if optimizer is Optimizer.MOMENTUM:
            first = 0.9 * first + slope
            weight -= 0.1 * first
        else:
            first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
            weight -= 0.1 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        assert float(state.arrays["output"][0]) == pytest.approx(weight, rel=1e-12)
    assert state.phase is Phase.EVALUATE
    assert float(state.arrays["loss"][0]) == 0.5
    assert float(state.arrays["output_bias"][0]) == pytest.approx(np.log(4 / 6)), "no penalty on a bias"


def test_first_weights_follow_from_the_specification_alone() -> None:
    spec = make_spec(NAME, NetworkParameters(units=64, steps=5))
    one, same = RECIPE.start(spec), RECIPE.start(make_spec(NAME, NetworkParameters(units=64, steps=5)))
    other = RECIPE.start(make_spec(NAME, NetworkParameters(units=64, steps=6)))
    assert one.digest() == same.digest() != other.digest()
    hidden = one.arrays["hidden"]
    limit = np.sqrt(6.0 / (network_rounds.inputs(spec) + 64))
    assert hidden.shape == (64, network_rounds.inputs(spec))
    assert np.abs(hidden).max() <= limit
    # 512 uniform draws: mean and spread within five standard errors.
    assert abs(float(hidden.mean())) < 5 * limit / np.sqrt(3 * hidden.size)
    assert float(hidden.std()) == pytest.approx(limit / np.sqrt(3), rel=0.15)


def test_weights_stay_within_100() -> None:
    spec = make_spec(NAME, NetworkParameters(units=2, steps=30, optimizer=Optimizer.MOMENTUM, learning_rate=10.0))
    state = RECIPE.advance(spec, RECIPE.start(spec), {"target_counts": np.array([60.0, 40.0])}, 1)
    wild = {name: np.full(state.arrays[name].shape, 1e300) for name in network_rounds.WEIGHTS}
    state = RECIPE.advance(spec, state, wild, 1)
    assert set(flat(state.arrays)) == {-100.0}
    bound = {part.name: part.bound for part in RECIPE.layout(spec, state).parts}
    assert bound["hidden"] == 100.0 * spec.max_rows


def test_a_target_of_too_few_rows_is_refused() -> None:
    with pytest.raises(RefusedError, match="at least 300 rows"):
        train(make_spec(NAME, min_entities=300), [make_table(500)])
    with pytest.raises(InvalidRequestError):
        network_rounds.parameters_of(make_spec(RecipeName.WOE_BINS))


def test_clipped_gradients_are_those_of_each_record_cut_to_the_clip() -> None:
    clip = 0.4
    spec = make_spec(NAME, privacy=private(NAME, clip))
    table = make_table(50, held_out=0.0)
    state = second_state(spec, table)
    exact = make_spec(NAME)
    total = np.zeros(len(flat(state.arrays)))
    is_cut = 0
    for row in range(50):
        each = RECIPE.contribute(exact, state, table.part(np.arange(50) == row))
        vector = np.array(flat(each))
        length = float(np.linalg.norm(vector))
        is_cut += length > clip
        total += vector * min(1.0, clip / length)
    assert 0 < is_cut < 50
    assert flat(RECIPE.contribute(spec, state, table)) == pytest.approx(total.tolist(), abs=50 * 2.0**-23)


def test_private_training_learns_with_noise_and_survives_any() -> None:
    spec = make_spec(NAME, NetworkParameters(units=4, steps=30, learning_rate=0.05), privacy=private(NAME))
    table = make_table(20_000)
    state, _ = train(spec, split(table, 3), gaussian(5.0, 1))
    counts = state.arrays["score_counts"][0]
    score = np.arange(100)
    means = [float((counts[target] * score).sum() / counts[target].sum()) for target in (0, 1)]
    assert means[1] > means[0] + 3.0
    wild, _ = train(spec, split(make_table(200), 3), gaussian(1e9, 1))
    assert np.isfinite(flat(wild.arrays)).all()
