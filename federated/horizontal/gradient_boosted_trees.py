"""Recipe `gradient_boosted_trees`: histograms of derivatives over public bins (docs/spec/recipes.md)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.content import Arrays
from federated.horizontal import trees_model, trees_rounds
from federated.horizontal.counting import count_scores, count_targets
from federated.horizontal.design import bins_of, probabilities
from federated.horizontal.encoding import bin_counts
from federated.horizontal.grid import to_grid
from federated.horizontal.layout import Layout
from federated.horizontal.parameters import RecipeName, TreesParameters, parse_trees
from federated.horizontal.spec import Feature, Kind, TrainingSpec
from federated.horizontal.state import Phase, State
from federated.horizontal.table import Table, check_table
from yingbi.canonical import JsonValue

__all__ = ["GradientBoostedTrees", "tree_margins"]

Floats = NDArray[np.float64]
Bins = list[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class GradientBoostedTrees:
    """Histogram boosting with logistic loss; in exact mode bit for bit the trees of the pooled rows."""

    name: RecipeName = RecipeName.GRADIENT_BOOSTED_TREES

    def parse(self, parameters: JsonValue) -> TreesParameters:
        """Read its parameters, strictly."""
        return parse_trees(parameters)

    def start(self, spec: TrainingSpec) -> State:
        """Return the state before the first exchange."""
        return trees_rounds.start(spec)

    def layout(self, spec: TrainingSpec, state: State) -> Layout:
        """Return what the next exchange sends."""
        return trees_rounds.layout(spec, state)

    def contribute(self, spec: TrainingSpec, state: State, table: Table) -> dict[str, Floats]:
        """Compute a node's sums: histograms of its training rows, or its evaluation."""
        check_table(spec, table)
        if state.phase is not Phase.TRAIN:
            margins = tree_margins(spec.features, trees_rounds.model_arrays(state), table)
            return count_scores(table, margins)
        if int(state.arrays["level"][0]) < 0:
            return {"target_counts": count_targets(table.training)}
        return _histograms(spec, state, table.training)

    def advance(self, spec: TrainingSpec, state: State, sums: Arrays, parties: int) -> State:
        """Return the next state."""
        return trees_rounds.advance(spec, state, sums, parties)

    def model(self, spec: TrainingSpec, state: State) -> dict[str, JsonValue]:
        """Return the model document."""
        return trees_model.model(spec, state)

    def max_rounds(self, spec: TrainingSpec) -> int:
        """Return how many exchanges there can be."""
        return trees_rounds.max_rounds(spec)


def tree_margins(features: tuple[Feature, ...], arrays: dict[str, NDArray[Any]], table: Table) -> Floats:
    """Return the log-odds of each row: the base margin plus the values of its leaves, tree by tree."""
    return _margins(features, arrays, _all_bins(features, table), table.rows)


def _all_bins(features: tuple[Feature, ...], table: Table) -> Bins:
    return [bins_of(feature, table.columns[feature.name], with_special=False).astype(np.uint8) for feature in features]


def _margins(features: tuple[Feature, ...], arrays: dict[str, NDArray[Any]], bins: Bins, rows: int) -> Floats:
    margins = np.full(rows, float(arrays["base"][0]))
    for number in range(len(arrays["feature"])):
        tree = _Tree(features, arrays, number)
        margins += tree.values(bins)
    return margins


