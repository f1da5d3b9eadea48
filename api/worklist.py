"""Jobs that are not over, so that looking for work costs what is open and not what ever was."""

from collections.abc import Iterable
from typing import Final

from policies.jobs import JobState
from policies.standing import JobStanding, Standing
from yingbi.statement import Statement

__all__ = ["Worklist", "is_over", "job_of"]

_OVER: Final = frozenset(
    {
        JobState.RELEASED,
        JobState.DELIVERED,
        JobState.DESTROYED,
        JobState.REFUSED,
        JobState.CANCELLED,
        JobState.REJECTED,
    }
)


def job_of(statement: Statement) -> str | None:
    """Return the job that a statement is about, or nothing."""
    named = statement.payload.body.get("job")
    if isinstance(named, str):
        return named
    return statement.payload.id if statement.type.noun == "job" else None


def is_over(job: JobStanding) -> bool:
    """Tell whether nothing more is to be done about a job but to fetch its result."""
    return job.state in _OVER or (job.state is JobState.FAILED and not job.life.is_retryable)


class Worklist:
    """Open jobs in the order of their submission. Written by the recorder alone, readable from any thread."""

    def __init__(self) -> None:
        self._open: dict[str, None] = {}

    def follow(self, standing: Standing, statements: Iterable[Statement]) -> None:
        """Take what statements that were recorded did to their jobs."""
        for name in {job for one in statements if (job := job_of(one)) is not None}:
            self._put(standing.jobs.get(name), name)

    def add(self, job: JobStanding) -> None:
        """Take a job as it stands."""
        self._put(job, job.id)

    def open_jobs(self, standing: Standing) -> tuple[JobStanding, ...]:
        """Return the open jobs as they stand, oldest first."""
        found = (standing.jobs.get(name) for name in list(self._open))
        return tuple(job for job in found if job is not None and not is_over(job))

    def _put(self, job: JobStanding | None, name: str) -> None:
        if job is not None and not is_over(job):
            self._open.setdefault(name)
        else:
            self._open.pop(name, None)
