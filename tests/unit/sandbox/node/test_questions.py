"""The book of questions: limits are charged once, ends are final, and nothing is charged on an old decision."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from policies.request import Consumption
from sandbox.database import METADATA, open_database
from sandbox.node.questions import TRANSITIONS, NewQuestion, QuestionBook, QuestionState
from yingbi.clock import FixedClock
from yingbi.errors import ConflictError, NotFoundError, RefusedError
from yingbi.ids import new_id

DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "node.sqlite")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def time() -> FixedClock:
    return FixedClock(datetime(2026, 11, 1, 2, tzinfo=UTC))


@pytest.fixture
def book(database: Engine, time: FixedClock) -> QuestionBook:
    return QuestionBook(database, time)


def new(partner: str = "partner:bank-a") -> NewQuestion:
    return NewQuestion(
        id=new_id("job"),
        partner=partner,
        purpose="research.aggregate",
        operations=("aggregate.sum", "aggregate.count"),
        digest=DIGEST,
        asked={"plan": {"b": 1, "a": [2]}},
    )


def start(book: QuestionBook, *agreements: str, rounds: int = 0) -> str:
    question = new()
    book.start(question, agreements=dict.fromkeys(agreements, rounds), seen=book.consumption(agreements))
    return question.id


def test_the_file_is_its_owners_only(database: Engine) -> None:
    path = Path(str(database.url.database))
    assert path.stat().st_mode & 0o077 == 0


def test_a_question_charges_each_agreement_once(book: QuestionBook) -> None:
    start(book, "agr-a", "agr-b", rounds=3)
    start(book, "agr-a")
    assert book.consumption(["agr-a", "agr-b", "agr-c"]) == {
        "agr-a": Consumption(jobs=2, jobs_today=2, rounds=3),
        "agr-b": Consumption(jobs=1, jobs_today=1, rounds=3),
        "agr-c": Consumption(),
    }


def test_a_day_begins_at_midnight_in_shenzhen(database: Engine) -> None:
    evening = datetime(2026, 11, 1, 15, 59, tzinfo=UTC)
    start(QuestionBook(database, FixedClock(evening)), "agr-a")
    for later, today in ((timedelta(0), 1), (timedelta(minutes=1), 0)):
        book = QuestionBook(database, FixedClock(evening + later))
        assert book.consumption(["agr-a"])["agr-a"] == Consumption(jobs=1, jobs_today=today)


def test_a_decision_on_an_old_state_charges_nothing(book: QuestionBook) -> None:
    seen = book.consumption(["agr-a"])
    start(book, "agr-a")
    with pytest.raises(ConflictError):
        book.start(new("partner:bank-b"), agreements={"agr-a": 0}, seen=seen)
    assert book.consumption(["agr-a"])["agr-a"].jobs == 1
    assert len(book.list_questions()) == 1


def test_what_was_refused_charges_nothing(book: QuestionBook) -> None:
    question = new()
    book.refuse(question, code="plan-malformed")
    row = book.get(question.id)
    assert (row.state, row.code) == (QuestionState.REFUSED, "plan-malformed")
    assert (row.operations, row.asked) == (("aggregate.count", "aggregate.sum"), {"plan": {"b": 1, "a": [2]}})
    assert row.ended_at == row.received_at


def test_only_what_is_dead_fails(book: QuestionBook) -> None:
    dead, alive, ended = start(book, "agr-a"), start(book), start(book)
    book.end(ended, QuestionState.CANCELLED)
    assert book.end_dead(lambda question: question == alive, lambda _: False) == 1
    states = [book.get(question).state for question in (dead, alive, ended)]
    assert states == [QuestionState.FAILED, QuestionState.RUNNING, QuestionState.CANCELLED]
    assert book.get(dead).code == "interrupted"
    assert book.consumption(["agr-a"])["agr-a"].jobs == 1, "what was charged stays charged"


def test_a_released_table_is_kept_as_it_was(book: QuestionBook) -> None:
    question = start(book, "agr-a")
    output = book.release(question, digest=DIGEST, content=b"{}")
    assert (book.output(output).content, book.output(output).question) == (b"{}", question)
    assert book.get(question).state is QuestionState.RELEASED
    assert book.get(question).output == output


@pytest.mark.parametrize("state", [state for state, targets in TRANSITIONS.items() if not targets])
def test_an_end_is_final(book: QuestionBook, state: QuestionState) -> None:
    question = start(book, "agr-a")
    if state is QuestionState.REJECTED:
        book.end(question, QuestionState.HELD)
    book.end(question, state)
    for target in QuestionState:
        with pytest.raises(ConflictError):
            book.end(question, target)
    with pytest.raises(ConflictError):
        book.release(question, digest=DIGEST, content=b"{}")
    assert book.get(question).state is state


def test_a_release_that_is_not_possible_keeps_no_table(book: QuestionBook, database: Engine) -> None:
    question = start(book, "agr-a")
    book.end(question, QuestionState.FAILED)
    with pytest.raises(ConflictError):
        book.release(question, digest=DIGEST, content=b"{}")
    with database.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from node_output").scalar_one() == 0


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(QuestionState)


def test_what_is_not_there(book: QuestionBook) -> None:
    for ask in (book.get, book.output):
        with pytest.raises(NotFoundError):
            ask("job-none")


def test_a_job_is_charged_once_however_often_it_is_said(book: QuestionBook) -> None:
    job = new()
    assert [book.charge(job.id, "agr-a") for _ in range(3)] == [1, 1, 1]
    book.begin(job, {"agr-a": 3})
    book.end(job.id, QuestionState.FAILED, code="interrupted")
    book.begin(job, {"agr-a": 3, "agr-b": 0})
    assert [found.jobs for found in book.consumption(["agr-a", "agr-b"]).values()] == [1, 1]


CHANGES: dict[str, dict[str, Any]] = {
    "another partner": {"partner": "partner:bank-b"},
    "another purpose": {"purpose": "credit.check"},
    "another question": {"digest": "sha256:" + "9" * 64},
    "another plan": {"asked": {"plan": {}}},
    "another submission": {"asked": {"plan": {"b": 1, "a": [2]}, "submission": "sha256:" + "9" * 64}},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_question_goes_on_as_itself_and_as_no_other(book: QuestionBook, name: str) -> None:
    job = new()
    book.begin(job, {"agr-a": 3})
    book.end(job.id, QuestionState.FAILED, code="x")
    with pytest.raises(RefusedError):
        book.begin(replace(job, **CHANGES[name]), {"agr-b": 3})
    assert book.get(job.id).state is QuestionState.FAILED
    assert book.consumption(["agr-b"])["agr-b"].jobs == 0


def test_a_job_is_found_by_its_submission(book: QuestionBook) -> None:
    mine, another = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    job = replace(new(), asked={"plan": {}, "submission": mine})
    assert book.find_job(job.id, mine) is None
    book.begin(job, {"agr-a": 3})
    found = book.find_job(job.id, mine)
    assert found is not None
    assert found.submission == mine
    asked = start(book, "agr-a")
    for name, submission in ((job.id, another), (asked, mine)):
        with pytest.raises(RefusedError):
            book.find_job(name, submission)
    book.end(job.id, QuestionState.FAILED, code="x")
    book.begin(replace(job, asked={"plan": {"pinned": 2}, "submission": mine}), {"agr-a": 3})
    assert book.get(job.id).asked == {"plan": {"pinned": 2}, "submission": mine}, "what is computed now"


def test_a_job_goes_on_after_a_failure_and_after_no_other_end(book: QuestionBook) -> None:
    job = new()
    book.begin(job, {"agr-a": 3})
    with pytest.raises(ConflictError):
        book.begin(job, {"agr-a": 3})
    for end in (QuestionState.FAILED, QuestionState.CANCELLED):
        book.end(job.id, end, code="x")
        book.begin(job, {"agr-a": 3})
        assert (book.get(job.id).state, book.get(job.id).code, book.get(job.id).ended_at) == ("running", None, None)
    book.release(job.id, digest=DIGEST, content=b"{}")
    with pytest.raises(ConflictError):
        book.begin(job, {"agr-a": 3})
    assert book.find("job-unknown") is None
