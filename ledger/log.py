"""The log: the one door through which anything is recorded.

One sequencer thread takes what callers submit, writes it in one transaction (group commit), and lets go of signed
heads only when they can no longer be lost. The four fork rules:

1. nothing signed is released before COMMIT has succeeded and the high-water mark is on disk;
2. after any error of a commit the head is read from the database again, never guessed;
3. a log that is behind its high-water mark, a witness or the last anchor refuses to sign (`ledger.startup`);
4. the root is computed from the tiles as stored, inside the transaction, before it is signed.

Cost of a commit: O(entries + 256 · levels) hashes, one durable transaction, one `fdatasync` of the mark.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from ledger.batch import Plan, TreeState, load_state, plan_batch
from ledger.checkpoint import format_checkpoint, parse_checkpoint
from ledger.cosigning import CosignatureSource, NoCosignatures
from ledger.high_water import HighWaterMark
from ledger.intake import MAX_BATCH, Intake, Pending, make_pending, sort_out, unknown_outcome
from ledger.note import Note, NoteSignature, NoteVerifier, TextSigner, format_note, parse_note, sign_note
from ledger.reader import LogReader
from ledger.receipt import add_cosignatures
from ledger.startup import HeadCheck, check_against, check_stored_head
from ledger.store import Head, LogStore, StoreWriter
from ledger.tiles import TILE_HEIGHT, TILE_WIDTH, TileCoordinate, TiledTree
from ledger.tree import root_of
from yingbi.clock import Clock, format_time
from yingbi.commitment import Opening
from yingbi.errors import ConflictError, ErrorCode, TamperDetectedError, UnavailableError
from yingbi.receipts import HASH_BYTES, Checkpoint, Receipt, SignedCheckpoint
from yingbi.statement import Statement

__all__ = ["MAX_BATCH", "Appended", "Log", "create_log", "own_signatures"]

# What callers may know of a commit that failed: that the log stopped, and why.
_PUBLIC: Final = (ConflictError, TamperDetectedError)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """Where a submission stands: entries `start` to `start + count`, under a published checkpoint that covers them."""

    start: int
    count: int
    signed: SignedCheckpoint


def create_log(store: LogStore, signers: Sequence[TextSigner], high_water: HighWaterMark) -> None:
    """Sign and store the checkpoint of the empty log, and set the first high-water mark.

    Raises:
        ConflictError: the database or the mark's file holds a log already.
    """
    store.acquire()
    try:
        with store.write() as transaction:
            head = transaction.head()
            if head.size:
                raise ConflictError(ErrorCode.LOG_EXISTS, "the database holds a log already")
            note = _sign(store.origin, head, signers)
            transaction.put_signed(0, note)
        high_water.create(note)
        store.publish(0, ())
    finally:
        store.release()


def own_signatures(data: bytes, verifiers: Sequence[NoteVerifier]) -> bytes:
    """Return a signed note without the signatures that are not by `verifiers`: what a high-water mark holds."""
    note = parse_note(data)
    own = {(verifier.name, verifier.key_id) for verifier in verifiers}
    return format_note(Note(note.text, tuple(item for item in note.signatures if (item.name, item.key_id) in own)))


class Log:
    """A log that is open for appending. Use `Log.open`; close it, or use it as a context manager."""

    def __init__(
        self,
        store: LogStore,
        signers: Sequence[TextSigner],
        *,
        clock: Clock,
        high_water: HighWaterMark,
        cosignatures: CosignatureSource,
        state: TreeState,
    ) -> None:
        self._store = store
        self._signers = tuple(signers)
        self._clock = clock
        self._high_water = high_water
        self._cosignatures = cosignatures
        self._state = state
        self._is_sound = True
        self._intake = Intake()
        self._published = threading.Condition()
        self._latest: SignedCheckpoint | None = None
        self.reader = LogReader(store)
        self._thread = threading.Thread(target=self._run, name="yingbi-sequencer", daemon=True)

    @classmethod
    def open(
        cls,
        store: LogStore,
        signers: Sequence[TextSigner],
        *,
        clock: Clock,
        high_water: HighWaterMark,
        cosignatures: CosignatureSource | None = None,
        checks: Iterable[HeadCheck] = (),
    ) -> "Log":
        """Open a log for appending, after checking that it may sign (fork rule 3).

        Args:
            store: its database; this process becomes its only sequencer.
            signers: its key, or two keys while they change over.
            clock: tells the entries' times.
            high_water: its mark.
            cosignatures: where cosignatures come from; by default nobody is asked and nobody needed.
            checks: further comparisons, such as with an anchor.

        Raises:
            ConflictError: another sequencer holds the log.
            TamperDetectedError: the log is behind or contradicts a head it signed.
        """
        source = cosignatures or NoCosignatures()
        store.acquire()
        try:
            head = _check_head(store, _verifiers(signers), high_water)
            reader = LogReader(store)
            source.check_head(reader, head)
            for check in checks:
                check(reader, head)
            state = load_state(store, head)
            log = cls(store, signers, clock=clock, high_water=high_water, cosignatures=source, state=state)
            log._start()
        except BaseException:
            store.release()
            raise
        return log

    @property
    def origin(self) -> str:
        """Return the log's name."""
        return self._store.origin

    def append(
        self,
        statement: Statement,
        *,
        openings: Sequence[Opening] = (),
        idempotency_key: str | None = None,
        timeout_s: float = 30.0,
    ) -> Receipt:
        """Record a statement; return its receipt when the entry is durable and under a published checkpoint.

        The log records what is well formed; whose signatures a statement carries is for the caller to judge before,
        and for every verifier to judge after.

        Args:
            statement: what happened.
            openings: openings of commitments in the statement, kept in the same transaction.
            idempotency_key: the same key with the same statement gives the same entry, however often.
            timeout_s: how long to wait for COMMIT and for the quorum's cosignatures.

        Raises:
            InvalidRequestError: the key was used for another statement. Nothing is stored.
            UnavailableError: not recorded, or not known in time; ask again with the same key.
        """
        done = self.append_batch([statement], openings=openings, idempotency_key=idempotency_key, timeout_s=timeout_s)
        return self.reader.receipt(done.start, done.signed)

    def append_batch(
        self,
        statements: Sequence[Statement],
        *,
        openings: Sequence[Opening] = (),
        idempotency_key: str | None = None,
        timeout_s: float = 30.0,
    ) -> Appended:
        """Record statements as consecutive entries, all or none; receipts are read from `reader` when needed.

        Raises:
            InvalidRequestError, UnavailableError: as for `append`.
        """
        deadline = monotonic() + timeout_s
        pending = make_pending(statements, openings, idempotency_key)
        self._intake.submit(pending)
        start, count = pending.wait(timeout_s)
        return Appended(start=start, count=count, signed=self._wait_published(start + count, deadline))

    def close(self) -> None:
        """Finish what was submitted, then let go of the log."""
        if self._intake.close():
            self._thread.join()
            self._cosignatures.stop()
            self._store.release()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        self._cosignatures.start(self.reader, self._publish)
        try:
            self._announce_stored(self._state.head)
        except BaseException:
            self._cosignatures.stop()
            raise
        self._thread.start()

    def _run(self) -> None:
        while (group := self._intake.take_group()) is not None:
            try:
                self._commit(group)
            except Exception as error:
                # SECURITY: callers are told no more than that it failed; the operator's log has the rest.
                _logger.exception("commit failed")
                for pending in group:
                    pending.resolve(error if isinstance(error, _PUBLIC) else unknown_outcome())

    def _commit(self, group: list[Pending]) -> None:
        if not self._is_sound:
            self._recover()
        self._is_sound = False
        before = self._state.head
        with self._store.write() as transaction:
            if transaction.head() != before:
                raise ConflictError(ErrorCode.LOG_BUSY, "another sequencer moved the head")
            fresh, outcomes = sort_out(transaction, group, before.size)
            written = self._write(transaction, fresh) if fresh else None
        # Only now may anything signed be seen (fork rule 1).
        if written is not None:
            plan, note = written
            self._state = plan.state
            self._high_water.write(note)
            self._announce(note)
        self._is_sound = True
        for pending, outcome in zip(group, outcomes, strict=True):
            pending.resolve(outcome)

    def _write(self, transaction: StoreWriter, fresh: list[Pending]) -> tuple[Plan, bytes]:
        before = self._state.head
        statements = [statement for pending in fresh for statement in pending.statements]
        # The machine's clock may go back; the log's time does not.
        time = max(format_time(self._clock.now()), before.last_time)
        plan = plan_batch(self._state, statements, time)
        transaction.add_entries(before.size, plan.entries)
        transaction.put_tiles(plan.tiles)
        transaction.add_openings([opening for pending in fresh for opening in pending.openings])
        _check_stored_tiles(transaction, plan)
        note = _sign(self.origin, plan.state.head, self._signers)
        transaction.put_signed(plan.state.head.size, note)
        transaction.advance(before, plan.state.head)
        return plan, note

    def _recover(self) -> None:
        # Fork rule 2: the database knows whether the commit happened; what this process remembers does not count.
        self._store.release()
        self._store.acquire()
        head = _check_head(self._store, _verifiers(self._signers), self._high_water)
        self._state = load_state(self._store, head)
        self._announce_stored(head)

    def _announce_stored(self, head: Head) -> None:
        note = own_signatures(self._store.read_signed(head.size), _verifiers(self._signers))
        self._high_water.write(note)
        self._announce(note)

    def _announce(self, note: bytes) -> None:
        signed = SignedCheckpoint(checkpoint=parse_checkpoint(parse_note(note).text), note=note)
        if not self._cosignatures.is_required:
            self._publish(signed, ())
        self._cosignatures.notify(signed)

    def _publish(self, signed: SignedCheckpoint, cosignatures: Sequence[NoteSignature]) -> None:
        self._store.publish(signed.checkpoint.size, cosignatures)
        latest = add_cosignatures(signed, cosignatures)
        with self._published:
            if not self._covers(latest.checkpoint.size + 1):
                self._latest = latest
            self._published.notify_all()

    def _wait_published(self, size: int, deadline: float) -> SignedCheckpoint:
        while (latest := self._latest) is None or latest.checkpoint.size < size:
            with self._published:
                if not self._published.wait_for(lambda: self._covers(size), max(deadline - monotonic(), 0)):
                    raise UnavailableError(
                        ErrorCode.QUORUM_NOT_MET,
                        "the entry is recorded, but too few witnesses have cosigned it yet",
                        hint="ask for the receipt later, or again with the same idempotency key",
                    )
        return latest

    def _covers(self, size: int) -> bool:
        return self._latest is not None and self._latest.checkpoint.size >= size


