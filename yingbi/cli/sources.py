"""Where an audit reads a log from: its own folder, an exported folder, or an address."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, UnavailableError

__all__ = ["Read", "is_address", "read_address"]

_MAX_BYTES: Final = 20 << 20
_TIMEOUT_S: Final = 20.0

Read = Callable[[str], bytes]
"""Returns the bytes at a path of C2SP tlog-tiles; `LookupError` when there are none."""


def is_address(source: str) -> bool:
    """Tell whether `source` is an HTTP address and not a folder."""
    return source.startswith(("http://", "https://"))


def read_address(url: str, ca_file: Path | None = None) -> Read:
    """Return a reader of the log at `url`.

    Raises:
        RefusedError: the address is not loopback and has no TLS.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise RefusedError(
            ErrorCode.INSECURE_TRANSPORT, "expected an https address", hint="http is for this machine only"
        )
    try:
        client = httpx.Client(verify=str(ca_file) if ca_file else True, timeout=_TIMEOUT_S)
    except OSError as error:
        raise InvalidRequestError(ErrorCode.CONFIG_INVALID, "CA file cannot be read") from error
    base = url.rstrip("/")

    def read(path: str) -> bytes:
        try:
            with client.stream("GET", f"{base}/{path}") as response:
                if response.status_code == httpx.codes.NOT_FOUND:
                    raise LookupError(path)
                response.raise_for_status()
                return _read_bounded(response)
        except httpx.HTTPError as error:
            raise UnavailableError(
                ErrorCode.LOG_UNAVAILABLE, f"log at `{base}` does not answer `{path}`", detail=type(error).__name__
            ) from error

    return read


def _read_bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > _MAX_BYTES:
            raise LookupError("file is too large")
    return bytes(data)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
