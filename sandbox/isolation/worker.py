"""The inside of a cage: a process that gives up what it can do, takes a job, answers and ends (docs/cage.md).

Runs as `python -I -S -c ...` with a setup in JSON: search path, entry, limits. Nothing here trusts its environment, and
nothing that a library prints or says in an exception leaves: file descriptors 1 and 2 go nowhere, errors are codes.
"""

import importlib
import json
import os
import resource
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, Protocol

from sandbox.isolation.frames import Frame, FrameKind, FrameReader, encode_frame
from sandbox.isolation.limits import MEBIBYTE
from sandbox.isolation.seccomp import seal
from yingbi.errors import ErrorCode, SandboxError

__all__ = ["ADDRESS_SPACE_OVERHEAD", "MAX_OPEN_FILES", "MAX_THREADS", "Control", "Entry", "main"]

MAX_OPEN_FILES: Final = 64
MAX_THREADS: Final = 64
ADDRESS_SPACE_OVERHEAD: Final = 1024 * MEBIBYTE
"""Address space beyond the memory limit: code, libraries and reserved but untouched pages."""

_FILE_SLACK: Final = 64 * MEBIBYTE
_MAX_JOB: Final = 64 * MEBIBYTE
_DRAIN: Final = 65_536


class Control:
    """What a job may do while it runs: say how far it is, and hear that it is cancelled."""

    def __init__(self, send: Callable[[Frame], None]) -> None:
        self._send = send
        self._interrupt: Callable[[], None] | None = None
        self.is_cancelled = False

    def progress(self, percent: int) -> None:
        """Report progress, 0 to 100; it stays at the node."""
        self._send(Frame(kind=FrameKind.PROGRESS, value=max(0, min(100, percent))))

    def on_cancel(self, interrupt: Callable[[], None]) -> None:
        """Have `interrupt` called (in another thread) when the job is cancelled."""
        self._interrupt = interrupt
        if self.is_cancelled:
            interrupt()

    def cancel(self) -> None:
        """Interrupt the job."""
        self.is_cancelled = True
        if self._interrupt is not None:
            self._interrupt()


class Entry(Protocol):
    """What a worker runs: a function of the job and its control, named `module:function` by the node."""

    def __call__(self, job: Frame, control: Control, scratch: str) -> Frame:
        """Answer a job."""


def main(text: str) -> None:
    """Give up rights, load the entry, serve as many jobs as it is started for, and end (docs/cage.md, "Inside").

    Side effects: limits and filters of this process, its standard files; never returns.
    """
    setup = json.loads(text)
    pipe = _take_pipes()
    _limit(setup)
    if setup["seal"]:
        seal()
    module, _, name = setup["entry"].partition(":")
    loaded = importlib.import_module(module)
    entry: Entry = getattr(loaded, name)
    # What an entry can do ahead of any job, its `prepare` does while the worker waits anyway.
    getattr(loaded, "prepare", lambda: None)()
    pipe.send(Frame(kind=FrameKind.READY))
    desk = _Desk(pipe)
    threading.Thread(target=desk.listen, daemon=True).start()
    for _ in range(setup["jobs"]):
        job, control = desk.next()
        pipe.send(_answer(entry, job, control, setup["scratch"]))
    os._exit(0)


class _Pipes:
    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        self._reader = FrameReader(_MAX_JOB)
        self._waiting: list[Frame] = []

    def send(self, frame: Frame) -> None:
        view = memoryview(encode_frame(frame))
        with self._lock:
            while view:
                view = view[os.write(self._sink, view) :]

    def receive(self) -> Frame | None:
        while not self._waiting:
            data = os.read(self._source, _DRAIN)
            if not data:
                return None
            self._waiting.extend(self._reader.feed(data))
        return self._waiting.pop(0)


class _Desk:
    """Where jobs come in, and words to cancel the one that is being done; a closed pipe ends the process."""

    def __init__(self, pipe: _Pipes) -> None:
        self._pipe = pipe
        self._jobs: SimpleQueue[tuple[Frame, Control]] = SimpleQueue()

    def next(self) -> tuple[Frame, Control]:
        """Wait for a job."""
        return self._jobs.get()

    def listen(self) -> None:
        """Read what comes until the node is gone; then we must be, too."""
        control = Control(self._pipe.send)
        while (frame := self._pipe.receive()) is not None:
            if frame.kind is FrameKind.CANCEL:
                control.cancel()
            else:
                control = Control(self._pipe.send)
                self._jobs.put((frame, control))
        os._exit(1)


def _take_pipes() -> _Pipes:
    """Move both pipes away from 0 and 1, so that no library can read or write them, and close everything else."""
    os.closerange(3, MAX_OPEN_FILES)
    source, sink = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)
    return _Pipes(source, sink)


def _limit(setup: dict[str, Any]) -> None:
    """Set hard limits; without capabilities they cannot be raised again (setrlimit(2))."""
    _cap(resource.RLIMIT_CORE, 0)
    _cap(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    # The node watches the folder's size closely; this holds even while it does not look.
    _cap(resource.RLIMIT_FSIZE, setup["temp_bytes"] + _FILE_SLACK)
    _cap(resource.RLIMIT_AS, setup["memory_bytes"] + ADDRESS_SPACE_OVERHEAD)
    if setup["seal"]:
        # The kernel does not count root's processes, and outside a namespace it counts all of a user's.
        _cap(resource.RLIMIT_NPROC, MAX_THREADS)
    _cap(resource.RLIMIT_MEMLOCK, 0)


def _cap(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _answer(entry: Entry, job: Frame, control: Control, scratch: str) -> Frame:
    try:
        return entry(job, control, scratch)
    except SandboxError as error:
        code = error.code
    except MemoryError:
        code = ErrorCode.RESOURCE_LIMIT
    except Exception:
        # SECURITY: texts of exceptions quote data ("could not convert string ..."); only a code leaves.
        code = ErrorCode.ENGINE_FAILED
    if control.is_cancelled:
        code = ErrorCode.RUN_CANCELLED
    return Frame(kind=FrameKind.ERROR, value=code.value)


if __name__ == "__main__":
    main(sys.argv[1])
