"""Clocks as parameters, and the one text form of a time: UTC with six digits of a second."""

from datetime import UTC, datetime
from typing import Final, Protocol

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["TIME_PATTERN", "Clock", "FixedClock", "SystemClock", "format_time", "parse_time"]

# `[0-9]`, not a class for digits: that one also takes the digits of other scripts.
TIME_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"
_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)


class FixedClock:
    """A clock that stands still until it is set; for tests and reproducible runs."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self.at


def format_time(at: datetime) -> str:
    """Format an aware time as `YYYY-MM-DDTHH:MM:SS.ffffffZ`."""
    if at.tzinfo is None:
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, "expected a time with its zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """Parse the one accepted form of a time.

    Raises:
        InvalidRequestError: any other form, or a date that does not exist.
    """
    try:
        at = datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidRequestError(
            ErrorCode.JSON_MALFORMED, "expected a time such as `2026-11-21T08:00:00.000000Z`"
        ) from error
    if format_time(at) != text:
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, "expected a time with six digits of a second")
    return at
