"""Figures of states are those of sums, in decimals, and are there where they are known."""

import numpy as np

from federated.horizontal.state import Phase, State
from federated.rounds.figures import figures_of


def state(**arrays: list[float]) -> State:
    return State(phase=Phase.TRAIN, step=1, arrays={name: np.array(value) for name, value in arrays.items()})


def test_the_loss_is_the_mean_over_all_rows() -> None:
    figures = figures_of(state(objective=[30.0], target_counts=[40.0, 20.0], decrement=[0.25]))
    assert figures == {"decrement": "0.250000", "loss": "0.500000"}


def test_before_anything_is_counted_there_is_no_loss() -> None:
    assert figures_of(state(objective=[0.0], target_counts=[0.0, 0.0])) == {}
    assert figures_of(state()) == {}


def test_a_recipe_that_keeps_its_loss_and_trees_says_them() -> None:
    assert figures_of(state(loss=[0.1234567], feature=[1.0, 2.0])) == {"loss": "0.123457", "trees": "2.000000"}
