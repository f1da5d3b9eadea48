"""The follower: a node's own copy of the hub's log, of which nothing is believed before it was checked.

Each checkpoint that is offered goes through these rules, in this order; what breaks one is refused, and nothing of it
is stored:

1. it is a checkpoint of the one log that is pinned, and the log's key signed it (keys change by entries of the log
   itself: `log.key_changed`, signed by the old key and the new one);
2. a quorum of the pinned witnesses cosigned it, lately (`max_age`), and not in the future;
3. it has at least as many entries as were followed before, and where it has as many, the same root;
4. the entries between hash, with the compact tree that the node keeps, to exactly its root: O(new entries);
5. each entry has the next number, the hash of the one before it, a time that does not go back, and a strict form.

Only then entries and head are stored, in one transaction, and folded into the standing of parties, agreements and jobs
(`policies.standing`), which verifies the signatures of each statement, once. An entry that does not fit there has no
effect and is kept as a violation. So is one whose terms are withheld, and nobody relies on its agreement until they are
here: what cannot be read may have ended what was agreed before.

Two heads that the log signed and that cannot both be true are evidence: kept as a file that anybody can verify
(docs/spec/witness.md, "Evidence"), and the node does no work until a person has resolved it. Everything else may pass
(a late witness, an old copy from some cache, bytes that were damaged on the way): it is reported, and the node does no
work until a good checkpoint comes.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from ledger.checkpoint import parse_checkpoint
from ledger.entry import Entry, parse_entry
from ledger.note import Note, NoteVerifier, SignatureType, parse_note, verify_note
from ledger.proof import prove_consistency, verify_consistency
from ledger.tiles import TILE_WIDTH, TileCoordinate, TiledTree, decode_bundle
from ledger.tree import hash_leaf, root_of
from ledger.witness_evidence import Evidence, EvidenceKind, classify_conflict, format_evidence
from policies.model import Agreement, terms_digest
from policies.parse import parse_agreement
from policies.standing import UnknownTermsError
from sandbox.node.follower_store import FollowedHead, FollowerStore, Violation, subject_of
from sandbox.node.reports import Reports
from sandbox.node.trust import NodeTrust
from yingbi.canonical import canonical_bytes, digest_json, parse_canonical
from yingbi.clock import Clock
from yingbi.errors import (
    ErrorCode,
    InvalidRequestError,
    SandboxError,
    TamperDetectedError,
    UnavailableError,
    VerificationError,
)
from yingbi.events import EntryType
from yingbi.keys import VerifyKey
from yingbi.receipts import Checkpoint, SignedCheckpoint
from yingbi.statement import Statement, verify_signatures

if TYPE_CHECKING:
    from policies.standing import Standing
    from policies.standing.keys import Signers

__all__ = ["FindTerms", "Follower", "LogSource", "MakeStanding"]

_MAX_SKEW_S: Final = 300
_MAX_DOCUMENT: Final = 1 << 20
_WITH_TERMS: Final = frozenset({EntryType.AGREEMENT_PROPOSED, EntryType.AGREEMENT_COUNTERED})

FindTerms = Callable[[str], Agreement | None]
MakeStanding = Callable[[FindTerms], "Standing"]


class LogSource(Protocol):
    """Where a log is read from: its files as C2SP tlog-tiles names them, and documents that its entries name."""

    def checkpoint(self) -> bytes:
        """Return the newest published checkpoint."""
        ...

    def bundle(self, index: int, width: int) -> bytes:
        """Return the first `width` entries of a bundle."""
        ...

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return a tile of hashes."""
        ...

    def document(self, digest: str) -> bytes | None:
        """Return the canonical JSON of a document, or nothing where it is not to be had."""
        ...


