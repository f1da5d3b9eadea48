"""The queue: who may decide what, in which state, and what is left afterwards."""

import itertools
import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.database import METADATA, open_database
from sandbox.disclosure.held import TRANSITIONS, HeldEvent, HeldOutput, HeldQueue, HeldState, transition
from sandbox.disclosure.released import Held
from sandbox.disclosure.verdict import Finding
from yingbi.canonical import canonical_bytes
from yingbi.clock import FixedClock
from yingbi.commitment import Opening, verify_opening
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    TamperDetectedError,
)
from yingbi.events.outputs import CheckVerdict, Remedy, Risk

CANARY = "31415926535"
HELD = Held(
    question="sha256:" + "a" * 64,
    rules="sha256:" + "b" * 64,
    findings=(
        Finding(risk=Risk.NEGATIVE_VALUES, rule="negative", verdict=CheckVerdict.REVIEW, dimension="street", cells=3),
    ),
    remedies=(Remedy.SUPPRESS_CELLS,),
    candidate="sha256:" + "c" * 64,
    evidence={"cells": [{"total": CANARY}]},
)
BANK, ANALYST, ONE, TWO = "partner:bank-a", "person:analyst", "person:wang", "person:li"


@pytest.fixture
def queue(tmp_path: Path) -> HeldQueue:
    database = open_database(tmp_path / "node.sqlite")
    METADATA.create_all(database)
    return HeldQueue(database, tmp_path / "held", FixedClock(datetime(2026, 11, 22, tzinfo=UTC)))


def _hold(queue: HeldQueue, *, is_checked: bool = True, question: str = "question-1") -> HeldOutput:
    return queue.hold(HELD, question=question, requesters=(BANK, ANALYST), is_checked=is_checked)


def _all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_may_not_come_out_cannot_be_approved_and_can_be_rejected(queue: HeldQueue) -> None:
    final = replace(HELD, is_final=True)
    row = queue.hold(final, question="question-1", requesters=(BANK,), is_checked=False)
    assert row.notice["final"] is True
    with pytest.raises(ConflictError, match="nothing of this result"):
        queue.approve(row.id, ONE)
    assert queue.waiting() == (row,)
    assert queue.reject(row.id, ONE).state is HeldState.REJECTED


def test_who_approved_may_think_better_of_it(queue: HeldQueue) -> None:
    row = _hold(queue)
    queue.approve(row.id, ONE)
    queue.approve(row.id, TWO)
    assert [one.state for one in queue.waiting()] == [HeldState.APPROVED], "it waits for its release"
    assert queue.reject(row.id, ONE).state is HeldState.REJECTED
    assert queue.waiting() == ()


def test_who_asked_may_not_even_reject(queue: HeldQueue) -> None:
    with pytest.raises(RefusedError):
        queue.reject(_hold(queue).id, ANALYST)


def test_the_table_of_states_is_total() -> None:
    assert set(TRANSITIONS) == set(itertools.product(HeldState, HeldEvent))


@pytest.mark.parametrize(("state", "event"), [pair for pair, after in TRANSITIONS.items() if after is None])
def test_what_is_not_in_the_table_is_refused(state: HeldState, event: HeldEvent) -> None:
    with pytest.raises(ConflictError) as caught:
        transition(state, event)
    assert caught.value.code is ErrorCode.TRANSITION_REFUSED


def test_a_held_candidate_waits_with_its_evidence(queue: HeldQueue) -> None:
    output = _hold(queue)
    assert output.state is HeldState.WAITING
    assert queue.waiting() == (output,)
    assert queue.evidence(output.id) == {"cells": [{"total": CANARY}]}
    assert output.notice["findings"] == [
        {"risk": "negative-values", "rule": "negative", "dimension": "street", "verdict": "review"}
    ]


def test_nothing_of_the_evidence_is_in_clear_on_the_disk(queue: HeldQueue, tmp_path: Path) -> None:
    output = _hold(queue)
    found = _all_bytes(tmp_path)
    assert CANARY.encode() not in found
    assert HELD.candidate.encode() not in found
    key = tmp_path / "held" / f"{output.id}.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700


def test_two_people_approve(queue: HeldQueue) -> None:
    output = _hold(queue)
    assert queue.approve(output.id, ONE).state is HeldState.HALF_CHECKED
    with pytest.raises(ConflictError):
        queue.approval(output.id)
    assert queue.approve(output.id, TWO).state is HeldState.APPROVED
    approval = queue.approval(output.id)
    assert (approval.candidate, approval.findings) == (HELD.candidate, HELD.findings)
    assert not approval.suppress_reviewed


def test_one_is_enough_where_the_agreement_does_not_ask_for_two(queue: HeldQueue) -> None:
    output = _hold(queue, is_checked=False)
    assert queue.approve(output.id, ONE).state is HeldState.APPROVED


