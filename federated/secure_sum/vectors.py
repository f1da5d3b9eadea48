"""Vectors of 64-bit numbers: their sum modulo 2^64, and the digest that goes into the log."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["MIN_PARTIES", "Vector", "add", "check_vector", "vector_digest"]

Vector = NDArray[np.uint64]
"""One dimension, not empty; an entry stands for an integer modulo 2^64, a negative one in two's complement."""

MIN_PARTIES: Final = 3
"""Of two parties, each learns the other's vector from the sum."""

_LABEL: Final = b"yingbi/secure-sum/vector/v1\n"


def add(vectors: Sequence[Vector]) -> Vector:
    """Return the sum of all parties' vectors modulo 2^64, whatever their order.

    Raises:
        InvalidRequestError: fewer than three, of different lengths, or something that is no vector.
    """
    if len(vectors) < MIN_PARTIES:
        raise _invalid(f"expected the vectors of at least {MIN_PARTIES} parties, got {len(vectors)}")
    for vector in vectors:
        check_vector(vector)
    if len({vector.size for vector in vectors}) > 1:
        raise _invalid("expected vectors of one length")
    total = vectors[0].copy()
    for vector in vectors[1:]:
        np.add(total, vector, out=total)
    return total


def vector_digest(vector: Vector) -> str:
    """Return `sha256:` and SHA-256 over a label, the number of entries (8 bytes) and the entries, all little-endian.

    Raises:
        InvalidRequestError: it is no vector.
    """
    check_vector(vector)
    digest = hashlib.sha256(_LABEL + vector.size.to_bytes(8, "little"))
    digest.update(np.ascontiguousarray(vector, dtype="<u8").data)
    return "sha256:" + digest.hexdigest()


def check_vector(vector: NDArray[Any]) -> None:
    """Refuse what is not a vector.

    Raises:
        InvalidRequestError: it is empty, of another type, or of another number of dimensions than one.
    """
    if vector.dtype != np.uint64 or vector.ndim != 1 or not vector.size:
        raise _invalid("expected one dimension of uint64 that is not empty")


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.DATA_INVALID, message)
