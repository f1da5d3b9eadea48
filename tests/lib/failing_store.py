"""A store that fails on purpose, at a chosen step of the sequencer's transaction or around its commit."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from ledger.store import LogStore, StoreWriter

__all__ = ["STEPS", "FailingStore"]

STEPS: Final = (
    "acquire",
    "head",
    "find_submissions",
    "add_submissions",
    "add_entries",
    "put_tiles",
    "add_openings",
    "read_tile",
    "put_signed",
    "advance",
    "before_commit",
    "after_commit",
    "publish",
)
"""Where to fail; `after_commit` is a commit that happened but whose answer was lost."""


class FailingStore:
    """A real store around which `fail_at` raises once when the named step is reached."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self.fail_at: str | None = None
        self.failures = 0

    def reach(self, step: str) -> None:
        """Fail if this is the step."""
        if self.fail_at == step:
            self.fail_at = None
            self.failures += 1
            raise OSError(5, "Input/output error")

    def acquire(self) -> None:
        """Acquire, or fail."""
        self.reach("acquire")
        self._store.acquire()

    def publish(self, *args: Any) -> None:
        """Publish, or fail."""
        self.reach("publish")
        self._store.publish(*args)

    def write(self) -> AbstractContextManager[StoreWriter]:
        """Open a transaction that fails at the chosen step."""
        return self._write()

    @contextmanager
    def _write(self) -> Iterator[Any]:
        with self._store.write() as writer:
            yield _FailingWriter(writer, self)
            self.reach("before_commit")
        self.reach("after_commit")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _FailingWriter:
    def __init__(self, writer: StoreWriter, store: FailingStore) -> None:
        self._writer, self._store = writer, store

    def __getattr__(self, name: str) -> Any:
        self._store.reach(name)
        return getattr(self._writer, name)
