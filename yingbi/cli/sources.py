"""Where an audit reads a log from: its own folder, an exported folder, or an address."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, UnavailableError
from yingbi.transport import is_loopback

__all__ = ["Read", "is_address", "read_address"]

_MAX_BYTES: Final = 20 << 20
_TIMEOUT_S: Final = 20.0
_HEADERS: Final = {"accept-encoding": "identity"}

Read = Callable[[str], bytes]
"""Returns the bytes at a path of C2SP tlog-tiles; `LookupError` when there are none."""


def is_address(source: str) -> bool:
    """Tell whether `source` is an HTTP address and not a folder."""
    return source.startswith(("http://", "https://"))


@contextmanager
def read_address(url: str, ca_file: Path | None = None) -> Iterator[Read]:
    """Open a reader of the log at `url`.

    Raises:
        InvalidRequestError: not an address, or a file without certificates.
        RefusedError: the address is not loopback and has no TLS.
    """
    base = _check_address(url)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError):
        raise InvalidRequestError(ErrorCode.CONFIG_INVALID, "expected a PEM file of certificates") from None
    # What goes to this machine in clear does not take the way over a proxy.
    with httpx.Client(verify=context, timeout=_TIMEOUT_S, trust_env=base.startswith("https:")) as client:
        yield partial(_read, client, base)


def _read(client: httpx.Client, base: str, path: str) -> bytes:
    try:
        with client.stream("GET", f"{base}/{path}", headers=_HEADERS) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                raise LookupError(path)
            response.raise_for_status()
            return _read_bounded(response)
    except (httpx.HTTPError, OSError) as error:
        raise UnavailableError(
            ErrorCode.LOG_UNAVAILABLE, f"log at `{base}` does not answer `{path}`", detail=type(error).__name__
        ) from None


def _check_address(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if not parsed.host or parsed.userinfo or "?" in url or "#" in url:
        # SECURITY: the address may hold a password, so it is not repeated.
        raise InvalidRequestError(ErrorCode.USAGE, "expected an address such as `https://log.futian.example/2026`")
    if parsed.scheme != "https" and not is_loopback(parsed.host):
        raise RefusedError(
            ErrorCode.INSECURE_TRANSPORT, "expected an https address", hint="http is for this machine only"
        )
    return url.rstrip("/")


def _read_bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    for chunk in response.iter_raw():  # SECURITY: nothing unpacks itself
        data += chunk
        if len(data) > _MAX_BYTES:
            raise LookupError("file is too large")
    return bytes(data)
