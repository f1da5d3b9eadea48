"""One request and its answer: what is repeated and what is not, what a hub may send, what errors become."""

import json
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lib.sdk_hub import ADDRESS, MARKET, NODE, PARTNER, Pieces, SdkHub, fixed_key, problem
from yingbi.client import JobRefusedError, Patience
from yingbi.client.exchange import Question, list_all, route
from yingbi.client.problems import error_of, plain, read_object
from yingbi.client.statements import duty_granted
from yingbi.client.wire import Reply
from yingbi.errors import (
    AuthenticationError,
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    SandboxError,
    UnavailableError,
    VerificationError,
)
from yingbi.events.fields import Duty

Fault = Callable[[httpx.Request], httpx.Response | None]


def answers(status: int, code: ErrorCode | None = None, **headers: str) -> Fault:
    body = {} if code is None else {"code": code.value, "detail": "not now"}
    return lambda _: httpx.Response(status, json=body, headers=headers)


def lost(kind: type[httpx.TransportError]) -> Fault:
    def fail(_: httpx.Request) -> None:
        raise kind("https://user:password@proxy.example")

    return fail


AGAIN: list[Fault] = [
    answers(503, ErrorCode.HUB_UNAVAILABLE),
    answers(429),
    answers(502),
    answers(504),
    answers(409, ErrorCode.REQUEST_UNDER_WAY),
    lost(httpx.ConnectError),
    lost(httpx.ReadTimeout),
    lost(httpx.RemoteProtocolError),
]


@pytest.mark.parametrize("fault", AGAIN, ids=range(len(AGAIN)))
def test_a_submission_is_repeated_with_its_idempotency_key_and_another_nonce(fault: Fault) -> None:
    hub = SdkHub()
    with hub.connect() as client:
        query = client.dataset("tax/annual_filings").count()
        hub.faults = [fault, fault]
        job = query.submit()
    posts = [request for request in hub.seen if request.method == "POST"]
    assert len(posts) == 3
    assert len({request.headers["idempotency-key"] for request in posts}) == 1
    assert len({request.headers["signature-input"] for request in posts}) == 3
    assert len({request.content for request in posts}) == 1
    assert list(hub.jobs) == [job.id]


def test_an_answer_that_was_lost_is_asked_for_again_and_nothing_happens_twice() -> None:
    hub = SdkHub()

    def handled_then_lost(request: httpx.Request) -> httpx.Response:
        hub.answer_to(request)
        raise httpx.ReadError("cut")

    with hub.connect() as client:
        query = client.dataset("tax/annual_filings").count()
        hub.faults = [handled_then_lost]
        query.submit()
    assert len(hub.jobs) == 1


@pytest.mark.parametrize("fault", [lost(httpx.ReadTimeout), answers(503)], ids=["lost", "later"])
def test_what_changes_something_and_has_no_key_is_sent_once(fault: Fault) -> None:
    hub = SdkHub(faults=[fault])
    with hub.connect() as client, pytest.raises(UnavailableError):
        client.run(client.hub.exchange.ask(Question(method="POST", path="/v1/duties", body={})))
    assert len(hub.seen) == 1


def test_what_was_never_sent_is_sent_again() -> None:
    hub = SdkHub(faults=[lost(httpx.ConnectTimeout)], missing=("root",))
    with hub.connect() as client:
        client.run(client.hub.exchange.ask(Question(method="POST", path="/v1/duties", body={}), good=(202,)))
    assert len(hub.seen) == 2


def test_patience_ends_and_nothing_secret_is_said(caplog: pytest.LogCaptureFixture) -> None:
    hub = SdkHub(faults=[lost(httpx.ProxyError)] * 9)
    with hub.connect() as client, pytest.raises(UnavailableError) as error:
        client.catalog.search()
    assert len(hub.seen) == Patience().attempts
    assert error.value.message == f"the hub at {ADDRESS} cannot be reached"
    again = [record.getMessage() for record in caplog.records if record.name.startswith("yingbi.client")]
    assert again[0] == f"no answer from {ADDRESS}, trying again (1 of 6)"
    assert len(again) == len(hub.seen) - 1
    assert "password" not in f"{again} {error.value} {error.value.hint} {error.value.detail} {error.value.__cause__}"


