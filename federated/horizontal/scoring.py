"""Scores from a model document and columns: what a bank needs besides the document (docs/spec/recipes.md).

The same code that trains computes the margins, so that a score here is the score that training counted, bit for bit on
the same machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.horizontal.design import bins_of, combine, design_matrix, probabilities
from federated.horizontal.documents import MODEL_FORM
from federated.horizontal.encoding import Role, Term, terms_of
from federated.horizontal.gradient_boosted_trees import tree_margins
from federated.horizontal.parameters import Missing, RecipeName
from federated.horizontal.prepare import coded_column, numeric_column
from federated.horizontal.reading import Reading, parse_number
from federated.horizontal.small_network import network_margins
from federated.horizontal.spec import Feature, Kind, read_features
from federated.horizontal.table import Table
from federated.horizontal.trees_rounds import UNSPLIT
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["score", "score_margins", "woe_columns"]

Floats = NDArray[np.float64]

_MAX_NODES = 127


def score(model: JsonValue, columns: Mapping[str, Any]) -> Floats:
    """Return the probability of the event for each row: float64 of shape (rows,).

    Raises:
        InvalidRequestError: the document cannot be read, or a column is missing or has values that the model does not
            know. No value is told.
    """
    return probabilities(score_margins(model, columns))


def score_margins(model: JsonValue, columns: Mapping[str, Any]) -> Floats:
    """Return the log-odds of the event for each row: float64 of shape (rows,).

    Raises:
        InvalidRequestError: as `score`.
    """
    reading, recipe, features = _open(model)
    table = _table(features, columns)
    if recipe is RecipeName.LOGISTIC_REGRESSION:
        return _logistic(reading, features, table)
    if recipe is RecipeName.GRADIENT_BOOSTED_TREES:
        return _trees(reading, features, table)
    if recipe is RecipeName.SMALL_NETWORK:
        return _network(reading, features, table)
    raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected a model that scores, got one of bins")


def woe_columns(model: JsonValue, columns: Mapping[str, Any]) -> dict[str, Floats]:
    """Return the WOE of each row in each feature of a `woe_bins` model.

    Raises:
        InvalidRequestError: as `score`.
    """
    reading, recipe, features = _open(model)
    variables = reading.take("variables")
    if recipe is not RecipeName.WOE_BINS or not isinstance(variables, list) or len(variables) != len(features):
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected a model of bins")
    table = _table(features, columns)
    result = {}
    for feature, variable in zip(features, variables, strict=True):
        bins = bins_of(feature, table.columns[feature.name], with_special=True)
        result[feature.name] = _woe_of_bins(feature, reading.at(variable, feature.name))[bins]
    reading.take("woe")
    reading.finish()
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """A node of a tree as the arrays of training have it."""

    number: int
    feature: int = UNSPLIT
    threshold: int = 0
    missing_left: bool = False
    value: float = 0.0


def _open(model: JsonValue) -> tuple[Reading, RecipeName, tuple[Feature, ...]]:
    reading = Reading(model, "")
    if reading.take("form") != MODEL_FORM:
        reading.problem("form", f"`{MODEL_FORM}`")
    recipe = reading.choice("recipe", RecipeName)
    features = read_features(reading)
    for name in ("spec", "target", "positive"):
        if not isinstance(reading.take(name), str):
            reading.problem(name, "a string")
    if not reading.is_good:
        reading.finish()
    return reading, recipe, features


def _table(features: tuple[Feature, ...], columns: Mapping[str, Any]) -> Table:
    found: dict[str, NDArray[Any]] = {}
    for feature in features:
        if feature.name not in columns:
            raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected a column `{feature.name}`")
        read = coded_column if feature.kind is Kind.CODED else numeric_column
        found[feature.name] = read(feature, columns[feature.name])
    rows = len(found[features[0].name])
    if any(len(column) != rows for column in found.values()):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected columns of one length")
    nothing = np.zeros(rows, dtype=np.int64)
    return Table(columns=found, target=nothing, is_held_out=nothing.astype(np.bool_))


def _logistic(reading: Reading, features: tuple[Feature, ...], table: Table) -> Floats:
    terms = terms_of(features, reading.choice("missing", Missing))
    reading.take("fit")
    intercept = reading.inside("intercept")
    columns = reading.take("columns")
    listed = columns if isinstance(columns, list) else []
    if len(listed) != len(terms) - 1:
        reading.problem("columns", f"{len(terms) - 1} columns")
    coefficients = [_any_number(intercept.inside("scaled"), "value")]
    for term, column in zip(terms[1:], listed, strict=False):
        coefficients.append(_coefficient(reading.at(column, "columns"), features, term))
    reading.finish()
    return combine(np.array(coefficients), design_matrix(features, terms, table))


def _coefficient(column: Reading, features: tuple[Feature, ...], term: Term) -> float:
    feature = features[term.feature]
    code = feature.codes[term.code] if term.role is Role.LEVEL else None
    if [column.take("feature"), column.take("role"), column.take("code")] != [feature.name, str(term.role), code]:
        column.problem("", "the columns that the features make, in their order")
    return _any_number(column.inside("scaled"), "value")


def _network(reading: Reading, features: tuple[Feature, ...], table: Table) -> Floats:
    missing = reading.choice("missing", Missing)
    width = len(terms_of(features, missing)) - 1
    value = reading.take("hidden")
    units = [reading.at(unit, "hidden") for unit in (value if isinstance(value, list) else [])]
    if not 1 <= len(units) <= 64:
        reading.problem("hidden", "1 to 64 units")
    output = reading.inside("output")
    arrays = {
        "hidden": np.array([_numbers(unit, "weights", width) for unit in units]),
        "hidden_bias": np.array([_any_number(unit, "bias") for unit in units]),
        "output": np.array(_numbers(output, "weights", len(units))),
        "output_bias": np.array([_any_number(output, "bias")]),
    }
    reading.finish()
    return network_margins(features, missing, arrays, table)


def _trees(reading: Reading, features: tuple[Feature, ...], table: Table) -> Floats:
    base = _any_number(reading, "base_margin")
    value = reading.take("trees")
    trees = [_nodes(reading.at(tree, "trees"), features) for tree in (value if isinstance(value, list) else [])]
    reading.finish()
    arrays: dict[str, NDArray[Any]] = {
        "base": np.array([base]),
        "feature": np.full((len(trees), _MAX_NODES), UNSPLIT, dtype=np.int64),
        "threshold": np.zeros((len(trees), _MAX_NODES), dtype=np.int64),
        "missing_left": np.zeros((len(trees), _MAX_NODES), dtype=np.int64),
        "value": np.zeros((len(trees), _MAX_NODES)),
    }
    for number, nodes in enumerate(trees):
        for node in nodes:
            for name in ("feature", "threshold", "missing_left", "value"):
                arrays[name][number, node.number] = getattr(node, name)
    return tree_margins(features, arrays, table)


def _nodes(reading: Reading, features: tuple[Feature, ...]) -> list[_Node]:
    """Read a tree, whose nodes stand in the order in which they are reached."""
    value = reading.take("nodes")
    expected, nodes = [0], []
    for item in value if isinstance(value, list) else []:
        node = _node(reading.at(item, "nodes"), features)
        if not expected or node.number != expected.pop(0) or node.number >= _MAX_NODES:
            reading.problem("nodes", "nodes in order, at most 6 splits deep")
            return []
        if node.feature != UNSPLIT:
            expected += [2 * node.number + 1, 2 * node.number + 2]
        nodes.append(node)
    if expected:
        reading.problem("nodes", "all nodes that splits lead to")
    reading.finish()
    return nodes


def _node(item: Reading, features: tuple[Feature, ...]) -> _Node:
    number = item.integer("node", 0, 2 * _MAX_NODES)
    name = item.take("feature", is_optional=True)
    if name is None:
        leaf = _Node(number=number, value=_any_number(item, "value"))
        item.finish()
        return leaf
    index = next((n for n, feature in enumerate(features) if feature.name == name), None)
    if index is None or (item.take("left"), item.take("right")) != (2 * number + 1, 2 * number + 2):
        item.problem("", "a known feature, and the two nodes below")
        return _Node(number=number)
    threshold, missing_left = _threshold(item, features[index])
    item.finish()
    return _Node(number=number, feature=index, threshold=threshold, missing_left=missing_left)


def _threshold(item: Reading, feature: Feature) -> tuple[int, bool]:
    if feature.kind is Kind.CODED:
        return _place(item, "equal", feature.codes, len(feature.codes)), False
    missing = item.take("missing")
    if missing not in ("left", "right"):
        item.problem("missing", "left or right")
    below = item.take("below")
    if below is None:
        return len(feature.edges) + 1, missing == "left"
    number = parse_number(below)
    if number not in feature.edges:
        item.problem("below", "a public edge")
        return 1, False
    return feature.edges.index(number) + 1, missing == "left"


def _place(item: Reading, name: str, codes: tuple[str, ...], otherwise: int) -> int:
    code = item.take(name)
    if code is None:
        return otherwise
    if not isinstance(code, str) or code not in codes:
        item.problem(name, "a public code")
        return 0
    return codes.index(code)


def _woe_of_bins(feature: Feature, reading: Reading) -> Floats:
    """Return the WOE of each public bin of a feature; 0 for one of which the model says nothing."""
    is_coded = feature.kind is Kind.CODED
    ordinary = len(feature.codes) if is_coded else len(feature.edges) + 1
    result = np.zeros(ordinary + 1 + len(feature.special))
    value = reading.take("bins")
    for item in value if isinstance(value, list) else []:
        block = reading.at(item, "bins")
        woe = _any_number(block, "woe")
        if block.take("missing") is True:
            result[ordinary] = woe
        if is_coded:
            for code in block.many("codes", len(feature.codes), _text, "codes"):
                result[feature.codes.index(code) if code in feature.codes else ordinary] = woe
            continue
        for number in block.many("special", len(feature.special), parse_number, "special values"):
            if number in feature.special:
                result[ordinary + 1 + feature.special.index(number)] = woe
        if block.take("is_range") is True:
            result[_range(block, feature)] = woe
    return result


def _range(block: Reading, feature: Feature) -> slice:
    ends = []
    for name, otherwise in (("from", 0), ("to", len(feature.edges) + 1)):
        value = block.take(name)
        number = parse_number(value)
        if value is not None and number not in feature.edges:
            block.problem(name, "a public edge")
        ends.append(feature.edges.index(number) + 1 if number in feature.edges else otherwise)
    return slice(ends[0], ends[1])


def _any_number(reading: Reading, name: str) -> float:
    return reading.number(name, -1e300, 1e300)


def _numbers(reading: Reading, name: str, count: int) -> list[float]:
    found = reading.many(name, count, parse_number, "decimal strings")
    if len(found) != count:
        reading.problem(name, f"{count} decimal strings")
    return [*found, *[0.0] * (count - len(found))]


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None
