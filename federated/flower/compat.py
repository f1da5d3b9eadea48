"""Every name of Flower that this program uses, in one place; its contract is tested (tests/unit/federated/flower).

What is imported at the top is what messages and executors need; what pulls in whole servers is imported by the
function that needs it. Flower 1.41 promises none of its inner names: a new version is taken when the contract passes.
"""

import logging
import sys
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, RecordDict
from flwr.app.message import Message, make_message, remove_content_from_message
from flwr.app.metadata import Metadata
from flwr.common.constant import NOOP_FLWR_AID, SUPERLINK_NODE_ID, TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE, SubStatus
from flwr.common.constant import ErrorCode as FlowerErrorCode
from flwr.common.serde import context_from_proto, context_to_proto, message_to_proto
from flwr.proto import control_pb2, fab_pb2, fleet_pb2, message_pb2, node_pb2, recorddict_pb2, runtime_pb2
from flwr.supercore.auth import create_superexec_auth_metadata, derive_auth_secret
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    HEAD_BODY_DIVIDER,
    HEAD_VALUE_DIVIDER,
    NOOP_FEDERATION_ID,
    TASK_TOKEN_HEADER,
    TaskType,
)
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.primitives.asymmetric import (
    bytes_to_public_key,
    public_key_to_bytes,
    sign_message,
    verify_signature,
)
from flwr.supercore.primitives.asymmetric_ed25519 import create_message_to_sign
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.version import package_version
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from fastapi import FastAPI

__all__ = [
    "HEAD_BODY_DIVIDER",
    "HEAD_VALUE_DIVIDER",
    "NOOP_FEDERATION_ID",
    "PROTOBUF_MEDIA_TYPE",
    "SUPERLINK_NODE_ID",
    "TASK_TOKEN_HEADER",
    "VERSION",
    "Array",
    "ArrayRecord",
    "ConfigRecord",
    "Context",
    "DecodeError",
    "Error",
    "FlowerErrorCode",
    "Message",
    "Metadata",
    "RecordDict",
    "StoredApp",
    "SubStatus",
    "SuperLinkSettings",
    "TaskType",
    "context_from_proto",
    "context_to_proto",
    "control_pb2",
    "create_message_to_sign",
    "create_superexec_auth_metadata",
    "create_superlink",
    "derive_auth_secret",
    "fab_pb2",
    "fleet_pb2",
    "get_all_nested_objects",
    "get_object_tree",
    "iterate_object_tree",
    "make_message",
    "message_pb2",
    "message_to_proto",
    "no_object_id_recompute",
    "node_headers",
    "node_pb2",
    "node_recogniser",
    "quiet",
    "recorddict_pb2",
    "remove_content_from_message",
    "run_supernode",
    "runtime_pb2",
]

_CLEAN_UP_S: Final = 1.0

VERSION: Final = package_version
"""The version of Flower that is installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredApp:
    """An app bundle which a server keeps: `sha256` in hexadecimal, `id` is `@publisher/name`."""

    id: str
    sha256: str
    content: bytes
    verifications: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperLinkSettings:
    """What Flower's server is made with; all else is fixed here."""

    database: Path
    superexec_secret: bytes
    apps: tuple[StoredApp, ...]


def quiet(level: int = logging.ERROR) -> None:
    """Let Flower log errors only (its own handler writes to the standard error; side effect: of the whole process)."""
    logging.getLogger("flwr").setLevel(level)


def run_supernode(
    arguments: Sequence[str], *, sleep: Callable[[float], None] | None = None, objects_s: tuple[float, float] = (1, 10)
) -> None:
    """Run `flower-supernode` with these arguments until it ends.

    It leaves by `SystemExit`, and takes SIGTERM and SIGINT for itself.

    Args:
        arguments: its own.
        sleep: what its main loop sleeps by instead of `time.sleep`.
        objects_s: how many seconds it waits, first and at most, before it asks again for the objects of a message that
            was announced and is still on its way to the server.
    """
    from flwr.supernode import start_client_internal
    from flwr.supernode.cli.flower_supernode import flower_supernode

    # Of `time` its loop uses `sleep` alone: three seconds without a message, half a second while one is worked on.
    if sleep is not None:
        start_client_internal.time = SimpleNamespace(sleep=sleep)  # type: ignore[assignment, attr-defined]
    first_s, most_s = objects_s
    start_client_internal.pull_objects = partial(  # type: ignore[attr-defined]
        start_client_internal.pull_objects,  # type: ignore[attr-defined]
        initial_backoff=first_s,
        backoff_cap=most_s,
    )
    sys.argv = ["flower-supernode", *arguments]
    flower_supernode()


