"""The guards of Flower's server, without Flower: what they let through reaches a recorder, the rest does not."""

import asyncio
import json
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.flower import compat
from federated.flower.guards import MAX_BODY_BYTES, PrivateGuard, PublicGuard
from yingbi.clock import FixedClock
from yingbi.http_signing import sign_request
from yingbi.keys import SigningKey

ORIGIN = "https://127.0.0.1:9000"
START = "/v1/control/start-run"
NODES = "/v1/control/list-nodes"
APP = ("@yingbi/small-app", "ab" * 32)


class Recorder:
    """The application behind a guard."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        body, is_more = b"", True
        while is_more:
            event = await receive()
            body += event["body"]
            is_more = event["more_body"]
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def ask(
    guard: Any,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    method: str = "POST",
    query: bytes = b"",
) -> tuple[int, bytes]:
    """Ask a guard, the body in two pieces; return status and body."""
    pieces = [body[: len(body) // 2], body[len(body) // 2 :]]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    lines = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": lines}
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


def outside(app: Any, *, is_node: bool = False) -> PublicGuard:
    return PublicGuard(app, is_node=lambda headers: is_node and "content-length" in headers)


@pytest.fixture
def behind() -> Recorder:
    return Recorder()


@pytest.fixture
def private(behind: Recorder, key: SigningKey, clock: FixedClock) -> PrivateGuard:
    keys = {key.public.thumbprint: key.public}
    return PrivateGuard(behind, origin=lambda: ORIGIN, keys=keys, apps={APP[1]: APP[0]}, clock=clock)


def signed(key: SigningKey, clock: FixedClock, path: str, body: bytes) -> dict[str, str]:
    headers = {"content-type": "application/protobuf"}
    sign_request("POST", ORIGIN + path, headers, body, key=key, clock=clock)
    return headers


def start(**changes: Any) -> bytes:
    asked = compat.control_pb2.StartRunRequest(app_spec=APP[0], fab=compat.fab_pb2.Fab(hash_str=APP[1]))
    asked.MergeFrom(compat.control_pb2.StartRunRequest(**changes))
    return bytes(asked.SerializeToString())


def test_what_is_let_through_arrives_whole(private: PrivateGuard, behind: Recorder) -> None:
    assert ask(private, "/v1/runtime/push-object", b"0123456789")[0] == 200
    assert behind.bodies == [b"0123456789"]


def test_a_signed_start_of_a_known_app_is_let_through(
    private: PrivateGuard, behind: Recorder, key: SigningKey, clock: FixedClock
) -> None:
    assert ask(private, START, start(), signed(key, clock, START, start()))[0] == 200
    assert behind.bodies == [start()]


def test_a_refusal_is_a_problem_document(private: PrivateGuard) -> None:
    status, body = ask(private, NODES)
    assert status == 401
    assert json.loads(body)["code"] == "request-unsigned"


def test_signatures_are_good_for_what_was_signed_once_and_now(
    private: PrivateGuard, behind: Recorder, key: SigningKey, clock: FixedClock
) -> None:
    headers = signed(key, clock, NODES, b"")
    assert ask(private, NODES, b"x", headers)[0] == 401
    assert ask(private, "/v1/control/list-runs", b"", headers)[0] == 401
    assert ask(private, NODES, b"", headers)[0] == 200
    assert ask(private, NODES, b"", headers)[0] == 401
    late = FixedClock(clock.now() + timedelta(minutes=6))
    assert ask(private, NODES, b"", signed(key, late, NODES, b""))[0] == 401
    other = SigningKey.from_seed(bytes(32))
    assert ask(private, NODES, b"", signed(other, clock, NODES, b""))[0] == 401
    assert len(behind.bodies) == 1


def test_what_was_signed_before_the_server_began_is_not_taken(
    private: PrivateGuard, key: SigningKey, clock: FixedClock
) -> None:
    """Its nonce may have been used: nonces are not kept across starts."""
    earlier = FixedClock(clock.now() - timedelta(seconds=2))
    assert ask(private, NODES, b"", signed(key, earlier, NODES, b""))[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        start(fab=compat.fab_pb2.Fab(content=b"PK")),
        start(fab=compat.fab_pb2.Fab(hash_str="cd" * 32)),
        bytes(compat.control_pb2.StartRunRequest(fab=compat.fab_pb2.Fab(hash_str="cd" * 32)).SerializeToString()),
        start(app_spec="@evil/app"),
        start(user_prompt="x"),
        start(series_id=1),
        start(connector_ids=[1]),
        start(federation="other"),
        start() + b"\xfa\x07\x01x",  # a field that this version does not know
        b"\xff\xff\xff",
    ],
)
def test_nothing_but_a_known_apps_digest_starts_a_run(
    private: PrivateGuard, behind: Recorder, key: SigningKey, clock: FixedClock, body: bytes
) -> None:
    assert ask(private, START, body, signed(key, clock, START, body))[0] in (403, 422)
    assert behind.bodies == []


@given(st.text(st.characters(codec="latin-1"), max_size=40))
def test_other_paths_are_served_nowhere(path: str) -> None:
    behind = Recorder()
    clock = FixedClock(datetime(2026, 11, 21, tzinfo=UTC))
    private = PrivateGuard(behind, origin=lambda: ORIGIN, keys={}, apps={}, clock=clock)
    for guard in (outside(behind), private):
        for known in ("/v1/control/", "/v1/runtime/", "/v1/fleet/", ""):
            assert ask(guard, known + path)[0] == 404
    assert behind.bodies == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS", "post"])
def test_other_methods_are_served_nowhere(private: PrivateGuard, behind: Recorder, method: str) -> None:
    assert ask(private, "/v1/runtime/get-nodes", method=method)[0] == 404
    assert ask(outside(behind), "/v1/fleet/get-run", method=method)[0] == 404
    assert ask(private, "/v1/runtime/get-nodes", query=b"x")[0] == 404
    assert behind.bodies == []


def test_nothing_is_served_over_websockets(behind: Recorder) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError

    for is_node in (False, True):
        with pytest.raises(RuntimeError, match="websocket"):
            asyncio.run(outside(behind, is_node=is_node)({"type": "websocket", "headers": []}, never, never))
    assert behind.bodies == []


def test_a_request_that_breaks_off_reaches_nobody(behind: Recorder) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    lines = [(b"content-length", b"5")]
    scope = {"type": "http", "method": "POST", "path": "/v1/fleet/pull-messages", "query_string": b"", "headers": lines}
    asyncio.run(outside(behind, is_node=True)(scope, receive, send))
    assert sent[0]["status"] == 422
    assert behind.bodies == []


def test_health_is_all_that_anybody_may_ask(behind: Recorder) -> None:
    async def healthy(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert ask(outside(healthy), "/health", method="GET")[0] == 204
    assert ask(outside(healthy), "/health", method="GET", query=b"x")[0] == 404
    assert ask(outside(healthy), "/health")[0] == 404


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "-1", "1e3", "", "\u0663", "9" * 60])
def test_announced_lengths_are_judged_before_anything_is_read(behind: Recorder, length: str) -> None:
    status, _ = ask(outside(behind), "/v1/fleet/get-run", b"", {"content-length": length} if length else {})
    assert (status == 422) is bool(length)
    assert bool(behind.bodies) is not bool(length)


@pytest.mark.parametrize(("is_node", "size"), [(False, 1 << 16), (True, MAX_BODY_BYTES)])
def test_strangers_are_read_a_little_and_nodes_all_that_they_announce(
    behind: Recorder, is_node: bool, size: int
) -> None:
    guard = outside(behind, is_node=is_node)
    for length, status in ((size, 200), (size + 1, 422)):
        assert ask(guard, "/v1/fleet/push-object", bytes(length), {"content-length": str(length)})[0] == status
    # What is longer than was announced, or not announced at all, is cut off where a stranger's is.
    for headers in ({"content-length": "1"}, {}):
        assert ask(guard, "/v1/fleet/push-object", bytes((1 << 16) + 1), headers)[0] == 422
    assert [len(body) for body in behind.bodies] == [size]


def replies(node: int, *sources: int) -> bytes:
    return bytes(
        compat.fleet_pb2.PushMessagesRequest(
            node=compat.node_pb2.Node(node_id=node),
            messages_list=[
                compat.message_pb2.Message(metadata=compat.message_pb2.Metadata(src_node_id=source))
                for source in sources
            ],
            message_object_trees=[compat.message_pb2.ObjectTree(object_id="a") for _ in sources],
        ).SerializeToString()
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [(replies(7, 7), 200), (replies(7, 8), 422), (replies(7, 7, 7), 422), (replies(7), 422), (b"\xff", 422)],
    ids=["own", "another's", "two", "none", "no protobuf"],
)
def test_a_node_replies_in_its_own_name_and_one_at_a_time(behind: Recorder, body: bytes, status: int) -> None:
    assert ask(outside(behind), "/v1/fleet/push-messages", body)[0] == status
    assert bool(behind.bodies) is (status == 200)
