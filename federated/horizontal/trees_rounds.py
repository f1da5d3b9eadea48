"""Gradient-boosted trees between the exchanges (docs/spec/recipes.md, "gradient_boosted_trees").

The first exchange counts targets; then every level of every tree is one exchange of histograms. The sums of a split
give the weights of both children, so that leaves need no exchange of their own.

INVARIANT: the same bits on every machine: + - * / only, in a fixed order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from federated.content import Arrays
from federated.horizontal.encoding import bin_counts, bin_offsets
from federated.horizontal.evaluation import evaluation_layout, finish_evaluation
from federated.horizontal.exact import add_up, log_odds
from federated.horizontal.layout import Layout, Part
from federated.horizontal.parameters import TreesParameters
from federated.horizontal.spec import Feature, Kind, TrainingSpec
from federated.horizontal.state import Phase, State
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError

__all__ = ["UNSPLIT", "Split", "advance", "layout", "max_rounds", "model_arrays", "parameters_of", "start"]

UNSPLIT: Final = -1
_MAX_NOISY_WEIGHT: Final = 4.0
_GROWN: Final = ("feature", "threshold", "missing_left", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How a node is split.

    Numeric: bins below `threshold` go left, the missing bin as `missing_left` says. Coded: the bin `threshold` goes
    left, all others right. `left` and `right` are sums of gradient and Hessian.
    """

    gain: float
    feature: int
    threshold: int
    missing_left: bool
    left: tuple[float, float]
    right: tuple[float, float]


def parameters_of(spec: TrainingSpec) -> TreesParameters:
    """Return the typed parameters.

    Raises:
        InvalidRequestError: the specification is of another recipe.
    """
    if not isinstance(spec.parameters, TreesParameters):
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected parameters of `gradient_boosted_trees`")
    return spec.parameters


def start(spec: TrainingSpec) -> State:
    """Return the state before the first exchange: no tree, all margins 0."""
    depth = parameters_of(spec).depth
    inner, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    arrays: dict[str, NDArray[Any]] = {
        "base": np.zeros(1),
        "target_counts": np.zeros(2),
        "feature": np.zeros((0, inner), dtype=np.int64),
        "threshold": np.zeros((0, inner), dtype=np.int64),
        "missing_left": np.zeros((0, inner), dtype=np.int64),
        "value": np.zeros((0, nodes)),
        "level": np.array([-1], dtype=np.int64),
        "open": np.zeros(1, dtype=np.int64),
    }
    return State(phase=Phase.TRAIN, step=0, arrays=arrays)


def max_rounds(spec: TrainingSpec) -> int:
    """Return how many exchanges there can be: counts, levels, evaluation."""
    return parameters_of(spec).trees * parameters_of(spec).depth + 2


def layout(spec: TrainingSpec, state: State) -> Layout:
    """Return what the next exchange sends."""
    if state.phase is not Phase.TRAIN:
        return evaluation_layout(spec)
    rows, level = float(spec.max_rows), int(state.arrays["level"][0])
    if level < 0:
        return Layout(parts=(Part(name="target_counts", shape=(2,), bound=rows, is_count=True),), sensitivity=1.0)
    shape = (2**level, bin_offsets(bin_counts(spec.features, with_special=False))[-1])
    # In every feature a record is in one bin of one node: a gradient of at most 1, a Hessian of at most 1/4, a count.
    each = 1.0 + 1.0 / 16.0
    parts = [Part(name="gradient", shape=shape, bound=rows), Part(name="hessian", shape=shape, bound=rows / 4.0)]
    if spec.privacy is None:
        parts.append(Part(name="count", shape=shape, bound=rows, is_count=True))
        each += 1.0
    return Layout(parts=tuple(parts), sensitivity=sqrt(len(spec.features) * each))


def advance(spec: TrainingSpec, state: State, sums: Arrays, parties: int) -> State:
    """Return the next state.

    Raises:
        RefusedError: too few rows of a target (exact mode).
    """
    if state.phase is not Phase.TRAIN:
        return finish_evaluation(state, sums)
    if int(state.arrays["level"][0]) < 0:
        return _begin(spec, state, sums["target_counts"].tolist())
    return _grow(spec, state, sums)


def model_arrays(state: State) -> dict[str, NDArray[Any]]:
    """Return the arrays that a model consists of."""
    return {name: state.arrays[name] for name in ("base", *_GROWN)}


def _begin(spec: TrainingSpec, state: State, counts: list[float]) -> State:
    if spec.privacy is None and min(counts) < spec.min_entities:
        raise RefusedError(ErrorCode.JOB_REFUSED, f"expected at least {spec.min_entities} rows of each target")
    others, events = (max(1.0, count) for count in counts)
    kept = {"base": np.array([log_odds(events, others)]), "target_counts": np.array(counts)}
    return _plant(replace(state, step=1, arrays={**state.arrays, **kept}))


def _plant(state: State) -> State:
    """Begin a tree that consists of its root."""
    arrays = dict(state.arrays)
    for name in _GROWN:
        old = arrays[name]
        new = np.zeros((1, old.shape[1]), dtype=old.dtype)
        new[:] = UNSPLIT if name == "feature" else 0
        arrays[name] = np.concatenate([old, new])
    arrays["level"] = np.zeros(1, dtype=np.int64)
    arrays["open"] = np.ones(1, dtype=np.int64)
    return replace(state, arrays=arrays)


