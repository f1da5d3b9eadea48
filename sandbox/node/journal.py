"""The journal: every lease that a node took, where its job is, and the statements that were made for it.

What the agent does next follows from the journal, the book of questions and the followed log alone, never from memory:
a process that is killed anywhere goes on from there. A statement is made once, stored in the transaction that moves the
job to the step that sends it, and sent byte for byte the same until it is in the log.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, insert, select, update

from sandbox.database import reading, writing
from sandbox.node.agent_tables import JOB, OUTBOX, STATEMENT
from sandbox.node.hub_client import Lease
from sandbox.node.statements import Made
from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.clock import Clock, format_time
from yingbi.commitment import Opening
from yingbi.errors import ConflictError, ErrorCode, NotFoundError
from yingbi.key_files import decode_base64url, encode_base64url
from yingbi.statement import Statement, parse_statement

__all__ = ["ENDS", "TRANSITIONS", "JobRow", "JobStep", "Journal"]


class JobStep(StrEnum):
    """Where a job is at this node; the ones in -ING have statements that are yet to be in the log."""

    TAKEN = "taken"
    REFUSING = "refusing"
    REFUSED = "refused"
    STARTING = "starting"
    STARTED = "started"
    HOLDING = "holding"
    HELD = "held"
    REJECTING = "rejecting"
    REJECTED = "rejected"
    RELEASING = "releasing"
    RELEASED = "released"
    DONE = "done"
    FAILING = "failing"
    FAILED = "failed"
    INTERRUPTING = "interrupting"
    INTERRUPTED = "interrupted"
    LOST = "lost"


TRANSITIONS: Final[Mapping[JobStep, frozenset[JobStep]]] = MappingProxyType(
    {
        JobStep.TAKEN: frozenset({JobStep.STARTING, JobStep.REFUSING, JobStep.LOST}),
        JobStep.REFUSING: frozenset({JobStep.REFUSED, JobStep.LOST}),
        JobStep.REFUSED: frozenset(),
        JobStep.STARTING: frozenset({JobStep.STARTED, JobStep.LOST}),
        JobStep.STARTED: frozenset(
            {JobStep.RELEASING, JobStep.HOLDING, JobStep.FAILING, JobStep.INTERRUPTING, JobStep.LOST}
        ),
        JobStep.HOLDING: frozenset({JobStep.HELD, JobStep.LOST}),
        JobStep.HELD: frozenset({JobStep.RELEASING, JobStep.REJECTING, JobStep.LOST}),
        JobStep.REJECTING: frozenset({JobStep.REJECTED, JobStep.LOST}),
        JobStep.REJECTED: frozenset(),
        # What was stopped before its release was in the log is interrupted; what was in the log after all is released.
        JobStep.RELEASING: frozenset({JobStep.RELEASED, JobStep.INTERRUPTING, JobStep.LOST}),
        JobStep.RELEASED: frozenset({JobStep.DONE}),
        JobStep.DONE: frozenset(),
        JobStep.FAILING: frozenset({JobStep.FAILED, JobStep.LOST}),
        JobStep.FAILED: frozenset({JobStep.TAKEN}),
        JobStep.INTERRUPTING: frozenset({JobStep.INTERRUPTED, JobStep.RELEASED, JobStep.LOST}),
        JobStep.INTERRUPTED: frozenset({JobStep.TAKEN}),
        JobStep.LOST: frozenset({JobStep.TAKEN}),
    }
)
"""Total: every step, and where a job may go from there; back to `taken` only by a lease of a later attempt."""

ENDS: Final = frozenset(
    {JobStep.REFUSED, JobStep.REJECTED, JobStep.DONE}
    | {step for step, after in TRANSITIONS.items() if after == {JobStep.TAKEN}}
)
"""Steps at which a node has nothing more to do for the lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job: its lease as it came, its step, how often it was computed, and what is to be sent besides statements."""

    job: str
    attempt: int
    step: JobStep
    lease: Mapping[str, Any]
    agreement: str
    partner: str
    runs: int
    sealed: bytes | None
    notice: JsonValue
    cause: str | None
    updated_at: str


class Journal:
    """The journal in the node's database."""

    def __init__(self, database: Engine, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def take(self, lease: Lease) -> bool:
        """Keep a lease; tell whether it is new. One of an attempt that is known, or of a job that has ended, is not."""
        body = lease.statement.payload.body
        values = {
            "attempt": lease.attempt,
            "step": JobStep.TAKEN.value,
            "lease": canonical_bytes(lease.body),
            "agreement": str(body.get("agreement")),
            "partner": lease.statement.payload.on_behalf_of or lease.statement.payload.issuer,
            "runs": 0,
            "sealed": None,
            "notice": None,
            "cause": None,
            "updated_at": format_time(self._clock.now()),
        }
        with writing(self._database) as connection:
            row = connection.execute(select(JOB.c.step, JOB.c.attempt).where(JOB.c.job == lease.job)).one_or_none()
            if row is None:
                connection.execute(insert(JOB).values(job=lease.job, **values))
                return True
            if JobStep.TAKEN not in TRANSITIONS[JobStep(row.step)] or lease.attempt <= row.attempt:
                return False
            connection.execute(update(JOB).where(JOB.c.job == lease.job).values(**values))
            return True

    def get(self, job: str) -> JobRow:
        """Return a job.

        Raises:
            NotFoundError: it was never leased to this node.
        """
        with reading(self._database) as connection:
            row = connection.execute(select(JOB).where(JOB.c.job == job)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "no job of this id was leased to this node")
        return _row(row)

    def jobs(self, *, is_open: bool = False) -> tuple[JobRow, ...]:
        """Return all jobs, or those for which something is left to do, the longest untouched first."""
        query = select(JOB).order_by(JOB.c.updated_at, JOB.c.job)
        if is_open:
            query = query.where(JOB.c.step.not_in([step.value for step in ENDS]))
        with reading(self._database) as connection:
            return tuple(_row(row) for row in connection.execute(query).mappings())

    def prepare(
        self,
        row: JobRow,
        step: JobStep,
        made: Sequence[Made],
        *,
        sealed: bytes | None = None,
        notice: JsonValue = None,
        cause: str | None = None,
    ) -> None:
        """Move a job to a step and store the statements that it sends, in one transaction.

        Raises:
            ConflictError: it is not where `row` says any more.
        """
        with writing(self._database) as connection:
            more = {"notice": None if notice is None else canonical_bytes(notice).decode(), "cause": cause}
            if sealed is not None:
                more["sealed"] = sealed  # type: ignore[assignment]
            self._move(connection, row, step, more)
            for number, one in enumerate(made):
                connection.execute(
                    insert(STATEMENT).values(
                        job=row.job,
                        attempt=row.attempt,
                        step=step.value,
                        number=number,
                        envelope=one.statement.envelope,
                        opening=_openings_text(one.openings),
                    )
                )

    def statements(self, row: JobRow, step: JobStep) -> tuple[Made, ...]:
        """Return the statements that were made for a step of this attempt, as they were made."""
        mine = (STATEMENT.c.job == row.job, STATEMENT.c.attempt == row.attempt, STATEMENT.c.step == step.value)
        query = select(STATEMENT.c.envelope, STATEMENT.c.opening).where(*mine).order_by(STATEMENT.c.number)
        with reading(self._database) as connection:
            rows = connection.execute(query).all()
        return tuple(
            Made(statement=parse_statement(envelope), openings=_openings(opening)) for envelope, opening in rows
        )

    def recorded(self, row: JobRow, step: JobStep, entries: Sequence[int], *, of: JobStep | None = None) -> None:
        """Move a job on because the statements of its step (or of `of`) are in the log, at these indices.

        Raises:
            ConflictError: it is not where `row` says any more.
        """
        sent = of or row.step
        with writing(self._database) as connection:
            self._move(connection, row, step, {})
            for number, entry in enumerate(entries):
                mine = (STATEMENT.c.job == row.job, STATEMENT.c.attempt == row.attempt, STATEMENT.c.step == sent.value)
                connection.execute(update(STATEMENT).where(*mine, STATEMENT.c.number == number).values(entry=entry))

    def move(self, row: JobRow, step: JobStep, *, cause: str | None = None) -> None:
        """Move a job on without statements.

        Raises:
            ConflictError: it is not where `row` says any more.
        """
        with writing(self._database) as connection:
            self._move(connection, row, step, {} if cause is None else {"cause": cause})

    def count_run(self, row: JobRow) -> int:
        """Count a computation of this attempt before it begins; return how many there were before it."""
        with writing(self._database) as connection:
            runs = connection.execute(select(JOB.c.runs).where(JOB.c.job == row.job)).scalar_one()
            connection.execute(update(JOB).where(JOB.c.job == row.job).values(runs=runs + 1))
        return int(runs)

    # --- statements of the unit's CDO --------------------------------------------------------------------------------

    def post(self, statement: Statement) -> None:
        """Keep a statement that the hub is to record when it can be reached."""
        with writing(self._database) as connection:
            connection.execute(insert(OUTBOX).values(envelope=statement.envelope))

    def outbox(self) -> tuple[Statement, ...]:
        """Return the statements that are not in the log yet."""
        with reading(self._database) as connection:
            query = select(OUTBOX.c.envelope).where(OUTBOX.c.entry.is_(None)).order_by(OUTBOX.c.id)
            return tuple(parse_statement(envelope) for envelope in connection.execute(query).scalars())

    def posted(self, statement: Statement, entry: int | None) -> None:
        """Note where a statement is in the log; without an entry it is dropped, because it does not fit any more."""
        mine = OUTBOX.c.envelope == statement.envelope
        with writing(self._database) as connection:
            if entry is None:
                connection.execute(delete(OUTBOX).where(mine))
            else:
                connection.execute(update(OUTBOX).where(mine).values(entry=entry))

    def _move(self, connection: Connection, row: JobRow, step: JobStep, more: Mapping[str, object]) -> None:
        if step not in TRANSITIONS[row.step]:
            raise ConflictError(ErrorCode.TRANSITION_REFUSED, f"a job that is {row.step} cannot become {step}")
        moved = connection.execute(
            update(JOB)
            .where(JOB.c.job == row.job, JOB.c.attempt == row.attempt, JOB.c.step == row.step.value)
            .values(step=step.value, updated_at=format_time(self._clock.now()), **more)
        )
        if moved.rowcount != 1:
            raise ConflictError(ErrorCode.TRANSITION_REFUSED, "the job went on meanwhile")


def _row(row: Mapping[Any, Any]) -> JobRow:
    values = dict(row)
    values["step"] = JobStep(values["step"])
    values["lease"] = json.loads(values["lease"])
    values["notice"] = None if values["notice"] is None else json.loads(values["notice"])
    return JobRow(**values)


def _openings_text(openings: Sequence[Opening]) -> str | None:
    if not openings:
        return None
    rows = [{"salt": encode_base64url(one.salt), "value": json.loads(one.value)} for one in openings]
    return canonical_bytes(rows).decode()


def _openings(text: str | None) -> tuple[Opening, ...]:
    rows = [] if text is None else json.loads(text)
    return tuple(Opening(salt=decode_base64url(row["salt"]), value=canonical_bytes(row["value"])) for row in rows)
