"""Recipe `logistic_regression`: Newton's method on summed gradients and Hessians (docs/spec/recipes.md)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federated.content import Arrays
from federated.horizontal import logistic_model, logistic_rounds
from federated.horizontal.counting import count_scores, count_targets
from federated.horizontal.design import combine, design_matrix, losses, probabilities, squared_lengths
from federated.horizontal.encoding import Role
from federated.horizontal.evaluation import LOSS_UNIT
from federated.horizontal.grid import NORM_MARGIN, shrink_to_grid
from federated.horizontal.layout import Layout
from federated.horizontal.parameters import LogisticParameters, RecipeName, parse_logistic
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import Phase, State
from federated.horizontal.table import Table, check_table
from yingbi.canonical import JsonValue

__all__ = ["LogisticRegression"]

Floats = NDArray[np.float64]

_PIECE: Final = 4096


@dataclass(frozen=True, slots=True)
class LogisticRegression:
    """Logistic regression; in exact mode the maximum of the pooled (penalised) likelihood."""

    name: RecipeName = RecipeName.LOGISTIC_REGRESSION

    def parse(self, parameters: JsonValue) -> LogisticParameters:
        """Read its parameters, strictly."""
        return parse_logistic(parameters)

    def start(self, spec: TrainingSpec) -> State:
        """Return the state before the first exchange."""
        return logistic_rounds.start(spec)

    def layout(self, spec: TrainingSpec, state: State) -> Layout:
        """Return what the next exchange sends."""
        return logistic_rounds.layout(spec, state)

    def contribute(self, spec: TrainingSpec, state: State, table: Table) -> dict[str, Floats]:
        """Compute a node's sums: gradient, Hessian and loss of its training rows, or its evaluation."""
        check_table(spec, table)
        if state.phase is not Phase.TRAIN:
            return count_scores(table, _margins(spec, state.arrays["coefficients"], table))
        if spec.privacy is not None:
            return _private_sums(spec, state, table.training)
        return _exact_sums(spec, state, table.training)

    def advance(self, spec: TrainingSpec, state: State, sums: Arrays, parties: int) -> State:
        """Return the next state."""
        return logistic_rounds.advance(spec, state, sums, parties)

    def model(self, spec: TrainingSpec, state: State) -> dict[str, JsonValue]:
        """Return the model document."""
        return logistic_model.model(spec, state)

    def max_rounds(self, spec: TrainingSpec) -> int:
        """Return how many exchanges there can be."""
        return logistic_rounds.max_rounds(spec)


def _margins(spec: TrainingSpec, coefficients: Floats, table: Table) -> Floats:
    return combine(coefficients, design_matrix(spec.features, logistic_rounds.terms(spec), table))


def _exact_sums(spec: TrainingSpec, state: State, table: Table) -> dict[str, Floats]:
    terms = logistic_rounds.terms(spec)
    matrix = design_matrix(spec.features, terms, table)
    margins = combine(state.arrays["candidate"], matrix)
    chance = probabilities(margins)
    upper = np.triu_indices(len(terms))
    sums = {
        "gradient": matrix @ (chance - table.target),
        "hessian": ((matrix * (chance * (1.0 - chance))) @ matrix.T)[upper],
        "loss": np.array([losses(margins, table.target).sum() / LOSS_UNIT]),
    }
    if state.step == 0:
        is_indicator = np.array([term.role in (Role.LEVEL, Role.MISSING) for term in terms])
        sums["target_counts"] = count_targets(table)
        sums["column_counts"] = np.where(is_indicator, matrix.sum(axis=1), 0.0)
    return sums


def _private_sums(spec: TrainingSpec, state: State, table: Table) -> dict[str, Floats]:
    """Sum clipped records: every entry on the grid, so that the sums are exact and the sensitivity holds."""
    terms = logistic_rounds.terms(spec)
    clip = spec.privacy.clip if spec.privacy is not None and spec.privacy.clip is not None else 0.0
    sums = {"gradient": np.zeros(len(terms))}
    if state.step == 0:
        sums["hessian"] = np.zeros(len(terms) * (len(terms) + 1) // 2)
    for first in range(0, table.rows, _PIECE):
        is_in = np.zeros(table.rows, dtype=np.bool_)
        is_in[first : first + _PIECE] = True
        piece = table.part(is_in)
        matrix = design_matrix(spec.features, terms, piece)
        residual = probabilities(combine(state.arrays["candidate"], matrix)) - piece.target
        weight = np.minimum(1.0, clip / np.sqrt(squared_lengths(matrix))) * NORM_MARGIN
        sums["gradient"] += shrink_to_grid(matrix * (weight * residual)).sum(axis=1)
        if state.step == 0:
            sums["hessian"] += _weighted_squares(matrix, weight)
    return sums


def _weighted_squares(matrix: Floats, weight: Floats) -> Floats:
    quarter = matrix * (weight / 4.0)
    rows = [shrink_to_grid(quarter[i] * matrix[i:]).sum(axis=1) for i in range(len(matrix))]
    return np.concatenate(rows)
