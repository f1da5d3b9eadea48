"""Changing the log's key with an overlap, in two recorded phases (docs/spec/log.md, "Change of the log's key").

`begin`: the new key is named in an entry; from that entry on both keys sign every checkpoint. `finish`: a second entry
ends the old key. Each phase may be run again after a crash at any step: its statement is kept in `rotation.json` until
everything has followed. Both keys sign a little longer than they must, never less: a signature too many does no harm.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ledger.cosigning import CosignatureSource
from ledger.home import LogHome, render_keys, replace_file
from ledger.note import NoteVerifier, TextSigner
from yingbi.clock import Clock, format_time
from yingbi.errors import ConflictError, ErrorCode
from yingbi.ids import new_id, new_nonce
from yingbi.keys import SigningKey, save_signing_key
from yingbi.statement import Statement, parse_statement, sign

__all__ = ["begin_rotation", "finish_rotation"]

_PENDING: Final = "rotation.json"
_MAX_PARTY_NAME: Final = 63


def begin_rotation(
    home: LogHome, clock: Clock, *, passphrase: bytes | None = None, cosignatures: CosignatureSource | None = None
) -> tuple[str, ...]:
    """Make a new key, let both keys sign from now on, and record it; return both verifier keys.

    Raises:
        ConflictError: a change is under way already.
    """
    pending = _read_pending(home)
    if pending is not None and pending.payload.body["phase"] == "finish":
        if len(home.keys) != 1:
            raise _conflict("the change before is not at its end", "run `finish` again")
        _forget(home)
        pending = None
    if pending is None:
        if len(home.keys) != 1:
            raise _conflict("a change of the key is under way", "finish it first")
        (signer,) = home.load_signers(passphrase)
        pending = _write_pending(home, clock, "begin", signer, _make_key(home, passphrase))
    old, new = _parse_keys(pending.payload.body)
    both = replace(home, keys=(home.keys[0], _key_path(home, new)))
    # INVARIANT: both keys sign before the entry says so; no checkpoint that covers it lacks one.
    _write(render_keys(home, both.keys, (old, new)))
    _record(both, clock, pending, passphrase, cosignatures)
    _forget(home)
    return old.encode(), new.encode()


def finish_rotation(
    home: LogHome, clock: Clock, *, passphrase: bytes | None = None, cosignatures: CosignatureSource | None = None
) -> tuple[str, ...]:
    """Record the end of the old key and let the new one sign alone; return its verifier key.

    Raises:
        ConflictError: no change is under way, or it was not begun to its end.
    """
    pending = _read_pending(home)
    if pending is not None and pending.payload.body["phase"] == "begin":
        raise _conflict("the change was not begun to its end", "run `begin` again")
    if pending is None:
        if len(home.keys) != 2:
            raise _conflict("no change of the key is under way", "begin it first")
        old, new = home.load_signers(passphrase)
        pending = _write_pending(home, clock, "finish", old, new)
    if len(home.keys) == 2:
        files = render_keys(home, home.keys[1:], _parse_keys(pending.payload.body)[1:])
        # INVARIANT: both keys sign until the entry is recorded.
        _record(home, clock, pending, passphrase, cosignatures)
        _write(files)
    _forget(home)
    return (_parse_keys(pending.payload.body)[1].encode(),)


def _record(
    home: LogHome, clock: Clock, statement: Statement, passphrase: bytes | None, cosignatures: CosignatureSource | None
) -> None:
    log, store = home.open_log(clock, passphrase=passphrase, cosignatures=cosignatures)
    try:
        with log:
            log.append(statement, idempotency_key=f"rotation-{statement.payload.nonce}")
    finally:
        store.close()


def _make_key(home: LogHome, passphrase: bytes | None) -> TextSigner:
    signer = TextSigner(home.origin, SigningKey.generate())
    save_signing_key(signer.key, _key_path(home, signer.verifier), passphrase=passphrase)
    return signer


def _key_path(home: LogHome, verifier: NoteVerifier) -> Path:
    # Named by its id, so that a run after a crash finds the very key that the kept statement names.
    return home.folder / f"log-key-{verifier.key_id.hex()}.pem"


def _read_pending(home: LogHome) -> Statement | None:
    try:
        return parse_statement((home.folder / _PENDING).read_bytes())
    except FileNotFoundError:
        return None


def _write_pending(home: LogHome, clock: Clock, phase: str, old: TextSigner, new: TextSigner) -> Statement:
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
    replace_file(home.folder / _PENDING, statement.envelope.decode())
    return statement


def _parse_keys(body: Mapping[str, Any]) -> tuple[NoteVerifier, NoteVerifier]:
    return NoteVerifier.parse(body["old_vkey"]), NoteVerifier.parse(body["new_vkey"])


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        replace_file(path, text)


def _forget(home: LogHome) -> None:
    (home.folder / _PENDING).unlink()


def _conflict(message: str, hint: str) -> ConflictError:
    return ConflictError(ErrorCode.LOG_BUSY, message, hint=hint)


def _log_party(origin: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", origin.lower()).strip("-")[:_MAX_PARTY_NAME].rstrip("-")
    return f"log:{name}"
