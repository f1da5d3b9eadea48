"""A node with its agent, the hub that it follows, and a bank that asks: one folder, opened as often as a test needs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ledger.entry import parse_entry
from policies.model import Agreement, terms_digest
from sandbox.isolation.cage import CageSpec, Cancel
from sandbox.isolation.frames import Frame
from sandbox.node.agent_home import OpenAgent, open_agent
from sandbox.node.home import NodeHome
from sandbox.node.journal import JobRow, Journal
from sandbox.node.questions import QuestionBook
from tests.lib.attack_world import new_world
from tests.lib.fake_hub import ADDRESS, NODE, FakeHub
from tests.lib.in_process import InProcessCage, InProcessWorker
from tests.lib.nodes import NOW
from tests.lib.waiting import wait_until
from yingbi.clock import Clock, FixedClock
from yingbi.errors import ConflictError, ErrorCode
from yingbi.statement import Statement

__all__ = ["AGREEMENT", "BY_STREET", "LONELY", "FailingCage", "PausingCage", "Scene", "prepare_scene"]

BY_STREET = "select street, sum(tax), count(*) from lab.firms group by street"
# Firm 0 alone: nothing of it may come out.
LONELY = "select sum(tax) from lab.firms where community = 'c00' and industry = 'F'"
AGREEMENT = "agr-lab-2026-01"


def prepare_scene(folder: Path, clock: Clock | None = None) -> Path:
    """Make a published world, a hub and an agreement between them below `folder`, to be copied by tests."""
    node = new_world(folder)
    clock = clock or FixedClock(NOW)
    hub, home = FakeHub(folder / "hub", clock), NodeHome.open(node, clock=clock)
    hub.prepare(home)
    home.close()
    hub.close()
    return folder


class Scene:
    """A copy of a prepared scene; the clock stands still until it is moved."""

    def __init__(self, folder: Path, *, clock: Clock | None = None, address: str = ADDRESS) -> None:
        self.folder = folder
        self.clock = clock or FixedClock(NOW)
        self.hub = FakeHub(folder / "hub", self.clock, address=address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hub.close()

    @property
    def terms(self) -> Agreement:
        """Return the agreement's present terms."""
        found = self.hub.standing.agreements.get(AGREEMENT)
        assert found is not None
        assert terms_digest(found.agreement) == found.terms
        return found.agreement

    @contextmanager
    def home(self) -> Iterator[NodeHome]:
        """Open the node's folder."""
        home = NodeHome.open(self.folder / "node", clock=self.clock)
        try:
            yield home
        finally:
            home.close()

    @contextmanager
    def agent(self, **options: Any) -> Iterator[OpenAgent]:
        """Open the agent, as a process would that starts now; it computes in this process."""
        with self.home() as home:
            used = {"http": self.hub.http(), "cage": InProcessCage(), "key": self.hub.key(NODE), **options}
            with open_agent(home, workers_ahead=0, **used) as opened:
                yield opened

    def work(self, times: int = 1) -> None:
        """Let an agent work for some polls, and end."""
        with self.agent() as opened:
            for _ in range(times):
                opened.agent.work()

    def ask(self, sql: str = BY_STREET, **changes: Any) -> str:
        """Ask as the bank."""
        return self.hub.ask(sql, self.terms, **changes)

    def entries(self, job: str | None = None) -> list[Statement]:
        """Return the statements in the log, all or those about a job."""
        data = self.hub.store.read_entries(0, self.hub.standing.size)
        statements = [parse_entry(one).statement for one in data]
        return [one for one in statements if job is None or job in (one.payload.id, one.payload.body.get("job"))]

    def row(self, job: str) -> JobRow:
        """Return the node's journal of a job."""
        with self.home() as home:
            return Journal(home.database, home.clock).get(job)

    def charged(self, agreement: str = AGREEMENT) -> int:
        """Return how many jobs the node's book has charged to an agreement."""
        with self.home() as home:
            return QuestionBook(home.database, home.clock).consumption([agreement])[agreement].jobs


class PausingCage:
    """A cage that waits in the middle of each computation until it is let go or cancelled."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.go = threading.Event()
        self._cage = InProcessCage()

    def start(self, spec: CageSpec) -> "_PausingWorker":
        """Return a worker for one job."""
        return _PausingWorker(self, self._cage.start(spec))


class _PausingWorker:
    def __init__(self, cage: PausingCage, worker: InProcessWorker) -> None:
        self._cage, self._worker = cage, worker
        self.data = worker.data

    @property
    def is_alive(self) -> bool:
        """Tell whether it can take a job."""
        return self._worker.is_alive

    def run(
        self, job: Frame, *, on_progress: Callable[[int], None] | None = None, cancel: Cancel | None = None
    ) -> Frame:
        """Wait, then serve the job."""
        self._cage.started.set()
        if on_progress is not None:
            on_progress(40)

        def is_over() -> bool:
            return self._cage.go.is_set() or (cancel is not None and cancel.is_set())

        wait_until(is_over)
        if cancel is not None and cancel.is_set():
            raise ConflictError(ErrorCode.RUN_CANCELLED, "the computation was cancelled")
        return self._worker.run(job)

    def close(self) -> None:
        """End nothing."""
        self._worker.close()


class FailingCage:
    """A cage in which computations fail a number of times."""

    def __init__(self, error: Exception, times: int = 1) -> None:
        self._error = error
        self.left = times
        self._cage = InProcessCage()

    def start(self, spec: CageSpec) -> "_FailingWorker":
        """Return a worker for one job."""
        return _FailingWorker(self, self._cage.start(spec))

    def fail(self) -> None:
        """Fail, if it is still time to."""
        if self.left:
            self.left -= 1
            raise self._error


class _FailingWorker:
    def __init__(self, cage: FailingCage, worker: InProcessWorker) -> None:
        self._cage, self._worker = cage, worker
        self.data, self.is_alive = worker.data, True

    def run(self, job: Frame, **_: object) -> Frame:
        """Fail, or serve the job."""
        self._cage.fail()
        return self._worker.run(job)

    def close(self) -> None:
        """End nothing."""
        self._worker.close()