class _Tree:
    """One tree. A row's path is a number: a bit a level, 0 for left; a path that ends early goes on to the left."""

    def __init__(self, features: tuple[Feature, ...], arrays: dict[str, NDArray[Any]], number: int) -> None:
        self._all = features
        self._features: list[int] = arrays["feature"][number].tolist()
        self._thresholds: list[int] = arrays["threshold"][number].tolist()
        self._missing_left: list[int] = arrays["missing_left"][number].tolist()
        self._values: list[float] = arrays["value"][number].tolist()

    def values(self, bins: Bins) -> Floats:
        """Return the value of each row's leaf."""
        depth = self._depth(0)
        leaves = np.zeros(2**depth)
        for node, path in self._ends(0, 0, depth):
            leaves[path] = self._values[node]
        return leaves[self._paths(bins, depth)]

    def nodes(self, bins: Bins, level: int) -> NDArray[np.int64]:
        """Return the place of each row's node within a level, -1 where its path ends above."""
        places = np.full(2**level, -1, dtype=np.int64)
        for node, path in self._ends(0, 0, level):
            if node >= 2**level - 1:
                places[path] = path
        return places[self._paths(bins, level)]

    def _depth(self, node: int) -> int:
        return 1 + max(self._depth(2 * node + 1), self._depth(2 * node + 2)) if self._is_split(node) else 0

    def _is_split(self, node: int) -> bool:
        return node < len(self._features) and self._features[node] != trees_rounds.UNSPLIT

    def _ends(self, node: int, path: int, levels: int) -> list[tuple[int, int]]:
        """Return where paths of so many levels end: nodes and paths."""
        if levels == 0 or not self._is_split(node):
            return [(node, path << levels)]
        left = self._ends(2 * node + 1, 2 * path, levels - 1)
        return left + self._ends(2 * node + 2, 2 * path + 1, levels - 1)

    def _paths(self, bins: Bins, levels: int) -> NDArray[np.uint8]:
        paths = np.zeros(len(bins[0]), dtype=np.uint8)
        for goes_right in self._bits(bins, 0, levels):
            paths = paths * np.uint8(2) + goes_right
        return paths

    def _bits(self, bins: Bins, node: int, levels: int) -> list[Any]:
        if levels == 0 or not self._is_split(node):
            return [np.False_] * levels
        goes_left = self._goes_left(bins[self._features[node]], node)
        goes_right = ~goes_left
        left, right = (self._bits(bins, child, levels - 1) for child in (2 * node + 1, 2 * node + 2))
        below = ((one & goes_left) | (other & goes_right) for one, other in zip(left, right, strict=True))
        return [goes_right, *below]

    def _goes_left(self, column: NDArray[np.uint8], node: int) -> NDArray[np.bool_]:
        feature, threshold = self._all[self._features[node]], np.uint8(self._thresholds[node])
        if feature.kind is Kind.CODED:
            return np.equal(column, threshold)
        goes_left = np.less(column, threshold)
        if self._missing_left[node]:
            goes_left |= np.equal(column, np.uint8(len(feature.edges) + 1))
        return goes_left


def _histograms(spec: TrainingSpec, state: State, table: Table) -> dict[str, Floats]:
    """Sum derivatives and rows by open node and bin; the derivatives are on the grid, so that no order matters."""
    level, arrays = int(state.arrays["level"][0]), trees_rounds.model_arrays(state)
    bins = _all_bins(spec.features, table)
    finished = {name: array if name == "base" else array[:-1] for name, array in arrays.items()}
    chance = probabilities(_margins(spec.features, finished, bins, table.rows))
    place = _Tree(spec.features, arrays, -1).nodes(bins, level)
    is_in = (place >= 0) & (state.arrays["open"][place] == 1)
    gradient = to_grid(chance - table.target)
    hessian = to_grid(chance * (1.0 - chance))
    if not is_in.all():
        place, gradient, hessian = place[is_in], gradient[is_in], hessian[is_in]
        bins = [column[is_in] for column in bins]
    weights: dict[str, Floats | None] = {"gradient": gradient, "hessian": hessian}
    if spec.privacy is None:
        weights["count"] = None
    return _sums(spec, bins, place, 2**level, weights)


def _sums(
    spec: TrainingSpec, bins: Bins, place: NDArray[np.int64], nodes: int, weights: dict[str, Floats | None]
) -> dict[str, Floats]:
    found: dict[str, list[Floats]] = {name: [] for name in weights}
    for column, count in zip(bins, bin_counts(spec.features, with_special=False), strict=True):
        cell = place * count + column
        for name, weight in weights.items():
            total = np.bincount(cell, weights=weight, minlength=nodes * count)
            found[name].append(total.astype(np.float64).reshape(nodes, count))
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}
