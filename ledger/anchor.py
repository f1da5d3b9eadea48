"""Anchoring: published heads are kept where the log's operator cannot reach them (docs/spec/anchor.md).

Values, the `Anchor` interface and the worker's logic; no chain is known here. The chain is the truth, the journal only
remembers the transaction in flight: a worker may be stopped at any step and started again anywhere.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NoReturn, Protocol

from yingbi.clock import Clock
from yingbi.errors import ErrorCode, InvalidRequestError, TamperDetectedError, UnavailableError
from yingbi.receipts import HASH_BYTES, MAX_TREE_SIZE, Checkpoint, SignedCheckpoint

__all__ = [
    "Anchor",
    "AnchorJournal",
    "AnchorOutcome",
    "AnchorRecord",
    "AnchorState",
    "AnchorWorker",
    "ChainHead",
    "ChainView",
    "HeadSource",
    "MemoryJournal",
    "NullAnchor",
    "Submission",
    "TransactionState",
    "verify_chain_head",
]

_log: Final = logging.getLogger(__name__)
_MAX_DOUBLINGS: Final = 16


class TransactionState(StrEnum):
    """What the chain says of a submission."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    INCLUDED = "included"
    REFUSED = "refused"
    REPLACED = "replaced"


class AnchorState(StrEnum):
    """How far a head has come: `idle` when there is none to anchor."""

    IDLE = "idle"
    SENT = "sent"
    INCLUDED = "included"
    CONFIRMED = "confirmed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """What the contract held at a block; size 0 before the first anchor (docs/spec/anchor.md, "Contract")."""

    size: int
    root: bytes
    chain_value: bytes
    block_number: int

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_TREE_SIZE or self.block_number < 0:
            raise _malformed("expected a size from 0 to 2^53 - 1 and a block number")
        if len(self.root) != HASH_BYTES or len(self.chain_value) != HASH_BYTES:
            raise _malformed(f"expected a root and a chain value of {HASH_BYTES} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainView:
    """The contract at the newest block, and at the newest block that is deep enough to be final for us."""

    tip: ChainHead
    confirmed: ChainHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A signed transaction that anchors a head on top of the chain value it `follows`."""

    tx_hash: bytes
    transaction: bytes
    follows: bytes

    def __post_init__(self) -> None:
        if len(self.tx_hash) != HASH_BYTES or len(self.follows) != HASH_BYTES or not self.transaction:
            raise _malformed(f"expected a transaction, its hash and a chain value of {HASH_BYTES} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRecord:
    """The journal's one record: the last head that was sent or seen on the chain."""

    size: int
    root: bytes
    state: AnchorState
    submission: Submission | None
    sent_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorOutcome:
    """What one step found: the state of the head in work, and the chain as it was read."""

    state: AnchorState
    size: int
    view: ChainView


class Anchor(Protocol):
    """A place outside the operator's reach that keeps the last head of one log, and refuses older ones."""

    def latest(self) -> ChainView:
        """Read the last head, at the tip and at a confirmed depth."""
        ...

    def prepare(self, checkpoint: Checkpoint, tip: ChainHead, *, replaces: Submission | None = None) -> Submission:
        """Sign a transaction that puts `checkpoint` after `tip`, or in the place of `replaces`; send nothing."""
        ...

    def submit(self, submission: Submission) -> None:
        """Send a prepared transaction; sending it again changes nothing."""
        ...

    def status(self, submission: Submission) -> TransactionState:
        """Ask what became of a submission."""
        ...


class HeadSource(Protocol):
    """The log, as an anchor worker sees it."""

    def latest_cosigned(self) -> SignedCheckpoint | None:
        """Return the newest head that a quorum of witnesses cosigned; it never gets smaller, restarts included."""
        ...

    def root_at(self, size: int) -> bytes:
        """Return the root of the first `size` entries; `size` is not above that of `latest_cosigned`."""
        ...


class AnchorJournal(Protocol):
    """Durable memory of one record; `save` returns after it is on disk."""

    def load(self) -> AnchorRecord | None:
        """Return the record, or `None` before the first."""
        ...

    def save(self, record: AnchorRecord) -> None:
        """Put `record` in the place of the one before."""
        ...


class MemoryJournal:
    """A journal that forgets when the process ends; what it forgets is found on the chain again."""

    def __init__(self) -> None:
        self._record: AnchorRecord | None = None

    def load(self) -> AnchorRecord | None:
        """Return the record, or `None` before the first."""
        return self._record

    def save(self, record: AnchorRecord) -> None:
        """Put `record` in the place of the one before."""
        self._record = record


class NullAnchor:
    """No anchor: nothing outside the operator's reach remembers the log's heads. Insecure by name, and it warns."""

    def __init__(self) -> None:
        _log.warning("NullAnchor is configured: heads of the log are not anchored on any chain")

    def latest(self) -> ChainView:
        """Return a view without any head."""
        nothing = ChainHead(size=0, root=bytes(HASH_BYTES), chain_value=bytes(HASH_BYTES), block_number=0)
        return ChainView(tip=nothing, confirmed=nothing)

    def prepare(self, checkpoint: Checkpoint, tip: ChainHead, *, replaces: Submission | None = None) -> Submission:
        """Refuse: nobody shall believe that a head was anchored."""
        self._refuse()

    def submit(self, submission: Submission) -> None:
        """Refuse: nobody shall believe that a head was anchored."""
        self._refuse()

    def status(self, submission: Submission) -> TransactionState:
        """Return `unknown`: there is no chain to ask."""
        return TransactionState.UNKNOWN

    def _refuse(self) -> NoReturn:
        raise UnavailableError(
            ErrorCode.ANCHOR_UNAVAILABLE,
            "no chain is configured",
            hint="configure an anchor, or run without its worker",
        )


def verify_chain_head(head: ChainHead, newest: Checkpoint | None, root_at: Callable[[int], bytes]) -> None:
    """Verify that the log still contains what the chain remembers of it (docs/spec/anchor.md, "Worker" 2).

    `newest` is the log's newest cosigned head. A log calls this at its start, too, before it signs anything.

    Raises:
        TamperDetectedError: the chain is ahead (`log-rolled-back`), or has another root (`log-forked`).
    """
    if head.size == 0:
        return
    size = newest.size if newest is not None else 0
    if head.size > size:
        raise TamperDetectedError(
            ErrorCode.LOG_ROLLED_BACK, f"expected a log of at least {head.size} entries as anchored, got {size}"
        )
    if root_at(head.size) != head.root:
        raise TamperDetectedError(ErrorCode.LOG_FORKED, f"expected the anchored root at size {head.size}, got another")


class AnchorWorker:
    """Brings cosigned heads onto the chain, one at a time, off the log's write path (docs/spec/anchor.md, "Worker").

    One step is `run_once`; `run` repeats it. Two workers with the same key do no harm: their transactions have the same
    nonce, and the contract takes a head only after the chain value it was signed for.
    """

    def __init__(
        self, anchor: Anchor, source: HeadSource, journal: AnchorJournal, *, clock: Clock, stuck_after_s: float = 600.0
    ) -> None:
        self._anchor = anchor
        self._source = source
        self._journal = journal
        self._clock = clock
        self._stuck_after_s = stuck_after_s

    def run_once(self) -> AnchorOutcome:
        """Look at chain, log and journal, and do the one thing that is next.

        Raises:
            TamperDetectedError: the log contradicts the chain or what was sent (`log-rolled-back`, `log-forked`), or
                the chain refused a transaction (`anchor-refused`).
            UnavailableError: the chain cannot be reached or moved meanwhile; the next step looks again.
        """
        # INVARIANT: the chain is read before the log: the log only grows, so what the chain had is in what the log has.
        view = self._anchor.latest()
        newest = self._newest()
        record = self._journal.load()
        self._verify(view, record, newest)
        if view.tip.size > view.confirmed.size:
            return self._settle(AnchorState.INCLUDED, view.tip, record, view)
        if record is not None and record.state is not AnchorState.CONFIRMED and 0 < record.size <= view.confirmed.size:
            return self._settle(AnchorState.CONFIRMED, view.confirmed, record, view)
        if newest is None or newest.size == view.tip.size:
            return self._rest(record, view)
        if record is not None and record.size > view.tip.size and record.state is not AnchorState.REFUSED:
            return self._resume(record, newest, view)
        return self._send(newest, view, replaces=None)

    def run(
        self,
        stop: threading.Event,
        *,
        interval_s: float = 3600.0,
        poll_s: float = 15.0,
        on_outcome: Callable[[AnchorOutcome], None] | None = None,
    ) -> None:
        """Repeat `run_once` until `stop` is set: every `poll_s` while a head is under way, else every `interval_s`.

        `on_outcome` sees every outcome, the same more than once: it has to be idempotent. What is unavailable is tried
        again with doubling pauses; everything else ends the loop.

        Raises:
            TamperDetectedError: as `run_once`; a person has to look.
        """
        failures = 0
        while not stop.is_set():
            try:
                outcome = self.run_once()
                if on_outcome is not None:
                    on_outcome(outcome)
                failures = 0
                under_way = outcome.state in (AnchorState.SENT, AnchorState.INCLUDED)
                pause_s = poll_s if under_way else interval_s
            except UnavailableError as error:
                failures += 1
                pause_s = min(poll_s * 2 ** min(failures, _MAX_DOUBLINGS), interval_s)
                _log.warning("anchoring waits %.0f s: %s: %s", pause_s, error.code.value, error.message)
            stop.wait(pause_s)

    def _newest(self) -> Checkpoint | None:
        signed = self._source.latest_cosigned()
        if signed is None or signed.checkpoint.size == 0:
            return None
        checkpoint = signed.checkpoint
        if self._source.root_at(checkpoint.size) != checkpoint.root:
            raise TamperDetectedError(
                ErrorCode.LOG_FORKED, f"expected the cosigned root at size {checkpoint.size}, got another"
            )
        return checkpoint

    def _verify(self, view: ChainView, record: AnchorRecord | None, newest: Checkpoint | None) -> None:
        verify_chain_head(view.confirmed, newest, self._source.root_at)
        verify_chain_head(view.tip, newest, self._source.root_at)
        if record is not None:
            # What was signed and sent is evidence even while no block has it.
            sent = ChainHead(size=record.size, root=record.root, chain_value=bytes(HASH_BYTES), block_number=0)
            verify_chain_head(sent, newest, self._source.root_at)

    def _settle(
        self, state: AnchorState, head: ChainHead, record: AnchorRecord | None, view: ChainView
    ) -> AnchorOutcome:
        same = record is not None and record.size == head.size
        if record is None or not same or record.state is not state:
            self._journal.save(
                AnchorRecord(
                    size=head.size,
                    root=head.root,
                    state=state,
                    submission=record.submission if record is not None and same else None,
                    sent_at=record.sent_at if record is not None and same else self._clock.now(),
                )
            )
            _log.info("anchored head of size %d is %s", head.size, state.value)
        return AnchorOutcome(state=state, size=head.size, view=view)

    def _rest(self, record: AnchorRecord | None, view: ChainView) -> AnchorOutcome:
        if view.confirmed.size == 0:
            return AnchorOutcome(state=AnchorState.IDLE, size=0, view=view)
        return self._settle(AnchorState.CONFIRMED, view.confirmed, record, view)

    def _resume(self, record: AnchorRecord, newest: Checkpoint, view: ChainView) -> AnchorOutcome:
        if record.state is not AnchorState.SENT:
            _log.warning("head of size %d vanished from the chain and is sent again", record.size)
            record = replace(record, state=AnchorState.SENT, sent_at=self._clock.now())
            self._journal.save(record)
        submission = record.submission
        if submission is None:
            return self._send(newest, view, replaces=None)
        found = self._anchor.status(submission)
        if found is TransactionState.REFUSED:
            self._refused(record)
        if found is TransactionState.REPLACED:
            return self._send(newest, view, replaces=None)
        age_s = (self._clock.now() - record.sent_at).total_seconds()
        overtaken = submission.follows != view.tip.chain_value
        if found is not TransactionState.INCLUDED and (overtaken or age_s >= self._stuck_after_s):
            return self._send(newest, view, replaces=submission)
        if found is TransactionState.UNKNOWN:
            # Never sent, dropped or reorganised away: the same bytes again, so that no second one exists.
            self._anchor.submit(submission)
        return AnchorOutcome(state=AnchorState.SENT, size=record.size, view=view)

    def _send(self, checkpoint: Checkpoint, view: ChainView, *, replaces: Submission | None) -> AnchorOutcome:
        submission = self._anchor.prepare(checkpoint, view.tip, replaces=replaces)
        # INVARIANT: written before sent, so that a restart knows every transaction that may be under way.
        self._journal.save(
            AnchorRecord(
                size=checkpoint.size,
                root=checkpoint.root,
                state=AnchorState.SENT,
                submission=submission,
                sent_at=self._clock.now(),
            )
        )
        self._anchor.submit(submission)
        return AnchorOutcome(state=AnchorState.SENT, size=checkpoint.size, view=view)

    def _refused(self, record: AnchorRecord) -> NoReturn:
        self._journal.save(replace(record, state=AnchorState.REFUSED))
        raise TamperDetectedError(
            ErrorCode.ANCHOR_REFUSED,
            f"the contract refused the head of size {record.size}",
            hint="check that the account is still the anchorer, and who else uses its key",
        )


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.ANCHOR_MALFORMED, message)
