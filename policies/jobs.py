"""The life of a job as a total table over the entries that record it (docs/spec/job.md).

Pure: a life and an entry go in, a life comes out; hub, node and auditor follow the same entries with it. What may come
twice changes nothing; everything else that does not fit is refused. Who may sign an entry is not judged here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from pydantic import BaseModel

from policies.tables import total
from yingbi.errors import ConflictError, ErrorCode
from yingbi.events import EntryType
from yingbi.events.jobs import JobApproved, JobFailed, JobInterrupted, JobLeased, JobStarted, JobSubmitted
from yingbi.events.outputs import DestroyedThing, OutputDestroyed

__all__ = ["ENDED", "STEPS", "TRANSITIONS", "JobLife", "JobState", "draw_job", "follow", "submitted"]


class JobState(StrEnum):
    """Where a job is in its life."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    LEASED = "leased"
    STARTED = "started"
    INTERRUPTED = "interrupted"
    HELD = "held"
    RELEASED = "released"
    DELIVERED = "delivered"
    DESTROYED = "destroyed"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


STEPS: Final = (
    EntryType.JOB_APPROVED,
    EntryType.JOB_REFUSED,
    EntryType.JOB_LEASED,
    EntryType.JOB_STARTED,
    EntryType.JOB_FAILED,
    EntryType.JOB_CANCELLED,
    EntryType.JOB_INTERRUPTED,
    EntryType.OUTPUT_CHECKED,
    EntryType.OUTPUT_HELD,
    EntryType.OUTPUT_RELEASED,
    EntryType.OUTPUT_DELIVERED,
    EntryType.OUTPUT_DESTROYED,
)
"""The entries that move a job, but for its submission, which begins it."""

ENDED: Final = frozenset({JobState.DESTROYED, JobState.REFUSED, JobState.CANCELLED, JobState.REJECTED})
"""States that nothing leads out of."""

