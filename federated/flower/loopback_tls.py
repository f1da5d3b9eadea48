"""A certificate for one process on a loopback address, trusted by nobody but who is given it."""

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from yingbi.errors import SandboxError
from yingbi.key_files import read_secret

__all__ = ["keep_loopback_certificate", "make_loopback_certificate"]

_VALID_FOR: Final = timedelta(days=825)
_LEFT: Final = timedelta(days=30)
_UNREADABLE: Final = (
    OSError,
    SandboxError,
    TypeError,
    ValueError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
)
_ADDRESS: Final = ipaddress.ip_address("127.0.0.1")


def make_loopback_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1, signed by itself, and its key (mode 0600); return both paths.

    Files of an earlier start are replaced.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(key)
    paths = _paths(folder)
    _write(paths[0], certificate.public_bytes(Encoding.PEM))
    _write(paths[1], key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def keep_loopback_certificate(folder: Path) -> tuple[Path, Path]:
    """Return the certificate that is there, and its key, as long as it is good for a month; else make a new one.

    Whoever was given it goes on trusting the process when that starts anew.
    """
    paths = _paths(folder)
    return paths if _is_good(*paths) else make_loopback_certificate(folder)


def _paths(folder: Path) -> tuple[Path, Path]:
    return folder / "loopback.pem", folder / "loopback.key"


def _is_good(path: Path, key_path: Path) -> bool:
    """Tell whether both files are whole, belong together, and are valid at the address for long enough."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        key = load_pem_private_key(read_secret(key_path), None)
        certificate.verify_directly_issued_by(certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except _UNREADABLE:
        return False
    now = datetime.now(UTC)
    is_valid = certificate.not_valid_before_utc <= now and now + _LEFT <= certificate.not_valid_after_utc
    is_ours = _ADDRESS in names.get_values_for_type(x509.IPAddress)
    return is_valid and is_ours and key.public_key() == certificate.public_key()


def _sign(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Yingbi loopback")])
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(_ADDRESS)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(own, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
        .sign(key, SHA256())
    )


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
