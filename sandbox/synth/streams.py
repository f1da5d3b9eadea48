"""Streams of random numbers: one for each purpose, so that a new column changes no other one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["allocate", "stream"]


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the generator of one purpose; the same seed and purpose give the same numbers.

    Not for privacy: noise that protects anything comes from elsewhere.
    """
    key = [word for part in purpose for word in str(part).encode() + b"/"]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy=seed, spawn_key=tuple(key))))


def allocate(count: int, shares: Sequence[int], random: np.random.Generator) -> NDArray[np.int32]:
    """Return `count` indices into `shares` in random order, each as often as its share says, to within one."""
    bounds = np.cumsum(np.asarray(shares, dtype=np.int64))
    edges = count * bounds // bounds[-1]
    indices = np.searchsorted(edges, np.arange(count), side="right").astype(np.int32)
    return random.permutation(indices)
