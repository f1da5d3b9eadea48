"""Nonces of signed requests: each is good once, until the request has expired."""

from datetime import datetime

from sqlalchemy import Engine, delete

from api.database import insert_new, writing
from api.tables import NONCE
from yingbi.clock import Clock, format_time

__all__ = ["Nonces"]


class Nonces:
    """Remembers which nonces were used, in the database: a restart forgets none that is still good."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def use(self, keyid: str, nonce: str, expires_at: datetime) -> bool:
        """Use a nonce; tell whether it was the first time."""
        # It may be forgotten when the machine crashes: no request outlives five minutes.
        with writing(self._engine, is_durable=False) as connection:
            return insert_new(connection, NONCE, keyid=keyid, nonce=nonce, expires_at=format_time(expires_at))

    def forget_expired(self) -> None:
        """Forget what no request can use any more."""
        with writing(self._engine, is_durable=False) as connection:
            connection.execute(delete(NONCE).where(NONCE.c.expires_at < format_time(self._clock.now())))
