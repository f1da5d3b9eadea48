"""A loopback certificate that is good is kept; one that is not, or not for long, is made anew."""

import os
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from federated.flower import loopback_tls
from federated.flower.loopback_tls import keep_loopback_certificate, make_loopback_certificate


def contents(paths: tuple[Path, Path]) -> tuple[bytes, bytes]:
    return paths[0].read_bytes(), paths[1].read_bytes()


def is_whole(paths: tuple[Path, Path]) -> bool:
    return loopback_tls._is_good(*paths) and stat.S_IMODE(paths[1].stat().st_mode) == 0o600


def test_a_good_one_is_kept(tmp_path: Path) -> None:
    made = contents(keep_loopback_certificate(tmp_path))
    kept = keep_loopback_certificate(tmp_path)
    assert contents(kept) == made
    assert is_whole(kept)


def other_key(folder: Path) -> None:
    (folder / "other").mkdir()
    shutil.copy(make_loopback_certificate(folder / "other")[1], folder / "loopback.key")


def foreign(folder: Path) -> None:
    """Put a certificate there that somebody else has issued for the same key's name."""
    path, _ = make_loopback_certificate(folder)
    issuer = ec.generate_private_key(ec.SECP256R1())
    old = x509.load_pem_x509_certificate(path.read_bytes())
    builder = x509.CertificateBuilder(
        issuer_name=old.issuer,
        subject_name=old.subject,
        public_key=old.public_key(),
        serial_number=old.serial_number,
        not_valid_before=old.not_valid_before_utc.replace(tzinfo=None),
        not_valid_after=old.not_valid_after_utc.replace(tzinfo=None),
        extensions=list(old.extensions),
    )
    path.write_bytes(builder.sign(issuer, SHA256()).public_bytes(Encoding.PEM))


def encrypted(folder: Path) -> None:
    key = load_pem_private_key((folder / "loopback.key").read_bytes(), None)
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (folder / "loopback.key").write_bytes(data)


FAULTS: dict[str, Callable[[Path], object]] = {
    "no certificate": lambda folder: (folder / "loopback.pem").unlink(),
    "no key": lambda folder: (folder / "loopback.key").unlink(),
    "half a certificate": lambda folder: os.truncate(folder / "loopback.pem", 200),
    "half a key": lambda folder: os.truncate(folder / "loopback.key", 100),
    "another's key": other_key,
    "another's signature": foreign,
    "an encrypted key": encrypted,
    "a key that others can read": lambda folder: (folder / "loopback.key").chmod(0o644),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_what_is_not_whole_is_made_anew(tmp_path: Path, fault: Callable[[Path], object]) -> None:
    keep_loopback_certificate(tmp_path)
    fault(tmp_path)
    assert not loopback_tls._is_good(tmp_path / "loopback.pem", tmp_path / "loopback.key")
    assert is_whole(keep_loopback_certificate(tmp_path))


@pytest.mark.parametrize(("left", "is_kept"), [(timedelta(days=31), True), (timedelta(days=29), False)])
def test_one_that_ends_soon_is_made_anew(
    tmp_path: Path, left: timedelta, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(loopback_tls, "_VALID_FOR", left)
        made = contents(make_loopback_certificate(tmp_path))
    kept = keep_loopback_certificate(tmp_path)
    assert (contents(kept) == made) is is_kept
    end = x509.load_pem_x509_certificate(kept[0].read_bytes()).not_valid_after_utc
    assert end - datetime.now(UTC) > timedelta(days=30)


def test_one_for_another_address_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setattr(loopback_tls, "_ADDRESS", ip_address("127.0.0.2"))
        made = contents(make_loopback_certificate(tmp_path))
    kept = keep_loopback_certificate(tmp_path)
    assert contents(kept) != made
    assert is_whole(kept)
