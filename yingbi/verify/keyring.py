"""Keys over time: those of statements and those of the log itself, replayed from the entries that change them.

A key that ended never comes back, so its validity is one span of sequence numbers. Once the few key entries have been
replayed in order, the signatures of all other entries can be checked in any order, by any number of workers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from yingbi.verify.entry import PAYLOAD_TYPE, Entry
from yingbi.verify.note import Algorithm, VerifierKey, parse_vkey, verify_ed25519
from yingbi.verify.report import Finding
from yingbi.verify.statement import (
    SignerKey,
    StatementError,
    check_signer,
    encode_pae,
    parse_jwk,
    thumbprint,
    verify_signatures,
)
from yingbi.verify.strict import Malformed, check_time

__all__ = ["KEY_TYPES", "LOG_KEY_TYPE", "Keyring", "LogKeys"]

KEY_TYPES: Final = frozenset({"key.registered", "key.rotated", "key.revoked"})
LOG_KEY_TYPE: Final = "log.key_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """A key with the sequence numbers (`end` excluded) and issue times at which it may sign."""

    key: SignerKey
    first: int = 0
    end: int | None = None
    not_before: str = ""
    not_after: str | None = None

    def holds(self, seq: int, issued_at: str) -> bool:
        in_log = self.first <= seq and (self.end is None or seq < self.end)
        return in_log and self.not_before <= issued_at and (self.not_after is None or issued_at <= self.not_after)


class Keyring:
    """The keys of statements (statement.md, Keys of statements), starting from roots given out of band."""

    def __init__(self, roots: Mapping[str, SignerKey]) -> None:
        self._roots = {keyid: _Span(key=key) for keyid, key in roots.items()}
        self._keys: dict[str, _Span] = {}

    def find(self, keyid: str, entry: Entry) -> SignerKey | None:
        """Return the key of this thumbprint if it may sign `entry`: at its sequence number and issue time."""
        issued_at = str(entry.payload["issued_at"])
        for span in (self._keys.get(keyid), self._roots.get(keyid)):
            if span is not None and span.holds(entry.seq, issued_at):
                return span.key
        return None

    def check(self, entry: Entry) -> None:
        """Check the signatures of an entry; those of key entries were checked when they were replayed.

        Raises:
            StatementError: a signature does not verify, or is by a key that is not valid there or may not sign it.
        """
        if entry.type in KEY_TYPES:
            return
        if entry.type == LOG_KEY_TYPE:
            changed = {thumbprint(key.public): SignerKey(public=key.public, owner=None) for key in _parse_vkeys(entry)}
            verify_signatures(entry, lambda keyid: changed.get(keyid) or self.find(keyid, entry))
            return
        check_signer(entry, verify_signatures(entry, lambda keyid: self.find(keyid, entry)))

    def apply(self, entry: Entry) -> None:
        """Check a key entry under the keys so far, and let it take effect. To be called in the order of the log.

        Raises:
            StatementError: a rule of statement.md is broken.
        """
        rules = {"key.registered": self._register, "key.rotated": self._rotate, "key.revoked": self._revoke}
        try:
            rules[entry.type](entry, {keyid for keyid, _ in entry.signatures})
        except Malformed as error:
            raise StatementError(Finding.MALFORMED, str(error)) from None

    def _register(self, entry: Entry, signers: set[str]) -> None:
        body = _members(entry, {"jwk", "owner", "not_before", "not_after"})
        keyid, key = _new_key(body)
        if not any(self._is_root(signer, entry) for signer in signers) or keyid not in signers:
            raise StatementError(Finding.WRONG_SIGNER, "expected a root key and the new key to sign a registration")
        self._verify(entry, keyid, key)
        span = _Span(key=key, first=entry.seq, not_before=check_time(_text(body, "not_before")), not_after=_end(body))
        self._add(keyid, span)

    def _rotate(self, entry: Entry, signers: set[str]) -> None:
        body = _members(entry, {"old", "jwk", "owner", "not_after"})
        keyid, key = _new_key(body)
        old = _text(body, "old")
        if not {old, keyid} <= signers:
            raise StatementError(Finding.WRONG_SIGNER, "expected the old key and the new key to sign a rotation")
        span = self._keys.get(old)
        if span is None or span.key.owner != key.owner:
            raise StatementError(Finding.KEY_RULE, "expected a rotation from a registered key of the owner", actual=old)
        self._verify(entry, keyid, key)
        self._add(keyid, _Span(key=key, first=entry.seq, not_after=_end(body)))
        self._keys[old] = replace(span, end=entry.seq)

    def _revoke(self, entry: Entry, signers: set[str]) -> None:
        body = _members(entry, {"keyid", "reason"})
        keyid = _text(body, "keyid")
        span = self._keys.get(keyid) or self._roots.get(keyid)
        if span is None:
            raise StatementError(Finding.KEY_RULE, "expected the revocation of a known key", actual=keyid)
        if keyid not in signers and not any(self._is_root(signer, entry) for signer in signers):
            raise StatementError(Finding.WRONG_SIGNER, "expected a root key or the key itself to sign a revocation")
        # A key whose time is over may still revoke itself: that only ever takes away.
        self._verify(entry, keyid, span.key)
        for spans in (self._keys, self._roots):
            if keyid in spans and spans[keyid].end is None:
                spans[keyid] = replace(spans[keyid], end=entry.seq)

    def _verify(self, entry: Entry, keyid: str, key: SignerKey) -> None:
        verify_signatures(entry, lambda signer: key if signer == keyid else self.find(signer, entry))

    def _is_root(self, keyid: str, entry: Entry) -> bool:
        return keyid in self._roots and self._roots[keyid].holds(entry.seq, "")

    def _add(self, keyid: str, span: _Span) -> None:
        # INVARIANT: one span a key; a key that ended is not registered again.
        if keyid in self._keys:
            raise StatementError(Finding.KEY_RULE, "expected a key that was never registered before", actual=keyid)
        self._keys[keyid] = span


class LogKeys:
    """The log's own keys (log.md, Change of the log's key): a chain in which each key hands over to the next."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._begun: list[int] = []
        self._finished: list[int] = []
        self.chain: list[VerifierKey] = []

    def apply(self, entry: Entry) -> None:
        """Check a `log.key_changed` entry and let it take effect. To be called in the order of the log.

        Raises:
            StatementError: the change does not follow from the one before, or the old or the new key did not sign it.
        """
        try:
            phase = _text(_members(entry, {"phase", "old_vkey", "new_vkey"}), "phase")
            old, new = _parse_vkeys(entry)
        except Malformed as error:
            raise StatementError(Finding.MALFORMED, str(error)) from None
        pending = len(self._begun) > len(self._finished)
        if any(key.name != self._origin for key in (old, new)):
            raise StatementError(Finding.KEY_RULE, "expected verifier keys named as the origin", expected=self._origin)
        for key in (old, new):
            _verify_log_key(entry, key)
        if phase == "begin" and not pending and new not in self.chain and (not self.chain or old == self.chain[-1]):
            self.chain = [*(self.chain or [old]), new]
            self._begun.append(entry.seq)
        elif phase == "finish" and pending and [old, new] == self.chain[-2:]:
            self._finished.append(entry.seq)
        else:
            raise StatementError(
                Finding.KEY_RULE, "expected `begin` from the present key, then `finish` of the same change"
            )

    def required(self, size: int) -> tuple[VerifierKey, ...]:
        """Return the keys that must have signed a checkpoint of this size; none where the key never changed."""
        finished = sum(seq < size for seq in self._finished)
        begun = sum(seq < size for seq in self._begun)
        return tuple(self.chain[finished : begun + 1])


