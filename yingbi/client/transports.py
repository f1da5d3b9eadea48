"""The two networks under the protocol: httpx, blocking and asynchronous. Nothing is decided here.

Nothing of the environment is used unless asked for, no redirect is followed, no cookie is kept, and no more bytes are
taken than the step that asks allows for.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from yingbi.client.wire import Close, Effect, Listen, LostError, NextChunk, Reply, Send, Steps, Wait
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, SandboxError, VerificationError

__all__ = ["AsyncTransport", "Transport", "open_options"]

_T = TypeVar("_T")
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def open_options(*, ca: Path | str | None, proxy: str | None, trust_env: bool) -> dict[str, Any]:
    """Return the options of both kinds of httpx client.

    Raises:
        InvalidRequestError: `ca` holds no certificates, or `proxy` is no URL.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        through = None if proxy is None else httpx.Proxy(proxy)
    except (OSError, ValueError, httpx.InvalidURL):
        # SECURITY: the URL of a proxy may hold a password; it is in no message.
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID, "expected `ca` as a PEM file of certificates, and `proxy` as a URL"
        ) from None
    return {
        "verify": context,
        "proxy": through,
        "trust_env": trust_env,
        "follow_redirects": False,
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=())),
    }


class Transport:
    """Runs steps over a blocking client; conversations in several threads do not meet."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def run(self, steps: Steps[_T]) -> _T:
        """Take steps until they end, and return what they end in."""
        with ExitStack() as stack:
            stack.callback(steps.close)
            conversation = _Conversation(self._http, stack.enter_context(ExitStack()))
            told: Any = None
            lost: Exception | None = None
            while True:
                try:
                    effect = steps.send(told) if lost is None else steps.throw(lost)
                except StopIteration as ended:
                    value: _T = ended.value
                    return value
                told, lost = None, None
                try:
                    told = conversation.take(effect)
                except (LostError, SandboxError) as error:
                    lost = error

    def close(self) -> None:
        """Close all connections."""
        self._http.close()


class AsyncTransport:
    """Runs steps over an asynchronous client; conversations in several tasks do not meet."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def run(self, steps: Steps[_T]) -> _T:
        """Take steps until they end, and return what they end in."""
        async with AsyncExitStack() as stack:
            stack.callback(steps.close)
            conversation = _AsyncConversation(self._http, await stack.enter_async_context(AsyncExitStack()))
            told: Any = None
            lost: Exception | None = None
            while True:
                try:
                    effect = steps.send(told) if lost is None else steps.throw(lost)
                except StopIteration as ended:
                    value: _T = ended.value
                    return value
                told, lost = None, None
                try:
                    told = await conversation.take(effect)
                except (LostError, SandboxError) as error:
                    lost = error

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


class _Conversation:
    """One run of steps, and the answer that it listens to."""

    def __init__(self, http: httpx.Client, stack: ExitStack) -> None:
        self._http = http
        self._stack = stack
        self._chunks: Iterator[bytes] = iter(())

    def take(self, effect: Effect) -> object:
        """Let one effect happen, and return what the step is told of it."""
        try:
            match effect:
                case Listen():
                    return self._listen(effect)
                case Send():
                    return self._send(effect)
                case NextChunk():
                    return next(self._chunks, None)
                case Wait(seconds):
                    time.sleep(seconds)
                case Close():
                    self._stack.close()
        except httpx.HTTPError as error:
            raise _lost(error) from None
        return None

    def _send(self, asked: Send) -> Reply:
        with self._http.stream(asked.method, asked.url, **_parts(asked)) as response:
            return _reply(response, _limited(response.iter_raw(), asked.max_bytes))

    def _listen(self, asked: Listen) -> Reply:
        response = self._stack.enter_context(self._http.stream(asked.method, asked.url, **_parts(asked)))
        if response.status_code != httpx.codes.OK:
            return _reply(response, _limited(response.iter_raw(), asked.max_bytes))
        self._chunks = response.iter_raw()
        return _reply(response, b"")


class _AsyncConversation:
    """One run of steps, and the answer that it listens to."""

    def __init__(self, http: httpx.AsyncClient, stack: AsyncExitStack) -> None:
        self._http = http
        self._stack = stack
        self._chunks: AsyncIterator[bytes] | None = None

    async def take(self, effect: Effect) -> object:
        """Let one effect happen, and return what the step is told of it."""
        try:
            match effect:
                case Listen():
                    return await self._listen(effect)
                case Send():
                    return await self._send(effect)
                case NextChunk() if self._chunks is not None:
                    return await anext(self._chunks, None)
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Close():
                    await self._stack.aclose()
        except httpx.HTTPError as error:
            raise _lost(error) from None
        return None

    async def _send(self, asked: Send) -> Reply:
        async with self._http.stream(asked.method, asked.url, **_parts(asked)) as response:
            return _reply(response, await _limited_async(response.aiter_raw(), asked.max_bytes))

    async def _listen(self, asked: Listen) -> Reply:
        response = await self._stack.enter_async_context(self._http.stream(asked.method, asked.url, **_parts(asked)))
        if response.status_code != httpx.codes.OK:
            return _reply(response, await _limited_async(response.aiter_raw(), asked.max_bytes))
        self._chunks = response.aiter_raw()
        return _reply(response, b"")


def _parts(asked: Send) -> dict[str, Any]:
    # SECURITY: an answer that is packed could unpack to anything; so none is asked for, and `_reply` takes none.
    headers = {**asked.headers, "Accept-Encoding": "identity"}
    timeout = httpx.Timeout(asked.timeout_s, connect=asked.connect_s)
    return {"headers": headers, "content": asked.body, "timeout": timeout}


def _reply(response: httpx.Response, body: bytes) -> Reply:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _not_taken("an answer that is packed")
    return Reply(status=response.status_code, headers={k.lower(): v for k, v in response.headers.items()}, body=body)


def _limited(chunks: Iterator[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise _not_taken(f"more than {max_bytes} bytes")
    return bytes(body)


async def _limited_async(chunks: AsyncIterator[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise _not_taken(f"more than {max_bytes} bytes")
    return bytes(body)


def _lost(error: httpx.HTTPError) -> Exception:
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and len(causes) < 10:
        causes.append(cause)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return RefusedError(
            ErrorCode.INSECURE_TRANSPORT,
            "the hub's TLS certificate does not verify",
            hint="`ca` names the PEM file of a private certificate authority",
        )
    # SECURITY: httpx's words quote URLs and proxies, which may hold passwords.
    return LostError(type(error).__name__, was_sent=not isinstance(error, _NEVER_SENT))


def _not_taken(what: str) -> VerificationError:
    return VerificationError(ErrorCode.ANSWER_MALFORMED, f"the hub sent {what}, which is not taken")
