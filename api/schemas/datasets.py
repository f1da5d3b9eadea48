"""Data sets of the catalogue."""

from api.schemas.wire import JsonObject, Wire

__all__ = ["DatasetOut", "VersionOut"]


class VersionOut(Wire):
    """A version of a data set; jobs may name it when its grades are confirmed."""

    version: int
    schema_digest: str
    is_usable: bool


class DatasetOut(Wire):
    """A data set: its place on the ledger, its catalogue entry, its versions, the node that holds it."""

    id: str
    name: str
    title: str
    owner: str
    node: str | None
    openness: str
    entry: str
    document: JsonObject
    versions: list[VersionOut]
