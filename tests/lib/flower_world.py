"""A federation of real processes on this machine: our server, Flower's nodes, and executors in threads of the test."""

import json
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from federated.content import Content
from federated.flower.bundle import Bundle, build_bundle, sign_bundle
from federated.flower.calls import ControlCalls, FlowerClient
from federated.flower.executor import Executor
from federated.flower.handler import Task
from federated.flower.pace import Pace
from federated.flower.server_executor import FlowerGrid, open_run
from federated.flower.supernode import SuperNode, SuperNodeConfig, make_node_key
from federated.flower.supernode_process import NodePace
from tests.lib.tls import LocalCa
from tests.lib.waiting import wait_until
from yingbi.clock import SystemClock
from yingbi.keys import SigningKey

__all__ = ["APP_KEY", "CONTROL_KEY", "SMALL_APP", "FlowerMember", "FlowerWorld", "SuperLinkProcess", "ask", "small_app"]

ROOT = Path(__file__).resolve().parents[2]
CONTROL_KEY = SigningKey.from_seed(b"c" * 32)
APP_KEY = SigningKey.from_seed(b"a" * 32)
START_S = 30


def small_app(body: bytes = b"app = None\n") -> Bundle:
    """Return a bundle of which no line is ever executed."""
    config = (
        b'[project]\nname = "small-app"\nversion = "1.0.0"\n[tool.flwr.app]\npublisher = "yingbi"\n'
        b'[tool.flwr.app.components]\nserverapp = "small:app"\nclientapp = "small:app"\n'
    )
    return build_bundle({"pyproject.toml": config, "small.py": body})


SMALL_APP = small_app()


class FlowerMember:
    """A handler that a test can change while it is in use; by itself it returns what it was sent, twice."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.do: Callable[[Task], Content] = _twice

    def handle(self, task: Task) -> Content:
        self.tasks.append(task)
        return self.do(task)


def _twice(task: Task) -> Content:
    return Content(arrays={name: array * 2 for name, array in task.content.arrays.items()}, values={})


class SuperLinkProcess:
    """Our launcher in a process of its own."""

    def __init__(self, folder: Path, ca: LocalCa, *, apps: tuple[Bundle, ...] = (SMALL_APP,), **changes: Any) -> None:
        folder.mkdir(exist_ok=True)
        certificate, key = ca.issue()
        self.folder = folder
        self.authority = ca.certificate
        self.secret = b"s" * 32
        self._write("secret", self.secret)
        for bundle in apps:
            (folder / f"{bundle.sha256}.fab").write_bytes(bundle.content)
            signature = sign_bundle(bundle, APP_KEY, clock=SystemClock())
            (folder / f"{bundle.sha256}.sig").write_text(signature.to_json())
        self.config: dict[str, Any] = {
            "database": "state.db",
            "private": {"host": "127.0.0.1", "port": 0},
            "public": {"host": "127.0.0.1", "port": 0},
            "certificate": str(certificate),
            "key": str(key),
            "secret": "secret",
            "control_keys": [CONTROL_KEY.public.to_jwk()],
            "app_keys": [APP_KEY.public.to_jwk()],
            "apps": [{"bundle": f"{app.sha256}.fab", "signatures": [f"{app.sha256}.sig"]} for app in apps],
            "is_leashed": True,
        } | changes
        self.private = self.public = ""
        self._process: subprocess.Popen[str] | None = None
        self._clients: list[FlowerClient] = []

    def start(self) -> "SuperLinkProcess":
        """Start it; the same ports again after the first time."""
        (self.folder / "config.json").write_text(json.dumps(self.config))
        with (self.folder / "superlink.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "federated.flower.superlink", "config.json"],
                cwd=self.folder,
                env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin", "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_S)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.kill()
            raise RuntimeError((self.folder / "superlink.log").read_text()[-2000:])
        urls = json.loads(line)
        self.private, self.public = urls["private"], urls["public"]
        for name in ("private", "public"):
            self.config[name]["port"] = int(urls[name].rpartition(":")[2])
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def control(self, key: SigningKey = CONTROL_KEY) -> ControlCalls:
        if not self._clients:
            self._clients.append(self.connect())
        return ControlCalls(self._clients[0], key, clock=SystemClock())

    def connect(self, url: str = "") -> FlowerClient:
        return FlowerClient(url or self.private, self.authority)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def let_go(self) -> int:
        """End the leash and nothing else."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(timeout=START_S)

    def _end(self, number: signal.Signals) -> int:
        while self._clients:
            self._clients.pop().close()
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(timeout=START_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        return code

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o600)


