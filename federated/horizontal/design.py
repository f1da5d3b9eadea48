"""Numbers from a table's columns: design matrices, bins, probabilities. For nodes and scoring, not for `advance`.

INVARIANT: what a row gives depends on that row alone, to the last bit; a matrix product does not promise that. So a
score is the same alone and among others, and leaving a record out changes no other record's part of a private sum.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from federated.horizontal.encoding import Role, Term, scale_of
from federated.horizontal.spec import Feature, Kind
from federated.horizontal.table import Table

__all__ = ["MAX_MARGIN", "bins_of", "combine", "design_matrix", "losses", "probabilities", "squared_lengths"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_MARGIN: Final = 36.0
"""Margins (log-odds) are clamped here, where a double can hardly tell 1 from the probability; losses are below 37."""


def design_matrix(features: tuple[Feature, ...], terms: tuple[Term, ...], table: Table) -> Floats:
    """Return the design, float64 of shape (terms, rows): all entries within [-1, 1]."""
    matrix = np.zeros((len(terms), table.rows))
    for row, term in zip(matrix, terms, strict=True):
        if term.role is Role.INTERCEPT:
            row[:] = 1.0
            continue
        feature = features[term.feature]
        column = table.columns[feature.name]
        if term.role is Role.VALUE:
            row[:] = _scaled(feature, column)
        elif term.role is Role.LEVEL:
            row[:] = column == term.code
        else:
            row[:] = _is_missing(feature, column)
    return matrix


def combine(weights: Floats, matrix: Floats) -> Floats:
    """Return weighted sums of the rows of a matrix, added in their order.

    `weights`: (rows,) or (results, rows). `matrix`: (rows, records). The result: (records,) or (results, records).
    """
    total = np.zeros((*weights.shape[:-1], matrix.shape[1]))
    for place, row in enumerate(matrix):
        total += weights[..., place, np.newaxis] * row
    return total


def squared_lengths(matrix: Floats) -> Floats:
    """Return the squared L2 norm of every column of a matrix, (records,)."""
    total = np.zeros(matrix.shape[1])
    for row in matrix:
        total += row * row
    return total


def bins_of(feature: Feature, column: NDArray[Any], *, with_special: bool) -> Integers:
    """Return the bin of each row: bin k holds edge k-1 <= x < edge k; then missing, then the special values."""
    if feature.kind is Kind.CODED:
        return np.where(column < 0, len(feature.codes), column)
    bins = np.searchsorted(np.array(feature.edges), column, side="right")
    missing = len(feature.edges) + 1
    bins[np.isnan(column)] = missing
    for number, value in enumerate(feature.special, start=1):
        bins[column == value] = missing + (number if with_special else 0)
    return bins


def probabilities(margins: Floats) -> Floats:
    """Return 1 / (1 + exp(-margin)), the margin clamped."""
    values: Floats = 1.0 / (1.0 + np.exp(-np.clip(margins, -MAX_MARGIN, MAX_MARGIN)))
    return values


def losses(margins: Floats, target: Integers) -> Floats:
    """Return the logistic loss of each row, the margin clamped: within [0, 37]."""
    clamped = np.clip(margins, -MAX_MARGIN, MAX_MARGIN)
    values: Floats = np.log1p(np.exp(np.where(target == 1, -clamped, clamped)))
    return values


def _is_missing(feature: Feature, column: NDArray[Any]) -> NDArray[np.bool_]:
    if feature.kind is Kind.CODED:
        is_missing: NDArray[np.bool_] = column < 0
        return is_missing
    is_missing = np.isnan(column)
    for value in feature.special:
        is_missing |= column == value
    return is_missing


def _scaled(feature: Feature, column: Floats) -> Floats:
    middle, half = scale_of(feature)
    low, high = feature.bounds
    scaled = np.clip((np.clip(column, low, high) - middle) / half, -1.0, 1.0)
    return np.where(_is_missing(feature, column), 0.0, scaled)
