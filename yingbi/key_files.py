"""Private keys in files (PKCS #8 PEM): made once, durable before they are used, readable by their owner alone.

Also the one text form of 32 bytes of a public key: base64url without padding, canonical.
"""

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, RefusedError

__all__ = ["decode_base64url", "encode_base64url", "encode_private", "load_private", "read_secret", "write_secret"]

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MAX_BYTES: Final = 16_384


def encode_private(key: Ed25519PrivateKey | X25519PrivateKey, passphrase: bytes | None) -> bytes:
    """Return PKCS #8 PEM, encrypted when a passphrase is given; an empty passphrase is refused."""
    if passphrase == b"":
        raise _malformed("expected a passphrase that is not empty")
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def load_private(path: Path, passphrase: bytes | None) -> object:
    """Read a private key of whatever kind; whether it is the right one is for the caller to judge.

    Raises:
        RefusedError: others can read the file.
        InvalidRequestError: no such file, not PEM, or the passphrase does not fit.
    """
    data = read_secret(path)
    try:
        return load_pem_private_key(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _malformed(f"key file `{path.name}` is not PEM, or its passphrase does not fit") from error


def encode_base64url(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Read base64url without padding, in its one canonical spelling.

    Raises:
        InvalidRequestError: anything else.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("expected base64url without padding") from error
    if encode_base64url(data) != text:
        raise _malformed("expected canonical base64url")
    return data


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read (mode 0600), durably.

    Raises:
        ConflictError: the file exists; keys are never overwritten.
        InvalidRequestError: the folder does not take it.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConflictError(ErrorCode.KEY_EXISTS, f"key file `{path.name}` exists", hint="choose a new name") from error
    except OSError as error:
        raise _malformed(f"key file `{path.name}` cannot be written") from error
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def read_secret(path: Path) -> bytes:
    """Read a file that only its owner can read.

    Raises:
        RefusedError: others can read it.
        InvalidRequestError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            # SECURITY: judged on the opened file, so that no swap between check and use is possible.
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise RefusedError(
                    ErrorCode.KEY_EXPOSED,
                    f"key file `{path.name}` can be read by others",
                    hint=f"chmod 600 {path.name}",
                )
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise _malformed(f"key file `{path.name}` cannot be read") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.KEY_MALFORMED, message)
