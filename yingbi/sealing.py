"""Results sealed to one recipient: HPKE (RFC 9180), base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305.

The library's single-shot interface: a fresh ephemeral key for every seal, nothing to reuse by mistake. What the result
belongs to (its job, its recipient) is the `info` of the key schedule: sealed for one thing, it opens for no other.
Base mode says nothing about the sender; who released a result is said by a statement over the ciphertext's digest.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.errors import ErrorCode, InvalidRequestError, VerificationError
from yingbi.key_files import decode_base64url, encode_base64url, encode_private, load_private, write_secret

__all__ = ["OVERHEAD_BYTES", "ResultKey", "load_result_key", "save_result_key", "seal"]

OVERHEAD_BYTES: Final = 48
"""An ephemeral public key of 32 bytes before the ciphertext, and a tag of 16 in it."""

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_LABEL: Final = b"yingbi/result/v1\n"
_KEY_BYTES: Final = 32


class ResultKey:
    """The private key to which results are sealed. It never shows its secret: no `repr`, no pickle."""

    __slots__ = ("_key", "public")

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self.public = encode_base64url(key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> "ResultKey":
        """Make a new key from the operating system's randomness."""
        return cls(X25519PrivateKey.generate())

    def open(self, sealed: bytes, context: Mapping[str, JsonValue]) -> bytes:
        """Open what was sealed to this key for this context.

        Raises:
            VerificationError: it was sealed to another key, for something else, or was altered.
        """
        try:
            return _SUITE.decrypt(sealed, self._key, info=_info(context))
        except (InvalidTag, ValueError):
            # SECURITY: one answer for every cause.
            raise VerificationError(
                ErrorCode.SEAL_BROKEN,
                "the sealed result does not open with this key for this job",
                hint="use the key that the job was submitted with",
            ) from None

    def to_pem(self, *, passphrase: bytes | None = None) -> bytes:
        """Return PKCS #8 PEM, encrypted when a passphrase is given; an empty passphrase is refused."""
        return encode_private(self._key, passphrase)

    def __repr__(self) -> str:
        return f"ResultKey({self.public})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")


def seal(plaintext: bytes, recipient: str, context: Mapping[str, JsonValue]) -> bytes:
    """Seal bytes to a public key (43 characters of base64url) for one context; `OVERHEAD_BYTES` longer than they were.

    Raises:
        InvalidRequestError: not a key, or one to which nothing can be kept secret.
    """
    raw = decode_base64url(recipient)
    if len(raw) != _KEY_BYTES:
        raise _malformed(f"expected an X25519 public key of {_KEY_BYTES} bytes")
    public = X25519PublicKey.from_public_bytes(raw)
    try:
        return _SUITE.encrypt(plaintext, public, info=_info(context))
    except ValueError:
        # A point of small order: the shared secret would be known to everybody (RFC 7748, section 6.1).
        raise _malformed("expected an X25519 public key that is not of small order") from None


def save_result_key(key: ResultKey, path: Path, *, passphrase: bytes | None = None) -> None:
    """Write a key to a new file that only its owner can read (mode 0600), durably.

    Raises:
        ConflictError: the file exists; keys are never overwritten.
        InvalidRequestError: the folder does not take it, or the passphrase is empty.
    """
    write_secret(path, key.to_pem(passphrase=passphrase))


def load_result_key(path: Path, *, passphrase: bytes | None = None) -> ResultKey:
    """Read a key from PKCS #8 PEM.

    Raises:
        RefusedError: others can read the file.
        InvalidRequestError: no such file, not an X25519 key, or the passphrase does not fit.
    """
    key = load_private(path, passphrase)
    if not isinstance(key, X25519PrivateKey):
        raise _malformed(f"key file `{path.name}` does not hold an X25519 key")
    return ResultKey(key)


def _info(context: Mapping[str, JsonValue]) -> bytes:
    return _LABEL + canonical_bytes(dict(context))


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.KEY_MALFORMED, message)
