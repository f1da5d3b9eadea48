"""Jobs: followed by events or by asking, taken up again, called off; and what a result looks like."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.lib.sdk_hub import PARTNER, Job, Pieces, SdkHub, fixed_key, make_table
from yingbi.client import SUPPRESSED, AsyncJob, ModelResult, OperationNotPermittedError, Patience, TableResult
from yingbi.client.status import JobStatus, parse_status
from yingbi.client.watching import EventReader
from yingbi.errors import ConflictError, InvalidRequestError, NotFoundError, UnavailableError, VerificationError
from yingbi.plan.codec import parse_plan, question_digest


def test_a_question_from_the_catalogue_to_a_frame() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        filings = client.dataset("tax/annual_filings")
        query = filings[filings.year == 2025].groupby("industry").agg(n="count", tax=("tax_paid", "mean"))
        job = query.submit()
        assert job.state == "submitted"
        frame = job.wait(progress=False).result()
    assert job.state == "released"
    assert list(frame.columns) == ["industry", "n", "tax"]
    assert frame["industry"].dtype == "string"
    assert frame["n"].tolist() == [120, SUPPRESSED]
    assert frame.attrs["job"] == job.id
    assert frame.attrs["receipt"]["type"] == "output.released"
    assert frame.attrs["suppressed"] == [[1, "n"], [1, "tax"]]
    assert frame.attrs["question"] == query.digest
    statement = hub.jobs[job.id].body
    assert statement["operation"] == "aggregate"
    assert statement["result_key"] == hub.result_key.public
    assert statement["agreement"] == "agr-tax-1"


def test_events_are_followed_to_the_end_and_every_change_is_told() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").count().submit()
        told: list[JobStatus] = []
        client.run(job._watch(None, told.append))
    assert [status.state for status in told] == ["submitted", "approved", "leased", "started", "released"]
    assert [status.progress for status in told][3] == 40
    assert [request.url.path for request in hub.seen].count(f"/v1/jobs/{job.id}") == 1


def _cut(_: httpx.Request) -> httpx.Response:
    def pieces() -> Iterator[bytes]:
        yield b'data: {"state": "appro'
        raise httpx.ReadError("cut")

    return httpx.Response(200, stream=Pieces(pieces()), headers={"content-type": "text/event-stream"})


def _html(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b"<html>", headers={"content-type": "text/html"})


def _junk(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b"data: 7\n\n", headers={"content-type": "text/event-stream"})


@pytest.mark.parametrize("fault", [_cut, _html, _junk, None], ids=["cut", "html", "junk", "absent"])
def test_without_events_the_status_is_asked_again_and_again(fault: Any) -> None:
    hub = SdkHub(has_events=False)
    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").count().submit()
        if fault is not None:
            hub.faults = [lambda _: None, fault]
        job.wait(progress=False)
    assert job.state == "released"
    queries = [dict(request.url.params) for request in hub.seen if "after_state" in request.url.params]
    assert [query["after_state"] for query in queries] == ["submitted", "approved", "leased", "started"]
    assert {query["wait"] for query in queries} == {"25"}


def test_what_is_listened_to_no_more_is_closed_before_anything_else_is_asked() -> None:
    hub = SdkHub(has_events=False)
    stream = Pieces([b"data: 7\n\n"])

    def look(_: httpx.Request) -> None:
        assert stream.is_closed

    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").count().submit()
        events = httpx.Response(200, stream=stream, headers={"content-type": "text/event-stream"})
        hub.faults = [lambda _: None, lambda _: events, look]
        job.wait(progress=False)
    assert job.state == "released"


def test_waiting_ends_when_it_was_to_end_and_the_job_goes_on() -> None:
    hub = SdkHub(has_events=False)
    hub.advance = lambda job: None  # type: ignore[method-assign]
    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").count().submit()
        with pytest.raises(UnavailableError, match="takes longer") as error:
            job.wait(timeout_s=0.05, progress=False)
        assert error.value.hint is not None
        assert client.job(job.id).state == "submitted"


def test_a_job_outlives_the_process_that_submitted_it() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        jobs = [client.dataset("tax/annual_filings").count().submit() for _ in range(3)]
    with hub.connect() as client:
        assert [job.id for job in client.jobs()] == [job.id for job in jobs]
        assert len(client.jobs(limit=1)) == 1
        again = client.job(jobs[1].id)
        assert again.wait(progress=False).result()["count"].tolist() == [120, SUPPRESSED]
        with pytest.raises(InvalidRequestError):
            again.save("nowhere")
        with pytest.raises(NotFoundError):
            client.job("job-of-somebody-else")


def test_a_job_is_called_off() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").count().submit().cancel()
        assert job.state == "cancelled"
        assert job.status.is_settled
        with pytest.raises(ConflictError, match="was called off"):
            job.result()
    assert [path for path, _ in hub.posted] == ["cancellation"]


def test_a_result_that_is_held_is_no_result_and_says_what_could_be_asked_instead() -> None:
    notice = {
        "v": 1,
        "kind": "held",
        "findings": [{"risk": "differencing", "rule": "history", "dimension": "street", "verdict": "fail"}],
        "remedies": ["coarser-level"],
    }
    hub = SdkHub()

    def hold(job: Job) -> None:
        job.state = "held"
        hub.status = lambda job, **more: {**status(job), "notice": notice}  # type: ignore[method-assign]

    status = hub.status
    hub.advance = hold  # type: ignore[method-assign]
    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").count().submit().wait(progress=False)
        assert job.state == "held"
        assert job.status.why() == (
            "held: differencing history street (together with what was released before, too much would be known)",
            "instead: a coarser level, such as districts for streets",
        )
        assert "a coarser level" in repr(job)
        assert "a coarser level" in job._repr_html_()
        with pytest.raises(ConflictError, match=r"differencing history street .*; instead: a coarser level"):
            job.result()


def test_receipts_are_kept_and_verify_offline(tmp_path: Any) -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").count().submit().wait(progress=False)
        receipts = job.receipts()
    assert [one.type for one in receipts] == ["job.submitted", "job.leased", "output.released"]
    entry, receipt = receipts[1].save(tmp_path / "receipts")
    assert entry.read_bytes() == receipts[1].entry
    assert receipt.read_bytes().startswith(b"c2sp.org/tlog-proof@v1")


def test_a_suppressed_value_takes_part_in_nothing() -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").groupby("street").count().submit().wait(progress=False)
        frame, table = job.result(), job.released()
        assert isinstance(table, TableResult)
    for wrong in (
        lambda: frame["count"].sum(),
        lambda: frame["count"].mean(),
        lambda: frame["count"] + 1,
        lambda: frame.sort_values("count"),
        lambda: frame["count"].astype("Int64"),
        lambda: bool(SUPPRESSED),
        lambda: float(SUPPRESSED),
        lambda: SUPPRESSED < 10,
    ):
        with pytest.raises((OperationNotPermittedError, TypeError)):
            wrong()
    known = frame[frame["count"] != SUPPRESSED]
    assert known["count"].astype("Int64").sum() == 120
    assert not frame["count"].isna().any()
    assert "·" in str(frame)
    assert "<td>·</td>" in frame.to_html()
    assert "·" in str(table)
    assert table._repr_html_().count("·") == 2, "one cell, and the note"
    assert table.notes == ("counts are rounded to 5", "· is held back, against: threshold, secondary-disclosure")


def _numbers(plan: dict[str, Any]) -> dict[str, Any]:
    return {**make_table(plan), "rows": [["A", "1", "0.10"], [None, None, "2"], [{"total": True}, "3", "-1.5"]]}


def test_numbers_are_exact_and_types_are_nullable() -> None:
    hub = SdkHub(answer=_numbers)
    with hub.connect() as client:
        query = client.dataset("tax/annual_filings").groupby("street").agg(n="count", m=("staff", "mean"))
        job = query.submit().wait(progress=False)
        frame, table = job.result(), job.released()
        assert isinstance(table, TableResult)
    assert [str(frame[name].dtype) for name in frame.columns] == ["string", "Int64", "Float64"]
    assert frame["street"].isna().tolist() == [False, True, False]
    assert frame["street"].tolist()[2] == "(total)"
    assert frame["n"].sum() == 4
    assert str(table.rows[0][2]) == "0.10"


def _model(plan: dict[str, Any]) -> dict[str, Any]:
    return {
        "v": 1,
        "kind": "model",
        "question": question_digest(parse_plan(plan).question),
        "rules": "sha256:" + "2" * 64,
        "family": "linear",
        "terms": [
            {"name": "<intercept>", "coefficient": "1.5", "standard_error": "0.25"},
            {"name": "staff", "coefficient": None, "standard_error": None},
        ],
        "observations": "12340",
        "r_squared": "0.5",
    }


def test_a_regression_is_a_small_object_with_its_coefficients() -> None:
    hub = SdkHub(answer=_model)
    with hub.connect() as client:
        query = client.dataset("tax/annual_filings").linear_regression("tax_paid", ["staff"])
        model = query.submit().wait(progress=False).result()
    assert isinstance(model, ModelResult)
    assert model.coefficients == {"<intercept>": 1.5, "staff": None}
    assert model.observations == 12340
    frame = model.to_pandas()
    assert frame.loc["<intercept>", "standard_error"] == 0.25
    assert frame["coefficient"].isna().tolist() == [False, True]
    assert frame.attrs["job"] == model.job
    assert "&lt;intercept&gt;" in model._repr_html_()
    assert "linear regression" in str(model)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "rows"},
        {"v": 2},
        {"rows": [["A"]]},
        {"rows": [["A", 5]]},
        {"rows": [["A", "NaN"]]},
        {"rows": [["A", "Infinity"]]},
        {"rows": [["A", "1e999999999"]]},
        {"order": ["other"]},
        {"columns": "x"},
    ],
    ids=str,
)
def test_a_result_of_another_form_is_refused(change: dict[str, Any]) -> None:
    hub = SdkHub(answer=lambda plan: {**make_table(plan), **change})
    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").value_counts("street").submit().wait(progress=False)
        with pytest.raises(VerificationError):
            job.result()


@pytest.mark.parametrize("text", ["inf", "nan", "1e999", "x", 1])
def test_an_estimate_that_is_no_number_is_refused(text: object) -> None:
    hub = SdkHub(answer=lambda plan: {**_model(plan), "r_squared": text})
    with hub.connect() as client:
        query = client.dataset("tax/annual_filings").linear_regression("tax_paid", ["staff"])
        with pytest.raises(VerificationError):
            query.submit().wait(progress=False).result()


@pytest.mark.parametrize("has_events", [True, False], ids=["events", "polling"])
def test_the_asynchronous_client_does_the_same(has_events: bool) -> None:
    hub = SdkHub(has_events=has_events)

    async def work() -> AsyncJob:
        async with hub.aconnect() as client:
            found = await client.catalog.search("纳税")
            assert len(found) == 1
            filings = await client.dataset(found[0].name)
            query = filings.groupby("street").agg(n="count")
            assert (await query.dry_run()).is_permitted
            job = await query.submit()
            assert [one.id for one in await client.jobs()] == [job.id]
            await job.wait(progress=False)
            assert (await job.result())["n"].tolist() == [120, SUPPRESSED]
            assert len(await job.receipts()) == 3
            text = await client.sql("SELECT street, COUNT(*) AS n FROM tax.annual_filings GROUP BY 1")
            assert text.digest == query.digest
            again = await client.job(job.id)
            return await again.cancel()

    assert asyncio.run(work()).state == "cancelled"
    assert len(hub.jobs) == 1


def test_two_conversations_of_one_asynchronous_client_do_not_meet() -> None:
    hub = SdkHub()

    async def work() -> list[str]:
        async with hub.aconnect() as client:
            filings = await client.dataset("tax/annual_filings")
            jobs = [await filings.count().submit() for _ in range(4)]
            await asyncio.gather(*(job.wait(progress=False) for job in jobs))
            return [job.state for job in jobs]

    assert asyncio.run(work()) == ["released"] * 4


def test_what_is_needed_is_asked_for_before_anything_is_sent() -> None:
    hub = SdkHub()
    for missing in ("agreement", "purpose", "result_key"):
        with hub.connect(**{missing: None}) as client:
            query = client.dataset("tax/annual_filings").count()
            with pytest.raises(InvalidRequestError, match=missing.partition("_")[0]):
                query.submit()
    with hub.connect(agreement=None, purpose=None) as client:
        job = client.dataset("tax/annual_filings").count().submit(agreement="agr-2", purpose="research.x")
    assert hub.jobs[job.id].body["agreement"] == "agr-2"
    assert len(hub.jobs) == 1


def test_a_person_acts_for_an_organisation() -> None:
    hub = SdkHub()
    hub.register("person:li", signers=(hub.root, fixed_key("person:li"), fixed_key(PARTNER)))
    with hub.connect(party="person:li", on_behalf_of=PARTNER, key=fixed_key("person:li")) as client:
        assert PARTNER in repr(client)
        job = client.dataset("tax/annual_filings").count().submit().wait(progress=False)
        assert job.result() is not None


def test_events_are_read_however_they_are_cut() -> None:
    stream = b': hi\r\nevent: state\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata:{"b": 2}\n\n'
    for size in range(1, len(stream)):
        reader = EventReader()
        chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [event for chunk in chunks for event in reader.feed(chunk)] == [{"a": 1}, {"b": 2}]
    with pytest.raises(VerificationError, match="too long"):
        list(EventReader().feed(b"data: " + b"x" * (1 << 21)))


def feed(chunk: bytes, times: int) -> None:
    reader = EventReader()
    for _ in range(times):
        assert list(reader.feed(chunk)) == []


ENDLESS = [b"data:\n", b"data: 1\r\n", b"data:" + b" " * 5000 + b"\n", b"data: " + b"1" * 5000 + b"\n"]


@pytest.mark.parametrize("line", ENDLESS, ids=range(4))
@pytest.mark.parametrize("count", [1, 20_000])
def test_an_event_that_never_ends_is_given_up(line: bytes, count: int) -> None:
    with pytest.raises(VerificationError, match="too long"):
        feed(line * count, 20_000)


def test_a_line_that_never_ends_is_given_up() -> None:
    with pytest.raises(VerificationError, match="too long"):
        feed(b"data: {}", 1 << 20)


def test_many_events_are_no_long_event() -> None:
    reader = EventReader()
    for _ in range(40):
        assert len(list(reader.feed(b'data: {"a": 1}\n\n' * 1000))) == 1000


OTHER_FORMS: list[dict[str, Any]] = [
    {"entries": 5},
    {"entries": True},
    {"entries": [True]},
    {"entries": {"1": 2}},
    {"reasons": "because"},
    {"reasons": [5]},
    {"notice": 5},
    {"notice": []},
    {"notice": {"remedies": 5}},
    {"notice": {"remedies": [{}]}},
    {"notice": {"findings": "all"}},
    {"notice": {"findings": [5]}},
    {"state": None},
    {"job": 5},
]


@pytest.mark.parametrize("members", OTHER_FORMS, ids=str)
def test_a_status_of_another_form_is_an_error_of_ours(members: dict[str, Any]) -> None:
    hub = SdkHub()
    with hub.connect() as client:
        job = client.dataset("tax/annual_filings").count().submit().wait(progress=False)
        status = hub.status
        hub.status = lambda one, **more: {**status(one, **more), **members}  # type: ignore[method-assign]
        for ask in (job.refresh, lambda: job.wait(progress=False), job.result, client.jobs):
            with pytest.raises(VerificationError):
                ask()


def test_a_status_without_more_than_it_needs_is_one() -> None:
    status = parse_status({"job": "job-1", "state": "held", "notice": {"kind": "held"}})
    assert (status.why(), status.entries, status.reasons) == ((), (), ())
    assert "held" in str(status)


def test_progress_is_shown_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    hub = SdkHub()
    with hub.connect(patience=Patience(first_pause_s=0.001)) as client:
        job = client.dataset("tax/annual_filings").count().submit().wait()
    assert job.state == "released"
    assert "Traceback" not in capsys.readouterr().out
