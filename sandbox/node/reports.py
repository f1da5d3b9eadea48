"""What the node has to say against its hub: kept in its own database and folder, shown by `yingbi node status`.

A report that halts (two heads of the log that cannot both be true) stops all work until a person has looked and
resolved it; the others are there to be read. Evidence is a file of its own: signed notes that anybody can verify.
"""

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, insert, select, update

from sandbox.database import reading, writing
from sandbox.node.agent_tables import REPORT
from yingbi.canonical import digest_bytes
from yingbi.clock import Clock, format_time
from yingbi.errors import ErrorCode

__all__ = ["Report", "Reports"]

_LOG: Final = logging.getLogger(__name__)
_FOLDER: Final = "evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report: what was wrong (`code` of the error catalogue), about which job, and the file that proves it."""

    id: int
    at: str
    code: str
    message: str
    job: str | None
    evidence: str | None
    is_halting: bool
    resolved_at: str | None


class Reports:
    """The node's reports; the same one is not written twice while it is unresolved."""

    def __init__(self, database: Engine, folder: Path, clock: Clock) -> None:
        self._database = database
        self._folder = folder / _FOLDER
        self._clock = clock
        self._lock = threading.Lock()
        self._may_be_halted = True

    def add(
        self,
        code: ErrorCode,
        message: str,
        *,
        job: str | None = None,
        evidence: bytes | None = None,
        is_halting: bool = False,
    ) -> None:
        """Write a report, its evidence first, and log it."""
        name = None if evidence is None else self._keep(evidence)
        values = {"code": code.value, "message": message, "job": job, "evidence": name, "is_halting": is_halting}
        # `IS` compares with nothing, too.
        same = [REPORT.c[key].is_(value) for key, value in values.items()]
        with self._lock, writing(self._database) as connection:
            self._may_be_halted = self._may_be_halted or is_halting
            open_one = select(REPORT.c.id).where(REPORT.c.resolved_at.is_(None), *same)
            if connection.execute(open_one).first() is not None:
                return
            connection.execute(insert(REPORT).values(at=format_time(self._clock.now()), **values))
        _LOG.log(logging.CRITICAL if is_halting else logging.ERROR, "report: %s: %s", code, message)

    def unresolved(self) -> tuple[Report, ...]:
        """Return what nobody has resolved, oldest first."""
        return self._find(REPORT.c.resolved_at.is_(None))

    def halting(self) -> Report | None:
        """Return the oldest report for which the node does no work, or nothing.

        Asked for every step: while there is none, only what this object adds can make one, because one agent runs.
        """
        with self._lock:
            if not self._may_be_halted:
                return None
            found = next(iter(self._find(REPORT.c.resolved_at.is_(None), REPORT.c.is_halting)), None)
            self._may_be_halted = found is not None
            return found

    def resolve(self) -> int:
        """Take all reports for resolved, as a person decided; return how many. Evidence stays."""
        with writing(self._database) as connection:
            done = update(REPORT).where(REPORT.c.resolved_at.is_(None))
            return connection.execute(done.values(resolved_at=format_time(self._clock.now()))).rowcount

    def _find(self, *conditions: Any) -> tuple[Report, ...]:
        with reading(self._database) as connection:
            rows = connection.execute(select(REPORT).where(*conditions).order_by(REPORT.c.id)).mappings()
            return tuple(_report(row) for row in rows)

    def _keep(self, evidence: bytes) -> str:
        """Write evidence under its own digest, durably, and return the file's name within the node's folder."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{digest_bytes(evidence).removeprefix('sha256:')[:32]}.json"
        if not path.exists():
            temporary = path.with_suffix(".tmp")
            with temporary.open("wb") as file:
                file.write(evidence)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        return f"{_FOLDER}/{path.name}"


def _report(row: Mapping[Any, Any]) -> Report:
    return Report(**row)