class Follower:
    """A followed log. Thread-safe: one checkpoint at a time.

    Args:
        store: what was followed before; it is hashed and folded again, which finds a database that was changed.
        source: where the log is read.
        trust: the pinned keys and the quorum.
        make_standing: makes an empty standing that finds terms of agreements by their digest.
        reports: where contradictions go.
        clock: tells how old a cosignature is.
        max_age: how old the cosignatures of a new head may be.

    Raises:
        TamperDetectedError: what is stored does not hash to the stored head.
    """

    def __init__(
        self,
        store: FollowerStore,
        source: LogSource,
        trust: NodeTrust,
        *,
        make_standing: MakeStanding,
        reports: Reports,
        clock: Clock,
        max_age: timedelta,
    ) -> None:
        self._store = store
        self._source = source
        self._trust = trust
        self._make_standing = make_standing
        self._reports = reports
        self._clock = clock
        self._max_age_s = max_age.total_seconds()
        self._lock = threading.RLock()
        self._terms: dict[str, Agreement] = {}
        self._missing: set[str] = set()
        self._blocked: set[str] = set()
        self._checkers: dict[int, Signers] = {}
        self._trouble: SandboxError | None = None
        self._is_torn = False
        self._load()

    @property
    def lock(self) -> threading.RLock:
        """Return the lock under which head and standing do not change: for decisions that read both."""
        return self._lock

    @property
    def head(self) -> FollowedHead:
        """Return the newest head that was accepted."""
        return self._head

    @property
    def standing(self) -> "Standing":
        """Return what all entries up to the head make true."""
        return self._standing

    @property
    def trouble(self) -> SandboxError | None:
        """Return why the newest checkpoint that was offered was refused, or nothing."""
        return self._trouble

    @property
    def is_fresh(self) -> bool:
        """Tell whether a quorum of witnesses vouched for the head lately."""
        return self._clock.now().timestamp() - self._head.cosigned_at <= self._max_age_s

    def follow(self) -> FollowedHead:
        """Read the newest checkpoint and what is new under it.

        Raises:
            SandboxError: as for `advance`; or the log cannot be read (UnavailableError).
        """
        before = self._head.size
        try:
            note = self._source.checkpoint()
        except SandboxError as error:
            self._trouble = error
            raise
        with self._lock:
            trouble = self._trouble
            try:
                return self.advance(note)
            except VerificationError as error:
                if error.code is not ErrorCode.CHECKPOINT_OLD or self._head.size == before:
                    raise
                # Another thread went on while this copy was on its way: nobody served an old one.
                self._trouble = trouble
                return self._head

    def advance(self, note: bytes) -> FollowedHead:
        """Accept a signed checkpoint, wherever it came from, after all rules above; return the newest head.

        Raises:
            TamperDetectedError: the log contradicts itself; a person has to resolve it.
            VerificationError, InvalidRequestError, UnavailableError: refused, for now.
        """
        with self._lock:
            try:
                if self._is_torn:
                    self._load()
                self.require_sound()
                self._advance(note)
            except SandboxError as error:
                self._trouble = error
                raise
            self._trouble = None
            return self._head

    def require_sound(self) -> None:
        """Refuse to go on while a contradiction of the log is unresolved, or entries that are stored were not all read.

        Raises:
            TamperDetectedError: one is.
            UnavailableError: reading them was cut short; the next checkpoint that is offered begins anew.
        """
        if self._is_torn:
            raise UnavailableError(ErrorCode.NODE_UNAVAILABLE, "the followed log was not read to its end")
        found = self._reports.halting()
        if found is not None:
            raise TamperDetectedError(
                ErrorCode(found.code),
                found.message,
                hint="look at the evidence with `yingbi node status`; `yingbi node trust --resolve` goes on",
            )

    def require_current(self) -> None:
        """Refuse to work on a head that is not the newest that could be had, or that nobody vouched for lately.

        Raises:
            SandboxError: the last checkpoint was refused, or the head's cosignatures are too old.
        """
        self.require_sound()
        if self._trouble is not None:
            raise self._trouble
        self._check_age(self._head.cosigned_at)

    def entries_of(self, subject: str) -> list[tuple[int, Entry]]:
        """Return the entries about a job or thing that have an effect, in order."""
        found = [(seq, parse_entry(data)) for seq, data in self._store.entries_of(subject)]
        return [(seq, entry) for seq, entry in found if seq not in self._violations]

    def entry(self, seq: int) -> Entry | None:
        """Return a followed entry that has an effect, or nothing."""
        data = self._store.entry(seq)
        return None if data is None or seq in self._violations else parse_entry(data)

    def has_effect(self, seq: int) -> bool:
        """Tell whether a followed entry fits the standing."""
        return seq < self._head.size and seq not in self._violations

    def entry_bytes(self, seq: int) -> bytes | None:
        """Return a followed entry as it came, or nothing."""
        return self._store.entry(seq)

    def place_of(self, statement: Statement) -> int | None:
        """Return where a statement that names no job is in the followed log, with effect, or nothing."""
        found = self.entries_of(statement.payload.id)
        return next((seq for seq, entry in found if entry.statement.payload_bytes == statement.payload_bytes), None)

    def find_terms(self, digest: str) -> Agreement | None:
        """Return the terms of this digest where the node has them."""
        return self._terms.get(digest)

    def signers_of_check(self, seq: int) -> "Signers | None":
        """Return whose verified signatures a followed `output.checked` entry has, if it has an effect."""
        return self._checkers.get(seq)

    def lacks_terms(self, agreement: str) -> bool:
        """Tell whether the log has terms of an agreement whose text is not here, so that nobody may rely on it."""
        return agreement in self._blocked

    def fetch_missing(self) -> bool:
        """Try again to get terms that could not be had; where some came, fold all entries anew. Tell whether."""
        with self._lock:
            found = [digest for digest in sorted(self._missing) if self._fetch_terms(digest)]
            if not found:
                return False
            self._load()
            return True

    # --- what is stored ----------------------------------------------------------------------------------------------

    def _load(self) -> None:
        # Until the end: whatever cuts this short, nobody relies on a standing that lacks entries.
        self._is_torn = True
        self._head = self._store.head()
        self._log_keys = self._trust.log_keys
        self._violations: dict[int, Violation] = {}
        self._blocked.clear()
        self._checkers.clear()
        self._terms = {digest: _parse_terms(value) for digest, value in self._store.documents().items()}
        self._standing = self._make_standing(self.find_terms)
        frontier = replace(self._head, size=0, nodes=()).frontier
        for seq, data in self._store.entries():
            entry = parse_entry(data)
            frontier.append(hash_leaf(data))
            self._log_keys = _changed_keys(self._log_keys, entry)
            self._note_terms(entry)
            self._fold(seq, entry)
        if (frontier.size, frontier.root()) != (self._head.size, self._head.root):
            raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "the node's copy of the log is not what it followed")
        self._is_torn = False
        self._store.set_violations(self._violations.values())

    def _fold(self, seq: int, entry: Entry) -> None:
        try:
            self._standing.take(entry.statement, index=seq, at=entry.time)
            if entry.type is EntryType.OUTPUT_CHECKED:
                self._checkers[seq] = self._standing.keys.verify(entry.statement)
        except UnknownTermsError as error:
            # SECURITY: whoever withholds a text must not keep alive what it ended.
            self._standing.block(entry.statement, index=seq)
            self._blocked.add(entry.statement.payload.id)
            self._note_violation(seq, entry, str(error.code))
        except SandboxError as error:
            self._note_violation(seq, entry, str(getattr(error, "rule", error.code)))
            if self._standing.size == seq:
                self._standing.skip(seq)

    def _note_violation(self, seq: int, entry: Entry, rule: str) -> None:
        self._violations[seq] = Violation(seq=seq, type=str(entry.type), subject=subject_of(entry), rule=rule)

    # --- what is offered ---------------------------------------------------------------------------------------------

    def _advance(self, note: bytes) -> None:
        parsed = parse_note(note)
        offered = SignedCheckpoint(checkpoint=parse_checkpoint(parsed.text), note=note)
        checkpoint, head = offered.checkpoint, self._head
        if checkpoint.origin != self._trust.origin:
            raise VerificationError(ErrorCode.NOTE_UNVERIFIED, "the checkpoint is another log's")
        is_signed = _is_signed(parsed, self._log_keys)
        if is_signed:
            self._compare(offered)
        try:
            cosigned_at = self._check_quorum(parsed, is_new=checkpoint.size > head.size)
        except UnavailableError:
            # A head of another history has no quorum where witnesses are honest: it is looked at all the same.
            if is_signed and checkpoint.size > head.size:
                self._accuse(offered)
            raise
        if checkpoint.size > head.size:
            self._extend(offered, parsed, cosigned_at)
        elif not is_signed:
            raise _unsigned()
        elif cosigned_at > head.cosigned_at:
            self._store_head(replace(head, note=note, cosigned_at=cosigned_at), [])

    def _compare(self, offered: SignedCheckpoint) -> None:
        """Refuse a signed head that does not go on where the followed one stands."""
        checkpoint, head = offered.checkpoint, self._head
        if checkpoint.size < head.size:
            self._accuse(offered)
            raise VerificationError(
                ErrorCode.CHECKPOINT_OLD,
                f"the checkpoint has {checkpoint.size} entries, {head.size} were followed",
                hint="an old copy was served; what was followed stands",
            )
        if checkpoint.size == head.size and checkpoint.root != head.root:
            self._accuse(offered)

    def _check_quorum(self, note: Note, *, is_new: bool) -> int:
        """Return the newest time at which a quorum of witnesses had cosigned; a time to come does not count."""
        latest = self._clock.now().timestamp() + _MAX_SKEW_S
        present = {(line.name, line.key_id) for line in note.signatures}
        keys = [one.verifier for one in self._trust.policy.witnesses]
        keys = [key for key in keys if (key.name, key.key_id) in present]
        found = [(one.timestamp or 0, one.verifier) for one in verify_note(note, keys)] if keys else []
        counted: list[NoteVerifier] = []
        for timestamp, verifier in sorted(found, key=lambda item: -item[0]):
            if timestamp <= latest:
                counted.append(verifier)
                if self._trust.policy.is_met(counted):
                    if is_new:
                        self._check_age(timestamp)
                    return timestamp
        raise UnavailableError(ErrorCode.QUORUM_NOT_MET, "too few of the pinned witnesses have cosigned the checkpoint")

    def _check_age(self, cosigned_at: int) -> None:
        if self._clock.now().timestamp() - cosigned_at > self._max_age_s:
            raise UnavailableError(
                ErrorCode.QUORUM_NOT_MET,
                "the witnesses' cosignatures are too old to tell what is true now",
                hint="a newer checkpoint is needed",
            )

    def _extend(self, offered: SignedCheckpoint, note: Note, cosigned_at: int) -> None:
        head, checkpoint = self._head, offered.checkpoint
        data = list(self._fetch(head.size, checkpoint.size))
        frontier = head.frontier
        for one in data:
            frontier.append(hash_leaf(one))
        if frontier.root() != checkpoint.root:
            if _is_signed(note, self._log_keys):
                self._accuse(offered, keeps_unproved=True)
            raise VerificationError(
                ErrorCode.PROOF_UNVERIFIED, "the entries that were served are not those of the checkpoint"
            )
        entries, keys = self._read(data, offered)
        if not _is_signed(note, keys):
            raise _unsigned()
        # Terms that come late change what the entries before mean.
        late = [digest for digest in sorted(self._missing) if self._fetch_terms(digest)]
        known = set(self._missing)
        for entry in entries:
            self._note_terms(entry)
        for digest in sorted(self._missing - known):
            self._fetch_terms(digest)
        new = FollowedHead(
            size=checkpoint.size,
            root=checkpoint.root,
            nodes=frontier.nodes,
            last_leaf=hash_leaf(data[-1]),
            last_time=entries[-1].time,
            note=offered.note,
            cosigned_at=cosigned_at,
        )
        self._store_head(new, list(zip(data, entries, strict=True)))
        if late:
            self._load()
            return
        self._log_keys = keys
        before = len(self._violations)
        self._is_torn = True
        for seq, entry in enumerate(entries, head.size):
            self._fold(seq, entry)
        self._is_torn = False
        if len(self._violations) > before:
            self._store.set_violations(self._violations.values())

    def _store_head(self, head: FollowedHead, entries: Sequence[tuple[bytes, Entry]]) -> None:
        first = head.size - len(entries)
        self._store.extend(first, [(data, subject_of(entry)) for data, entry in entries], head)
        self._head = head

    def _fetch(self, start: int, end: int) -> Iterator[bytes]:
        for index in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
            first = index * TILE_WIDTH
            width = min(TILE_WIDTH, end - first)
            entries = decode_bundle(self._source.bundle(index, width))
            if len(entries) != width:
                raise VerificationError(ErrorCode.ANSWER_MALFORMED, f"expected a bundle of {width} entries")
            yield from entries[max(start - first, 0) :]

    def _read(self, data: Sequence[bytes], offered: SignedCheckpoint) -> tuple[list[Entry], tuple[NoteVerifier, ...]]:
        """Parse entries that hash to a signed root, check their chain, and return the log's keys after them."""
        prev, last_time, keys = self._head.last_leaf, self._head.last_time, self._log_keys
        entries = []
        for seq, one in enumerate(data, self._head.size):
            try:
                entry = parse_entry(one)
                keys = _changed_keys(keys, entry)
            except SandboxError:
                raise self._broken(seq, offered) from None
            if (entry.seq, entry.prev) != (seq, prev) or entry.time < last_time:
                raise self._broken(seq, offered)
            prev, last_time = hash_leaf(one), entry.time
            entries.append(entry)
        return entries, keys

    # --- contradictions ----------------------------------------------------------------------------------------------

    def _accuse(self, offered: SignedCheckpoint, *, keeps_unproved: bool = False) -> None:
        """Keep two heads that the log signed where they contradict each other, and raise.

        Where that cannot be proved, nothing is raised; with `keeps_unproved` the two heads are kept all the same.
        """
        head = self._head
        if not head.size:
            return
        seen = SignedCheckpoint(
            checkpoint=Checkpoint(origin=self._trust.origin, size=head.size, root=head.root), note=head.note
        )
        older, newer = (offered, seen) if offered.checkpoint.size < head.size else (seen, offered)
        path, is_proved = self._compare_trees(older.checkpoint, newer.checkpoint, is_own=newer is seen)
        kind = classify_conflict(older.checkpoint, newer.checkpoint, old_size=older.checkpoint.size, path=path)
        is_proved = is_proved or kind not in (None, EvidenceKind.UNPROVEN)
        if kind is None or not (is_proved or keeps_unproved):
            return
        found = Evidence(kind=kind, seen=older, offered=newer, proof=path, observed_at=self._clock.now())
        sizes = f"of {older.checkpoint.size} and {newer.checkpoint.size} entries"
        outcome = "cannot both be true" if is_proved else "could not be brought together"
        message = f"the log signed two heads, {sizes}, that {outcome}"
        self._reports.add(ErrorCode.LOG_FORKED, message, evidence=format_evidence(found), is_halting=is_proved)
        if is_proved:
            raise TamperDetectedError(
                ErrorCode.LOG_FORKED, message, hint="stop, keep the node's folder: it holds the evidence"
            )

    def _compare_trees(self, older: Checkpoint, newer: Checkpoint, *, is_own: bool) -> tuple[tuple[bytes, ...], bool]:
        """Return the hashes that connect two sizes, and whether the newer tree has another root at the older's size.

        The newer tree is read from the entries that are stored (`is_own`), else from the log's tiles.
        """
        if older.size == newer.size:
            return (), False
        tree = TiledTree(_StoredTiles(self._store, newer.size) if is_own else self._source)
        with suppress(SandboxError):
            proof, root = prove_consistency(tree, older.size, newer.size), tree.root(older.size)
            verify_consistency(proof, root, newer.root)
            return proof.path, root != older.root
        return (), False

    def _broken(self, seq: int, offered: SignedCheckpoint) -> TamperDetectedError:
        message = f"entry {seq} breaks the log's own form, and the log has signed it"
        evidence = canonical_bytes({"checkpoint": offered.note.decode(), "entry": seq, "v": 1})
        self._reports.add(ErrorCode.LOG_FORKED, message, evidence=evidence, is_halting=True)
        return TamperDetectedError(ErrorCode.LOG_FORKED, message)

    # --- terms of agreements -----------------------------------------------------------------------------------------

    def _note_terms(self, entry: Entry) -> None:
        if entry.type in _WITH_TERMS:
            digest = str(entry.statement.payload.body["terms"])
            if digest not in self._terms:
                self._missing.add(digest)

    def _fetch_terms(self, digest: str) -> bool:
        """Get terms by their digest; those that are not to be had (the hub hides them) stay missing."""
        with suppress(SandboxError):
            data = self._source.document(digest)
            if data is not None:
                value = parse_canonical(data, max_bytes=_MAX_DOCUMENT)
                # SECURITY: the digest first; what else a hub serves is not looked at.
                terms = _parse_terms(value) if digest_json(value) == digest else None
                if terms is not None and terms_digest(terms) == digest:
                    self._store.add_document(digest, value)
                    self._terms[digest] = terms
                    self._missing.discard(digest)
                    return True
        return False


