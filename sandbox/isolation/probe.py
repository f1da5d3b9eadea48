"""What a worker tries at the node's start, to see that its cage holds (docs/cage.md, "The check at start").

Every attempt is harmless where it succeeds. The answer is one bit an attempt: refused or not.
"""

import ctypes
import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sandbox.isolation.frames import Frame, FrameKind
from sandbox.isolation.worker import Control

__all__ = ["ATTEMPTS", "attempt"]

_PTRACE: Final = {"x86_64": 101, "aarch64": 117}
_UNSHARE: Final = {"x86_64": 272, "aarch64": 97}
_NEW_USER: Final = 0x10000000


def attempt(job: Frame, control: Control, scratch: str) -> Frame:
    """Try everything and tell what was refused; the job's value is the folder of data and a file outside the cage."""
    data, outside = (str(text) for text in job.value) if isinstance(job.value, list) else ("", "")
    value = {name: _is_refused(lambda trial=trial: trial(data, outside)) for name, trial in ATTEMPTS.items()}  # type: ignore[misc]
    value["scratch"] = not _is_refused(lambda: Path(scratch, "probe").write_bytes(b"probe"))
    return Frame(kind=FrameKind.RESULT, value=dict(value))


def _is_refused(trial: Callable[[], object]) -> bool:
    try:
        trial()
    except (OSError, RuntimeError):
        return True
    return False


def _network(_data: str, _outside: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.connect(("192.0.2.1", 9))


def _local_socket(_data: str, _outside: str) -> None:
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()


def _other_file(_data: str, outside: str) -> None:
    Path(outside).read_bytes()


def _accounts(_data: str, _outside: str) -> None:
    Path("/etc/passwd").read_bytes()


def _write_data(data: str, _outside: str) -> None:
    Path(data, "probe").write_bytes(b"probe")


def _write_root(_data: str, _outside: str) -> None:
    Path("/probe").write_bytes(b"probe")


def _process(_data: str, _outside: str) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _program(_data: str, _outside: str) -> None:
    # A file that is not a program: refused by the filter with EPERM, elsewhere with ENOENT, which is not a refusal.
    try:
        os.execv("/nonexistent/probe", ["probe"])  # noqa: S606 - never runs
    except FileNotFoundError:
        return


def _namespace(_data: str, _outside: str) -> None:
    _call(_UNSHARE[platform.machine()], _NEW_USER)


def _debug(_data: str, _outside: str) -> None:
    _call(_PTRACE[platform.machine()], 0, 0, 0, 0)


def _call(number: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) != 0:
        raise OSError(ctypes.get_errno(), "refused")


ATTEMPTS: Final[dict[str, Callable[[str, str], None]]] = {
    "network": _network,
    "local-socket": _local_socket,
    "other-file": _other_file,
    "accounts": _accounts,
    "write-data": _write_data,
    "write-root": _write_root,
    "process": _process,
    "program": _program,
    "namespace": _namespace,
    "debug": _debug,
}
"""Attempts by name; each must be refused in a cage."""
