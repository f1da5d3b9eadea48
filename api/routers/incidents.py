"""Incidents: what is frozen at once, what goes on, and duties taken in an emergency."""

from fastapi import APIRouter
from starlette.responses import Response

from api.filing import FILED, file_submission, list_entries
from api.pages import Cursor, Limit
from api.routes import AnyCaller, OpenHub, SignedRoute
from api.schemas.entries import ListedEntryOut
from api.schemas.submissions import SubmissionIn
from api.schemas.wire import PROBLEMS, PageOut
from yingbi.events import EntryType

__all__ = ["incidents"]

incidents = APIRouter(prefix="/v1/incidents", tags=["incidents"], route_class=SignedRoute, responses=PROBLEMS)
_OF_ACCESS = (
    EntryType.ACCESS_FROZEN,
    EntryType.ACCESS_UNFROZEN,
    EntryType.ACCESS_BREAK_GLASS_OPENED,
    EntryType.ACCESS_BREAK_GLASS_CLOSED,
)


@incidents.post("", status_code=201, responses=FILED)
def post_incident(hub: OpenHub, caller: AnyCaller, posted: SubmissionIn) -> Response:
    """Freeze, let go on, or take a duty in an emergency; a drill is recorded and stops nothing."""
    return file_submission(hub, caller, posted, types=_OF_ACCESS)


@incidents.get("")
def list_incidents(
    hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50
) -> PageOut[ListedEntryOut]:
    """List the entries of incidents, oldest first."""
    del caller
    return list_entries(hub, "access", cursor, limit)
