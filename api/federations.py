"""Federations as people see them."""

import json
from collections.abc import Sequence

from api.federation_groups import Group
from api.refusals import not_found
from api.schemas.federations import FederationMemberOut, FederationOut, OpenRoundOut, RoundOut
from api.signing import Caller
from api.visibility import may_see_job
from api.wiring import Hub
from federated.rounds.coordinator import RoundFigures
from policies.federations import Attempt, FederationState
from policies.jobs import JobState
from policies.standing import JobStanding, Standing
from policies.standing.federations import FederationStanding
from yingbi.canonical import canonical_bytes
from yingbi.errors import NotFoundError
from yingbi.events import EntryType
from yingbi.events.jobs import CancellationReason
from yingbi.plan.codec import common_digest, common_json

__all__ = ["WAITING", "federation_out", "federation_terms", "visible_federation"]

WAITING = "waiting"
"""The state of a federation that the log does not have yet."""

_WITH_REASON = (EntryType.FEDERATION_INTERRUPTED, EntryType.FEDERATION_ABORTED)


def visible_federation(hub: Hub, standing: Standing, caller: Caller, name: str) -> Group:
    """Return a federation of which the caller may know one of the jobs.

    Raises:
        NotFoundError: there is none, or it is somebody else's: never told apart.
    """
    for group in hub.federation_groups.find(standing, name):
        if any(may_see_job(caller, standing, job) for job in group.jobs(standing)):
            return group
    raise not_found("federation")


def federation_out(hub: Hub, standing: Standing, group: Group) -> FederationOut:
    """Return the JSON form of a federation."""
    started = group.started(standing)
    question, jobs = group.question, group.jobs(standing)
    is_over = started is not None and started.state in (FederationState.COMPLETED, FederationState.ABORTED)
    return FederationOut(
        federation=group.id,
        state=WAITING if started is None else started.state.value,
        reason=_refusal(hub, jobs) if started is None else _reason(hub, started),
        partner=jobs[0].partner,
        recipe=question.recipe.value,
        terms=group.terms,
        mode="exact" if question.privacy is None else "private",
        quorum=question.quorum,
        max_rounds=question.rounds,
        members=_members(standing, group, None if started is None else started.attempt),
        rounds=[] if started is None else _rounds(started, hub.federation_store.rounds(group.id)),
        open=None if started is None or started.attempt is None else _open(started.attempt),
        result=started.life.result if started is not None and is_over else None,
        entries=[] if started is None else list(started.entries),
    )


def federation_terms(hub: Hub, standing: Standing, caller: Caller, digest: str) -> bytes | None:
    """Return what the members of a federation are asked alike, for whoever may know one of the jobs; or nothing.

    It stands in the plans alone, and is read there: what was erased in all of them is not handed out. Looks through all
    jobs, like a listing.
    """
    for group in hub.federation_groups.all(standing):
        if group.terms == digest and any(may_see_job(caller, standing, job) for job in group.jobs(standing)):
            questions = (hub.federation_groups.read(job) for job in group.jobs(standing))
            found = next((one for one in questions if one is not None and common_digest(one) == digest), None)
            if found is not None:
                return canonical_bytes(common_json(found))
    return None


def _refusal(hub: Hub, jobs: Sequence[JobStanding]) -> str | None:
    """Return why the log refused to begin a federation for good: the bureau's note where it called its jobs off."""
    cancelled = (job for job in jobs if job.state is JobState.CANCELLED)
    for entry in (hub.recorder.read(index).statement for job in cancelled for index in reversed(job.entries)):
        body = entry.payload.body
        is_called_off = entry.type is EntryType.JOB_CANCELLED and entry.payload.issuer == hub.bureau.party
        if is_called_off and body["reason"] == CancellationReason.FEDERATION_ENDED and body["note"] is not None:
            try:
                note = json.loads(hub.store.read_opening(str(body["note"])).value)
            except NotFoundError:
                return None  # erased
            return f"{note['rule']}: {note['message']}"
    return None


def _reason(hub: Hub, started: FederationStanding) -> str | None:
    if started.state not in (FederationState.INTERRUPTED, FederationState.ABORTED):
        return None
    last = hub.recorder.read(started.entries[-1]).statement
    return str(last.payload.body["reason"]) if last.type in _WITH_REASON else None


def _members(standing: Standing, group: Group, attempt: Attempt | None) -> list[FederationMemberOut]:
    given = set() if attempt is None else set(attempt.contributions)
    jobs = {job.id: job for job in group.jobs(standing)}
    found = []
    for member in group.question.members:
        job = jobs.get(member.job)
        found.append(
            FederationMemberOut(
                node=member.node,
                unit=standing.keys.organisation(member.node),
                job=member.job,
                agreement=member.agreement,
                dataset=member.dataset,
                state=None if job is None else job.state.value,
                has_given=member.node in given,
            )
        )
    return found


def _open(attempt: Attempt) -> OpenRoundOut:
    return OpenRoundOut(
        round=attempt.round,
        attempt=attempt.number,
        participants=list(attempt.participants),
        given=sorted(attempt.contributions),
        expires_at=attempt.expires_at,
    )


def _rounds(started: FederationStanding, figures: Sequence[RoundFigures]) -> list[RoundOut]:
    told = {one.round: one for one in figures}
    return [
        RoundOut(
            round=one.number,
            attempt=one.attempt,
            participants=list(one.participants),
            aggregate=one.aggregate,
            state=one.state,
            began_at=told[one.number].began_at if one.number in told else None,
            ended_at=told[one.number].ended_at if one.number in told else None,
            figures=dict(told[one.number].figures) if one.number in told else {},
        )
        for one in started.completed
    ]
