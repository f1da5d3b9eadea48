"""From many callers to one sequencer: submissions, how they are grouped, and which of them are repetitions."""

import hashlib
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from ledger.store import StoreWriter, Submission
from yingbi.commitment import Opening
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, UnavailableError, VerificationError
from yingbi.statement import Statement

__all__ = ["MAX_BATCH", "Intake", "Outcome", "Pending", "make_pending", "sort_out", "unknown_outcome"]

MAX_BATCH: Final = 10_000
_MAX_KEY: Final = 200
_GROUP: Final = 4096
# Callers that were answered together come back together: waiting for them a moment makes groups larger and commits
# fewer.
_GATHER_S: Final = 0.003

Outcome = tuple[int, int] | SandboxError
"""Where a submission's entries stand (start, count), or why there are none."""


@dataclass(slots=True, kw_only=True)
class Pending:
    """A submission on its way; a bare lock hands over the outcome, at a tenth of a Future's cost."""

    statements: Sequence[Statement]
    openings: Sequence[Opening]
    key: str | None
    fingerprint: bytes
    outcome: Outcome | None = None
    _gate: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._gate.acquire()

    def resolve(self, outcome: Outcome) -> None:
        """Hand over the outcome; only the first one counts."""
        if self.outcome is None:
            self.outcome = outcome
            self._gate.release()

    def wait(self, timeout_s: float) -> tuple[int, int]:
        """Wait for the outcome, and return or raise it."""
        if not self._gate.acquire(timeout=timeout_s) or self.outcome is None:
            raise unknown_outcome()
        if isinstance(self.outcome, SandboxError):
            raise self.outcome
        return self.outcome


class Intake:
    """A queue with one reader that takes groups."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False
        self._last_group = 1

    def submit(self, pending: Pending) -> None:
        """Queue a submission.

        Raises:
            UnavailableError: the log is closed.
        """
        with self._lock:
            if self._is_closed:
                raise UnavailableError(ErrorCode.LOG_CLOSED, "the log is closed")
            self._queue.put(pending)

    def close(self) -> bool:
        """Take no more; what is queued is still served. Return False when it was closed before."""
        with self._lock:
            if self._is_closed:
                return False
            self._is_closed = True
            self._queue.put(None)
            return True

    def take_group(self) -> list[Pending] | None:
        """Wait for submissions and take those that are there; None when closed and empty.

        A single caller never waits; among many, the group waits a moment for as many as the one before had.
        """
        first = self._queue.get()
        if first is None:
            return None
        group, count = [first], len(first.statements)
        deadline = monotonic() + _GATHER_S
        while count < _GROUP and (following := self._next(len(group), deadline)) is not None:
            group.append(following)
            count += len(following.statements)
        self._last_group = len(group)
        return group

    def _next(self, taken: int, deadline: float) -> Pending | None:
        timeout_s = max(deadline - monotonic(), 0) if taken < self._last_group else 0
        try:
            following = self._queue.get(timeout=timeout_s) if timeout_s else self._queue.get_nowait()
        except queue.Empty:
            return None
        if following is None:  # the end: leave the mark for the next call
            self._queue.put(None)
        return following


def make_pending(statements: Sequence[Statement], openings: Sequence[Opening], key: str | None) -> Pending:
    """Check a submission's form.

    Raises:
        InvalidRequestError: none or too many statements, or a key of a wrong length.
        VerificationError: an opening that opens nothing here.
    """
    if not 1 <= len(statements) <= MAX_BATCH:
        raise InvalidRequestError(ErrorCode.ENTRY_MALFORMED, f"expected 1 to {MAX_BATCH} statements")
    if key is not None and not 1 <= len(key) <= _MAX_KEY:
        raise InvalidRequestError(ErrorCode.USAGE, f"expected an idempotency key of 1 to {_MAX_KEY} characters")
    for opening in openings:
        wanted = opening.commitment.encode()
        if not any(wanted in statement.payload_bytes for statement in statements):
            raise VerificationError(ErrorCode.COMMITMENT_MISMATCH, "an opening opens no commitment of the statements")
    fingerprint = _fingerprint(statements) if key is not None else b""
    return Pending(statements=statements, openings=openings, key=key, fingerprint=fingerprint)


def sort_out(transaction: StoreWriter, group: list[Pending], size: int) -> tuple[list[Pending], list[Outcome]]:
    """Tell new submissions from repeated ones, remember the new keys, and give each its place in a log of `size`.

    Returns:
        The new submissions in order, and one outcome for every member of `group`.
    """
    known = transaction.find_submissions(list({item.key for item in group if item.key is not None}))
    fresh: list[Pending] = []
    added: list[Submission] = []
    outcomes: list[Outcome] = []
    for pending in group:
        before = known.get(pending.key) if pending.key is not None else None
        if before is not None:
            outcomes.append(_repeat(before, pending))
            continue
        count = len(pending.statements)
        outcomes.append((size, count))
        fresh.append(pending)
        if pending.key is not None:
            new = Submission(key=pending.key, fingerprint=pending.fingerprint, start=size, count=count)
            known[pending.key] = new
            added.append(new)
        size += count
    transaction.add_submissions(added)
    return fresh, outcomes


def unknown_outcome() -> UnavailableError:
    """Return the error for a submission of which nobody can say whether it was recorded."""
    return UnavailableError(
        ErrorCode.LOG_UNAVAILABLE,
        "the log could not confirm that the entry was recorded",
        hint="ask again with the same idempotency key; it is recorded once at most",
    )


def _repeat(before: Submission, pending: Pending) -> Outcome:
    if before.fingerprint == pending.fingerprint:
        return before.start, before.count
    return InvalidRequestError(
        ErrorCode.IDEMPOTENCY_CONFLICT, "idempotency key was used for another statement", hint="choose a new key"
    )


def _fingerprint(statements: Sequence[Statement]) -> bytes:
    hasher = hashlib.sha256()
    for statement in statements:
        hasher.update(hashlib.sha256(statement.envelope).digest())
    return hasher.digest()
