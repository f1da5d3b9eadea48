"""The node's book of questions: what was asked, by whom, under which agreements, and how it ended.

Limits are charged when a question is received and permitted, before it runs: a crash can cost a partner a job, never
give one away.

A job's id is its partner's choice, and may be that of another question here. A job is therefore the question that was
begun for its own submission, byte for byte, and no other: `find_job` is how a job's question is looked up.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from policies.request import Consumption
from sandbox.database import reading, writing
from sandbox.node.tables import CHARGE, OUTPUT, QUESTION
from yingbi.canonical import JsonValue, canonical_bytes
from yingbi.clock import Clock, format_time
from yingbi.errors import ConflictError, ErrorCode, NotFoundError, RefusedError
from yingbi.ids import new_id

__all__ = [
    "TRANSITIONS",
    "AskedQuestion",
    "NewQuestion",
    "QuestionBook",
    "QuestionState",
    "StoredOutput",
    "submission_of",
]

# The day of a limit is the bureau's: China Standard Time, which has no summer time.
_BUREAU_ZONE: Final = timezone(timedelta(hours=8))


class QuestionState(StrEnum):
    """Where a question stands at the node."""

    RUNNING = "running"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    HELD = "held"
    REJECTED = "rejected"
    RELEASED = "released"


TRANSITIONS: Final[Mapping[QuestionState, frozenset[QuestionState]]] = {
    QuestionState.RUNNING: frozenset(
        {
            QuestionState.REFUSED,
            QuestionState.FAILED,
            QuestionState.CANCELLED,
            QuestionState.HELD,
            QuestionState.RELEASED,
        }
    ),
    QuestionState.HELD: frozenset({QuestionState.RELEASED, QuestionState.REJECTED}),
    QuestionState.REFUSED: frozenset(),
    # A job that was interrupted, or that may be tried again, goes on under its own id and its one charge.
    QuestionState.FAILED: frozenset({QuestionState.RUNNING}),
    QuestionState.CANCELLED: frozenset({QuestionState.RUNNING}),
    QuestionState.REJECTED: frozenset(),
    QuestionState.RELEASED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQuestion:
    """A question as it comes: who asks, for what, and its plan in JSON where it could be read."""

    id: str
    partner: str
    purpose: str
    operations: tuple[str, ...] = ()
    digest: str | None = None
    asked: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """One row of the book."""

    id: str
    partner: str
    purpose: str
    state: QuestionState
    received_at: str
    ended_at: str | None
    question_digest: str | None
    operations: tuple[str, ...]
    asked: JsonValue
    code: str | None
    output: str | None

    @property
    def submission(self) -> str | None:
        """Return the digest of the statement in the log that asks it, or nothing where the node's own people asked."""
        return submission_of(self.asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutput:
    """A released table as it was released: canonical JSON and its digest."""

    id: str
    question: str
    digest: str
    content: bytes
    released_at: str


class QuestionBook:
    """The book in the node's database."""

    def __init__(self, database: Engine, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def refuse(self, question: NewQuestion, *, code: str) -> None:
        """Record a question that was refused before it ran."""
        now = format_time(self._clock.now())
        row = {"state": QuestionState.REFUSED.value, "received_at": now, "ended_at": now, "code": code}
        with writing(self._database) as connection:
            connection.execute(insert(QUESTION).values(**_row(question), **row))

    def start(self, question: NewQuestion, *, agreements: Mapping[str, int], seen: Mapping[str, Consumption]) -> None:
        """Record a permitted question and charge its agreements (id -> rounds), in one transaction.

        `seen` is what the decision was made on: where another question was charged meanwhile, nothing is recorded.

        Raises:
            ConflictError: decide again, something else was charged since.
        """
        now = self._clock.now()
        state = {"state": QuestionState.RUNNING.value, "received_at": format_time(now)}
        with writing(self._database) as connection:
            for agreement, before in seen.items():
                if _consumption(connection, agreement, now) != before:
                    raise ConflictError(ErrorCode.TRANSITION_REFUSED, "another question was charged meanwhile")
            connection.execute(insert(QUESTION).values(**_row(question), **state))
            for agreement, rounds in agreements.items():
                charge = {"question": question.id, "agreement": agreement, "day": _day(now), "rounds": rounds}
                connection.execute(insert(CHARGE).values(**charge))

    def charge(self, job: str, agreement: str, *, rounds: int = 0) -> int:
        """Charge a job and its rounds to its agreement, once however often; return how many jobs that has used.

        For jobs whose reservation is in the log: they are charged here whatever else happened meanwhile.
        """
        now = self._clock.now()
        with writing(self._database) as connection:
            _charge_once(connection, job, agreement, now, rounds)
            return _consumption(connection, agreement, now).jobs

    def begin(self, question: NewQuestion, agreements: Mapping[str, int]) -> None:
        """Record that a job is being computed, for the first time or again, and charge it once, in one transaction.

        `agreements`: with the rounds that each is charged.

        Raises:
            RefusedError: the id is another question's; nothing is charged.
            ConflictError: it is being computed already, or has come to an end that stands.
        """
        now = self._clock.now()
        with writing(self._database) as connection:
            row = connection.execute(select(QUESTION).where(QUESTION.c.id == question.id)).mappings().one_or_none()
            if row is not None and not _is_same(_question(row), question):
                raise _another()
            for agreement, rounds in agreements.items():
                _charge_once(connection, question.id, agreement, now, rounds)
            if row is not None:
                self._move(connection, question.id, QuestionState.RUNNING)
                connection.execute(update(QUESTION).where(QUESTION.c.id == question.id).values(**_row(question)))
                return
            state = {"state": QuestionState.RUNNING.value, "received_at": format_time(now)}
            connection.execute(insert(QUESTION).values(**_row(question), **state))

    def end(self, question: str, state: QuestionState, *, code: str | None = None) -> None:
        """Record how a question ended.

        Raises:
            ConflictError: it cannot go there from where it is.
        """
        with writing(self._database) as connection:
            self._move(connection, question, state, code=code)

    def release(self, question: str, *, digest: str, content: bytes) -> str:
        """Keep a released table and end its question, in one transaction; return the output's id."""
        output = new_id("out")
        now = format_time(self._clock.now())
        with writing(self._database) as connection:
            row = {"id": output, "question": question, "digest": digest, "content": content, "released_at": now}
            connection.execute(insert(OUTPUT).values(**row))
            self._move(connection, question, QuestionState.RELEASED, output=output)
        return output

    def consumption(self, agreements: Iterable[str]) -> dict[str, Consumption]:
        """Return what was used of each agreement's limits so far."""
        with reading(self._database) as connection:
            return {agreement: _consumption(connection, agreement, self._clock.now()) for agreement in agreements}

    def end_dead(self, is_alive: Callable[[str], bool], is_held: Callable[[str], bool]) -> int:
        """End running questions whose process is gone: held where their result is, else failed; return how many.

        What they were charged stays.
        """
        dead = [row.id for row in self.list_questions() if row.state is QuestionState.RUNNING and not is_alive(row.id)]
        ended = 0
        for question in dead:
            # It may have ended, or another process may have seen it too, since the list was read.
            with suppress(ConflictError):
                if is_held(question):
                    self.end(question, QuestionState.HELD)
                else:
                    self.end(question, QuestionState.FAILED, code="interrupted")
                ended += 1
        return ended

    def find(self, question: str) -> AskedQuestion | None:
        """Return one question, or nothing."""
        with reading(self._database) as connection:
            row = connection.execute(select(QUESTION).where(QUESTION.c.id == question)).one_or_none()
        return None if row is None else _question(row._mapping)

    def find_job(self, job: str, submission: str) -> AskedQuestion | None:
        """Return the question that a job is, by its id and its submission's digest, or nothing.

        Raises:
            RefusedError: the id is another question's, whose answer is not this job's.
        """
        found = self.find(job)
        if found is not None and found.submission != submission:
            raise _another()
        return found

    def get(self, question: str) -> AskedQuestion:
        """Return one question.

        Raises:
            NotFoundError: there is none of this id.
        """
        found = self.find(question)
        if found is None:
            raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "no question of this id")
        return found

    def list_questions(self) -> list[AskedQuestion]:
        """Return all questions, in the order they came."""
        with reading(self._database) as connection:
            rows = connection.execute(select(QUESTION).order_by(QUESTION.c.received_at, QUESTION.c.id))
            return [_question(row._mapping) for row in rows]

    def output(self, output: str) -> StoredOutput:
        """Return a released table.

        Raises:
            NotFoundError: there is none of this id.
        """
        with reading(self._database) as connection:
            row = connection.execute(select(OUTPUT).where(OUTPUT.c.id == output)).one_or_none()
        if row is None:
            raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "no output of this id")
        return StoredOutput(**row._mapping)

    def _move(
        self,
        connection: Connection,
        question: str,
        state: QuestionState,
        *,
        code: str | None = None,
        output: str | None = None,
    ) -> None:
        sources = [source.value for source, targets in TRANSITIONS.items() if state in targets]
        ended_at = None if state is QuestionState.RUNNING else format_time(self._clock.now())
        moved = connection.execute(
            update(QUESTION)
            .where(QUESTION.c.id == question, QUESTION.c.state.in_(sources))
            .values(state=state.value, ended_at=ended_at, code=code, output=output)
        )
        if moved.rowcount != 1:
            raise ConflictError(ErrorCode.TRANSITION_REFUSED, f"the question cannot become `{state}` now")


