"""Nodes: they poll for work, outward only, and record what they did. Leases are entries before they are told."""

import json
from time import monotonic
from typing import Final

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.filing import FILED, file_submission
from api.leasing import News
from api.refusals import not_found
from api.routes import AnyCaller, OpenHub, SignedRoute
from api.schemas.federations import FederationJoinIn, FederationKitOut
from api.schemas.jobs import LeaseOut, NewsOut, PollIn
from api.schemas.submissions import SubmissionIn
from api.schemas.wire import NOT_FOUND, NOT_NOW, PROBLEMS, Responses
from api.signing import Caller
from api.submissions import Submission, opening_json
from api.wiring import Hub
from policies.standing import JobStanding
from yingbi.clock import format_time
from yingbi.events import EntryType

__all__ = ["nodes"]

nodes = APIRouter(prefix="/v1/nodes", tags=["nodes"], route_class=SignedRoute, responses=PROBLEMS)
_STEPS: Final = (
    EntryType.JOB_REFUSED,
    EntryType.JOB_STARTED,
    EntryType.JOB_FAILED,
    EntryType.JOB_INTERRUPTED,
    EntryType.OUTPUT_CHECKED,
    EntryType.OUTPUT_HELD,
    EntryType.OUTPUT_RELEASED,
    EntryType.OUTPUT_DESTROYED,
    EntryType.BUDGET_RESERVED,
    EntryType.BUDGET_COMMITTED,
    EntryType.BUDGET_REFUNDED,
    EntryType.FEDERATION_JOINED,
    EntryType.FEDERATION_CONTRIBUTED,
)
_POLLED: Final[Responses] = {
    200: {"description": "A lease, or news", "model": LeaseOut | NewsOut},
    204: {"description": "Nothing"},
}


@nodes.post("/{name}/poll", responses=_POLLED | NOT_FOUND | NOT_NOW)
async def poll(hub: OpenHub, caller: AnyCaller, name: str, asked: PollIn, request: Request) -> Response:
    """Return a lease, or what the node has to know; or nothing after it has waited.

    A lease that the node has not begun is told again, each time: the answer before may have been lost.

    Who has hung up gets no lease: its node may be gone, and the job would wait until the lease is over.
    """
    node = _own_name(caller, name)
    end = monotonic() + min(asked.wait_s, hub.settings.max_wait_s)
    while True:
        seen = hub.recorder.changes.count
        if await request.is_disconnected():
            return Response(status_code=204)
        found = await run_in_threadpool(_look_for_work, hub, node)
        if found is not None:
            return found
        left = end - monotonic()
        # Leases and approvals run out without a word: whoever waits looks again now and then.
        if left <= 0 or (not await hub.recorder.changes.wait(seen, min(left, _LOOK_AGAIN_S)) and monotonic() >= end):
            return Response(status_code=204)


@nodes.post("/{name}/steps", status_code=201, responses=FILED)
def post_steps(hub: OpenHub, caller: AnyCaller, name: str, posted: SubmissionIn) -> Response:
    """Record what the node did about a job that it has leased: all of it together, or nothing."""
    _own_name(caller, name)
    return file_submission(hub, caller, posted, types=_STEPS)


@nodes.put("/{name}/federation", responses=NOT_FOUND | NOT_NOW)
def join_federations(hub: OpenHub, caller: AnyCaller, name: str, asked: FederationJoinIn) -> FederationKitOut:
    """Register the node's key for federations, in place of the one it had; return what it needs to take part."""
    node = _own_name(caller, name)
    if hub.federation_way is None:
        raise not_found("federation")
    kit = hub.federation_way.register(node, asked.public_key.encode())
    return FederationKitOut(
        address=kit.address,
        node_id=kit.node_id,
        app=kit.app,
        app_keys=[dict(key) for key in kit.app_keys],
        authority=kit.authority,
    )


_LOOK_AGAIN_S: Final = 5.0


def _own_name(caller: Caller, name: str) -> str:
    """Return the node's party where it is the caller's own."""
    party = name if name.startswith("node:") else f"node:{name}"
    if caller.party != party:
        raise not_found("node")
    return party


def _look_for_work(hub: Hub, node: str) -> Response | None:
    at = format_time(hub.clock.now())
    news = hub.leasing.news(hub.standing, node, at=at)
    job = hub.leasing.current(hub.standing, node, at=at) or _new_lease(hub, node, at=at)
    if job is not None:
        hub.leasing.tell(node, news)
        return JSONResponse(_lease_out(hub, job, news).model_dump())
    if not hub.leasing.is_news(node, news):
        return None
    hub.leasing.tell(node, news)
    return JSONResponse(NewsOut(checks=list(news.checks), stops=list(news.stops)).model_dump())


def _new_lease(hub: Hub, node: str, *, at: str) -> JobStanding | None:
    """Record the lease of the node's next job, where there is one."""
    if not hub.leasing.has_work(hub.standing, node, at=at):
        return None
    recorded = hub.recorder.record(Submission(then=hub.leasing.lease(node)))
    return hub.standing.jobs.get(recorded.entries[0].statement.payload.id) if recorded.entries else None


def _lease_out(hub: Hub, job: JobStanding, news: News) -> LeaseOut:
    entries = {index: hub.recorder.read(index) for index in job.entries}
    approved = [index for index, entry in entries.items() if entry.statement.type is EntryType.JOB_APPROVED]
    leased = [index for index, entry in entries.items() if entry.statement.type is EntryType.JOB_LEASED]
    return LeaseOut(
        job=job.id,
        attempt=job.life.attempt,
        expires_at=job.life.leased_until or "",
        statement=json.loads(entries[job.entries[0]].statement.envelope),
        plan=opening_json(hub.store.read_opening(job.submitted.plan)),
        entries={"submitted": job.entries[0], "approved": approved, "leased": leased[-1]},
        size=hub.log_reader.published().checkpoint.size,
        decided=approved,
        checks=list(news.checks),
        stops=list(news.stops),
    )
