"""Identifiers: opaque, sortable by nothing, saying nothing about anybody."""

import hashlib
import re
import secrets
from collections.abc import Callable
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = [
    "DIGEST_PATTERN",
    "ID_PATTERN",
    "MAX_ID",
    "PARTY_KINDS",
    "PARTY_PATTERN",
    "dataset_id",
    "new_id",
    "new_nonce",
    "parse_party",
]

# Crockford's base 32, lower case: no i, l, o, u.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_RANDOM_BITS: Final = 130

PARTY_KINDS: Final = ("bureau", "unit", "partner", "node", "log", "witness", "auditor", "subject", "person")
ID_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+$"
MAX_ID: Final = 80
PARTY_PATTERN: Final = rf"^(?:{'|'.join(PARTY_KINDS)}):[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?$"
DIGEST_PATTERN: Final = r"^sha256:[0-9a-f]{64}$"


def new_id(kind: str, *, random_bits: Callable[[int], int] = secrets.randbits) -> str:
    """Return `kind-` and 26 characters that hold 130 random bits."""
    bits = random_bits(_RANDOM_BITS)
    return f"{kind}-" + "".join(_ALPHABET[bits >> shift & 31] for shift in range(0, _RANDOM_BITS, 5))


def dataset_id(name: str) -> str:
    """Return the id under which the log knows a data set: `ds-` and 26 letters of the SHA-256 of its catalogue name."""
    value = int.from_bytes(hashlib.sha256(name.encode()).digest())
    return "ds-" + "".join(_LETTERS[value // len(_LETTERS) ** place % len(_LETTERS)] for place in range(26))


def new_nonce() -> str:
    """Return 16 random bytes as 22 characters of base64url."""
    return secrets.token_urlsafe(16)


def parse_party(text: str) -> tuple[str, str]:
    """Split `kind:name` of a party.

    Raises:
        InvalidRequestError: not a party reference.
    """
    if not re.fullmatch(PARTY_PATTERN, text):
        raise InvalidRequestError(
            ErrorCode.ID_MALFORMED, "expected a party such as `partner:bank-a`", hint=f"kinds: {', '.join(PARTY_KINDS)}"
        )
    kind, _, name = text.partition(":")
    return kind, name
