"""What a cage is, what goes into one, and the worker in it as the node sees it."""

import contextlib
import logging
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from sandbox.isolation.frames import Frame, FrameKind, FrameReader, encode_frame
from sandbox.isolation.limits import MEBIBYTE, Limits
from sandbox.isolation.worker import MAX_THREADS
from yingbi.errors import ConflictError, ErrorCode, RefusedError, SandboxError, UnavailableError

__all__ = ["Cage", "CageSpec", "CagedWorker", "Cancel", "Worker"]

_LOG: Final = logging.getLogger(__name__)
_START_S: Final = 30.0
_GRACE_S: Final = 0.3
_WATCH_S: Final = 0.05
_CHUNK: Final = 1 << 20
_RESIDENT_OVERHEAD: Final = 512 * MEBIBYTE
_MESSAGES: Final = {
    ErrorCode.RESOURCE_LIMIT: (RefusedError, "the computation exceeded its limit of memory or scratch space"),
    ErrorCode.RUN_CANCELLED: (ConflictError, "the computation was cancelled"),
    ErrorCode.CAGE_UNAVAILABLE: (UnavailableError, "the worker could not give up its rights"),
}


class Cancel(Protocol):
    """Tells whether a job has been cancelled; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Return whether the job must stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CageSpec:
    """What one worker is started for: `entry` (`module:function`), folders it may read, limits, further code.

    `data` are the snapshot folders, in the order in which the job names them; nothing else of the node can be read.
    `code` are folders of importable code besides this program's own (approved code; tests). It serves `jobs`, one after
    the other, and ends; a job can see what is left in memory of the one before: more than one is for one asker's same
    data.
    """

    entry: str
    data: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    code: tuple[Path, ...] = ()
    jobs: int = 1


class Worker(Protocol):
    """A started worker: takes the jobs that it was started for and is gone."""

    @property
    def data(self) -> tuple[str, ...]:
        """Return the folders that it reads, by their names inside."""

    @property
    def is_alive(self) -> bool:
        """Return whether the worker can take a job: it has not ended and not served all that it was started for."""

    def run(
        self, job: Frame, *, on_progress: Callable[[int], None] | None = None, cancel: Cancel | None = None
    ) -> Frame:
        """Hand over the job and wait for its answer; the worker ends after its last job, and when one fails."""

    def close(self) -> None:
        """End the worker; may be called twice."""


class Cage(Protocol):
    """Starts workers that can do nothing but compute."""

    def start(self, spec: CageSpec) -> Worker:
        """Start a worker; it waits for its first job.

        Raises:
            UnavailableError: nothing can be isolated here.
        """


class CagedWorker:
    """A worker in a process of its own.

    The deadline, the size of the scratch folder, resident memory and the number of threads are watched from here, so
    that they hold whatever runs inside.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        spec: CageSpec,
        *,
        data: tuple[str, ...],
        scratch: Path,
        inner: Callable[[], int | None],
    ) -> None:
        self._process = process
        self._spec = spec
        self._scratch = scratch
        self._inner = inner
        self._reader = FrameReader(spec.limits.result_bytes + MEBIBYTE)
        self._is_ready = False
        self._jobs_left = spec.jobs
        self._data = data

    @property
    def data(self) -> tuple[str, ...]:
        """Return the folders that it reads, by their names inside."""
        return self._data

    @property
    def is_alive(self) -> bool:
        """Return whether the worker can take a job: it has not ended and not served all that it was started for."""
        return self._jobs_left > 0 and self._process.poll() is None

    def wait_ready(self) -> None:
        """Wait until the worker has given up its rights and imported what it needs.

        Raises:
            UnavailableError: it did not start.
        """
        if self._is_ready:
            return
        frame = self._receive(time.monotonic() + _START_S, None, None)
        if frame.kind is not FrameKind.READY:
            raise _error_of(frame)
        self._is_ready = True

    def run(
        self, job: Frame, *, on_progress: Callable[[int], None] | None = None, cancel: Cancel | None = None
    ) -> Frame:
        """Hand over the job and wait for its answer within the limits (docs/cage.md, "A job").

        The worker ends after its last job, and when one fails.

        Raises:
            RefusedError: a limit was exceeded.
            ConflictError: cancelled.
            UnavailableError: the worker failed.
        """
        if not self._jobs_left:
            raise UnavailableError(ErrorCode.ENGINE_FAILED, "the worker has served its jobs")
        left, is_good = self._jobs_left - 1, False
        try:
            self.wait_ready()
            # Nobody else may give it one while it is busy.
            self._jobs_left = 0
            deadline = time.monotonic() + self._spec.limits.wall_s
            self._send(encode_frame(job), deadline)
            frame = self._receive(deadline, on_progress, cancel)
            if frame.kind is not FrameKind.RESULT:
                raise _error_of(frame)
            is_good = left > 0
            return frame
        except BrokenPipeError as error:
            raise UnavailableError(ErrorCode.ENGINE_FAILED, "the worker ended before its job") from error
        finally:
            if is_good:
                self._jobs_left = left
            else:
                self.close()

    def close(self) -> None:
        """Kill the worker and everything it started, and remove its scratch folder; may be called twice."""
        self._jobs_left = 0
        # A cage that is still being made has not bound its life to its parent yet: the whole group is killed.
        inner = self._inner()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            # Only while the outer process is there: afterwards the number could be another's.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid if inner is None else inner, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _send(self, data: bytes, deadline: float) -> None:
        sink = _fileno(self._process.stdin)
        view = memoryview(data)
        while view:
            _, ready, _ = select.select([], [sink], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise _too_long()
            view = view[os.write(sink, view[: select.PIPE_BUF]) :]

    def _receive(self, deadline: float, on_progress: Callable[[int], None] | None, cancel: Cancel | None) -> Frame:
        while True:
            for frame in self._read():
                if frame.kind is not FrameKind.PROGRESS:
                    return frame
                if on_progress is not None and isinstance(frame.value, int):
                    on_progress(frame.value)
            self._watch()
            if cancel is not None and cancel.is_set():
                self._interrupt()
                raise ConflictError(ErrorCode.RUN_CANCELLED, "the computation was cancelled")
            if time.monotonic() > deadline:
                raise _too_long()

    def _read(self) -> tuple[Frame, ...]:
        source = _fileno(self._process.stdout)
        if not select.select([source], [], [], _WATCH_S)[0]:
            return ()
        data = os.read(source, _CHUNK)
        if data:
            return self._reader.feed(data)
        # The worker is gone without an answer: the kernel killed it, or a library aborted when memory ran out.
        self._process.wait()
        _LOG.warning("worker ended early", extra={"status": self._process.returncode})
        raise UnavailableError(ErrorCode.ENGINE_FAILED, "the worker ended without an answer")

    def _interrupt(self) -> None:
        """Ask the engine to stop, wait a moment, and leave the rest to `close`."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError, SandboxError):
            self._send(encode_frame(Frame(kind=FrameKind.CANCEL)), time.monotonic() + _GRACE_S)
            end = time.monotonic() + _GRACE_S
            while time.monotonic() < end and not any(f.kind is not FrameKind.PROGRESS for f in self._read()):
                continue

    def _watch(self) -> None:
        """Hold the limits that the kernel does not (scratch space of many files, resident memory, root's threads)."""
        limits = self._spec.limits
        if _folder_bytes(self._scratch) > limits.temp_bytes:
            raise _error(ErrorCode.RESOURCE_LIMIT)
        resident, threads = _usage(self._inner())
        if resident > limits.memory_bytes + _RESIDENT_OVERHEAD or threads > MAX_THREADS:
            raise _error(ErrorCode.RESOURCE_LIMIT)


def _fileno(pipe: object) -> int:
    number: int = pipe.fileno()  # type: ignore[attr-defined]
    return number


def _folder_bytes(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(root, name), follow_symlinks=False).st_blocks * 512
    return total


def _usage(pid: int | None) -> tuple[int, int]:
    """Return resident bytes and the number of threads of a process (zero where they cannot be read)."""
    if pid is None:
        return 0, 0
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return 0, 0
    return int(lines.get("VmRSS", "0 kB").split()[0]) * 1024, int(lines.get("Threads", "0"))


def _error_of(frame: Frame) -> SandboxError:
    """Map a worker's code to an error in our words; a code we do not know is a failure of the engine."""
    codes = {code.value: code for code in ErrorCode}
    return _error(codes.get(str(frame.value), ErrorCode.ENGINE_FAILED))


def _error(code: ErrorCode) -> SandboxError:
    if code in _MESSAGES:
        kind, message = _MESSAGES[code]
        return kind(code, message)
    return UnavailableError(ErrorCode.ENGINE_FAILED, "the computation failed")


def _too_long() -> RefusedError:
    return RefusedError(ErrorCode.RESOURCE_LIMIT, "the computation exceeded its limit of time")