def _check_head(store: LogStore, verifiers: tuple[NoteVerifier, ...], high_water: HighWaterMark) -> Head:
    head = check_stored_head(store, verifiers)
    check_against(LogReader(store), head, [("the high-water mark", high_water.read(verifiers))])
    return head


def _check_stored_tiles(transaction: StoreWriter, plan: Plan) -> None:
    """Compute the root from the tiles as stored (fork rule 4); each new full tile must hash to its place above."""
    size = plan.state.head.size
    tree = TiledTree(transaction)
    if tree.root(size) != plan.state.head.root:
        raise TamperDetectedError(ErrorCode.LOG_FORKED, "stored tiles do not have the root that is about to be signed")
    for (level, index), tile in plan.tiles.items():
        if len(tile) == TILE_WIDTH * HASH_BYTES:
            stored = transaction.read_tile(TileCoordinate(level, index))
            hashes = [stored[at : at + HASH_BYTES] for at in range(0, len(stored), HASH_BYTES)]
            if root_of(hashes) != tree.node(TILE_HEIGHT * (level + 1), index, size):
                raise TamperDetectedError(ErrorCode.LOG_FORKED, "a stored tile does not hash to the tile above it")


def _sign(origin: str, head: Head, signers: Sequence[TextSigner]) -> bytes:
    return sign_note(format_checkpoint(Checkpoint(origin=origin, size=head.size, root=head.root)), signers)


def _verifiers(signers: Sequence[TextSigner]) -> tuple[NoteVerifier, ...]:
    return tuple(signer.verifier for signer in signers)
