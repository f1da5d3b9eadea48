"""The check at a node's start: does this machine's cage hold? (docs/cage.md, "The check at start")."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from sandbox.isolation.cage import Cage, CageSpec
from sandbox.isolation.frames import Frame, FrameKind
from sandbox.isolation.limits import MEBIBYTE, Limits
from sandbox.isolation.probe import ATTEMPTS
from yingbi.errors import ErrorCode, SandboxError, UnavailableError

__all__ = ["CageReport", "check_cage", "require_cage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CageReport:
    """What was tried in a cage, and which attempts were not refused; `started` is false where no worker ran at all."""

    started: bool
    tried: tuple[str, ...]
    open: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Return whether every attempt was refused."""
        return self.started and not self.open


def check_cage(cage: Cage) -> CageReport:
    """Start a worker and let it try to get out (side effect: a process and a temporary folder)."""
    tried = (*ATTEMPTS, "scratch")
    limits = Limits(memory_bytes=512 * MEBIBYTE, threads=1, wall_s=10.0, result_bytes=MEBIBYTE, temp_bytes=MEBIBYTE)
    with tempfile.TemporaryDirectory(prefix="yingbi-check-") as name:
        data, outside = Path(name, "data"), Path(name, "outside")
        data.mkdir()
        outside.write_bytes(b"outside")
        try:
            worker = cage.start(CageSpec(entry="sandbox.isolation.probe:attempt", data=(data,), limits=limits))
            answer = worker.run(Frame(kind=FrameKind.JOB, value=[worker.data[0], str(outside)]))
        except SandboxError:
            return CageReport(started=False, tried=tried, open=())
    refused = answer.value if isinstance(answer.value, dict) else {}
    return CageReport(started=True, tried=tried, open=tuple(name for name in tried if refused.get(name) is not True))


def require_cage(cage: Cage) -> CageReport:
    """Check a cage and refuse to go on where it does not hold.

    Raises:
        UnavailableError: no worker could be started, or an attempt to get out succeeded.
    """
    report = check_cage(cage)
    if not report.started:
        raise UnavailableError(
            ErrorCode.CAGE_UNAVAILABLE,
            "computations cannot be isolated here",
            hint="allow user namespaces for bubblewrap, or opt in to uncaged development by name",
        )
    if report.open:
        raise UnavailableError(ErrorCode.CAGE_UNAVAILABLE, f"the cage is open: {', '.join(report.open)}")
    return report
