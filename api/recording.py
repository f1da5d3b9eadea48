"""The recorder: the one writer of a hub's log.

Callers hand in submissions. One thread takes all that wait, judges each against the standing as it will be after those
before it, and appends what is left as one batch: a submission that is refused is dropped alone. The time of the entries
is fixed before anything is judged and is exactly the time that was judged, so that hub, nodes and auditors, who fold
the same entries with the same rules, come to the same standing.

The log is the truth. The standing that others read is replaced only after the entries are durable; after an error of
the log it is brought up from the log again, never guessed.
"""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from api.changes import Changes
from api.documents import Documents
from api.entries import EntryIndex
from api.replay import catch_up
from api.submissions import Submission
from api.usage import Usage
from api.worklist import Worklist
from ledger.entry import parse_entry
from ledger.log import Log
from ledger.store import LogReads
from policies.model import Agreement
from policies.standing import Standing
from yingbi.clock import Clock, format_time, parse_time
from yingbi.commitment import Opening
from yingbi.errors import ErrorCode, SandboxError, TamperDetectedError, UnavailableError
from yingbi.statement import Statement

__all__ = ["PinnedClock", "Recorded", "RecordedEntry", "Recorder"]

_MAX_GROUP: Final = 512
_logger = logging.getLogger(__name__)


