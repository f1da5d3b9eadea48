"""Entries of the log as listings show them."""

from api.schemas.wire import JsonObject, Wire

__all__ = ["ListedEntryOut"]


class ListedEntryOut(Wire):
    """An entry of the log with its statement; `seq` and `prev` are in the tile that has it."""

    index: int
    id: str
    type: str
    time: str
    statement: JsonObject
