"""Federations: followed round by round, stopped, and their evidence. They begin with their member jobs (`/v1/jobs`)."""

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.federations import WAITING, federation_out, visible_federation
from api.filing import FILED, file_submission
from api.pages import Cursor, Limit, take_page
from api.refusals import malformed, not_found
from api.routes import AnyCaller, OpenHub, SignedRoute
from api.schemas.federations import FederationNodeOut, FederationOut
from api.schemas.submissions import SubmissionIn
from api.schemas.wire import NOT_FOUND, PROBLEMS, PageOut, Responses
from api.signing import Caller
from api.submissions import Submission
from api.visibility import may_see_job
from api.watching import look_until, stream_changes
from api.wiring import Hub
from yingbi.events import EntryType

__all__ = ["federations"]

federations = APIRouter(prefix="/v1/federations", tags=["federations"], route_class=SignedRoute, responses=PROBLEMS)
_GOING: Final = frozenset({WAITING, "running", "interrupted"})
_EVENT: Final = {
    "type": "object",
    "properties": {
        "event": {"enum": ["federation"]},
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/FederationOut"},
        },
    },
    "required": ["event", "id", "data"],
}
_EVENTS: Final[Responses] = {
    200: {"description": "The federation, as it changes", "content": {"text/event-stream": {"itemSchema": _EVENT}}}
}
_BYTES: Final = "application/octet-stream"
_VECTOR: Final[Responses] = {
    200: {
        "description": "The masked vector: 64-bit numbers, little-endian",
        "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}},
    }
}
Number = Annotated[int, Path(ge=1, le=1_000_000)]
Wait = Annotated[int, Query(ge=0, le=60, description="seconds to wait for a change")]


@federations.get("")
def list_federations(
    hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50
) -> PageOut[FederationOut]:
    """List the federations that the caller may know of, oldest first."""
    standing = hub.standing
    found = [
        group
        for group in hub.federation_groups.all(standing)
        if any(may_see_job(caller, standing, job) for job in group.jobs(standing))
    ]
    firsts = {group.key: group.jobs(standing)[0].entries[0] for group in found}
    page = take_page(found, key=lambda group: f"{firsts[group.key]:016}", cursor=cursor, limit=limit)
    return PageOut(items=[federation_out(hub, standing, group) for group in page.items], next=page.next)


@federations.get("/nodes")
def list_nodes(hub: OpenHub, caller: AnyCaller) -> PageOut[FederationNodeOut]:
    """List the nodes that take part in federations, and whether they are connected."""
    del caller
    connected = {} if hub.federation_way is None else hub.federation_way.connected()
    items = [
        FederationNodeOut(node=node, unit=hub.standing.keys.organisation(node), is_connected=is_connected)
        for node, is_connected in sorted(connected.items())
    ]
    return PageOut(items=items)


@federations.get("/{federation}", responses=NOT_FOUND)
async def get_federation(
    hub: OpenHub,
    caller: AnyCaller,
    federation: str,
    after: Annotated[int | None, Query(ge=0, description="answer when it has more entries than these")] = None,
    wait: Wait = 0,
) -> FederationOut:
    """Return where a federation is; with `after` and `wait`, as soon as it went on."""
    look = partial(_look, hub, caller, federation)
    return await look_until(hub, look, is_wanted=lambda out: after is None or len(out.entries) > after, wait_s=wait)


@federations.get("/{federation}/events", response_class=StreamingResponse, responses=_EVENTS | NOT_FOUND)
async def get_federation_events(hub: OpenHub, caller: AnyCaller, federation: str, request: Request) -> Response:
    """Tell of a federation as it changes (server-sent events), to its end or for five minutes."""
    look = partial(_look, hub, caller, federation)
    return await stream_changes(
        hub, caller, request, look, is_over=lambda out: out.state not in _GOING, kind=lambda _told, _found: "federation"
    )


@federations.post("/{federation}/stop", status_code=201, responses=FILED)
def stop_federation(hub: OpenHub, caller: AnyCaller, federation: str, posted: SubmissionIn) -> Response:
    """Abort a federation that was started, for good; the bureau calls off what is left of its jobs."""
    visible_federation(hub, hub.standing, caller, federation)

    def check(submission: Submission) -> None:
        if any(one.payload.id != federation for one in submission.statements):
            raise malformed("expected a statement about this federation")

    return file_submission(hub, caller, posted, types=[EntryType.FEDERATION_ABORTED], check=check)


@federations.get(
    "/{federation}/rounds/{number}/{attempt}/{node}", response_class=Response, responses=_VECTOR | NOT_FOUND
)
def get_contribution(
    hub: OpenHub, caller: AnyCaller, federation: str, number: Number, attempt: Number, node: str
) -> Response:
    """Return a masked contribution: uniformly random by itself, evidence of the sum with the others."""
    standing = hub.standing
    is_started = visible_federation(hub, standing, caller, federation).started(standing) is not None
    vector = hub.federation_store.vectors(federation, number, attempt).get(node) if is_started else None
    if vector is None:
        raise not_found("contribution")
    return Response(vector.astype("<u8").tobytes(), media_type=_BYTES)


def _look(hub: Hub, caller: Caller, federation: str) -> FederationOut:
    standing = hub.standing
    return federation_out(hub, standing, visible_federation(hub, standing, caller, federation))
