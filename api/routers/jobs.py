"""Jobs: asked, decided, followed, called off; their results and receipts. Another's job is not there: 404."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from api.filing import FILED, entry_out, file_submission, read_in
from api.following import deliver
from api.jobs import entries_of, has_ended, is_handed_out, job_out, own_job, remaining, result_due, visible_job
from api.pages import Cursor, Limit, take_page
from api.problems import answer_problem
from api.refusals import malformed, not_allowed, not_found, not_now
from api.routes import AnyCaller, OpenHub, ResultRoute, SignedRoute
from api.schemas.jobs import (
    DryRunIn,
    DryRunOut,
    JobOut,
    JobReceiptsOut,
    ProgressIn,
    RemainingOut,
    ReviewersOut,
    SubmittedOut,
)
from api.schemas.submissions import SubmissionIn
from api.schemas.wire import NOT_FOUND, NOT_NOW, PROBLEMS, JsonObject, PageOut, Responses, problems
from api.signing import Caller
from api.submissions import Submission
from api.visibility import may_see_job
from api.watching import look_until, stream_changes
from api.wiring import Hub
from policies.codec import reason_to_json
from policies.jobs import JobState
from policies.standing import Standing
from yingbi.canonical import canonical_bytes
from yingbi.clock import format_time
from yingbi.errors import ErrorCode, RefusedError
from yingbi.events import EntryType
from yingbi.events.outputs import CheckVerdict
from yingbi.statement import Statement

__all__ = ["jobs", "results"]

jobs = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=SignedRoute, responses=PROBLEMS)
results = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=ResultRoute, responses=PROBLEMS)
_MAX_NOTICE: Final = 64 << 10
_SEALED: Final = "application/octet-stream"
_SEALED_BYTES: Final = {_SEALED: {"schema": {"type": "string", "format": "binary"}}}
_RESULT: Final[Responses] = {
    200: {
        "description": "The sealed result",
        "content": _SEALED_BYTES,
        "headers": {"Yingbi-Ciphertext": {"description": "its digest", "required": True, "schema": {"type": "string"}}},
    }
}
_EVENT: Final = {
    "type": "object",
    "properties": {
        "event": {"enum": ["state", "progress"]},
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/JobOut"},
        },
    },
    "required": ["event", "id", "data"],
}
_EVENTS: Final[Responses] = {
    200: {
        "description": "States and progress, as they change",
        "content": {"text/event-stream": {"itemSchema": _EVENT}},
    }
}
_SUBMITTED: Final[Responses] = {
    202: {"headers": {"Location": {"description": "the job", "required": True, "schema": {"type": "string"}}}},
    **problems(400, 404, 409),
}
IdempotencyKey = Annotated[
    str, Header(min_length=1, max_length=200, description="a job that is sent twice with the same one runs once")
]
Wait = Annotated[int, Query(ge=0, le=60, description="seconds to wait for another state")]


@jobs.post("", status_code=202, response_model=SubmittedOut, responses=_SUBMITTED)
def post_job(hub: OpenHub, caller: AnyCaller, posted: SubmissionIn, idempotency_key: IdempotencyKey) -> Response:
    """Ask for a computation: decided at once where the rules say so; a refusal is recorded and answered 403."""
    del idempotency_key  # what it is for was done before: see `SignedRoute`
    submission = read_in(posted, types=[EntryType.JOB_SUBMITTED])
    if len(submission.statements) != 1:
        raise malformed("expected one job")
    payload = submission.statements[0].payload
    if caller.organisation not in (payload.issuer, payload.on_behalf_of):
        raise not_allowed("a job is handed in by its own partner")
    name = payload.id
    recorded = hub.recorder.record(replace(submission, then=hub.decider.decide(submission)))
    job = visible_job(hub, hub.standing, caller, name)
    out, receipt = job_out(hub, job), entry_out(hub, recorded.entries[0]).receipt
    if job.state is JobState.REFUSED:
        error = RefusedError(ErrorCode.JOB_REFUSED, "the job is refused", hint="`reasons` say what would be allowed")
        return answer_problem(error, more={"job": name, "reasons": list(out.reasons or []), "receipt": receipt})
    body = SubmittedOut(**out.model_dump(), receipt=receipt)
    return JSONResponse(body.model_dump(), status_code=202, headers={"Location": f"/v1/jobs/{name}"})


@jobs.post("/dry-run", responses=NOT_NOW)
def dry_run(hub: OpenHub, caller: AnyCaller, asked: DryRunIn) -> DryRunOut:
    """Say what would be decided about a question; nothing is recorded and nothing runs."""
    standing, at = hub.standing, format_time(hub.clock.now())
    judged = hub.decider.judge(
        standing,
        at=at,
        partner=caller.organisation,
        purpose=asked.purpose,
        agreement=asked.agreement,
        plan=asked.plan,
    )
    cost, decision = judged.explanation.cost, judged.explanation.decision
    return DryRunOut(
        outcome="refuse" if judged.reasons else "permit",
        reasons=[reason_to_json(reason) for reason in judged.reasons],
        operations=list(judged.operations),
        cost=None if cost is None else {"passes": cost.passes},
        reviewers=ReviewersOut(
            job=[duty.value for duty in judged.job_duties],
            output=[] if decision is None else [duty.value for duty in decision.output_duties],
        ),
        remaining=_remaining(hub, standing, asked.agreement, caller, at=at),
        versions=judged.versions,
    )


@jobs.get("")
def list_jobs(hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50) -> PageOut[JobOut]:
    """List the jobs that the caller may know of, oldest first."""
    standing = hub.standing
    found = [job for job in standing.jobs.items() if may_see_job(caller, standing, job)]
    page = take_page(found, key=lambda job: f"{job.entries[0]:016}", cursor=cursor, limit=limit)
    return PageOut(items=[job_out(hub, job) for job in page.items], next=page.next)


@jobs.get("/{job}", responses=NOT_FOUND)
async def get_job(
    hub: OpenHub,
    caller: AnyCaller,
    job: str,
    after_state: Annotated[str | None, Query(max_length=20, description="answer when it is in another state")] = None,
    wait: Wait = 0,
) -> JobOut:
    """Return where a job is; with `after_state` and `wait`, as soon as it is somewhere else."""
    look = partial(_look, hub, caller, job)
    return await look_until(hub, look, is_wanted=lambda out: out.state != after_state, wait_s=wait)


@jobs.get("/{job}/events", response_class=StreamingResponse, responses=_EVENTS | NOT_FOUND)
async def get_events(hub: OpenHub, caller: AnyCaller, job: str, request: Request) -> Response:
    """Tell of a job's states and progress as they change (server-sent events), to its end or for five minutes."""
    look = partial(_look, hub, caller, job)
    return await stream_changes(hub, caller, request, look, is_over=has_ended, kind=_event_kind)


