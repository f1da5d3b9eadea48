"""The last exchange of every recipe that scores: histograms from which all metrics follow (docs/spec/recipes.md).

INVARIANT: deterministic; used by `advance`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federated.content import Arrays
from federated.horizontal.layout import Layout, Part
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import Phase, State

__all__ = [
    "AXES",
    "LOSS_BINS",
    "LOSS_COUNTS",
    "LOSS_UNIT",
    "SCORE_BINS",
    "SCORE_COUNTS",
    "SPLITS",
    "Totals",
    "evaluation_layout",
    "evaluation_of",
    "finish_evaluation",
    "loss_edges",
    "score_edges",
    "totals",
]

SPLITS: Final = ("training", "hold_out")
SCORE_BINS: Final = 100
LOSS_BINS: Final = 100
LOSS_UNIT: Final = 64.0
"""Sums of losses, of which none exceeds 37, are sent in this unit: their bound shall not make all others coarser."""

SCORE_COUNTS: Final = "score_counts"
LOSS_COUNTS: Final = "loss_counts"

AXES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {SCORE_COUNTS: ("split", "target", "score_bin"), LOSS_COUNTS: ("split", "loss_bin")}
)
"""What the arrays are called, and their axes: splits as in `SPLITS`, target 0 and 1, bins in ascending order."""

_SHAPES: Final = {SCORE_COUNTS: (2, 2, SCORE_BINS), LOSS_COUNTS: (2, LOSS_BINS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Rows and events of a split."""

    rows: float
    events: float


def score_edges() -> tuple[float, ...]:
    """Return the edges of the score bins: k / 100; bin k holds the p with floor(100 p) = k, the last one 1 as well."""
    return tuple(k / SCORE_BINS for k in range(SCORE_BINS + 1))


def loss_edges() -> tuple[float, ...]:
    """Return the lower edges of the loss bins: k^2 / 2000, finer near 0; the last bin has no upper edge."""
    return tuple(k * k / 2000.0 for k in range(LOSS_BINS))


def evaluation_layout(spec: TrainingSpec) -> Layout:
    """Return the layout of the evaluation; a record counts once in each of the two arrays."""
    parts = tuple(
        Part(name=name, shape=shape, bound=float(spec.max_rows), is_count=True) for name, shape in _SHAPES.items()
    )
    return Layout(parts=parts, sensitivity=sqrt(2.0))


def finish_evaluation(state: State, sums: Arrays) -> State:
    """Return the state in which everything is known."""
    arrays = {**state.arrays, **{name: np.array(sums[name], dtype=np.float64) for name in _SHAPES}}
    return State(phase=Phase.DONE, step=state.step + 1, arrays=arrays)


def evaluation_of(state: State) -> dict[str, NDArray[np.float64]]:
    """Return the sums of the evaluation: `AXES` says what they are."""
    return {name: state.arrays[name] for name in _SHAPES if name in state.arrays}


def totals(arrays: Arrays) -> dict[str, Totals]:
    """Return rows and events of each split (they are sums over the score bins, so no exchange carries them)."""
    found = {}
    for split, name in enumerate(SPLITS):
        others, events = (_added(arrays[SCORE_COUNTS][split][target].tolist()) for target in (0, 1))
        found[name] = Totals(rows=others + events, events=events)
    return found


def _added(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total
