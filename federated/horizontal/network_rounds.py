"""Small network between the exchanges (docs/spec/recipes.md, "small_network").

INVARIANT: the same bits on every machine: + - * / and the square root of IEEE doubles only, entry by entry.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from federated.content import Arrays
from federated.horizontal.documents import model_head
from federated.horizontal.encoding import terms_of
from federated.horizontal.evaluation import LOSS_UNIT, evaluation_layout, finish_evaluation
from federated.horizontal.exact import log_odds
from federated.horizontal.layout import Layout, Part
from federated.horizontal.parameters import NetworkParameters, Optimizer
from federated.horizontal.reading import number_text
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import Phase, State
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError

__all__ = ["WEIGHTS", "advance", "inputs", "layout", "max_rounds", "model", "parameters_of", "start"]

WEIGHTS: Final = ("hidden", "hidden_bias", "output", "output_bias")

Floats = NDArray[np.float64]

_LIMIT: Final = 100.0
_MOMENTUM: Final = 0.9
_SECOND: Final = 0.999
_SMALL: Final = 1e-8


def parameters_of(spec: TrainingSpec) -> NetworkParameters:
    """Return the typed parameters.

    Raises:
        InvalidRequestError: the specification is of another recipe.
    """
    if not isinstance(spec.parameters, NetworkParameters):
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected parameters of `small_network`")
    return spec.parameters


def inputs(spec: TrainingSpec) -> int:
    """Return the number of inputs: the columns of the design without the intercept."""
    return len(terms_of(spec.features, parameters_of(spec).missing)) - 1


def start(spec: TrainingSpec) -> State:
    """Return the state before the first exchange: weights drawn from the specification's digest, biases 0.

    Uniform within ±sqrt(6 / (inputs + outputs)) of each layer (Glorot and Bengio 2010).
    """
    width, units = inputs(spec), parameters_of(spec).units
    drawn = _stream(spec, width * units + units)
    arrays: dict[str, NDArray[Any]] = {
        "hidden": drawn[: width * units].reshape(units, width) * sqrt(6.0 / (width + units)),
        "hidden_bias": np.zeros(units),
        "output": drawn[width * units :] * sqrt(6.0 / (units + 1)),
        "output_bias": np.zeros(1),
        "rows": np.zeros(1),
        "powers": np.ones(2),
        "loss": np.zeros(1),
    }
    for name in WEIGHTS:
        arrays["first_" + name] = np.zeros(arrays[name].shape)
        arrays["second_" + name] = np.zeros(arrays[name].shape)
    return State(phase=Phase.TRAIN, step=0, arrays=arrays)


def max_rounds(spec: TrainingSpec) -> int:
    """Return how many exchanges there are: counts, steps, evaluation."""
    return parameters_of(spec).steps + 2


def layout(spec: TrainingSpec, state: State) -> Layout:
    """Return what the next exchange sends."""
    if state.phase is not Phase.TRAIN:
        return evaluation_layout(spec)
    rows = float(spec.max_rows)
    if state.step == 0:
        return Layout(parts=(Part(name="target_counts", shape=(2,), bound=rows, is_count=True),), sensitivity=1.0)
    if spec.privacy is not None and spec.privacy.clip is not None:
        clip = spec.privacy.clip
        return Layout(parts=tuple(_part(state, name, rows * clip) for name in WEIGHTS), sensitivity=clip)
    # A record's gradient of a hidden weight or bias is at most |output weight| (inputs and tanh' within 1).
    outgoing = [abs(weight) for weight in state.arrays["output"].tolist()]
    steepest = max(1.0, *outgoing)
    bounds = {"hidden": steepest, "hidden_bias": steepest, "output": 1.0, "output_bias": 1.0}
    parts = [_part(state, name, rows * bounds[name]) for name in WEIGHTS]
    parts.append(Part(name="loss", shape=(1,), bound=rows))
    squared = 3.0 + len(outgoing)
    squared += steepest * steepest * len(outgoing) * (1.0 + len(spec.features))
    return Layout(parts=tuple(parts), sensitivity=sqrt(squared))


def advance(spec: TrainingSpec, state: State, sums: Arrays, parties: int) -> State:
    """Return the next state.

    Raises:
        RefusedError: too few rows of a target (exact mode).
    """
    if state.phase is not Phase.TRAIN:
        return finish_evaluation(state, sums)
    if state.step == 0:
        return _begin(spec, state, sums["target_counts"].tolist())
    arrays = dict(state.arrays)
    arrays["powers"] = arrays["powers"] * np.array([_MOMENTUM, _SECOND])
    for name in WEIGHTS:
        _move(spec, arrays, name, np.array(sums[name], dtype=np.float64))
    if "loss" in sums:
        arrays["loss"] = LOSS_UNIT * np.array(sums["loss"], dtype=np.float64) / arrays["rows"]
    is_last = state.step == parameters_of(spec).steps
    return State(phase=Phase.EVALUATE if is_last else Phase.TRAIN, step=state.step + 1, arrays=arrays)


def model(spec: TrainingSpec, state: State) -> dict[str, JsonValue]:
    """Return the model document: the weights, one list of inputs a hidden unit."""
    arrays = {name: state.arrays[name].tolist() for name in WEIGHTS}
    return {
        **model_head(spec),
        "missing": str(parameters_of(spec).missing),
        "hidden": [
            {"bias": number_text(bias), "weights": [number_text(weight) for weight in weights]}
            for bias, weights in zip(arrays["hidden_bias"], arrays["hidden"], strict=True)
        ],
        "output": {
            "bias": number_text(arrays["output_bias"][0]),
            "weights": [number_text(weight) for weight in arrays["output"]],
        },
    }


def _part(state: State, name: str, bound: float) -> Part:
    return Part(name=name, shape=state.arrays[name].shape, bound=bound)


def _begin(spec: TrainingSpec, state: State, counts: list[float]) -> State:
    if spec.privacy is None and min(counts) < spec.min_entities:
        raise RefusedError(ErrorCode.JOB_REFUSED, f"expected at least {spec.min_entities} rows of each target")
    others, events = (max(1.0, count) for count in counts)
    known = {"rows": np.array([others + events]), "output_bias": np.array([log_odds(events, others)])}
    return replace(state, step=1, arrays={**state.arrays, **known})


def _move(spec: TrainingSpec, arrays: dict[str, NDArray[Any]], name: str, total: Floats) -> None:
    """Follow the mean gradient: Adam (Kingma and Ba 2015, algorithm 1), or momentum (Polyak 1964)."""
    parameters = parameters_of(spec)
    weights: Floats = arrays[name]
    slope = total / arrays["rows"]
    if name in ("hidden", "output"):
        slope = slope + parameters.l2 * weights
    if parameters.optimizer is Optimizer.MOMENTUM:
        arrays["first_" + name] = _MOMENTUM * arrays["first_" + name] + slope
        step = parameters.learning_rate * arrays["first_" + name]
    else:
        step = parameters.learning_rate * _adam(arrays, name, slope)
    arrays[name] = np.minimum(_LIMIT, np.maximum(-_LIMIT, weights - step))


def _adam(arrays: dict[str, NDArray[Any]], name: str, slope: Floats) -> Floats:
    first = _MOMENTUM * arrays["first_" + name] + (1.0 - _MOMENTUM) * slope
    second = _SECOND * arrays["second_" + name] + (1.0 - _SECOND) * (slope * slope)
    arrays["first_" + name], arrays["second_" + name] = first, second
    powers: Mapping[int, float] = dict(enumerate(arrays["powers"].tolist()))
    mean, spread = first / (1.0 - powers[0]), second / (1.0 - powers[1])
    direction: Floats = mean / (np.sqrt(spread) + _SMALL)
    return direction


def _stream(spec: TrainingSpec, count: int) -> Floats:
    """Return numbers within [-1, 1): SHA-256 of the specification's digest and a counter, 53 bits a number."""
    key = spec.digest.encode()
    numbers: list[float] = []
    block = 0
    while len(numbers) < count:
        data = hashlib.sha256(b"yingbi small_network weights 1\n" + key + block.to_bytes(8, "big")).digest()
        words = (int.from_bytes(data[first : first + 8], "big") >> 11 for first in range(0, 32, 8))
        numbers.extend(word / 4503599627370496.0 - 1.0 for word in words)
        block += 1
    return np.array(numbers[:count])
