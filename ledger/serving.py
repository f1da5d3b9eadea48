"""Serving an application: TLS unless the address never leaves the machine, bounded, ended by SIGTERM."""

import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, UnavailableError
from yingbi.transport import is_loopback

__all__ = ["ServerTls", "make_tls", "serve"]

_KEEP_ALIVE_S: Final = 75
_STOP_TIMEOUT_S: Final = 10
_MAX_CONNECTIONS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """A certificate chain and its private key, both PEM files."""

    certificate: Path
    key: Path


def make_tls(certificate: Path | None, key: Path | None) -> ServerTls | None:
    """Pair a certificate with its key; neither means no TLS.

    Raises:
        InvalidRequestError: one without the other.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InvalidRequestError(ErrorCode.USAGE, "expected a certificate and its key together")
    return ServerTls(certificate=certificate, key=key)


def serve(
    app: Starlette,
    *,
    host: str,
    port: int,
    tls: ServerTls | None = None,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first.

    Args:
        app: what answers.
        host: address or name to listen on.
        port: TCP port; 0 takes a free one.
        tls: needed unless the address is loopback.
        announce: is called with the base URL once connections are accepted by the system.

    Raises:
        RefusedError: plain HTTP on an address that can be reached from elsewhere.
        InvalidRequestError: certificate or key cannot be loaded.
        UnavailableError: the address cannot be used.
    """
    context = _load_tls(tls) if tls is not None else None
    listener = _listen(host, port, is_encrypted=context is not None)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        workers=1,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_TIMEOUT_S,
        ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
    )
    server = uvicorn.Server(config)
    with _ending_normally(server):
        if announce is not None:
            announce(_base_url(listener, "https" if context is not None else "http"))
        server.run(sockets=[listener])


def _load_tls(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # SECURITY: an encrypted key would ask for its passphrase on the terminal of a service; it is refused instead.
        context.load_cert_chain(tls.certificate, tls.key, password=b"")
    except (OSError, ValueError) as error:
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID,
            f"expected a PEM certificate `{tls.certificate.name}` and its unencrypted key `{tls.key.name}`",
            detail=type(error).__name__,
        ) from None
    return context


def _listen(host: str, port: int, *, is_encrypted: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # SECURITY: judged on the address that is bound, not on the name that was asked for.
        if not is_encrypted and not is_loopback(str(address[0])):
            raise RefusedError(
                ErrorCode.INSECURE_TRANSPORT,
                f"plain HTTP would be served on `{host}`",
                hint="give a certificate and its key, or listen on 127.0.0.1 behind a proxy that has them",
            )
        return _bind(socket.socket(family, kind, protocol), address)
    except (OSError, UnicodeError) as error:
        raise UnavailableError(
            ErrorCode.LOG_UNAVAILABLE, f"cannot listen on `{host}` port {port}", detail=type(error).__name__
        ) from None


def _bind(listener: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _base_url(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@contextmanager
def _ending_normally(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGTERM end the server and nothing else, from the announcement on, before uvicorn looks at signals.

    uvicorn raises the signal once more after it has stopped; by then this asks for what is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        server.should_exit = True

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class _Protocol(H11Protocol):
    """Ends idle connections at once when the server stops.

    A TLS connection that is only closed waits for the client to close as well, and a client that keeps it for its next
    request does not: the end would take the whole `_STOP_TIMEOUT_S`.
    """

    def shutdown(self) -> None:
        is_idle = getattr(self.cycle, "response_complete", True) and not self.transport.is_closing()
        is_flushed = is_idle and not self.transport.get_write_buffer_size()
        super().shutdown()
        if is_flushed:
            self.transport.abort()
