"""Webhooks: told of one's own jobs, in order, signed, again and again until taken; never into the hub's own network."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from api.webhooks import Deliveries, Webhooks, is_public
from tests.integration import test_hub_jobs as jobs
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import BUREAU, HubWorld, new_hub, open_world
from yingbi.clock import FixedClock
from yingbi.errors import ConflictError, InvalidRequestError, NotFoundError
from yingbi.statement import Statement

PARTNER = "partner:bank-a"
URL = "https://bank-a.example/told"


class Receiver:
    """Takes messages, or does not."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, headers={"location": "https://elsewhere.example"})

    @property
    def types(self) -> list[str]:
        return [json.loads(request.content)["type"] for request in self.requests]


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[HubWorld]:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as opened:
        opened.settle(firms_dataset(), jobs.TERMS)
        yield opened


def deliveries(world: HubWorld, receiver: Receiver, *, is_reachable: bool = True) -> Deliveries:
    def connect() -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(receiver), follow_redirects=False)

    hub = world.hub
    return Deliveries(
        hub.webhooks, hub.recorder, hub.bureau, world.clock, connect=connect, may_reach=lambda _: is_reachable
    )


def add(world: HubWorld, by: str = "person:analyst", url: str = URL) -> httpx.Response:
    return world.ask("POST", "/v1/webhooks", by=by, body={"url": url})


def test_a_partner_is_told_of_its_jobs_signed_and_in_order(world: HubWorld) -> None:
    assert add(world).status_code == 201
    name = jobs.submit(world).json()["job"]
    jobs.poll(world)
    receiver = Receiver()
    deliveries(world, receiver).run_once()
    assert receiver.types == ["job.submitted", "job.approved", "job.leased"]
    request = receiver.requests[0]
    assert json.loads(request.content)["data"]["job"] == name
    fields = request.headers
    signed = f"{fields['webhook-id']}.{fields['webhook-timestamp']}.".encode() + request.content
    kind, _, signature = fields["webhook-signature"].partition(",")
    assert kind == "v1a"
    assert world.key(BUREAU).public.is_valid(base64.b64decode(signature), signed)
    deliveries(world, receiver).run_once()
    assert len(receiver.requests) == 3, "told once"


def test_what_is_not_taken_is_told_again_later_and_under_the_same_id(world: HubWorld, clock: FixedClock) -> None:
    add(world)
    jobs.submit(world)
    receiver = Receiver()
    receiver.status = 503
    sender = deliveries(world, receiver)
    sender.run_once()
    sender.run_once()
    assert receiver.types == ["job.submitted"], "not before its pause is over"
    clock.at += timedelta(seconds=2)
    receiver.status = 204
    sender.run_once()
    assert receiver.types == ["job.submitted", "job.submitted", "job.approved"]
    assert receiver.requests[0].headers["webhook-id"] == receiver.requests[1].headers["webhook-id"]


def test_a_redirect_is_not_followed(world: HubWorld) -> None:
    add(world)
    jobs.submit(world)
    receiver = Receiver()
    receiver.status = 307
    deliveries(world, receiver).run_once()
    assert [str(request.url) for request in receiver.requests] == [URL]


def test_an_address_that_may_not_be_reached_is_not_asked(world: HubWorld) -> None:
    add(world)
    jobs.submit(world)
    receiver = Receiver()
    deliveries(world, receiver, is_reachable=False).run_once()
    assert receiver.requests == []


def test_others_are_told_nothing(world: HubWorld) -> None:
    world.admit("partner:bank-b", "bank")
    add(world, by="partner:bank-b")
    jobs.submit(world)
    receiver = Receiver()
    deliveries(world, receiver).run_once()
    assert receiver.requests == []
    assert add(world, by="person:approver").status_code == 403, "for partners"


def frozen(world: HubWorld) -> Statement:
    body = {"target": PARTNER, "reason": "incident", "note": None, "drill": False}
    return world.state("access.frozen", body, issuer="person:security-admin")


