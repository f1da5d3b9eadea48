"""Flower's node as the member's agent has it: started, watched, started again, and ended with the agent.

Flower refuses a node that it takes for connected still (exit 305), which a killed one is for up to a minute. Where the
node's id is known, its connection is ended by the node's own key first; otherwise the next start waits that minute.
"""

import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from federated.flower import compat
from federated.flower.bundle import trusted_entities
from federated.flower.calls import FlowerClient
from federated.flower.loopback_tls import make_loopback_certificate
from federated.flower.processes import environment
from federated.flower.supernode_process import NodePace
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, UnavailableError
from yingbi.key_files import read_secret, write_secret
from yingbi.keys import VerifyKey

__all__ = ["SuperNode", "SuperNodeConfig", "make_node_key", "node_public_key"]

_LOG: Final = logging.getLogger(__name__)
_REFUSED: Final = 305
_REFUSED_WAIT_S: Final = 60.0
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0
_STOP_S: Final = 8.0
_STEADY_S: Final = 30.0
_EXIT: Final = re.compile(r"Exit Code: (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperNodeConfig:
    """What a node is started with.

    `superlink`: `host:port` of the server's public listener. `authority`: PEM file of the authority that it is trusted
    by. `key`: the node's EC P-384 key (`make_node_key`), registered at the server. `app_keys`: whose apps are taken.
    `home`: a folder of its own. `node_id`: what registering returned, where that is known.
    """

    superlink: str
    authority: Path
    key: Path
    app_keys: tuple[VerifyKey, ...]
    home: Path
    node_id: int | None = None
    pace: NodePace = NodePace.QUICK


def make_node_key(path: Path) -> bytes:
    """Make a node's key in a new file that only its owner can read; return the public key (PEM) to register.

    Raises:
        ConflictError: the file exists.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    write_secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return node_public_key(path)


def node_public_key(path: Path) -> bytes:
    """Return the public key (PEM) of a node's key.

    Raises:
        SandboxError: the file cannot be read, can be read by others, or holds another kind of key.
    """
    return _load_key(path).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class SuperNode:
    """A node's process and the thread that watches over it; use it as a context manager.

    Args:
        config: what it is started with.
        wait: waits so many seconds unless an event is set; for tests.
    """

    def __init__(
        self,
        config: SuperNodeConfig,
        *,
        wait: Callable[[threading.Event, float], bool] = lambda event, seconds: event.wait(seconds),
    ) -> None:
        if not config.app_keys:
            raise InvalidRequestError(ErrorCode.CONFIG_INVALID, "expected at least one key whose apps are taken")
        self._config = config
        self._wait = wait
        self._key = _load_key(config.key)
        self._stop = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._is_wanted = False
        self._thread: threading.Thread | None = None
        config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        config.home.chmod(0o700)
        self._certificate, self._certificate_key = make_loopback_certificate(config.home)
        self._secret_file = config.home / "executor.secret"
        self._secret_file.unlink(missing_ok=True)
        write_secret(self._secret_file, secrets.token_bytes(32))
        (config.home / "trusted.yaml").write_text(trusted_entities(config.app_keys))
        self._port = _free_port()

    @property
    def secret(self) -> bytes:
        """Return the secret by which the executor takes tasks."""
        return read_secret(self._secret_file)

    @property
    def pid(self) -> int | None:
        """Return the process's number while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def connect(self) -> FlowerClient:
        """Return a connection for the executor."""
        return FlowerClient(f"https://127.0.0.1:{self._port}", self._certificate)

    def start(self) -> None:
        """Start the process and watch over it (side effects: a thread, a process)."""
        self._thread = threading.Thread(target=self._watch, name="supernode", daemon=True)
        self._thread.start()

    def restart(self) -> None:
        """End the process; it is started again at once. For a node that waits for an answer that will never come."""
        self._is_wanted = True
        self._end()

    def stop(self) -> None:
        """End the process for good; may be called twice."""
        self._stop.set()
        self._end()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _watch(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            started_at = time.monotonic()
            code = self._once()
            if self._stop.is_set():
                return
            is_steady = time.monotonic() - started_at > _STEADY_S
            wait_s = _FIRST_WAIT_S if is_steady or not wait_s else min(2 * wait_s, _LONGEST_WAIT_S)
            if code == _REFUSED and not self._disconnect():
                wait_s = _REFUSED_WAIT_S
            if self._is_wanted:
                self._is_wanted, wait_s = False, 0.0
            _LOG.warning("the node ended (Flower's code %s) and is started again in %s s", code, wait_s)
            self._wait(self._stop, wait_s)

    def _once(self) -> int | None:
        """Run the process until it ends; return Flower's own code of why, where it says one."""
        with self._lock:
            if self._stop.is_set():
                return None
            self._disconnect()
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell, arguments of ours
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(self._config.home),
                cwd=self._config.home,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._process = process
        code = _read_log(process.stdout)
        process.wait()
        return code

    def _command(self) -> list[str]:
        config = self._config
        flower = ["--superlink", config.superlink, "--root-certificates", str(config.authority.resolve())]
        flower += ["--auth-supernode-private-key", str(config.key.resolve()), "--isolation", "process"]
        flower += ["--host", "127.0.0.1", "--port", str(self._port)]
        flower += ["--ssl-certfile", str(self._certificate.resolve())]
        flower += ["--ssl-keyfile", str(self._certificate_key.resolve())]
        flower += ["--ssl-ca-certfile", str(self._certificate.resolve())]
        flower += ["--superexec-auth-secret-file", str(self._secret_file.resolve())]
        flower += ["--trusted-entities", str((config.home / "trusted.yaml").resolve())]
        module = "federated.flower.supernode_process"
        return [sys.executable, "-m", module, str(os.getpid()), config.pace.value, *flower]

    def _disconnect(self) -> bool:
        """End what the server takes for this node's connection; tell whether that could be done."""
        if self._config.node_id is None:
            return False
        try:
            with FlowerClient(f"https://{self._config.superlink}", self._config.authority) as client:
                asked = compat.fleet_pb2.DeactivateNodeRequest(node_id=self._config.node_id)
                headers = compat.node_headers(self._key)
                client.call(
                    "/v1/fleet/deactivate-node", asked, compat.fleet_pb2.DeactivateNodeResponse, headers=headers
                )
        except UnavailableError:
            return False
        except SandboxError:
            # It was not connected: then there is nothing in the way.
            return True
        return True

    def _end(self) -> None:
        with self._lock:
            process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _read_log(stream: IO[str] | None) -> int | None:
    """Read what the node writes until it ends; return the code that it says it ends with."""
    code = None
    for line in stream or ():
        if match := _EXIT.search(line):
            code = int(match[1])
        _LOG.debug("flower-supernode: %s", line.rstrip())
    if stream is not None:
        stream.close()
    return code


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_ssh_private_key(read_secret(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidRequestError(ErrorCode.KEY_MALFORMED, f"key file `{path.name}` is not a node's key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise InvalidRequestError(ErrorCode.KEY_MALFORMED, f"key file `{path.name}` does not hold an EC P-384 key")
    return key


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
