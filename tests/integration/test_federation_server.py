"""The hub's keeper of Flower's server, with the real process: it comes back for whoever needs it, as it was."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.federation_server import FederationServer
from tests.lib.waiting import wait_until
from yingbi.clock import SystemClock
from yingbi.errors import ConflictError, UnavailableError


def make_server(folder: Path) -> FederationServer:
    return FederationServer(folder, host="127.0.0.1", port=0, tls=None, address=None, clock=SystemClock())


def make_key() -> bytes:
    return (
        ec.generate_private_key(ec.SECP384R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


def kill(server: FederationServer) -> int:
    """Kill the process; return what its number was."""
    number = server.pid
    assert number is not None
    os.kill(number, signal.SIGKILL)
    wait_until(lambda: server.pid is None, seconds=10)
    return number


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FederationServer]:
    with make_server(tmp_path / "federation") as opened:
        yield opened


def test_nodes_find_a_server_that_has_died_running_again_as_it_was(server: FederationServer, tmp_path: Path) -> None:
    key = make_key()
    first = server.register("node:a", key)
    assert first.authority is not None
    dead = kill(server)
    assert server.connected() == {"node:a": False}
    assert server.pid not in (None, dead)
    kill(server)
    second = server.register("node:b", make_key())
    assert (second.address, second.authority) == (first.address, first.authority)
    assert server.connected() == {"node:a": False, "node:b": False}
    # One that is registered joins with what it has: it needs the server as well.
    kill(server)
    assert server.register("node:a", key) == first
    assert server.pid is not None
    with pytest.raises(ConflictError):
        server.register("node:b", key)


def test_many_who_ask_at_once_start_it_once(server: FederationServer) -> None:
    kill(server)
    found: list[object] = []

    def ask(number: int) -> None:
        found.append(server.connected() if number % 2 else server.register(f"node:{number}", make_key()).address)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 6
    assert len(server.connected()) == 3


def test_a_restart_of_the_server_leaves_a_run_that_is_open_to_its_own_end(server: FederationServer) -> None:
    server.register("node:a", make_key())
    with ExitStack() as stack:
        grid = stack.enter_context(server.open("fed-1", ["node:a"]))
        assert grid.online() == frozenset()
        kill(server)
        assert server.connected() == {"node:a": False}
        # The run went down with its server: whoever uses it is told so as of any server that is gone.
        with pytest.raises(UnavailableError):
            grid.online()
    with server.open("fed-1", ["node:a"]) as grid:
        assert grid.online() == frozenset()


def test_another_hub_process_shows_the_same_certificate(tmp_path: Path) -> None:
    kits = []
    for _ in range(2):
        with make_server(tmp_path) as server:
            kits.append(server.register("node:a", make_key()))
    assert kits[0].authority == kits[1].authority
    with pytest.raises(UnavailableError):
        server.connected()
    assert server.pid is None
