"""The log over HTTP: C2SP tlog-tiles, readable by anyone, nothing else."""

from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ledger.note import NoteVerifier
from ledger.publish import CHECKPOINT_NAME, VKEY_NAME, read_published
from ledger.store import LogReads
from yingbi.errors import ErrorCode, NotFoundError, SandboxError

__all__ = ["create_log_app"]

_IMMUTABLE: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_MUTABLE: Final = {"Cache-Control": "no-cache"}


def create_log_app(store: LogReads, verifiers: tuple[NoteVerifier, ...]) -> Starlette:
    """Make the application that serves `/checkpoint`, `/tile/…` and `/vkey` of one log."""
    vkeys = "".join(f"{verifier.encode()}\n" for verifier in verifiers)

    def serve_checkpoint(_: Request) -> Response:
        return PlainTextResponse(read_published(store, CHECKPOINT_NAME), headers=_MUTABLE)

    def serve_tile(request: Request) -> Response:
        path = request.path_params["path"]
        if not request.scope["path"].endswith(path):  # the router drops a newline at the end
            raise NotFoundError(ErrorCode.TILE_NOT_FOUND, "no such path")
        data = read_published(store, f"tile/{path}")
        return Response(data, media_type="application/octet-stream", headers=_IMMUTABLE)

    def serve_vkey(_: Request) -> Response:
        return PlainTextResponse(vkeys, headers=_MUTABLE)

    app = Starlette(
        routes=[
            Route(f"/{CHECKPOINT_NAME}", serve_checkpoint),
            Route("/tile/{path:path}", serve_tile),
            Route(f"/{VKEY_NAME}", serve_vkey),
        ],
        exception_handlers={SandboxError: _answer_error},
    )
    # SECURITY: a redirect would lead wherever the request's Host header says.
    app.router.redirect_slashes = False
    return app


def _answer_error(_: Request, error: Exception) -> Response:
    # SECURITY: a reader learns that there is no such thing, or that it should come back; never why.
    status = error.spec.status if isinstance(error, SandboxError) else 500
    # What does not exist yet may exist in a moment: a cache that kept a 404 would hide it.
    return PlainTextResponse("", status_code=404 if status < 500 else 503, headers=_MUTABLE)
