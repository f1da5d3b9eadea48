"""The protocol without a network: steps are generators that say what to send, and are told what came back.

The same steps run over a blocking client and over an asynchronous one (`yingbi.client.transports`), and in tests over
nothing at all. A step never knows which.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

__all__ = ["Close", "Effect", "Listen", "LostError", "NextChunk", "Reply", "Send", "Steps", "Wait"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send a request, be told its `Reply`."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    max_bytes: int
    timeout_s: float
    connect_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen(Send):
    """Send a request whose answer goes on: be told its head, then ask for `NextChunk` until `Close`."""


@dataclass(frozen=True, slots=True)
class NextChunk:
    """Be told the next bytes of the answer that is listened to; nothing at its end."""


@dataclass(frozen=True, slots=True)
class Close:
    """Listen no more."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Let some time pass."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


class LostError(Exception):
    """No answer came. `was_sent` tells whether the request may have arrived: then only some may be repeated."""

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.was_sent = was_sent


Effect = Send | Listen | NextChunk | Close | Wait

Steps = Generator[Effect, Any, _T]
"""A conversation with the hub that ends in a value."""
