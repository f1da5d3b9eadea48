"""Webhooks: a party is told of entries about its jobs, where it wants to be (Standard Webhooks, `v1a`: Ed25519).

What is sent names entry, job and state, and holds nothing that would have to be secret; a receiver asks the hub for
the rest. Entries are told in their order, each until the receiver has taken it, with longer and longer pauses; asking
the hub instead always works. The hub connects to public addresses only, unless its operator says otherwise.
"""

import asyncio
import base64
import ipaddress
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Engine, Row, delete, func, insert, select, update

from api.bureau import Bureau
from api.database import reading, writing
from api.recording import Recorder
from api.refusals import malformed, not_found, not_now
from api.tables import WEBHOOK
from api.worklist import job_of
from yingbi.clock import Clock, format_time
from yingbi.errors import SandboxError
from yingbi.ids import new_id

__all__ = ["Deliveries", "Message", "Webhook", "Webhooks", "is_public", "sign_message"]

_MAX_URL: Final = 500
_MAX_HOOKS: Final = 10
_AT_ONCE: Final = 500
_TIMEOUT_S: Final = 10.0
_ROUND_S: Final = 30.0
_OF_ONE_OWNER: Final = 2
_LOOKUPS: Final = 32
_LOOK_S: Final = 5.0
_PAUSES_S: Final = (1, 5, 30, 120, 600, 3600)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where a party wants to be told, up to which entry it was, and how often in a row that failed."""

    id: str
    owner: str
    url: str
    made_at: str
    next_index: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, as it is sent; the same entry has the same id, however often it is told."""

    id: str
    timestamp: int
    body: bytes


def sign_message(bureau: Bureau, message: Message) -> dict[str, str]:
    """Return the header fields of a message (Standard Webhooks: `id.timestamp.body`, Ed25519)."""
    signed = f"{message.id}.{message.timestamp}.".encode() + message.body
    signature = base64.b64encode(bureau.key.sign(signed)).decode()
    return {
        "content-type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": str(message.timestamp),
        "webhook-signature": f"v1a,{signature}",
    }


def is_public(host: str) -> bool:
    """Tell whether a host has addresses, all of them public."""
    try:
        found = {str(one[4][0]) for one in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(ipaddress.ip_address(address.partition("%")[0]).is_global for address in found)


def _connect() -> httpx.AsyncClient:
    return httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=_TIMEOUT_S, limits=httpx.Limits())


class Webhooks:
    """The webhooks that parties have asked for."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def add(self, owner: str, url: str, *, next_index: int) -> Webhook:
        """Add a webhook that is told of entries from an index on.

        Raises:
            InvalidRequestError: not an address that could be told.
            ConflictError: the party has as many as it may.
        """
        if not _is_address(url):
            raise malformed("expected `url` as an `https://` address without a user or a fragment")
        now = format_time(self._clock.now())
        made = Webhook(id=new_id("hook"), owner=owner, url=url, made_at=now, next_index=next_index, failures=0)
        with writing(self._engine) as connection:
            is_mine = WEBHOOK.c.owner == owner
            if connection.execute(select(func.count()).select_from(WEBHOOK).where(is_mine)).scalar_one() >= _MAX_HOOKS:
                raise not_now(f"a party has at most {_MAX_HOOKS} webhooks", "remove one of them")
            connection.execute(
                insert(WEBHOOK).values(
                    id=made.id,
                    owner=owner,
                    url=url,
                    made_at=now,
                    next_index=next_index,
                    failures=0,
                    next_at=now,
                )
            )
        return made

    def of(self, owner: str) -> list[Webhook]:
        """Return a party's webhooks, oldest first."""
        query = select(WEBHOOK).where(WEBHOOK.c.owner == owner).order_by(WEBHOOK.c.made_at, WEBHOOK.c.id)
        with reading(self._engine) as connection:
            return [_webhook(row) for row in connection.execute(query)]

    def remove(self, owner: str, name: str) -> None:
        """Remove a party's webhook.

        Raises:
            NotFoundError: it has none of this id.
        """
        query = delete(WEBHOOK).where(WEBHOOK.c.owner == owner, WEBHOOK.c.id == name)
        with writing(self._engine) as connection:
            if connection.execute(query).rowcount != 1:
                raise not_found("webhook")

    def due(self) -> list[Webhook]:
        """Return the webhooks that may be told something now."""
        query = select(WEBHOOK).where(WEBHOOK.c.next_at <= format_time(self._clock.now()))
        with reading(self._engine) as connection:
            return [_webhook(row) for row in connection.execute(query)]

    def advance(self, name: str, next_index: int) -> None:
        """Remember that a webhook was told of all entries before an index."""
        values = {"next_index": next_index, "failures": 0}
        with writing(self._engine) as connection:
            connection.execute(update(WEBHOOK).where(WEBHOOK.c.id == name).values(**values))

    def postpone(self, hook: Webhook) -> None:
        """Remember that a webhook could not be told; it is tried again after a pause."""
        pause = timedelta(seconds=_PAUSES_S[min(hook.failures, len(_PAUSES_S) - 1)])
        values = {"failures": hook.failures + 1, "next_at": format_time(self._clock.now() + pause)}
        with writing(self._engine) as connection:
            connection.execute(update(WEBHOOK).where(WEBHOOK.c.id == hook.id).values(**values))


