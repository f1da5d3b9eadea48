"""What a recipe is, and which there are."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from federated.content import Arrays
from federated.horizontal.gradient_boosted_trees import GradientBoostedTrees
from federated.horizontal.layout import Layout, Part
from federated.horizontal.logistic_regression import LogisticRegression
from federated.horizontal.parameters import Parameters, RecipeName
from federated.horizontal.small_network import SmallNetwork
from federated.horizontal.spec import Feature, PrivacySpec, TrainingSpec
from federated.horizontal.state import Phase, State
from federated.horizontal.table import Table
from federated.horizontal.woe_bins import WoeBins
from yingbi.canonical import JsonValue

__all__ = [
    "RECIPES",
    "Feature",
    "Layout",
    "Part",
    "Phase",
    "PrivacySpec",
    "Recipe",
    "State",
    "Table",
    "TrainingSpec",
]


class Recipe(Protocol):
    """One way to train: pure functions; only `contribute` sees rows.

    INVARIANT: `start`, `layout`, `advance` and `model` give the same bits on every machine.
    """

    @property
    def name(self) -> RecipeName:
        """Return the name by which a specification asks for it."""
        ...

    def parse(self, parameters: JsonValue) -> Parameters:
        """Read its parameters, strictly."""
        ...

    def start(self, spec: TrainingSpec) -> State:
        """Return the state before the first exchange."""
        ...

    def layout(self, spec: TrainingSpec, state: State) -> Layout:
        """Return what the next exchange sends."""
        ...

    def contribute(self, spec: TrainingSpec, state: State, table: Table) -> dict[str, Any]:
        """Compute a node's sums, in the node's cage: float64 arrays as the layout says."""
        ...

    def advance(self, spec: TrainingSpec, state: State, sums: Arrays, parties: int) -> State:
        """Return the next state from the sums of all parties."""
        ...

    def model(self, spec: TrainingSpec, state: State) -> dict[str, JsonValue]:
        """Return the model document of a state that is done."""
        ...

    def max_rounds(self, spec: TrainingSpec) -> int:
        """Return how many exchanges there can be, the evaluation included."""
        ...


RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {str(recipe.name): recipe for recipe in (LogisticRegression(), GradientBoostedTrees(), SmallNetwork(), WoeBins())}
)
