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
import json
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ledger.anchor_journal import make_anchor_check
from ledger.checkpoint import check_origin
from ledger.cosigning import CosignatureSource
from ledger.high_water import HighWaterMark
from ledger.log import Log, create_log, own_signatures
from ledger.note import NoteVerifier, TextSigner
from ledger.startup import HeadCheck, check_stored_head
from ledger.store_sql import SqlStore, has_password
from ledger.trust_policy import TrustPolicy, parse_trust_policy
from yingbi.clock import Clock
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, TamperDetectedError
from yingbi.keys import SigningKey, load_signing_key, save_signing_key

if TYPE_CHECKING:
    from ledger.anchor_evm import EvmAccount, EvmAnchor

__all__ = [
    "CONFIG_NAME",
    "DATABASE_VARIABLE",
    "AnchorConfig",
    "LogHome",
    "create_home",
    "load_home",
    "render_keys",
    "replace_file",
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
        configured = _text(_read_config(self.folder), "database", "sqlite:///log.sqlite")
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
        try:
            policy = parse_trust_policy(self.policy_path.read_bytes())
        except OSError as error:
            raise InvalidRequestError(
                ErrorCode.CONFIG_INVALID, f"policy `{self.policy_path.name}` cannot be read"
            ) from error
        if not policy.log_verifiers(self.origin):
            raise InvalidRequestError(
                ErrorCode.CONFIG_INVALID, f"policy `{self.policy_path.name}` does not list the log"
            )
        return policy

    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """Return the log's public keys, from its policy."""
        return self.load_policy().log_verifiers(self.origin)

    def open_anchor(self, account: "EvmAccount | None" = None) -> "EvmAnchor":
        """Open the chain of `[anchor]`; needs the extra `chain`.

        Raises:
            InvalidRequestError: none is configured.
        """
        if self.anchor is None:
            raise InvalidRequestError(
                ErrorCode.CONFIG_INVALID,
                f"`{CONFIG_NAME}` has no `[anchor]`",
                hint="`yingbi anchor deploy` shows what belongs there",
            )
        from ledger.anchor_evm import EvmAnchor  # most logs have no anchor, and web3 takes a second to load

        return EvmAnchor(
            self.anchor.rpc,
            contract=self.anchor.contract,
            chain_id=self.anchor.chain_id,
            origin=self.origin,
            account=account,
            confirmations=self.anchor.confirmations,
            deployed_at=self.anchor.deployed_at,
        )

    def open_log(
        self,
        clock: Clock,
        *,
        passphrase: bytes | None = None,
        cosignatures: CosignatureSource | None = None,
        checks: Iterable[HeadCheck] = (),
    ) -> tuple[Log, SqlStore]:
        """Open the log for appending; the caller closes both.

        Where an anchor is configured, the log is compared with it too.

        Raises:
            ConflictError, TamperDetectedError: as `Log.open`.
        """
        signers = self.load_signers(passphrase)
        if self.anchor is not None:
            checks = [*checks, make_anchor_check(self.open_anchor())]
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
        InvalidRequestError: `database` holds a password, or the environment names another database.
    """
    check_origin(origin)
    if (folder / CONFIG_NAME).exists():
        raise ConflictError(ErrorCode.LOG_EXISTS, f"folder `{folder.name}` holds a log already")
    url = _choose_database(database, folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    signer = TextSigner(origin, SigningKey.generate())
    save_signing_key(signer.key, folder / _KEY, passphrase=passphrase)
    try:
        store = SqlStore.create(url, origin)
    except BaseException:
        (folder / _KEY).unlink()  # it has signed nothing, and would be in the way of the next attempt
        raise
    try:
        create_log(store, [signer], HighWaterMark(folder / "high-water"))
    finally:
        store.close()
    (folder / _POLICY).write_text(f"log {signer.verifier.encode()}\nquorum none\n", encoding="utf-8")
    # Last, so that a folder with this file is a whole log.
    replace_file(folder / CONFIG_NAME, _render_config(origin, database))
    return load_home(folder), signer


def load_home(folder: Path) -> LogHome:
    """Load a log's configuration.

    Raises:
        NotFoundError: there is no log in the folder.
        InvalidRequestError: unknown or missing members.
    """
    config = _read_config(folder)
    home = LogHome(
        folder=folder,
        origin=_text(config, "origin"),
        keys=tuple(folder / name for name in _key_names(config.get("keys", [_KEY]))),
        high_water=folder / _text(config, "high_water", "high-water"),
        policy_path=folder / _text(config, "policy", _POLICY),
        anchor=_parse_anchor(config["anchor"], folder) if "anchor" in config else None,
    )
    check_origin(home.origin)
    return home


def render_keys(home: LogHome, keys: Sequence[Path], verifiers: Sequence[NoteVerifier]) -> dict[Path, str]:
    """Return the policy and the configuration with these as the log's present keys; other lines stay as they are.

    They are to be written in this order: a log that stops in between still finds its key in the policy.

    Raises:
        InvalidRequestError: the configuration lists the keys in a way that cannot be replaced.
    """
    config = home.folder / CONFIG_NAME
    names = [str(path.relative_to(home.folder) if path.is_relative_to(home.folder) else path) for path in keys]
    return {home.policy_path: _render_policy(home, verifiers), config: _replace_names(config.read_text("utf-8"), names)}


def replace_file(path: Path, text: str) -> None:
    """Replace a file as a whole, durably; it keeps its mode."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8", errors="surrogateescape") as file:
        if path.exists():
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
        HighWaterMark(home.high_water).create(own_signatures(store.read_signed(head.size), home.verifiers()))
    finally:
        store.close()


