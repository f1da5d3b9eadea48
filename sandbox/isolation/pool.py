"""Workers that are started before they are needed, and kept for the jobs that they can still do (docs/cage.md)."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Self

from sandbox.isolation.cage import Cage, CageSpec, Cancel, Worker
from sandbox.isolation.frames import Frame
from yingbi.errors import UnavailableError

__all__ = ["CagePool"]

_LOG: Final = logging.getLogger(__name__)


class CagePool:
    """Keeps started workers for the specifications used last, so that a job does not wait for a start.

    A worker can read the snapshots of its own specification only, so that there is one shelf a set of snapshots (and
    limits); the shelf used longest ago is cleared when there are more than `shelves`. It is itself a `Cage`.

    Args:
        cage: starts the workers.
        size: workers kept ready a specification.
        shelves: specifications that are kept.
    """

    def __init__(self, cage: Cage, *, size: int = 1, shelves: int = 4) -> None:
        self._cage = cage
        self._size = size
        self._shelves = shelves
        self._ready: OrderedDict[CageSpec, list[Worker]] = OrderedDict()
        self._lock = threading.Lock()
        self._is_closed = False

    def start(self, spec: CageSpec) -> Worker:
        """Return a worker for one job, warm where there is one; when the job is done it is put back, or replaced.

        Raises:
            UnavailableError: nothing can be isolated here.
        """
        worker = self._take(spec) or self._cage.start(spec)
        return _Lent(worker, lambda: self._renew(spec, worker))

    def warm(self, spec: CageSpec) -> None:
        """Start workers for `spec` until as many wait as are kept (side effect: processes).

        Raises:
            UnavailableError: nothing can be isolated here.
        """
        with self._lock:
            missing = 0 if self._is_closed else self._size - len(self._ready.get(spec, ()))
        for worker in [self._cage.start(spec) for _ in range(missing)]:
            self._put(spec, worker)

    def close(self) -> None:
        """End all waiting workers."""
        with self._lock:
            self._is_closed = True
            waiting = [worker for workers in self._ready.values() for worker in workers]
            self._ready.clear()
        for worker in waiting:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _renew(self, spec: CageSpec, worker: Worker) -> None:
        if worker.is_alive:
            self._put(spec, worker)
            return
        try:
            self.warm(spec)
        except UnavailableError as error:
            # The job is done; the next one starts its worker itself, and says so where it cannot.
            _LOG.warning("no worker could be kept warm: %s", error.code.value)

    def _take(self, spec: CageSpec) -> Worker | None:
        with self._lock:
            waiting = self._ready.get(spec, [])
            while waiting:
                # The one that was started first: it has had the longest time to become ready.
                worker = waiting.pop(0)
                if worker.is_alive:
                    return worker
                worker.close()
        return None

    def _put(self, spec: CageSpec, worker: Worker) -> None:
        with self._lock:
            is_too_many = self._is_closed or len(self._ready.get(spec, ())) >= self._size
            evicted = [worker] if is_too_many else []
            if not is_too_many:
                self._ready.setdefault(spec, []).append(worker)
                self._ready.move_to_end(spec)
            while len(self._ready) > self._shelves:
                evicted += self._ready.popitem(last=False)[1]
        for old in evicted:
            old.close()


class _Lent:
    """A worker of the pool, for one job; what follows it is started afterwards: a start would compete with the job."""

    def __init__(self, worker: Worker, renew: Callable[[], None]) -> None:
        self._worker = worker
        self._renew = renew

    @property
    def data(self) -> tuple[str, ...]:
        return self._worker.data

    @property
    def is_alive(self) -> bool:
        return self._worker.is_alive

    def run(
        self, job: Frame, *, on_progress: Callable[[int], None] | None = None, cancel: Cancel | None = None
    ) -> Frame:
        try:
            return self._worker.run(job, on_progress=on_progress, cancel=cancel)
        finally:
            self._renew()

    def close(self) -> None:
        self._worker.close()
