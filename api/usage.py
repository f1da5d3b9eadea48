"""How much of their limits agreements have used up, counted as it is recorded: a decision does not count all anew."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from api.worklist import job_of
from policies.jobs import JobState
from policies.model import CALENDAR
from policies.request import Consumption
from policies.standing import JobStanding, Standing
from yingbi.clock import parse_time
from yingbi.events import EntryType
from yingbi.statement import Statement

__all__ = ["TRAINING", "Usage", "day_of"]

TRAINING: Final = "train."
"""How the operation of a federation's member job begins."""

_NOT_COUNTED: Final = frozenset({JobState.REFUSED, JobState.CANCELLED})
_SPENT: Final = frozenset({EntryType.BUDGET_RESERVED, EntryType.BUDGET_COMMITTED})


def day_of(time: str) -> str:
    """Return the day of a time in the calendar of agreements."""
    return parse_time(time).astimezone(CALENDAR).date().isoformat()


def _is_counted(job: JobStanding) -> bool:
    """Tell whether a job counts: what was refused or called off does not, unless it had been charged."""
    return job.state not in _NOT_COUNTED or job.charge in _SPENT


class Usage:
    """Jobs by agreement and day: every one counts that was not refused or called off before it was charged.

    Written by the recorder alone, readable from any thread.
    """

    def __init__(self) -> None:
        self._days: dict[str, str] = {}
        # A counter tells of what it does not hold without taking it in, and is never walked: readers need no lock.
        self._totals: Counter[str] = Counter()
        self._by_day: Counter[tuple[str, str]] = Counter()
        self._trainings: dict[str, tuple[str, ...]] = {}
        self._size = 0

    def follow(self, standing: Standing, statements: Iterable[Statement], *, at: str) -> None:
        """Take what statements that were recorded at a time did to their jobs."""
        names = {name for one in statements if (name := job_of(one)) is not None}
        for job in (standing.jobs.get(name) for name in names):
            if job is not None:
                self._put(job, at)
        self._size = standing.size

    def add(self, job: JobStanding, submitted_at: str) -> None:
        """Take a job as it stands."""
        self._put(job, submitted_at)
        self._size = max(self._size, job.entries[-1] + 1)

    def consumption(
        self,
        standing: Standing,
        agreement: str,
        *,
        at: str,
        apart_from: str | None,
        rounds_of: Callable[[JobStanding], int] = lambda job: 0,
    ) -> Consumption:
        """Return what was used of an agreement's limits, by jobs of `standing` that are not recorded yet as well.

        `rounds_of` says how many rounds a training may take, all of which it uses.
        """
        today = day_of(at)
        fresh = []
        for job in reversed(list(standing.jobs.items())):
            if job.entries[0] < self._size:
                break
            if job.submitted.agreement == agreement and job.id != apart_from and _is_counted(job):
                fresh.append(job)
        own = self._days.get(apart_from or "")
        trainings = (standing.jobs.get(name) for name in self._trainings.get(agreement, ()) if name != apart_from)
        return Consumption(
            jobs=self._totals[agreement] + len(fresh) - (own is not None),
            jobs_today=self._by_day[agreement, today] + len(fresh) - (own == today),
            rounds=sum(rounds_of(job) for job in (*trainings, *fresh) if job is not None),
        )

    def _put(self, job: JobStanding, at: str) -> None:
        is_counted = _is_counted(job)
        if job.submitted.operation.startswith(TRAINING):
            others = tuple(name for name in self._trainings.get(job.submitted.agreement, ()) if name != job.id)
            self._trainings[job.submitted.agreement] = (*others, job.id) if is_counted else others
        if is_counted and job.id not in self._days:
            self._days[job.id] = day_of(at)
            self._count(job.submitted.agreement, self._days[job.id], 1)
        elif not is_counted and job.id in self._days:
            self._count(job.submitted.agreement, self._days.pop(job.id), -1)

    def _count(self, agreement: str, day: str, change: int) -> None:
        self._totals[agreement] += change
        self._by_day[agreement, day] += change
