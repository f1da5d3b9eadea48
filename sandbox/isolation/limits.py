"""What one computation may use: memory, threads, time, bytes of result and of scratch space."""

from dataclasses import dataclass
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["GIBIBYTE", "MEBIBYTE", "Limits"]

MEBIBYTE: Final = 1 << 20
GIBIBYTE: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one job; every one is enforced from outside the process that computes, or by the kernel.

    `memory_bytes`: what the engine may hold before it spills to scratch space. `wall_s`: seconds from the moment the
    job is handed over. `result_bytes`: all frames that come back together. `temp_bytes`: scratch space on disk.
    """

    memory_bytes: int = 2 * GIBIBYTE
    threads: int = 2
    wall_s: float = 120.0
    result_bytes: int = 256 * MEBIBYTE
    temp_bytes: int = 8 * GIBIBYTE

    def __post_init__(self) -> None:
        """Refuse limits under which nothing could run.

        Raises:
            InvalidRequestError: a limit is zero, negative, or too small for the engine to start.
        """
        others = (self.threads, self.wall_s, self.result_bytes, self.temp_bytes)
        if self.memory_bytes < 64 * MEBIBYTE or min(others) <= 0:
            raise InvalidRequestError(
                ErrorCode.CONFIG_INVALID, "expected positive limits, and 64 MiB of memory or more"
            )