class _StoredTiles:
    """The tiles of the entries that a node has stored, computed when a contradiction is to be proved."""

    def __init__(self, store: FollowerStore, size: int) -> None:
        self._leaves = [hash_leaf(data) for _, data in store.entries()][:size]

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return a tile of hashes."""
        span = TILE_WIDTH**tile.level
        first = tile.index * TILE_WIDTH
        return b"".join(root_of(self._leaves[at * span : (at + 1) * span]) for at in range(first, first + tile.width))


def _is_signed(note: Note, keys: Sequence[NoteVerifier]) -> bool:
    """Tell whether a key of the log signed; a signature in its name that does not verify is as good as none."""
    try:
        return bool(verify_note(note, keys))
    except VerificationError:
        return False


def _changed_keys(keys: tuple[NoteVerifier, ...], entry: Entry) -> tuple[NoteVerifier, ...]:
    """Return the log's keys after an entry: with the new one from `begin` on, without the old one from `finish` on."""
    if entry.type is not EntryType.LOG_KEY_CHANGED:
        return keys
    body = entry.statement.payload.body
    # SECURITY: whoever gets an entry recorded must not stop those who follow; what is no change changes nothing.
    with suppress(InvalidRequestError, VerificationError):
        old, new = NoteVerifier.parse(body["old_vkey"]), NoteVerifier.parse(body["new_vkey"])
        pair = (VerifyKey(old.key), VerifyKey(new.key))
        signers = set(verify_signatures(entry.statement, pair))
        is_ours = old in keys and new.name == old.name and {old.kind, new.kind} == {SignatureType.ED25519}
        if is_ours and signers == {key.thumbprint for key in pair}:
            if body["phase"] == "begin":
                return (*keys, new) if new not in keys else keys
            return tuple(key for key in keys if key != old) if new in keys else keys
    return keys


def _parse_terms(value: object) -> Agreement:
    return parse_agreement(canonical_bytes(value))


def _unsigned() -> VerificationError:
    return VerificationError(ErrorCode.NOTE_UNVERIFIED, "the checkpoint is not signed by the pinned key of the log")