@jobs.get("/{job}/result", response_class=Response, responses=_RESULT | NOT_FOUND)
def get_result(hub: OpenHub, caller: AnyCaller, job: str) -> Response:
    """Return the sealed result of a job to its partner; the first time, its delivery is recorded."""
    found = visible_job(hub, hub.standing, caller, job)
    if caller.organisation != found.partner or found.ciphertext is None or not is_handed_out(found):
        raise not_found("result")
    if not caller.is_admitted:
        raise not_allowed("results are handed to partners that take part")
    sealed = hub.results.read(job, digest=found.ciphertext)
    if found.state is JobState.RELEASED:
        hub.recorder.record(Submission(then=deliver(hub.bureau, job)))
    # It may have been destroyed while it was read.
    if not is_handed_out(visible_job(hub, hub.standing, caller, job)):
        raise not_found("result")
    return Response(sealed, media_type=_SEALED, headers={"Yingbi-Ciphertext": found.ciphertext})


@jobs.get("/{job}/receipts", responses=NOT_FOUND)
def get_receipts(hub: OpenHub, caller: AnyCaller, job: str) -> JobReceiptsOut:
    """Return all entries about a job, with their receipts."""
    return JobReceiptsOut(entries=entries_of(hub, visible_job(hub, hub.standing, caller, job)))


@jobs.post("/{job}/cancellation", status_code=201, responses=FILED)
def post_cancellation(hub: OpenHub, caller: AnyCaller, job: str, posted: SubmissionIn) -> Response:
    """Call a job off."""
    return _file(hub, caller, job, posted, EntryType.JOB_CANCELLED)


@jobs.post("/{job}/approvals", status_code=201, responses=FILED)
def post_approval(hub: OpenHub, caller: AnyCaller, job: str, posted: SubmissionIn) -> Response:
    """Approve a job that people have to look at; everybody whose duty is needed signs the same statement."""
    return _file(hub, caller, job, posted, EntryType.JOB_APPROVED)


