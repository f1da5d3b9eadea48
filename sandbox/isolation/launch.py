"""Starting processes from a thread that outlives every request.

`--die-with-parent` is bound to the *thread* that started the process (prctl(2), PR_SET_PDEATHSIG): a worker that a
request's thread started would die with that thread.

A program that makes namespaces can be killed, by that same option, at a moment when its child is not bound to anybody
yet, and the child then waits for ever: what still runs when this process ends is killed as a group, and what a killed
process leaves is found by `sandbox.isolation.leftovers`. What had not become that program yet is bound to nobody
and bears this process's arguments still: it is not found, and ends by itself, for nobody is at the other end of its 0.
"""

import atexit
import contextlib
import os
import queue
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from typing import Final

__all__ = ["code_folders", "interpreter", "launch", "library_folders"]

_PACKAGES: Final = ("yingbi", "policies", "sandbox")
_Start = tuple[Sequence[str], tuple[int, ...], dict[str, str], "Future[subprocess.Popen[bytes]]"]
_starts: "queue.SimpleQueue[_Start]" = queue.SimpleQueue()
_lock: Final = threading.Lock()
_launcher: list[tuple[int, threading.Thread]] = []
_started: list[subprocess.Popen[bytes]] = []


def launch(
    command: Sequence[str], *, pass_fds: tuple[int, ...], environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, with pipes on 0 and 1 and nothing on 2 (side effect: a process).

    Whoever is interrupted while waiting for it has no process left behind.
    """
    _ensure_launcher()
    done: Future[subprocess.Popen[bytes]] = Future()
    try:
        _starts.put((command, pass_fds, environment, done))
        return done.result()
    except BaseException:
        done.add_done_callback(_end)
        raise


def interpreter() -> str:
    """Return the path of the Python program itself, outside any virtual environment."""
    return os.path.realpath(sys.executable)


def library_folders() -> tuple[Path, ...]:
    """Return the folders of installed libraries."""
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys(Path(paths[name]).resolve() for name in ("purelib", "platlib")))


def code_folders() -> tuple[Path, ...]:
    """Return the folders of this program's own packages that a worker needs."""
    folders = []
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            folders.append(Path(spec.origin).resolve().parent)
    return tuple(folders)


def _end(done: "Future[subprocess.Popen[bytes]]") -> None:
    if done.exception() is None:
        with done.result() as process:
            _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    # Only while it has not been waited for: afterwards the number could be another's.
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _end_all() -> None:
    """Kill what still runs, group by group. An interrupt between a start and its owner's first line leaves one."""
    if _launcher and _launcher[0][0] == os.getpid():
        for process in _started:
            _kill(process)


def _ensure_launcher() -> None:
    with _lock:
        # After a fork the thread exists in the parent only.
        if not _launcher or _launcher[0][0] != os.getpid():
            thread = threading.Thread(target=_serve, name="cage-launcher", daemon=True)
            _launcher[:] = [(os.getpid(), thread)]
            _started.clear()
            thread.start()


def _serve() -> None:
    while True:
        command, pass_fds, environment, done = _starts.get()
        try:
            process = _popen(command, pass_fds, environment)
            _started[:] = [*(one for one in _started if one.returncode is None), process]
            done.set_result(process)
        except Exception as error:
            done.set_exception(error)


def _popen(command: Sequence[str], pass_fds: tuple[int, ...], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - a fixed program, no shell, arguments of ours
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # SECURITY: what a library prints may quote data.
        stderr=subprocess.DEVNULL,
        pass_fds=pass_fds,
        env=environment,
        start_new_session=True,
        bufsize=0,
    )


atexit.register(_end_all)
