"""From a posted submission to its answer: recorded (201), or kept as a draft until others have signed (202)."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from starlette.responses import JSONResponse, Response

from api.checking import check_submission
from api.drafts import Draft, DraftKind, merge
from api.following import follow
from api.pages import take_page
from api.recording import Recorded, RecordedEntry
from api.refusals import not_now
from api.schemas.entries import ListedEntryOut
from api.schemas.submissions import DraftOut, EntryOut, IncompleteOut, RecordedOut, SubmissionIn
from api.schemas.wire import PageOut, Responses, problems
from api.signing import Caller
from api.submissions import Submission, envelope_json, offered_keys, opening_json, parse_submission, submission_json
from api.wiring import Hub
from ledger.receipt import format_receipt
from policies.standing import MissingSignaturesError
from yingbi.clock import format_time
from yingbi.errors import ConflictError
from yingbi.events import EntryType
from yingbi.keys import VerifyKey
from yingbi.statement import verify_signatures

__all__ = [
    "FILED",
    "TRIES",
    "answer_incomplete",
    "answer_recorded",
    "draft_out",
    "entry_out",
    "file_submission",
    "list_entries",
    "read_in",
    "signing_keys",
    "still_signed",
]

TRIES: Final = 20
"""How often a draft is signed anew that others sign at the same moment."""

_WHERE_IT_WAITS: Final = {"description": "where the draft waits", "required": True, "schema": {"type": "string"}}
FILED: Final[Responses] = {
    201: {"description": "Recorded", "model": RecordedOut},
    202: {
        "description": "Others have to sign as well",
        "model": IncompleteOut,
        "headers": {"Location": _WHERE_IT_WAITS},
    },
    **problems(400, 404, 409),
}
"""What a route that takes submissions may answer."""


def read_in(posted: SubmissionIn, *, types: Sequence[EntryType]) -> Submission:
    """Read a posted submission of some entry types.

    Raises:
        InvalidRequestError, VerificationError: as `parse_submission`.
    """
    return parse_submission(posted.model_dump(), types=types)


def file_submission(
    hub: Hub,
    caller: Caller,
    posted: SubmissionIn,
    *,
    types: Sequence[EntryType],
    check: Callable[[Submission], None] | None = None,
    kind: DraftKind = DraftKind.DRAFT,
) -> Response:
    """Record what was posted and `check` lets pass, or keep it as a draft where only others' signatures are missing.

    Where the same statements wait already, what was posted adds its signatures to theirs.
    """
    submission = read_in(posted, types=types)
    if check is not None:
        check(submission)
    for _ in range(TRIES):
        before, whole = hub.drafts.find(submission.name), submission
        if before is not None:
            whole = merge(before.submission, submission, signing_keys(hub, before.submission))
        try:
            check_submission(hub, whole)
            recorded = hub.recorder.record(replace(whole, then=follow(hub.bureau, whole)))
        except MissingSignaturesError as error:
            # SECURITY: it is said at the first statement that lacks one; those after it were not looked at.
            keys = signing_keys(hub, whole).values()
            for statement in whole.statements:
                verify_signatures(statement, keys)
            draft = hub.drafts.keep(
                whole, sender=caller.name, kind=kind, missing=error.missing, before=before, network=caller.network
            )
            if draft is None:
                continue
            return answer_incomplete(draft)
        if before is not None:
            hub.drafts.drop(before.digest)
        return answer_recorded(hub, recorded)
    raise still_signed()


def still_signed() -> ConflictError:
    """Return the error for a draft that many sign at the same moment."""
    return not_now("others are signing the same draft", "send it again")


def signing_keys(hub: Hub, submission: Submission, more: Iterable[str] = ()) -> dict[str, VerifyKey]:
    """Return the keys by which a submission may be signed, of those that have signed it and `more`.

    These are registered ones that are good now or were when it was issued, roots, and those that it registers.
    """
    statements, standing = submission.statements, hub.standing
    times = {format_time(hub.clock.now()), *(one.payload.issued_at for one in statements)}
    keys = {root.thumbprint: root for root in hub.settings.roots} | offered_keys(statements)
    for keyid in (*more, *(found.keyid for one in statements for found in one.signatures)):
        holder = next((found for at in times if (found := standing.keys.find(keyid, at=at)) is not None), None)
        if holder is not None:
            keys[keyid] = holder.key
    return keys


def answer_recorded(hub: Hub, recorded: Recorded) -> Response:
    """Answer with the entries and their receipts."""
    body = RecordedOut(entries=[entry_out(hub, entry) for entry in recorded.entries])
    return JSONResponse(body.model_dump(), status_code=201)


def answer_incomplete(draft: Draft) -> Response:
    """Answer with where the draft waits, and for whom."""
    body = IncompleteOut(draft=draft.digest, missing=list(draft.missing))
    return JSONResponse(body.model_dump(), status_code=202, headers={"Location": f"/v1/drafts/{draft.digest}"})


def entry_out(hub: Hub, entry: RecordedEntry) -> EntryOut:
    """Return the JSON form of an entry with its receipt under the newest published checkpoint."""
    return EntryOut(
        index=entry.index,
        id=entry.statement.payload.id,
        type=entry.statement.type.value,
        time=entry.time,
        receipt=format_receipt(hub.log_reader.receipt(entry.index)).decode(),
    )


def list_entries(hub: Hub, noun: str, cursor: str | None, limit: int) -> PageOut[ListedEntryOut]:
    """Return a page of the entries of a noun, oldest first."""
    page = take_page(hub.recorder.index.of_noun(noun), key=lambda index: f"{index:016}", cursor=cursor, limit=limit)
    return PageOut(items=[_listed(hub.recorder.read(index)) for index in page.items], next=page.next)


def draft_out(draft: Draft) -> DraftOut:
    """Return the JSON form of a draft."""
    parts = submission_json(draft.submission)
    return DraftOut(
        draft=draft.digest,
        kind=draft.kind.value,
        sender=draft.sender,
        missing=list(draft.missing),
        made_at=draft.made_at,
        expires_at=draft.expires_at,
        statements=[envelope_json(one) for one in draft.submission.statements],
        openings=[opening_json(one) for one in draft.submission.openings],
        documents=parts["documents"],
    )


def _listed(entry: RecordedEntry) -> ListedEntryOut:
    return ListedEntryOut(
        index=entry.index,
        id=entry.statement.payload.id,
        type=entry.statement.type.value,
        time=entry.time,
        statement=json.loads(entry.statement.envelope),
    )