def suspended(world: HubWorld) -> Statement:
    body = {"party": PARTNER, "reason": "incident", "until": None, "note": None}
    return world.state("participant.suspended", body, issuer="person:approver")


def gone(world: HubWorld) -> Statement:
    body = {"party": PARTNER, "reason": "request", "inventory": None, "note": None}
    return world.state("participant.offboarded", body, issuer=PARTNER)


@pytest.mark.parametrize(
    ("stop", "path", "by"),
    [
        (frozen, "/v1/incidents", "person:security-admin"),
        (suspended, "/v1/participants", "person:approver"),
        (gone, "/v1/participants", PARTNER),
    ],
)
def test_who_is_stopped_is_told_nothing(
    world: HubWorld, stop: Callable[[HubWorld], Statement], path: str, by: str
) -> None:
    add(world)
    jobs.submit(world)
    world.recorded(path, stop(world), by=by)
    receiver = Receiver()
    deliveries(world, receiver).run_once()
    assert receiver.requests == []


def test_who_takes_part_again_is_told_what_came_meanwhile(world: HubWorld) -> None:
    add(world)
    jobs.submit(world)
    world.recorded("/v1/incidents", frozen(world), by="person:security-admin")
    receiver = Receiver()
    deliveries(world, receiver).run_once()
    both = ["person:approver", "person:security-admin"]
    body = {"target": PARTNER, "note": None, "drill": False}
    lifted = world.state("access.unfrozen", body, issuer=both[0], signers=both)
    world.recorded("/v1/incidents", lifted, by=both[0])
    deliveries(world, receiver).run_once()
    assert receiver.types == ["job.submitted", "job.approved"]


def test_webhooks_are_their_owners(world: HubWorld) -> None:
    world.admit("partner:bank-b", "bank")
    name = add(world).json()["id"]
    assert [one["id"] for one in world.ask("GET", "/v1/webhooks", by="partner:bank-a").json()["items"]] == [name]
    assert world.ask("GET", "/v1/webhooks", by="partner:bank-b").json()["items"] == []
    assert world.ask("DELETE", f"/v1/webhooks/{name}", by="partner:bank-b").status_code == 404
    assert world.ask("DELETE", f"/v1/webhooks/{name}", by="partner:bank-a").status_code == 204
    assert world.ask("GET", "/v1/webhooks", by="partner:bank-a").json()["items"] == []


@pytest.mark.parametrize(
    "address",
    [
        "http://bank-a.example/told",
        "https://user:password@bank-a.example/",
        "https:///told",
        "https://bank-a.example/#x",
        "ftp://bank-a.example",
        "told",
        "https://bänk.example",
        "https://M[",
        "https://xn--a.evil.example",
        "https://bank-a.example:99999/",
        "https://bank-a.example:0/",
        "https://bank-a.example/" + "x" * 600,
    ],
)
def test_what_is_no_address_is_refused(engine: Engine, clock: FixedClock, address: str) -> None:
    with pytest.raises(InvalidRequestError):
        Webhooks(engine, clock).add("partner:a", address, next_index=0)


def test_a_party_has_only_so_many(engine: Engine, clock: FixedClock) -> None:
    webhooks = Webhooks(engine, clock)
    for number in range(10):
        webhooks.add("partner:a", f"{URL}/{number}", next_index=0)
    with pytest.raises(ConflictError):
        webhooks.add("partner:a", URL, next_index=0)
    with pytest.raises(NotFoundError):
        webhooks.remove("partner:b", webhooks.of("partner:a")[0].id)
    assert len(webhooks.of("partner:a")) == 10


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "192.168.1.1", "no.such.invalid"])
def test_addresses_of_private_networks_are_not_public(host: str) -> None:
    assert not is_public(host)


def test_a_public_address_is() -> None:
    assert is_public("93.184.216.34")
