"""Networks of addresses."""

import pytest

from api.networks import network_of


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("93.184.216.77", "93.184.216.0/24"),
        ("::ffff:93.184.216.77", "93.184.216.0/24"),
        ("2606:4700:1:2::3", "2606:4700:1::/48"),
        ("fe80::1%eth0", ""),
        ("172.17.0.1", ""),
        ("10.1.2.3", ""),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("testclient", ""),
        ("", ""),
    ],
)
def test_networks_of_addresses(host: str, network: str) -> None:
    assert network_of(host) == network