_MOVES: Final[Mapping[tuple[JobState, EntryType], JobState]] = {
    (JobState.SUBMITTED, EntryType.JOB_APPROVED): JobState.APPROVED,
    (JobState.SUBMITTED, EntryType.JOB_REFUSED): JobState.REFUSED,
    (JobState.SUBMITTED, EntryType.JOB_CANCELLED): JobState.CANCELLED,
    (JobState.APPROVED, EntryType.JOB_LEASED): JobState.LEASED,
    (JobState.APPROVED, EntryType.JOB_REFUSED): JobState.REFUSED,
    (JobState.APPROVED, EntryType.JOB_CANCELLED): JobState.CANCELLED,
    # A lease that ran out is given again, to the same node or another.
    (JobState.LEASED, EntryType.JOB_LEASED): JobState.LEASED,
    (JobState.LEASED, EntryType.JOB_STARTED): JobState.STARTED,
    (JobState.LEASED, EntryType.JOB_REFUSED): JobState.REFUSED,
    (JobState.LEASED, EntryType.JOB_FAILED): JobState.FAILED,
    (JobState.LEASED, EntryType.JOB_CANCELLED): JobState.CANCELLED,
    (JobState.STARTED, EntryType.JOB_FAILED): JobState.FAILED,
    (JobState.STARTED, EntryType.JOB_INTERRUPTED): JobState.INTERRUPTED,
    (JobState.STARTED, EntryType.JOB_CANCELLED): JobState.CANCELLED,
    (JobState.STARTED, EntryType.OUTPUT_CHECKED): JobState.STARTED,
    (JobState.STARTED, EntryType.OUTPUT_HELD): JobState.HELD,
    (JobState.STARTED, EntryType.OUTPUT_RELEASED): JobState.RELEASED,
    (JobState.INTERRUPTED, EntryType.JOB_LEASED): JobState.LEASED,
    (JobState.INTERRUPTED, EntryType.JOB_FAILED): JobState.FAILED,
    (JobState.INTERRUPTED, EntryType.JOB_CANCELLED): JobState.CANCELLED,
    (JobState.INTERRUPTED, EntryType.OUTPUT_DESTROYED): JobState.INTERRUPTED,
    # Only a failure that says so may be tried again.
    (JobState.FAILED, EntryType.JOB_LEASED): JobState.LEASED,
    (JobState.FAILED, EntryType.JOB_CANCELLED): JobState.CANCELLED,
    (JobState.HELD, EntryType.OUTPUT_CHECKED): JobState.HELD,
    (JobState.HELD, EntryType.OUTPUT_RELEASED): JobState.RELEASED,
    (JobState.HELD, EntryType.OUTPUT_DESTROYED): JobState.REJECTED,
    (JobState.RELEASED, EntryType.OUTPUT_DELIVERED): JobState.DELIVERED,
    (JobState.RELEASED, EntryType.OUTPUT_DESTROYED): JobState.DESTROYED,
    (JobState.DELIVERED, EntryType.OUTPUT_DELIVERED): JobState.DELIVERED,
    (JobState.DELIVERED, EntryType.OUTPUT_DESTROYED): JobState.DESTROYED,
}
# Total: every entry in every state has its answer, and nothing is the answer "no".
TRANSITIONS: Final = total(JobState, STEPS, _MOVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLife:
    """Where a job is, and what later entries must agree with.

    `attempt`: of the lease that was given last, 0 before the first. `node`: who has that lease, until `leased_until`.
    `approved_until`: no lease and no start after it. Times are of the one text form, which sorts as time does.
    """

    expires_at: str
    state: JobState = JobState.SUBMITTED
    approved_until: str | None = None
    attempt: int = 0
    node: str | None = None
    leased_until: str | None = None
    is_retryable: bool = False


def submitted(body: JobSubmitted) -> JobLife:
    """Return the life of a job that was just submitted."""
    return JobLife(expires_at=body.expires_at)


def follow(life: JobLife, step: EntryType, body: BaseModel, *, at: str) -> JobLife:
    """Return the life after an entry that was recorded at a time.

    Raises:
        ConflictError: it is not possible in this state, is of another attempt, or comes too late.
    """
    after = TRANSITIONS[life.state, step]
    if after is None:
        raise _refused(f"a job that is {life.state} cannot take `{step}`")
    moved = replace(life, state=after)
    match body:
        case JobApproved():
            return _approve(moved, body)
        case JobLeased():
            return _lease(life, moved, body, at)
        case JobStarted():
            _check_attempt(life, body.attempt)
            _check_in_time(life, at)
            return moved
        case JobFailed():
            _check_attempt(life, body.attempt)
            return replace(moved, is_retryable=body.retryable)
        case JobInterrupted():
            _check_attempt(life, body.attempt)
            return moved
        case OutputDestroyed():
            return _destroy(life, moved, body)
        case _:
            return moved


def draw_job() -> str:
    """Return the life of a job as a Mermaid diagram, drawn from the table."""
    lines = ["stateDiagram-v2", "    [*] --> submitted"]
    lines += [f"    {state} --> {after}: {step}" for (state, step), after in TRANSITIONS.items() if after is not None]
    return "\n".join([*lines, *(f"    {state} --> [*]" for state in JobState if state in ENDED)])


def _approve(moved: JobLife, body: JobApproved) -> JobLife:
    if body.expires_at > moved.expires_at:
        raise _refused("an approval does not outlive its job")
    return replace(moved, approved_until=body.expires_at)


def _lease(life: JobLife, moved: JobLife, body: JobLeased, at: str) -> JobLife:
    if life.state is JobState.FAILED and not life.is_retryable:
        raise _refused("a job that failed for good is not leased again")
    if body.attempt != life.attempt + 1:
        raise _refused(f"expected a lease for attempt {life.attempt + 1}")
    # INVARIANT: one lease at a time; two nodes never work on one job.
    if life.state is JobState.LEASED and life.leased_until is not None and at <= life.leased_until:
        raise _refused("the job is leased to a node whose time is not over")
    _check_in_time(life, at)
    return replace(moved, attempt=body.attempt, node=body.node, leased_until=body.expires_at, is_retryable=False)


def _destroy(life: JobLife, moved: JobLife, body: OutputDestroyed) -> JobLife:
    wanted = {
        JobState.HELD: DestroyedThing.CANDIDATE,
        JobState.INTERRUPTED: DestroyedThing.SEALED_STATE,
    }.get(life.state, DestroyedThing.RESULT)
    if body.thing is not wanted:
        raise _refused(f"expected the destruction of a {wanted}")
    return moved


def _check_attempt(life: JobLife, attempt: int) -> None:
    if attempt != life.attempt:
        raise _refused(f"expected an entry of attempt {life.attempt}")


def _check_in_time(life: JobLife, at: str) -> None:
    if life.approved_until is None or at > life.approved_until:
        raise _refused("the approval of the job is over")


def _refused(message: str) -> ConflictError:
    return ConflictError(ErrorCode.TRANSITION_REFUSED, message)
