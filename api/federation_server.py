"""Flower's server as the hub runs it: a process of its own, keys made once, nodes registered by their parties.

```
federation/
  control-key.pem    signs what the hub asks of the server (mode 0600)
  app-key.pem        signs the app that runs are of (mode 0600)
  secret             by which the hub takes its runs' tasks (mode 0600)
  app.fab, app.sig   the catalogue's app as this program has it, and its signature
  flower.sqlite      Flower's state
  superlink.json     what the server is started with
  loopback.*         certificate of the private listener and its key, kept as long as it is valid
  nodes.json         which key each node has registered, and under which id
```
"""

import json
import logging
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from api.federating import FederationWay, JoinKit
from federated.flower.bundle import horizontal_bundle, sign_bundle
from federated.flower.calls import ControlCalls, FlowerClient
from federated.flower.loopback_tls import keep_loopback_certificate
from federated.flower.processes import environment
from federated.flower.server_executor import FlowerGrid, open_run
from yingbi.clock import Clock
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, UnavailableError
from yingbi.key_files import read_secret, write_secret
from yingbi.keys import SigningKey, load_signing_key, save_signing_key

__all__ = ["FederationServer"]

_LOG: Final = logging.getLogger(__name__)
_START_S: Final = 60.0
_STOP_S: Final = 10.0
_MAX_KEY: Final = 2000
_ONLINE: Final = "online"


