"""The witness's HTTP face: `POST /add-checkpoint` of C2SP tlog-witness, and `GET /vkey`.

No text of an exception reaches a caller. It is served by `ledger.serving`.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ledger.witness import MAX_REQUEST_BYTES, Witness
from yingbi.errors import SandboxError

__all__ = ["create_witness_app"]

_BODY_TIMEOUT_S: Final = 10
_logger = logging.getLogger(__name__)


def create_witness_app(witness: Witness) -> Starlette:
    """Return the application of one witness."""

    async def add_checkpoint(request: Request) -> Response:
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                body = await _read_body(request)
        except TimeoutError:
            return _close(HTTPStatus.REQUEST_TIMEOUT)
        except ClientDisconnect:
            return _close(HTTPStatus.BAD_REQUEST)
        if body is None:
            return _close(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return await run_in_threadpool(_answer, witness, body)

    async def list_keys(_: Request) -> Response:
        return PlainTextResponse("".join(verifier.encode() + "\n" for verifier in witness.verifiers))

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/vkey", list_keys, methods=["GET"]),
        ]
    )


async def _read_body(request: Request) -> bytes | None:
    """Return the body; None as soon as it is too long, however long it would become."""
    chunks: list[bytes] = []
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > MAX_REQUEST_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _answer(witness: Witness, body: bytes) -> Response:
    try:
        answer = witness.add_checkpoint(body)
    except SandboxError as error:
        _logger.critical("witness cannot cosign: %s: %s", error.code, error.message)
        return _close(HTTPStatus.SERVICE_UNAVAILABLE)
    return Response(answer.body, status_code=answer.status, headers={"content-type": answer.content_type})


def _close(status: HTTPStatus) -> Response:
    return PlainTextResponse(f"{status.phrase.lower()}\n", status_code=status, headers={"connection": "close"})