def _grow(spec: TrainingSpec, state: State, sums: Arrays) -> State:
    """Split the open nodes of a level, then go to the next level, tree or phase."""
    arrays = {name: array.copy() for name, array in state.arrays.items()}
    level, first = int(arrays["level"][0]), 2 ** int(arrays["level"][0]) - 1
    is_open = []
    for node, was_open in enumerate(arrays["open"].tolist()):
        split = _best_split(spec, sums, node) if was_open else None
        is_open += [split is not None] * 2
        if split is not None:
            _write(spec, arrays, first + node, split)
    parameters = parameters_of(spec)
    state = replace(state, step=state.step + 1, arrays=arrays)
    if any(is_open) and level + 1 < parameters.depth:
        arrays["level"] = np.array([level + 1], dtype=np.int64)
        arrays["open"] = np.array(is_open, dtype=np.int64)
        return state
    if level == 0 and not any(is_open):
        return _stop(state)
    return _plant(state) if len(arrays["feature"]) < parameters.trees else replace(state, phase=Phase.EVALUATE)


def _stop(state: State) -> State:
    """Drop a tree whose root cannot be split: no further tree can."""
    arrays = {**state.arrays, **{name: state.arrays[name][:-1] for name in _GROWN}}
    return replace(state, phase=Phase.EVALUATE, arrays=arrays)


def _write(spec: TrainingSpec, arrays: dict[str, NDArray[Any]], node: int, split: Split) -> None:
    arrays["feature"][-1, node] = split.feature
    arrays["threshold"][-1, node] = split.threshold
    arrays["missing_left"][-1, node] = split.missing_left
    arrays["value"][-1, 2 * node + 1] = _weight(spec, *split.left)
    arrays["value"][-1, 2 * node + 2] = _weight(spec, *split.right)


def _weight(spec: TrainingSpec, gradient: float, hessian: float) -> float:
    parameters = parameters_of(spec)
    weight = -gradient / (hessian + parameters.l2)
    if spec.privacy is not None:
        weight = max(-_MAX_NOISY_WEIGHT, min(_MAX_NOISY_WEIGHT, weight))
    return parameters.learning_rate * weight


def _best_split(spec: TrainingSpec, sums: Arrays, node: int) -> Split | None:
    """Return the split of the largest gain; among equals the first feature and threshold."""
    offsets = bin_offsets(bin_counts(spec.features, with_special=False))
    gradients = sums["gradient"][node].tolist()
    hessians = sums["hessian"][node].tolist()
    counts = sums["count"][node].tolist() if spec.privacy is None else [0.0] * len(gradients)
    best: Split | None = None
    for index, feature in enumerate(spec.features):
        own = slice(offsets[index], offsets[index + 1])
        bins = (gradients[own], hessians[own], counts[own])
        for candidate in _Candidates(spec, index, feature, bins).found():
            if best is None or candidate.gain > best.gain:
                best = candidate
    return best


class _Candidates:
    """The splits of one node by one feature that are allowed and gain enough."""

    def __init__(self, spec: TrainingSpec, index: int, feature: Feature, bins: tuple[Sequence[float], ...]) -> None:
        self._parameters = parameters_of(spec)
        self._min_entities = spec.min_entities if spec.privacy is None else 0
        self._index, self._feature = index, feature
        self._bins = list(zip(*bins, strict=True))
        gradient, hessian, count = (add_up(column) for column in bins)
        self._total = (gradient, hessian, count)
        self._before = self._quality(gradient, hessian)

    def found(self) -> list[Split]:
        """Return them in ascending order of threshold."""
        if self._feature.kind is Kind.CODED:
            tried = [self._split(own, threshold, False) for threshold, own in enumerate(self._bins)]
        else:
            tried = self._numeric()
        return [split for split in tried if split is not None]

    def _numeric(self) -> list[Split | None]:
        tried: list[Split | None] = []
        missing = self._bins[-1]
        left = (0.0, 0.0, 0.0)
        last = len(self._bins) - 1
        for threshold in range(1, last + 1):
            left = _plus(left, self._bins[threshold - 1])
            if missing == (0.0, 0.0, 0.0):
                # Nothing is known of missing values here: they go with the greater part.
                tried.append(self._split(left, threshold, left[1] + left[1] >= self._total[1]))
                continue
            tried.append(self._split(left, threshold, False))
            if threshold < last:
                tried.append(self._split(_plus(left, missing), threshold, True))
        return tried

    def _split(self, left: tuple[float, float, float], threshold: int, missing_left: bool) -> Split | None:
        gradient, hessian, count = left
        other = (self._total[0] - gradient, self._total[1] - hessian)
        if min(hessian, other[1]) < self._parameters.min_child_weight:
            return None
        if min(count, self._total[2] - count) < self._min_entities:
            return None
        gain = self._quality(gradient, hessian) + self._quality(*other) - self._before
        if gain <= self._parameters.min_gain:
            return None
        return Split(
            gain=gain,
            feature=self._index,
            threshold=threshold,
            missing_left=missing_left,
            left=(gradient, hessian),
            right=other,
        )

    def _quality(self, gradient: float, hessian: float) -> float:
        divisor = hessian + self._parameters.l2
        return gradient * gradient / divisor if divisor > 0.0 else 0.0


def _plus(one: tuple[float, float, float], other: tuple[float, ...]) -> tuple[float, float, float]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
