"""Documents that entries name by digest: terms of agreements, catalogue entries. Durable before the entry is."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Engine, select

from api.database import insert_new, reading, writing
from api.tables import DOCUMENT
from policies.model import Agreement
from policies.parse import parse_agreement
from yingbi.clock import Clock, format_time
from yingbi.errors import InvalidRequestError

__all__ = ["Documents"]

_MAX_TERMS: Final = 10_000


class Documents:
    """Documents by the digest of their canonical JSON, never changed and never removed."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._terms: OrderedDict[str, Agreement | None] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, documents: Mapping[str, bytes]) -> None:
        """Keep documents, durably; those that are kept already stay."""
        if not documents:
            return
        now = format_time(self._clock.now())
        with writing(self._engine) as connection:
            for digest, content in documents.items():
                insert_new(connection, DOCUMENT, digest=digest, content=content, kept_at=now)

    def find(self, digest: str) -> bytes | None:
        """Return a document, or nothing."""
        with reading(self._engine) as connection:
            found = connection.execute(select(DOCUMENT.c.content).where(DOCUMENT.c.digest == digest))
            content: bytes | None = found.scalar_one_or_none()
        return content

    def terms(self, digest: str, also: Mapping[str, bytes] | None = None) -> Agreement | None:
        """Return the agreement that a digest names, among the kept documents and `also`, or nothing."""
        with self._lock:
            if digest in self._terms:
                self._terms.move_to_end(digest)
                return self._terms[digest]
        # INVARIANT: only what is kept is remembered; an entry whose text is nowhere would not let the hub start again.
        if also is not None and digest in also:
            return _agreement(also[digest])
        content = self.find(digest)
        if content is None:
            return None
        agreement = _agreement(content)
        with self._lock:
            self._terms[digest] = agreement
            if len(self._terms) > _MAX_TERMS:
                self._terms.popitem(last=False)
        return agreement


def _agreement(content: bytes) -> Agreement | None:
    try:
        return parse_agreement(content)
    except InvalidRequestError:
        return None
