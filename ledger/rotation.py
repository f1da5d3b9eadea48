"""Changing the log's key with an overlap, in two recorded phases (docs/spec/log.md, "Change of the log's key").

`begin`: the new key is named in an entry; from then on both keys sign every checkpoint. `finish`: a second entry ends
the old key. Each phase may be run again after a crash at any step: the statement is kept in `rotation.json` until the
configuration has followed.
"""

import re
from pathlib import Path
from typing import Final

from ledger.cosigning import CosignatureSource
from ledger.home import LogHome, replace_keys
from ledger.note import TextSigner
from yingbi.clock import Clock, format_time
from yingbi.errors import ConflictError, ErrorCode
from yingbi.ids import new_id, new_nonce
from yingbi.keys import SigningKey, load_signing_key, save_signing_key
from yingbi.statement import Statement, parse_statement, sign

__all__ = ["begin_rotation", "finish_rotation"]

_PENDING: Final = "rotation.json"
_MAX_PARTY_NAME: Final = 63


def begin_rotation(
    home: LogHome, clock: Clock, *, passphrase: bytes | None = None, cosignatures: CosignatureSource | None = None
) -> tuple[str, ...]:
    """Make a new key, record it, and let both keys sign from now on; return both verifier keys.

    Raises:
        ConflictError: a change is under way already.
    """
    if len(home.keys) != 1:
        raise ConflictError(ErrorCode.LOG_BUSY, "a change of the key is under way", hint="finish it first")
    (old,) = home.load_signers(passphrase)
    path = _next_key_path(home)
    if not path.exists():
        save_signing_key(SigningKey.generate(), path, passphrase=passphrase)
    new = TextSigner(home.origin, load_signing_key(path, passphrase=passphrase))
    _record(home, clock, "begin", old, new, passphrase, cosignatures)
    replace_keys(home, (*home.keys, path), (old.verifier, new.verifier))
    (home.folder / _PENDING).unlink()
    return old.verifier.encode(), new.verifier.encode()


def finish_rotation(
    home: LogHome, clock: Clock, *, passphrase: bytes | None = None, cosignatures: CosignatureSource | None = None
) -> tuple[str, ...]:
    """Record the end of the old key and let the new one sign alone; return its verifier key.

    Raises:
        ConflictError: no change is under way.
    """
    if len(home.keys) != 2:
        raise ConflictError(ErrorCode.LOG_BUSY, "no change of the key is under way", hint="begin it first")
    old, new = home.load_signers(passphrase)
    _record(home, clock, "finish", old, new, passphrase, cosignatures)
    replace_keys(home, home.keys[1:], (new.verifier,))
    (home.folder / _PENDING).unlink()
    return (new.verifier.encode(),)


def _record(
    home: LogHome,
    clock: Clock,
    phase: str,
    old: TextSigner,
    new: TextSigner,
    passphrase: bytes | None,
    cosignatures: CosignatureSource | None,
) -> None:
    statement = _pending_statement(home, clock, phase, old, new)
    log, store = home.open_log(clock, passphrase=passphrase, cosignatures=cosignatures)
    try:
        with log:
            log.append(statement, idempotency_key=f"rotation-{statement.payload.nonce}")
    finally:
        store.close()


def _pending_statement(home: LogHome, clock: Clock, phase: str, old: TextSigner, new: TextSigner) -> Statement:
    path = home.folder / _PENDING
    if path.exists():
        return parse_statement(path.read_bytes())
    payload: dict[str, object] = {
        "type": "log.key_changed",
        "id": new_id("log"),
        "issuer": _log_party(home.origin),
        "on_behalf_of": None,
        "issued_at": format_time(clock.now()),
        "nonce": new_nonce(),
        "subject": [],
        "refs": {},
        "body": {"phase": phase, "old_vkey": old.verifier.encode(), "new_vkey": new.verifier.encode()},
    }
    statement = sign(payload, [old.key, new.key])
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(statement.envelope)
    temporary.replace(path)
    return statement


def _next_key_path(home: LogHome) -> Path:
    """Return the file of the next key: that of a run that was interrupted, or one that does not exist yet."""
    names = [home.folder / f"log-key-{number}.pem" for number in range(2, 1000)]
    is_interrupted = (home.folder / _PENDING).exists()
    return next(path for path in names if path not in home.keys and (is_interrupted or not path.exists()))


def _log_party(origin: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", origin.lower()).strip("-")[:_MAX_PARTY_NAME].rstrip("-")
    return f"log:{name}"
