"""A log's folder: its configuration, key, trust policy, high-water mark and, by default, its SQLite database.

```
log.toml        what is below, as a file people edit
log-key.pem     the log's private key (mode 0600); two while keys change over
policy.txt      C2SP tlog-policy: the log's key, witnesses with their addresses, the quorum
high-water      the newest head that may have been shown; move it to another volume (`high_water = "/…"`)
log.sqlite      entries, tiles, checkpoints
```
"""

import base64
import os
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.checkpoint import check_origin
from ledger.cosigning import CosignatureSource
from ledger.high_water import HighWaterMark
from ledger.log import Log, create_log
from ledger.note import NoteVerifier, TextSigner
from ledger.startup import HeadCheck, check_stored_head
from ledger.store_sql import SqlStore
from ledger.trust_policy import TrustPolicy, parse_trust_policy
from yingbi.clock import Clock
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, TamperDetectedError
from yingbi.keys import SigningKey, load_signing_key, save_signing_key

__all__ = [
    "CONFIG_NAME",
    "DATABASE_VARIABLE",
    "AnchorConfig",
    "LogHome",
    "create_home",
    "load_home",
    "replace_keys",
    "reset_high_water",
]

CONFIG_NAME: Final = "log.toml"
DATABASE_VARIABLE: Final = "YINGBI_LOG_DATABASE"
_POLICY: Final = "policy.txt"
_KEY: Final = "log-key.pem"
_MEMBERS: Final = {"origin", "database", "high_water", "keys", "policy", "anchor"}
_ANCHOR_MEMBERS: Final = {"rpc", "chain_id", "contract", "key", "confirmations", "deployed_at"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorConfig:
    """Where heads are anchored: an EVM chain's RPC address, the contract, and the file of the account's key."""

    rpc: str
    chain_id: int
    contract: str
    key: Path
    confirmations: int
    deployed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHome:
    """A loaded configuration. The database URL may hold a password and is not shown."""

    folder: Path
    origin: str
    keys: tuple[Path, ...]
    high_water: Path
    policy_path: Path
    anchor: AnchorConfig | None

    @property
    def database(self) -> str:
        """Return the database's URL: the environment's, else the configuration's."""
        configured = str(_read_config(self.folder).get("database", "sqlite:///log.sqlite"))
        return _absolute_url(os.environ.get(DATABASE_VARIABLE, configured), self.folder)

    def open_store(self) -> SqlStore:
        """Open the database for reading.

        Raises:
            NotFoundError, InvalidRequestError: as `SqlStore.open`; or the database holds another log.
        """
        store = SqlStore.open(self.database)
        if store.origin != self.origin:
            store.close()
            raise InvalidRequestError(ErrorCode.CONFIG_INVALID, "the database holds another log")
        return store

    def load_signers(self, passphrase: bytes | None = None) -> tuple[TextSigner, ...]:
        """Load the log's private keys."""
        return tuple(TextSigner(self.origin, load_signing_key(path, passphrase=passphrase)) for path in self.keys)

    def load_policy(self) -> TrustPolicy:
        """Load the trust policy; it must list a key of this log."""
        policy = parse_trust_policy(self.policy_path.read_bytes())
        if not policy.log_verifiers(self.origin):
            raise InvalidRequestError(
                ErrorCode.CONFIG_INVALID, f"policy `{self.policy_path.name}` does not list the log"
            )
        return policy

    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """Return the log's public keys, from its policy."""
        return self.load_policy().log_verifiers(self.origin)

    def open_log(
        self,
        clock: Clock,
        *,
        passphrase: bytes | None = None,
        cosignatures: CosignatureSource | None = None,
        checks: Iterable[HeadCheck] = (),
    ) -> tuple[Log, SqlStore]:
        """Open the log for appending; the caller closes both.

        Raises:
            ConflictError, TamperDetectedError: as `Log.open`.
        """
        signers = self.load_signers(passphrase)
        store = self.open_store()
        try:
            mark = HighWaterMark(self.high_water)
            log = Log.open(store, signers, clock=clock, high_water=mark, cosignatures=cosignatures, checks=checks)
        except BaseException:
            store.close()
            raise
        return log, store


def create_home(
    folder: Path, origin: str, *, database: str | None = None, passphrase: bytes | None = None
) -> tuple[LogHome, TextSigner]:
    """Make a new log in `folder`: key, configuration, policy with `quorum none`, database, high-water mark.

    Raises:
        ConflictError: the folder or database holds a log already.
    """
    check_origin(origin)
    if (folder / CONFIG_NAME).exists():
        raise ConflictError(ErrorCode.LOG_EXISTS, f"folder `{folder.name}` holds a log already")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    signer = TextSigner(origin, SigningKey.generate())
    save_signing_key(signer.key, folder / _KEY, passphrase=passphrase)
    (folder / _POLICY).write_text(f"log {signer.verifier.encode()}\nquorum none\n", encoding="utf-8")
    url = _absolute_url(database or os.environ.get(DATABASE_VARIABLE, "sqlite:///log.sqlite"), folder)
    store = SqlStore.create(url, origin)
    try:
        create_log(store, [signer], HighWaterMark(folder / "high-water"))
    finally:
        store.close()
    # Last, so that a folder with this file is a whole log.
    (folder / CONFIG_NAME).write_text(_render_config(origin, database), encoding="utf-8")
    return load_home(folder), signer


def load_home(folder: Path) -> LogHome:
    """Load a log's configuration.

    Raises:
        NotFoundError: there is no log in the folder.
        InvalidRequestError: unknown or missing members.
    """
    config = _read_config(folder)
    try:
        anchor = _parse_anchor(config["anchor"], folder) if "anchor" in config else None
        home = LogHome(
            folder=folder,
            origin=str(config["origin"]),
            keys=tuple(folder / str(name) for name in _strings(config.get("keys", [_KEY]))),
            high_water=folder / str(config.get("high_water", "high-water")),
            policy_path=folder / str(config.get("policy", _POLICY)),
            anchor=anchor,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid("a member is missing or of a wrong type") from error
    check_origin(home.origin)
    return home


def replace_keys(home: LogHome, keys: Sequence[Path], verifiers: Sequence[NoteVerifier]) -> None:
    """Write the log's present keys into its configuration and policy; other lines stay as they are.

    Each file is replaced as a whole, the policy first: a log that stops in between still finds its key in the policy.
    """
    mine = {verifier.encode() for verifier in home.verifiers()}
    lines = home.policy_path.read_text("utf-8").splitlines()
    others = [line for line in lines if not (line.split()[:1] == ["log"] and line.split()[1] in mine)]
    _replace(home.policy_path, [*(f"log {verifier.encode()}" for verifier in verifiers), *others])
    config = home.folder / CONFIG_NAME
    names = ", ".join(f'"{path.relative_to(home.folder)}"' for path in keys)
    lines = config.read_text("utf-8").splitlines()
    _replace(config, [f"keys = [{names}]" if line.partition("=")[0].strip() == "keys" else line for line in lines])


def reset_high_water(home: LogHome, *, size: int, root: str) -> None:
    """Make a lost high-water mark anew at the stored head, if the head is the one the operator names.

    The operator takes size and root from where the log cannot reach: a witness, an anchor, a partner's newest receipt.

    Raises:
        ConflictError: a mark exists.
        TamperDetectedError: the stored head is another one.
    """
    store = home.open_store()
    try:
        head = check_stored_head(store, home.verifiers())
        if (head.size, base64.b64encode(head.root).decode()) != (size, root):
            raise TamperDetectedError(ErrorCode.LOG_ROLLED_BACK, "the stored head is not the one that was named")
        HighWaterMark(home.high_water).create(store.read_signed(head.size))
    finally:
        store.close()


def _replace(path: Path, lines: Sequence[str]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write("\n".join([*lines, ""]))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _read_config(folder: Path) -> dict[str, object]:
    try:
        config: dict[str, object] = tomllib.loads((folder / CONFIG_NAME).read_text("utf-8"))
    except FileNotFoundError:
        raise NotFoundError(
            ErrorCode.LOG_NOT_FOUND, f"no log in folder `{folder}`", hint="`yingbi log init` makes one"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid("not TOML") from error
    if unknown := set(config) - _MEMBERS:
        raise _invalid(f"unknown member `{min(unknown)}`")
    return config


def _parse_anchor(value: object, folder: Path) -> AnchorConfig:
    if not isinstance(value, dict) or set(value) - _ANCHOR_MEMBERS:
        raise TypeError
    return AnchorConfig(
        rpc=str(value["rpc"]),
        chain_id=int(value["chain_id"]),
        contract=str(value["contract"]),
        key=folder / str(value["key"]),
        confirmations=int(value.get("confirmations", 12)),
        deployed_at=int(value.get("deployed_at", 0)),
    )


def _strings(value: object) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= 2:
        raise TypeError
    return [str(item) for item in value]


def _render_config(origin: str, database: str | None) -> str:
    # SECURITY: a URL with a password is not written down; it stays in the environment.
    is_plain = database is not None and "@" not in database
    lines = [f'origin = "{origin}"', f'keys = ["{_KEY}"]', f'policy = "{_POLICY}"', 'high_water = "high-water"']
    lines += [f'database = "{database}"'] if is_plain else []
    return "\n".join([*lines, ""])


def _absolute_url(url: str, folder: Path) -> str:
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith(prefix + "/"):
        return prefix + str((folder / url.removeprefix(prefix)).resolve())
    return url


def _invalid(what: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, f"`{CONFIG_NAME}`: {what}")