def test_a_hub_says_how_long_to_wait_within_reason() -> None:
    with SdkHub().connect(patience=Patience(first_pause_s=1, longest_pause_s=4)) as client:
        exchange = client.hub.exchange
    assert exchange._pause(1, "7") == 7
    assert exchange._pause(1, "99999") == 60
    for attempt, longest in ((1, 1.0), (2, 2.0), (3, 4.0), (9, 4.0)):
        assert longest / 2 <= exchange._pause(attempt, "Fri, 31 Dec 1999 23:59:59 GMT") <= longest
    with pytest.raises(InvalidRequestError):
        Patience(attempts=0)


KINDS: list[tuple[int, str | None, type[SandboxError], ErrorCode]] = [
    (400, "statement-unverified", VerificationError, ErrorCode.STATEMENT_UNVERIFIED),
    (401, "request-unsigned", AuthenticationError, ErrorCode.REQUEST_UNSIGNED),
    (401, None, AuthenticationError, ErrorCode.REQUEST_UNSIGNED),
    (403, "duties-not-separated", RefusedError, ErrorCode.DUTIES_NOT_SEPARATED),
    (404, "entry-not-found", NotFoundError, ErrorCode.ENTRY_NOT_FOUND),
    (409, "transition-refused", ConflictError, ErrorCode.TRANSITION_REFUSED),
    (422, "plan-malformed", InvalidRequestError, ErrorCode.PLAN_MALFORMED),
    (503, "from-a-newer-hub", UnavailableError, ErrorCode.HUB_UNAVAILABLE),
    (500, "internal", SandboxError, ErrorCode.INTERNAL),
    (418, None, SandboxError, ErrorCode.INTERNAL),
]


@pytest.mark.parametrize(("status", "code", "kind", "expected"), KINDS)
def test_problems_become_typed_errors(
    status: int, code: str | None, kind: type[SandboxError], expected: ErrorCode
) -> None:
    body = {"code": code, "title": "title", "detail": "what\nwas \x1b[31mwrong", "ref": "ref-7"}
    error = error_of(Reply(status=status, headers={}, body=json.dumps(body).encode()))
    assert type(error) is kind
    assert error.code is expected
    assert error.message == "what was  [31mwrong"
    assert error.hint == "the operator finds it as ref-7"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"[" * 9999, b'{"code": ["x"], "detail": 7}'])
def test_a_problem_of_no_form_is_an_error_all_the_same(body: bytes) -> None:
    error = error_of(Reply(status=404, headers={}, body=body))
    assert isinstance(error, NotFoundError)
    assert error.message == "the hub answered with 404"


def test_a_refused_job_says_why_and_where_that_is_recorded() -> None:
    grant = {"operation": "aggregate.mean", "dataset": "tax/annual_filings", "column": "tax_paid", "use": "aggregate"}
    reasons = [{"code": "purpose-not-granted", "message": "not for this", "grant": grant}]
    hub = SdkHub(decision={"outcome": "refuse", "reasons": reasons})
    with hub.connect() as client:
        query = client.dataset("tax/annual_filings").count()
        decision = query.dry_run()
        with pytest.raises(JobRefusedError) as refused:
            query.submit()
    assert not decision
    assert decision.grants == (grant,)
    assert "enough would be: operation aggregate.mean, dataset tax/annual_filings, column tax_paid" in str(decision)
    assert refused.value.reasons == tuple(reasons)
    assert str(refused.value).startswith(
        f"the purpose is not granted, and recorded as `{refused.value.job}`: not for this"
    )
    assert "enough would be: operation aggregate.mean" in str(refused.value.hint)
    assert refused.value.job is not None
    assert refused.value.receipt is not None
    assert refused.value.receipt.startswith("c2sp.org/tlog-proof@v1")
    assert [noun for noun, _ in hub.posted] == ["dry-run"]


