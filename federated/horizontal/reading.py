"""Reading JSON strictly: every problem is named, and none of them shows a value (docs/spec/recipes.md, "Numbers")."""

import math
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, TypeVar

from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["Reading", "number_text", "parse_number"]

_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]{1,3})?", re.ASCII)
_MAX_DIGITS: Final = 40

Choice = TypeVar("Choice", bound=StrEnum)
Item = TypeVar("Item")


def number_text(value: float) -> str:
    """Return the shortest decimal that reads back as the same double; zero has no sign.

    Raises:
        InvalidRequestError: it is not finite.
    """
    if not math.isfinite(value):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected a finite number")
    return repr(float(value) + 0.0)


def parse_number(text: JsonValue) -> float | None:
    """Return the double nearest to a decimal string, or None where it is none."""
    if not isinstance(text, str) or len(text) > _MAX_DIGITS or _DECIMAL.fullmatch(text) is None:
        return None
    value = float(text) + 0.0
    return value if math.isfinite(value) else None


class Reading:
    """One JSON object that is read member by member; problems are collected, `finish` tells them all.

    `where` names the object in messages. A member that cannot be read gives its default, or a value of its type, so
    that reading goes on; nothing of it is used, because `finish` raises.
    """

    def __init__(self, value: JsonValue, where: str, problems: list[str] | None = None) -> None:
        self._where = where
        self._is_root = problems is None
        self._problems: list[str] = [] if problems is None else problems
        self._members: dict[str, JsonValue] = dict(value) if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            self.problem("", "an object")

    @property
    def is_good(self) -> bool:
        """Tell whether there is no problem so far."""
        return not self._problems

    def problem(self, name: str, expected: str) -> None:
        """Note that a member is not what was expected."""
        place = f"{self._where}.{name}".strip(".")
        self._problems.append(f"expected {expected} at `{place}`")

    def take(self, name: str, *, is_optional: bool = False) -> JsonValue:
        """Take a member as it is; None where it is absent."""
        if name not in self._members and not is_optional:
            self.problem(name, "a member")
        return self._members.pop(name, None)

    def text(self, name: str, pattern: re.Pattern[str], expected: str) -> str:
        """Take a string that matches."""
        value = self._members.pop(name, None)
        if isinstance(value, str) and pattern.fullmatch(value) is not None:
            return value
        self.problem(name, expected)
        return ""

    def choice(self, name: str, kind: type[Choice], default: Choice | None = None) -> Choice:
        """Take one of a closed set of words."""
        value = self._members.pop(name, None)
        if value is None and default is not None:
            return default
        words = {str(item): item for item in kind}
        if isinstance(value, str) and value in words:
            return words[value]
        self.problem(name, "one of " + ", ".join(words))
        return next(iter(kind))

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Take an integer within bounds, both included."""
        value = self._members.pop(name, None)
        if value is None and default is not None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.problem(name, f"an integer from {low} to {high}")
        return low

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """Take a decimal string within bounds, both included."""
        value = self._members.pop(name, None)
        if value is None and default is not None:
            return default
        number = parse_number(value)
        if number is not None and low <= number <= high:
            return number
        self.problem(name, f"a decimal string from {low:g} to {high:g}")
        return low

    def many(
        self,
        name: str,
        most: int,
        read: Callable[[JsonValue], Item | None],
        expected: str,
        *,
        is_optional: bool = False,
    ) -> tuple[Item, ...]:
        """Take a list of at most so many items that can each be read."""
        value = self._members.pop(name, None)
        if value is None and is_optional:
            return ()
        items: Sequence[Item | None] = [read(item) for item in value] if isinstance(value, list) else [None]
        found = tuple(item for item in items if item is not None)
        if len(found) < len(items) or len(found) > most:
            self.problem(name, f"a list of at most {most} {expected}")
        return found[:most]

    def inside(self, name: str) -> "Reading":
        """Open a member that is an object; its problems are told by this reading's `finish`."""
        return Reading(self._members.pop(name, None), f"{self._where}.{name}".strip("."), self._problems)

    def at(self, value: JsonValue, name: str) -> "Reading":
        """Open an object that stands somewhere below; its problems are told by this reading's `finish`."""
        return Reading(value, f"{self._where}.{name}".strip("."), self._problems)

    def finish(self) -> None:
        """End reading: members that were not taken are problems too.

        Raises:
            InvalidRequestError: there are problems; every one is named.
        """
        if self._members:
            self.problem("", f"no other members than are known, got {len(self._members)} more")
        if self._is_root and self._problems:
            raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "; ".join(self._problems))
