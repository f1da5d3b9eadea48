"""What a hub does by itself: it ends what is over on the ledger, and forgets what nobody needs any more."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final

from api.bureau import Bureau
from api.recording import Recorder
from api.submissions import Submission
from policies.approvals import State
from policies.jobs import JobState
from policies.standing import Standing, StatementRefusedError
from yingbi.clock import Clock, format_time
from yingbi.errors import SandboxError
from yingbi.events import EntryType
from yingbi.events.jobs import CancellationReason
from yingbi.statement import Statement

__all__ = ["EVERY_S", "Upkeep", "endings"]

EVERY_S: Final = 30.0
_MOST_AT_ONCE: Final = 100
_WAITING: Final = frozenset({JobState.SUBMITTED, JobState.APPROVED})
_GOING: Final = frozenset(
    {State.PROPOSED, State.COUNTERED, State.PARTLY_SIGNED, State.SIGNED, State.ACTIVE, State.SUSPENDED}
)
_logger = logging.getLogger(__name__)


def endings(bureau: Bureau, recorder: Recorder, standing: Standing, *, at: str) -> Iterator[Statement]:
    """Yield what the bureau records of agreements and jobs whose time is over."""
    for agreement in standing.agreements.items():
        until = format_time(agreement.agreement.valid.ends_at)
        if agreement.life.state in _GOING and until < at:
            over = {"terms": agreement.terms, "valid_until": until}
            yield bureau.state(EntryType.AGREEMENT_EXPIRED, agreement.id, over, at=at)
    for job in recorder.worklist.open_jobs(standing):
        until = job.life.approved_until or job.life.expires_at
        if job.state in _WAITING and until < at:
            body = {"reason": CancellationReason.EXPIRED.value, "note": None}
            yield bureau.state(EntryType.JOB_CANCELLED, job.id, body, at=at)


class Upkeep:
    """A thread that does it now and then. Use it as a context manager; `run_once` does it now."""

    def __init__(
        self, bureau: Bureau, recorder: Recorder, clock: Clock, *, forget: tuple[Callable[[], None], ...]
    ) -> None:
        self._bureau = bureau
        self._recorder = recorder
        self._clock = clock
        self._forget = forget
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="yingbi-upkeep", daemon=True)

    def run_once(self) -> None:
        """Forget what is old, and end what is over.

        Raises:
            SandboxError: the database or the log cannot be used now.
        """
        for forget in self._forget:
            forget()
        now = format_time(self._clock.now())
        if next(endings(self._bureau, self._recorder, self._recorder.standing, at=now), None) is not None:
            self._recorder.record(Submission(then=self._endings))

    def __enter__(self) -> "Upkeep":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _endings(self, standing: Standing, at: str) -> Submission:
        found: list[Statement] = []
        for statement in endings(self._bureau, self._recorder, standing, at=at):
            try:
                standing.judge(statement, at=at)
            except StatementRefusedError as error:
                _logger.warning("an ending does not fit: %s", error.rule)
                continue
            found.append(statement)
            if len(found) == _MOST_AT_ONCE:
                break
        return Submission(statements=tuple(found))

    def _run(self) -> None:
        while not self._end.wait(EVERY_S):
            try:
                self.run_once()
            except SandboxError as error:
                _logger.warning("upkeep failed: %s", error.code)
            except Exception:
                _logger.exception("upkeep failed")