class FederationServer(FederationWay):
    """The server and the way to its nodes. Use it as a context manager.

    Args:
        folder: `federation` in the hub's folder; made where it is not there.
        host: address to listen on for nodes.
        port: its port; 0 takes a free one.
        tls: certificate and key of that listener, which nodes trust as they trust the hub; without it a loopback
            certificate is made, which is for one machine only.
        address: `host:port` that nodes are told, where that is not what is listened on.
        clock: the time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str,
        port: int,
        tls: tuple[Path, Path] | None,
        address: str | None,
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._host = host
        self._port = port
        self._tls = tls
        self._address = address
        self._clock = clock
        # Re-entrant: who registers a node may have to start the server for it.
        self._lock = threading.RLock()
        self._bundle = horizontal_bundle()
        self._process: subprocess.Popen[str] | None = None
        self._is_open = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._control_key = _key(folder / "control-key.pem")
        self._app_key = _key(folder / "app-key.pem")
        secret = folder / "secret"
        if not secret.exists():
            write_secret(secret, secrets.token_bytes(32))
        self._secret = read_secret(secret)
        self._nodes: dict[str, tuple[str, int]] = _read_nodes(folder / "nodes.json")

    # --- the process -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with self._lock:
            self._start()
            self._is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_open = False
            self._end()

    def _end(self) -> None:
        """End the process, unless it has ended by itself, and close our side of its pipes."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    @property
    def pid(self) -> int | None:
        """Return the process's number while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def _start(self) -> None:
        own = keep_loopback_certificate(self._folder)
        certificate, key = self._tls if self._tls is not None else own
        config = self._write_config(certificate.resolve(), key.resolve(), own)
        with (self._folder / "superlink.log").open("ab") as log:
            # SECURITY: it holds a pipe of ours: when the hub ends, however, the server ends.
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell, arguments of ours
                [sys.executable, "-m", "federated.flower.superlink", str(config.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(self._folder),
                text=True,
                start_new_session=True,
            )
        self._process = process
        listening = _first_line(process)
        self._private = listening["private"]
        self._listening = listening["public"].removeprefix("https://")
        # The port stays the same when the server has to be started again.
        self._port = int(self._listening.rpartition(":")[2])

    def _write_config(self, certificate: Path, key: Path, own: tuple[Path, Path]) -> Path:
        bundle = self._folder / "app.fab"
        bundle.write_bytes(self._bundle.content)
        signature = self._folder / "app.sig"
        signature.write_text(sign_bundle(self._bundle, self._app_key, clock=self._clock).to_json())
        config = {
            "database": "flower.sqlite",
            "private": {"host": "127.0.0.1", "port": 0},
            "public": {"host": self._host, "port": self._port},
            "certificate": str(certificate),
            "key": str(key),
            "private_certificate": str(own[0].resolve()),
            "private_key": str(own[1].resolve()),
            "secret": "secret",
            "control_keys": [self._control_key.public.to_jwk()],
            "app_keys": [self._app_key.public.to_jwk()],
            "apps": [{"bundle": bundle.name, "signatures": [signature.name]}],
            "is_leashed": True,
        }
        path = self._folder / "superlink.json"
        path.write_text(json.dumps(config, indent=1))
        return path

    # --- nodes -------------------------------------------------------------------------------------------------------

    def register(self, node: str, public_key: bytes) -> JoinKit:
        """Register a node's EC P-384 key (PEM) in place of the one it had; return what it needs to take part.

        Raises:
            InvalidRequestError: it is no such key.
            ConflictError: it is another node's.
            UnavailableError: the server does not answer.
        """
        text = public_key.decode("ascii", "replace")
        if not 0 < len(public_key) <= _MAX_KEY:
            raise InvalidRequestError(ErrorCode.KEY_MALFORMED, "expected a public key of EC P-384 in PEM")
        with self._lock, self._connection() as client:
            control = self._control(client)
            known = self._nodes.get(node)
            if known is None or known[0] != text:
                if any(text == other for other, _ in self._nodes.values()):
                    raise ConflictError(ErrorCode.KEY_EXISTS, "the key is another node's")
                known = (text, control.register_node(public_key))
                old = self._nodes.get(node)
                self._nodes[node] = known
                _write_nodes(self._folder / "nodes.json", self._nodes)
                if old is not None:
                    control.unregister_node(old[1])
        authority = (self._folder / "loopback.pem").read_text() if self._tls is None else None
        return JoinKit(
            address=self._address or self._listening,
            node_id=str(known[1]),
            app=self.app,
            app_keys=(self._app_key.public.to_jwk(),),
            authority=authority,
        )

    def connected(self) -> Mapping[str, bool]:
        """Return the nodes that are registered, and whether each is connected now.

        Raises:
            SandboxError: the server does not answer.
        """
        with self._connection() as client:
            states = {node.id: node.status for node in self._control(client).nodes()}
        return {node: states.get(number) == _ONLINE for node, (_, number) in self._nodes.items()}

    # --- runs --------------------------------------------------------------------------------------------------------

    @property
    def app(self) -> str:
        """Return the digest of the app that runs are of."""
        return self._bundle.digest

    @contextmanager
    def open(self, federation: str, nodes: Sequence[str]) -> Iterator[FlowerGrid]:
        """Begin a run for a federation; nodes that are not registered are lost in every exchange.

        Raises:
            SandboxError: the server does not answer.
        """
        del federation  # a run is Flower's affair; what is computed in it is the log's
        reached = {node: self._nodes[node][1] for node in nodes if node in self._nodes}
        with (
            self._connection() as client,
            open_run(client, self._control(client), secret=self._secret, app=self._bundle, nodes=reached) as grid,
        ):
            yield grid

    def _connection(self) -> FlowerClient:
        """Return a connection for one caller to the server, which is started again where it has ended.

        Everybody has one of their own: one that is in use must not be closed because the server was started again.
        """
        with self._lock:
            if not self._is_open:
                raise UnavailableError(ErrorCode.HUB_UNAVAILABLE, "Flower's server does not run")
            if self.pid is None:
                _LOG.warning("Flower's server has ended and is started again")
                self._end()
                self._start()
            return FlowerClient(self._private, self._folder / "loopback.pem")

    def _control(self, client: FlowerClient) -> ControlCalls:
        return ControlCalls(client, self._control_key, clock=self._clock)


def _key(path: Path) -> SigningKey:
    if path.exists():
        return load_signing_key(path)
    key = SigningKey.generate()
    save_signing_key(key, path)
    return key


def _first_line(process: "subprocess.Popen[str]") -> dict[str, str]:
    stream = process.stdout
    is_ready = stream is not None and select.select([stream], [], [], _START_S)[0]
    line = stream.readline() if stream is not None and is_ready else ""
    try:
        match json.loads(line):
            case {"private": str(private), "public": str(public)}:
                return {"private": private, "public": public}
    except ValueError:
        pass
    process.kill()
    process.wait()
    raise UnavailableError(
        ErrorCode.HUB_UNAVAILABLE, "Flower's server did not start", hint="see federation/superlink.log"
    )


def _read_nodes(path: Path) -> dict[str, tuple[str, int]]:
    try:
        return {node: (str(key), int(number)) for node, (key, number) in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}


def _write_nodes(path: Path, nodes: Mapping[str, tuple[str, int]]) -> None:
    # A node's number is a uint64: a text in JSON.
    text = json.dumps({node: [key, str(number)] for node, (key, number) in nodes.items()}, indent=1)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