def node_headers(key: "EllipticCurvePrivateKey") -> Mapping[str, str]:
    """Return header fields by which a node proves who it is, now."""
    timestamp = now().isoformat()
    return {
        FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(public_key_to_bytes(key.public_key())).decode(),
        TIMESTAMP_HEADER: timestamp,
        FLEET_HTTP_SIGNATURE_HEADER: b64encode(sign_message(key, timestamp.encode())).decode(),
    }


def node_recogniser(app: "FastAPI") -> Callable[[Mapping[str, str]], bool]:
    """Return a function that tells whether header fields (in small letters) are those of a registered node, now."""
    state = app.state.linkstate_factory.state()

    def is_node(headers: Mapping[str, str]) -> bool:
        try:
            key, signature = (
                b64decode(headers[name.lower()], validate=True)
                for name in (FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER)
            )
            timestamp = headers[TIMESTAMP_HEADER.lower()]
            is_now = abs((now() - datetime.fromisoformat(timestamp)).total_seconds()) < TIMESTAMP_TOLERANCE
            if not is_now or state.get_node_id_by_public_key(key) is None:
                return False
            return bool(verify_signature(bytes_to_public_key(key), timestamp.encode("ascii"), signature))
        except (KeyError, ValueError, TypeError):
            return False

    return is_node


def create_superlink(settings: SuperLinkSettings) -> "FastAPI":
    """Return Flower's server as an application: process isolation, node authentication, no installer, no plugins.

    The apps are stored, and stored anew when they have changed (side effect: the database).
    """
    from flwr.common.constant import ISOLATION_MODE_PROCESS, TRANSPORT_TYPE_GRPC_RERE
    from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin
    from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
    from flwr.superlink.config_loader import SuperLinkLifespanConfig
    from flwr.superlink.main import create_app

    config = SuperLinkLifespanConfig(
        # Nothing listens at these: with process isolation its lifespan starts no server and no process.
        control_address="",
        health_server_address=None,
        host="",
        port=0,
        insecure=False,
        certificates=None,
        # SECURITY: without the secret any stranger could take tasks.
        superexec_auth_secret=settings.superexec_secret,
        authn_plugin=NoOpControlAuthnPlugin(),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=None,
        ssl_certfile=None,
        ssl_keyfile=None,
        database=str(settings.database),
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )
    app = create_app(config, SuperLinkLifespan)
    _calm(app.state.linkstate_factory.state())
    # Layers that do nothing without a license, an event log or a tracer, and cost a quarter of every call.
    idle = {
        "ControlEventLogMiddleware",
        "ControlLicenseMiddleware",
        "ControlSensitiveResponseMiddleware",
        "FleetEventLogMiddleware",
        "RuntimeTracingMiddleware",
    }
    app.user_middleware = [layer for layer in app.user_middleware if getattr(layer.cls, "__name__", "") not in idle]
    _store_apps(app.state.linkstate_factory.state(), settings.apps)
    return app


def _calm(state: Any) -> None:
    """Spare the database two writes for every call, and calls the wait for each other's.

    Tasks whose executor is gone are looked for every second instead of always, and bytes are not counted.
    """
    clean_up = state._cleanup_expired_task_tokens
    next_at = [0.0]

    def clean_up_seldom() -> None:
        if time.monotonic() >= next_at[0]:
            next_at[0] = time.monotonic() + _CLEAN_UP_S
            clean_up()

    state._cleanup_expired_task_tokens = clean_up_seldom
    state.store_traffic = lambda *_, **__: None
    # Threads that write at once find SQLite locked, and it has them sleep up to a tenth of a second each time.
    lock = threading.RLock()
    for part in (state, state.object_store):
        part.session = _one_at_a_time(part.session, lock)


def _one_at_a_time(open_session: Callable[[], Any], lock: threading.RLock) -> Callable[[], Any]:
    @contextmanager
    def session() -> Iterator[Any]:
        with lock, open_session() as opened:
            yield opened

    return session


def _store_apps(state: Any, apps: tuple[StoredApp, ...]) -> None:
    from flwr.supercore.fab import Fab

    kept = {app.id for app in apps}
    for known in state.list_apps(NOOP_FEDERATION_ID):
        if known.app_id not in kept:
            state.delete_app(NOOP_FEDERATION_ID, known.app_id)
    for app in apps:
        fab = Fab(app.sha256, app.content, dict(app.verifications))
        state.store_app(
            fab=fab,
            federation_id=NOOP_FEDERATION_ID,
            app_id=app.id,
            app_type=TaskType.SERVER_APP,
            added_by=NOOP_FLWR_AID,
        )
