"""How often to ask again: often while a run is active, seldom otherwise."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Pace"]


@dataclass(slots=True, kw_only=True)
class Pace:
    """Waits `quick_s` seconds after something came and for `active_s` seconds from then on, `slow_s` otherwise."""

    quick_s: float = 0.05
    slow_s: float = 1.0
    active_s: float = 60.0
    monotonic: Callable[[], float] = time.monotonic
    _last: float = field(default=float("-inf"), init=False)

    def after(self, *, worked: bool) -> float:
        """Return how long to wait, having found something or nothing."""
        now = self.monotonic()
        if worked:
            self._last = now
        return self.quick_s if now - self._last < self.active_s else self.slow_s