def _render_policy(home: LogHome, verifiers: Sequence[NoteVerifier]) -> str:
    mine = {verifier.encode() for verifier in home.verifiers()}
    lines = home.policy_path.read_text("utf-8", "surrogateescape").splitlines()
    own = [words for line in lines if (words := line.split())[:1] == ["log"] and words[1] in mine]
    url = next((words[2:] for words in own if words[2:]), [])
    present = [" ".join(["log", verifier.encode(), *url]) for verifier in verifiers]
    return "\n".join([*present, *(line for line in lines if line.split() not in own), ""])


def _replace_names(config: str, names: list[str]) -> str:
    line = f"keys = [{', '.join(_quote(name) for name in names)}]"
    lines = config.splitlines()
    at = next((at for at, old in enumerate(lines) if old.partition("=")[0].strip() == "keys"), None)
    # Without one the line goes to the top: after a table's name it would belong to that table.
    lines[slice(0, 0) if at is None else slice(at, at + 1)] = [line]
    replaced = "\n".join([*lines, ""])
    try:
        is_right = tomllib.loads(replaced) == {**tomllib.loads(config), "keys": names}
    except tomllib.TOMLDecodeError:
        is_right = False
    if not is_right:
        raise _invalid("expected `keys = […]` on one line, so that it can be replaced")
    return replaced


def _choose_database(database: str | None, folder: Path) -> str:
    given = os.environ.get(DATABASE_VARIABLE)
    if database is not None and given is not None and database != given:
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID, f"expected one database, got another one in `{DATABASE_VARIABLE}`"
        )
    # SECURITY: a password is not written down; it stays in the environment.
    if database is not None and has_password(database):
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID,
            "expected a database URL without a password",
            hint=f"give the whole URL in `{DATABASE_VARIABLE}`",
        )
    return _absolute_url(database or given or "sqlite:///log.sqlite", folder)


def _read_config(folder: Path) -> dict[str, object]:
    try:
        config: dict[str, object] = tomllib.loads((folder / CONFIG_NAME).read_text("utf-8"))
    except FileNotFoundError:
        raise NotFoundError(
            ErrorCode.LOG_NOT_FOUND, f"no log in folder `{folder}`", hint="`yingbi log init` makes one"
        ) from None
    except OSError as error:
        raise _invalid("cannot be read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid("not TOML") from error
    if unknown := set(config) - _MEMBERS:
        raise _invalid(f"unknown member `{min(unknown)}`")
    return config


def _parse_anchor(value: object, folder: Path) -> AnchorConfig:
    if not isinstance(value, dict):
        raise _invalid("expected `anchor` as a table")
    if unknown := set(value) - _ANCHOR_MEMBERS:
        raise _invalid(f"unknown member `anchor.{min(unknown)}`")
    return AnchorConfig(
        rpc=_text(value, "rpc"),
        chain_id=_count(value, "chain_id"),
        contract=_text(value, "contract"),
        key=folder / _text(value, "key"),
        confirmations=_count(value, "confirmations", 12),
        deployed_at=_count(value, "deployed_at", 0),
    )


def _text(config: Mapping[str, object], name: str, default: str | None = None) -> str:
    value = config.get(name, default)
    if not isinstance(value, str) or not value:
        raise _invalid(f"expected `{name}` as text")
    return value


def _count(config: Mapping[str, object], name: str, default: int | None = None) -> int:
    value = config.get(name, default)
    if type(value) is not int or value < 0:
        raise _invalid(f"expected `{name}` as a whole number from 0 on")
    return value


def _key_names(value: object) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= 2 or not all(isinstance(name, str) for name in value):
        raise _invalid("expected `keys` as a list of one file, or of two while keys change over")
    return value


def _render_config(origin: str, database: str | None) -> str:
    members = {"origin": origin, "keys": [_KEY], "policy": _POLICY, "high_water": "high-water", "database": database}
    lines = [f"{name} = {_quote(value)}" for name, value in members.items() if value is not None]
    return "\n".join([*lines, ""])


def _quote(value: str | list[str]) -> str:
    """Return TOML: its strings and lists are those of JSON, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _absolute_url(url: str, folder: Path) -> str:
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith(prefix + "/"):
        return prefix + str((folder / url.removeprefix(prefix)).resolve())
    return url


def _invalid(what: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, f"`{CONFIG_NAME}`: {what}")
