"""The hub's application: every route there is, how errors are answered, the log beside them for anybody to read."""

from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.openapi import describe
from api.problems import install_problems
from api.routers.agreements import agreements
from api.routers.datasets import datasets
from api.routers.drafts import applications, drafts
from api.routers.entries import documents, entries
from api.routers.federations import federations
from api.routers.incidents import incidents
from api.routers.jobs import jobs, results
from api.routers.nodes import nodes
from api.routers.outputs import budgets, outputs
from api.routers.participants import duties, keys, participants
from api.routers.public import public
from api.routers.webhooks import webhooks
from api.wiring import Hub
from ledger.http import create_log_app
from ledger.publish import CHECKPOINT_NAME, VKEY_NAME

__all__ = ["ROUTERS", "create_app"]

ROUTERS: Final = (
    public,
    applications,
    drafts,
    participants,
    keys,
    duties,
    datasets,
    agreements,
    incidents,
    results,
    jobs,
    nodes,
    federations,
    outputs,
    budgets,
    webhooks,
    documents,
    entries,
)
_LOG_PATHS: Final = (f"/{CHECKPOINT_NAME}", f"/{VKEY_NAME}")
_TILES: Final = "/tile/"
# Of the interface, as in `/v1`; not of the software.
_API_VERSION: Final = "1.0"
_ABOUT: Final = (
    "Requests are signed (RFC 9421) with keys that the log knows; state changes only by signed statements; every answer"
    " to one carries its receipt. What is public needs no signature: the log's tiles, its checkpoint, receipts."
)


def create_app(hub: Hub) -> FastAPI:
    """Make the application of an open hub."""
    app = FastAPI(
        title="Yingbi hub",
        version=_API_VERSION,
        description=_ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.hub = hub
    install_problems(app)
    for router in ROUTERS:
        app.include_router(router)
    describe(app)
    app.add_middleware(_Outer, hub=hub, log=create_log_app(hub.store, hub.log_verifiers))
    return app


class _Outer:
    """Hands paths of the log to the log's own application, and counts answers by method and status."""

    def __init__(self, app: ASGIApp, *, hub: Hub, log: ASGIApp) -> None:
        self._app = app
        self._hub = hub
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._hub.metrics.count_request(str(scope["method"]), int(message["status"]))
            await send(message)

        path = str(scope["path"])
        is_of_log = path in _LOG_PATHS or path.startswith(_TILES)
        await (self._log if is_of_log else self._app)(scope, receive, counted)
