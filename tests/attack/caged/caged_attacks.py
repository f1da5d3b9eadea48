"""What hostile code tries inside a cage (run there by test_cage.py, and outside as the control).

The job is `[name, argument...]`; the answer is what the attempt brought. An attempt that is refused raises, and what
leaves the cage then is a code.
"""

import ctypes
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from sandbox.engine_duckdb.job import Settings
from sandbox.engine_duckdb.session import Session
from sandbox.isolation.frames import Frame, FrameKind
from sandbox.isolation.worker import Control

SEEN_S = 2
"""How long what is forbidden stays for a watch to see; it ends well then, so that a watch that is off shows."""


def attack(job: Frame, control: Control, scratch: str) -> Frame:
    assert isinstance(job.value, list)
    name, *arguments = job.value
    return Frame(kind=FrameKind.RESULT, value=ATTACKS[str(name)](scratch, *arguments))


def refused(trial: Any) -> bool:
    try:
        trial()
    except OSError:
        return True
    return False


def connect(_scratch: str, host: str, port: int) -> Any:
    return refused(lambda: socket.create_connection((host, port), timeout=2).close())


def read(_scratch: str, path: str) -> Any:
    return refused(lambda: Path(path).read_bytes())


def write(_scratch: str, path: str) -> Any:
    return refused(lambda: Path(path).open("ab").close())


def look_around(_scratch: str) -> Any:
    return sorted(os.listdir("/"))


def fork(_scratch: str, count: int) -> Any:
    def many() -> None:
        for _ in range(count):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)

    return refused(many)


def threads(_scratch: str, count: int) -> Any:
    stop = threading.Event()
    started = [threading.Thread(target=stop.wait, daemon=True) for _ in range(count)]
    for thread in started:
        thread.start()
    time.sleep(SEEN_S)
    return len(started)


def memory(_scratch: str, size: int) -> Any:
    kept = [np.ones(1 << 22) for _ in range(size >> 25)]
    return len(kept)


def fill(_scratch: str, folder: str, files: int, size: int) -> Any:
    for number in range(files):
        Path(folder, str(number)).write_bytes(b"x" * size)
    time.sleep(SEEN_S)
    return files


def loop(scratch: str) -> Any:
    Path(scratch, "looping").touch()
    while True:
        pass


def sleep(_scratch: str, seconds: int) -> Any:
    time.sleep(seconds)
    return seconds


def call(_scratch: str, number: int, *arguments: int) -> Any:
    """Make a system call and return its error, zero for none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.syscall(number, *arguments) < 0 else 0


def descriptors(_scratch: str) -> Any:
    return [number for number in range(1024) if not refused(lambda number=number: os.fstat(number))]


def environment(_scratch: str) -> Any:
    return dict(os.environ)


def say(_scratch: str, text: str) -> Any:
    print(text, flush=True)
    os.write(2, text.encode())
    raise ValueError(text)


def forge(_scratch: str, text: str) -> Any:
    """Write to the pipe itself."""
    os.write(4, text.encode("latin-1"))
    time.sleep(SEEN_S)
    return None


def flood(_scratch: str, size: int) -> Any:
    return "x" * size


def quote(scratch: str, data: str, sql: str) -> Any:
    """Run hostile SQL on a locked session."""
    with Session(Settings(data=(data,), memory_bytes=1 << 28, threads=1, temp_bytes=1 << 28), scratch) as session:
        return [str(part) for part in session.row(sql)]


ATTACKS: dict[str, Any] = {
    item.__name__: item
    for item in (
        connect, read, write, look_around, fork, threads, memory, fill, loop, sleep, call, descriptors, environment,
        say, forge, flood, quote,
    )
}  # fmt: skip
