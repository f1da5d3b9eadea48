"""Who takes part, with which keys, and who may do what."""

from fastapi import APIRouter
from starlette.responses import Response

from api.filing import FILED, file_submission, list_entries
from api.pages import Cursor, Limit, take_page
from api.refusals import not_found
from api.routes import AnyCaller, OpenHub, SignedRoute
from api.schemas.entries import ListedEntryOut
from api.schemas.participants import DutiesOut, ParticipantOut
from api.schemas.submissions import SubmissionIn
from api.schemas.wire import NOT_FOUND, PROBLEMS, PageOut
from policies.standing import Participant, Standing
from yingbi.clock import format_time
from yingbi.events import EntryType

__all__ = ["duties", "keys", "participants"]

participants = APIRouter(prefix="/v1/participants", tags=["participants"], route_class=SignedRoute, responses=PROBLEMS)
keys = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=SignedRoute, responses=PROBLEMS)
duties = APIRouter(prefix="/v1/duties", tags=["duties"], route_class=SignedRoute, responses=PROBLEMS)

_OF_PARTICIPANTS = tuple(kind for kind in EntryType if kind.noun == "participant")
_OF_KEYS = tuple(kind for kind in EntryType if kind.noun == "key")
_OF_DUTIES = tuple(kind for kind in EntryType if kind.noun == "duty")


@participants.post("", status_code=201, responses=FILED)
def post_participant(hub: OpenHub, caller: AnyCaller, posted: SubmissionIn) -> Response:
    """Record statements about participants: admission, suspension, reinstatement, departure."""
    return file_submission(hub, caller, posted, types=_OF_PARTICIPANTS)


@participants.get("")
def list_participants(
    hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50
) -> PageOut[ParticipantOut]:
    """List who takes part, by name."""
    del caller
    standing = hub.standing
    page = take_page(standing.participants.items(), key=lambda one: one.party, cursor=cursor, limit=limit)
    return PageOut(items=[_participant_out(standing, one) for one in page.items], next=page.next)


@participants.get("/{party}", responses=NOT_FOUND)
def get_participant(hub: OpenHub, caller: AnyCaller, party: str) -> ParticipantOut:
    """Return one participant."""
    del caller
    standing = hub.standing
    found = standing.participants.get(party)
    if found is None:
        raise not_found("participant")
    return _participant_out(standing, found)


@keys.post("", status_code=201, responses=FILED)
def post_key(hub: OpenHub, caller: AnyCaller, posted: SubmissionIn) -> Response:
    """Record statements about keys: registration, rotation, revocation."""
    return file_submission(hub, caller, posted, types=_OF_KEYS)


@keys.get("")
def get_keys(hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50) -> PageOut[ListedEntryOut]:
    """List the entries that register, rotate and end keys, oldest first."""
    del caller
    return list_entries(hub, "key", cursor, limit)


@duties.post("", status_code=201, responses=FILED)
def post_duty(hub: OpenHub, caller: AnyCaller, posted: SubmissionIn) -> Response:
    """Record statements that give and take duties."""
    return file_submission(hub, caller, posted, types=_OF_DUTIES)


@duties.get("")
def list_duties(hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50) -> PageOut[DutiesOut]:
    """List people who have duties now, by name."""
    del caller
    standing = hub.standing
    holders = standing.people.holders(at=format_time(hub.clock.now()))
    page = take_page(holders.items(), key=lambda one: one[0], cursor=cursor, limit=limit)
    items = [
        DutiesOut(holder=person, employer=standing.people.employer(person), duties=sorted(held))
        for person, held in page.items
    ]
    return PageOut(items=items, next=page.next)


def _participant_out(standing: Standing, one: Participant) -> ParticipantOut:
    return ParticipantOut(
        party=one.party,
        kind=one.kind.value,
        state=one.state.value,
        is_licensed=one.is_licensed,
        is_frozen=standing.freezes.holds(one.party),
        valid_until=one.valid_until,
    )
