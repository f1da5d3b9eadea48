"""What may be asked of Flower's server, and by whom, before it reads a word: one guard for each of its two listeners.

Flower's own Control interface has no authentication at all, and its server answers every route on one port. The public
guard lets through what registered nodes need; the private one what the bureau's coordinator needs, and of the Control
interface only what is signed by the federation's key.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime, timedelta
from typing import Any, Final

from federated.flower import compat
from federated.flower.messages import MAX_BYTES
from yingbi.clock import Clock
from yingbi.errors import (
    AuthenticationError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    SandboxError,
)
from yingbi.http_signing import CLOCK_SKEW, LIFETIME, verify_request
from yingbi.keys import VerifyKey

__all__ = ["MAX_BODY_BYTES", "PrivateGuard", "PublicGuard"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES: Final = MAX_BYTES + (1 << 20)
"""The largest request: a content of a message, and what is around it."""

_SMALL_BYTES: Final = 1 << 16
_MAX_DIGITS: Final = 12
_FLEET: Final = frozenset(
    f"/v1/fleet/{name}"
    for name in (
        "activate-node",
        "confirm-message-received",
        "deactivate-node",
        "get-fab",
        "get-run",
        "pull-messages",
        "pull-object",
        "push-messages",
        "push-object",
        "send-node-heartbeat",
    )
)
_RUNTIME: Final = frozenset(
    f"/v1/runtime/{name}"
    for name in (
        "acquire-task",
        "confirm-message-received",
        "get-nodes",
        "pull-messages",
        "pull-object",
        "pull-task-input",
        "push-messages",
        "push-object",
        "push-task-output",
        "send-task-heartbeat",
    )
)
_START: Final = "/v1/control/start-run"
_CONTROL: Final = frozenset(
    {
        _START,
        "/v1/control/list-nodes",
        "/v1/control/list-runs",
        "/v1/control/register-node",
        "/v1/control/stop-run",
        "/v1/control/unregister-node",
    }
)
_REPLIES: Final = "/v1/fleet/push-messages"
_HEALTH: Final = "/health"


class _Guard(ABC):
    """Reads a request's body, has it judged, and hands it on or answers with the refusal."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request (ASGI 3)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # Websockets: a server that is told of none of them closes what it was asked to open.
            raise RuntimeError(f"nothing is served over `{scope['type']}`")
        try:
            body = await self._admitted(scope, receive)
        except SandboxError as error:
            await _refuse(send, error)
            return
        await self._app(scope, _given(body, receive), send)

    async def _admitted(self, scope: Scope, receive: Receive) -> bytes:
        path, method = str(scope["path"]), str(scope["method"])
        if method in ("GET", "HEAD") and path == _HEALTH and not scope["query_string"]:
            return b""
        # One spelling of each path: what a proxy or a router would fold together is not among them.
        if method != "POST" or scope["query_string"] or not self.is_known(path):
            raise NotFoundError(ErrorCode.THING_NOT_FOUND, "nothing is served here")
        fields = _Fields(scope["headers"])
        # SECURITY: a stranger may send little; much is read from those only who show first who they are.
        announced = _length(fields)
        limit = MAX_BODY_BYTES if announced > _SMALL_BYTES and self.may_send_much(fields) else _SMALL_BYTES
        body = await _read(receive, announced=announced, limit=limit)
        self.judge(path, fields, body)
        return body

    @abstractmethod
    def may_send_much(self, headers: "_Fields") -> bool:
        """Tell whether a request that announces much is read."""

    @abstractmethod
    def is_known(self, path: str) -> bool:
        """Tell whether something is served at this path."""

    @abstractmethod
    def judge(self, path: str, headers: "_Fields", body: bytes) -> None:
        """Refuse what may not be asked."""


class PublicGuard(_Guard):
    """For nodes: their routes and no other. Who a node is, Flower checks, by the key that was registered for it.

    Args:
        app: Flower's server.
        is_node: tells whether header fields are those of a registered node.
    """

    def __init__(self, app: Application, *, is_node: Callable[[Mapping[str, str]], bool]) -> None:
        super().__init__(app)
        self._is_node = is_node

    def may_send_much(self, headers: "_Fields") -> bool:
        """Tell whether a registered node asks."""
        return self._is_node(dict(headers.items()))

    def is_known(self, path: str) -> bool:
        """Tell whether nodes need this path; they do not register themselves."""
        return path in _FLEET

    def judge(self, path: str, headers: "_Fields", body: bytes) -> None:
        """Refuse replies in another node's name: Flower compares the asking node with the key, not with the sender."""
        del headers
        if path == _REPLIES:
            pushed = _parse(compat.fleet_pb2.PushMessagesRequest, body)
            if any(message.metadata.src_node_id != pushed.node.node_id for message in pushed.messages_list):
                raise InvalidRequestError(ErrorCode.MESSAGE_MALFORMED, "expected a node's own replies")
            if len(pushed.messages_list) != 1 or len(pushed.message_object_trees) != 1:
                raise InvalidRequestError(ErrorCode.MESSAGE_MALFORMED, "expected one reply at a time")


