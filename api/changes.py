"""Waiting for something to change: for coroutines, of which each costs no thread, and for threads of the hub's own."""

import asyncio
import threading

__all__ = ["Changes"]


class Changes:
    """A counter that only grows; `notify` is called from any thread, `wait` from any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._grown = threading.Condition(self._lock)
        self._count = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def count(self) -> int:
        """Return how often something has changed; read it before looking at what may change."""
        with self._lock:
            return self._count

    def notify(self) -> None:
        """Tell all who wait that something has changed."""
        with self._lock:
            self._count += 1
            waiting, self._waiting = self._waiting, set()
            self._grown.notify_all()
        for loop, event in waiting:
            # A loop that has ended has nobody left who waits.
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def wait_here(self, seen: int, timeout_s: float) -> bool:
        """Wait, in a thread, until the counter is beyond `seen`; tell whether it is."""
        with self._grown:
            return self._grown.wait_for(lambda: self._count > seen, timeout_s)

    async def wait(self, seen: int, timeout_s: float) -> bool:
        """Wait until the counter is beyond `seen`; tell whether it is."""
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._count > seen:
                return True
            self._waiting.add(waiter)
        try:
            await asyncio.wait_for(waiter[1].wait(), timeout_s)
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiting.discard(waiter)
        return True