class PinnedClock:
    """The log's clock: it stands still while a batch is judged and written, and never goes back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = clock.now()

    def now(self) -> datetime:
        """Return the pinned time."""
        return self._at

    def pin(self, last_time: str) -> str:
        """Pin the present time, but not before the log's last one; return it."""
        last = parse_time(last_time) if last_time else self._at
        self._at = max(self._clock.now(), last)
        return format_time(self._at)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEntry:
    """A statement and where it stands in the log."""

    index: int
    time: str
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The entries of a submission; `is_new` is false where they had been recorded before."""

    entries: tuple[RecordedEntry, ...]
    is_new: bool = True


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """A submission whose caller waits."""

    submission: Submission
    outcome: "Future[Recorded]" = field(default_factory=Future)


@dataclass(slots=True, kw_only=True)
class _Batch:
    """What is about to be appended, and the standing after it."""

    standing: Standing
    at: str
    documents: dict[str, bytes] = field(default_factory=dict)
    openings: list[Opening] = field(default_factory=list)
    entries: list[RecordedEntry] = field(default_factory=list)
    accepted: list[tuple[_Waiting, tuple[RecordedEntry, ...]]] = field(default_factory=list)


class Recorder:
    """Records submissions. Use it as a context manager; `standing` and `index` may be read from any thread."""

    def __init__(
        self,
        *,
        log: Log,
        store: LogReads,
        clock: PinnedClock,
        documents: Documents,
        make_standing: Callable[[Callable[[str], Agreement | None]], Standing],
        timeout_s: float = 20.0,
    ) -> None:
        self._log = log
        self._store = store
        self._clock = clock
        self._documents = documents
        self._timeout_s = timeout_s
        self._pending: Mapping[str, bytes] = {}
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False
        self._is_sound = True
        self._is_well = True
        self._standing = make_standing(lambda digest: documents.terms(digest, self._pending))
        self.index = EntryIndex()
        self.changes = Changes()
        self.worklist, self.usage = Worklist(), Usage()
        self._last_time = catch_up(store, self._standing, self.index)
        self._count_jobs(self._standing)
        self._thread = threading.Thread(target=self._run, name="yingbi-recorder", daemon=True)

    @property
    def standing(self) -> Standing:
        """Return what stands after the last entry that is durable. It is never changed: a newer one takes its place."""
        return self._standing

    @property
    def is_well(self) -> bool:
        """Tell whether the last batch could be recorded."""
        return self._is_well and not self._is_closed

    def record(self, submission: Submission) -> Recorded:
        """Record a submission; return when its entries are under a published checkpoint.

        What was recorded before is not recorded again: its entries are returned.

        Raises:
            StatementRefusedError, MissingSignaturesError: it does not fit what stands. Nothing is recorded.
            UnavailableError: not recorded, or not known in time; or recorded and not yet published (`quorum-not-met`).
        """
        waiting = _Waiting(submission=submission)
        with self._lock:
            if self._is_closed:
                raise UnavailableError(ErrorCode.LOG_CLOSED, "the hub is closing")
            self._queue.put(waiting)
        return waiting.outcome.result()

    def close(self) -> None:
        """Finish what was handed in, and end."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while (group := self._take_group()) is not None:
            try:
                self._record(group)
            except Exception as error:
                # SECURITY: callers are told no more than that it failed; the operator's log has the rest.
                _logger.exception("a batch was not recorded")
                self._is_sound = self._is_well = False
                for waiting in group:
                    _refuse(waiting, error if isinstance(error, SandboxError) else _internal())

    def _take_group(self) -> list[_Waiting] | None:
        first = self._queue.get()
        if first is None:
            return None
        group = [first]
        while len(group) < _MAX_GROUP:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:  # the end: leave the mark for the next call
                self._queue.put(None)
                break
            group.append(following)
        return group

    def _record(self, group: list[_Waiting]) -> None:
        if not self._is_sound:
            self._recover()
        batch = _Batch(standing=self._standing.fork(), at=self._clock.pin(self._last_time))
        for waiting in group:
            self._judge(batch, waiting)
        if not batch.entries:
            return
        self._is_sound = False
        self._documents.keep(batch.documents)
        self._append(batch)

    def _judge(self, batch: _Batch, waiting: _Waiting) -> None:
        trial: _Batch | None = None
        try:
            known = self._find(waiting.submission)
            if known is not None:
                waiting.outcome.set_result(known)
                return
            trial = _Batch(standing=_trial_of(batch.standing, waiting.submission), at=batch.at)
            self._take(trial, batch, waiting.submission)
        except SandboxError as error:
            _refuse(waiting, error)
            return
        except Exception:
            _logger.exception("a submission could not be judged")
            _refuse(waiting, _internal())
            if trial is None or trial.standing is batch.standing:
                raise  # nobody knows how far it came: the whole batch is judged on nothing
            return
        finally:
            self._pending = {}
        if not trial.entries:
            waiting.outcome.set_result(Recorded(entries=()))
            return
        batch.standing = trial.standing
        batch.documents |= trial.documents
        batch.openings += trial.openings
        batch.entries += trial.entries
        batch.accepted.append((waiting, tuple(trial.entries)))

    def _take(self, trial: _Batch, batch: _Batch, submission: Submission) -> None:
        """Take a submission, and what follows from it, on trial."""
        submission.check()
        trial.documents |= submission.documents
        trial.openings += submission.openings
        self._pending = {**batch.documents, **trial.documents}
        for statement in submission.statements:
            # What is refused counts as read: it must not be tried on a standing that is not thrown away.
            if trial.standing is batch.standing:
                trial.standing.judge(statement, at=trial.at)
            index = trial.standing.size
            trial.standing.take(statement, index=index, at=trial.at)
            trial.entries.append(RecordedEntry(index=index, time=trial.at, statement=statement))
        if submission.then is not None:
            self._take(trial, batch, submission.then(trial.standing, trial.at))

    def _find(self, submission: Submission) -> Recorded | None:
        """Return the entries of a submission that was recorded before, or nothing."""
        found = [self.index.find(statement) for statement in submission.statements]
        if not found or None in found:
            return None
        return Recorded(entries=tuple(self.read(index) for index in found if index is not None), is_new=False)

    def read(self, index: int) -> RecordedEntry:
        """Return one entry of the log, published or not.

        Raises:
            NotFoundError: there is none.
        """
        entry = parse_entry(self._store.read_entries(index, index + 1)[0])
        return RecordedEntry(index=index, time=entry.time, statement=entry.statement)

    def _append(self, batch: _Batch) -> None:
        statements = [entry.statement for entry in batch.entries]
        problem: SandboxError | None = None
        try:
            done = self._log.append_batch(statements, openings=batch.openings, timeout_s=self._timeout_s)
            if done.start != batch.entries[0].index:
                raise TamperDetectedError(ErrorCode.LOG_FORKED, "somebody else has written the hub's log")
        except UnavailableError as error:
            if error.code is not ErrorCode.QUORUM_NOT_MET:
                raise
            problem = error  # recorded, and not yet published
        self._adopt(batch)
        for waiting, entries in batch.accepted:
            if problem is None:
                waiting.outcome.set_result(Recorded(entries=entries))
            else:
                waiting.outcome.set_exception(problem)

    def _adopt(self, batch: _Batch) -> None:
        for entry in batch.entries:
            self.index.add(entry.index, entry.time, entry.statement)
        statements = [entry.statement for entry in batch.entries]
        self.worklist.follow(batch.standing, statements)
        self.usage.follow(batch.standing, statements, at=batch.at)
        self._last_time = batch.at
        self._standing = batch.standing
        self._is_sound = self._is_well = True
        self.changes.notify()

    def _recover(self) -> None:
        """Bring the standing up from the log: only the log knows what an error left recorded."""
        standing = self._standing.fork()
        self._last_time = catch_up(self._store, standing, self.index)
        self._count_jobs(standing)
        self._standing = standing
        self._is_sound = self._is_well = True
        self.changes.notify()

    def _count_jobs(self, standing: Standing) -> None:
        """Bring what is kept about jobs up from how they stand."""
        for job in standing.jobs.items():
            self.worklist.add(job)
            self.usage.add(job, self.index.time(job.entries[0]))


def _trial_of(standing: Standing, submission: Submission) -> Standing:
    """Return what a submission is tried on: one statement has its effect wholly or not at all, several need a copy."""
    is_single = len(submission.statements) == 1 and submission.then is None
    return standing if is_single else standing.fork()


def _refuse(waiting: _Waiting, error: SandboxError) -> None:
    if not waiting.outcome.done():
        waiting.outcome.set_exception(error)


def _internal() -> SandboxError:
    return SandboxError(ErrorCode.INTERNAL, "unforeseen error")
