"""A released model as ONNX: the same probabilities in any runtime, from columns by name.

Inputs, one a feature, each of shape (rows, 1): numeric ones as double (NaN: missing), coded ones as string (a code that
the model does not know counts as missing). Outputs `probability` and `log_odds`, double. All is computed in double, but
for sums over trees: operators of `ai.onnx.ml` 3 give those as float.
The bytes are the same for the same document and the same version of `onnx`.
"""

import importlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from yingbi.canonical import JsonValue, digest_json
from yingbi.errors import ErrorCode, InvalidRequestError, UnavailableError
from yingbi.models.document import Column, LogisticModel, NetworkModel, Role, Split, Tree, TreesModel, read_model
from yingbi.models.features import ModelFeature
from yingbi.models.scoring import MAX_MARGIN

__all__ = ["IR_VERSION", "ML_OPSET", "OPSET", "to_onnx"]

OPSET: Final = 17
ML_OPSET: Final = 3
IR_VERSION: Final = 8
"""Old enough for what banks run: ONNX Runtime 1.12 (2022) and later."""

_MARGIN: Final = "log_odds"
_CHANCE: Final = "probability"


def to_onnx(document: JsonValue) -> bytes:
    """Write a model document as ONNX.

    Raises:
        InvalidRequestError: the document is no model that scores, or a feature is called like an output.
        UnavailableError: the package `onnx` is not installed.
    """
    model = read_model(document)
    if any(feature.name in (_MARGIN, _CHANCE) for feature in model.features):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected no feature called `{_MARGIN}` or `{_CHANCE}`")
    graph = _Graph()
    if isinstance(model, TreesModel):
        _add_trees(graph, model)
    else:
        _add_design(graph, model)
    low, high = graph.constant(np.array(-MAX_MARGIN)), graph.constant(np.array(MAX_MARGIN))
    clamped = graph.node("Clip", [_MARGIN, low, high])
    graph.node("Sigmoid", [clamped], output=_CHANCE)
    return graph.to_bytes(model.features, digest_json(document))


