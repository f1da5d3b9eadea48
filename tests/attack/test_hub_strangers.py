"""What strangers, and receivers that partners name, make a hub do: read, keep, wait."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import drafts
from api.main import create_app
from api.submissions import Submission, parse_submission
from api.webhooks import Deliveries
from tests.integration.test_hub_jobs import TERMS, poll, submit
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import AsgiClient, HubWorld, new_hub, open_world
from yingbi.clock import FixedClock
from yingbi.http_signing import sign_request

MIB = 1 << 20
DRIPS_S = 20.0


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[HubWorld]:
    with open_world(new_hub(tmp_path / "hub", clock), clock) as opened:
        opened.settle(firms_dataset(), TERMS)
        yield opened


async def pour(app: Any, path: str, size: int, fields: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Put a body to a path; return the status, and how much of the body was taken."""
    taken, statuses = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += MIB
        return {"type": "http.request", "body": bytes(MIB), "more_body": taken < size}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "https",
        "method": "PUT",
    }
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope |= {"server": ("hub.example", 443), "client": ("203.0.113.7", 1)}
    named = {"content-type": "application/octet-stream", **(fields or {})}
    await app({**scope, "headers": [(k.lower().encode(), v.encode()) for k, v in named.items()]}, receive, send)
    return statuses[0], taken


def test_a_result_of_a_stranger_is_not_read(world: HubWorld) -> None:
    app = create_app(world.hub)
    assert asyncio.run(pour(app, "/v1/jobs/job-none/result", 60 * MIB)) == (401, 0)


@pytest.mark.parametrize(("by", "status"), [("person:analyst", 404), ("node:futian-lab", 409)])
def test_nor_is_that_of_anybody_but_the_node_that_has_released_it(world: HubWorld, by: str, status: int) -> None:
    job = str(submit(world).json()["job"])
    if by.startswith("node:"):
        assert poll(world).json()["job"] == job
    path, fields = f"/v1/jobs/{job}/result", {"content-type": "application/octet-stream"}
    sign_request("PUT", world.address + path, fields, b"x", key=world.key(by), clock=world.clock)
    assert asyncio.run(pour(create_app(world.hub), path, 60 * MIB, fields)) == (status, 0)


def apply(world: HubWorld, party: str, host: str = "127.0.0.1") -> int:
    """Apply from an address."""
    body = (world.registration(party, signers=[party]), world.application(party, "bank"))
    sender = HubWorld(
        hub=world.hub, clock=world.clock, client=AsgiClient(create_app(world.hub), host=host), keys=world.keys
    )
    try:
        return sender.post("/v1/applications", *body, by=party).status_code
    finally:
        sender.client.close()


def test_an_unsigned_look_at_applications_reads_none(world: HubWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    assert apply(world, "partner:new") == 202
    read: list[object] = []

    def noted(found: Any) -> Submission:
        read.append(found)
        return parse_submission(found)

    monkeypatch.setattr(drafts, "parse_submission", noted)
    assert world.client.request("GET", "/v1/applications", headers={}).status_code == 401
    assert read == []
    assert len(world.ask("GET", "/v1/applications", by="partner:new").json()["items"]) == 1
    assert read


def test_one_strangers_applications_leave_room_for_others(world: HubWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "_MAX_OF_NETWORK", 3)
    made_up = [apply(world, f"partner:made-up-{number}", f"93.184.216.{number}") for number in range(4)]
    assert made_up == [202, 202, 202, 409]
    assert apply(world, "partner:honest", "8.8.8.8") == 202


@contextmanager
def dripping() -> Iterator[int]:
    """Serve an answer whose head does not end, a byte at a time; yield the port."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nx-drip: ")
                end = time.monotonic() + DRIPS_S
                while not stop.wait(0.05) and time.monotonic() < end:
                    connection.sendall(b"a")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        stop.set()
        listener.close()
        thread.join(10)


class Rerouted(httpx.AsyncHTTPTransport):
    """Leads every request to a port of this machine."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = httpx.URL(f"http://127.0.0.1:{self._port}/")
        return await super().handle_async_request(request)


def test_an_address_that_breaks_the_sender_stops_no_other(world: HubWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.webhooks._is_address", lambda url: True)
    for name in ("xn--a", "other"):
        assert apply_for(world, f"https://{name}.example").status_code == 201
    submit(world)
    hub, told = world.hub, []

    def answer(request: httpx.Request) -> httpx.Response:
        told.append(request.url.host)
        return httpx.Response(204)

    def connect() -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(answer))

    def may_reach(host: str) -> bool:
        if host.startswith("xn--"):
            raise AssertionError("what nobody foresaw")
        return True

    for sender in (lambda _: True, may_reach):
        Deliveries(hub.webhooks, hub.recorder, hub.bureau, world.clock, connect=connect, may_reach=sender).run_once()
    assert told == ["other.example"] * 2
    assert {one.url: one.failures for one in hub.webhooks.of("partner:bank-a")}["https://xn--a.example"] >= 1


def test_one_owners_receivers_leave_room_for_others(world: HubWorld) -> None:
    for number in range(6):
        assert apply_for(world, f"https://receiver-{number}.example").status_code == 201
    submit(world)
    hub, inside, most, told = world.hub, 0, 0, set[str]()

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.05)
        inside -= 1
        told.add(request.url.host)
        return httpx.Response(204)

    Deliveries(
        hub.webhooks,
        hub.recorder,
        hub.bureau,
        world.clock,
        connect=lambda: httpx.AsyncClient(transport=httpx.MockTransport(answer)),
        may_reach=lambda _: True,
    ).run_once()
    assert most == 2
    assert len(told) == 6


def apply_for(world: HubWorld, url: str) -> httpx.Response:
    return world.ask("POST", "/v1/webhooks", by="person:analyst", body={"url": url})


def test_a_receiver_that_drips_holds_nobody_up(world: HubWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.webhooks._TIMEOUT_S", 1.0)
    hub = world.hub
    for name in ("slow", "other"):
        assert apply_for(world, f"https://{name}.example").status_code == 201
    submit(world)
    told: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        told.append(request)
        return httpx.Response(204)

    with dripping() as port:
        mounts = {"https://slow.example": Rerouted(port), "https://other.example": httpx.MockTransport(answer)}
        sender = Deliveries(
            hub.webhooks,
            hub.recorder,
            hub.bureau,
            world.clock,
            connect=lambda: httpx.AsyncClient(trust_env=False, mounts=mounts, timeout=60),
            may_reach=lambda _: True,
        )
        begun = time.monotonic()
        sender.run_once()
        assert time.monotonic() - begun < DRIPS_S
    assert len(told) == 2, "the other one was told of all"
    failures = {one.url: one.failures for one in hub.webhooks.of("partner:bank-a")}
    assert failures == {"https://slow.example": 1, "https://other.example": 0}
