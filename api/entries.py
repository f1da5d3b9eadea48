"""Where things stand in the log: which entry recorded a statement, and which entries are about a thing."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from yingbi.statement import Statement

__all__ = ["EntryIndex"]


class EntryIndex:
    """Indices of entries that had their effect, by payload, thing and noun.

    Written by the recorder alone, readable from any thread.
    """

    def __init__(self) -> None:
        self._by_payload: dict[bytes, int] = {}
        self._by_thing: defaultdict[str, list[int]] = defaultdict(list)
        self._by_noun: defaultdict[str, list[int]] = defaultdict(list)
        self._times: list[str] = []

    @property
    def size(self) -> int:
        """Return how many entries were taken or passed over."""
        return len(self._times)

    def add(self, index: int, time: str, statement: Statement) -> None:
        """Take the next entry."""
        self._by_payload.setdefault(_digest(statement), index)
        for name in {statement.payload.id, str(statement.payload.body.get("job", statement.payload.id))}:
            self._by_thing[name].append(index)
        self._by_noun[statement.type.noun].append(index)
        self._times.append(time)

    def skip(self, time: str) -> None:
        """Pass over an entry that has no effect."""
        self._times.append(time)

    def time(self, index: int) -> str:
        """Return the time of an entry."""
        return self._times[index]

    def find(self, statement: Statement) -> int | None:
        """Return the entry that recorded exactly this payload first, or nothing."""
        return self._by_payload.get(_digest(statement))

    def about(self, name: str) -> Sequence[int]:
        """Return the entries about a thing, in order."""
        return tuple(self._by_thing.get(name, ()))

    def of_noun(self, noun: str) -> Sequence[int]:
        """Return the entries of a noun, in order."""
        return tuple(self._by_noun.get(noun, ()))


def _digest(statement: Statement) -> bytes:
    return hashlib.sha256(statement.payload_bytes).digest()
