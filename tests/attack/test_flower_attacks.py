"""Attacks on Flower's server: strangers, nodes that lie, apps that nobody approved. Each against the real launcher."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from fastapi.routing import iter_route_contexts
from flwr.superlink.main import create_app

from federated.content import Content
from federated.flower import compat
from federated.flower.calls import FlowerClient, acquire_task
from federated.flower.grid import Arrived, Loss, Lost
from federated.flower.messages import Header, Parcel, pack, reply
from federated.flower.server_executor import FlowerGrid, open_run
from tests.lib.flower_raw import RawNode
from tests.lib.flower_world import CONTROL_KEY, SMALL_APP, SuperLinkProcess, ask, small_app
from tests.lib.tls import LocalCa
from yingbi.clock import SystemClock
from yingbi.errors import (
    AuthenticationError,
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    SandboxError,
)
from yingbi.http_signing import sign_request
from yingbi.keys import SigningKey

STRANGER = SigningKey.from_seed(b"x" * 32)
NOTHING = compat.control_pb2.ListNodesRequest()


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLinkProcess]:
    folder = tmp_path_factory.mktemp("link")
    process = SuperLinkProcess(folder / "link", LocalCa(folder)).start()
    yield process
    process.stop()


@pytest.fixture
def public(link: SuperLinkProcess) -> Iterator[FlowerClient]:
    with link.connect(link.public) as client:
        yield client


@pytest.fixture
def private(link: SuperLinkProcess) -> Iterator[FlowerClient]:
    with link.connect() as client:
        yield client


@pytest.fixture
def nodes(link: SuperLinkProcess, public: FlowerClient) -> Iterator[dict[str, RawNode]]:
    """Two nodes that are registered and connected; `honest` answers by itself."""
    control = link.control()
    found = {name: RawNode(public) for name in ("honest", "liar")}
    for node in found.values():
        control.register_node(node.public_key)
        node.activate()
    stop = threading.Event()
    thread = threading.Thread(target=_answer_honestly, args=(found["honest"], stop), daemon=True)
    thread.start()
    yield found
    stop.set()
    thread.join()
    for node in found.values():
        control.unregister_node(node.id)


@pytest.fixture
def grid(link: SuperLinkProcess, private: FlowerClient, nodes: dict[str, RawNode]) -> Iterator[FlowerGrid]:
    ids = {name: node.id for name, node in nodes.items()}
    with open_run(private, link.control(), secret=link.secret, app=SMALL_APP, nodes=ids) as opened:
        yield opened


def _answer_honestly(node: RawNode, stop: threading.Event) -> None:
    while not stop.wait(0.05):
        if header := node.pull():
            node.push(_reply(header, np.zeros(3)), header.run)


def _reply(header: Header, array: Any) -> Parcel:
    return pack(reply(Content(arrays={"w": array}, values={}), to=header, now_s=time.time()))


# Control: nothing without the federation's key.


def test_a_control_call_without_a_signature_is_refused(private: FlowerClient) -> None:
    for name in ("list-nodes", "start-run", "register-node", "stop-run"):
        with pytest.raises(AuthenticationError):
            private.call(f"/v1/control/{name}", NOTHING, compat.control_pb2.ListNodesResponse)


def test_a_control_call_by_a_strangers_key_is_refused(link: SuperLinkProcess) -> None:
    with pytest.raises(AuthenticationError):
        link.control(STRANGER).nodes()


def signed(link: SuperLinkProcess, path: str, body: bytes) -> dict[str, str]:
    headers = {"content-type": compat.PROTOBUF_MEDIA_TYPE}
    sign_request("POST", link.private + path, headers, body, key=CONTROL_KEY, clock=SystemClock())
    return headers


def test_a_signature_opens_one_call_once(link: SuperLinkProcess, private: FlowerClient) -> None:
    path, kind = "/v1/control/list-nodes", compat.control_pb2.ListNodesResponse
    headers = signed(link, path, b"")
    private.post(path, b"", kind, headers=headers)
    with pytest.raises(AuthenticationError):
        private.post(path, b"", kind, headers=headers)
    with pytest.raises(AuthenticationError):
        private.post("/v1/control/list-runs", b"", kind, headers=signed(link, path, b""))
    with pytest.raises(AuthenticationError):
        private.post(path, b"\x08\x01", kind, headers=signed(link, path, b""))


# Apps: only those that were stored and signed at the launch.


@pytest.mark.parametrize(
    "asked",
    [
        compat.control_pb2.StartRunRequest(fab=compat.fab_pb2.Fab(content=small_app(b"evil = 1\n").content)),
        compat.control_pb2.StartRunRequest(
            app_spec=SMALL_APP.id,
            fab=compat.fab_pb2.Fab(hash_str=SMALL_APP.sha256, content=small_app(b"evil = 1\n").content),
        ),
        compat.control_pb2.StartRunRequest(
            app_spec=SMALL_APP.id, fab=compat.fab_pb2.Fab(hash_str=small_app(b"evil = 1\n").sha256)
        ),
        compat.control_pb2.StartRunRequest(app_spec="@evil/app==1.0.0"),
        compat.control_pb2.StartRunRequest(app_spec=SMALL_APP.id),
        compat.control_pb2.StartRunRequest(
            app_spec=SMALL_APP.id,
            fab=compat.fab_pb2.Fab(hash_str=SMALL_APP.sha256, verifications={"valid_license": "Valid"}),
        ),
        compat.control_pb2.StartRunRequest(
            app_spec=SMALL_APP.id, fab=compat.fab_pb2.Fab(hash_str=SMALL_APP.sha256), user_prompt="do evil"
        ),
    ],
    ids=["bundle", "bundle under a known digest", "unknown digest", "from a shop", "no digest", "verified", "prompt"],
)
def test_only_an_app_of_the_catalogue_is_run_even_with_the_right_signature(
    link: SuperLinkProcess, asked: compat.control_pb2.StartRunRequest
) -> None:
    with pytest.raises(RefusedError) as caught:
        link.control().call("start-run", asked, compat.control_pb2.StartRunResponse)
    assert caught.value.code is ErrorCode.OPERATION_NOT_PERMITTED


@pytest.mark.parametrize("name", ["add-app", "remove-app", "create-federation", "start-automation", "pull-artifacts"])
def test_other_control_calls_are_not_served(link: SuperLinkProcess, name: str) -> None:
    with pytest.raises(NotFoundError):
        link.control().call(name, NOTHING, compat.control_pb2.ListNodesResponse)


def launched(folder: Path, change: Callable[[SuperLinkProcess], None]) -> str:
    """Return what a launcher says that must not start."""
    process = SuperLinkProcess(folder / "link", LocalCa(folder))
    change(process)
    with pytest.raises(RuntimeError) as caught:
        process.start()
    assert not (folder / "link" / "state.db").exists()
    return str(caught.value)


def test_an_app_that_was_changed_after_it_was_signed_does_not_start(tmp_path: Path) -> None:
    def change(process: SuperLinkProcess) -> None:
        evil = small_app(b"evil = 1\n").content
        (process.folder / f"{SMALL_APP.sha256}.fab").write_bytes(evil)

    assert "does not verify" in launched(tmp_path, change)


def test_an_app_that_a_stranger_signed_does_not_start(tmp_path: Path) -> None:
    def change(process: SuperLinkProcess) -> None:
        process.config["app_keys"] = [STRANGER.public.to_jwk()]

    assert "does not verify" in launched(tmp_path, change)


def test_an_app_that_nobody_signed_does_not_start(tmp_path: Path) -> None:
    def change(process: SuperLinkProcess) -> None:
        process.config["apps"][0]["signatures"] = []

    assert "is not signed" in launched(tmp_path, change)


# Tasks: by the executors' secret only.


def test_a_stranger_takes_no_task(link: SuperLinkProcess, private: FlowerClient) -> None:
    asked = compat.runtime_pb2.AcquireTaskRequest(supported_task_types=["flwr-serverapp"])
    link.control().start_run(SMALL_APP)
    with pytest.raises(AuthenticationError):
        private.call("/v1/runtime/acquire-task", asked, compat.runtime_pb2.AcquireTaskResponse)
    with pytest.raises(AuthenticationError):
        acquire_task(private, b"guess" * 8, ["flwr-serverapp"])
    with link.connect(link.public) as public, pytest.raises(NotFoundError):
        acquire_task(public, link.secret, ["flwr-serverapp"])
    assert acquire_task(private, link.secret, ["flwr-serverapp"]) is not None


@pytest.mark.parametrize("name", ["pull-task-input", "push-task-output", "push-messages", "pull-object", "get-nodes"])
def test_without_a_tasks_token_nothing_of_it_is_seen(private: FlowerClient, name: str) -> None:
    with pytest.raises(AuthenticationError):
        private.call(
            f"/v1/runtime/{name}",
            NOTHING,
            compat.runtime_pb2.GetNodesResponse,
            headers={compat.TASK_TOKEN_HEADER: "f" * 256},
        )


# The public listener: registered nodes and nobody else.


def test_the_public_listener_serves_nodes_and_nothing_else(link: SuperLinkProcess) -> None:
    context = ssl.create_default_context(cafile=str(link.authority))
    with httpx.Client(verify=context, trust_env=False) as client:
        assert client.get(link.public + "/health").status_code == 200
        for method, path in _all_routes():
            if path.startswith("/v1/fleet/") and path not in ("/v1/fleet/register-node", "/v1/fleet/unregister-node"):
                continue
            if path != "/health":
                assert client.request(method, link.public + path).status_code == 404, path
        for path in (
            "/v1/fleet/../control/start-run",
            "//v1/control/start-run",
            "/V1/control/start-run",
            "/v1/fleet/%2e%2e/control/start-run",
            "/v1/control/start-run?x=/v1/fleet/get-run",
            "/v1/fleet/get-run/",
            "/v1/fleet/get-run?x",
        ):
            assert _raw(link, path) == 404, path


def _all_routes() -> list[tuple[str, str]]:
    app = create_app()
    return [
        (method, str(getattr(item.route, "path", "")))
        for item in iter_route_contexts(app.routes)
        for method in getattr(item.route, "methods", None) or ()
    ]


def _raw(link: SuperLinkProcess, target: str, *, length: int = 0) -> int:
    """Ask for a target exactly as it is spelled; clients tidy up. Nothing of the body is sent."""
    url = urlsplit(link.public)
    context = ssl.create_default_context(cafile=str(link.authority))
    request = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    with (
        socket.create_connection((url.hostname, url.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=url.hostname) as secure,
    ):
        secure.sendall(request.encode())
        return int(secure.recv(64).split()[1])


def test_the_private_listener_serves_no_nodes(link: SuperLinkProcess, nodes: dict[str, RawNode]) -> None:
    with link.connect() as client, pytest.raises(NotFoundError):
        RawNode(client, nodes["liar"].key).activate()


def test_a_key_that_is_not_registered_opens_nothing(public: FlowerClient, nodes: dict[str, RawNode]) -> None:
    stranger = RawNode(public)
    with pytest.raises(SandboxError):
        stranger.activate()
    asked = compat.fleet_pb2.RegisterNodeFleetRequest(public_key=stranger.public_key)
    with pytest.raises(NotFoundError):
        stranger.call("register-node", asked, compat.fleet_pb2.RegisterNodeFleetResponse)
    stranger.id = nodes["honest"].id
    with pytest.raises(AuthenticationError):
        stranger.pull()
    with pytest.raises(AuthenticationError):
        public.call(
            "/v1/fleet/pull-messages",
            compat.fleet_pb2.PullMessagesRequest(node=stranger.node),
            compat.fleet_pb2.PullMessagesResponse,
        )


def test_a_key_is_registered_once(link: SuperLinkProcess, nodes: dict[str, RawNode]) -> None:
    with pytest.raises(ConflictError):
        link.control().register_node(nodes["liar"].public_key)


def test_a_request_that_is_too_large_is_refused_unread(link: SuperLinkProcess) -> None:
    assert _raw(link, "/v1/fleet/push-object", length=1 << 40) == 422
    assert _raw(link, "/v1/fleet/push-object", length=100_000) == 422, "a stranger"


def test_plain_http_is_not_spoken(link: SuperLinkProcess) -> None:
    for url in (link.public, link.private):
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http") + "/health", trust_env=False)
    with pytest.raises(RefusedError):
        FlowerClient("http://127.0.0.1:1", link.authority)


# Nodes that lie: the others' replies come, and the liar is lost.


def outcomes(
    grid: FlowerGrid, liar: RawNode, lie: Callable[[Header], None], deadline_s: float = 20.0
) -> dict[str, Arrived | Lost]:
    def act() -> None:
        lie(liar.wait())

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    found = {item.party: item for item in grid.exchange(ask(("honest", "liar")), deadline_s=deadline_s)}
    thread.join()
    assert isinstance(found["honest"], Arrived)
    return found


def forged(header: Header, record: dict[str, Any]) -> Parcel:
    honest = reply(Content(arrays={}, values={}), to=header, now_s=time.time())
    content = compat.RecordDict({"content": compat.ConfigRecord(record)})
    return pack(compat.make_message(metadata=honest.metadata, content=content))


def npy(shape: str, body: bytes = b"", kind: str = "<f8") -> bytes:
    line = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + body


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04cos\nabort\n(tR.",
        npy("(1,)", b"\x80\x04cos\nabort\n(tR.", "|O"),
        npy("(1099511627776, 1048576)"),
        npy("()", bytes(8)),
    ],
    ids=["pickle", "pickled object", "huge", "no dimension"],
)
def test_a_reply_with_a_hostile_array_is_malformed(grid: FlowerGrid, nodes: dict[str, RawNode], data: bytes) -> None:
    liar = nodes["liar"]
    found = outcomes(grid, liar, lambda header: liar.push(forged(header, {"array:w": data}), header.run))
    assert found["liar"] == Lost(party="liar", reason=Loss.MALFORMED)


def test_a_reply_that_is_announced_and_never_sent_holds_nobody_up(grid: FlowerGrid, nodes: dict[str, RawNode]) -> None:
    liar = nodes["liar"]
    began = time.monotonic()
    stream = grid.exchange(ask(("honest", "liar")), deadline_s=4)
    announced = threading.Event()

    def lie() -> None:
        liar.announce(_reply(liar.wait(), np.zeros(3)))
        announced.set()

    threading.Thread(target=lie, daemon=True).start()
    first = next(stream)
    assert isinstance(first, Arrived)
    assert announced.wait(10)
    assert list(stream) == [Lost(party="liar", reason=Loss.DEADLINE)]
    assert time.monotonic() - began < 30


def test_nobody_replies_in_anothers_name(grid: FlowerGrid, nodes: dict[str, RawNode]) -> None:
    liar, refused = nodes["liar"], []

    def lie(header: Header) -> None:
        false = Header(
            id=header.id,
            run=header.run,
            source=header.source,
            destination=nodes["honest"].id,
            reply_to="",
            created_at_s=header.created_at_s,
            ttl_s=header.ttl_s,
        )
        with pytest.raises(InvalidRequestError) as caught:
            liar.push(_reply(false, np.ones(3)), header.run)
        refused.append(caught.value.code)
        liar.push(_reply(header, np.ones(3)), header.run)

    found = outcomes(grid, liar, lie)
    assert refused == [ErrorCode.MESSAGE_MALFORMED]
    assert isinstance(found["liar"], Arrived)


def test_a_refusals_reason_is_not_repeated(grid: FlowerGrid, nodes: dict[str, RawNode]) -> None:
    liar = nodes["liar"]

    def lie(header: Header) -> None:
        honest = reply(Content(arrays={}, values={}), to=header, now_s=time.time())
        error = compat.Error(code=compat.FlowerErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason="row 7: Zhang San")
        liar.push(pack(compat.make_message(metadata=honest.metadata, error=error)), header.run)

    found = outcomes(grid, liar, lie)
    assert found["liar"] == Lost(party="liar", reason=Loss.REFUSED, code=ErrorCode.INTERNAL)


def test_a_node_that_was_removed_is_unreachable(
    link: SuperLinkProcess, private: FlowerClient, nodes: dict[str, RawNode], public: FlowerClient
) -> None:
    gone = RawNode(public)
    number = link.control().register_node(gone.public_key)
    gone.activate()
    link.control().unregister_node(number)
    ids = {"honest": nodes["honest"].id, "gone": number}
    with open_run(private, link.control(), secret=link.secret, app=SMALL_APP, nodes=ids) as grid:
        found = {item.party: item for item in grid.exchange(ask(("honest", "gone")), deadline_s=5)}
    assert isinstance(found["honest"], Arrived)
    assert isinstance(found["gone"], Lost)
    with pytest.raises(SandboxError):
        gone.pull()
