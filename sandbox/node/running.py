"""Which questions are being computed: a locked file each, so that the kernel knows when its process is gone."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from yingbi.errors import ConflictError, ErrorCode

__all__ = ["Running"]


class Running:
    """Locks in a folder, one a question; a lock ends with the process that holds it, however that ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def mark(self, question: str) -> Iterator[None]:
        """Hold the lock of a question.

        Raises:
            ConflictError: somebody else holds it.
        """
        path = self._folder / question
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise ConflictError(ErrorCode.TRANSITION_REFUSED, "a question of this id is being computed") from None
        try:
            yield
        finally:
            # Removed while it is held: nobody else can take what no longer has a name.
            path.unlink(missing_ok=True)
            os.close(handle)

    @contextmanager
    def share_node(self, sweep: Callable[[], None]) -> Iterator[None]:
        """Hold the lock that all open gates of the node share; who finds it free runs `sweep` before others come."""
        handle = os.open(self._folder.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                sweep()
            except BlockingIOError:
                pass
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    def is_alive(self, question: str) -> bool:
        """Return whether some process holds the lock of a question."""
        try:
            handle = os.open(self._folder / question, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        (self._folder / question).unlink(missing_ok=True)
        return False
