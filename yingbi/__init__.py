"""Yingbi (影壁): compute on government data without seeing it, and prove offline what happened.

This package is the contract every party shares and what a partner or an auditor installs: canonical bytes, keys,
statements, entry types, receipts, the error catalogue, the SDK, the command line and the offline verifier.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yingbi.client import aconnect, connect

__all__ = ["__version__", "aconnect", "connect"]

__version__ = "0.1.0"

_OF_THE_SDK = ("aconnect", "connect")


def __getattr__(name: str) -> Any:
    # The SDK is loaded by who connects, not by who verifies a receipt.
    if name in _OF_THE_SDK:
        from yingbi import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