def _row(question: NewQuestion) -> dict[str, object]:
    asked = None if question.asked is None else canonical_bytes(question.asked).decode()
    return {
        "id": question.id,
        "partner": question.partner,
        "purpose": question.purpose,
        "operations": json.dumps(sorted(question.operations)),
        "question_digest": question.digest,
        "asked": asked,
    }


def _question(row: RowMapping) -> AskedQuestion:
    values = dict(row)
    values["state"] = QuestionState(values["state"])
    values["operations"] = tuple(json.loads(values["operations"]))
    values["asked"] = None if values["asked"] is None else json.loads(values["asked"])
    return AskedQuestion(**values)


def submission_of(asked: JsonValue) -> str | None:
    """Return the digest of the statement in the log that asks a question, from what the book keeps of it."""
    found = asked.get("submission") if isinstance(asked, dict) else None
    return found if isinstance(found, str) else None


def _is_same(found: AskedQuestion, question: NewQuestion) -> bool:
    # SECURITY: whoever chooses an id must not be given what others asked under it.
    submission = submission_of(question.asked)
    if submission is not None:
        return found.submission == submission
    asked = (question.partner, question.purpose, question.digest, question.asked)
    return (found.partner, found.purpose, found.question_digest, found.asked) == asked


def _another() -> RefusedError:
    return RefusedError(ErrorCode.JOB_REFUSED, "another question of this id was asked at this node")


def _charge_once(connection: Connection, job: str, agreement: str, at: datetime, rounds: int) -> None:
    mine = select(CHARGE.c.question).where(CHARGE.c.question == job, CHARGE.c.agreement == agreement)
    if connection.execute(mine).first() is None:
        charge = {"question": job, "agreement": agreement, "day": _day(at), "rounds": rounds}
        connection.execute(insert(CHARGE).values(**charge))


def _consumption(connection: Connection, agreement: str, at: datetime) -> Consumption:
    mine = CHARGE.c.agreement == agreement
    jobs, rounds = connection.execute(
        select(func.count(), func.coalesce(func.sum(CHARGE.c.rounds), 0)).where(mine)
    ).one()
    today = connection.execute(select(func.count()).where(mine, CHARGE.c.day == _day(at))).scalar_one()
    return Consumption(jobs=jobs, jobs_today=today, rounds=rounds)


def _day(at: datetime) -> str:
    return at.astimezone(_BUREAU_ZONE).date().isoformat()