class PrivateGuard(_Guard):
    """For the bureau's coordinator: tasks by the executors' secret, which Flower checks, and signed Control calls.

    Args:
        app: Flower's server.
        origin: asked for the URL under which it is reached, without a path.
        keys: who may sign Control calls, by thumbprint.
        apps: which runs may be started: app ids by SHA-256 in hexadecimal.
        clock: tells when now is.
    """

    def __init__(
        self,
        app: Application,
        *,
        origin: Callable[[], str],
        keys: Mapping[str, VerifyKey],
        apps: Mapping[str, str],
        clock: Clock,
    ) -> None:
        super().__init__(app)
        self._origin = origin
        self._keys = keys
        self._apps = apps
        self._clock = clock
        self._began_at = clock.now()
        self._nonces: dict[tuple[str, str], datetime] = {}

    def may_send_much(self, headers: "_Fields") -> bool:
        """Tell that whoever is on this machine may."""
        del headers
        return True

    def is_known(self, path: str) -> bool:
        """Tell whether the coordinator needs this path."""
        return path in _RUNTIME or path in _CONTROL

    def judge(self, path: str, headers: "_Fields", body: bytes) -> None:
        """Refuse unsigned Control calls, bundles that somebody brings along, and apps that are not in the catalogue."""
        if path in _CONTROL:
            self._authenticate(path, headers, body)
        if path == _START:
            self._check_start(_parse(compat.control_pb2.StartRunRequest, body))

    def _authenticate(self, path: str, headers: "_Fields", body: bytes) -> None:
        signed = verify_request(
            "POST", self._origin() + path, headers, body, find_key=self._keys.get, clock=self._clock
        )
        now = self._clock.now()
        # SECURITY: nonces are kept in memory only; what may have been used before this process began is not taken.
        if signed.expires_at - CLOCK_SKEW - LIFETIME < self._began_at - timedelta(seconds=1):
            raise AuthenticationError(ErrorCode.REQUEST_UNSIGNED, "the request was signed before the server began")
        self._nonces = {used: until for used, until in self._nonces.items() if until > now}
        used = (signed.key.thumbprint, signed.nonce)
        if used in self._nonces:
            raise AuthenticationError(ErrorCode.REQUEST_UNSIGNED, "the request was sent before")
        self._nonces[used] = signed.expires_at

    def _check_start(self, asked: compat.control_pb2.StartRunRequest) -> None:
        sha256 = asked.fab.hash_str
        allowed = compat.control_pb2.StartRunRequest(
            app_spec=self._apps.get(sha256, ""), fab=compat.fab_pb2.Fab(hash_str=sha256)
        )
        # SECURITY: everything else that can be asked for (a bundle, other configuration, connectors) is refused whole.
        if sha256 not in self._apps or asked != allowed:
            raise RefusedError(
                ErrorCode.OPERATION_NOT_PERMITTED, "runs are started by the digest of an app in the catalogue"
            )


class _Fields:
    """Header fields as they came, in order, each line by itself."""

    def __init__(self, lines: list[tuple[bytes, bytes]]) -> None:
        self._lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in lines]

    def items(self) -> list[tuple[str, str]]:
        """Return all lines."""
        return self._lines

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a field that is there once."""
        values = [value for known, value in self._lines if known.lower() == name.lower()]
        return values[0] if len(values) == 1 else default

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(known.lower() == name.lower() for known, _ in self._lines)

    def __iter__(self) -> Any:
        return iter(dict(self._lines))

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value


def _length(headers: _Fields) -> int:
    text = headers.get("content-length", "0") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS or int(text) > MAX_BODY_BYTES:
        raise _too_large(MAX_BODY_BYTES)
    return int(text)


async def _read(receive: Receive, *, announced: int, limit: int) -> bytes:
    if announced > limit:
        raise _too_large(limit)
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise InvalidRequestError(ErrorCode.MESSAGE_MALFORMED, "the request was not finished")
        body += event.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        if not event.get("more_body", False):
            return bytes(body)


def _too_large(limit: int) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.REQUEST_TOO_LARGE, f"expected at most {limit} bytes")


def _given(body: bytes, receive: Receive) -> Receive:
    """Return a source of events that begins with a body that was read already."""
    left = [body]

    async def give() -> MutableMapping[str, Any]:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return give


async def _refuse(send: Send, error: SandboxError) -> None:
    # No 403 to nodes: Flower's client takes it for the end of a run.
    status = error.spec.status
    body = json.dumps({"code": error.code.value, "detail": error.message, "title": error.spec.title}).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _parse(kind: Any, body: bytes) -> Any:
    try:
        return kind.FromString(body)
    except Exception as error:
        raise InvalidRequestError(ErrorCode.MESSAGE_MALFORMED, "expected a request in protobuf") from error
