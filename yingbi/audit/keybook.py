"""The keys of statements as a log tells them, with the signatures that they made (docs/spec/statement.md).

Follows the same rules as the verifier, and goes on where that stops: an auditor wants every wrong signature named, not
the first one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from yingbi.events import BODY_MODELS, EntryType
from yingbi.events.trust import KeyRegistered, KeyRevoked, KeyRotated
from yingbi.keys import VerifyKey
from yingbi.statement import PAYLOAD_TYPE, Statement, encode_pae

__all__ = ["KeyBook", "KeyFault", "KeyRecord", "Signer"]

_KEY_TYPES: Final = frozenset({EntryType.KEY_REGISTERED, EntryType.KEY_ROTATED, EntryType.KEY_REVOKED})


class KeyFault(StrEnum):
    """What is wrong with a signature."""

    UNKNOWN = "unknown-key"
    NOT_VALID_THEN = "key-not-valid-then"
    DOES_NOT_VERIFY = "signature-does-not-verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key with the entries between which it may sign (`ended` excluded), and the times that it was given."""

    keyid: str
    key: VerifyKey
    owner: str | None
    registered: int | None
    not_before: str = ""
    not_after: str | None = None
    ended: int | None = None
    reason: str | None = None

    def holds(self, index: int, issued_at: str) -> bool:
        """Tell whether the key may sign a statement of this time at this place of the log."""
        in_log = (self.registered or 0) <= index and (self.ended is None or index < self.ended)
        return in_log and self.not_before <= issued_at and (self.not_after is None or issued_at <= self.not_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One signature of an entry: whose key made it, and what is wrong with it, if anything is."""

    keyid: str
    owner: str | None
    is_root: bool
    fault: KeyFault | None


class KeyBook:
    """All keys that a log registered, from given roots on; to be fed in the order of the log."""

    def __init__(self, roots: Iterable[VerifyKey]) -> None:
        self._roots = {
            key.thumbprint: KeyRecord(keyid=key.thumbprint, key=key, owner=None, registered=None) for key in roots
        }
        self._records: dict[str, KeyRecord] = {}

    @property
    def records(self) -> tuple[KeyRecord, ...]:
        """Return all registered keys in the order of their entries."""
        return tuple(self._records.values())

    def read(self, statement: Statement, index: int) -> tuple[Signer, ...]:
        """Judge the signatures of an entry, and let it take effect on the keys if it is about one."""
        fresh = _fresh_key(statement, index)
        signers = tuple(self._judge(statement, index, item.keyid, item.sig, fresh) for item in statement.signatures)
        if statement.type in _KEY_TYPES:
            self._apply(statement, index, signers, fresh)
        return signers

    def _apply(self, statement: Statement, index: int, signers: tuple[Signer, ...], fresh: KeyRecord | None) -> None:
        good = {signer.keyid for signer in signers if signer.fault is None}
        match BODY_MODELS[statement.type].model_validate(statement.payload.body):
            case KeyRegistered() if fresh is not None and fresh.keyid in good and any(item.is_root for item in signers):
                self._records.setdefault(fresh.keyid, fresh)
            case KeyRotated(old=old) if fresh is not None and {old, fresh.keyid} <= good:
                self._records.setdefault(fresh.keyid, fresh)
                self._end(old, index, "rotated")
            case KeyRevoked(keyid=keyid, reason=reason) if good:
                self._end(keyid, index, str(reason))
            case _:
                pass

    def _judge(self, statement: Statement, index: int, keyid: str, sig: bytes, fresh: KeyRecord | None) -> Signer:
        root = self._roots.get(keyid)
        record = self._records.get(keyid) or root
        if record is None and fresh is not None and fresh.keyid == keyid:
            record = fresh
        if record is None:
            return Signer(keyid=keyid, owner=None, is_root=False, fault=KeyFault.UNKNOWN)
        fault = None
        if not record.key.is_valid(sig, encode_pae(PAYLOAD_TYPE, statement.payload_bytes)):
            fault = KeyFault.DOES_NOT_VERIFY
        elif not record.holds(index, statement.payload.issued_at) and record is not fresh:
            fault = KeyFault.NOT_VALID_THEN
        return Signer(keyid=keyid, owner=record.owner, is_root=root is not None and fault is None, fault=fault)

    def _end(self, keyid: str, index: int, reason: str) -> None:
        for book in (self._records, self._roots):
            if keyid in book and book[keyid].ended is None:
                book[keyid] = replace(book[keyid], ended=index, reason=reason)


def _fresh_key(statement: Statement, index: int) -> KeyRecord | None:
    """Return the key that an entry brings into being: it signs its own registration."""
    if statement.type not in (EntryType.KEY_REGISTERED, EntryType.KEY_ROTATED):
        return None
    body = BODY_MODELS[statement.type].model_validate(statement.payload.body)
    if not isinstance(body, KeyRegistered | KeyRotated):
        return None
    key = VerifyKey.from_jwk(body.jwk.model_dump())
    not_before = body.not_before if isinstance(body, KeyRegistered) else ""
    return KeyRecord(
        keyid=key.thumbprint,
        key=key,
        owner=body.owner,
        registered=index,
        not_before=not_before,
        not_after=body.not_after,
    )