class _Graph:
    """A graph as it grows: nodes in order, constants, names that are counted."""

    def __init__(self) -> None:
        try:
            # By name, so that what needs no ONNX needs no types of it either.
            self._onnx: Any = importlib.import_module("onnx")
        except ImportError as error:
            raise UnavailableError(
                ErrorCode.EXTRA_NOT_INSTALLED, "this needs `onnx`", hint="pip install 'yingbi[models]'"
            ) from error
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    @property
    def double(self) -> int:
        """Return the number of the type double."""
        return int(self._onnx.TensorProto.DOUBLE)

    def node(self, kind: str, inputs: Sequence[str], *, output: str | None = None, **attributes: object) -> str:
        """Add a node; return the name of its output."""
        name = output or f"/{kind}_{len(self._nodes)}"
        domain = "ai.onnx.ml" if kind in ("LabelEncoder", "TreeEnsembleRegressor") else None
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        """Add a constant; return its name."""
        name = f"/constant_{len(self._constants)}"
        self._constants.append(self.tensor(value, name))
        return name

    def tensor(self, value: NDArray[Any], name: str) -> Any:
        """Return an array as ONNX has it."""
        return self._onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)

    def to_bytes(self, features: Sequence[ModelFeature], digest: str) -> bytes:
        """Return the model, checked by `onnx` itself."""
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        inputs = [
            helper.make_tensor_value_info(feature.name, kinds.STRING if feature.is_coded else kinds.DOUBLE, ["rows", 1])
            for feature in features
        ]
        outputs = [helper.make_tensor_value_info(name, kinds.DOUBLE, ["rows", 1]) for name in (_CHANCE, _MARGIN)]
        graph = helper.make_graph(self._nodes, "model", inputs, outputs, initializer=self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(
            graph, producer_name="yingbi", doc_string=digest, opset_imports=opsets, ir_version=IR_VERSION
        )
        self._onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def _add_design(graph: _Graph, model: LogisticModel | NetworkModel) -> None:
    places = [_add_codes(graph, feature) if feature.is_coded else "" for feature in model.features]
    missing = ["" if feature.is_coded else _add_missing(graph, feature) for feature in model.features]
    lines = [_add_column(graph, model, column, places, missing) for column in model.columns]
    matrix = graph.node("Concat", lines, axis=1) if len(lines) > 1 else lines[0]
    if isinstance(model, NetworkModel):
        inner = graph.node("MatMul", [matrix, graph.constant(np.array(model.hidden).T)])
        hidden = graph.node("Tanh", [graph.node("Add", [inner, graph.constant(np.array([model.hidden_bias]))])])
        weights, bias = np.array([model.output]).T, model.output_bias
    else:
        hidden, weights, bias = matrix, np.array([model.coefficients]).T, model.intercept
    total = graph.node("MatMul", [hidden, graph.constant(weights)])
    graph.node("Add", [total, graph.constant(np.array([bias]))], output=_MARGIN)


def _add_column(
    graph: _Graph, model: LogisticModel | NetworkModel, column: Column, places: list[str], missing: list[str]
) -> str:
    """Add one input of the model, double of shape (rows, 1)."""
    feature, place = model.features[column.feature], places[column.feature]
    double = graph.double
    if column.role is Role.LEVEL:
        return graph.node("Cast", [graph.node("Equal", [place, graph.constant(np.array([column.code]))])], to=double)
    if column.role is Role.MISSING:
        is_missing = missing[column.feature] or graph.node("Equal", [place, graph.constant(np.array([-1]))])
        return graph.node("Cast", [is_missing], to=double)
    low, high = (graph.constant(np.array(bound)) for bound in feature.bounds)
    clipped = graph.node("Clip", [feature.name, low, high])
    centred = graph.node("Sub", [clipped, graph.constant(np.array([feature.middle]))])
    scaled = graph.node("Div", [centred, graph.constant(np.array([feature.half]))])
    ends = [graph.constant(np.array(end)) for end in (-1.0, 1.0)]
    bounded = graph.node("Clip", [scaled, *ends])
    return graph.node("Where", [missing[column.feature], graph.constant(np.array([0.0])), bounded])


def _add_codes(graph: _Graph, feature: ModelFeature) -> str:
    """Add the place of a code, int64 of shape (rows, 1); -1 where it is unknown."""
    places = list(range(len(feature.codes)))
    codes = [code.encode() for code in feature.codes]
    return graph.node("LabelEncoder", [feature.name], keys_strings=codes, values_int64s=places, default_int64=-1)


def _add_missing(graph: _Graph, feature: ModelFeature) -> str:
    """Add whether a number is missing or a special value, bool of shape (rows, 1)."""
    found = graph.node("IsNaN", [feature.name])
    for value in feature.special:
        is_special = graph.node("Equal", [feature.name, graph.constant(np.array([value]))])
        found = graph.node("Or", [found, is_special])
    return found


def _add_trees(graph: _Graph, model: TreesModel) -> None:
    double, nothing = graph.double, np.array([np.nan])
    lines = []
    for feature in model.features:
        if feature.is_coded:
            place = _add_codes(graph, feature)
            lines.append(graph.node("Cast", [place], to=double))
        else:
            is_missing = _add_missing(graph, feature)
            lines.append(graph.node("Where", [is_missing, graph.constant(nothing), feature.name]))
    matrix = graph.node("Concat", lines, axis=1) if len(lines) > 1 else lines[0]
    total = graph.node("TreeEnsembleRegressor", [matrix], **_ensemble(graph, model))
    summed = graph.node("Cast", [total], to=double)
    graph.node("Add", [summed, graph.constant(np.array([model.base]))], output=_MARGIN)


def _ensemble(graph: _Graph, model: TreesModel) -> dict[str, Any]:
    """Return the attributes of a `TreeEnsembleRegressor`: nodes of all trees, one behind the other."""
    # Without any tree, one that adds nothing: an ensemble has to have one.
    trees = model.trees or (Tree(splits={}, values={0: 0.0}),)
    rows = [row for number, tree in enumerate(trees) for row in _nodes(model, number, tree)]
    leaves = [leaf for number, tree in enumerate(trees) for leaf in _leaves(number, tree)]
    names = ("treeids", "nodeids", "modes", "featureids", "truenodeids", "falsenodeids", "missing_value_tracks_true")
    lists = zip(*(row[:-1] for row in rows), strict=True)
    return {
        **{f"nodes_{name}": list(values) for name, values in zip(names, lists, strict=True)},
        "nodes_values_as_tensor": graph.tensor(np.array([row[-1] for row in rows]), "nodes_values"),
        "target_treeids": [number for number, _, _ in leaves],
        "target_nodeids": [node for _, node, _ in leaves],
        "target_ids": [0] * len(leaves),
        "target_weights_as_tensor": graph.tensor(np.array([value for _, _, value in leaves]), "target_weights"),
        "n_targets": 1,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
    }


def _numbers(tree: Tree) -> dict[int, int]:
    """Number a tree's nodes without gaps: ONNX Runtime wants numbers below their number."""
    return {node: place for place, node in enumerate(sorted([*tree.splits, *tree.values]))}


def _leaves(number: int, tree: Tree) -> list[tuple[int, int, float]]:
    places = _numbers(tree)
    return [(number, places[node], value) for node, value in sorted(tree.values.items())]


def _nodes(model: TreesModel, number: int, tree: Tree) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    places = _numbers(tree)
    for node, place in places.items():
        if node in tree.values:
            found.append((number, place, "LEAF", 0, 0, 0, 0, 0.0))
            continue
        split = tree.splits[node]
        mode, value = _comparison(model.features[split.feature], split)
        ends = (split.feature, places[2 * node + 1], places[2 * node + 2], int(split.is_missing_left))
        found.append((number, place, mode, *ends, value))
    return found


def _comparison(feature: ModelFeature, split: Split) -> tuple[str, float]:
    if feature.is_coded:
        return "BRANCH_EQ", float(split.equal)
    # Any number at all is below infinity: no column has an infinite one.
    return "BRANCH_LT", np.inf if split.below is None else split.below