LIES: list[tuple[Fault, str]] = [
    (lambda _: httpx.Response(200, content=b"[1]"), "a JSON object"),
    (lambda _: httpx.Response(200, content=b"nothing"), "a JSON object"),
    (lambda _: httpx.Response(200, content=b'{"items":' * 100_000), "a JSON object"),
    (lambda _: httpx.Response(200, content=b'{"items":' * 500 + b"1" + b"}" * 500), "a JSON object"),
    (lambda _: httpx.Response(200, content=b'{"items": [], "next": "\\ud800"}'), "a JSON object"),
    (lambda _: httpx.Response(200, content=b'{"items": [], "next": ' + b"9" * 5000 + b"}"), "a JSON object"),
    (lambda _: httpx.Response(200, json={"items": {}}), "a page"),
    (lambda _: httpx.Response(200, json={"items": [], "next": 7}), "a page"),
    (lambda _: httpx.Response(200, json={"items": [None] * 201, "next": None}), "a page"),
    (
        lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Pieces([b"\x1f\x8b"])),
        "packed",
    ),
]


@pytest.mark.parametrize(("lie", "expected"), LIES, ids=range(len(LIES)))
def test_answers_of_another_form_are_refused(lie: Fault, expected: str) -> None:
    with SdkHub(faults=[lie]).connect() as client, pytest.raises(VerificationError, match=expected):
        client.catalog.search()


def test_what_a_hub_sends_may_be_wide_but_not_deep() -> None:
    wide = {"items": [{"a": [{}]}] * 1000, "text": "\\ud800 \U0001f600"}
    assert read_object(json.dumps(wide).encode()) == wide
    deep = [b'{"a":' * depth + b"{}" + b"}" * depth for depth in (63, 64, 65)]
    assert [read_object(one) is None for one in deep] == [False, True, True]


def test_a_problem_of_another_form_is_still_one() -> None:
    for body in (b'{"code":' * 900 + b"1" + b"}" * 900, b'{"detail": "\\ud800"}', b"[]", b'{"code": {}}'):
        assert error_of(Reply(status=403, headers={}, body=body)).code is ErrorCode.INTERNAL


def test_no_more_bytes_are_taken_than_a_step_allows_for() -> None:
    hub = SdkHub(faults=[lambda _: httpx.Response(200, stream=Pieces(b"x" * 1000 for _ in range(10_000)))])
    question = Question(path="/v1/datasets", max_bytes=5000)
    with hub.connect() as client, pytest.raises(VerificationError, match="more than 5000 bytes"):
        client.run(client.hub.exchange.ask(question))


def test_no_redirect_is_followed_and_no_cookie_kept() -> None:
    headers = {"location": "https://elsewhere.example/v1/datasets", "set-cookie": "a=b"}
    hub = SdkHub(faults=[lambda _: httpx.Response(307, headers=headers)])
    with hub.connect() as client:
        with pytest.raises(SandboxError):
            client.catalog.search()
        client.catalog.search()
    assert {request.url.host for request in hub.seen} == {"hub.example"}
    assert all("cookie" not in request.headers for request in hub.seen)


def test_what_became_of_statements_is_shown() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        draft = duty_granted(client.hub.issuer, holder="person:wu", duty=Duty.PARTNER_ANALYST)
        recorded = client.file("duties", draft)
        hub.missing = ("<root>",)
        waiting = client.file("duties", draft)
    assert "duty.granted" in str(recorded)
    assert "duty.granted" in recorded._repr_html_()
    assert "waits for signatures" in str(waiting)
    assert "&lt;root&gt;" in waiting._repr_html_()


@pytest.mark.parametrize("part", ["", ".", ".."])
def test_an_id_leads_nowhere_else(part: str) -> None:
    with pytest.raises(InvalidRequestError):
        route("jobs", part)
    assert route("jobs", "a/b?c#d", "x y") == "/v1/jobs/a%2Fb%3Fc%23d/x%20y"


def test_requests_of_strangers_are_refused_with_the_typed_error() -> None:
    stranger = fixed_key("stranger")
    with SdkHub().connect(key=stranger) as client, pytest.raises(AuthenticationError):
        client.catalog.search()


def test_a_listing_is_read_to_its_end_and_a_catalogue_by_its_words() -> None:
    hub = SdkHub()
    hub.datasets = (*hub.datasets, *hub.datasets, *hub.datasets)
    with hub.connect() as client:
        assert len(client.catalog.search()) == 6
        found = client.catalog.search("纳税")
        assert [record.name for record in found] == ["tax/annual_filings"] * 3
        assert found[0].current == 3
        assert "纳税申报" in repr(found)
        assert "<td>纳税申报</td>" in found._repr_html_()
        assert "versions  2, 3" in str(found[0])
        assert "<td>unit:futian-tax</td>" in found[0]._repr_html_()
        with pytest.raises(NotFoundError) as missing:
            client.dataset("tax/anual_filings")
    assert missing.value.hint == "did you mean `tax/annual_filings`"


