"""Logistic regression between the exchanges (docs/spec/recipes.md, "logistic_regression").

INVARIANT: the same bits on every machine: + - * / only, in a fixed order.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from math import sqrt
from typing import Final

import numpy as np

from federated.content import Arrays
from federated.horizontal.encoding import Role, Term, terms_of
from federated.horizontal.evaluation import LOSS_UNIT, evaluation_layout, finish_evaluation
from federated.horizontal.exact import add_up
from federated.horizontal.layout import Layout, Part
from federated.horizontal.parameters import LogisticParameters
from federated.horizontal.solve import Factor, factor, packed_size, unpack
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import Phase, State
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError

__all__ = [
    "Outcome",
    "Use",
    "advance",
    "check_events",
    "layout",
    "max_rounds",
    "parameters_of",
    "penalised",
    "start",
    "terms",
]

_ALIASED: Final = 1e-9
_MAX_HALVINGS: Final = 12
_SLACK: Final = 1e-10
_NEAR: Final = 1e-3
_MAX_NOISY_STEP: Final = 2.0
_MAX_NOISY_COEFFICIENT: Final = 20.0


class Outcome(IntEnum):
    """How training ended."""

    RUNNING = 0
    CONVERGED = 1
    STOPPED = 2
    FIXED = 3


class Use(IntEnum):
    """Whether a column has a coefficient of its own."""

    ESTIMATED = 0
    MERGED = 1
    ALIASED = 2


def parameters_of(spec: TrainingSpec) -> LogisticParameters:
    """Return the typed parameters.

    Raises:
        InvalidRequestError: the specification is of another recipe.
    """
    if not isinstance(spec.parameters, LogisticParameters):
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected parameters of `logistic_regression`")
    return spec.parameters


def terms(spec: TrainingSpec) -> tuple[Term, ...]:
    """Return the columns of the design."""
    return terms_of(spec.features, parameters_of(spec).missing)


def start(spec: TrainingSpec) -> State:
    """Return the state before the first exchange: all coefficients 0."""
    size = len(terms(spec))
    arrays = {
        "coefficients": np.zeros(size),
        "candidate": np.zeros(size),
        "hessian": np.zeros(packed_size(size)),
        "objective": np.zeros(1),
        "decrement": np.zeros(1),
        "progress": np.zeros(2, dtype=np.int64),
        "uses": np.zeros(size, dtype=np.int64),
        "target_counts": np.zeros(2),
        "averaged": np.zeros(size),
    }
    return State(phase=Phase.TRAIN, step=0, arrays=arrays)


def max_rounds(spec: TrainingSpec) -> int:
    """Return how many exchanges there can be."""
    return parameters_of(spec).max_steps + 1


def layout(spec: TrainingSpec, state: State) -> Layout:
    """Return what the next exchange sends."""
    if state.phase is not Phase.TRAIN:
        return evaluation_layout(spec)
    size, rows = len(terms(spec)), float(spec.max_rows)
    gradient = Part(name="gradient", shape=(size,), bound=rows)
    hessian = Part(name="hessian", shape=(packed_size(size),), bound=rows / 4.0)
    longest = sqrt(1.0 + len(spec.features))
    if spec.privacy is not None:
        return _private_layout(spec, state, (gradient, hessian), longest)
    parts = [gradient, hessian, Part(name="loss", shape=(1,), bound=rows)]
    squared = longest * longest + longest * longest * longest * longest / 16.0 + 1.0
    if state.step == 0:
        parts.append(Part(name="target_counts", shape=(2,), bound=rows, is_count=True))
        parts.append(Part(name="column_counts", shape=(size,), bound=rows, is_count=True))
        squared += 1.0 + len(spec.features)
    return Layout(parts=tuple(parts), sensitivity=sqrt(squared))


def advance(spec: TrainingSpec, state: State, sums: Arrays, parties: int) -> State:
    """Return the next state.

    Raises:
        RefusedError: too few rows, events, or events a column (exact mode).
    """
    if state.phase is not Phase.TRAIN:
        return finish_evaluation(state, sums)
    if spec.privacy is not None:
        return _advance_private(spec, state, sums)
    if state.step == 0:
        state = _accept_counts(spec, state, sums)
    candidate = _floats(state, "candidate")
    objective = LOSS_UNIT * float(sums["loss"][0]) + _penalty(spec, candidate)
    before = float(state.arrays["objective"][0])
    # Sums of fixed point are off by up to P^2 L 2^-52 (federated/secure_sum/fixed_point.py).
    rounding = LOSS_UNIT * parties * parties * spec.max_rows / 4503599627370496.0
    if state.step > 0 and objective > before + _SLACK * (1.0 + before) + rounding:
        return _halve(spec, state)
    return _step(spec, state, sums, objective)


def check_events(spec: TrainingSpec, counts: Sequence[float], columns: int, each: int) -> None:
    """Check that there are enough rows of both targets, and `each` of the rarer one for every column.

    Raises:
        RefusedError: there are not.
    """
    rarer = min(counts)
    if rarer < spec.min_entities:
        raise RefusedError(ErrorCode.JOB_REFUSED, f"expected at least {spec.min_entities} rows of each target")
    if rarer < each * columns:
        raise RefusedError(
            ErrorCode.JOB_REFUSED,
            f"expected at least {each} events and as many others for each of {columns} columns",
            hint="use fewer features or codes",
        )


def penalised(spec: TrainingSpec, hessian: list[list[float]], extra: float = 0.0) -> list[list[float]]:
    """Return the Hessian with the penalty (the intercept has none) and `extra` on all of the diagonal."""
    result = [list(row) for row in hessian]
    for index, row in enumerate(result):
        row[index] += extra + (parameters_of(spec).l2 if index else 0.0)
    return result


def _accept_counts(spec: TrainingSpec, state: State, sums: Arrays) -> State:
    counts = sums["target_counts"].tolist()
    check_events(spec, counts, 0, 0)
    columns = sums["column_counts"].tolist()
    uses = [Use.ESTIMATED] * len(columns)
    for feature in range(len(spec.features)):
        for index in _merged(spec, terms(spec), columns, counts[0] + counts[1], feature):
            uses[index] = Use.MERGED
    hessian = penalised(spec, unpack(sums["hessian"].tolist(), len(columns)))
    found = factor(hessian, _ALIASED, [use is Use.ESTIMATED for use in uses])
    for index, pivot in enumerate(found.pivots):
        if uses[index] is Use.ESTIMATED and pivot == 0.0:
            uses[index] = Use.ALIASED
    estimated = len([use for use in uses[1:] if use is Use.ESTIMATED])
    check_events(spec, counts, estimated, parameters_of(spec).min_events_per_variable)
    kept = {"uses": np.array(uses, dtype=np.int64), "target_counts": np.array(counts)}
    return replace(state, arrays={**state.arrays, **kept})


def _merged(
    spec: TrainingSpec, all_terms: tuple[Term, ...], columns: list[float], rows: float, feature: int
) -> list[int]:
    """Return the indicators of one feature that go to its reference, because they or it have too few rows."""
    own = [n for n, term in enumerate(all_terms) if term.feature == feature and term.role is not Role.VALUE]
    reference = rows - add_up(columns[index] for index in own)
    merged = []
    for index in sorted(own, key=lambda index: (columns[index], index)):
        if columns[index] < spec.min_entities or reference < spec.min_entities:
            merged.append(index)
            reference += columns[index]
    return merged


def _step(spec: TrainingSpec, state: State, sums: Arrays, objective: float) -> State:
    """Accept the candidate, and take a Newton step from it."""
    coefficients = _floats(state, "candidate")
    gradient = sums["gradient"].tolist()
    hessian = penalised(spec, unpack(sums["hessian"].tolist(), len(gradient)))
    kept = [use == Use.ESTIMATED for use in state.arrays["uses"].tolist()]
    found = factor(hessian, _ALIASED, kept)
    downhill = _downhill(spec, gradient, coefficients)
    move = found.solve(downhill)
    candidate = [one + other for one, other in zip(coefficients, move, strict=True)]
    decrement = sqrt(max(0.0, add_up(one * other for one, other in zip(downhill, move, strict=True))))
    before = float(state.arrays["decrement"][0])
    arrays = {
        "hessian": np.array(sums["hessian"], dtype=np.float64),
        "objective": np.array([objective]),
        "decrement": np.array([decrement]),
    }
    state = _with(replace(state, arrays={**state.arrays, **arrays}), coefficients, candidate)
    if [pivot > 0.0 for pivot in found.pivots] != kept:
        return _finish(state, coefficients, Outcome.STOPPED)
    if _is_small(coefficients, move) and _is_last(spec, decrement, before):
        return _finish(state, candidate, Outcome.CONVERGED)
    return _next(spec, state, halvings=0)


def _is_small(coefficients: list[float], move: list[float]) -> bool:
    """Tell whether a step changes little: where targets are separated it never does, however flat the likelihood."""
    return max(map(abs, move)) <= _NEAR * (1.0 + max(map(abs, coefficients)))


def _is_last(spec: TrainingSpec, decrement: float, before: float) -> bool:
    """Tell whether the gradient is as good as 0, by its norm in the metric of the inverse Hessian.

    That norm is the step in standard errors. Close to the maximum it shrinks quadratically; one that is not even halved
    there is what rounding leaves.
    """
    is_stuck = 0.0 < before <= 2.0 * decrement and decrement <= _NEAR
    return decrement <= parameters_of(spec).tolerance or is_stuck


def _halve(spec: TrainingSpec, state: State) -> State:
    """Go back half of the last step, which made the likelihood smaller."""
    coefficients, candidate = _floats(state, "coefficients"), _floats(state, "candidate")
    halvings = int(state.arrays["progress"][1]) + 1
    if halvings > _MAX_HALVINGS:
        return _finish(state, coefficients, Outcome.STOPPED)
    middle = [(one + other) / 2.0 for one, other in zip(coefficients, candidate, strict=True)]
    return _next(spec, _with(state, coefficients, middle), halvings=halvings)


def _next(spec: TrainingSpec, state: State, *, halvings: int) -> State:
    if state.step + 1 >= parameters_of(spec).max_steps:
        return _finish(state, _floats(state, "coefficients"), Outcome.STOPPED)
    progress = np.array([Outcome.RUNNING, halvings], dtype=np.int64)
    return replace(state, step=state.step + 1, arrays={**state.arrays, "progress": progress})


def _finish(state: State, coefficients: list[float], outcome: Outcome) -> State:
    state = _with(state, coefficients, coefficients)
    progress = np.array([outcome, 0], dtype=np.int64)
    return State(phase=Phase.EVALUATE, step=state.step + 1, arrays={**state.arrays, "progress": progress})


def _private_layout(spec: TrainingSpec, state: State, parts: tuple[Part, Part], longest: float) -> Layout:
    clip = spec.privacy.clip if spec.privacy is not None and spec.privacy.clip is not None else longest
    gradient = replace(parts[0], bound=spec.max_rows * min(clip, 1.0))
    if state.step > 0:
        return Layout(parts=(gradient,), sensitivity=clip)
    # At 0 every probability is 1/2, so that the gradient of a record is no longer than clip / 2.
    hessian = clip * longest / 4.0
    return Layout(parts=(gradient, parts[1]), sensitivity=sqrt(clip * clip / 4.0 + hessian * hessian))


def _advance_private(spec: TrainingSpec, state: State, sums: Arrays) -> State:
    """Take a step with the Hessian's bound of the first exchange (Böhning and Lindsay 1988), kept in bounds."""
    steps = parameters_of(spec).max_steps
    if state.step == 0:
        state = replace(state, arrays={**state.arrays, "hessian": np.array(sums["hessian"], dtype=np.float64)})
    coefficients = _floats(state, "candidate")
    found = _ridged(spec, unpack(_floats(state, "hessian"), len(coefficients)))
    move = found.solve(_downhill(spec, sums["gradient"].tolist(), coefficients))
    longest = max(abs(value) for value in move)
    shrink = _MAX_NOISY_STEP / longest if longest > _MAX_NOISY_STEP else 1.0
    limit = _MAX_NOISY_COEFFICIENT
    moved = [max(-limit, min(limit, b + shrink * m)) for b, m in zip(coefficients, move, strict=True)]
    averaged = _floats(state, "averaged")
    if state.step >= steps // 2:
        averaged = [one + other for one, other in zip(averaged, moved, strict=True)]
    state = _with(replace(state, arrays={**state.arrays, "averaged": np.array(averaged)}), moved, moved)
    if state.step + 1 < steps:
        return replace(state, step=state.step + 1)
    return _finish(state, [value / (steps - steps // 2) for value in averaged], Outcome.FIXED)


def _ridged(spec: TrainingSpec, hessian: list[list[float]]) -> Factor:
    """Factorise a noisy Hessian with the smallest tried ridge that makes it safely positive definite."""
    size = len(hessian)
    ridge = max(1e-6, 1e-6 * add_up(hessian[i][i] for i in range(size)) / size)
    while True:
        found = factor(penalised(spec, hessian, ridge), 0.0, [True] * size)
        if min(found.pivots) > ridge / 2.0:
            return found
        ridge *= 2.0


def _downhill(spec: TrainingSpec, gradient: list[float], coefficients: list[float]) -> list[float]:
    l2 = parameters_of(spec).l2
    pairs = zip(gradient, coefficients, strict=True)
    return [-(slope + (l2 * value if index else 0.0)) for index, (slope, value) in enumerate(pairs)]


def _penalty(spec: TrainingSpec, coefficients: list[float]) -> float:
    return parameters_of(spec).l2 / 2.0 * add_up(value * value for value in coefficients[1:])


def _floats(state: State, name: str) -> list[float]:
    values: list[float] = state.arrays[name].tolist()
    return values


def _with(state: State, coefficients: list[float], candidate: list[float]) -> State:
    changed = {"coefficients": np.array(coefficients), "candidate": np.array(candidate)}
    return replace(state, arrays={**state.arrays, **changed})
