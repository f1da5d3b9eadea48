"""The model document of gradient-boosted trees (docs/spec/recipes.md, "gradient_boosted_trees")."""

from federated.horizontal.documents import model_head
from federated.horizontal.reading import number_text
from federated.horizontal.spec import Kind, TrainingSpec
from federated.horizontal.state import State
from federated.horizontal.trees_rounds import UNSPLIT, model_arrays
from yingbi.canonical import JsonValue

__all__ = ["model"]


def model(spec: TrainingSpec, state: State) -> dict[str, JsonValue]:
    """Return the model document: the base margin, and of each tree its nodes in order of their numbers."""
    arrays = {name: array.tolist() for name, array in model_arrays(state).items()}
    trees: list[JsonValue] = [
        {"nodes": _nodes(spec, *tree)}
        for tree in zip(arrays["feature"], arrays["threshold"], arrays["missing_left"], arrays["value"], strict=True)
    ]
    return {**model_head(spec), "base_margin": number_text(arrays["base"][0]), "trees": trees}


def _nodes(
    spec: TrainingSpec, features: list[int], thresholds: list[int], missing: list[int], values: list[float]
) -> list[JsonValue]:
    nodes: list[JsonValue] = []
    waiting = [0]
    while waiting:
        node = waiting.pop(0)
        if node >= len(features) or features[node] == UNSPLIT:
            nodes.append({"node": node, "value": number_text(values[node])})
            continue
        split = _described(spec, features[node], thresholds[node], bool(missing[node]))
        nodes.append({"node": node, **split, "left": 2 * node + 1, "right": 2 * node + 2})
        waiting += [2 * node + 1, 2 * node + 2]
    return nodes


def _described(spec: TrainingSpec, index: int, threshold: int, missing_left: bool) -> dict[str, JsonValue]:
    """Describe a split: `below` an edge (null: any number) or `equal` to a code (null: missing) goes left."""
    feature = spec.features[index]
    if feature.kind is Kind.CODED:
        code = feature.codes[threshold] if threshold < len(feature.codes) else None
        return {"feature": feature.name, "equal": code}
    edge = number_text(feature.edges[threshold - 1]) if threshold <= len(feature.edges) else None
    return {"feature": feature.name, "below": edge, "missing": "left" if missing_left else "right"}
