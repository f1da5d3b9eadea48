"""Flower's node in a process of its own: `python -m federated.flower.supernode_process PARENT PACE ARGUMENT...`.

All of it is `flower-supernode`, arguments and all; only how long its main loop sleeps is decided here, unless the pace
is `stock`. It ends with its parent.
"""

import os
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from federated.flower import compat
from federated.flower.pace import Pace
from federated.flower.processes import end_with_parent
from yingbi.errors import ExitCode

__all__ = ["NodePace", "main"]

_WORKING_S: Final = 0.02
_LONG_S: Final = 1.0
# A message is announced before its objects are sent, which takes a fraction of a second.
_OBJECTS_S: Final = (0.05, 1.0)


class NodePace(StrEnum):
    """How often the node asks: as Flower does (every three seconds), or as quickly as a round needs."""

    STOCK = "stock"
    QUICK = "quick"


def main(arguments: list[str]) -> int:
    """Run the node; return an exit code where it returns at all."""
    parent, pace, *given = arguments
    end_with_parent()
    if os.getppid() != int(parent):
        # The parent ended before the kernel was told to watch it.
        return ExitCode.UNAVAILABLE
    if NodePace(pace) is NodePace.STOCK:
        compat.run_supernode(given)
    else:
        compat.run_supernode(given, sleep=_quick(), objects_s=_OBJECTS_S)
    return ExitCode.OK


def _quick() -> Callable[[float], None]:
    pace = Pace(quick_s=0.15, slow_s=1.0, active_s=60.0)

    def sleep(seconds: float) -> None:
        # Long sleeps are between messages; short ones while a message is worked on, which is what makes a run active.
        is_working = seconds < _LONG_S
        wait_s = pace.after(worked=is_working)
        time.sleep(_WORKING_S if is_working else wait_s)

    return sleep


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
