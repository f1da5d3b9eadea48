"""How many requests of one organisation are answered at a time: a flood of one does not keep the others out."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.refusals import busy

__all__ = ["Turnstile"]


class Turnstile:
    """Counts requests under way by organisation."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._inside: Counter[str] = Counter()

    @contextmanager
    def pass_through(self, organisation: str) -> Iterator[None]:
        """Count a request while it is answered.

        Raises:
            UnavailableError: as many of this organisation are being answered as may be.
        """
        with self._lock:
            if self._inside[organisation] >= self._limit:
                raise busy("too many requests of this organisation are being answered")
            self._inside[organisation] += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside[organisation] -= 1
                if not self._inside[organisation]:
                    del self._inside[organisation]
