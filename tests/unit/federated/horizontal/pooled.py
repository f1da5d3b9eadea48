"""Trainers of the pooled rows, written for these tests alone: row by row, without the product's histograms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = Sequence[Any]


def design(rows: Sequence[dict[str, Any]], features: Sequence[Any], *, indicator: bool) -> NDArray[np.float64]:
    """Return the design of rows of plain values (None: missing), one row each, intercept first."""
    made = []
    for row in rows:
        line = [1.0]
        for feature in features:
            value = row[feature.name]
            if feature.codes:
                line += [1.0 if value == code else 0.0 for code in feature.codes[1:]]
            else:
                low, high = feature.bounds
                value = None if value in feature.special else value
                line.append(0.0 if value is None else 2.0 * (min(max(value, low), high) - low) / (high - low) - 1.0)
            if indicator:
                line.append(1.0 if value is None else 0.0)
        made.append(line)
    return np.array(made)


def fit_logistic(x: NDArray[np.float64], y: NDArray[Any], l2: float = 0.0) -> tuple[Any, Any]:
    """Return maximum-likelihood coefficients and their covariance by Newton's method with LAPACK."""
    beta = np.zeros(x.shape[1])
    ridge = l2 * np.eye(x.shape[1])
    ridge[0, 0] = 0.0
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-x @ beta))
        hessian = (x * (p * (1 - p))[:, None]).T @ x
        step = np.linalg.solve(hessian + ridge, x.T @ (y - p) - ridge @ beta)
        beta = beta + step
        if np.abs(step).max() < 1e-12:
            break
    inverse = np.linalg.inv(hessian + ridge)
    return beta, inverse @ hessian @ inverse


@dataclass
class Boosting:
    """Boosted trees of pooled rows: each row is a tuple of bins, and each node a list of row numbers."""

    features: Sequence[Any]
    trees: int
    depth: int
    rate: float
    l2: float
    min_weight: float
    min_gain: float
    min_rows: int

    def fit(self, rows: Sequence[Sequence[int]], target: Sequence[int], base: float) -> list[float]:
        """Return the margin of every row after all trees."""
        margin = [base] * len(rows)
        for _ in range(self.trees):
            p = (1.0 / (1.0 + np.exp(-np.array(margin)))).tolist()
            g = [round((a - b) * 2**24) for a, b in zip(p, target, strict=True)]
            h = [round(a * (1.0 - a) * 2**24) for a in p]
            if not self._grow(rows, g, h, list(range(len(rows))), 0, margin):
                break
        return margin

    def _grow(self, rows: Any, g: list[int], h: list[int], own: list[int], level: int, margin: list[float]) -> bool:
        best: tuple[float, list[int], list[int]] | None = None
        if level < self.depth:
            for gain, left in self._splits(rows, g, h, own):
                if gain > self.min_gain and (best is None or gain > best[0]):
                    chosen = set(left)
                    best = (gain, left, [row for row in own if row not in chosen])
        if best is None:
            if level > 0:
                weight = self.rate * (-self._real(g, own) / (self._real(h, own) + self.l2))
                for row in own:
                    margin[row] += weight
            return level > 0
        for part in best[1:]:
            self._grow(rows, g, h, part, level + 1, margin)
        return True

    def _splits(self, rows: Any, g: list[int], h: list[int], own: list[int]) -> Any:
        for f, feature in enumerate(self.features):
            count = (len(feature.codes) if feature.codes else len(feature.edges) + 1) + 1
            members: list[list[int]] = [[] for _ in range(count)]
            for row in own:
                members[rows[row][f]].append(row)
            for left in self._sides(feature, members):
                gain = self._gain(g, h, own, left)
                if gain is not None:
                    yield gain, left

    def _sides(self, feature: Any, members: list[list[int]]) -> Any:
        if feature.codes:
            yield from members
            return
        missing = members[-1]
        for end in range(1, len(members)):
            left = [row for part in members[:end] for row in part]
            yield left
            if missing and end < len(members) - 1:
                yield left + missing

    def _gain(self, g: list[int], h: list[int], own: list[int], left: list[int]) -> float | None:
        all_g, all_h = self._real(g, own), self._real(h, own)
        left_g, left_h = self._real(g, left), self._real(h, left)
        right_g, right_h = all_g - left_g, all_h - left_h
        if min(len(left), len(own) - len(left)) < self.min_rows or min(left_h, right_h) < self.min_weight:
            return None
        return (
            left_g * left_g / (left_h + self.l2)
            + right_g * right_g / (right_h + self.l2)
            - all_g * all_g / (all_h + self.l2)
        )

    @staticmethod
    def _real(steps: list[int], rows: list[int]) -> float:
        return sum(steps[row] for row in rows) / 2**24


def network_loss(weights: Sequence[float], x: NDArray[np.float64], y: Sequence[int], units: int) -> float:
    """Return the summed loss of a network whose weights stand in one row, computed with plain floats."""
    width = x.shape[1]
    total = 0.0
    for row, target in zip(x.tolist(), y, strict=True):
        margin = weights[-1]
        for unit in range(units):
            inner = weights[units * width + unit]
            inner += sum(w * v for w, v in zip(weights[unit * width : (unit + 1) * width], row, strict=True))
            margin += weights[units * width + units + unit] * math.tanh(inner)
        total += math.log1p(math.exp(-margin if target else margin))
    return total