@pytest.mark.parametrize(("limit", "asked"), [(None, "200"), (7, "7"), (500, "200")])
def test_no_more_is_asked_for_at_once_than_a_page_holds(limit: int | None, asked: str) -> None:
    rows = [{"number": number} for number in range(200)]
    hub = SdkHub(listings={"participants": rows})
    with hub.connect() as client:
        assert client.run(list_all(client.hub.exchange, ("participants",), limit=limit)) == rows[:limit]
    assert hub.seen[-1].url.params["limit"] == asked


RECORDS: list[Callable[[dict[str, Any]], object]] = [
    lambda row: row.update(id="ds-of-somebody-else"),
    lambda row: row.update(name="tax/other"),
    lambda row: row["document"].update(items=row["document"]["items"][1:]),
    lambda row: row["document"].update(more=1),
    lambda row: row.update(versions=["3"]),
]


@pytest.mark.parametrize("change", RECORDS, ids=range(len(RECORDS)))
def test_a_data_set_that_is_not_what_its_name_says_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    hub = SdkHub()
    row = hub.dataset(hub.datasets[0])
    change(row)
    hub.faults = [lambda _: httpx.Response(200, json=row)]
    with hub.connect() as client, pytest.raises((VerificationError, InvalidRequestError)):
        client.dataset("tax/annual_filings")


def test_another_data_set_than_the_one_asked_for_is_none() -> None:
    hub = SdkHub()
    hub.faults = [lambda _: httpx.Response(200, json=hub.dataset(MARKET))]
    with hub.connect() as client, pytest.raises(VerificationError, match="asked for"):
        client.dataset("tax/annual_filings")


def test_a_job_that_may_have_arrived_is_named() -> None:
    hub = SdkHub()
    with hub.connect(patience=Patience(attempts=1)) as client:
        query = client.dataset("tax/annual_filings").count()

        def handled_then_lost(request: httpx.Request) -> httpx.Response:
            hub.answer_to(request)
            raise httpx.ReadError("cut")

        hub.faults = [handled_then_lost]
        with pytest.raises(UnavailableError) as error:
            query.submit()
        (name,) = hub.jobs
        assert name in str(error.value.hint)
        assert client.job(name).wait(progress=False).result() is not None


def test_another_job_than_the_submitted_one_is_none() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        query = client.dataset("tax/annual_filings").count()
        job = query.submit()
        hub.faults = [lambda _: httpx.Response(202, json=hub.status(hub.jobs[job.id]))]
        with pytest.raises(VerificationError, match="the job that was submitted"):
            query.submit()


def test_secrets_are_in_no_text_of_a_client(tmp_path: Path) -> None:
    hub = SdkHub()
    settings = hub.settings(passphrase=b"open sesame", proxy="http://user:password@proxy.example")
    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").count().submit()
        shown = f"{settings!r} {client!r} {client.hub!r} {job!r} {job._submitted!r}"
        for opening in job._submitted.openings if job._submitted else ():
            assert repr(opening.salt) not in shown
        job.save(tmp_path / "job.json")
        with pytest.raises(InvalidRequestError, match="not there yet"):
            job.save(tmp_path / "job.json")
    assert (tmp_path / "job.json").stat().st_mode & 0o777 == 0o600
    assert "sesame" not in shown
    assert "password" not in shown
    assert PARTNER in repr(client)
    assert NODE not in repr(client)
    kept = json.loads((tmp_path / "job.json").read_text("utf-8"))
    assert kept["job"] == job.id
    assert kept["openings"][0]["value"]["v"] == 1


def test_problems_of_a_proxy_are_not_shown_as_they_are() -> None:
    assert plain("a\x00b\u202ec") == "a b c"
    assert plain(7) == ""
    assert len(plain("x" * 9999)) == 600
    assert problem(ErrorCode.JOB_REFUSED, "x").status_code == HTTPStatus.FORBIDDEN
