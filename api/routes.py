"""The way of every signed request: body within its limit, signature, repetition, and only then its handler.

A router that is made with `SignedRoute` has no route that could be reached unsigned.
"""

from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.idempotency import Answer, fingerprint_of
from api.jobs import result_due
from api.networks import network_of
from api.refusals import too_large
from api.signing import Caller, SentRequest
from api.submissions import keys_offered
from api.wiring import Hub
from yingbi.keys import VerifyKey

__all__ = ["SIGNATURE", "AnyCaller", "ApplicantRoute", "OpenHub", "ResultRoute", "SignedRoute"]

SIGNATURE: Final = "signature"
"""What the description calls the way in which requests are signed."""

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_KEPT_HEADERS: Final = ("content-type", "location", "etag")


class SignedRoute(APIRoute):
    """A route whose requests are signed by keys that the log knows."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        # It is described as what it is, together with what the route itself says.
        extra = {"security": [{SIGNATURE: []}]} | (options.pop("openapi_extra", None) or {})
        super().__init__(path, endpoint, openapi_extra=extra, **options)

    def get_route_handler(self) -> _Handler:
        """Return what answers a request."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            hub = _hub(request)
            sent = await self.receive(request, hub)
            caller = await run_in_threadpool(self.authenticate, hub, sent)
            request.state.caller = caller
            key = request.headers.get("idempotency-key")
            with ExitStack() as inside:
                inside.enter_context(hub.turnstile.pass_through(caller.organisation or caller.name))
                if key is not None and sent.method != "GET":
                    return await _answer_once(hub, caller.name, key, sent, lambda: handle(request))
                response = await handle(request)
                # SECURITY: a stream is under way until it ends, however long nothing is said in it.
                return _Stream(response, inside.pop_all()) if isinstance(response, StreamingResponse) else response

        return answer

    async def receive(self, request: Request, hub: Hub) -> SentRequest:
        """Return the request with its whole body."""
        return replace(_head(request), body=await _limited_body(request, self.limit(hub)))

    def limit(self, hub: Hub) -> int:
        """Return how many bytes a body may have."""
        return hub.settings.max_body_bytes

    def authenticate(self, hub: Hub, sent: SentRequest) -> Caller:
        """Return who sent the request."""
        return hub.authenticator.authenticate(sent)


class ResultRoute(SignedRoute):
    """A signed route that takes a sealed result."""

    async def receive(self, request: Request, hub: Hub) -> SentRequest:
        """Return the request with its whole body; so much is read only of the node that the log has release the job."""
        caller = await run_in_threadpool(hub.authenticator.expect, _head(request))
        result_due(hub.standing, caller, request.path_params.get("job", ""))
        return await super().receive(request, hub)

    def limit(self, hub: Hub) -> int:
        """Return how many bytes a sealed result may have."""
        return hub.settings.max_result_bytes


class ApplicantRoute(SignedRoute):
    """A route whose requests may also be signed by a key that is yet to be registered."""

    def authenticate(self, hub: Hub, sent: SentRequest) -> Caller:
        """Return who sent the request, by the log's keys, the body's or those of pending applications."""

        def find_offered(keyid: str) -> VerifyKey | None:
            offered = keys_offered(sent.body or b"") if sent.method == "POST" else hub.drafts.keys_offered_by(keyid)
            return offered.get(keyid)

        return hub.authenticator.authenticate_applicant(sent, find_offered)


class _Stream(Response):
    """A stream that is counted until it ends, or whoever listens has gone."""

    def __init__(self, stream: StreamingResponse, inside: ExitStack) -> None:
        super().__init__(status_code=stream.status_code)
        self.raw_headers = stream.raw_headers
        self._stream = stream
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._inside:
            await self._stream(scope, receive, send)


def _head(request: Request) -> SentRequest:
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope.get("raw_path", b"").decode("latin-1").partition("?")[0]
    return SentRequest(
        method=request.method,
        target=f"{path}?{query}" if query else path,
        headers=request.headers,
        body=None,
        network=network_of(request.client.host if request.client else ""),
    )


async def _limited_body(request: Request, limit: int) -> bytes:
    """Read a request's body, and leave it to whoever reads it later.

    Raises:
        InvalidRequestError: it is longer than `limit`.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
    body = b"".join(parts)
    request._body = body  # where starlette keeps a body that was read
    return body


def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


OpenHub = Annotated[Hub, Depends(_hub)]
"""The hub, for handlers."""

AnyCaller = Annotated[Caller, Depends(_caller)]
"""Who sent the request, for handlers of signed routes."""


async def _answer_once(
    hub: Hub, signer: str, key: str, sent: SentRequest, handle: Callable[[], Coroutine[Any, Any, Response]]
) -> Response:
    fingerprint = fingerprint_of(sent.method, sent.target, sent.body or b"")
    before = await run_in_threadpool(hub.answers.begin, signer, key, fingerprint)
    if before is not None:
        return Response(before.body, status_code=before.status, headers=before.headers)
    try:
        response = await handle()
    except BaseException:
        await run_in_threadpool(hub.answers.drop, signer, key)
        raise
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    answer = Answer(status=response.status_code, headers=headers, body=bytes(response.body))
    await run_in_threadpool(hub.answers.end, signer, key, answer)
    return response
