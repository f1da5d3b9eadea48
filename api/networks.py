"""Networks of addresses: whose share is used up by a sender that nobody knows."""

from ipaddress import ip_address, ip_network

__all__ = ["network_of"]


def network_of(host: str) -> str:
    """Return the network of an address: what one sender may have many of (IPv4 /24, IPv6 /48).

    Empty for an address that is not public: behind a proxy all senders have the proxy's.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    address = getattr(address, "ipv4_mapped", None) or address
    if not address.is_global:
        return ""
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))