@jobs.post("/{job}/checks", status_code=201, responses=FILED)
def post_check(hub: OpenHub, caller: AnyCaller, job: str, posted: SubmissionIn) -> Response:
    """Say of a held result whether it may leave: once each, and yes only where somebody's yes can let it out."""

    def check(statement: Statement) -> None:
        body, notice = statement.payload.body, hub.results.notice(job)
        is_final = isinstance(notice, dict) and notice.get("final") is True
        if is_final and body.get("verdict") == CheckVerdict.PASS:
            raise not_now("nothing of this result may come out, whoever approves it", "`fail` ends it")
        standing = hub.standing.jobs.get(job)
        said = [] if standing is None else [(one.by, one.verdict, one.candidate) for one in standing.checks]
        if (statement.payload.issuer, body.get("verdict"), body.get("candidate")) in said:
            raise not_now("you have said so of this result", "others may have to say so too")

    return _file(hub, caller, job, posted, EntryType.OUTPUT_CHECKED, check)


@results.put(
    "/{job}/result",
    status_code=204,
    response_class=Response,
    responses=problems(400, 404, 409),
    openapi_extra={"requestBody": {"required": True, "content": _SEALED_BYTES}},
)
async def put_result(hub: OpenHub, caller: AnyCaller, job: str, request: Request) -> Response:
    """Take the sealed result from the job's node, once the log names its digest."""
    sealed = await request.body()
    await run_in_threadpool(_keep_result, hub, caller, job, sealed)
    hub.recorder.changes.notify()
    return Response(status_code=204)


@jobs.put("/{job}/notice", status_code=204, response_class=Response, responses=NOT_FOUND | NOT_NOW)
def put_notice(hub: OpenHub, caller: AnyCaller, job: str, notice: JsonObject) -> Response:
    """Take from the job's node what its partner is told: reasons of a refusal, or rules that a held result breaks."""
    own_job(hub.standing, caller, job)
    if len(canonical_bytes(notice)) > _MAX_NOTICE:
        raise malformed(f"expected a notice of at most {_MAX_NOTICE} bytes")
    hub.results.note(job, notice)
    hub.recorder.changes.notify()
    return Response(status_code=204)


@jobs.put("/{job}/progress", status_code=204, response_class=Response, responses=NOT_FOUND | NOT_NOW)
def put_progress(hub: OpenHub, caller: AnyCaller, job: str, progress: ProgressIn) -> Response:
    """Take from the job's node how far it is."""
    own_job(hub.standing, caller, job)
    hub.results.advance(job, progress.percent)
    hub.recorder.changes.notify()
    return Response(status_code=204)


def _look(hub: Hub, caller: Caller, job: str) -> JobOut:
    return job_out(hub, visible_job(hub, hub.standing, caller, job))


def _event_kind(told: JobOut | None, found: JobOut) -> str:
    return "progress" if told is not None and found.state == told.state else "state"


def _file(
    hub: Hub,
    caller: Caller,
    job: str,
    posted: SubmissionIn,
    kind: EntryType,
    judge: Callable[[Statement], None] | None = None,
) -> Response:
    """Record a statement about exactly this job, where `judge` lets it pass."""
    visible_job(hub, hub.standing, caller, job)

    def check(submission: Submission) -> None:
        for one in submission.statements:
            if (one.payload.body.get("job") or one.payload.id) != job:
                raise malformed("a statement is about another job")
            # What was recorded is answered with its entry, whatever is so by now.
            if judge is not None and hub.recorder.index.find(one) is None:
                judge(one)

    return file_submission(hub, caller, posted, types=[kind], check=check)


def _keep_result(hub: Hub, caller: Caller, name: str, sealed: bytes) -> None:
    hub.results.keep(name, sealed, digest=result_due(hub.standing, caller, name))
    hub.results.forget_progress(name)


def _remaining(hub: Hub, standing: Standing, agreement: str, caller: Caller, *, at: str) -> RemainingOut:
    found = standing.agreements.get(agreement)
    if found is None or caller.organisation not in (found.agreement.assignee, found.agreement.intermediary):
        return RemainingOut(jobs=0, jobs_today=0)
    limits, used = found.agreement.limits, hub.decider.consumption(standing, agreement, at=at)
    return remaining(limits, used)