class FlowerWorld:
    """A server, and a node with its executor for each party."""

    def __init__(
        self, folder: Path, parties: tuple[str, ...], *, pace: NodePace = NodePace.QUICK, app: Bundle = SMALL_APP
    ) -> None:
        self.folder = folder
        self.app = app
        self.ca = LocalCa(folder)
        self.link = SuperLinkProcess(folder / "link", self.ca, apps=(app,))
        self.members = {party: FlowerMember() for party in parties}
        self.supernodes: dict[str, SuperNode] = {}
        self.nodes: dict[str, int] = {}
        self._pace = pace
        self._stack = ExitStack()
        self._executors: dict[str, tuple[threading.Event, threading.Thread, FlowerClient]] = {}

    def __enter__(self) -> "FlowerWorld":
        with ExitStack() as stack:
            self.link.start()
            stack.callback(self.link.stop)
            for party in self.members:
                self._register(party)
                self.supernodes[party].start()
            stack.callback(self._stop_nodes)
            for party in self.members:
                self.start_executor(party)
                stack.callback(self.stop_executor, party)
            self._stack = stack.pop_all()
        wait_until(lambda: self.online() == set(self.members), seconds=START_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def online(self) -> set[str]:
        found = {node.id: node.status for node in self.link.control().nodes()}
        return {party for party, node in self.nodes.items() if found.get(node) == "online"}

    def start_executor(self, party: str, *, app: str = "") -> None:
        stop, supernode = threading.Event(), self.supernodes[party]
        client = supernode.connect()
        executor = Executor(
            client,
            secret=supernode.secret,
            app=app or self.app.digest,
            handler=self.members[party],
            pace=Pace(quick_s=0.05, slow_s=0.2),
            on_broken=supernode.restart,
        )
        thread = threading.Thread(target=executor.run, args=(stop,), name=f"executor-{party}", daemon=True)
        self._executors[party] = stop, thread, client
        thread.start()

    def stop_executor(self, party: str) -> None:
        stop, thread, client = self._executors[party]
        stop.set()
        thread.join()
        client.close()

    @contextmanager
    def run(self) -> Iterator[FlowerGrid]:
        """Begin a run, once all nodes are there: what went before may have ended one of them."""
        control = self.link.control()
        with (
            self.link.connect() as client,
            open_run(client, control, secret=self.link.secret, app=self.app, nodes=self.nodes) as grid,
        ):
            wait_until(lambda: grid.online() >= self.nodes.keys(), seconds=60)
            yield grid

    def _stop_nodes(self) -> None:
        """End all nodes at once: each takes its time."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(SuperNode.stop, self.supernodes.values()))

    def _register(self, party: str) -> None:
        home = self.folder / f"node-{party}"
        home.mkdir()
        public = make_node_key(home / "node.key")
        self.nodes[party] = self.link.control().register_node(public)
        self.supernodes[party] = SuperNode(
            SuperNodeConfig(
                superlink=self.link.public.removeprefix("https://"),
                authority=self.ca.certificate,
                key=home / "node.key",
                app_keys=(APP_KEY.public,),
                home=home / "flower",
                node_id=self.nodes[party],
                pace=self._pace,
            )
        )


def ask(parties: Mapping[str, object] | tuple[str, ...], value: float = 1.0) -> dict[str, Content]:
    return {party: Content(arrays={"w": np.full(8, value)}, values={"step": 1}) for party in parties}
