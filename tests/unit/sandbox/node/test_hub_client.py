"""The hub as a node talks to it: signed requests, kept connections, bounded answers, a name for each failure."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from sandbox.node.hub_client import HubClient, open_hub_http
from tests.lib.agents import Scene
from tests.lib.fake_hub import ADDRESS, NODE
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    SandboxError,
    UnavailableError,
    VerificationError,
)
from yingbi.keys import SigningKey


def client(scene: Scene, answer: Callable[[httpx.Request], httpx.Response] | None = None) -> HubClient:
    http = scene.hub.http() if answer is None else httpx.Client(transport=httpx.MockTransport(answer))
    return HubClient(ADDRESS, scene.hub.key(NODE), http=http, clock=scene.clock)


def answering(status: int, body: bytes = b"{}") -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, content=iter([body]))


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, {"code": "seal-broken"}, VerificationError, ErrorCode.SEAL_BROKEN),
        (401, {"code": "request-unsigned"}, RefusedError, ErrorCode.REQUEST_UNSIGNED),
        (403, {"code": "job-refused"}, RefusedError, ErrorCode.JOB_REFUSED),
        (404, {}, NotFoundError, ErrorCode.JSON_MALFORMED),
        (409, {"code": "made-up"}, ConflictError, ErrorCode.TRANSITION_REFUSED),
        (409, [], ConflictError, ErrorCode.TRANSITION_REFUSED),
        (413, {}, InvalidRequestError, ErrorCode.JSON_MALFORMED),
        (422, {"code": "json-malformed"}, InvalidRequestError, ErrorCode.JSON_MALFORMED),
        (429, {}, UnavailableError, ErrorCode.HUB_UNAVAILABLE),
        (500, {"code": "internal"}, UnavailableError, ErrorCode.INTERNAL),
        (503, {"code": "quorum-not-met"}, UnavailableError, ErrorCode.QUORUM_NOT_MET),
        (302, {}, UnavailableError, ErrorCode.HUB_UNAVAILABLE),
    ],
)
def test_what_a_refusal_of_the_hub_is_called(
    scene: Scene, status: int, body: object, kind: type[SandboxError], code: ErrorCode
) -> None:
    hub = client(scene, answering(status, json.dumps(body).encode()))
    with pytest.raises(kind) as caught:
        hub.put_result("job-1", b"sealed")
    assert caught.value.code is code
    assert str(status) in caught.value.message, "the hub's own words are not repeated"


def test_a_hub_that_is_not_there_is_unavailable(scene: Scene) -> None:
    scene.hub.is_down = True
    with pytest.raises(UnavailableError) as caught:
        client(scene).checkpoint()
    assert caught.value.code is ErrorCode.HUB_UNAVAILABLE


def test_every_request_but_for_the_logs_files_is_signed_by_the_node(scene: Scene) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204, content=iter([b""]))

    hub = client(scene, answer)
    hub.put_notice("job-1", {"reasons": []})
    hub.put_progress("job-1", 40)
    hub.put_result("job-1", b"x")
    hub.poll(NODE, 0)
    assert all("signature" in request.headers and "content-digest" in request.headers for request in seen)
    assert [request.url.path for request in seen][-1] == "/v1/nodes/futian-lab/poll"
    hub.checkpoint()
    hub.bundle(3, 7)
    assert all("signature" not in request.headers for request in seen[-2:])
    assert seen[-1].url.path == "/tile/entries/003.p/7"


def test_another_key_is_refused(scene: Scene) -> None:
    hub = HubClient(ADDRESS, SigningKey.generate(), http=scene.hub.http(), clock=scene.clock)
    with pytest.raises(RefusedError) as caught:
        hub.poll(NODE, 0)
    assert caught.value.code is ErrorCode.REQUEST_UNSIGNED


def test_a_document_that_is_not_to_be_had_is_nothing(scene: Scene) -> None:
    assert client(scene).document("sha256:" + "0" * 64) is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"entries":[]}', b'{"entries":[{}]}', b'{"entries":[{"index":1,"receipt":"x"}]}']
)
def test_receipts_in_another_form_are_none(scene: Scene, body: bytes) -> None:
    hub = client(scene, answering(201, body))
    statement = scene.entries()[0]
    with pytest.raises(InvalidRequestError):
        hub.record(NODE, [statement])


def test_an_answer_is_bounded_while_it_comes(scene: Scene) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 65_536

    hub = client(scene, lambda request: httpx.Response(200, content=endless()))
    with pytest.raises(VerificationError):
        hub.checkpoint()


def test_certificates_are_a_file_of_certificates(scene: Scene) -> None:
    file = scene.folder / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(InvalidRequestError):
        open_hub_http(ca_file=file)
    with pytest.raises(InvalidRequestError):
        open_hub_http(proxy="not a url")
    open_hub_http(proxy="http://127.0.0.1:1").close()
