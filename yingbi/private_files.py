"""Files that only their owner can read, made before somebody else's program makes them readable by all."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["touch_private"]


def touch_private(path: Path) -> None:
    """Make an empty file with mode 0600 where there is none.

    INVARIANT: a file that is there is not opened. Closing it would end every POSIX lock that this process has on it,
    those of its other connections to a SQLite database among them; another process would then take itself for the last
    one and remove the write-ahead log under them (sqlite.org, "How To Corrupt An SQLite Database File", 2.2).

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
