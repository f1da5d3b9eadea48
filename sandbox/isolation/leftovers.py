"""What a node that was killed leaves running: found by its scratch folder, and killed.

The cage binds its processes to the node's life, but for an instant at their start (`sandbox.isolation.launch`): a node
that is killed just then leaves a process that holds no data yet, waits, and never ends by itself. It is a copy of one
that bears the folder among its arguments, and bears it from its first moment on; it can be born after `/proc` was
listed, and its parent can have ended since. So the list is made again until nothing is left to kill, and what was
killed has ended, and begets nothing, before the next one is made.
"""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["end_leftovers"]

_PASSES: Final = 64
# A parent that was dying while it was read bears nothing any more; what it left is in the list after that.
_PASSES_WITHOUT: Final = 2
_END_MS: Final = 5000


def end_leftovers(scratch: Path) -> int:
    """Kill every process that has a path inside of `scratch` among its arguments; return how many ended (side effect).

    Only for whoever knows that nobody is computing there: a process of a node that lives looks the same.
    """
    mark = os.fsencode(scratch) + b"/"
    ended = without = 0
    for _ in range(_PASSES):
        found = _end_found(mark)
        ended += found
        without = 0 if found else without + 1
        if without == _PASSES_WITHOUT:
            break
    return ended


def _end_found(mark: bytes) -> int:
    """Kill the processes that bear a mark now; return how many of them have ended."""
    with contextlib.ExitStack() as opened:
        killed = []
        for number in _processes_with(mark):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                handle = os.pidfd_open(number)
                opened.callback(os.close, handle)
                # SECURITY: the number may have become another's before it was opened; the handle cannot any more.
                if _bears(number, mark):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    killed.append(handle)
        return sum(_has_ended(handle) for handle in killed)


def _has_ended(handle: int) -> bool:
    """Wait for the end of a process that was killed; it may be long in the kernel's hands, but not for ever in ours."""
    end = select.poll()
    end.register(handle, select.POLLIN)
    return bool(end.poll(_END_MS))


def _processes_with(mark: bytes) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        number = int(folder.name)
        if number != os.getpid() and _bears(number, mark):
            yield number


def _bears(number: int, mark: bytes) -> bool:
    try:
        arguments = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(argument.startswith(mark) for argument in arguments)
