"""What all model documents have in common (docs/spec/recipes.md, "Model documents")."""

from typing import Final

from federated.horizontal.spec import TrainingSpec
from yingbi.canonical import JsonValue

__all__ = ["MODEL_FORM", "model_head"]

MODEL_FORM: Final = "yingbi-model/1"


def model_head(spec: TrainingSpec) -> dict[str, JsonValue]:
    """Return the members that every model document begins with."""
    return {
        "form": MODEL_FORM,
        "recipe": str(spec.recipe),
        "spec": spec.digest,
        "target": spec.target,
        "positive": spec.positive,
        "features": [feature.to_json() for feature in spec.features],
    }
