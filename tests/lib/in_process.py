"""A cage that is none: workers are calls in this process, over the wire's encoding; for tests of everything else."""

import os
import tempfile
from collections.abc import Callable
from importlib import import_module

from sandbox.isolation.cage import CageSpec, Cancel
from sandbox.isolation.frames import Frame, FrameKind, FrameReader, encode_frame
from sandbox.isolation.worker import Control
from yingbi.errors import ErrorCode, SandboxError, UnavailableError

__all__ = ["InProcessCage"]


class InProcessCage:
    """Implements `sandbox.isolation.cage.Cage` without processes, hence without limits."""

    def start(self, spec: CageSpec) -> "InProcessWorker":
        """Return a worker for one job."""
        return InProcessWorker(spec)


class InProcessWorker:
    """Implements what callers use of `CagedWorker`."""

    def __init__(self, spec: CageSpec) -> None:
        module, _, name = spec.entry.partition(":")
        self._entry = getattr(import_module(module), name)
        self.data = tuple(os.fspath(folder.resolve()) for folder in spec.data)
        self.is_alive = True

    def run(
        self, job: Frame, *, on_progress: Callable[[int], None] | None = None, cancel: Cancel | None = None
    ) -> Frame:
        """Serve the job; what a real worker would send passes through the same encoding."""
        self.is_alive = False
        with tempfile.TemporaryDirectory() as scratch:
            try:
                answer: Frame = self._entry(_sent(job), Control(lambda frame: None), scratch)
            except SandboxError:
                raise
            except Exception as error:
                raise UnavailableError(ErrorCode.ENGINE_FAILED, "the computation failed") from error
        return _sent(answer)

    def close(self) -> None:
        """End nothing."""
        self.is_alive = False


def _sent(frame: Frame) -> Frame:
    reader = FrameReader(1 << 30)
    (received,) = reader.feed(encode_frame(frame))
    if received.kind is FrameKind.ERROR:
        raise UnavailableError(ErrorCode.ENGINE_FAILED, "the computation failed")
    return received