def _verify_log_key(entry: Entry, key: VerifierKey) -> None:
    signature = dict(entry.signatures).get(thumbprint(key.public))
    if signature is None:
        raise StatementError(Finding.WRONG_SIGNER, "expected the old and the new log key to sign the change")
    if not verify_ed25519(key.public, signature, encode_pae(PAYLOAD_TYPE, entry.payload_bytes)):
        raise StatementError(Finding.BAD_SIGNATURE, "the signature of a log key does not verify")


def _parse_vkeys(entry: Entry) -> tuple[VerifierKey, VerifierKey]:
    old, new = (parse_vkey(_text(entry.body, name)) for name in ("old_vkey", "new_vkey"))
    if {old.algorithm, new.algorithm} != {Algorithm.ED25519} or old == new:
        raise Malformed("expected two different Ed25519 verifier keys of a log")
    return old, new


def _new_key(body: Mapping[str, object]) -> tuple[str, SignerKey]:
    public = parse_jwk(body["jwk"])
    return thumbprint(public), SignerKey(public=public, owner=_text(body, "owner"))


def _end(body: Mapping[str, object]) -> str | None:
    return None if body["not_after"] is None else check_time(_text(body, "not_after"))


def _members(entry: Entry, names: set[str]) -> Mapping[str, object]:
    if entry.body.keys() != names:
        raise Malformed(f"expected a body with exactly {', '.join(sorted(names))}")
    return entry.body


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Malformed(f"expected `{name}` as text")
    return value
