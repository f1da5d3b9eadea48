"""Lives as total tables: every step in every state has its answer."""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from itertools import product
from types import MappingProxyType
from typing import TypeVar

__all__ = ["draw", "total"]

State = TypeVar("State", bound=StrEnum)
Step = TypeVar("Step", bound=StrEnum)


def total(
    states: Iterable[State], steps: Iterable[Step], moves: Mapping[tuple[State, Step], State]
) -> Mapping[tuple[State, Step], State | None]:
    """Return the answer to every step in every state: that of `moves`, and nothing where there is none."""
    return MappingProxyType({pair: moves.get(pair) for pair in product(states, steps)})


def draw(transitions: Mapping[tuple[State, Step], State | None], *, begins: str, ended: Collection[State]) -> str:
    """Return a table as a Mermaid diagram, one arrow for all steps between two states; `begins` is at its start."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, step), after in transitions.items():
        if after is not None:
            arrows.setdefault((state, after), []).append(step)
    states = dict.fromkeys(state for state, _ in transitions)
    lines = ["stateDiagram-v2", f"    [*] --> {begins}"]
    lines += [f"    {state} --> {after}: {', '.join(steps)}" for (state, after), steps in arrows.items()]
    return "\n".join([*lines, *(f"    {state} --> [*]" for state in states if state in ended)])
