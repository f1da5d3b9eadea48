"""Repeated requests (`Idempotency-Key`): the same key and the same request get the same answer, for a day."""

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine, delete, select, update

from api.database import insert_new, reading, writing
from api.refusals import malformed, still_answering
from api.tables import ANSWER
from yingbi.clock import Clock, format_time
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["KEPT_FOR", "Answer", "Answers", "fingerprint_of"]

KEPT_FOR: Final = timedelta(hours=24)
_MAX_KEY: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Answers:
    """Answers by signer and idempotency key."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def begin(self, signer: str, key: str, fingerprint: bytes) -> Answer | None:
        """Return the answer to a repeated request, or nothing for a new one, which must be ended or dropped.

        Raises:
            ConflictError: the first request of this key is still being answered.
            InvalidRequestError: the key has a wrong length, or was used for another request.
        """
        if not 1 <= len(key) <= _MAX_KEY:
            raise malformed(f"expected an idempotency key of 1 to {_MAX_KEY} characters")
        now = format_time(self._clock.now())
        with writing(self._engine, is_durable=False) as connection:
            if insert_new(connection, ANSWER, signer=signer, key=key, fingerprint=fingerprint, made_at=now):
                return None
        with reading(self._engine) as connection:
            row = connection.execute(select(ANSWER).where(ANSWER.c.signer == signer, ANSWER.c.key == key)).one_or_none()
        if row is not None and row.fingerprint != fingerprint:
            raise InvalidRequestError(
                ErrorCode.IDEMPOTENCY_CONFLICT, "idempotency key was used for another request", hint="choose a new key"
            )
        if row is None or row.status is None:
            raise still_answering()
        return Answer(status=row.status, headers=json.loads(row.headers), body=row.body)

    def end(self, signer: str, key: str, answer: Answer) -> None:
        """Keep the answer to a request that was begun."""
        values = {"status": answer.status, "headers": json.dumps(answer.headers), "body": answer.body}
        with writing(self._engine, is_durable=False) as connection:
            connection.execute(update(ANSWER).where(ANSWER.c.signer == signer, ANSWER.c.key == key).values(**values))

    def drop(self, signer: str, key: str) -> None:
        """Forget a request that was begun and failed: it may be sent again."""
        with writing(self._engine, is_durable=False) as connection:
            connection.execute(delete(ANSWER).where(ANSWER.c.signer == signer, ANSWER.c.key == key))

    def forget_unfinished(self) -> None:
        """Forget requests that a dead process was answering; what it recorded is found again by its digest."""
        with writing(self._engine) as connection:
            connection.execute(delete(ANSWER).where(ANSWER.c.status.is_(None)))

    def forget_old(self) -> None:
        """Forget answers that were kept long enough."""
        with writing(self._engine, is_durable=False) as connection:
            before = format_time(self._clock.now() - KEPT_FOR)
            connection.execute(delete(ANSWER).where(ANSWER.c.made_at < before, ANSWER.c.status.is_not(None)))


def fingerprint_of(method: str, target: str, body: bytes) -> bytes:
    """Return the digest that tells two requests apart."""
    return hashlib.sha256(f"{method}\n{target}\n".encode() + body).digest()
