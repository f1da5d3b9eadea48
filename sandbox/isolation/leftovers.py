"""What a node that was killed leaves running: found by its scratch folder, and killed.

The cage binds its processes to the node's life, but for an instant at their start (`sandbox.isolation.launch`): a node
that is killed just then leaves a process that holds no data yet, waits, and never ends by itself.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["end_leftovers"]

_PASSES: Final = 6
_PAUSE_S: Final = 0.05


def end_leftovers(scratch: Path) -> int:
    """Kill every process that has a path inside of `scratch` among its arguments; return how many (side effect).

    Only for whoever knows that nobody is computing there: a process of a node that lives looks the same.
    """
    # Whoever died while it started a process left one that bears no such argument yet: its folder is there before it.
    passes = _PASSES if scratch.is_dir() and any(scratch.iterdir()) else 1
    ended = 0
    for turn in range(passes):
        if turn:
            time.sleep(_PAUSE_S)
        for number in _processes_with(os.fsencode(scratch) + b"/"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
                ended += 1
    return ended


def _processes_with(prefix: bytes) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(folder.name) != os.getpid() and any(argument.startswith(prefix) for argument in arguments):
            yield int(folder.name)
