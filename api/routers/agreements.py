"""Agreements: proposed, countered, signed, active, stopped; and what a step would touch before it is taken."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from api.filing import FILED, file_submission
from api.impact import ImpactStep, impact_of
from api.pages import Cursor, Limit, take_page
from api.refusals import changed_since, not_found
from api.routes import AnyCaller, OpenHub, SignedRoute
from api.schemas.agreements import AgreementOut, ApprovalOut, ImpactOut
from api.schemas.submissions import SubmissionIn
from api.schemas.wire import NOT_FOUND, PROBLEMS, PageOut, Responses
from api.signing import Caller
from api.submissions import Submission
from api.visibility import may_see_agreement
from api.wiring import Hub
from policies.standing import AgreementStanding
from yingbi.clock import format_time
from yingbi.events import EntryType

__all__ = ["agreements"]

agreements = APIRouter(prefix="/v1/agreements", tags=["agreements"], route_class=SignedRoute, responses=PROBLEMS)
_OF_AGREEMENTS: Final = tuple(kind for kind in EntryType if kind.noun == "agreement")
_TAGGED: Final[Responses] = {
    200: {"headers": {"ETag": {"description": "its terms", "required": True, "schema": {"type": "string"}}}}
}
IfMatch = Annotated[str | None, Header(max_length=80, description="the terms that the caller has seen")]


@agreements.post("", status_code=201, responses=FILED)
def post_agreement(hub: OpenHub, caller: AnyCaller, posted: SubmissionIn, if_match: IfMatch = None) -> Response:
    """Record a step of an agreement; a proposal brings its terms as a document. The last signature activates it."""

    def check(submission: Submission) -> None:
        for name in {one.payload.id for one in submission.statements}:
            found = hub.standing.agreements.get(name)
            if if_match is not None and (found is None or if_match != _etag(found)):
                raise changed_since("agreement")

    return file_submission(hub, caller, posted, types=_OF_AGREEMENTS, check=check)


@agreements.get("")
def list_agreements(hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50) -> PageOut[AgreementOut]:
    """List the agreements that the caller may know of, by id."""
    found = (one for one in hub.standing.agreements.items() if may_see_agreement(caller, one.agreement))
    page = take_page(found, key=lambda one: one.id, cursor=cursor, limit=limit)
    return PageOut(items=[_agreement_out(hub, one) for one in page.items], next=page.next)


@agreements.get("/{agreement}", responses=_TAGGED | NOT_FOUND)
def get_agreement(hub: OpenHub, caller: AnyCaller, agreement: str, response: Response) -> AgreementOut:
    """Return an agreement with its signatures; its ETag is the digest of its terms."""
    found = _visible(hub, caller, agreement)
    response.headers["ETag"] = _etag(found)
    return _agreement_out(hub, found)


@agreements.get("/{agreement}/impact", responses=NOT_FOUND)
def get_impact(
    hub: OpenHub, caller: AnyCaller, agreement: str, step: Annotated[ImpactStep, Query()] = ImpactStep.SUSPEND
) -> ImpactOut:
    """Say which agreements, certificates and jobs a step would touch, before it is taken."""
    found = impact_of(hub.standing, _visible(hub, caller, agreement), step)
    return ImpactOut(
        agreements=list(found.agreements),
        certificates=list(found.certificates),
        waiting=list(found.waiting),
        running=list(found.running),
        held=list(found.held),
        stopped=list(found.stopped),
    )


def _visible(hub: Hub, caller: Caller, agreement: str) -> AgreementStanding:
    found = hub.standing.agreements.get(agreement)
    if found is None or not may_see_agreement(caller, found.agreement):
        raise not_found("agreement")
    return found


def _etag(found: AgreementStanding) -> str:
    return f'"{found.terms}"'


def _agreement_out(hub: Hub, found: AgreementStanding) -> AgreementOut:
    terms, life = found.agreement, found.life
    return AgreementOut(
        id=found.id,
        version=terms.version,
        terms=found.terms,
        state=life.state.value,
        is_active=found.is_active(format_time(hub.clock.now())),
        assigner=terms.assigner,
        assignee=terms.assignee,
        intermediary=terms.intermediary,
        purpose=terms.purpose,
        valid_from=format_time(terms.valid.starts_at),
        valid_until=format_time(terms.valid.ends_at),
        proposer=life.proposer,
        signatures=[
            ApprovalOut(person=one.person, employer=one.employer, duty=one.duty.value) for one in life.approvals
        ],
        missing=[duty.value for duty in life.missing],
        entries=list(hub.recorder.index.about(found.id)),
    )
