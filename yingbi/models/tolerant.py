"""Reading a document in which anything may be missing: what is not there, or is something else, is nothing."""

from collections.abc import Mapping
from typing import Any, Final

from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.numbers import read_number

__all__ = ["Row", "find", "number", "objects", "row", "rows", "text", "texts"]

Row = Mapping[str, Any]

_MOST_ROWS: Final = 2000
_MOST_TEXT: Final = 4000


def row(value: object) -> Row:
    """Return an object, or an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[Row]:
    """Return the objects of a list."""
    return [item for item in value[:_MOST_ROWS] if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """Return the texts of a list."""
    return (
        [item[:_MOST_TEXT] for item in value[:_MOST_ROWS] if isinstance(item, str)] if isinstance(value, list) else []
    )


def text(value: object) -> str | None:
    """Return a text or whole number as text."""
    if isinstance(value, str):
        return value[:_MOST_TEXT] or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: object) -> float | None:
    """Return the number of a decimal string or of a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    try:
        return read_number(value, "number")
    except InvalidRequestError:
        return None


def find(value: object, *names: str) -> object:
    """Return what lies under names, one inside of the other."""
    for name in names:
        value = row(value).get(name)
    return value


def objects(value: Row, name: str) -> list[Row]:
    """Return the objects of a list that has to be there: the one reader here that tolerates nothing.

    Raises:
        InvalidRequestError: it is no list, or has something else in it.
    """
    found = value.get(name)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected objects in `{name}`")
    return found
