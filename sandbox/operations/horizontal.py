"""`train.horizontal.*`: one model of the data of several units, by a federation (docs/operations/horizontal.md)."""

from dataclasses import dataclass
from typing import Final

from policies.request import TRAINING, Use
from sandbox.operations.operation import Operation
from yingbi.events.outputs import Risk
from yingbi.plan.model import Recipe, TrainingFeature, TrainingPrivacy

__all__ = ["OPERATIONS", "HorizontalParameters"]

_SUMMARIES: Final = {
    Recipe.LOGISTIC_REGRESSION: "logistic regression over several units' data",
    Recipe.GRADIENT_BOOSTED_TREES: "gradient-boosted trees over several units' data",
    Recipe.SMALL_NETWORK: "a small neural network over several units' data",
    Recipe.WOE_BINS: "weight of evidence by public bins over several units' data",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizontalParameters:
    """What is explained by what, in how many rounds, and with how much noise; `parameters` are the recipe's own."""

    target: str
    positive: str
    features: tuple[TrainingFeature, ...]
    rounds: int
    parameters: str
    privacy: TrainingPrivacy | None


OPERATIONS: Final = tuple(
    Operation(
        name=f"{TRAINING}.{recipe}",
        summary=summary,
        recipe=recipe,
        parameters=HorizontalParameters,
        right=Use.TRAIN,
        risks=frozenset({Risk.THRESHOLD, Risk.MODEL_MEMORY, Risk.DIFFERENCING}),
        docs="docs/operations/horizontal.md",
        passes=0,
    )
    for recipe, summary in _SUMMARIES.items()
)
