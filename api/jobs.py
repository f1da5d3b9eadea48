"""Jobs as their partners see them: where each is, why it was refused, what is in the log about it."""

import json
from typing import Any, Final

from api.refusals import not_found, not_now
from api.schemas.jobs import JobEntryOut, JobOut, RemainingOut
from api.signing import Caller
from api.visibility import may_see_job
from api.wiring import Hub
from api.worklist import is_over
from ledger.receipt import format_receipt
from policies.jobs import ENDED, JobState
from policies.model import Limits
from policies.request import Consumption
from policies.standing import JobStanding, Standing
from yingbi.errors import NotFoundError
from yingbi.events import EntryType

__all__ = [
    "entries_of",
    "has_ended",
    "held_entry",
    "is_handed_out",
    "job_out",
    "own_job",
    "remaining",
    "result_due",
    "visible_job",
]

_HANDED_OUT: Final = frozenset({JobState.RELEASED, JobState.DELIVERED})
_WITH_NOTICE: Final = frozenset({JobState.HELD, JobState.REJECTED, JobState.REFUSED})


def visible_job(hub: Hub, standing: Standing, caller: Caller, name: str) -> JobStanding:
    """Return a job that the caller may know of.

    Raises:
        NotFoundError: there is none, or it is somebody else's: never told apart.
    """
    job = standing.jobs.get(name)
    if job is None or not may_see_job(caller, standing, job):
        raise not_found("job")
    return job


def own_job(standing: Standing, caller: Caller, name: str) -> JobStanding:
    """Return a job that is the calling node's.

    Raises:
        NotFoundError: there is none, or it is another's: never told apart.
    """
    job = standing.jobs.get(name)
    if job is None or caller.party is None or job.node != caller.party:
        raise not_found("job")
    return job


def result_due(standing: Standing, caller: Caller, name: str) -> str:
    """Return the digest that the log names for the sealed result of a job of the calling node's.

    Raises:
        NotFoundError: there is no such job, or it is another's.
        ConflictError: the log does not name its result yet.
    """
    digest = own_job(standing, caller, name).ciphertext
    if digest is None:
        raise not_now("the log does not name this result yet", "record `output.released` first")
    return digest


def job_out(hub: Hub, job: JobStanding) -> JobOut:
    """Return the JSON form of a job."""
    notice = hub.results.notice(job.id) if job.state in _WITH_NOTICE else None
    members = notice if isinstance(notice, dict) else None
    return JobOut(
        job=job.id,
        state=job.state.value,
        submitted_at=hub.recorder.index.time(job.entries[0]),
        agreement=job.submitted.agreement,
        operation=job.submitted.operation,
        progress=None if is_over(job) else hub.results.progress(job.id),
        reasons=_reasons(hub, job, members) if job.state is JobState.REFUSED else None,
        notice=members if job.state is not JobState.REFUSED else None,
        has_result=job.ciphertext is not None and is_handed_out(job) and hub.results.has(job.id),
        entries=list(job.entries),
        expires_at=job.life.expires_at,
    )


def is_handed_out(job: JobStanding) -> bool:
    """Tell whether a job's result may be fetched: it was released, and is not destroyed."""
    return job.state in _HANDED_OUT


def has_ended(job: JobOut) -> bool:
    """Tell whether nothing more comes but that its result is fetched."""
    state = JobState(job.state)
    if state in ENDED or state is JobState.DELIVERED:
        return True
    return state is JobState.RELEASED and job.has_result


def entries_of(hub: Hub, job: JobStanding) -> list[JobEntryOut]:
    """Return the published entries about a job with their receipts, under one checkpoint."""
    signed = hub.log_reader.published()
    found = []
    for index in job.entries:
        if index < signed.checkpoint.size:
            data = hub.log_reader.entry(index)
            entry = json.loads(data)
            receipt = format_receipt(hub.log_reader.receipt(index, signed)).decode()
            found.append(JobEntryOut(index=index, type=entry["type"], entry=entry, receipt=receipt))
    return found


def _reasons(hub: Hub, job: JobStanding, notice: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return why a job was refused: the node's notice, the opened explanation, or the bare codes of the entry."""
    if notice is not None and isinstance(notice.get("reasons"), list):
        return [one for one in notice["reasons"] if isinstance(one, dict)]
    body = hub.recorder.read(job.entries[-1]).statement.payload.body
    try:
        opened = json.loads(hub.store.read_opening(str(body["explanation"])).value)
        return [one for one in opened["reasons"] if isinstance(one, dict)]
    except (NotFoundError, KeyError, TypeError):
        return [{"code": one["reason"], "clause": one["clause"]} for one in body.get("refusals", [])]


def remaining(limits: Limits, used: Consumption) -> RemainingOut:
    """Return what is left of an agreement's limits; of a day, never more than in all."""
    left = max(limits.jobs - used.jobs, 0)
    return RemainingOut(jobs=left, jobs_today=min(left, max(limits.jobs_per_day - used.jobs_today, 0)))


def held_entry(hub: Hub, job: JobStanding) -> tuple[str, dict[str, Any]]:
    """Return when a held job's candidate was held, and the body of that entry."""
    for index in reversed(job.entries):
        entry = hub.recorder.read(index)
        if entry.statement.type is EntryType.OUTPUT_HELD:
            return entry.time, dict(entry.statement.payload.body)
    raise not_found("held result")
