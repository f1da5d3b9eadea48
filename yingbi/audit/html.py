"""HTML without a template language: elements from text, in which nothing that somebody else wrote becomes markup."""

import html
from collections.abc import Iterable
from typing import Final

__all__ = ["Markup", "element", "join"]

_VOID: Final = frozenset({"meta", "br", "line", "rect"})


class Markup(str):
    """Text that is markup already. Everything else is escaped."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element; a trailing or inner underscore of an attribute's name is Python's, not HTML's."""
    start = name + "".join(f' {_name(key)}="{html.escape(str(value))}"' for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{start}>" if name in ("meta", "br") else f"<{start}/>")
    return Markup(f"<{start}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Markup:
    """Return children one behind the other."""
    return Markup("".join(child if isinstance(child, Markup) else html.escape(str(child)) for child in children))


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
