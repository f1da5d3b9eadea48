"""Scoring rows with a released model, at a partner's own place: log odds and probabilities of the event."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.document import (
    Column,
    LogisticModel,
    Model,
    NetworkModel,
    Role,
    Split,
    Tree,
    TreesModel,
    characteristics_of,
    read_model,
    woe_attributes,
)
from yingbi.models.features import ModelFeature, read_column, read_features
from yingbi.models.scaling import USUAL_SCALING, Scaling
from yingbi.models.scorecard import Attribute, Scorecard, Where, make_scorecard
from yingbi.models.tolerant import row

__all__ = ["MAX_MARGIN", "log_odds", "score", "scorecard_of", "woe_columns"]

Floats = NDArray[np.float64]

MAX_MARGIN: Final = 36.0
"""Log odds are clamped here before they become probabilities, as the nodes did when they evaluated the model."""


def score(document: JsonValue, frame: Any, *, is_lenient: bool = False) -> Floats:
    """Return the probability of the event of each row, float64 of shape (rows,).

    `frame`: a pandas frame, or a mapping of names to sequences. With `is_lenient`, a code that the model does not know
    counts as missing.

    Raises:
        InvalidRequestError: the document is no model, or the frame does not fit it.
    """
    margins = np.clip(log_odds(document, frame, is_lenient=is_lenient), -MAX_MARGIN, MAX_MARGIN)
    chances: Floats = 1.0 / (1.0 + np.exp(-margins))
    return chances


def log_odds(document: JsonValue, frame: Any, *, is_lenient: bool = False) -> Floats:
    """Return the log odds of the event of each row, float64 of shape (rows,).

    Raises:
        InvalidRequestError: the document is no model, or the frame does not fit it.
    """
    model = read_model(document)
    columns = [read_column(feature, frame, is_lenient=is_lenient) for feature in model.features]
    if len({len(column) for column in columns}) != 1:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected columns of the same length")
    return _margins(model, columns)


def woe_columns(document: JsonValue, frame: Any, *, is_lenient: bool = False) -> dict[str, Floats]:
    """Return the weight of evidence of each row in each feature of a document of `woe_bins`; 0 where it has none.

    Raises:
        InvalidRequestError: the document has no bins, or the frame does not fit it.
    """
    attributes, found = woe_attributes(document), {}
    for feature in read_features(row(document)):
        values = read_column(feature, frame, is_lenient=is_lenient, keeps_special=True)
        weights = np.zeros(len(values))
        # What is no quantity last: a range holds a special value too.
        for item in sorted(attributes.get(feature.name, ()), key=lambda one: not one.is_range):
            weights[_holds(feature, item, values)] = item.woe
        found[feature.name] = weights
    return found


def scorecard_of(
    document: JsonValue, scaling: Scaling = USUAL_SCALING, *, base: Where = Where.APART, places: int | None = 0
) -> Scorecard:
    """Make the scorecard of a logistic regression.

    Raises:
        InvalidRequestError: the document is a model of another kind: its log odds are no sum over features.
    """
    model = read_model(document)
    if not isinstance(model, LogisticModel):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected a logistic regression, which adds up")
    return make_scorecard(model.intercept, characteristics_of(model), scaling, base=base, places=places)


def _margins(model: Model, columns: list[NDArray[Any]]) -> Floats:
    rows = len(columns[0])
    if isinstance(model, TreesModel):
        margins = np.full(rows, model.base)
        for tree in model.trees:
            margins += _leaves(model, tree, columns, 0, np.ones(rows, dtype=np.bool_))
        return margins
    matrix = _design(model.features, model.columns, columns, rows)
    if isinstance(model, NetworkModel):
        hidden = np.tanh(np.array(model.hidden) @ matrix + np.array(model.hidden_bias)[:, np.newaxis])
        return np.asarray(np.array(model.output) @ hidden + model.output_bias, dtype=np.float64)
    # The intercept is a column of ones, as it was when the model was trained: so the sums are in the same order.
    ones = np.concatenate([np.ones((1, rows)), matrix])
    return np.asarray(np.array([model.intercept, *model.coefficients]) @ ones, dtype=np.float64)


def _design(
    features: tuple[ModelFeature, ...], wanted: tuple[Column, ...], columns: list[NDArray[Any]], rows: int
) -> Floats:
    """Return the inputs of a model, float64 of shape (inputs, rows), all within [-1, 1]."""
    matrix = np.zeros((len(wanted), rows))
    for line, column in zip(matrix, wanted, strict=True):
        feature, values = features[column.feature], columns[column.feature]
        if column.role is Role.LEVEL:
            line[:] = values == column.code
        elif column.role is Role.MISSING:
            line[:] = _is_missing(feature, values)
        else:
            clipped = np.clip(values, *feature.bounds)
            scaled = np.clip((clipped - feature.middle) / feature.half, -1.0, 1.0)
            line[:] = np.where(np.isnan(values), 0.0, scaled)
    return matrix


def _leaves(model: TreesModel, tree: Tree, columns: list[NDArray[Any]], node: int, here: NDArray[np.bool_]) -> Floats:
    """Return the value of the leaf that each row which is here reaches from a node, and 0 of the others."""
    if node in tree.values:
        return np.where(here, tree.values[node], 0.0)
    split = tree.splits[node]
    is_left = _goes_left(model.features[split.feature], split, columns[split.feature])
    left = _leaves(model, tree, columns, 2 * node + 1, here & is_left)
    return left + _leaves(model, tree, columns, 2 * node + 2, here & ~is_left)


def _goes_left(feature: ModelFeature, split: Split, values: NDArray[Any]) -> NDArray[np.bool_]:
    if feature.is_coded:
        return np.asarray(values == split.equal, dtype=np.bool_)
    missing = np.isnan(values)
    below = ~missing if split.below is None else values < split.below
    return np.where(missing, split.is_missing_left, below)


def _is_missing(feature: ModelFeature, values: NDArray[Any]) -> NDArray[np.bool_]:
    missing = values < 0 if feature.is_coded else np.isnan(values)
    return np.asarray(missing, dtype=np.bool_)


def _holds(feature: ModelFeature, item: Attribute, values: NDArray[Any]) -> NDArray[np.bool_]:
    if item.is_missing:
        return _is_missing(feature, values)
    if not item.is_range:
        return np.isin(values, [feature.codes.index(code) for code in item.codes] if item.codes else item.special)
    held = ~np.isnan(values) & ~np.isin(values, feature.special)
    held &= True if item.lower is None else values >= item.lower
    held &= True if item.upper is None else values < item.upper
    return np.asarray(held, dtype=np.bool_)
