"""Layouts, parties and their keys for tests of the secure sum."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from federated.secure_sum import Vector, mask

__all__ = ["Form", "Piece", "make_keys", "mask_all", "mask_one", "public"]

Keys = Mapping[str, X25519PrivateKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a layout."""

    name: str
    shape: tuple[int, ...]
    bound: float = 1.0
    is_count: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A layout."""

    parts: tuple[Piece, ...]


def make_keys(count: int) -> dict[str, X25519PrivateKey]:
    """Return so many parties with fresh keys."""
    return {f"node:n-{number}": X25519PrivateKey.generate() for number in range(count)}


def public(keys: Keys) -> dict[str, bytes]:
    """Return the public keys."""
    return {name: key.public_key().public_bytes_raw() for name, key in keys.items()}


def mask_one(vector: Vector, keys: Keys, own: str, context: bytes = b"run-1") -> Vector:
    """Return the vector of one party under its masks with all the others."""
    peers = {name: key for name, key in public(keys).items() if name != own}
    return mask(vector, own_key=keys[own], own=own, peers=peers, context=context)


def mask_all(vectors: Mapping[str, NDArray[np.uint64]], keys: Keys, context: bytes = b"run-1") -> dict[str, Vector]:
    """Return all parties' vectors under their masks."""
    return {own: mask_one(vector, keys, own, context) for own, vector in vectors.items()}
