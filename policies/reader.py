"""Values from nodes: each reader notes what is wrong with its place and goes on with a stand-in.

So all problems of a text are found in one pass; a value with a problem is never used (`policies.parse` drops it).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

from policies.document import AMBIGUOUS_WORDS, ListNode, MapNode, Node, Scalar
from policies.model import decimal_text
from policies.problems import AgreementProblem, did_you_mean, shown

__all__ = ["Reader", "is_null"]

_Code = TypeVar("_Code", bound=StrEnum)
_Item = TypeVar("_Item")

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,15}")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,18})?|[1-9](?:\.[0-9]{1,4})?e-[1-9][0-9]?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER_LIKE: Final = re.compile(r"[-+.]?[0-9][-+0-9._:eExXoObBa-fA-F]*")
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_MAX_LIST: Final = 256
_IN_QUOTES: Final = "write it in quotes: readers disagree about what it is"


@dataclass(slots=True, kw_only=True)
class Reader:
    """Reads scalars and collections; `marks` remembers where each member stands."""

    problems: list[AgreementProblem]
    marks: dict[str, tuple[int, int]] = field(default_factory=dict)

    def day(self, node: Node | None, path: str) -> date:
        """Read a day."""
        text = self.scalar(node, path)
        if text is not None:
            try:
                if _DATE.fullmatch(text.text) and date.min < (day := date.fromisoformat(text.text)) < date.max:
                    return day
            except ValueError:
                pass
            self.note(text, path, "expected a day such as `2026-11-01`")
        return date(2000, 1, 1)

    def share(self, node: Node | None, path: str) -> Decimal:
        """Read a share of a whole."""
        found = self.decimal(node, path)
        if node is not None and not 0 < found <= 1:
            self.note(node, path, "expected a share above 0 and at most 1")
        return found

    def decimal(self, node: Node | None, path: str) -> Decimal:
        """Read a decimal in quotes, or a whole number; the same number has one value however it is written."""
        text = self.scalar(node, path)
        if text is None:
            return Decimal(0)
        if _DECIMAL.fullmatch(text.text) and (not text.is_plain or _INTEGER.fullmatch(text.text)):
            return Decimal(decimal_text(Decimal(text.text)))
        hint = "write it in quotes: fractional numbers have no one form" if text.is_plain else None
        self.note(text, path, 'expected a decimal such as "0.85"', hint)
        return Decimal(0)

    def integer(self, node: Node | None, path: str, least: int, most: int, usual: int) -> int:
        """Read a whole number, `usual` where it is absent."""
        if node is None or is_null(node):
            return usual
        text = self.scalar(node, path)
        if text is None:
            return usual
        if text.is_plain and _INTEGER.fullmatch(text.text) and least <= int(text.text) <= most:
            return int(text.text)
        self.note(text, path, f"expected a whole number from {least} to {most}")
        return usual

    def choice(self, node: Node | None, path: str, kind: type[_Code], usual: _Code) -> _Code:
        """Read a member of a closed set, `usual` where it is absent."""
        return kind(self.word(node, path, tuple(kind), usual))

    def word(self, node: Node | None, path: str, known: tuple[str, ...], usual: str) -> str:
        """Read one of some words."""
        if node is None:
            return usual
        text = self.scalar(node, path)
        if text is None:
            return usual
        if text.text in known:
            return text.text
        names = ", ".join(f"`{name}`" for name in known)
        self.note(text, path, f"expected one of {names}, got {shown(text.text)}", did_you_mean(text.text, known))
        return usual

    def text(self, node: Node | None, path: str, pattern: str, what: str) -> str:
        """Read a text that fits a pattern."""
        text = self.scalar(node, path)
        if text is None:
            return ""
        if text.is_plain and _is_ambiguous(text.text):
            self.note(text, path, f"expected {what}", _IN_QUOTES)
        elif not re.fullmatch(pattern, text.text):
            self.note(text, path, f"expected {what}")
        return text.text

    # --- forms

    def scalar(self, node: Node | None, path: str) -> Scalar | None:
        """Return a node that is one value; a missing one is noted where it is missing."""
        if node is None or isinstance(node, Scalar):
            return node
        self.note(node, path, "expected one value, got a list or a mapping")
        return None

    def entries(self, node: Node | None, path: str) -> list[Node]:
        """Return the nodes of a list."""
        if node is None:
            return []
        if isinstance(node, ListNode):
            if len(node.items) > _MAX_LIST:
                self.note(node, path, f"expected at most {_MAX_LIST} items")
            return node.items[:_MAX_LIST]
        self.note(node, path, "expected a list")
        return []

    def items(
        self,
        node: Node | None,
        path: str,
        read: Callable[[Node, str], _Item],
        *,
        least: int = 0,
        distinct: bool = True,
    ) -> tuple[_Item, ...]:
        """Read a list of things; `distinct` refuses one that stands in it twice."""
        found: list[_Item] = []
        for at, item in enumerate(self.entries(node, path)):
            value = read(item, f"{path}[{at}]")
            self.marks[f"{path}[{at}]"] = (item.line, item.column)
            if distinct and value in found:
                self.note(item, f"{path}[{at}]", "stands in the list twice")
            found.append(value)
        if isinstance(node, ListNode) and len(found) < least:
            self.note(node, path, f"expected at least {least} in the list")
        return tuple(found)

    def named(self, node: Node, path: str, pattern: str, what: str, *, least: int = 0) -> list[tuple[str, Node]]:
        """Return the members of a mapping from names, in order of the names."""
        if not isinstance(node, MapNode):
            self.note(node, path, "expected a mapping from names")
            return []
        if not least <= len(node.pairs) <= _MAX_LIST:
            self.note(node, path, f"expected {least} to {_MAX_LIST} members")
        for name, (key, _) in node.pairs.items():
            self.marks[f"{path}.{name}"] = (key.line, key.column)
            if not re.fullmatch(pattern, name):
                self.note(key, path, f"expected {what}, got {shown(name)}")
            elif key.is_plain and _is_ambiguous(name):
                self.note(key, path, f"expected {what}", _IN_QUOTES)
        return sorted((name, value) for name, (_, value) in node.pairs.items() if re.fullmatch(pattern, name))

    def members(self, node: Node, path: str, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Node]:
        """Return the members of a mapping with fixed names; note those that are missing or unknown."""
        if not isinstance(node, MapNode):
            self.note(node, path, "expected a mapping")
            return {}
        known = (*required, *optional)
        prefix = f"{path}." if path else ""
        for name, (key, _) in node.pairs.items():
            if name in known:
                self.marks[f"{prefix}{name}"] = (key.line, key.column)
            else:
                self.note(key, path, f"unknown member {shown(name)}", did_you_mean(name, known))
        for name in required:
            if name not in node.pairs:
                self.note(node, f"{prefix}{name}", f"member `{name}` is missing")
        return {name: value for name, (_, value) in node.pairs.items() if name in known}

    def optional(self, node: Node | None, path: str, read: Callable[[Node, str], _Item]) -> _Item | None:
        """Read what may be absent or `null`."""
        return None if node is None or is_null(node) else read(node, path)

    def note(self, node: Node, path: str, message: str, hint: str | None = None) -> None:
        """Note a problem at a node."""
        self.problems.append(
            AgreementProblem(line=node.line, column=node.column, path=path, message=message, hint=hint)
        )


def is_null(node: Node) -> bool:
    """Return whether a node is the absence of a value."""
    return isinstance(node, Scalar) and node.is_plain and node.text in _NULL


def _is_ambiguous(text: str) -> bool:
    if text.lower() in AMBIGUOUS_WORDS:
        return True
    return bool(_NUMBER_LIKE.fullmatch(text)) and not (_INTEGER.fullmatch(text) or _DATE.fullmatch(text))
