"""Recipe `woe_bins`: one exchange of counts, then monotonic bins with their weight of evidence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federated.content import Arrays
from federated.horizontal import woe_rounds
from federated.horizontal.design import bins_of
from federated.horizontal.encoding import bin_counts
from federated.horizontal.layout import Layout
from federated.horizontal.parameters import RecipeName, WoeParameters, parse_woe
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import State
from federated.horizontal.table import Table, check_table
from yingbi.canonical import JsonValue

__all__ = ["WoeBins"]


@dataclass(frozen=True, slots=True)
class WoeBins:
    """Weight of evidence and information value of every feature; rows that are held out take no part."""

    name: RecipeName = RecipeName.WOE_BINS

    def parse(self, parameters: JsonValue) -> WoeParameters:
        """Read its parameters, strictly."""
        return parse_woe(parameters)

    def start(self, spec: TrainingSpec) -> State:
        """Return the state before the exchange."""
        return woe_rounds.start(spec)

    def layout(self, spec: TrainingSpec, state: State) -> Layout:
        """Return what the exchange sends."""
        return woe_rounds.layout(spec, state)

    def contribute(self, spec: TrainingSpec, state: State, table: Table) -> dict[str, NDArray[np.float64]]:
        """Count a node's training rows by bin and target."""
        check_table(spec, table)
        rows = table.training
        counted = []
        for feature, bins in zip(spec.features, bin_counts(spec.features, with_special=True), strict=True):
            cell = bins_of(feature, rows.columns[feature.name], with_special=True) * 2 + rows.target
            counted.append(np.bincount(cell, minlength=2 * bins).astype(np.float64).reshape(bins, 2))
        return {"counts": np.concatenate(counted)}

    def advance(self, spec: TrainingSpec, state: State, sums: Arrays, parties: int) -> State:
        """Return the last state."""
        return woe_rounds.advance(spec, state, sums, parties)

    def model(self, spec: TrainingSpec, state: State) -> dict[str, JsonValue]:
        """Return the model document."""
        return woe_rounds.model(spec, state)

    def max_rounds(self, spec: TrainingSpec) -> int:
        """Return how many exchanges there are."""
        return 1
