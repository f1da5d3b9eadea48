"""Salted commitments: a leaf says that something was claimed, an erasable opening says what.

`sha256:hex(SHA-256(salt ‖ canonical(value)))` with a salt of 32 bytes of fixed length, so that no other split of the
hashed bytes is possible. Hiding rests on the salt: without it, and with a value from a small set (a USCC, a yes/no),
nobody can search. Erase the opening and the commitment says nothing, while the log still verifies.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

from yingbi.canonical import canonical_bytes
from yingbi.errors import ErrorCode, InvalidRequestError, VerificationError

__all__ = ["SALT_BYTES", "Opening", "commit", "verify_opening"]

SALT_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What turns a commitment back into a value. Secret: not shown by `repr`."""

    salt: bytes = field(repr=False)
    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.salt) != SALT_BYTES:
            raise InvalidRequestError(ErrorCode.JSON_MALFORMED, f"expected a salt of {SALT_BYTES} bytes")

    @property
    def commitment(self) -> str:
        """Return the commitment that this opens."""
        return "sha256:" + hashlib.sha256(self.salt + self.value).hexdigest()


def commit(value: object) -> Opening:
    """Commit to a JSON value with a fresh salt."""
    return Opening(salt=secrets.token_bytes(SALT_BYTES), value=canonical_bytes(value))


def verify_opening(commitment: str, opening: Opening) -> None:
    """Verify that `opening` opens `commitment`, in constant time.

    Raises:
        VerificationError: it opens another one.
    """
    if not hmac.compare_digest(commitment.encode(errors="replace"), opening.commitment.encode()):
        raise VerificationError(ErrorCode.COMMITMENT_MISMATCH, "opening does not match its commitment")
