"""Waiting for what must become true, instead of for as long as it usually takes."""

import time
from collections.abc import Callable

__all__ = ["wait_until"]


def wait_until(is_true: Callable[[], object], *, seconds: float = 20) -> None:
    """Look again and again until something is true; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.005)