class Deliveries:
    """A thread that tells webhooks of new entries. Use it as a context manager; `run_once` does it now.

    `connect` opens what messages are sent with; `may_reach` says of a host whether the hub may connect to it.
    """

    def __init__(
        self,
        webhooks: Webhooks,
        recorder: Recorder,
        bureau: Bureau,
        clock: Clock,
        *,
        connect: Callable[[], httpx.AsyncClient] = _connect,
        may_reach: Callable[[str], bool] = is_public,
    ) -> None:
        self._webhooks = webhooks
        self._recorder = recorder
        self._bureau = bureau
        self._clock = clock
        self._connect = connect
        self._may_reach = may_reach
        self._lookups = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="yingbi-lookup")
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="yingbi-webhooks", daemon=True)

    def __enter__(self) -> "Deliveries":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    def run_once(self) -> None:
        """Tell every webhook that is due of what is new, all at the same time: none waits for a slow one.

        Raises:
            UnavailableError: the database cannot be used now.
        """
        size = self._recorder.index.size
        due = [hook for hook in self._webhooks.due() if hook.next_index < size]
        if due:
            asyncio.run(self._tell_all(due, size))

    async def _tell_all(self, hooks: Sequence[Webhook], size: int) -> None:
        # SECURITY: an owner has as many at a time as leave threads and time to the others.
        turns = {hook.owner: asyncio.Semaphore(_OF_ONE_OWNER) for hook in hooks}
        end = time.monotonic() + _ROUND_S
        async with self._connect() as http:
            await asyncio.gather(*(self._tell_one(http, hook, size, turns[hook.owner], end) for hook in hooks))

    async def _tell_one(
        self, http: httpx.AsyncClient, hook: Webhook, size: int, turn: asyncio.Semaphore, end: float
    ) -> None:
        """Tell one webhook; whatever becomes of it, the others are told."""
        async with turn:
            try:
                await self._tell(http, hook, size, end)
            except SandboxError as error:
                _logger.warning("a webhook was not told: %s", error.code)
            except Exception as error:
                _logger.error("a webhook was not told: %s", type(error).__name__)
                self._webhooks.postpone(hook)

    async def _tell(self, http: httpx.AsyncClient, hook: Webhook, size: int, end: float) -> None:
        stop = min(size, hook.next_index + _AT_ONCE)
        for index in range(hook.next_index, stop):
            if self._end.is_set() or time.monotonic() > end or not self._may_be_told(hook.owner):
                return  # it is told of the rest in another round; if it is stopped, once it takes part again
            message = self._message(hook, index)
            if message is not None and not await self._send(http, hook, message):
                self._webhooks.postpone(hook)
                return
            if message is not None:
                self._webhooks.advance(hook.id, index + 1)
        self._webhooks.advance(hook.id, stop)

    def _may_be_told(self, owner: str) -> bool:
        """Tell whether a party takes part and is not frozen."""
        standing, now = self._recorder.standing, format_time(self._clock.now())
        return not standing.freezes.holds(owner) and standing.participants.is_admitted(owner, at=now)

    def _message(self, hook: Webhook, index: int) -> Message | None:
        """Return what a webhook is told of an entry, or nothing where the entry is not about a job of its owner."""
        entry = self._recorder.read(index)
        name = job_of(entry.statement)
        job = None if name is None else self._recorder.standing.jobs.get(name)
        if job is None or job.partner != hook.owner:
            return None
        now = self._clock.now()
        data = {"job": job.id, "state": job.state.value, "index": index}
        body = {"type": entry.statement.type.value, "timestamp": entry.time, "data": data}
        content = json.dumps(body, separators=(",", ":")).encode()
        return Message(id=f"{hook.id}.{index}", timestamp=int(now.timestamp()), body=content)

    async def _send(self, http: httpx.AsyncClient, hook: Webhook, message: Message) -> bool:
        headers = sign_message(self._bureau, message)
        try:
            # SECURITY: of the whole; a receiver that sends a byte now and then would hold the hub for ever.
            async with asyncio.timeout(_TIMEOUT_S):
                # SECURITY: a partner names the address; asked each time, for a name may come to mean another machine.
                host = urlsplit(hook.url).hostname or ""
                if not await asyncio.get_running_loop().run_in_executor(self._lookups, self._may_reach, host):
                    return False
                async with http.stream("POST", hook.url, content=message.body, headers=headers) as response:
                    return response.is_success
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError):
            return False

    def _run(self) -> None:
        while not self._end.wait(_LOOK_S):
            try:
                self.run_once()
            except SandboxError as error:
                _logger.warning("webhooks were not told: %s", error.code)
            except Exception:
                _logger.exception("webhooks were not told")


def _is_address(url: str) -> bool:
    if len(url) > _MAX_URL or not (url.isascii() and url.isprintable()):
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        httpx.URL(url).host.encode("idna")  # what the client that tells it makes of it
    except (ValueError, httpx.InvalidURL):
        return False
    is_plain = parts.username is None and not parts.fragment
    return parts.scheme == "https" and bool(host) and port != 0 and is_plain


def _webhook(row: Row[tuple[object, ...]]) -> Webhook:
    return Webhook(
        id=row.id,
        owner=row.owner,
        url=row.url,
        made_at=row.made_at,
        next_index=row.next_index,
        failures=row.failures,
    )
