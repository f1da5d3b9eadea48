"""What the log has of single things: documents by digest, receipts by index."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from starlette.responses import PlainTextResponse, Response

from api.federations import federation_terms
from api.refusals import not_found
from api.routes import AnyCaller, OpenHub, SignedRoute
from api.schemas.wire import NOT_FOUND, PROBLEMS, Responses, problems
from api.signing import Caller
from api.visibility import is_of_bureau, may_see_agreement
from api.wiring import Hub
from ledger.receipt import format_receipt

__all__ = ["documents", "entries"]

documents = APIRouter(prefix="/v1/documents", tags=["documents"], route_class=SignedRoute, responses=PROBLEMS)
entries = APIRouter(prefix="/v1/entries", tags=["entries"], responses=problems(404, 422, 503))
_TAGGED: Final[Responses] = {
    200: {"headers": {"ETag": {"description": "the digest", "required": True, "schema": {"type": "string"}}}}
}
Index = Annotated[int, Path(ge=0, le=2**53)]


@documents.get("/{digest}", response_model=Any, responses=_TAGGED | NOT_FOUND)
def get_document(hub: OpenHub, caller: AnyCaller, digest: str) -> Response:
    """Return the document of a digest: terms for their parties, catalogue entries for all, the rest for the bureau.

    Terms of federations are documents too: for all who may know one of the member jobs.
    """
    content = hub.documents.find(digest)
    if content is None:
        content = federation_terms(hub, hub.standing, caller, digest)
    elif not _may_see(hub, caller, digest):
        content = None
    if content is None:
        raise not_found("document")
    headers = {"ETag": f'"{digest}"', "Cache-Control": "private, immutable"}
    return Response(content, media_type="application/json", headers=headers)


@entries.get("/{index}/receipt", response_class=PlainTextResponse)
def get_receipt(hub: OpenHub, index: Index) -> Response:
    """Return the receipt of an entry under the newest published checkpoint (C2SP tlog-proof); anybody may ask."""
    return PlainTextResponse(format_receipt(hub.log_reader.receipt(index)))


def _may_see(hub: Hub, caller: Caller, digest: str) -> bool:
    if hub.catalogue.dataset(digest) is not None:
        return True
    terms = hub.documents.terms(digest)
    return is_of_bureau(caller) if terms is None else may_see_agreement(caller, terms)
