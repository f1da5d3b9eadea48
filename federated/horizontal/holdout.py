"""Which entities are held out: decided by a keyed hash, the same in every training at a node, and unknown elsewhere.

HMAC-SHA-256 (RFC 2104, FIPS 198-1). An entity that is held out once is held out always, so that no partner learns from
many trainings what he may not learn from one; without the node's secret nobody can tell who is.
"""

import hmac
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["SECRET_BYTES", "hold_out"]

SECRET_BYTES: Final = 32
_CONTEXT: Final = b"yingbi hold-out 1\n"


def hold_out(keys: Sequence[bytes], *, secret: bytes, share: float) -> NDArray[np.bool_]:
    """Return for each entity's key whether it is held out: the first 8 bytes of its HMAC are below `share` of 2^64.

    Raises:
        InvalidRequestError: the secret is too short, or the share is not within [0, 1].
    """
    if len(secret) < SECRET_BYTES:
        raise InvalidRequestError(ErrorCode.KEY_MALFORMED, f"expected a secret of at least {SECRET_BYTES} bytes")
    if not 0.0 <= share <= 1.0:
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected a share from 0 to 1")
    limit = int(Fraction(share) * 2**64)
    return np.array([_number(secret, key) < limit for key in keys], dtype=np.bool_)


def _number(secret: bytes, key: bytes) -> int:
    return int.from_bytes(hmac.digest(secret, _CONTEXT + key, "sha256")[:8], "big")
