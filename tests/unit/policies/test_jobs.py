"""The life of a job: the table, what entries must agree with, and any sequence of entries."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from policies.jobs import ENDED, STEPS, TRANSITIONS, JobLife, JobState, draw_job, follow, submitted
from yingbi.clock import format_time
from yingbi.errors import ConflictError, ErrorCode
from yingbi.events import BODY_MODELS, EntryType
from yingbi.events.jobs import JobApproved, JobFailed, JobInterrupted, JobLeased, JobStarted, JobSubmitted
from yingbi.events.outputs import DestroyedThing, OutputDestroyed

DOCS = Path(__file__).resolve().parents[3] / "docs"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def after(minutes: int) -> str:
    return format_time(NOW + timedelta(minutes=minutes))


def make(model: type[Any], **members: Any) -> Any:
    """Return a body of which only the members that a life looks at are there."""
    return model.model_construct(**members)


def approved(until: int = 600) -> tuple[EntryType, BaseModel]:
    return EntryType.JOB_APPROVED, make(JobApproved, expires_at=after(until))


def leased(attempt: int = 1, *, until: int = 10, node: str = "node:tax") -> tuple[EntryType, BaseModel]:
    return EntryType.JOB_LEASED, make(JobLeased, attempt=attempt, node=node, expires_at=after(until))


def started(attempt: int = 1) -> tuple[EntryType, BaseModel]:
    return EntryType.JOB_STARTED, make(JobStarted, attempt=attempt)


def failed(attempt: int = 1, *, retryable: bool = True) -> tuple[EntryType, BaseModel]:
    return EntryType.JOB_FAILED, make(JobFailed, attempt=attempt, retryable=retryable)


def interrupted(attempt: int = 1) -> tuple[EntryType, BaseModel]:
    return EntryType.JOB_INTERRUPTED, make(JobInterrupted, attempt=attempt)


def destroyed(thing: str) -> tuple[EntryType, BaseModel]:
    return EntryType.OUTPUT_DESTROYED, make(OutputDestroyed, thing=DestroyedThing(thing))


def plain(step: EntryType) -> tuple[EntryType, BaseModel]:
    return step, BODY_MODELS[step].model_construct()


HELD, RELEASED, DELIVERED = (
    plain(EntryType.OUTPUT_HELD),
    plain(EntryType.OUTPUT_RELEASED),
    plain(EntryType.OUTPUT_DELIVERED),
)
CHECKED, CANCELLED, REFUSED = (
    plain(EntryType.OUTPUT_CHECKED),
    plain(EntryType.JOB_CANCELLED),
    plain(EntryType.JOB_REFUSED),
)


def lived(*entries: tuple[EntryType, BaseModel], at: int = 0) -> JobLife:
    life = submitted(make(JobSubmitted, expires_at=after(1000)))
    for step, body in entries:
        life = follow(life, step, body, at=after(at))
    return life


def refused(life: JobLife, entry: tuple[EntryType, BaseModel], *, at: int = 0, match: str = "") -> None:
    with pytest.raises(ConflictError, match=match) as raised:
        follow(life, *entry, at=after(at))
    assert raised.value.code is ErrorCode.TRANSITION_REFUSED


# --- the table


def test_the_table_has_an_answer_to_every_entry_in_every_state() -> None:
    assert set(TRANSITIONS) == {(state, step) for state in JobState for step in STEPS}
    moving = {item for item in EntryType if item.noun in ("job", "output")} - {EntryType.JOB_SUBMITTED}
    assert set(STEPS) == moving


def test_every_state_can_be_reached_and_nothing_leads_out_of_an_end() -> None:
    reached = {JobState.SUBMITTED}
    for _ in JobState:
        reached |= {end for (state, _), end in TRANSITIONS.items() if state in reached and end is not None}
    assert reached == set(JobState)
    assert {state for state in JobState if all(TRANSITIONS[state, step] is None for step in STEPS)} == ENDED


def test_nothing_is_released_that_was_not_started() -> None:
    into = {state for (state, _), end in TRANSITIONS.items() if end is JobState.RELEASED}
    assert into == {JobState.STARTED, JobState.HELD}
    assert {state for (state, _), end in TRANSITIONS.items() if end is JobState.STARTED} == {
        JobState.LEASED,
        JobState.STARTED,
    }
    assert {state for (state, _), end in TRANSITIONS.items() if end is JobState.APPROVED} == {JobState.SUBMITTED}


def test_the_diagram_in_the_documentation_is_the_table() -> None:
    assert f"```mermaid\n{draw_job()}\n```" in (DOCS / "spec" / "job.md").read_text("utf-8")


# --- whole lives


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ([approved(), leased(), started(), CHECKED, RELEASED, DELIVERED, DELIVERED], JobState.DELIVERED),
        ([approved(), leased(), started(), HELD, CHECKED, CHECKED, RELEASED], JobState.RELEASED),
        ([approved(), leased(), started(), HELD, CHECKED, destroyed("candidate")], JobState.REJECTED),
        ([approved(), leased(), started(), RELEASED, destroyed("result")], JobState.DESTROYED),
        ([REFUSED], JobState.REFUSED),
        ([approved(), leased(), REFUSED], JobState.REFUSED),
        ([approved(), leased(), started(), failed(), leased(2), started(2), RELEASED], JobState.RELEASED),
        ([approved(), leased(), started(), interrupted(), leased(2), started(2), RELEASED], JobState.RELEASED),
        ([approved(), leased(), started(), interrupted(), destroyed("sealed-state"), CANCELLED], JobState.CANCELLED),
        ([approved(), leased(), started(), CANCELLED], JobState.CANCELLED),
    ],
)
def test_a_life(entries: list[tuple[EntryType, BaseModel]], state: JobState) -> None:
    assert lived(*entries).state is state


def test_a_life_knows_who_has_the_lease() -> None:
    life = lived(approved(), leased(node="node:tax"))
    assert (life.attempt, life.node, life.leased_until) == (1, "node:tax", after(10))


# --- what entries must agree with


def test_an_approval_does_not_outlive_its_job() -> None:
    refused(lived(), approved(1001), match="outlive")
    assert lived(approved(1000)).approved_until == after(1000)


@pytest.mark.parametrize("attempt", [1, 3])
def test_attempts_are_counted(attempt: int) -> None:
    refused(lived(approved(), leased()), leased(attempt, until=30), at=11, match="attempt 2")


def test_a_job_is_leased_to_one_node_at_a_time() -> None:
    life = lived(approved(), leased(until=10))
    refused(life, leased(2, node="node:other", until=30), at=10, match="not over")
    assert follow(life, *leased(2, node="node:other", until=30), at=after(11)).node == "node:other"


@pytest.mark.parametrize("entry", [started(1), failed(1), started(3)])
def test_what_a_node_says_after_its_lease_went_to_another_is_refused(entry: tuple[EntryType, BaseModel]) -> None:
    life = follow(lived(approved(), leased()), *leased(2, until=30), at=after(11))
    refused(life, entry, at=12, match="attempt 2")
    refused(replace(life, state=JobState.STARTED), interrupted(1), at=12, match="attempt 2")


def test_nothing_is_leased_or_started_after_the_approval() -> None:
    refused(lived(approved(5)), leased(), at=6, match="over")
    refused(lived(approved(5), leased()), started(), at=6, match="over")
    assert follow(lived(approved(5), leased()), *started(), at=after(5)).state is JobState.STARTED


def test_a_job_that_failed_for_good_is_not_leased_again() -> None:
    refused(lived(approved(), leased(), started(), failed(retryable=False)), leased(2, until=30), match="for good")


@pytest.mark.parametrize("thing", ["result", "sealed-state", "working-copy"])
def test_a_held_candidate_is_rejected_by_its_own_destruction(thing: str) -> None:
    refused(lived(approved(), leased(), started(), HELD), destroyed(thing), match="candidate")


# --- any sequence of entries

_entries = st.one_of(
    st.builds(approved, st.integers(1, 40)),
    st.builds(leased, st.integers(1, 4), until=st.integers(0, 40), node=st.sampled_from(["node:a", "node:b"])),
    st.builds(started, st.integers(1, 4)),
    st.builds(failed, st.integers(1, 4), retryable=st.booleans()),
    st.builds(interrupted, st.integers(1, 4)),
    st.builds(destroyed, st.sampled_from(["candidate", "result", "sealed-state"])),
    st.sampled_from([HELD, RELEASED, DELIVERED, CHECKED, CANCELLED, REFUSED]),
)


@given(entries=st.lists(st.tuples(_entries, st.integers(0, 3)), max_size=30))
def test_whatever_comes_in_whichever_order(entries: list[tuple[tuple[EntryType, BaseModel], int]]) -> None:
    life, now = lived(), 0
    was_started = was_approved = False
    for (step, body), minutes in entries:
        now += minutes
        before = life
        try:
            life = follow(before, step, body, at=after(now))
        except ConflictError:
            continue
        assert before.state not in ENDED
        was_approved |= step is EntryType.JOB_APPROVED
        was_started |= step is EntryType.JOB_STARTED
        assert life.attempt - before.attempt == (step is EntryType.JOB_LEASED)
        if step in (EntryType.JOB_LEASED, EntryType.JOB_STARTED):
            assert was_approved
            assert life.approved_until is not None
            assert after(now) <= life.approved_until
        if step is EntryType.JOB_LEASED and before.state is JobState.LEASED:
            assert before.leased_until is not None
            assert before.leased_until < after(now)
        assert life.state is not JobState.RELEASED or was_started
