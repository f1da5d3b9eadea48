"""Faults at chosen system calls of a real process, by strace."""

import shutil
import subprocess

import pytest

__all__ = ["needs_strace", "under_fault"]


def _can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-qq", "-e", "inject=getpid:signal=KILL:when=9", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_strace = [
    pytest.mark.strace,
    pytest.mark.skipif(not _can_trace(), reason="strace is missing or may not trace here"),
]


def under_fault(fault: str, command: list[str]) -> list[str]:
    """Return a command in whose process, and all of its own, a fault happens: `call:error=…:when=…`."""
    call = fault.partition(":")[0]
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={fault}", *command]
