"""What anybody may ask: is the hub well, what does it count. No data, no names."""

from collections import Counter
from typing import Final, Literal

from fastapi import APIRouter
from starlette.responses import JSONResponse, PlainTextResponse, Response

from api.metrics import Labels, render_metrics
from api.routes import OpenHub
from api.schemas.wire import Responses, Wire
from api.wiring import Hub
from yingbi.errors import SandboxError

__all__ = ["HealthOut", "public"]

public = APIRouter(tags=["public"])


class HealthOut(Wire):
    """Whether the hub records and publishes: how many entries there are, how many of them are published."""

    status: Literal["ok", "failing"]
    entries: int
    published: int | None


_FAILING: Final[Responses] = {503: {"description": "It does not", "model": HealthOut}}


@public.get("/healthz", response_model=HealthOut, responses=_FAILING)
def get_health(hub: OpenHub) -> Response:
    """Say whether the hub records and publishes."""
    try:
        published = hub.store.published_size()
    except SandboxError:
        published = None
    is_well = published is not None and hub.recorder.is_well
    size = hub.standing.size
    body = HealthOut(status="ok" if is_well else "failing", entries=size, published=published)
    return JSONResponse(body.model_dump(), status_code=200 if is_well else 503)


@public.get("/metrics", response_class=PlainTextResponse)
def get_metrics(hub: OpenHub) -> Response:
    """Return what the hub counts, in Prometheus' text format."""
    samples = hub.metrics.samples() | _gauges(hub)
    return PlainTextResponse(render_metrics(samples), media_type="text/plain; version=0.0.4")


def _gauges(hub: Hub) -> dict[tuple[str, Labels], float]:
    standing = hub.standing
    states = Counter(one.state.value for one in standing.participants.items())
    jobs = Counter(one.state.value for one in standing.jobs.items())
    drafts = {kind.value: number for kind, number in hub.drafts.count().items()}
    gauges: dict[tuple[str, Labels], float] = {
        ("yingbi_log_entries", ()): standing.size,
        ("yingbi_log_published", ()): hub.store.published_size() or 0,
        ("yingbi_frozen", ()): len(standing.frozen),
    }
    for name, label, counted in (
        ("yingbi_participants", "state", states),
        ("yingbi_jobs", "state", jobs),
        ("yingbi_drafts", "kind", drafts),
    ):
        gauges |= {(name, ((label, value),)): number for value, number in counted.items()}
    return gauges
