"""What the log says of a job, verified here: nothing that the hub says is believed for its word.

An entry counts when its receipt verifies under the pinned trust file and its statement is signed by keys that follow
from the pinned roots, among them one of the party that it names as its issuer. A key that the trust file does not name
is looked up in the log itself: its registration must be an entry too, signed by a root. Whether a key was revoked
later, only an audit of the whole log can say.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from yingbi.canonical import canonical_bytes
from yingbi.client.exchange import Exchange, Question, list_all, malformed_answer, route
from yingbi.client.problems import plain, read_object
from yingbi.client.shown import fields_html, fields_text
from yingbi.client.wire import Reply, Steps
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError, SandboxError, VerificationError
from yingbi.verify import Outcome, Report, Trust, Verdict, verify_receipt
from yingbi.verify.entry import Entry, parse_entry, split_bundle
from yingbi.verify.keyring import KEY_TYPES, Keyring
from yingbi.verify.merkle import TILE_WIDTH
from yingbi.verify.report import Name
from yingbi.verify.source import tile_path
from yingbi.verify.statement import SignerKey, StatementError, parse_jwk, thumbprint
from yingbi.verify.strict import MAX_INT, Malformed

__all__ = ["EntryReceipt", "Evidence", "parse_receipts"]

_BUNDLE_BYTES: Final = TILE_WIDTH * (2 + 65_535)
_NOTE_BYTES: Final = 1 << 20
_SIZE_LINE: Final = re.compile(rb"[^\n]+\n(0|[1-9][0-9]{0,15})\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryReceipt:
    """An entry of the log, and the receipt that it is there. Both are evidence: keep them."""

    index: int
    type: str
    entry: bytes = field(repr=False)
    receipt: bytes = field(repr=False)

    def verify(self, trust: Trust, **terms: Any) -> Report:
        """Verify that the entry is in a log that is trusted; `terms` are those of `yingbi.verify.verify_receipt`."""
        return verify_receipt(self.receipt, self.entry, trust, **terms)

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Write the two files that `yingbi receipt verify` reads, and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = (folder / f"{self.index}.entry.json", folder / f"{self.index}.receipt")
        for path, data in zip(paths, (self.entry, self.receipt), strict=True):
            path.write_bytes(data)
        return paths

    def to_json(self) -> dict[str, Any]:
        """Return entry and receipt as texts."""
        return {
            "index": self.index,
            "type": self.type,
            "entry": self.entry.decode(),
            "receipt": self.receipt.decode("utf-8", "replace"),
        }

    def _repr_html_(self) -> str:
        return fields_html(f"entry {self.index}", {"type": self.type, "bytes": len(self.entry)})

    def __str__(self) -> str:
        return fields_text(f"entry {self.index}", {"type": self.type, "bytes": len(self.entry)})


def parse_receipts(value: Mapping[str, Any]) -> tuple[EntryReceipt, ...]:
    """Read the receipts of a job as the hub sends them.

    Raises:
        VerificationError: they have another form.
    """
    rows = value.get("entries")
    if not isinstance(rows, list):
        raise malformed_answer("receipts of a job")
    return tuple(_receipt(row) for row in rows)


class Evidence:
    """Verifies entries for one client, and remembers whose keys have signed them."""

    def __init__(self, exchange: Exchange, trust: Trust | None) -> None:
        self._exchange = exchange
        self._trust = trust
        own = exchange.identity
        self._own = {own.key.public.thumbprint: SignerKey(public=own.key.public.raw, owner=own.party)}
        self._learnt: dict[tuple[str, int], SignerKey] = {}
        self._key_entries: dict[int, Entry] = {}

    def verify(self, found: EntryReceipt) -> Steps[tuple[Entry, Verdict]]:
        """Return an entry that is proven to be in the log, and how well.

        Raises:
            VerificationError: it is not, or is signed by keys that do not follow from the roots, or not by its issuer.
            InvalidRequestError: nobody is trusted, because no trust file was given.
        """
        trust = self._needed()
        entry = _parse(found.entry)
        known = {**trust.statement_keys, **self._own}
        unknown = [keyid for keyid, _ in entry.signatures if keyid not in known and keyid not in trust.statement_roots]
        if unknown:
            # SECURITY: an entry that is not in the log may claim any place in it, and the places of keys lie before.
            self._check_place(found)
        for keyid in unknown:
            known[keyid] = yield from self._learn(keyid, entry)
        try:
            verdict = self._judge(found, replace(trust, statement_keys=known))
        except VerificationError:
            self._check_own_name(found, entry, replace(trust, statement_keys=known))
            raise
        # SECURITY: whoever acts for somebody signs in his own name; nobody is named as an issuer by others.
        signers = {known[keyid].owner for keyid, _ in entry.signatures if keyid in known}
        if entry.type not in KEY_TYPES and entry.payload["issuer"] not in signers:
            raise VerificationError(
                ErrorCode.STATEMENT_UNVERIFIED,
                f"entry {found.index} is not signed by whom it names as its issuer",
                hint="keep entry and receipt: they are evidence",
            )
        return entry, verdict

    def _check_place(self, found: EntryReceipt) -> None:
        report = found.verify(self._needed(), now=self._exchange.clock.now(), statements=False)
        if report.first_failure is not None or Name.INCLUSION not in _held(report):
            raise _unproven(found, report)

    def _judge(self, found: EntryReceipt, trust: Trust) -> Verdict:
        report = found.verify(trust, now=self._exchange.clock.now())
        # With `quorum none` in the trust file the user has said that the log alone is enough.
        enough = {Verdict.VERIFIED} | ({Verdict.LOG_SIGNED_ONLY} if trust.policy.quorum == "none" else set())
        if report.verdict not in enough or not {Name.INCLUSION, Name.STATEMENT} <= _held(report):
            raise _unproven(found, report)
        return report.verdict

    def _check_own_name(self, found: EntryReceipt, entry: Entry, trust: Trust) -> None:
        """Say so where an entry is only wrong because the client calls itself by another name than its key has."""
        issuer = str(entry.payload["issuer"])
        if issuer == self._exchange.identity.party or not {keyid for keyid, _ in entry.signatures} & self._own.keys():
            return
        renamed = {keyid: replace(key, owner=issuer) for keyid, key in self._own.items()}
        try:
            self._judge(found, replace(trust, statement_keys={**trust.statement_keys, **renamed}))
        except VerificationError:
            return
        raise VerificationError(
            ErrorCode.STATEMENT_UNVERIFIED,
            f"entry {found.index} is signed with your key as `{issuer}`",
            hint="is `party` in the profile whose key it is? if so, keep entry and receipt: they are evidence",
        )

    def _learn(self, keyid: str, entry: Entry) -> Steps[SignerKey]:
        """Return the key of a signer, from the entries that brought it and those that ended it.

        It is looked up for every entry: what ended it may have come since the entry before.
        """
        if (keyid, entry.seq) not in self._learnt:
            # What came after the entry changes nothing about who could sign it.
            places = [index for index in (yield from self._changes_of({keyid})) if index <= entry.seq]
            for index in places:
                # What is proven to stand there stands there for ever.
                if index not in self._key_entries:
                    self._key_entries[index] = self._proven((yield from self.fetch(index)))
            changes = [self._key_entries[index] for index in places]
            self._learnt[keyid, entry.seq] = self._key_after(changes, keyid, entry)
        return self._learnt[keyid, entry.seq]

    def _key_after(self, changes: Iterable[Entry], keyid: str, entry: Entry) -> SignerKey:
        # SECURITY: registrations are believed of roots alone, not of the keys that the trust file names besides.
        keyring = Keyring(self._needed().statement_roots)
        try:
            for change in changes:
                keyring.apply(change)
        except StatementError:
            raise _unknown_key() from None
        key = keyring.find(keyid, entry)
        if key is None:
            raise _unknown_key()
        return key

    def keys_of(self, receipts: Iterable[EntryReceipt]) -> Steps[tuple[EntryReceipt, ...]]:
        """Return the entries that brought the keys of the signers of entries, to be kept with these."""
        signers = {keyid for one in receipts for keyid, _ in _parse(one.entry).signatures}
        found: dict[int, EntryReceipt] = {}
        for index in (yield from self._changes_of(signers)):
            found[index] = yield from self.fetch(index)
        return tuple(found.values())

    def _changes_of(self, keyids: set[str]) -> Steps[list[int]]:
        """Return the places of the entries about keys and about those that they rely on, in the log's order.

        A key relies on the one that it was rotated from, and on those that signed its entry: a node's on its unit's.
        """
        listed = yield from list_all(self._exchange, ("keys",))
        changes = [(_index_of(row), _KeyChange.of(row)) for row in listed]
        wanted, size = set(keyids), 0
        while size != len(wanted):
            size = len(wanted)
            for _, change in changes:
                if change.new in wanted:
                    wanted |= change.relies_on
        return sorted(index for index, change in changes if not wanted.isdisjoint({change.new, change.old}))

    def _proven(self, found: EntryReceipt) -> Entry:
        """Return a key entry that is in the log; its signatures are judged by the key ring, which knows the rules."""
        entry = _parse(found.entry)
        report = found.verify(self._needed(), now=self._exchange.clock.now(), statements=False)
        is_in_log = report.first_failure is None and Name.INCLUSION in _held(report)
        if not is_in_log or entry.seq != found.index or entry.type not in KEY_TYPES:
            raise _unknown_key()
        return entry

    def fetch(self, index: int) -> Steps[EntryReceipt]:
        """Return an entry of the public log with its receipt, neither verified.

        Raises:
            NotFoundError: the hub has none at this place.
            VerificationError: it sends something else.
        """
        reply = yield from self._exchange.ask(
            Question(path=route("entries", str(index), "receipt"), accept="text/plain", max_bytes=_NOTE_BYTES)
        )
        size = _size_of(reply)
        if not 0 <= index < size:
            raise malformed_answer("the receipt of the entry that was asked for")
        number, first = divmod(index, TILE_WIDTH)
        width = min(TILE_WIDTH, size - number * TILE_WIDTH)
        bundle = yield from self._bundle(number, width)
        try:
            data = list(split_bundle(bundle.body, first + 1, exact=False))[-1]
            entry = parse_entry(data)
        except (Malformed, IndexError):
            raise malformed_answer("a bundle of the log") from None
        return EntryReceipt(index=index, type=entry.type, entry=data, receipt=reply.body)

    def _bundle(self, number: int, width: int) -> Steps[Reply]:
        try:
            return (yield from self._exchange.ask(_file(tile_path(None, number, width))))
        except NotFoundError:
            # A full bundle may stand where the partial one was (C2SP tlog-tiles).
            return (yield from self._exchange.ask(_file(tile_path(None, number))))

    def _needed(self) -> Trust:
        if self._trust is None:
            raise InvalidRequestError(
                ErrorCode.CONFIG_INVALID,
                "expected a trust file: without one nothing can be verified",
                hint="connect(..., trust='roots.json'); get it from the bureau, not from the hub",
            )
        return self._trust


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeyChange:
    """What a listed key entry brings and ends, and the keys that it can only be believed with."""

    new: str | None = None
    old: str | None = None
    relies_on: frozenset[str] = frozenset()

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "_KeyChange":
        """Return what can be read of an entry; of one that cannot, nothing."""
        try:
            statement = row["statement"]
            body = (read_object(base64.b64decode(statement["payload"])) or {})["body"]
            new = thumbprint(parse_jwk(body["jwk"])) if "jwk" in body else None
            ended = body.get("old", body.get("keyid"))
            signers = {signature["keyid"] for signature in statement["signatures"]}
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()
        old = ended if isinstance(ended, str) else None
        return cls(new=new, old=old, relies_on=frozenset(signers if old is None else signers | {old}))


def _held(report: Report) -> set[str]:
    return {check.name for check in report.checks if check.outcome is Outcome.PASSED}


def _index_of(row: Mapping[str, Any]) -> int:
    index = row.get("index")
    if type(index) is not int or not 0 <= index <= MAX_INT:
        raise malformed_answer("key entries with their places in the log")
    return index


def _file(path: str) -> Question:
    return Question(path=f"/{path}", accept="application/octet-stream", max_bytes=_BUNDLE_BYTES)


def _receipt(row: object) -> EntryReceipt:
    if not isinstance(row, dict) or type(row.get("index")) is not int or not isinstance(row.get("receipt"), str):
        raise malformed_answer("an entry and its receipt")
    try:
        data, receipt = canonical_bytes(row.get("entry")), row["receipt"].encode()
    except (SandboxError, UnicodeEncodeError):
        raise malformed_answer("an entry in canonical JSON") from None
    return EntryReceipt(index=row["index"], type=plain(row.get("type")), entry=data, receipt=receipt)


def _parse(data: bytes) -> Entry:
    try:
        return parse_entry(data)
    except Malformed as error:
        raise VerificationError(ErrorCode.ANSWER_MALFORMED, f"the hub sent an entry of another form: {error}") from None


def _size_of(reply: Reply) -> int:
    _, _, note = reply.body.partition(b"\n\n")
    match = _SIZE_LINE.match(note)
    if match is None:
        raise malformed_answer("a receipt")
    return int(match[1])


def _unproven(found: EntryReceipt, report: Report) -> VerificationError:
    failure = report.first_failure
    why = report.verdict if failure is None else failure.message
    return VerificationError(
        ErrorCode.PROOF_UNVERIFIED,
        f"entry {found.index} does not verify under the trust file: {plain(str(why))}",
        hint="keep entry and receipt: they are evidence",
    )


def _unknown_key() -> VerificationError:
    return VerificationError(
        ErrorCode.STATEMENT_UNVERIFIED,
        "an entry is signed by a key that does not follow from the roots of the trust file",
        hint="the trust file needs `statement_roots`: the bureau's registration keys",
    )
