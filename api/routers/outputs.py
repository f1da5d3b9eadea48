"""Held results for those who check them, and how much of agreements' limits is used."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.jobs import held_entry, remaining
from api.pages import Cursor, Limit, take_page
from api.refusals import not_found
from api.routes import AnyCaller, OpenHub, SignedRoute
from api.schemas.jobs import BudgetOut, HeldOut
from api.schemas.wire import NOT_FOUND, PROBLEMS, PageOut
from api.visibility import may_check, may_see_agreement
from api.wiring import Hub
from policies.jobs import JobState
from policies.standing import AgreementStanding, JobStanding
from yingbi.clock import format_time

__all__ = ["budgets", "outputs"]

outputs = APIRouter(prefix="/v1/outputs", tags=["outputs"], route_class=SignedRoute, responses=PROBLEMS)
budgets = APIRouter(prefix="/v1/budgets", tags=["budgets"], route_class=SignedRoute, responses=PROBLEMS)


@outputs.get("/held")
def list_held(hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50) -> PageOut[HeldOut]:
    """List held results that the caller may check, oldest first, with the rules that they break."""
    standing = hub.standing
    held = [
        job
        for job in hub.recorder.worklist.open_jobs(standing)
        if job.state is JobState.HELD and may_check(caller, standing, job)
    ]
    page = take_page(held, key=lambda job: f"{job.entries[0]:016}", cursor=cursor, limit=limit)
    return PageOut(items=[_held_out(hub, job) for job in page.items], next=page.next)


@budgets.get("", responses=NOT_FOUND)
def list_budgets(
    hub: OpenHub,
    caller: AnyCaller,
    agreement: Annotated[str | None, Query(max_length=80)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PageOut[BudgetOut]:
    """List how much is used and left of one agreement, or of all that the caller may know of."""
    found = [one for one in hub.standing.agreements.items() if may_see_agreement(caller, one.agreement)]
    if agreement is not None:
        found = [one for one in found if one.id == agreement]
        if not found:
            raise not_found("agreement")
    page = take_page(found, key=lambda one: one.id, cursor=cursor, limit=limit)
    return PageOut(items=[_budget_out(hub, one) for one in page.items], next=page.next)


def _held_out(hub: Hub, job: JobStanding) -> HeldOut:
    held_at, body = held_entry(hub, job)
    return HeldOut(
        job=job.id,
        agreement=job.submitted.agreement,
        partner=job.partner,
        node=job.node,
        held_at=held_at,
        candidate=body["candidate"],
        rules=body["rules"],
        findings=body["findings"],
        remedies=body["remedies"],
        checks=[{"by": check.by, "verdict": check.verdict.value} for check in job.checks],
    )


def _budget_out(hub: Hub, found: AgreementStanding) -> BudgetOut:
    standing, limits = hub.standing, found.agreement.limits
    used = hub.decider.consumption(standing, found.id, at=format_time(hub.clock.now()))
    return BudgetOut(
        agreement=found.id,
        jobs=limits.jobs,
        used=used.jobs,
        charged=standing.jobs.charged(found.id),
        used_today=used.jobs_today,
        remaining=remaining(limits, used),
    )
