"""A node's part of the evaluation: its rows by split, target, score and loss."""

import numpy as np
from numpy.typing import NDArray

from federated.horizontal.design import losses, probabilities
from federated.horizontal.evaluation import LOSS_BINS, LOSS_COUNTS, SCORE_BINS, SCORE_COUNTS, loss_edges
from federated.horizontal.table import Table

__all__ = ["count_scores", "count_targets"]


def count_scores(table: Table, margins: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Count all rows by their scores and losses (`evaluation.AXES`)."""
    split = table.is_held_out.astype(np.int64)
    score = np.minimum((probabilities(margins) * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
    loss = np.searchsorted(np.array(loss_edges()), losses(margins, table.target), side="right") - 1
    cell = (split * 2 + table.target) * SCORE_BINS + score
    return {
        SCORE_COUNTS: np.bincount(cell, minlength=4 * SCORE_BINS).astype(np.float64).reshape(2, 2, SCORE_BINS),
        LOSS_COUNTS: np.bincount(split * LOSS_BINS + loss, minlength=2 * LOSS_BINS)
        .astype(np.float64)
        .reshape(2, LOSS_BINS),
    }


def count_targets(table: Table) -> NDArray[np.float64]:
    """Return how many rows have target 0 and target 1."""
    return np.bincount(table.target, minlength=2).astype(np.float64)
