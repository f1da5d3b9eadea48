"""Work for nodes: which job a node gets next, what it is told to stop, and checks that people made meanwhile."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from api.bureau import Bureau
from api.submissions import Follow, Submission
from api.worklist import Worklist
from policies.jobs import JobState
from policies.standing import JobStanding, Standing, StatementRefusedError
from yingbi.clock import format_time, parse_time
from yingbi.events import EntryType
from yingbi.events.fields import RunningJobs
from yingbi.statement import Statement

__all__ = ["Leasing", "News"]

_LEASABLE: Final = frozenset({JobState.APPROVED, JobState.LEASED, JobState.INTERRUPTED, JobState.FAILED})
_RUNNING: Final = frozenset({JobState.LEASED, JobState.STARTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a node is told besides work: jobs to stop, and entries in which people checked its held results."""

    stops: tuple[str, ...] = ()
    checks: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Told:
    running: set[str] = field(default_factory=set)
    stops: set[str] = field(default_factory=set)
    checks: set[int] = field(default_factory=set)


class Leasing:
    """Hands out leases. What a node was told is remembered while the hub runs; the log tells it everything anyway."""

    def __init__(
        self,
        bureau: Bureau,
        worklist: Worklist,
        *,
        lease_s: int,
        may_lease: Callable[[JobStanding, Standing], bool] = lambda job, standing: True,
    ) -> None:
        self._bureau = bureau
        self._worklist = worklist
        self._lease = timedelta(seconds=lease_s)
        self._may_lease = may_lease
        self._lock = threading.Lock()
        self._told: dict[str, _Told] = {}

    def has_work(self, standing: Standing, node: str, *, at: str) -> bool:
        """Tell whether a node might get a lease now."""
        return next(self._leasable(standing, node, at=at), None) is not None

    def lease(self, node: str) -> Follow:
        """Return the lease of the node's next job, or nothing where none may be leased."""

        def then(standing: Standing, at: str) -> Submission:
            for job in self._leasable(standing, node, at=at):
                statement = self._state(job, node, at=at)
                try:
                    standing.judge(statement, at=at)
                except StatementRefusedError:
                    continue  # what it relies on does not hold now; it may again
                return Submission(statements=(statement,))
            return Submission()

        return then

    def current(self, standing: Standing, node: str, *, at: str) -> JobStanding | None:
        """Return a job that the node has leased and not begun: the answer that told it so may have been lost."""
        if not _may_work(standing, node, at=at):
            return None
        for job in self._worklist.open_jobs(standing):
            if job.node == node and job.state is JobState.LEASED and at < (job.life.leased_until or ""):
                return job
        return None

    def news(self, standing: Standing, node: str, *, at: str) -> News:
        """Return what a node has to know now: what is stopped or was called off under it, who checked what it holds."""
        jobs = [job for job in self._worklist.open_jobs(standing) if job.node == node]
        running = {job.id for job in jobs if job.state in _RUNNING}
        with self._lock:
            told = self._told.setdefault(node, _Told())
            called_off = {name for name in told.running if _is_cancelled(standing.jobs.get(name))}
            told.running = running | (called_off - told.stops)
        stops = {job.id for job in jobs if job.id in running and _has_to_stop(standing, job, at=at)}
        held = [job for job in jobs if job.state is JobState.HELD and _is_checked(job)]
        return News(stops=tuple(sorted(stops | called_off)), checks=tuple(job.entries[-1] for job in held))

    def is_news(self, node: str, news: News) -> bool:
        """Tell whether a node was not told of something yet."""
        with self._lock:
            told = self._told.setdefault(node, _Told())
            return not told.stops.issuperset(news.stops) or not told.checks.issuperset(news.checks)

    def tell(self, node: str, news: News) -> None:
        """Remember what a node was told."""
        with self._lock:
            told = self._told.setdefault(node, _Told())
            told.stops, told.checks = set(news.stops), set(news.checks)

    def _leasable(self, standing: Standing, node: str, *, at: str) -> Iterator[JobStanding]:
        if not _may_work(standing, node, at=at):
            return
        # Who has waited longest comes first: a job that fails again and again goes behind the others each time.
        for job in sorted(self._worklist.open_jobs(standing), key=lambda job: job.entries[-1]):
            if job.state not in _LEASABLE or (job.life.approved_until or "") <= at:
                continue
            if job.state is JobState.LEASED and at <= (job.life.leased_until or ""):
                continue
            if standing.jobs.node_of(job.submitted.datasets) == node and self._may_lease(job, standing):
                yield job

    def _state(self, job: JobStanding, node: str, *, at: str) -> Statement:
        until = min(format_time(parse_time(at) + self._lease), job.life.approved_until or at)
        body = {"node": node, "attempt": job.life.attempt + 1, "expires_at": until}
        return self._bureau.state(EntryType.JOB_LEASED, job.id, body, at=at)


def _may_work(standing: Standing, node: str, *, at: str) -> bool:
    """Tell whether a node gets work: neither it nor its unit is stopped."""
    unit = standing.keys.organisation(node)
    if unit is None or standing.freezes.holds(node, unit):
        return False
    return standing.participants.is_admitted(unit, at=at)


def _has_to_stop(standing: Standing, job: JobStanding, *, at: str) -> bool:
    """Tell whether a running job relies on what was stopped meanwhile."""
    asked = job.submitted
    names = [one.dataset for one in asked.datasets]
    if standing.freezes.holds(job.partner, job.submitter, job.node, asked.agreement, *names):
        return True
    found = standing.agreements.get(asked.agreement)
    if found is None:
        return True
    return not found.is_active(at) and found.running_jobs is RunningJobs.STOP


def _is_checked(job: JobStanding) -> bool:
    return any(check.by.startswith("person:") for check in job.checks)


def _is_cancelled(job: JobStanding | None) -> bool:
    return job is not None and job.state is JobState.CANCELLED
