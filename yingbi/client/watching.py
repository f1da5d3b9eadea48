"""Following a job: by server-sent events, and where these do not come through, by asking again and again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from yingbi.client.exchange import Exchange, Question, route
from yingbi.client.problems import read_object
from yingbi.client.status import HAS_RESULT, JobStatus, parse_status
from yingbi.client.wire import Close, LostError, NextChunk, Reply, Steps, Wait
from yingbi.errors import ErrorCode, UnavailableError, VerificationError

__all__ = ["EventReader", "Tell", "watch"]

Tell = Callable[[JobStatus], None]
"""Is told of every change of a job."""

_HELD_OPEN_S: Final = 25
_PAUSE_S: Final = 0.5
_EVENT_BYTES: Final = 1 << 20
_EVENT_LINES: Final = 10_000
_EVENT_STREAM: Final = "text/event-stream"


def watch(exchange: Exchange, job: str, *, timeout_s: float | None, tell: Tell) -> Steps[JobStatus]:
    """Follow a job until nothing more comes without a person.

    Raises:
        UnavailableError: it takes longer than `timeout_s`; the job goes on.
    """
    end = None if timeout_s is None else monotonic() + timeout_s
    status = parse_status((yield from exchange.ask_json(Question(path=route("jobs", job)))))
    tell(status)
    if not status.is_settled:
        status = yield from _listen(exchange, status, end, tell)
    while not status.is_settled:
        left = _time_left(end, job)
        status = yield from _ask_again(exchange, status, left, tell)
    return status


def _listen(exchange: Exchange, status: JobStatus, end: float | None, tell: Tell) -> Steps[JobStatus]:
    """Follow the events of a job until it is settled, or they end; return the last status that is known."""
    question = Question(path=route("jobs", status.job, "events"), accept=_EVENT_STREAM)
    reader = EventReader()
    try:
        listened = exchange.listen(question)
        left = _time_left(end, status.job)
        # A stream may say nothing for as long as the hub likes; we do not like it longer than we wait in all.
        reply: Reply = yield replace(listened, timeout_s=min(listened.timeout_s, left or listened.timeout_s))
        if reply.status != 200 or not reply.headers.get("content-type", "").startswith(_EVENT_STREAM):
            return status
        while not status.is_settled and (chunk := (yield NextChunk())) is not None:
            for data in reader.feed(chunk):
                status = _changed(status, data, tell)
            _time_left(end, status.job)
    except (LostError, VerificationError):
        # Proxies cut what stays open, and some change it; asking again always works.
        pass
    finally:
        reader.close()
    yield Close()
    return status


def _ask_again(exchange: Exchange, status: JobStatus, left: float | None, tell: Tell) -> Steps[JobStatus]:
    held_s = _HELD_OPEN_S if left is None else max(1, min(_HELD_OPEN_S, int(left)))
    if status.state in HAS_RESULT:
        held_s = 0  # no other state comes, only the result
    query = {"after_state": status.state, "wait": str(held_s)}
    question = Question(path=route("jobs", status.job), query=query, wait_s=held_s)
    found = parse_status((yield from exchange.ask_json(question)))
    if _seen(found) == _seen(status):
        yield Wait(_PAUSE_S)
    else:
        tell(found)
    return found


def _changed(status: JobStatus, data: Mapping[str, Any], tell: Tell) -> JobStatus:
    """Return the status after an event; what the event does not say stays."""
    found = parse_status({**status.raw, **data, "job": status.job})
    if _seen(found) != _seen(status):
        tell(found)
    return found


def _seen(status: JobStatus) -> tuple[object, ...]:
    return status.state, status.progress, status.has_result


def _time_left(end: float | None, job: str) -> float | None:
    if end is None:
        return None
    left = end - monotonic()
    if left <= 0:
        raise UnavailableError(
            ErrorCode.HUB_UNAVAILABLE, f"job `{job}` takes longer", hint="it goes on; wait again, or come back later"
        )
    return left


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
