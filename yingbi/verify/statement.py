"""Keys and signatures of statements: DSSE v1 PAE, RFC 8037 JWK, RFC 7638 thumbprints, who may sign (statement.md)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from yingbi.verify.entry import PAYLOAD_TYPE, Entry
from yingbi.verify.note import verify_ed25519
from yingbi.verify.report import Check, Finding, failed
from yingbi.verify.strict import Malformed, decode_base64url

__all__ = ["SignerKey", "StatementError", "check_signer", "encode_pae", "parse_jwk", "thumbprint", "verify_signatures"]

_JWK_X: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class StatementError(ValueError):
    """A statement that its signers could not make."""

    def __init__(
        self, finding: Finding, message: str, *, expected: str | None = None, actual: str | None = None
    ) -> None:
        super().__init__(message)
        self.finding = finding
        self.expected = expected
        self.actual = actual

    def to_check(self, name: str, index: int) -> Check:
        """Return the failed check that this makes at an entry."""
        return failed(name, self.finding, str(self), index=index, expected=self.expected, actual=self.actual)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerKey:
    """A key that may sign, and the party it belongs to; roots and log keys belong to none."""

    public: bytes
    owner: str | None


def encode_pae(payload_type: bytes, payload: bytes) -> bytes:
    """Return the bytes that a DSSE v1 signature covers."""
    return b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type, len(payload), payload)


def parse_jwk(value: object) -> bytes:
    """Return the public key of an RFC 8037 JWK with exactly `kty`, `crv` and `x`."""
    if not isinstance(value, dict) or set(value) != {"kty", "crv", "x"}:
        raise Malformed("expected a JWK with exactly crv, kty and x")
    x = value["x"]
    if value["kty"] != "OKP" or value["crv"] != "Ed25519" or not isinstance(x, str) or not _JWK_X.fullmatch(x):
        raise Malformed("expected an Ed25519 JWK (RFC 8037)")
    return decode_base64url(x)


def thumbprint(public: bytes) -> str:
    """Return the RFC 7638 SHA-256 thumbprint of an Ed25519 key."""
    x = urlsafe_b64encode(public).rstrip(b"=")
    return urlsafe_b64encode(sha256(b'{"crv":"Ed25519","kty":"OKP","x":"%b"}' % x).digest()).rstrip(b"=").decode()


def verify_signatures(
    entry: Entry, find: Callable[[str], SignerKey | None], *, skip: Collection[str] = ()
) -> tuple[SignerKey, ...]:
    """Verify every signature of an entry's statement, but those to `skip`, under keys that `find` knows; return them.

    Raises:
        StatementError: a signature is by a key that `find` does not know, or does not verify.
    """
    message = encode_pae(PAYLOAD_TYPE, entry.payload_bytes)
    keys = []
    for keyid, signature in entry.signatures:
        if keyid in skip:
            continue
        key = find(keyid)
        if key is None:
            raise StatementError(Finding.UNKNOWN_KEY, "expected signatures by keys that are valid here", actual=keyid)
        if not verify_ed25519(key.public, signature, message):
            raise StatementError(Finding.BAD_SIGNATURE, "the signature does not verify", actual=keyid)
        keys.append(key)
    return tuple(keys)


def check_signer(entry: Entry, keys: Iterable[SignerKey]) -> None:
    """Check that the issuer is among the signers (statement.md, Keys of statements).

    Raises:
        StatementError: it is not.
    """
    issuer = entry.payload["issuer"]
    owners = {key.owner for key in keys if key.owner is not None}
    if issuer not in owners:
        raise StatementError(
            Finding.WRONG_SIGNER,
            "expected a signature by a key of the issuer",
            expected=str(issuer),
            actual=", ".join(sorted(owners)) or "nobody's key",
        )
