"""What a change touches before it is made: agreements, certificates and jobs, as counts and ids (journey G4)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from policies.model import Agreement
from yingbi.events.fields import RunningJobs

__all__ = ["CertificateRef", "Impact", "JobRef", "JobStage", "agreements_over", "find_impact"]


class JobStage(StrEnum):
    """Where a job is: not yet running, running, or its output waits for a person."""

    WAITING = "waiting"
    RUNNING = "running"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRef:
    """A certificate that is active, and the agreements that it rests on."""

    id: str
    agreements: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRef:
    """A job that has not ended, and the agreements that it relies on."""

    id: str
    agreements: frozenset[str]
    stage: JobStage


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What a change touches; `stopped` are the running jobs that it ends, the other running ones finish."""

    agreements: tuple[str, ...]
    certificates: tuple[str, ...]
    waiting: tuple[str, ...]
    running: tuple[str, ...]
    held: tuple[str, ...]
    stopped: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Return how many there are of each."""
        names = ("agreements", "certificates", "waiting", "running", "held", "stopped")
        return {name: len(getattr(self, name)) for name in names}


def find_impact(
    changed: Sequence[Agreement],
    certificates: Iterable[CertificateRef],
    jobs: Iterable[JobRef],
    *,
    running_jobs: RunningJobs | None = None,
) -> Impact:
    """Return what a change of these agreements touches.

    `running_jobs` says what becomes of running jobs; absent, each agreement's own `on_revocation` does.
    """
    ends = {item.id: running_jobs or item.on_revocation for item in changed}
    touched = [job for job in jobs if not job.agreements.isdisjoint(ends)]
    running = [job for job in touched if job.stage is JobStage.RUNNING]
    stopped = [job for job in running if any(ends.get(name) is RunningJobs.STOP for name in job.agreements)]
    return Impact(
        agreements=tuple(sorted(ends)),
        certificates=tuple(sorted(item.id for item in certificates if not item.agreements.isdisjoint(ends))),
        waiting=tuple(sorted(job.id for job in touched if job.stage is JobStage.WAITING)),
        running=tuple(sorted(job.id for job in running)),
        held=tuple(sorted(job.id for job in touched if job.stage is JobStage.HELD)),
        stopped=tuple(sorted(job.id for job in stopped)),
    )


def agreements_over(
    agreements: Iterable[Agreement], dataset: str, *, column: str | None = None
) -> tuple[Agreement, ...]:
    """Return the agreements that grant a data set, or a column of it: what a new grade or a withdrawal touches."""
    found = []
    for item in agreements:
        grant = item.dataset(dataset)
        if grant is not None and (column is None or grant.column(column) is not None):
            found.append(item)
    return tuple(sorted(found, key=lambda item: (item.id, item.version)))
