"""Processes that end with whoever started them, and their environment."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from federated.flower import QUIET

__all__ = ["end_with_parent", "environment", "hold_leash"]

_PR_SET_PDEATHSIG: Final = 1
_KEPT: Final = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "TZ")
_libc: Final = ctypes.CDLL(None, use_errno=True)


def environment(home: Path) -> Mapping[str, str]:
    """Return the environment of a Flower process whose files are in `home`: nothing of ours that it does not need."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # No byte code beside code that others run, too, and no thread pool of a library that computes nothing here.
    own = {"FLWR_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    return kept | own | QUIET


def end_with_parent() -> None:
    """Let the kernel send SIGTERM to this process when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG).

    To be called between fork and exec: nothing here takes a lock.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def hold_leash(let_go: Callable[[], object]) -> None:
    """Call `let_go` when the standard input ends: whoever started this process holds the other end of that pipe."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            continue
        let_go()

    threading.Thread(target=wait, name="leash", daemon=True).start()
