"""Drafts and applications: what waits for signatures, and the signatures."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api.checking import check_submission
from api.drafts import Draft, DraftKind, add_signatures
from api.filing import FILED, answer_incomplete, answer_recorded, draft_out, file_submission
from api.following import follow
from api.pages import Cursor, Limit, take_page
from api.refusals import not_allowed, not_found
from api.routes import AnyCaller, ApplicantRoute, OpenHub, SignedRoute
from api.schemas.submissions import DraftOut, SignaturesIn, SubmissionIn
from api.schemas.wire import PROBLEMS, PageOut
from api.signing import Caller
from api.submissions import offered_keys
from api.visibility import may_see_draft
from api.wiring import Hub
from policies.standing import MissingSignaturesError
from yingbi.clock import format_time
from yingbi.events import EntryType
from yingbi.keys import VerifyKey

__all__ = ["applications", "drafts"]

drafts = APIRouter(prefix="/v1/drafts", tags=["drafts"], route_class=SignedRoute, responses=PROBLEMS)
applications = APIRouter(
    prefix="/v1/applications", tags=["applications"], route_class=ApplicantRoute, responses=PROBLEMS
)
_APPLICATION = (EntryType.KEY_REGISTERED, EntryType.PARTICIPANT_APPLIED)


@applications.post("", status_code=201, responses=FILED)
def apply(hub: OpenHub, caller: AnyCaller, posted: SubmissionIn) -> Response:
    """Apply to take part: the registration of one's own key and the application, both signed by that key."""
    return file_submission(hub, caller, posted, types=_APPLICATION, kind=DraftKind.APPLICATION)


@applications.get("")
def list_applications(hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50) -> PageOut[DraftOut]:
    """List the applications that wait: the bureau sees all, an applicant his own."""
    return _list(hub, caller, DraftKind.APPLICATION, cursor, limit)


@drafts.get("")
def list_drafts(hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50) -> PageOut[DraftOut]:
    """List the drafts that wait for signatures and that the caller may know of."""
    return _list(hub, caller, DraftKind.DRAFT, cursor, limit)


@drafts.get("/{digest}")
def get_draft(hub: OpenHub, caller: AnyCaller, digest: str) -> DraftOut:
    """Return a draft with the statements to sign."""
    return draft_out(_visible(hub, caller, digest))


@drafts.post("/{digest}/signatures", status_code=201, responses=FILED)
def sign_draft(hub: OpenHub, caller: AnyCaller, digest: str, posted: SignaturesIn) -> Response:
    """Add signatures to a draft; it is recorded when none is missing any more."""
    draft = _visible(hub, caller, digest)
    rows = [signature.model_dump() for signature in posted.signatures]
    submission = add_signatures(draft.submission, rows, _keys(hub, draft, rows))
    try:
        check_submission(hub, submission)
        recorded = hub.recorder.record(replace(submission, then=follow(hub.bureau, submission)))
    except MissingSignaturesError as error:
        # A signature that is not asked for would stand in the log for good.
        if not len(error.missing) < len(draft.missing):
            raise not_allowed("the signature is none of those that are missing") from None
        return answer_incomplete(hub.drafts.sign(draft, submission, error.missing))
    hub.drafts.drop(draft.digest)
    return answer_recorded(hub, recorded)


def _keys(hub: Hub, draft: Draft, rows: list[dict[str, Any]]) -> dict[str, VerifyKey]:
    """Return the keys that signatures of a draft may be by: registered ones, roots, and those that it registers."""
    now, standing = format_time(hub.clock.now()), hub.standing
    keys = {root.thumbprint: root for root in hub.settings.roots} | offered_keys(draft.submission.statements)
    for row in rows:
        holder = standing.keys.find(row["keyid"], at=now)
        if holder is not None:
            keys[row["keyid"]] = holder.key
    return keys


def _visible(hub: Hub, caller: Caller, digest: str) -> Draft:
    draft = hub.drafts.get(digest)
    if not may_see_draft(caller, draft):
        raise not_found("draft")
    return draft


def _list(hub: Hub, caller: Caller, kind: DraftKind, cursor: str | None, limit: int) -> PageOut[DraftOut]:
    found = (draft for draft in hub.drafts.of_kind(kind) if may_see_draft(caller, draft))
    page = take_page(found, key=lambda draft: f"{draft.made_at} {draft.digest}", cursor=cursor, limit=limit)
    return PageOut(items=[draft_out(draft) for draft in page.items], next=page.next)
