"""What a state says of itself, for people who watch: loss by round, how far a step still moved, how many trees.

All of it follows from sums that every member and the hub have; nothing of it is of one member.
"""

from collections.abc import Mapping

from federated.horizontal.state import State

__all__ = ["figures_of"]

_PLACES = 6


def figures_of(state: State) -> Mapping[str, str]:
    """Return figures by name as decimal texts: `loss` (mean, natural logarithm), `decrement`, `trees`, where known."""
    found: dict[str, float] = {}
    arrays = state.arrays
    if "objective" in arrays and "target_counts" in arrays:
        rows = float(arrays["target_counts"].sum())
        if rows > 0:
            found["loss"] = float(arrays["objective"][0]) / rows
    if "loss" in arrays:
        found["loss"] = float(arrays["loss"][0])
    if "decrement" in arrays:
        found["decrement"] = float(arrays["decrement"][0])
    if "feature" in arrays:
        found["trees"] = float(len(arrays["feature"]))
    return {name: f"{value:.{_PLACES}f}" for name, value in sorted(found.items())}
