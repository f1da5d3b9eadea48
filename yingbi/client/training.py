"""Federations that are ready to be asked for, and those that were: followed, stopped, and read when they are trained.

A federation lives at the hub, as its jobs do: `client.federation(id)` takes it up again from any process.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yingbi.canonical import JsonValue
from yingbi.client.hub import Hub
from yingbi.client.jobs import AsyncJob, Job
from yingbi.client.shown import fields_html, fields_text, table_html, table_text
from yingbi.client.statements import opening_to_json
from yingbi.client.training_model import TrainedModel
from yingbi.client.training_questions import MemberQuestion
from yingbi.client.training_status import FederationStatus
from yingbi.client.training_steps import (
    Asking,
    FederationDryRun,
    HandedIn,
    Tell,
    dry_run,
    federation,
    hand_in,
    job_statuses,
    result,
    stop,
    watch_federation,
)
from yingbi.client.transports import AsyncTransport, Transport
from yingbi.client.wire import Steps
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.codec import common_digest, common_json
from yingbi.plan.model import TrainingQuestion

__all__ = ["AsyncFederation", "AsyncTrainingPlan", "Federation", "TrainingPlan"]

_MEMBERS = ("node", "data set", "version", "agreement", "job")


class _AnyPlan:
    """What both kinds of plans share: the questions, and what is known of them without asking."""

    def __init__(self, hub: Hub, questions: tuple[MemberQuestion, ...], asking: Asking) -> None:
        self._hub = hub
        self._asking = asking
        self._done = HandedIn()
        self.questions = questions

    @property
    def id(self) -> str:
        """Return the id that the federation will have."""
        return self._common.federation

    @property
    def digest(self) -> str:
        """Return the digest of the terms: of what all members are asked alike, and attest when they join."""
        return common_digest(self._common)

    @property
    def terms(self) -> dict[str, JsonValue]:
        """Return what all members are asked alike."""
        return common_json(self._common)

    def __str__(self) -> str:
        return f"{fields_text(self.id, self._facts())}\n{table_text(_MEMBERS, self._rows())}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return fields_html(self.id, self._facts()) + table_html(_MEMBERS, self._rows())

    @property
    def _common(self) -> TrainingQuestion:
        return self.questions[0].question

    def _facts(self) -> dict[str, object]:
        asked = self._common
        return {
            "trains": f"{asked.recipe} of {asked.target} = {asked.positive}",
            "on": ", ".join(feature.name for feature in asked.features),
            "rounds": f"{asked.rounds} at most",
            "quorum": f"{asked.quorum} of {len(asked.members)} members",
            "noise": _noise(asked),
            "fewest entities": asked.min_entities,
            "terms": self.digest,
        }

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (one.member.node, one.member.dataset, one.question.source.version, one.member.agreement, one.member.job)
            for one in self.questions
        ]


class TrainingPlan(_AnyPlan):
    """A federation that is ready to be asked for; nothing was sent."""

    def __init__(self, hub: Hub, transport: Transport, questions: tuple[MemberQuestion, ...], asking: Asking) -> None:
        super().__init__(hub, questions, asking)
        self._transport = transport

    def dry_run(self) -> FederationDryRun:
        """Ask what would be decided about every member job, and why; nothing is recorded or run."""
        return self._transport.run(dry_run(self._hub, self.questions, self._asking))

    def submit(self) -> "Federation":
        """Sign and submit all member jobs, or none: they are decided upon first, and nothing is recorded if one fails.

        Where the way to the hub breaks in between, call it again: what was handed in is not signed a second time.

        Raises:
            JobRefusedError: a member's policies refuse; `reasons` says why.
        """
        status = self._transport.run(hand_in(self._hub, self.questions, self._asking, self._done))
        return Federation(self._hub, self._transport, status, plan=self)


class AsyncTrainingPlan(_AnyPlan):
    """A federation that is ready to be asked for by an asynchronous client; nothing was sent."""

    def __init__(
        self, hub: Hub, transport: AsyncTransport, questions: tuple[MemberQuestion, ...], asking: Asking
    ) -> None:
        super().__init__(hub, questions, asking)
        self._transport = transport

    async def dry_run(self) -> FederationDryRun:
        """Ask what would be decided about every member job, and why; nothing is recorded or run."""
        return await self._transport.run(dry_run(self._hub, self.questions, self._asking))

    async def submit(self) -> "AsyncFederation":
        """Sign and submit all member jobs, or none: they are decided upon first, and nothing is recorded if one fails.

        Where the way to the hub breaks in between, call it again: what was handed in is not signed a second time.

        Raises:
            JobRefusedError: a member's policies refuse; `reasons` says why.
        """
        status = await self._transport.run(hand_in(self._hub, self.questions, self._asking, self._done))
        return AsyncFederation(self._hub, self._transport, status, plan=self)


class _AnyFederation:
    """What both kinds of federations share: what is known without asking."""

    def __init__(self, hub: Hub, status: FederationStatus, plan: _AnyPlan | None) -> None:
        self._hub = hub
        self._status = status
        self._plan = plan

    @property
    def id(self) -> str:
        """Return the id of the federation."""
        return self._status.federation

    @property
    def state(self) -> str:
        """Return the state of the federation when it was last asked about."""
        return self._status.state

    @property
    def status(self) -> FederationStatus:
        """Return what was last heard of the federation: state, members with their jobs, rounds, who is awaited."""
        return self._status

    def save(self, path: Path | str) -> None:
        """Write what only the submitter has: the signed statements and what opens the plans in them, as evidence.

        For its owner alone to read; nothing is overwritten.

        Raises:
            InvalidRequestError: the federation was submitted by another process, or the file is there.
        """
        if self._plan is None:
            raise InvalidRequestError(
                ErrorCode.USAGE, "only the process that submitted a federation can save its plans"
            )
        kept = {
            "federation": self.id,
            "terms": self._plan.terms,
            "jobs": [
                {
                    "job": job,
                    "statement": json.loads(one.statement.envelope),
                    "openings": [opening_to_json(opening) for opening in one.openings],
                }
                for job, one in self._plan._done.submitted.items()
            ],
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

    def _tell(self, status: FederationStatus) -> None:
        self._status = status

    def _watch(self, timeout_s: float | None, tell: Tell) -> Steps[FederationStatus]:
        return watch_federation(self._hub, self.id, timeout_s=timeout_s, tell=tell)

    def _fetch(self) -> Steps[TrainedModel]:
        asked = () if self._plan is None else self._plan.questions
        return result(self._hub, self.id, {one.member.job: one.digest for one in asked})

    @contextmanager
    def _shown(self, is_wanted: bool) -> Iterator[Tell]:
        """Yield what is told of changes, and shows them where somebody looks."""
        if not is_wanted:
            yield self._tell
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        is_seen = console.is_terminal or console.is_jupyter
        with Progress(*columns, transient=True, console=console, disable=not is_seen) as progress:
            task = progress.add_task(self.id, total=None)

            def tell(status: FederationStatus) -> None:
                self._tell(status)
                is_over = status.state in ("completed", "aborted")
                done = len(status.rounds)
                progress.update(task, description=_line(status), completed=done, total=done if is_over else None)
                if not is_over:
                    progress.update(task, total=status.max_rounds)

            yield tell


class Federation(_AnyFederation):
    """A federation."""

    def __init__(
        self, hub: Hub, transport: Transport, status: FederationStatus, *, plan: TrainingPlan | None = None
    ) -> None:
        super().__init__(hub, status, plan)
        self._transport = transport

    def refresh(self) -> "Federation":
        """Ask where the federation is now."""
        self._tell(self._transport.run(federation(self._hub, self.id)))
        return self

    def wait(self, *, timeout_s: float | None = None, progress: bool = True) -> "Federation":
        """Wait until there is a model, or nothing more comes without a person (held, aborted, a member refused, ...).

        Raises:
            UnavailableError: it takes longer than `timeout_s`; the federation goes on.
        """
        with self._shown(progress) as tell:
            self._tell(self._transport.run(self._watch(timeout_s, tell)))
        return self

    def stop(self) -> "Federation":
        """Stop the federation for good, with the jobs of all its members.

        Raises:
            ConflictError: it has ended.
        """
        self._tell(self._transport.run(stop(self._hub, self.id)))
        return self

    def jobs(self) -> list[Job]:
        """Return the member jobs that were submitted."""
        done = {} if self._plan is None else self._plan._done.submitted
        statuses = self._transport.run(job_statuses(self._hub, self._status))
        return [Job(self._hub, self._transport, one, submitted=done.get(one.job)) for one in statuses]

    def result(self) -> TrainedModel:
        """Return the verified model: released alike by all members that have released it, and named by the log.

        Raises:
            ConflictError: there is no model, or not yet.
            VerificationError: members have released different models, or the log says something else.
        """
        return self._transport.run(self._fetch())


class AsyncFederation(_AnyFederation):
    """A federation of an asynchronous client."""

    def __init__(
        self, hub: Hub, transport: AsyncTransport, status: FederationStatus, *, plan: AsyncTrainingPlan | None = None
    ) -> None:
        super().__init__(hub, status, plan)
        self._transport = transport

    async def refresh(self) -> "AsyncFederation":
        """Ask where the federation is now."""
        self._tell(await self._transport.run(federation(self._hub, self.id)))
        return self

    async def wait(self, *, timeout_s: float | None = None, progress: bool = True) -> "AsyncFederation":
        """Wait until there is a model, or nothing more comes without a person (held, aborted, a member refused, ...).

        Raises:
            UnavailableError: it takes longer than `timeout_s`; the federation goes on.
        """
        with self._shown(progress) as tell:
            self._tell(await self._transport.run(self._watch(timeout_s, tell)))
        return self

    async def stop(self) -> "AsyncFederation":
        """Stop the federation for good, with the jobs of all its members.

        Raises:
            ConflictError: it has ended.
        """
        self._tell(await self._transport.run(stop(self._hub, self.id)))
        return self

    async def jobs(self) -> list[AsyncJob]:
        """Return the member jobs that were submitted."""
        done = {} if self._plan is None else self._plan._done.submitted
        statuses = await self._transport.run(job_statuses(self._hub, self._status))
        return [AsyncJob(self._hub, self._transport, one, submitted=done.get(one.job)) for one in statuses]

    async def result(self) -> TrainedModel:
        """Return the verified model: released alike by all members that have released it, and named by the log.

        Raises:
            ConflictError: there is no model, or not yet.
            VerificationError: members have released different models, or the log says something else.
        """
        return await self._transport.run(self._fetch())


def _noise(asked: TrainingQuestion) -> str:
    if asked.privacy is None:
        return "none: exact sums"
    return f"epsilon {asked.privacy.epsilon}, delta {asked.privacy.delta}"


def _line(status: FederationStatus) -> str:
    """Return what is going on in one line: the round, and whom it waits for."""
    awaited = ", ".join(status.awaited[:3]) + (", ..." if len(status.awaited) > 3 else "")
    where = status.state if status.open is None else f"round {status.open.round}"
    return f"{status.federation} {where}" + (f", waits for {awaited}" if awaited else "")
