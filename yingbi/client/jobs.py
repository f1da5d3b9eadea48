"""Jobs in an analyst's hands. A job lives at the hub: `client.job(id)` takes it up again from any process."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yingbi.client.evidence import EntryReceipt
from yingbi.client.hub import Hub, Submitted
from yingbi.client.results import Released, TableResult
from yingbi.client.statements import opening_to_json
from yingbi.client.status import JobStatus
from yingbi.client.transports import AsyncTransport, Transport
from yingbi.client.watching import Tell, watch
from yingbi.client.wire import Steps
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["AsyncJob", "Job"]


class _AnyJob:
    """What both kinds of jobs share: what is known without asking."""

    def __init__(self, hub: Hub, status: JobStatus, submitted: Submitted | None) -> None:
        self._hub = hub
        self._status = status
        self._submitted = submitted

    @property
    def id(self) -> str:
        """Return the id of the job."""
        return self._status.job

    @property
    def state(self) -> str:
        """Return the state of the job when it was last asked about."""
        return self._status.state

    @property
    def status(self) -> JobStatus:
        """Return what was last heard of the job: state, progress, reasons of a refusal, notice of what is held."""
        return self._status

    def save(self, path: Path | str) -> None:
        """Write what only the submitter has: the signed statement and what opens the plan in it. Keep it as evidence.

        For its owner alone to read; nothing is overwritten, for another job's opening is nowhere else.

        Raises:
            InvalidRequestError: the job was submitted by another process, or the file is there.
        """
        if self._submitted is None:
            raise InvalidRequestError(ErrorCode.USAGE, "only the process that submitted a job can save its plan")
        kept = {
            "job": self.id,
            "statement": json.loads(self._submitted.statement.envelope),
            "openings": [opening_to_json(one) for one in self._submitted.openings],
        }
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise InvalidRequestError(ErrorCode.USAGE, "expected a file that is not there yet") from None
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(json.dumps(kept, ensure_ascii=False, indent=2) + "\n")

    def __repr__(self) -> str:
        return str(self._status)

    def _repr_html_(self) -> str:
        return self._status._repr_html_()

    def _tell(self, status: JobStatus) -> None:
        self._status = status

    def _watch(self, timeout_s: float | None, tell: Tell) -> Steps[JobStatus]:
        return watch(self._hub.exchange, self.id, timeout_s=timeout_s, tell=tell)

    def _fetch(self) -> Steps[Released]:
        question = None if self._submitted is None else self._submitted.question
        return self._hub.result(self.id, question)

    @contextmanager
    def _shown(self, is_wanted: bool) -> Iterator[Tell]:
        """Yield what is told of changes, and shows them where somebody looks."""
        if not is_wanted:
            yield self._tell
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        is_seen = console.is_terminal or console.is_jupyter
        with Progress(*columns, transient=True, console=console, disable=not is_seen) as progress:
            task = progress.add_task(self.id, total=None)

            def tell(status: JobStatus) -> None:
                self._tell(status)
                done = 100 if status.is_settled else status.progress
                total = None if done is None else 100
                progress.update(task, description=f"{self.id} {status.state}", completed=done or 0, total=total)

            yield tell


class Job(_AnyJob):
    """A job."""

    def __init__(
        self, hub: Hub, transport: Transport, status: JobStatus, *, submitted: Submitted | None = None
    ) -> None:
        super().__init__(hub, status, submitted)
        self._transport = transport

    def refresh(self) -> "Job":
        """Ask where the job is now."""
        self._tell(self._transport.run(self._hub.status(self.id)))
        return self

    def wait(self, *, timeout_s: float | None = None, progress: bool = True) -> "Job":
        """Wait until there is a result, or nothing more comes without a person (held, refused, failed, ...).

        Raises:
            UnavailableError: it takes longer than `timeout_s`; the job goes on.
        """
        with self._shown(progress) as tell:
            self._tell(self._transport.run(self._watch(timeout_s, tell)))
        return self

    def result(self) -> Any:
        """Return the verified result: a table as a pandas frame, a regression as a `ModelResult`."""
        released = self.released()
        return released.to_pandas() if isinstance(released, TableResult) else released

    def released(self) -> Released:
        """Return the verified result without pandas, numbers exact.

        Raises:
            ConflictError: there is no result, or not yet.
            VerificationError: what the hub sent is not what the log says that a node released for this job.
        """
        return self._transport.run(self._fetch())

    def receipts(self) -> tuple[EntryReceipt, ...]:
        """Return the entries of the job with their receipts, to keep and to verify offline."""
        return self._transport.run(self._hub.receipts(self.id))

    def cancel(self) -> "Job":
        """Call the job off."""
        self._transport.run(self._hub.cancel(self.id))
        return self.refresh()


class AsyncJob(_AnyJob):
    """A job of an asynchronous client."""

    def __init__(
        self, hub: Hub, transport: AsyncTransport, status: JobStatus, *, submitted: Submitted | None = None
    ) -> None:
        super().__init__(hub, status, submitted)
        self._transport = transport

    async def refresh(self) -> "AsyncJob":
        """Ask where the job is now."""
        self._tell(await self._transport.run(self._hub.status(self.id)))
        return self

    async def wait(self, *, timeout_s: float | None = None, progress: bool = True) -> "AsyncJob":
        """Wait until there is a result, or nothing more comes without a person (held, refused, failed, ...).

        Raises:
            UnavailableError: it takes longer than `timeout_s`; the job goes on.
        """
        with self._shown(progress) as tell:
            self._tell(await self._transport.run(self._watch(timeout_s, tell)))
        return self

    async def result(self) -> Any:
        """Return the verified result: a table as a pandas frame, a regression as a `ModelResult`."""
        released = await self.released()
        return released.to_pandas() if isinstance(released, TableResult) else released

    async def released(self) -> Released:
        """Return the verified result without pandas, numbers exact.

        Raises:
            ConflictError: there is no result, or not yet.
            VerificationError: what the hub sent is not what the log says that a node released for this job.
        """
        return await self._transport.run(self._fetch())

    async def receipts(self) -> tuple[EntryReceipt, ...]:
        """Return the entries of the job with their receipts, to keep and to verify offline."""
        return await self._transport.run(self._hub.receipts(self.id))

    async def cancel(self) -> "AsyncJob":
        """Call the job off."""
        await self._transport.run(self._hub.cancel(self.id))
        return await self.refresh()
