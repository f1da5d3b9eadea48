"""Drafts and applications: what waits for signatures, and the signatures."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from api.checking import check_submission
from api.drafts import Draft, DraftKind, add_signatures
from api.filing import (
    FILED,
    TRIES,
    answer_incomplete,
    answer_recorded,
    draft_out,
    file_submission,
    signing_keys,
    still_signed,
)
from api.following import follow
from api.pages import Cursor, Limit, take_page
from api.refusals import malformed, not_allowed, not_found
from api.routes import AnyCaller, ApplicantRoute, OpenHub, SignedRoute
from api.schemas.submissions import DraftOut, SignaturesIn, SubmissionIn
from api.schemas.wire import NOT_FOUND, PROBLEMS, PageOut
from api.signing import Caller
from api.submissions import Submission
from api.visibility import may_see_draft
from api.wiring import Hub
from policies.standing import MissingSignaturesError
from yingbi.events import EntryType
from yingbi.ids import parse_party
from yingbi.keys import VerifyKey

__all__ = ["applications", "drafts"]

drafts = APIRouter(prefix="/v1/drafts", tags=["drafts"], route_class=SignedRoute, responses=PROBLEMS)
applications = APIRouter(
    prefix="/v1/applications", tags=["applications"], route_class=ApplicantRoute, responses=PROBLEMS
)
_APPLICATION: Final = (EntryType.KEY_REGISTERED, EntryType.PARTICIPANT_APPLIED)
_APPLICANTS: Final = frozenset({"unit", "partner", "auditor", "witness"})


@applications.post("", status_code=201, responses=FILED)
def apply(hub: OpenHub, caller: AnyCaller, posted: SubmissionIn) -> Response:
    """Apply to take part: the registration of one's own key and the application, both signed by that key."""
    check = _application_of(hub, caller)
    return file_submission(hub, caller, posted, types=_APPLICATION, kind=DraftKind.APPLICATION, check=check)


@applications.get("")
def list_applications(hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50) -> PageOut[DraftOut]:
    """List the applications that wait: the bureau sees all, an applicant his own."""
    return _list(hub, caller, DraftKind.APPLICATION, cursor, limit)


@drafts.get("")
def list_drafts(hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50) -> PageOut[DraftOut]:
    """List the drafts that wait for signatures and that the caller may know of."""
    return _list(hub, caller, DraftKind.DRAFT, cursor, limit)


@drafts.get("/{digest}", responses=NOT_FOUND)
def get_draft(hub: OpenHub, caller: AnyCaller, digest: str) -> DraftOut:
    """Return a draft with the statements to sign."""
    return draft_out(_visible(hub, caller, digest))


@drafts.post("/{digest}/signatures", status_code=201, responses=FILED)
def sign_draft(hub: OpenHub, caller: AnyCaller, digest: str, posted: SignaturesIn) -> Response:
    """Add signatures to a draft; it is recorded when none is missing any more."""
    rows = [signature.model_dump() for signature in posted.signatures]
    for _ in range(TRIES):
        draft = _visible(hub, caller, digest)
        keys = signing_keys(hub, draft.submission, [row["keyid"] for row in rows])
        submission = add_signatures(draft.submission, rows, keys)
        try:
            check_submission(hub, submission)
            recorded = hub.recorder.record(replace(submission, then=follow(hub.bureau, submission)))
        except MissingSignaturesError as error:
            # A signature that is not asked for would stand in the log for good.
            if not len(error.missing) < len(draft.missing):
                raise not_allowed("the signature is none of those that are missing") from None
            signed = hub.drafts.sign(draft, submission, error.missing)
            if signed is None:
                continue  # somebody else has signed it meanwhile
            return answer_incomplete(signed)
        hub.drafts.drop(draft.digest)
        return answer_recorded(hub, recorded)
    raise still_signed()


def _application_of(hub: Hub, caller: Caller) -> Callable[[Submission], None]:
    """Return what lets pass the application of an organisation that the hub does not know, by the caller's own key."""

    def check(submission: Submission) -> None:
        if all(hub.recorder.index.find(one) is not None for one in submission.statements):
            return  # it was recorded: asked again, it is answered again
        by_type = {one.type: one for one in submission.statements}
        if len(submission.statements) != len(_APPLICATION) or set(by_type) != set(_APPLICATION):
            raise malformed("expected the registration of one key and one application")
        registered, applied = (by_type[kind].payload for kind in _APPLICATION)
        key, owner = VerifyKey.from_jwk(registered.body["jwk"]), registered.body["owner"]
        if (applied.issuer, applied.body["party"], applied.body["keyid"]) != (owner, owner, key.thumbprint):
            raise malformed("expected the application of the party whose key is to be registered, with this key")
        if parse_party(owner)[0] not in _APPLICANTS or registered.on_behalf_of is not None:
            raise not_allowed("people and nodes are registered by their organisations")
        if hub.standing.keys.is_known(owner) or hub.standing.participants.get(owner) is not None:
            raise not_allowed("somebody of this name is registered")
        signers = [{found.keyid for found in one.signatures} for one in submission.statements]
        if caller.key.thumbprint != key.thumbprint or not all(key.thumbprint in keyids for keyids in signers):
            raise not_allowed("an application is signed and sent with the key that it brings")

    return check


def _visible(hub: Hub, caller: Caller, digest: str) -> Draft:
    draft = hub.drafts.get(digest)
    if not may_see_draft(caller, draft):
        raise not_found("draft")
    return draft


def _list(hub: Hub, caller: Caller, kind: DraftKind, cursor: str | None, limit: int) -> PageOut[DraftOut]:
    # Whoever has only applied knows of nothing but his own.
    kept = hub.drafts.of_kind(kind, sender=caller.name if caller.party is None else None)
    found = (draft for draft in kept if may_see_draft(caller, draft))
    page = take_page(found, key=lambda draft: f"{draft.made_at} {draft.digest}", cursor=cursor, limit=limit)
    return PageOut(items=[draft_out(draft) for draft in page.items], next=page.next)
