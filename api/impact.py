"""What a step of an agreement would touch, from what stands now."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from policies.impact import Impact, JobRef, JobStage, find_impact
from policies.jobs import JobState
from policies.standing import AgreementStanding, Standing
from yingbi.events.fields import RunningJobs

__all__ = ["ImpactStep", "impact_of"]


class ImpactStep(StrEnum):
    """A step that takes an agreement from jobs that rely on it."""

    SUSPEND = "suspend"
    REVOKE = "revoke"
    SUPERSEDE = "supersede"
    EXPIRE = "expire"


_STAGES: Final = {
    JobState.SUBMITTED: JobStage.WAITING,
    JobState.APPROVED: JobStage.WAITING,
    JobState.LEASED: JobStage.RUNNING,
    JobState.STARTED: JobStage.RUNNING,
    JobState.INTERRUPTED: JobStage.WAITING,
    JobState.HELD: JobStage.HELD,
}


def impact_of(
    standing: Standing, agreement: AgreementStanding, step: ImpactStep, *, running_jobs: RunningJobs | None = None
) -> Impact:
    """Return what a step would touch; without `running_jobs` the agreement itself says what becomes of them."""
    ends = agreement.agreement.on_revocation if step is not ImpactStep.SUSPEND else RunningJobs.STOP
    return find_impact([agreement.agreement], (), _jobs(standing), running_jobs=running_jobs or ends)


def _jobs(standing: Standing) -> Iterator[JobRef]:
    for job in standing.jobs.items():
        stage = _STAGES.get(job.state)
        if stage is not None:
            yield JobRef(id=job.id, agreements=frozenset({job.submitted.agreement}), stage=stage)
