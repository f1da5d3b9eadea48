"""A node's part in federations, composed: its member, what the agent needs of it, and Flower's node beside it.

```
federation/
  node-key            the node's key for Flower (EC P-384, mode 0600), registered by the hub
  authority.pem       what the server is trusted by
  flower/             Flower's own files
hold-out              decides which units are held out; it lasts as long as the node
```
"""

import shutil
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from federated.content import Content
from federated.flower.bundle import horizontal_bundle
from federated.flower.caged import CagedApp
from federated.flower.calls import FlowerClient
from federated.flower.executor import Executor
from federated.flower.handler import Task
from federated.flower.supernode import SuperNode, SuperNodeConfig, make_node_key, node_public_key
from federated.rounds.assembly import make_member
from federated.rounds.joint import NodeJoint
from federated.rounds.member import Member
from sandbox.node.agent_home import NodeParts
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError

__all__ = ["take_part"]


@contextmanager
def take_part(parts: NodeParts, *, ca_file: Path | None = None) -> Iterator[NodeJoint]:
    """Take part in the hub's federations: register, run Flower's node beside this process, answer its tasks.

    Args:
        parts: of the open node.
        ca_file: what the hub is trusted by, where that is not the system's authorities.

    Raises:
        NotFoundError: the hub runs no federations.
        RefusedError: the hub's runs are of another app than the one that this program has.
        SandboxError: the hub does not answer, or something is wrong with a key.
    """
    folder, bundle = parts.home.folder / "federation", horizontal_bundle()
    folder.mkdir(mode=0o700, exist_ok=True)
    key = folder / "node-key"
    public = node_public_key(key) if key.exists() else make_node_key(key)
    kit = parts.hub.join_federations(parts.home.config.name, public)
    if kit.app != bundle.digest:
        # SECURITY: a node runs what it was installed with, whoever signs something else.
        raise RefusedError(
            ErrorCode.OPERATION_NOT_PERMITTED,
            "the hub's federations are of another app than the one that is installed here",
            hint="hub and nodes have to be of one version of this software",
        )
    config = SuperNodeConfig(
        superlink=kit.address,
        authority=_authority(folder / "authority.pem", kit.authority, ca_file),
        key=key,
        app_keys=kit.app_keys,
        home=folder / "flower",
        node_id=kit.node_id,
    )
    work = folder / "work"
    # What a process left that died.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    app = CagedApp(bundle, cage=parts.cage, limits=parts.home.config.limits, folder=work)
    joint, member = make_member(parts, app=app, digest=bundle.digest)
    with (
        app,
        SuperNode(config) as node,
        node.connect() as client,
        _answering(_executor(client, node, bundle.digest, member)),
    ):
        yield joint


def _executor(client: FlowerClient, node: SuperNode, app: str, member: Member) -> Executor:
    # Flower's node waits for ever for the answer to a task that was taken and dropped.
    return Executor(client, secret=node.secret, app=app, handler=_Handles(member), on_broken=node.restart)


class _Handles:
    """Gives a node's tasks to its member."""

    def __init__(self, member: Member) -> None:
        self._member = member

    def handle(self, task: Task) -> Content:
        return self._member.handle(task.content, app=task.app)


@contextmanager
def _answering(executor: Executor) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=executor.run, args=(stop,), name="yingbi-executor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _authority(path: Path, told: str | None, ca_file: Path | None) -> Path:
    """Return the file of what the server is trusted by: what the hub told, else what the hub itself is trusted by."""
    if told is not None:
        path.write_text(told)
        return path
    if ca_file is not None:
        return ca_file
    system = ssl.get_default_verify_paths().cafile
    if system is None:
        raise InvalidRequestError(ErrorCode.CONFIG_INVALID, "expected `ca` in `agent.toml`: the system has none")
    return Path(system)
