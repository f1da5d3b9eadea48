"""Recipe `small_network`: one hidden layer of tanh units, full-batch gradients (docs/spec/recipes.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from federated.content import Arrays
from federated.horizontal import network_rounds
from federated.horizontal.counting import count_scores, count_targets
from federated.horizontal.design import combine, design_matrix, losses, probabilities, squared_lengths
from federated.horizontal.encoding import terms_of
from federated.horizontal.evaluation import LOSS_UNIT
from federated.horizontal.grid import NORM_MARGIN, shrink_to_grid
from federated.horizontal.layout import Layout
from federated.horizontal.parameters import Missing, NetworkParameters, RecipeName, parse_network
from federated.horizontal.spec import Feature, TrainingSpec
from federated.horizontal.state import Phase, State
from federated.horizontal.table import Table, check_table
from yingbi.canonical import JsonValue

__all__ = ["SmallNetwork", "network_margins"]

Floats = NDArray[np.float64]

_PIECE_ENTRIES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SmallNetwork:
    """A network of one hidden layer."""

    name: RecipeName = RecipeName.SMALL_NETWORK

    def parse(self, parameters: JsonValue) -> NetworkParameters:
        """Read its parameters, strictly."""
        return parse_network(parameters)

    def start(self, spec: TrainingSpec) -> State:
        """Return the state before the first exchange."""
        return network_rounds.start(spec)

    def layout(self, spec: TrainingSpec, state: State) -> Layout:
        """Return what the next exchange sends."""
        return network_rounds.layout(spec, state)

    def contribute(self, spec: TrainingSpec, state: State, table: Table) -> dict[str, Floats]:
        """Compute a node's sums: gradients of its training rows, or its evaluation."""
        check_table(spec, table)
        missing = network_rounds.parameters_of(spec).missing
        if state.phase is not Phase.TRAIN:
            return count_scores(table, network_margins(spec.features, missing, state.arrays, table))
        if state.step == 0:
            return {"target_counts": count_targets(table.training)}
        if spec.privacy is not None and spec.privacy.clip is not None:
            return _private_sums(spec, state, table.training, spec.privacy.clip)
        return _exact_sums(spec, state, table.training)

    def advance(self, spec: TrainingSpec, state: State, sums: Arrays, parties: int) -> State:
        """Return the next state."""
        return network_rounds.advance(spec, state, sums, parties)

    def model(self, spec: TrainingSpec, state: State) -> dict[str, JsonValue]:
        """Return the model document."""
        return network_rounds.model(spec, state)

    def max_rounds(self, spec: TrainingSpec) -> int:
        """Return how many exchanges there are."""
        return network_rounds.max_rounds(spec)


def network_margins(
    features: tuple[Feature, ...], missing: Missing, arrays: Mapping[str, NDArray[Any]], table: Table
) -> Floats:
    """Return the log-odds of each row."""
    matrix = design_matrix(features, terms_of(features, missing), table)[1:]
    return _Pass(arrays, matrix, table.target).margins


class _Pass:
    """One pass over some rows, forward, and back to the gradient of each margin."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], matrix: Floats, target: NDArray[np.int64]) -> None:
        self.matrix = matrix
        self.target = target
        self.hidden: Floats = np.tanh(combine(arrays["hidden"], matrix) + arrays["hidden_bias"][:, np.newaxis])
        self.margins: Floats = combine(arrays["output"], self.hidden) + arrays["output_bias"][0]
        self._output = arrays["output"]

    def slopes(self) -> tuple[Floats, Floats]:
        """Return the derivative of each row's loss by its margin, (rows,), and by its units' inputs, (units, rows)."""
        residual = probabilities(self.margins) - self.target
        return residual, (self._output[:, np.newaxis] * residual) * (1.0 - self.hidden * self.hidden)


def _inputs(spec: TrainingSpec, table: Table) -> Floats:
    terms = terms_of(spec.features, network_rounds.parameters_of(spec).missing)
    return design_matrix(spec.features, terms, table)[1:]


def _exact_sums(spec: TrainingSpec, state: State, table: Table) -> dict[str, Floats]:
    done = _Pass(state.arrays, _inputs(spec, table), table.target)
    residual, inner = done.slopes()
    return {
        "hidden": inner @ done.matrix.T,
        "hidden_bias": inner.sum(axis=1),
        "output": done.hidden @ residual,
        "output_bias": np.array([residual.sum()]),
        "loss": np.array([losses(done.margins, table.target).sum() / LOSS_UNIT]),
    }


def _private_sums(spec: TrainingSpec, state: State, table: Table, clip: float) -> dict[str, Floats]:
    """Sum clipped gradients: every entry of a record on the grid, so that the sums are exact."""
    sums: dict[str, Floats] = {name: np.zeros(state.arrays[name].shape) for name in network_rounds.WEIGHTS}
    piece = max(1, _PIECE_ENTRIES // state.arrays["hidden"].size)
    matrix = _inputs(spec, table)
    for first in range(0, table.rows, piece):
        rows = slice(first, first + piece)
        _add_clipped(sums, _Pass(state.arrays, matrix[:, rows], table.target[rows]), clip)
    return sums


def _add_clipped(sums: dict[str, Floats], done: _Pass, clip: float) -> None:
    residual, inner = done.slopes()
    squared = residual * residual * (1.0 + squared_lengths(done.hidden))
    squared += squared_lengths(inner) * (1.0 + squared_lengths(done.matrix))
    weight = NORM_MARGIN * clip / np.maximum(np.sqrt(squared), clip)
    residual, inner = residual * weight, inner * weight
    each = inner[:, np.newaxis, :] * done.matrix[np.newaxis, :, :]
    sums["hidden"] += shrink_to_grid(each).sum(axis=2)
    sums["hidden_bias"] += shrink_to_grid(inner).sum(axis=1)
    sums["output"] += shrink_to_grid(done.hidden * residual).sum(axis=1)
    sums["output_bias"] += shrink_to_grid(residual).sum()
