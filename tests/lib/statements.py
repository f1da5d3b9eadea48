"""Statements to put into logs."""

from yingbi.ids import new_id, new_nonce
from yingbi.keys import SigningKey
from yingbi.statement import Statement, sign

__all__ = ["make_statement", "revoked"]

_KEY = SigningKey.from_seed(b"\x07" * 32)


def revoked(key: SigningKey = _KEY, **overrides: object) -> dict[str, object]:
    """Return a small valid payload: a key is revoked."""
    return {
        "type": "key.revoked",
        "id": new_id("key"),
        "issuer": "bureau:futian",
        "on_behalf_of": None,
        "issued_at": "2026-11-21T08:00:00.000000Z",
        "nonce": new_nonce(),
        "subject": [],
        "refs": {},
        "body": {"keyid": key.public.thumbprint, "reason": "compromised"},
        **overrides,
    }


def make_statement(key: SigningKey = _KEY, **overrides: object) -> Statement:
    """Return a signed statement, another one at every call."""
    return sign(revoked(key, **overrides), [key])
