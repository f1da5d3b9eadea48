"""Ed25519 keys (RFC 8032) as JWK (RFC 8037), named by RFC 7638 thumbprints, kept in files only their owner reads."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from yingbi.canonical import canonical_bytes
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.key_files import decode_base64url, encode_base64url, encode_private, load_private, write_secret

__all__ = ["KEY_BYTES", "SigningKey", "VerifyKey", "load_signing_key", "save_signing_key"]

KEY_BYTES: Final = 32

# RFC 8032 §5.1: the field, and the y coordinates of the eight points whose order divides 8.
_P: Final = 2**255 - 19
_Y8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key: 32 bytes, RFC 8032 §5.1.5."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise _malformed(f"expected an Ed25519 public key of {KEY_BYTES} bytes, got {len(self.raw)}")
        # SECURITY: under a key of small order anybody signs anything, so possession of it proves nothing.
        y = int.from_bytes(self.raw, "little") & (1 << 255) - 1
        if y >= _P or y in _SMALL_ORDER:
            raise _malformed("expected an Ed25519 public key that is canonical and not of small order")

    @classmethod
    def from_jwk(cls, jwk: object) -> "VerifyKey":
        """Read an RFC 8037 JWK with exactly `kty`, `crv` and `x`; a private key (`d`) is refused."""
        if not isinstance(jwk, dict) or set(jwk) != {"kty", "crv", "x"}:
            raise _malformed("expected a JWK with exactly `crv`, `kty` and `x`")
        if jwk["kty"] != "OKP" or jwk["crv"] != "Ed25519" or not isinstance(jwk["x"], str):
            raise _malformed("expected a JWK of kty `OKP` and crv `Ed25519`")
        return cls(decode_base64url(jwk["x"]))

    def to_jwk(self) -> dict[str, str]:
        """Return the RFC 8037 JWK."""
        return {"crv": "Ed25519", "kty": "OKP", "x": encode_base64url(self.raw)}

    @property
    def thumbprint(self) -> str:
        """Return the RFC 7638 SHA-256 thumbprint, base64url, 43 characters."""
        return encode_base64url(hashlib.sha256(canonical_bytes(self.to_jwk())).digest())

    def is_valid(self, signature: bytes, message: bytes) -> bool:
        """Tell whether `signature` is this key's over `message` (RFC 8032 §5.1.7)."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A private key. It never shows its secret: no `repr`, no pickle; write it with `save_signing_key`."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = VerifyKey(key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> "SigningKey":
        """Make a new key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        """Make the key of a 32-byte seed (RFC 8032 §5.1.5)."""
        if len(seed) != KEY_BYTES:
            raise _malformed(f"expected a seed of {KEY_BYTES} bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Sign bytes (64-byte Ed25519 signature). Statements are signed by `yingbi.statement.sign` only."""
        return self._key.sign(message)

    def to_pem(self, *, passphrase: bytes | None = None) -> bytes:
        """Return PKCS #8 PEM, encrypted when a passphrase is given; an empty passphrase is refused."""
        return encode_private(self._key, passphrase)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.thumbprint})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")


def save_signing_key(key: SigningKey, path: Path, *, passphrase: bytes | None = None) -> None:
    """Write a private key to a new file that only its owner can read (mode 0600), durably.

    Raises:
        ConflictError: the file exists; keys are never overwritten.
        InvalidRequestError: the folder does not take it, or the passphrase is empty.
    """
    write_secret(path, key.to_pem(passphrase=passphrase))


def load_signing_key(path: Path, *, passphrase: bytes | None = None) -> SigningKey:
    """Read a private key from PKCS #8 PEM.

    Raises:
        RefusedError: others can read the file.
        InvalidRequestError: no such file, not an Ed25519 key, or the passphrase does not fit.
    """
    key = load_private(path, passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise _malformed(f"key file `{path.name}` does not hold an Ed25519 key")
    return SigningKey(key)


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.KEY_MALFORMED, message)
