"""Masked contributions as bytes: their digest, and their sum modulo 2^64 (bundle.md, "Federations").

Without any library for arrays, so that whoever has Python can do it again.
"""

import hashlib
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Final

__all__ = ["add_vectors", "is_vector", "vector_digest"]

_NUMBER: Final = 8
_LABEL: Final = b"yingbi/secure-sum/vector/v1\n"


def is_vector(data: bytes) -> bool:
    """Tell whether bytes are 64-bit numbers, one at least."""
    return len(data) > 0 and len(data) % _NUMBER == 0


def vector_digest(data: bytes) -> str:
    """Return the digest by which entries name a vector of little-endian 64-bit numbers (docs/spec/bundle.md)."""
    size = (len(data) // _NUMBER).to_bytes(_NUMBER, "little")
    return "sha256:" + hashlib.sha256(_LABEL + size + data).hexdigest()


def add_vectors(vectors: Sequence[bytes]) -> bytes:
    """Return the sum, number by number and modulo 2^64, of vectors of one length.

    Every second number is taken out into lanes twice as wide, where nothing is carried from one into the next; so all
    sums of a vector are one sum of integers. Good for fewer than 2^64 vectors.
    """
    length = len(vectors[0])
    mask = int.from_bytes((b"\xff" * _NUMBER + bytes(_NUMBER)) * (length // (2 * _NUMBER) + 1), "little")
    numbers = [int.from_bytes(vector, "little") for vector in vectors]
    even = reduce(add, (number & mask for number in numbers)) & mask
    odd = reduce(add, (number >> 8 * _NUMBER & mask for number in numbers)) & mask
    total = even | odd << 8 * _NUMBER
    return (total & (1 << 8 * length) - 1).to_bytes(length, "little")
