"""Webhooks: where a party wants to be told of its jobs."""

from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api.pages import Cursor, Limit, take_page
from api.refusals import not_allowed
from api.routes import AnyCaller, OpenHub, SignedRoute
from api.schemas.wire import NOT_FOUND, NOT_NOW, PROBLEMS, PageOut, Wire
from api.signing import Caller
from api.webhooks import Webhook

__all__ = ["WebhookIn", "WebhookOut", "webhooks"]

webhooks = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=SignedRoute, responses=PROBLEMS)


_HTTPS: Final = r"^https://[!-~]+$"


class WebhookIn(Wire):
    """An address that is told of entries, signed with the bureau's key."""

    url: Annotated[str, Field(max_length=500, pattern=_HTTPS, examples=["https://bank-a.example/yingbi"])]


class WebhookOut(Wire):
    """A webhook, and how often in a row it could not be told."""

    id: str
    url: str
    made_at: str
    failures: int


@webhooks.post("", status_code=201, responses=NOT_NOW)
def post_webhook(hub: OpenHub, caller: AnyCaller, asked: WebhookIn) -> WebhookOut:
    """Ask to be told of what is recorded from now on."""
    return _out(hub.webhooks.add(_partner(caller), asked.url, next_index=hub.recorder.index.size))


@webhooks.get("")
def list_webhooks(hub: OpenHub, caller: AnyCaller, cursor: Cursor = None, limit: Limit = 50) -> PageOut[WebhookOut]:
    """List one's own webhooks, oldest first."""
    found = hub.webhooks.of(caller.organisation)
    page = take_page(found, key=lambda one: f"{one.made_at} {one.id}", cursor=cursor, limit=limit)
    return PageOut(items=[_out(one) for one in page.items], next=page.next)


@webhooks.delete("/{webhook}", status_code=204, response_class=Response, responses=NOT_FOUND | NOT_NOW)
def delete_webhook(hub: OpenHub, caller: AnyCaller, webhook: str) -> Response:
    """Ask to be told no more."""
    hub.webhooks.remove(caller.organisation, webhook)
    return Response(status_code=204)


def _partner(caller: Caller) -> str:
    if caller.kind != "partner":
        raise not_allowed("webhooks tell partners of their jobs")
    return caller.organisation


def _out(webhook: Webhook) -> WebhookOut:
    return WebhookOut(id=webhook.id, url=webhook.url, made_at=webhook.made_at, failures=webhook.failures)
