"""A witness's folder: its name, keys, the logs it watches, and what it has seen.

```
witness.toml        name, the logs' verifier keys
witness-key.pem     Ed25519 key (mode 0600)
witness-ml-dsa.pem  ML-DSA-44 key, where the witness also signs for the time after quantum computers
witness.sqlite      the latest checkpoint of every log; its high-water file stands beside it
```
"""

import os
import stat
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ledger.note import Cosigner, MlDsaCosigner, NoteSigner, NoteVerifier
from ledger.witness import MemoryWitnessStore, Witness
from ledger.witness_store import SqlWitnessStore
from yingbi.clock import Clock, SystemClock
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, RefusedError
from yingbi.keys import SigningKey, load_signing_key, save_signing_key

__all__ = ["CONFIG_NAME", "WitnessHome", "create_witness_home", "load_witness_home"]

CONFIG_NAME: Final = "witness.toml"
_KEY: Final = "witness-key.pem"
_ML_DSA_KEY: Final = "witness-ml-dsa.pem"
_STORE: Final = "witness.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessHome:
    """A loaded configuration."""

    folder: Path
    name: str
    logs: tuple[NoteVerifier, ...]

    def load_cosigners(self, clock: Clock, passphrase: bytes | None = None) -> tuple[NoteSigner, ...]:
        """Load the witness's keys."""
        cosigner = Cosigner(self.name, load_signing_key(self.folder / _KEY, passphrase=passphrase), clock)
        path = self.folder / _ML_DSA_KEY
        if not path.exists():
            return (cosigner,)
        return cosigner, MlDsaCosigner(self.name, _load_ml_dsa(path, passphrase), clock)

    def open_store(self) -> SqlWitnessStore:
        """Open what the witness has seen."""
        return SqlWitnessStore.open(self.folder / _STORE)

    def open_witness(self, clock: Clock, passphrase: bytes | None = None) -> tuple[Witness, SqlWitnessStore]:
        """Open the witness; the caller closes the store."""
        cosigners = self.load_cosigners(clock, passphrase)
        store = self.open_store()
        return Witness(cosigners, self.logs, store=store, clock=clock), store


def create_witness_home(
    folder: Path, name: str, logs: Sequence[str], *, is_post_quantum: bool = False, passphrase: bytes | None = None
) -> WitnessHome:
    """Make a new witness in `folder`.

    Raises:
        ConflictError: the folder holds a witness already.
        InvalidRequestError: the name or a log's verifier key has a wrong form, or they do not go together.
    """
    if (folder / CONFIG_NAME).exists():
        raise ConflictError(ErrorCode.KEY_EXISTS, f"folder `{folder.name}` holds a witness already")
    verifiers = tuple(NoteVerifier.parse(vkey) for vkey in logs)
    key, ml_dsa = SigningKey.generate(), MLDSA44PrivateKey.generate() if is_post_quantum else None
    _check_identity(name, verifiers, key, ml_dsa)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    save_signing_key(key, folder / _KEY, passphrase=passphrase)
    if ml_dsa is not None:
        _save_ml_dsa(ml_dsa, folder / _ML_DSA_KEY, passphrase)
    SqlWitnessStore.create(folder / _STORE).close()
    rows = ",\n".join(f'    "{verifier.encode()}"' for verifier in verifiers)
    (folder / CONFIG_NAME).write_text(f'name = "{name}"\nlogs = [\n{rows}\n]\n', encoding="utf-8")
    return load_witness_home(folder)


def load_witness_home(folder: Path) -> WitnessHome:
    """Load a witness's configuration.

    Raises:
        NotFoundError: there is no witness in the folder.
        InvalidRequestError: unknown or missing members.
    """
    try:
        config = tomllib.loads((folder / CONFIG_NAME).read_text("utf-8"))
    except FileNotFoundError:
        raise NotFoundError(
            ErrorCode.LOG_NOT_FOUND, f"no witness in folder `{folder}`", hint="`yingbi witness init` makes one"
        ) from None
    except OSError as error:
        raise _invalid(f"`{CONFIG_NAME}` cannot be read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"`{CONFIG_NAME}` is not TOML") from error
    name, logs = config.get("name"), config.get("logs")
    is_list = isinstance(logs, list) and all(isinstance(vkey, str) for vkey in logs)
    if set(config) != {"name", "logs"} or not isinstance(name, str) or not is_list:
        raise _invalid(f"`{CONFIG_NAME}`: expected exactly `name` as text and `logs` as a list of verifier keys")
    return WitnessHome(folder=folder, name=name, logs=tuple(NoteVerifier.parse(vkey) for vkey in config["logs"]))


def _check_identity(name: str, logs: Sequence[NoteVerifier], key: SigningKey, ml_dsa: MLDSA44PrivateKey | None) -> None:
    """Refuse, before anything is written, what could not be loaded or run afterwards."""
    if any(not text.isprintable() or set(text) & set('"\\') for text in (name, *(log.name for log in logs))):
        raise _invalid("expected names without quotation marks, backslashes and control characters")
    clock = SystemClock()
    cosigners: list[NoteSigner] = [Cosigner(name, key, clock)]
    cosigners += [MlDsaCosigner(name, ml_dsa, clock)] if ml_dsa is not None else []
    Witness(cosigners, logs, store=MemoryWitnessStore(), clock=clock)


def _save_ml_dsa(key: MLDSA44PrivateKey, path: Path, passphrase: bytes | None) -> None:
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConflictError(ErrorCode.KEY_EXISTS, f"key file `{path.name}` exists", hint="choose a new name") from error
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _load_ml_dsa(path: Path, passphrase: bytes | None) -> MLDSA44PrivateKey:
    try:
        with path.open("rb") as file:
            # SECURITY: judged on the opened file, as `yingbi.keys.load_signing_key` does.
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise RefusedError(
                    ErrorCode.KEY_EXPOSED,
                    f"key file `{path.name}` can be read by others",
                    hint=f"chmod 600 {path.name}",
                )
            key = load_pem_private_key(file.read(), passphrase)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidRequestError(
            ErrorCode.KEY_MALFORMED, f"key file `{path.name}` cannot be read, or its passphrase does not fit"
        ) from error
    if not isinstance(key, MLDSA44PrivateKey):
        raise InvalidRequestError(ErrorCode.KEY_MALFORMED, f"key file `{path.name}` does not hold an ML-DSA-44 key")
    return key


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, message)
