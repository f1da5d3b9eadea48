"""Calls to Flower's servers: protobuf over HTTPS, by a client of our own.

Flower's client interrupts its own process when a call is answered with 401, leaves the process when versions differ,
and waits for ever on a server that is gone; none of that may happen inside a node or the hub.
"""

import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar, cast
from urllib.parse import urlsplit

import httpx

from federated.flower import compat
from federated.flower.messages import MAX_BYTES, Opened, Parcel, open_parcel, tree_ids
from yingbi.clock import Clock
from yingbi.errors import (
    AuthenticationError,
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from yingbi.http_signing import sign_request
from yingbi.keys import SigningKey

__all__ = [
    "Announced",
    "Coming",
    "ControlCalls",
    "FlowerClient",
    "NodeState",
    "Protobuf",
    "TaskCalls",
    "Waiting",
    "acquire_task",
]


class Protobuf(Protocol):
    """What all of protobuf's generated classes can do."""

    def SerializeToString(self, *, deterministic: bool = False) -> bytes:  # noqa: N802 - protobuf's name
        """Return the bytes."""

    @classmethod
    def FromString(cls, data: bytes) -> Any:  # noqa: N802 - protobuf's name
        """Read bytes."""


T = TypeVar("T", bound=Protobuf)

_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
_MAX_ANSWER: Final = 64 << 20
_ACQUIRE: Final = "/flwr.proto.Runtime/AcquireTask"


class FlowerClient:
    """A connection to one of Flower's servers.

    Args:
        url: `https://host:port`.
        authority: PEM file of the certificate authority that is trusted, and no other.
    """

    def __init__(self, url: str, authority: Path) -> None:
        if urlsplit(url).scheme != "https":
            raise RefusedError(ErrorCode.INSECURE_TRANSPORT, "expected an address that begins with `https://`")
        try:
            context = ssl.create_default_context(cafile=str(authority))
        except (OSError, ValueError) as error:
            raise InvalidRequestError(
                ErrorCode.CONFIG_INVALID, f"certificate authority `{authority.name}` cannot be read"
            ) from error
        self.url = url
        # SECURITY: neither proxies nor redirects: the token of a task goes to this address and nowhere else.
        self._http = httpx.Client(verify=context, timeout=_TIMEOUT, trust_env=False, follow_redirects=False)

    def call(self, path: str, asked: Protobuf, kind: type[T], *, headers: Mapping[str, str] = {}) -> T:
        """Ask and return what is answered.

        Raises:
            UnavailableError: no answer, or the server failed.
            SandboxError: the server refused.
        """
        body = asked.SerializeToString(deterministic=True)
        return self.post(path, body, kind, headers={"content-type": compat.PROTOBUF_MEDIA_TYPE, **headers})

    def post(self, path: str, body: bytes, kind: type[T], *, headers: Mapping[str, str]) -> T:
        """Send bytes and return what is answered; like `call`."""
        try:
            with self._http.stream("POST", self.url + path, content=body, headers=dict(headers)) as response:
                if response.status_code != httpx.codes.OK:
                    raise _refusal(response.status_code)
                data = _bounded(response)
            return cast("T", kind.FromString(data))
        except httpx.HTTPError as error:
            raise UnavailableError(
                ErrorCode.HUB_UNAVAILABLE, "Flower's server does not answer", detail=type(error).__name__
            ) from error
        except compat.DecodeError as error:
            raise UnavailableError(ErrorCode.HUB_UNAVAILABLE, "Flower's server answered something else") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A task that was taken: what it is, and the token that it is worked on with."""

    type: str
    run: int
    app_sha256: str
    token: str

    def __repr__(self) -> str:
        # The token is a secret.
        return f"Waiting(type={self.type!r}, run={self.run})"


def acquire_task(client: FlowerClient, secret: bytes, types: Collection[str]) -> Waiting | None:
    """Take the oldest waiting task of these types, by the executors' secret; nothing when there is none.

    Raises:
        SandboxError: the server does not answer, or refuses.
    """
    asked = compat.runtime_pb2.AcquireTaskRequest(supported_task_types=sorted(types))
    proof = compat.create_superexec_auth_metadata(
        auth_secret=compat.derive_auth_secret(secret), method=_ACQUIRE, request=asked
    )
    answered = client.call("/v1/runtime/acquire-task", asked, compat.runtime_pb2.AcquireTaskResponse, headers=proof)
    if not answered.HasField("task") or not answered.token:
        return None
    task = answered.task
    return Waiting(type=task.type, run=task.run_id, app_sha256=task.fab_hash, token=answered.token)


Announced = tuple[compat.message_pb2.Message, compat.message_pb2.ObjectTree]
"""A message without its content, and the names of its objects."""


class TaskCalls:
    """What can be asked with the token of a task, at a node or at the server.

    Args:
        client: the connection.
        token: the task's.
        run: the run that the task is of.
        node: who asks, as objects are pushed and pulled.
    """

    def __init__(self, client: FlowerClient, token: str, *, run: int, node: int) -> None:
        self._client = client
        self._headers = {compat.TASK_TOKEN_HEADER: token}
        self._run = run
        self._node = compat.node_pb2.Node(node_id=node)

    def start(self) -> compat.runtime_pb2.PullTaskInputResponse:
        """Say that the task is worked on, and return its input."""
        return self._call(
            "pull-task-input", compat.runtime_pb2.PullTaskInputRequest(), compat.runtime_pb2.PullTaskInputResponse
        )

    def beat(self) -> bool:
        """Say that the task is still worked on; return whether it may go on."""
        answered = self._call(
            "send-task-heartbeat",
            compat.runtime_pb2.SendTaskHeartbeatRequest(),
            compat.runtime_pb2.SendTaskHeartbeatResponse,
        )
        return answered.success

    def finish(self, *, is_good: bool) -> None:
        """Say that the task is done; nothing of its state is kept."""
        status = compat.SubStatus.COMPLETED if is_good else compat.SubStatus.FAILED
        asked = compat.runtime_pb2.PushTaskOutputRequest(sub_status=status)
        self._call("push-task-output", asked, compat.runtime_pb2.PushTaskOutputResponse)

    def nodes(self) -> Mapping[int, str]:
        """Return the nodes that can be asked: status by id."""
        answered = self._call("get-nodes", compat.runtime_pb2.GetNodesRequest(), compat.runtime_pb2.GetNodesResponse)
        return {node.node_id: node.status for node in answered.nodes}

    def push(self, parcels: Collection[Parcel]) -> frozenset[str]:
        """Send messages with their objects, each object once; return the ids of those that were taken.

        Raises:
            UnavailableError: not all could be sent.
        """
        answered = self._call(
            "push-messages",
            compat.runtime_pb2.PushAppMessagesRequest(
                messages_list=[compat.message_pb2.Message.FromString(parcel.head) for parcel in parcels],
                message_object_trees=[compat.message_pb2.ObjectTree.FromString(parcel.tree) for parcel in parcels],
            ),
            compat.runtime_pb2.PushAppMessagesResponse,
        )
        objects = {name: data for parcel in parcels for name, data in parcel.objects.items()}
        for name in answered.objects_to_push:
            self._push_object(name, objects.get(name, b""), answered.session_id)
        return frozenset(answered.message_ids) & {parcel.id for parcel in parcels}

    def pull(
        self, wanted: Collection[str] = ()
    ) -> list[tuple[compat.message_pb2.Message, compat.message_pb2.ObjectTree]]:
        """Return the messages that are there, without their objects: replies to `wanted`, or a node's next one."""
        answered = self._call(
            "pull-messages",
            compat.runtime_pb2.PullAppMessagesRequest(message_ids=sorted(wanted)),
            compat.runtime_pb2.PullAppMessagesResponse,
        )
        if len(answered.messages_list) != len(answered.message_object_trees):
            raise UnavailableError(ErrorCode.HUB_UNAVAILABLE, "Flower's server left out the objects of a message")
        return list(zip(answered.messages_list, answered.message_object_trees, strict=True))

    def pull_object(self, name: str) -> bytes | None:
        """Return an object, or nothing while it is on its way.

        Raises:
            NotFoundError: it is not there and will not come.
        """
        asked = compat.message_pb2.PullObjectRequest(node=self._node, run_id=self._run, object_id=name)
        answered = self._call("pull-object", asked, compat.message_pb2.PullObjectResponse)
        if not answered.object_found:
            raise NotFoundError(ErrorCode.THING_NOT_FOUND, "a part of a message is missing")
        return answered.object_content if answered.object_available else None

    def confirm(self, message: str) -> None:
        """Say that a message was fetched with all its objects: they may be deleted."""
        asked = compat.message_pb2.ConfirmMessageReceivedRequest(
            node=self._node, run_id=self._run, message_object_id=message
        )
        self._call("confirm-message-received", asked, compat.message_pb2.ConfirmMessageReceivedResponse)

    def _push_object(self, name: str, data: bytes, session: str) -> None:
        answered = self._call(
            "push-object",
            compat.message_pb2.PushObjectRequest(
                node=self._node, run_id=self._run, object_id=name, object_content=data, session_id=session
            ),
            compat.message_pb2.PushObjectResponse,
        )
        if not answered.stored:
            raise UnavailableError(ErrorCode.HUB_UNAVAILABLE, "Flower's server did not take an object")

    def _call(self, name: str, asked: Protobuf, kind: type[T]) -> T:
        return self._client.call(f"/v1/runtime/{name}", asked, kind, headers=self._headers)


class Coming:
    """A message that was announced, and those of its objects that have come.

    Args:
        calls: of the task that it was announced to.
        tree: the names of its objects.
        max_bytes: of all objects together.
    """

    def __init__(self, calls: TaskCalls, tree: compat.message_pb2.ObjectTree, *, max_bytes: int = MAX_BYTES) -> None:
        self._calls = calls
        self._tree = tree
        self._missing: list[str] | None = None
        self._objects: dict[str, bytes] = {}
        self._max_bytes = max_bytes
        self._left = max_bytes

    def opened(self) -> Opened | None:
        """Fetch what there is, and return the message once all is there.

        Raises:
            InvalidRequestError: it is not a message of ours, or too large.
            UnavailableError: an object will not come (code `answer-malformed`), or the server does not answer.
        """
        if self._missing is None:
            self._missing = list(tree_ids(self._tree))
        while self._missing:
            data = self._calls.pull_object(self._missing[0])
            if data is None:
                return None
            self._left -= len(data)
            if self._left < 0:
                raise InvalidRequestError(
                    ErrorCode.REQUEST_TOO_LARGE, f"expected a message of at most {self._max_bytes} bytes"
                )
            self._objects[self._missing.pop(0)] = data
        self._calls.confirm(self._tree.object_id)
        return open_parcel(self._tree.object_id, self._objects, max_bytes=self._max_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A registered node: its id (a uint64), what Flower last knew of it, and its public key in PEM."""

    id: int
    status: str
    public_key: bytes


class ControlCalls:
    """Signed calls to the Control interface of our launcher.

    Args:
        client: a connection to the private listener.
        key: the federation's.
        clock: tells when now is.
    """

    def __init__(self, client: FlowerClient, key: SigningKey, *, clock: Clock) -> None:
        self._client = client
        self._key = key
        self._clock = clock

    def start_run(self, app: compat.StoredApp | Any) -> int:
        """Start a run of an app that the server has, by its digest; return the run's id."""
        asked = compat.control_pb2.StartRunRequest(app_spec=app.id, fab=compat.fab_pb2.Fab(hash_str=app.sha256))
        return self.call("start-run", asked, compat.control_pb2.StartRunResponse).run_id

    def stop_run(self, run: int) -> None:
        """Stop a run."""
        self.call("stop-run", compat.control_pb2.StopRunRequest(run_id=run), compat.control_pb2.StopRunResponse)

    def register_node(self, public_key: bytes) -> int:
        """Register a node's EC public key (PEM); return the node's id.

        Raises:
            ConflictError: the key is registered already.
        """
        asked = compat.control_pb2.RegisterNodeRequest(public_key=public_key)
        return self.call("register-node", asked, compat.control_pb2.RegisterNodeResponse).node_id

    def unregister_node(self, node: int) -> None:
        """Remove a node: its key opens nothing any more."""
        asked = compat.control_pb2.UnregisterNodeRequest(node_id=node)
        self.call("unregister-node", asked, compat.control_pb2.UnregisterNodeResponse)

    def nodes(self) -> tuple[NodeState, ...]:
        """Return all registered nodes."""
        answered = self.call("list-nodes", compat.control_pb2.ListNodesRequest(), compat.control_pb2.ListNodesResponse)
        return tuple(
            NodeState(id=node.node_id, status=node.status, public_key=node.public_key) for node in answered.nodes_info
        )

    def call(self, name: str, asked: Protobuf, kind: type[T]) -> T:
        """Sign and send a call."""
        path = f"/v1/control/{name}"
        body = asked.SerializeToString(deterministic=True)
        headers = {"content-type": compat.PROTOBUF_MEDIA_TYPE}
        sign_request("POST", self._client.url + path, headers, body, key=self._key, clock=self._clock)
        return self._client.post(path, body, kind, headers=headers)


def _bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > _MAX_ANSWER:
            raise UnavailableError(ErrorCode.HUB_UNAVAILABLE, "Flower's server answered more than it may")
    return bytes(data)


def _refusal(status: int) -> Exception:
    match status:
        case httpx.codes.UNAUTHORIZED:
            return AuthenticationError(ErrorCode.REQUEST_UNSIGNED, "Flower's server does not know who asks")
        case httpx.codes.FORBIDDEN:
            return RefusedError(ErrorCode.OPERATION_NOT_PERMITTED, "Flower's server refuses, or the run has ended")
        case httpx.codes.NOT_FOUND:
            return NotFoundError(ErrorCode.THING_NOT_FOUND, "Flower's server has no such thing")
        case httpx.codes.CONFLICT | httpx.codes.PRECONDITION_FAILED:
            return ConflictError(ErrorCode.TRANSITION_REFUSED, "Flower's server says that this is there already")
        case httpx.codes.BAD_REQUEST | httpx.codes.UNPROCESSABLE_ENTITY:
            return InvalidRequestError(ErrorCode.MESSAGE_MALFORMED, "Flower's server does not take this")
        case _:
            return UnavailableError(ErrorCode.HUB_UNAVAILABLE, f"Flower's server failed with status {status}")
