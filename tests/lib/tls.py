"""Certificate authorities for tests: the product's own for one machine, several of them beside each other."""

import itertools
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from yingbi.cli import local_ca

__all__ = ["LocalCa"]


class LocalCa:
    """An authority in a folder of its own; `certificate` is what clients trust."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        place = folder / name.replace(" ", "-")
        place.mkdir()
        self._authority = local_ca.LocalCa(place)
        self._numbers = itertools.count()
        self.certificate = self._authority.certificate

    def issue(self, address: str = "127.0.0.1", *, passphrase: bytes | None = None) -> tuple[Path, Path]:
        """Return the files of a certificate for `address` and its key, which a passphrase may protect."""
        certificate, key = self._authority.issue(f"server-{next(self._numbers)}", address)
        if passphrase:
            loaded = load_pem_private_key(key.read_bytes(), None)
            encryption = BestAvailableEncryption(passphrase)
            key.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        return certificate, key
