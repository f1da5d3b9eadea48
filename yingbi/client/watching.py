"""Following a job or a federation: by server-sent events, and where these do not come through, by asking again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final, Generic, TypeVar

from yingbi.client.exchange import Exchange, Question, route
from yingbi.client.problems import read_object
from yingbi.client.status import HAS_RESULT, JobStatus, parse_status
from yingbi.client.wire import Close, LostError, NextChunk, Reply, Steps, Wait
from yingbi.errors import ErrorCode, UnavailableError, VerificationError

__all__ = ["EventReader", "Followed", "Tell", "check_time", "follow", "watch"]

_S = TypeVar("_S")

Tell = Callable[[JobStatus], None]
"""Is told of every change of a job."""

_HELD_OPEN_S: Final = 25
_PAUSE_S: Final = 0.5
_EVENT_BYTES: Final = 1 << 20
_EVENT_LINES: Final = 10_000
_EVENT_STREAM: Final = "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed(Generic[_S]):
    """Something that is followed: `name` as people call it, `path` where it is, and how what is sent of it is read.

    `read_event`: what an event says of the status before it. `seen`: what a change is a change of. `waiting`: how to
    ask for what comes after a status, and whether anything else than a result can come, so that waiting helps.
    """

    name: str
    path: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], _S]
    read_event: Callable[[_S, Mapping[str, Any]], _S]
    is_settled: Callable[[_S], bool]
    seen: Callable[[_S], object]
    waiting: Callable[[_S], tuple[Mapping[str, str], bool]]


def watch(exchange: Exchange, job: str, *, timeout_s: float | None, tell: Tell) -> Steps[JobStatus]:
    """Follow a job until nothing more comes without a person.

    Raises:
        UnavailableError: it takes longer than `timeout_s`; the job goes on.
    """
    followed = Followed(
        name=f"job `{job}`",
        path=("jobs", job),
        read=parse_status,
        # What an event does not say stays.
        read_event=lambda status, data: parse_status({**status.raw, **data, "job": status.job}),
        is_settled=lambda status: status.is_settled,
        seen=lambda status: (status.state, status.progress, status.has_result),
        waiting=lambda status: ({"after_state": status.state}, status.state not in HAS_RESULT),
    )
    return (yield from follow(exchange, followed, timeout_s=timeout_s, tell=tell))


def follow(
    exchange: Exchange, followed: Followed[_S], *, timeout_s: float | None, tell: Callable[[_S], None]
) -> Steps[_S]:
    """Follow something until it is settled.

    Raises:
        UnavailableError: it takes longer than `timeout_s`, and goes on.
    """
    end = None if timeout_s is None else monotonic() + timeout_s
    status = followed.read((yield from exchange.ask_json(Question(path=route(*followed.path)))))
    tell(status)
    if not followed.is_settled(status):
        status = yield from _listen(exchange, followed, status, end, tell)
    while not followed.is_settled(status):
        left = check_time(end, followed.name)
        status = yield from _ask_again(exchange, followed, status, left, tell)
    return status


def check_time(end: float | None, name: str) -> float | None:
    """Return how many seconds are left, or nothing where there is no end.

    Raises:
        UnavailableError: none are.
    """
    if end is None:
        return None
    left = end - monotonic()
    if left <= 0:
        raise UnavailableError(
            ErrorCode.HUB_UNAVAILABLE, f"{name} takes longer", hint="it goes on; wait again, or come back later"
        )
    return left


def _listen(
    exchange: Exchange, followed: Followed[_S], status: _S, end: float | None, tell: Callable[[_S], None]
) -> Steps[_S]:
    """Follow events until something is settled, or they end; return the last status that is known."""
    question = Question(path=route(*followed.path, "events"), accept=_EVENT_STREAM)
    reader = EventReader()
    try:
        listened = exchange.listen(question)
        left = check_time(end, followed.name)
        # A stream may say nothing for as long as the hub likes; we do not like it longer than we wait in all.
        reply: Reply = yield replace(listened, timeout_s=min(listened.timeout_s, left or listened.timeout_s))
        if reply.status != 200 or not reply.headers.get("content-type", "").startswith(_EVENT_STREAM):
            return status
        while not followed.is_settled(status) and (chunk := (yield NextChunk())) is not None:
            for data in reader.feed(chunk):
                status = _told(followed, status, followed.read_event(status, data), tell)
            check_time(end, followed.name)
    except (LostError, VerificationError):
        # Proxies cut what stays open, and some change it; asking again always works.
        pass
    finally:
        reader.close()
    yield Close()
    return status


def _ask_again(
    exchange: Exchange, followed: Followed[_S], status: _S, left: float | None, tell: Callable[[_S], None]
) -> Steps[_S]:
    query, can_wait = followed.waiting(status)
    held_s = _HELD_OPEN_S if left is None else max(1, min(_HELD_OPEN_S, int(left)))
    if not can_wait:
        held_s = 0  # nothing else comes, only the result
    question = Question(path=route(*followed.path), query={**query, "wait": str(held_s)}, wait_s=held_s)
    found = followed.read((yield from exchange.ask_json(question)))
    if followed.seen(found) == followed.seen(status):
        yield Wait(_PAUSE_S)
    else:
        tell(found)
    return found


def _told(followed: Followed[_S], status: _S, found: _S, tell: Callable[[_S], None]) -> _S:
    if followed.seen(found) != followed.seen(status):
        tell(found)
    return found


class EventReader:
    """Reads server-sent events from bytes as they come (WHATWG HTML, 9.2)."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Mapping[str, Any]]:
        """Yield the JSON of every event that these bytes complete.

        Raises:
            VerificationError: an event is longer than any should be, or is no JSON object.
        """
        self._rest += chunk
        lines: list[bytes] = []
        if b"\n" in chunk:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
        for line in lines:
            if line.startswith(b"data:"):
                self._keep(line[5:].strip())
            elif not line.strip() and self._data:
                yield self._take()
        self._check_length()

    def close(self) -> None:
        """Forget what has not become an event."""
        self._rest, self._data, self._size = bytearray(), [], 0

    def _keep(self, data: bytes) -> None:
        self._data.append(data)
        self._size += len(data)
        self._check_length()

    def _check_length(self) -> None:
        # SECURITY: lines without a byte take memory too, so both are counted.
        if len(self._rest) + self._size > _EVENT_BYTES or len(self._data) > _EVENT_LINES:
            raise VerificationError(ErrorCode.ANSWER_MALFORMED, "the hub sent an event that is too long")

    def _take(self) -> Mapping[str, Any]:
        value = read_object(b"\n".join(self._data))
        self._data, self._size = [], 0
        if value is None:
            raise VerificationError(ErrorCode.ANSWER_MALFORMED, "the hub sent an event that is no JSON object")
        return value
