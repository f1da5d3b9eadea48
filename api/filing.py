"""From a posted submission to its answer: recorded (201), or kept as a draft until others have signed (202)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from starlette.responses import JSONResponse, Response

from api.checking import check_submission
from api.drafts import Draft, DraftKind
from api.following import follow
from api.pages import take_page
from api.recording import Recorded, RecordedEntry
from api.schemas.entries import ListedEntryOut
from api.schemas.submissions import DraftOut, EntryOut, IncompleteOut, RecordedOut, SubmissionIn
from api.schemas.wire import PageOut
from api.signing import Caller
from api.submissions import Submission, envelope_json, opening_json, parse_submission, submission_json
from api.wiring import Hub
from ledger.receipt import format_receipt
from policies.standing import MissingSignaturesError
from yingbi.events import EntryType

__all__ = [
    "FILED",
    "answer_incomplete",
    "answer_recorded",
    "draft_out",
    "entry_out",
    "file_submission",
    "list_entries",
    "read_in",
]

FILED: Final[dict[int | str, dict[str, object]]] = {
    201: {"description": "Recorded", "model": RecordedOut},
    202: {"description": "Others have to sign as well", "model": IncompleteOut},
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
    """Record what was posted and `check` lets pass, or keep it as a draft where only others' signatures are missing."""
    submission = read_in(posted, types=types)
    try:
        if check is not None:
            check(submission)
        check_submission(hub, submission)
        recorded = hub.recorder.record(replace(submission, then=follow(hub.bureau, submission)))
    except MissingSignaturesError as error:
        return answer_incomplete(hub.drafts.keep(submission, sender=caller.name, kind=kind, missing=error.missing))
    return answer_recorded(hub, recorded)


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
