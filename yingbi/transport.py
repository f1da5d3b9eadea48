"""Which network addresses may be talked to without TLS: those that never leave the machine."""

import ipaddress

__all__ = ["is_loopback"]


def is_loopback(host: str) -> bool:
    """Tell whether `host` is `localhost` or a literal loopback address; every other name is taken for remote."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host == "localhost"
