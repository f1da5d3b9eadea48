"""Callers that wait for what they look at to change: long polls, and streams of server-sent events."""

from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Final, TypeVar

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from api.signing import Caller
from api.wiring import Hub
from yingbi.errors import SandboxError

__all__ = ["look_until", "stream_changes"]

_HEARTBEAT_S: Final = 15.0
# Who listens longer signs again: a key that has ended meanwhile hears no more.
_STREAM_S: Final = 300.0

_Seen = TypeVar("_Seen", bound=BaseModel)


async def look_until(hub: Hub, look: Callable[[], _Seen], *, is_wanted: Callable[[_Seen], bool], wait_s: int) -> _Seen:
    """Return what `look` finds: as soon as it is what is wanted, or whatever it is when the time is over."""
    left = float(min(wait_s, hub.settings.max_wait_s))
    seen = hub.recorder.changes.count
    found = await run_in_threadpool(look)
    while not is_wanted(found) and left > 0:
        began = monotonic()
        if not await hub.recorder.changes.wait(seen, left):
            break
        left -= monotonic() - began
        seen = hub.recorder.changes.count
        found = await run_in_threadpool(look)
    return found


async def stream_changes(
    hub: Hub,
    caller: Caller,
    request: Request,
    look: Callable[[], _Seen],
    *,
    is_over: Callable[[_Seen], bool],
    kind: Callable[[_Seen | None, _Seen], str],
) -> StreamingResponse:
    """Return the events of everything that `look` finds changed, to its end or for five minutes.

    Args:
        hub: the hub.
        caller: who listens.
        request: the request that is answered.
        look: returns what the caller may see now. Its first refusal is the answer; a later one ends the stream.
        is_over: whether nothing of it will change any more.
        kind: the name of an event, of what was told before (nothing at first) and what is found now.
    """
    first = await run_in_threadpool(look)

    async def events() -> AsyncIterator[str]:
        told, number = first, 1
        yield _event(kind(None, first), number, first)
        seen = hub.recorder.changes.count
        end = monotonic() + _STREAM_S
        while not is_over(told) and monotonic() < end and not await request.is_disconnected():
            # SECURITY: who is frozen meanwhile is told no more; a new request would be refused.
            if hub.standing.freezes.holds(caller.party, caller.organisation):
                return
            try:
                found = await run_in_threadpool(look)
            except SandboxError:
                return
            if found != told:
                number += 1
                yield _event(kind(told, found), number, found)
                told = found
                continue
            if not await hub.recorder.changes.wait(seen, _HEARTBEAT_S):
                # Nobody on the way takes silence for an end.
                yield ": still here\n\n"
            seen = hub.recorder.changes.count

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _event(kind: str, number: int, content: BaseModel) -> str:
    return f"event: {kind}\nid: {number}\ndata: {content.model_dump_json()}\n\n"
