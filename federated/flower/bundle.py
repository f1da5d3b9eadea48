"""App bundles: built from a folder byte for byte alike on every machine, named by their digest, signed by the bureau.

The form is Flower's (a zip archive with `pyproject.toml` and a list of digests). Flower's builder compresses, and other
zlibs compress to other bytes; here files are stored as they are, so that whoever has the source can make the digest.
"""

import base64
import hashlib
import io
import json
import re
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import federated
from federated.flower import compat
from yingbi.canonical import digest_bytes
from yingbi.clock import Clock
from yingbi.errors import ErrorCode, InvalidRequestError, VerificationError
from yingbi.keys import SigningKey, VerifyKey

__all__ = [
    "HORIZONTAL",
    "Bundle",
    "BundleSignature",
    "build_bundle",
    "bundle_of",
    "horizontal_bundle",
    "key_id",
    "open_bundle",
    "parse_signature",
    "sign_bundle",
    "stored_app",
    "trusted_entities",
    "verify_bundle",
]

HORIZONTAL: Final = Path(federated.__file__).parent / "apps" / "horizontal"
"""The folder of the catalogue's app."""

_CONFIG: Final = "pyproject.toml"
_LIST: Final = ".info/CONTENT"
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o100644 << 16
_UNIX: Final = 3
_MAX_BYTES: Final = 10 << 20
_MAX_FILES: Final = 1_000
_PATH: Final = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_APP_NAME: Final = re.compile(r"[a-z][a-z-]*")
# What a bundle takes along of this package besides the app and the recipes.
_AROUND: Final = ("__init__.py", "content.py", "py.typed", "apps/__init__.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """An app bundle; `id` is `@publisher/name`."""

    id: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Return the SHA-256 in hexadecimal: Flower's name for it."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def digest(self) -> str:
        """Return the digest: our name for it."""
        return digest_bytes(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSignature:
    """An Ed25519 signature over `signed_at` (8 bytes, big endian) and the SHA-256 of a bundle: Flower's form."""

    key_id: str
    signed_at: int
    signature: bytes

    def to_json(self) -> str:
        """Return the signature as a file holds it."""
        signature = base64.urlsafe_b64encode(self.signature).decode()
        return json.dumps({"key_id": self.key_id, "signature": signature, "signed_at": self.signed_at}, indent=1)


def build_bundle(files: Mapping[str, bytes]) -> Bundle:
    """Build the bundle of these files: names with `/`, one of them `pyproject.toml`.

    Raises:
        InvalidRequestError: a name that no bundle may have, too much, or not a Flower app's configuration.
    """
    for name in files:
        if not _PATH.fullmatch(name):
            raise _malformed("plain relative paths in a bundle")
    names = [_CONFIG, *sorted(set(files) - {_CONFIG})]
    lines = [f"{name},{hashlib.sha256(files[name]).hexdigest()},{len(files[name]) * 8}" for name in names]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [*((name, files[name]) for name in names), (_LIST, "\n".join(lines).encode())]:
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system, info.external_attr = _UNIX, _MODE
            archive.writestr(info, data)
    content = buffer.getvalue()
    if len(content) > _MAX_BYTES or len(files) > _MAX_FILES:
        raise _malformed(f"a bundle of at most {_MAX_FILES} files and {_MAX_BYTES} bytes")
    return Bundle(id=_app_id(files[_CONFIG]), content=content)


def bundle_of(content: bytes) -> Bundle:
    """Return the bundle of a file's bytes.

    Raises:
        InvalidRequestError: it is not a bundle as `build_bundle` makes them.
    """
    files = open_bundle(content, digest=digest_bytes(content))
    return Bundle(id=_app_id(files[_CONFIG]), content=content)


def horizontal_bundle() -> Bundle:
    """Build the catalogue's app, with the recipes that this program has."""
    package = Path(federated.__file__).parent
    files = {name: (HORIZONTAL / name).read_bytes() for name in (_CONFIG, "README.md")}
    files |= {f"federated/{name}": (package / name).read_bytes() for name in _AROUND}
    for folder in (HORIZONTAL, package / "horizontal"):
        files |= {
            f"federated/{path.relative_to(package).as_posix()}": path.read_bytes() for path in folder.glob("*.py")
        }
    return build_bundle(files)


def open_bundle(content: bytes, *, digest: str) -> Mapping[str, bytes]:
    """Return the files of a bundle whose digest is `digest`.

    Raises:
        VerificationError: it is another bundle.
        InvalidRequestError: it is not a bundle as `build_bundle` makes them.
    """
    if digest_bytes(content) != digest:
        raise VerificationError(ErrorCode.STATEMENT_UNVERIFIED, "the app bundle is not the one with this digest")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            # SECURITY: stored files are as large as the archive says and no larger; compressed ones could be bombs.
            if len(infos) > _MAX_FILES + 1 or any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise _malformed("a bundle with stored files")
            files = {info.filename: archive.read(info) for info in infos if info.filename != _LIST}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        # Newer versions and strong encryption are "not implemented" to zipfile, and a password is a RuntimeError.
        raise _malformed("an app bundle") from error
    if _CONFIG not in files or build_bundle(files).content != content:
        raise _malformed("a bundle as it is built")
    return files


def sign_bundle(bundle: Bundle, key: SigningKey, *, clock: Clock) -> BundleSignature:
    """Sign a bundle, as `flower-supernode --trusted-entities` verifies it."""
    signed_at = int(clock.now().timestamp())
    message = compat.create_message_to_sign(hashlib.sha256(bundle.content).digest(), signed_at)
    return BundleSignature(key_id=key_id(key.public), signed_at=signed_at, signature=key.sign(message))


def verify_bundle(bundle: Bundle, signature: BundleSignature, keys: Iterable[VerifyKey]) -> None:
    """Verify that one of `keys` signed the bundle.

    Raises:
        VerificationError: none of them did.
    """
    message = compat.create_message_to_sign(hashlib.sha256(bundle.content).digest(), signature.signed_at)
    if not any(key_id(key) == signature.key_id and key.is_valid(signature.signature, message) for key in keys):
        raise VerificationError(ErrorCode.STATEMENT_UNVERIFIED, "the app bundle's signature does not verify")


def parse_signature(text: str) -> BundleSignature:
    """Read a signature's file.

    Raises:
        InvalidRequestError: something else.
    """
    try:
        match json.loads(text):
            case {"key_id": str(key), "signature": str(signature), "signed_at": int(signed_at), **others} if not others:
                raw = base64.b64decode(signature, altchars=b"-_", validate=True)
                if 0 <= signed_at < 1 << 63:
                    return BundleSignature(key_id=key, signed_at=signed_at, signature=raw)
    except ValueError as error:
        raise _malformed("a signature of a bundle") from error
    raise _malformed("a signature of a bundle")


def key_id(key: VerifyKey) -> str:
    """Return the name of a key in signatures and in the list of trusted entities."""
    return f"fpk_{key.thumbprint}"


def trusted_entities(keys: Iterable[VerifyKey]) -> str:
    """Return the file for `--trusted-entities` (YAML, of which JSON is a part)."""
    texts = {
        key_id(key): Ed25519PublicKey.from_public_bytes(key.raw)
        .public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        .decode()
        for key in keys
    }
    return json.dumps(texts, indent=1, sort_keys=True)


def stored_app(bundle: Bundle, signatures: Iterable[BundleSignature]) -> compat.StoredApp:
    """Return the bundle as a server stores it, with the signatures in the form that its nodes expect."""
    verifications = {
        item.key_id: json.dumps(
            {"signature": base64.urlsafe_b64encode(item.signature).decode(), "signed_at": item.signed_at}
        )
        for item in signatures
    }
    # Flower's nodes take no signed app without this word, whatever it says.
    return compat.StoredApp(
        id=bundle.id,
        sha256=bundle.sha256,
        content=bundle.content,
        verifications=verifications | {"valid_license": "Valid"},
    )


def _app_id(config: bytes) -> str:
    try:
        document = tomllib.loads(config.decode())
        publisher, name = document["tool"]["flwr"]["app"]["publisher"], document["project"]["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise _malformed("the configuration of a Flower app") from error
    if not (
        isinstance(publisher, str) and isinstance(name, str) and re.fullmatch(r"[a-z-]+/[a-z-]+", f"{publisher}/{name}")
    ):
        raise _malformed("a publisher and a name in small letters")
    return f"@{publisher}/{name}"


def _malformed(expected: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, f"expected {expected}")
