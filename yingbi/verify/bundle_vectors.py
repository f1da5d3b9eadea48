"""Masked contributions as bytes: their digest, and their sum modulo 2^64 (bundle.md, "Federations").

Without any library for arrays, so that whoever has Python can do it again.
"""

import hashlib
from collections.abc import Iterable
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


def add_vectors(vectors: Iterable[bytes]) -> bytes | None:
    """Return the sum, number by number and modulo 2^64, of vectors; nothing where there are none or of two lengths.

    Every second number stands in a lane twice as wide, where nothing is carried from one into the next, so that all
    sums of a vector are one sum of integers. Good for fewer than 2^64 vectors; keeps one of them at a time.
    """
    length, mask = 0, 0
    even = odd = 0
    for vector in vectors:
        if not length:
            length = len(vector)
            mask = int.from_bytes((b"\xff" * _NUMBER + bytes(_NUMBER)) * (length // (2 * _NUMBER) + 1), "little")
        if len(vector) != length:
            return None
        number = int.from_bytes(vector, "little")
        even += number & mask
        odd += number >> 8 * _NUMBER & mask
    total = even & mask | (odd & mask) << 8 * _NUMBER
    return (total & (1 << 8 * length) - 1).to_bytes(length, "little") if length else None
