"""Flower's server, started safely: `python -m federated.flower.superlink CONFIG`.

One process, two listeners: the public one answers registered nodes, the private one (a loopback address) the bureau's
coordinator. Both speak TLS only. Apps are stored at the start, each with a signature that is verified here first; no
other app can be run. When it listens, it writes one line of JSON: `{"private": URL, "public": URL}`.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn

from federated.flower import compat
from federated.flower.bundle import Bundle, bundle_of, parse_signature, stored_app, verify_bundle
from federated.flower.guards import PrivateGuard, PublicGuard
from federated.flower.processes import hold_leash
from yingbi.clock import SystemClock
from yingbi.errors import ErrorCode, ExitCode, InvalidRequestError, SandboxError, UnavailableError, VerificationError
from yingbi.key_files import read_secret
from yingbi.keys import VerifyKey
from yingbi.transport import is_loopback

__all__ = ["Listener", "SuperLinkConfig", "main", "read_config", "serve"]

_LOG: Final = logging.getLogger(__name__)
_MIN_SECRET: Final = 32
_MAX_CONFIG: Final = 65_536
_MAX_CONNECTIONS: Final = 256
_STOP_TIMEOUT_S: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperLinkConfig:
    """What the server is started with; paths are relative to the file's folder.

    `database`: an SQLite file, made when absent. `certificate`, `key`: PEM files, for both listeners unless the private
    one has its own (`private_certificate`, `private_key`): the public name is seldom the loopback address's.
    `secret`: file of the executors' secret, at least 32 bytes. `control_keys`: who may sign Control calls.
    `app_keys`: whose signature an app needs. `apps`: a bundle's file and its signatures' files.
    `is_leashed`: end when the standard input ends.
    """

    database: Path
    private: Listener
    public: Listener
    certificate: Path
    key: Path
    secret: Path
    control_keys: tuple[VerifyKey, ...]
    app_keys: tuple[VerifyKey, ...]
    apps: tuple[tuple[Path, tuple[Path, ...]], ...]
    private_certificate: Path | None = None
    private_key: Path | None = None
    is_leashed: bool = False


def read_config(path: Path) -> SuperLinkConfig:
    """Read a configuration file (JSON).

    Raises:
        InvalidRequestError: it cannot be read, or says something else than it must.
    """
    try:
        data = path.read_bytes()[: _MAX_CONFIG + 1]
        document = json.loads(data)
        config = _config(path.parent, document)
    except SandboxError:
        raise
    except OSError as error:
        raise _invalid(f"configuration `{path.name}` cannot be read") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _invalid(f"configuration `{path.name}` does not have the form of a `SuperLinkConfig`") from error
    if not is_loopback(config.private.host):
        # SECURITY: whoever reaches the private listener and has the secret can run the federation.
        raise _invalid("the private listener must be on a loopback address")
    if not config.control_keys or not config.app_keys or not config.apps:
        raise _invalid("expected at least one control key, one app key and one app")
    return config


def serve(config: SuperLinkConfig) -> None:
    """Serve until SIGTERM, SIGINT or the end of the leash (side effects: files, sockets, the process's umask).

    Raises:
        SandboxError: something is wrong with the configuration; nothing was served.
    """
    os.umask(0o077)
    compat.quiet()
    apps = tuple(_load_app(bundle, signatures, config.app_keys) for bundle, signatures in config.apps)
    public_tls = _tls(config.certificate, config.key)
    private_tls = _tls(config.private_certificate or config.certificate, config.private_key or config.key)
    secret = read_secret(config.secret)
    if len(secret) < _MIN_SECRET:
        raise _invalid(f"expected a secret of at least {_MIN_SECRET} bytes")
    settings = compat.SuperLinkSettings(database=config.database, superexec_secret=secret, apps=apps)
    app = compat.create_superlink(settings)
    private, public = _listen(config.private), _listen(config.public)
    guard = PrivateGuard(
        app,
        origin=lambda: _url(private),
        keys={key.thumbprint: key for key in config.control_keys},
        apps={stored.sha256: stored.id for stored in apps},
        clock=SystemClock(),
    )
    outside = PublicGuard(app, is_node=compat.node_recogniser(app))
    servers = (_server(guard, private_tls, lifespan="on"), _server(outside, public_tls, lifespan="off"))
    asyncio.run(_run(servers, (private, public), is_leashed=config.is_leashed))


def main(arguments: list[str]) -> int:
    """Serve by the configuration file that is named; return an exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m federated.flower.superlink CONFIG\n")
        return ExitCode.USAGE
    try:
        serve(read_config(Path(arguments[0])))
    except SandboxError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.spec.exit_code
    return ExitCode.OK


async def _run(servers: tuple["_Server", ...], listeners: tuple[socket.socket, ...], *, is_leashed: bool) -> None:
    def stop() -> None:
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if is_leashed:
        hold_leash(lambda: loop.call_soon_threadsafe(stop))
    tasks = [
        asyncio.create_task(server.serve(sockets=[listener]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    while not all(server.started for server in servers) and not any(task.done() for task in tasks):
        await asyncio.sleep(0.01)
    if all(server.started for server in servers):
        private, public = listeners
        sys.stdout.write(json.dumps({"private": _url(private), "public": _url(public)}) + "\n")
        sys.stdout.flush()
    # One listener that fails ends the other: half a server is none.
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stop()
    await asyncio.gather(*tasks)


class _Server(uvicorn.Server):
    """A server that leaves signals alone: there are two of them in the process."""

    def capture_signals(self) -> Any:
        """Return a context in which nothing is captured."""
        return contextlib.nullcontext()


def _server(app: Any, context: ssl.SSLContext, *, lifespan: Any) -> _Server:
    config = uvicorn.Config(
        app,
        lifespan=lifespan,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_STOP_TIMEOUT_S,
        ssl_context_factory=lambda _config, _default: context,
    )
    return _Server(config)


def _load_app(path: Path, signatures: tuple[Path, ...], keys: tuple[VerifyKey, ...]) -> compat.StoredApp:
    try:
        bundle = bundle_of(path.read_bytes())
        parsed = [parse_signature(signature.read_text("utf-8")) for signature in signatures]
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"app `{path.name}` or its signature cannot be read") from error
    _check_signatures(bundle, path, parsed, keys)
    return stored_app(bundle, parsed)


def _check_signatures(bundle: Bundle, path: Path, signatures: list[Any], keys: tuple[VerifyKey, ...]) -> None:
    if not signatures:
        raise _invalid(f"app `{path.name}` is not signed")
    for signature in signatures:
        try:
            verify_bundle(bundle, signature, keys)
        except SandboxError as error:
            raise VerificationError(
                ErrorCode.STATEMENT_UNVERIFIED,
                f"the signature of app `{path.name}` does not verify",
                hint="build the app again from its source and have it signed by the federation's app key",
            ) from error


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # SECURITY: an encrypted key would ask for its passphrase on the terminal of a service; it is refused instead.
        context.load_cert_chain(certificate, key, password=b"")
    except (OSError, ValueError) as error:
        raise _invalid(
            f"expected a PEM certificate `{certificate.name}` and its unencrypted key `{key.name}`"
        ) from error
    return context


def _listen(listener: Listener) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM)[
            0
        ]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)
    except (OSError, UnicodeError) as error:
        raise UnavailableError(
            ErrorCode.HUB_UNAVAILABLE, f"cannot listen on `{listener.host}` port {listener.port}"
        ) from error
    return opened


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _config(folder: Path, document: Mapping[str, Any]) -> SuperLinkConfig:
    known = set(SuperLinkConfig.__slots__)
    if set(document) - known:
        raise _invalid(f"unknown settings: {', '.join(sorted(set(document) - known))}")
    return SuperLinkConfig(
        database=folder / document["database"],
        private=_listener(document["private"]),
        public=_listener(document["public"]),
        certificate=folder / document["certificate"],
        key=folder / document["key"],
        secret=folder / document["secret"],
        control_keys=tuple(VerifyKey.from_jwk(jwk) for jwk in document["control_keys"]),
        app_keys=tuple(VerifyKey.from_jwk(jwk) for jwk in document["app_keys"]),
        apps=tuple(
            (folder / app["bundle"], tuple(folder / name for name in app["signatures"])) for app in document["apps"]
        ),
        private_certificate=_path(folder, document.get("private_certificate")),
        private_key=_path(folder, document.get("private_key")),
        is_leashed=document.get("is_leashed", False) is True,
    )


def _path(folder: Path, name: str | None) -> Path | None:
    return None if name is None else folder / name


def _listener(value: Mapping[str, Any]) -> Listener:
    match value:
        case {"host": str(host), "port": int(port), **others} if not others and 0 <= port < 65_536:
            return Listener(host=host, port=port)
        case _:
            raise _invalid("expected a host and a port of each listener")


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, message)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
