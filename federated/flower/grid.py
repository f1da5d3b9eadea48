"""The coordinator's view of the members: requests go out, replies come back one by one, or are lost by a deadline."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from federated.content import Content
from yingbi.errors import ErrorCode

__all__ = ["Arrived", "Grid", "Loss", "Lost"]


class Loss(StrEnum):
    """Why no content came back."""

    DEADLINE = "deadline"  # nothing came in time
    UNREACHABLE = "unreachable"  # the transport says that the member's node is gone, or does not know it
    REFUSED = "refused"  # the member answered with an error code
    MALFORMED = "malformed"  # what came is not a reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A member's reply."""

    party: str
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A member that did not reply; `code` is what it refused with, where it refused."""

    party: str
    reason: Loss
    code: ErrorCode | None = None


class Grid(Protocol):
    """Sends each party its request and yields what becomes of it: exactly one outcome a party."""

    def online(self) -> frozenset[str]:
        """Return the parties that can be asked now.

        Raises:
            SandboxError: it is not known.
        """

    def exchange(self, requests: Mapping[str, Content], *, deadline_s: float) -> Iterator[Arrived | Lost]:
        """Yield replies as they come; whoever has not replied after `deadline_s` seconds is lost.

        Raises:
            UnavailableError: nothing could be sent at all.
        """
