"""Pages: long listings in parts. A cursor says after which item a page begins; it means nothing else to anybody."""

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Generic, TypeVar

from fastapi import Query

from api.refusals import malformed
from yingbi.key_files import encode_base64url

__all__ = ["MAX_LIMIT", "Cursor", "Limit", "Page", "take_page"]

_Item = TypeVar("_Item")
MAX_LIMIT: Final = 200
_MAX_CURSOR: Final = 400

Cursor = Annotated[str | None, Query(max_length=_MAX_CURSOR, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="how many items at most")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[_Item]):
    """Some items in order, and the cursor of the page after them, if there is one."""

    items: tuple[_Item, ...]
    next: str | None


def take_page(items: Iterable[_Item], *, key: Callable[[_Item], str], cursor: str | None, limit: int) -> Page[_Item]:
    """Return the page of items after a cursor, in the order of their keys, which are unique.

    Raises:
        InvalidRequestError: no cursor of ours.
    """
    after = None if cursor is None else _decode(cursor)
    found = sorted((item for item in items if after is None or key(item) > after), key=key)
    page = tuple(found[:limit])
    return Page(items=page, next=_encode(key(page[-1])) if len(found) > limit else None)


def _encode(key: str) -> str:
    return encode_base64url(key.encode())


def _decode(cursor: str) -> str:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise malformed("expected the `next` of a page as its cursor") from None
