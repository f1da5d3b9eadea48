"""What nodes hand in about jobs beside the log: sealed results, notices without values, progress."""

import json
import threading
from typing import Final

from sqlalchemy import Engine, delete, insert, select

from api.database import insert_new, reading, writing
from api.tables import NOTICE, RESULT
from yingbi.canonical import JsonValue, canonical_bytes, digest_bytes
from yingbi.clock import Clock, format_time
from yingbi.errors import ErrorCode, UnavailableError, VerificationError

__all__ = ["Results"]


# Jobs that failed or were called off leave theirs behind.
_MAX_PROGRESS: Final = 10_000


class Results:
    """Sealed results and notices by job, durable; progress in memory, for it is only ever the newest."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._progress: dict[str, int] = {}

    def keep(self, job: str, sealed: bytes, *, digest: str) -> None:
        """Keep a sealed result; the same once more changes nothing.

        Raises:
            VerificationError: these are not the bytes that were released.
        """
        if digest_bytes(sealed) != digest:
            raise VerificationError(ErrorCode.COMMITMENT_MISMATCH, "these are not the bytes that the log names")
        with writing(self._engine) as connection:
            insert_new(
                connection, RESULT, job=job, digest=digest, sealed=sealed, kept_at=format_time(self._clock.now())
            )

    def has(self, job: str) -> bool:
        """Tell whether a sealed result is there."""
        with reading(self._engine) as connection:
            return connection.execute(select(RESULT.c.job).where(RESULT.c.job == job)).one_or_none() is not None

    def read(self, job: str, *, digest: str) -> bytes:
        """Return the sealed result whose digest was released.

        Raises:
            UnavailableError: its node has not uploaded it yet.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(RESULT).where(RESULT.c.job == job)).one_or_none()
        if row is None or row.digest != digest:
            raise UnavailableError(
                ErrorCode.NODE_UNAVAILABLE, "the node has not uploaded the result yet", hint="ask again in a moment"
            )
        sealed: bytes = row.sealed
        return sealed

    def note(self, job: str, notice: JsonValue) -> None:
        """Keep what a partner is to be told of a refused or held job, in place of what was kept."""
        content, now = canonical_bytes(notice), format_time(self._clock.now())
        with writing(self._engine) as connection:
            connection.execute(delete(NOTICE).where(NOTICE.c.job == job))
            connection.execute(insert(NOTICE).values(job=job, content=content, kept_at=now))

    def notice(self, job: str) -> JsonValue:
        """Return what is kept for a partner, or nothing."""
        with reading(self._engine) as connection:
            content = connection.execute(select(NOTICE.c.content).where(NOTICE.c.job == job)).scalar_one_or_none()
        return None if content is None else json.loads(content)

    def advance(self, job: str, percent: int) -> None:
        """Take how far a job is."""
        with self._lock:
            self._progress[job] = percent
            if len(self._progress) > _MAX_PROGRESS:
                self._progress.pop(next(iter(self._progress)))

    def progress(self, job: str) -> int | None:
        """Return how far a job is, where its node has said so."""
        with self._lock:
            return self._progress.get(job)

    def forget_progress(self, job: str) -> None:
        """Forget how far a job was that is over."""
        with self._lock:
            self._progress.pop(job, None)