@pytest.mark.parametrize("wishes", [(True, False), (False, True)])
def test_the_stricter_wish_counts(queue: HeldQueue, wishes: tuple[bool, bool]) -> None:
    output = _hold(queue)
    for person, wish in zip((ONE, TWO), wishes, strict=True):
        queue.approve(output.id, person, suppress_reviewed=wish)
    assert queue.approval(output.id).suppress_reviewed


@pytest.mark.parametrize("person", [BANK, ANALYST])
@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_who_asked_does_not_decide(queue: HeldQueue, person: str, decision: str) -> None:
    output = _hold(queue)
    with pytest.raises(RefusedError) as caught:
        getattr(queue, decision)(output.id, person)
    assert caught.value.code is ErrorCode.DUTIES_NOT_SEPARATED
    assert queue.find(output.id).state is HeldState.WAITING


def test_nobody_counts_twice(queue: HeldQueue) -> None:
    output = _hold(queue)
    queue.approve(output.id, ONE)
    with pytest.raises(RefusedError) as caught:
        queue.approve(output.id, ONE)
    assert caught.value.code is ErrorCode.DUTIES_NOT_SEPARATED
    assert queue.find(output.id).state is HeldState.HALF_CHECKED


def test_a_checker_has_a_name(queue: HeldQueue) -> None:
    output = _hold(queue)
    with pytest.raises(InvalidRequestError):
        queue.approve(output.id, "Wang")


@pytest.mark.parametrize("approvals", [0, 1, 2])
def test_it_may_be_rejected_until_it_is_released(queue: HeldQueue, tmp_path: Path, approvals: int) -> None:
    output = _hold(queue)
    for person in (ONE, TWO)[:approvals]:
        queue.approve(output.id, person)
    rejected = queue.reject(output.id, "person:zhao")
    assert rejected.state is HeldState.REJECTED
    assert rejected.destroyed_at is not None
    assert list((tmp_path / "held").iterdir()) == []
    with pytest.raises(NotFoundError):
        queue.evidence(output.id)
    with pytest.raises(ConflictError):
        queue.approve(output.id, "person:sun")


def test_release_ends_it_and_destroys_the_evidence(queue: HeldQueue, tmp_path: Path) -> None:
    output = _hold(queue, is_checked=False)
    with pytest.raises(ConflictError):
        queue.released(output.id)
    queue.approve(output.id, ONE)
    released = queue.released(output.id)
    assert released.state is HeldState.RELEASED
    assert released.destroyed_at is not None
    with sqlite3.connect(tmp_path / "node.sqlite") as connection:
        assert connection.execute("select sealed from disclosure_held").fetchall() == [(None,)]
    connection.close()
    assert list((tmp_path / "held").iterdir()) == []
    with pytest.raises(ConflictError):
        queue.approval(output.id)
    with pytest.raises(ConflictError):
        queue.released(output.id)


def test_a_decision_that_is_refused_leaves_no_trace(queue: HeldQueue) -> None:
    output = _hold(queue, is_checked=False)
    queue.approve(output.id, ONE)
    with pytest.raises(ConflictError):
        queue.approve(output.id, TWO)
    queue.reject(output.id, TWO)  # TWO had not been counted


def test_a_question_is_held_once(queue: HeldQueue, tmp_path: Path) -> None:
    _hold(queue)
    with pytest.raises(ConflictError):
        _hold(queue)
    assert len(list((tmp_path / "held").iterdir())) == 1


def test_an_unknown_output_is_not_found(queue: HeldQueue) -> None:
    with pytest.raises(NotFoundError):
        queue.find("output-1")


def test_keys_that_a_crash_left_are_swept(queue: HeldQueue, tmp_path: Path) -> None:
    output = _hold(queue)
    (tmp_path / "held" / "output-stale.key").write_bytes(b"k" * 32)
    assert queue.sweep() == 1
    assert queue.evidence(output.id)


def test_evidence_that_was_changed_is_noticed(queue: HeldQueue, tmp_path: Path) -> None:
    one, two = _hold(queue), _hold(queue, question="question-2")
    with sqlite3.connect(tmp_path / "node.sqlite") as connection:
        connection.execute(
            "update disclosure_held set sealed = (select sealed from disclosure_held where id = ?) where id = ?",
            (one.id, two.id),
        )
    connection.close()
    with pytest.raises(TamperDetectedError):
        queue.evidence(two.id)


def test_the_commitment_opens_to_the_evidence(queue: HeldQueue) -> None:
    output = _hold(queue)
    content = queue._open(output.id)
    opening = Opening(salt=bytes.fromhex(str(content["salt"])), value=canonical_bytes(HELD.evidence))
    verify_opening(output.commitment, opening)
    assert json.loads(opening.value) == HELD.evidence
