"""The life of a federation: the table, what rounds must agree with, and any sequence of entries."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from policies.federations import (
    ENDED,
    MAX_ATTEMPTS,
    STEPS,
    TRANSITIONS,
    FederationLife,
    FederationState,
    begin,
    draw_federation,
    follow,
)
from yingbi.clock import format_time
from yingbi.errors import ConflictError, ErrorCode
from yingbi.events import BODY_MODELS, EntryType

DOCS = Path(__file__).resolve().parents[3] / "docs"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
Entry = tuple[EntryType, BaseModel]


def after(minutes: int) -> str:
    return format_time(NOW + timedelta(minutes=minutes))


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def entry(verb: str, **members: Any) -> Entry:
    kind = EntryType(f"federation.{verb}")
    return kind, BODY_MODELS[kind].model_validate(members)


def node(name: str) -> str:
    return f"node:{name}"


def started(names: str = "abcd", **changes: Any) -> Entry:
    members = [{"node": node(name), "job": f"job-{name}", "attempt": 1} for name in names]
    body = {"recipe": "trees", "app": digest(1), "terms": digest(2), "members": members, "quorum": len(names)}
    return entry("started", **{**body, "rounds": 3, "epsilon": None, **changes})


def opened(number: int = 1, attempt: int = 1, names: str = "abcd", *, state: int = 0, until: int = 10) -> Entry:
    body = {"round": number, "attempt": attempt, "participants": [node(name) for name in names]}
    return entry("round_started", **body, round_input=digest(state), expires_at=after(until))


def given_by(name: str, number: int = 1, attempt: int = 1, *, state: int = 0, rho: str | None = None) -> Entry:
    body = {"job": f"job-{name}", "round": number, "attempt": attempt, "contribution": digest(ord(name))}
    return entry("contributed", **body, round_input=digest(state), rho=rho)


def closed(number: int = 1, attempt: int = 1, names: str = "abcd", *, state: int | None = 1) -> Entry:
    parts = [{"party": node(name), "digest": digest(ord(name))} for name in names]
    left = {"aggregate": None, "state": None} if state is None else {"aggregate": digest(77), "state": digest(state)}
    return entry("round_completed", round=number, attempt=attempt, contributions=parts, **left)


def interrupted(rounds: int = 0) -> Entry:
    return entry("interrupted", reason="member-lost", rounds=rounds)


def aborted(rounds: int = 0) -> Entry:
    return entry("aborted", reason="request", rounds=rounds, note=None)


def completed(rounds: int = 1, names: str = "abcd", *, state: int = 1, rho: str | None = None) -> Entry:
    body = {"rounds": rounds, "participants": [node(name) for name in names], "result": digest(state), "rho": rho}
    return entry("completed", **body)


def lived(first: Entry, *entries: Entry, at: int = 0) -> FederationLife:
    life = begin(first[1])  # type: ignore[arg-type]
    for step, body in entries:
        life = follow(life, step, body, at=after(at))
    return life


def refused(life: FederationLife, one: Entry, *, at: int = 0, match: str) -> None:
    with pytest.raises(ConflictError, match=match) as raised:
        follow(life, *one, at=after(at))
    assert raised.value.code is ErrorCode.TRANSITION_REFUSED


ALL = tuple(given_by(name) for name in "abcd")
FIRST = (opened(), *ALL, closed())
PRIVATE: dict[str, Any] = {"epsilon": "1", "quorum": 3}


# --- the table


def test_the_table_has_an_answer_to_every_entry_in_every_state() -> None:
    assert set(TRANSITIONS) == {(state, step) for state in FederationState for step in STEPS}
    assert set(STEPS) == {item for item in EntryType if item.noun == "federation"} - {EntryType.FEDERATION_JOINED}


def test_every_state_can_be_reached_and_nothing_leads_out_of_an_end() -> None:
    reached = {FederationState.RUNNING}
    for _ in FederationState:
        reached |= {end for (state, _), end in TRANSITIONS.items() if state in reached and end is not None}
    assert reached == set(FederationState)
    assert {state for state in FederationState if all(TRANSITIONS[state, step] is None for step in STEPS)} == ENDED


def test_the_diagram_in_the_documentation_is_the_table() -> None:
    assert f"```mermaid\n{draw_federation()}\n```" in (DOCS / "spec" / "federation.md").read_text("utf-8")


# --- whole lives


@pytest.mark.parametrize(
    ("entries", "state", "rounds"),
    [
        ([], FederationState.RUNNING, 0),
        ([*FIRST, completed()], FederationState.COMPLETED, 1),
        ([*FIRST, opened(2, state=1)], FederationState.RUNNING, 1),
        ([opened(), interrupted()], FederationState.INTERRUPTED, 0),
        ([opened(), interrupted(), started(), opened(attempt=2)], FederationState.RUNNING, 0),
        ([opened(), given_by("a"), closed(names="a", state=None), opened(attempt=2)], FederationState.RUNNING, 0),
        ([*FIRST, interrupted(1), aborted(1)], FederationState.ABORTED, 1),
        ([opened(), aborted()], FederationState.ABORTED, 0),
    ],
)
def test_a_life(entries: list[Entry], state: FederationState, rounds: int) -> None:
    life = lived(started(), *entries)
    assert (life.state, len(life.completed)) == (state, rounds)


def test_a_round_leaves_its_digests_and_the_next_input() -> None:
    life = lived(started(), *FIRST)
    (done,) = life.completed
    assert (done.number, done.attempt, done.aggregate, done.state) == (1, 1, digest(77), digest(1))
    assert done.participants == tuple(node(name) for name in "abcd")
    assert life.result == digest(1)
    assert life.contributions == {node(name): digest(ord(name)) for name in "abcd"}


def test_of_older_rounds_the_contributions_are_not_kept() -> None:
    second = (opened(2, state=1), *(given_by(name, 2, state=1) for name in "abcd"), closed(2, state=2))
    life = lived(started(), *FIRST, *second)
    assert len(life.completed) == 2
    assert len(life.contributions) == 4


@pytest.mark.parametrize(
    ("names", "changes"),
    [
        ("ab", {}),
        ("ab", {"quorum": 3}),
        ("abcd", {"quorum": 3}),
        ("abcd", {"quorum": 5}),
        ("abcd", {"quorum": 5, "epsilon": "1"}),
        ("abcd", {"quorum": 2, "epsilon": "1"}),
    ],
)
def test_a_quorum_is_of_three_to_all_and_in_exact_mode_of_all(names: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConflictError, match="quorum"):
        lived(started(names, **changes))


def test_in_private_mode_three_of_four_are_a_quorum() -> None:
    assert not lived(started(**PRIVATE)).is_exact


# --- going on


@pytest.mark.parametrize(
    "changes",
    [
        {"names": "abce"},
        {"names": "abcde"},
        {"recipe": "forest"},
        {"app": digest(9)},
        {"terms": digest(9)},
        {"rounds": 4},
        {"epsilon": "2", "quorum": 3},
        {"epsilon": "1", "quorum": 4},
    ],
)
def test_a_federation_goes_on_as_it_began(changes: dict[str, Any]) -> None:
    life = lived(started(**PRIVATE), interrupted())
    refused(life, started(**{**PRIVATE, **changes}), match="as it began")
    assert follow(life, *started(**PRIVATE), at=after(0)).state is FederationState.RUNNING


def test_a_federation_goes_on_with_other_attempts_of_the_same_jobs() -> None:
    members = [{"node": node(name), "job": f"job-{name}", "attempt": 2} for name in "abcd"]
    life = lived(started(), interrupted(), started(members=members))
    assert [item.attempt for item in life.started.members] == [2] * 4
    others = [{**item, "job": f"{item['job']}-other"} for item in members]
    refused(lived(started(), interrupted()), started(members=others), match="as it began")


def test_a_federation_that_runs_is_not_started_again() -> None:
    refused(lived(started()), started(), match="running")


# --- attempts


@pytest.mark.parametrize(
    ("one", "match"),
    [
        (opened(2), "round after"),
        (opened(attempt=2), "next attempt"),
        (opened(names="abc"), "quorum of those"),
        (opened(names="abce"), "quorum of those"),
        (opened(names="abcde"), "quorum of those"),
        (opened(until=0), "before it begins"),
    ],
)
def test_a_first_attempt_is_not(one: Entry, match: str) -> None:
    refused(lived(started()), one, match=match)


def test_one_attempt_is_open_at_a_time() -> None:
    refused(lived(started(), opened()), opened(attempt=2), match="open already")


@pytest.mark.parametrize(
    ("one", "match"),
    [
        (opened(1, state=1), "round after"),
        (opened(3, state=1), "round after"),
        (opened(2, 2, state=1), "next attempt"),
        (opened(2, state=0), "last round left"),
        (opened(2, state=77), "last round left"),
    ],
)
def test_a_second_round_is_not(one: Entry, match: str) -> None:
    refused(lived(started(), *FIRST), one, match=match)
    assert lived(started(), *FIRST, opened(2, state=1)).open is not None


def test_there_are_no_more_rounds_than_were_said() -> None:
    refused(lived(started(rounds=1), *FIRST), opened(2, state=1), match="no more rounds")


def test_a_round_is_tried_eight_times_interruptions_included() -> None:
    life = lived(started())
    for attempt in range(1, MAX_ATTEMPTS + 1):
        life = follow(life, *opened(attempt=attempt), at=after(0))
        if attempt % 2:
            life = follow(life, *closed(attempt=attempt, names="", state=None), at=after(0))
        else:
            life = follow(follow(life, *interrupted(), at=after(0)), *started(), at=after(0))
    refused(life, opened(attempt=MAX_ATTEMPTS + 1), match="at most")
    refused(life, opened(attempt=1), match="next attempt")


def test_attempts_of_the_next_round_are_counted_anew() -> None:
    second = (opened(attempt=2), *(given_by(name, attempt=2) for name in "abcd"), closed(attempt=2))
    life = lived(started(), opened(), closed(names="", state=None), *second)
    refused(life, opened(2, 3, state=1), match="next attempt")
    assert follow(life, *opened(2, 1, state=1), at=after(0)).attempts == 1


def test_in_private_mode_who_was_left_out_does_not_come_back() -> None:
    life = lived(started(**PRIVATE), opened(names="abc"), closed(names="", state=None))
    refused(life, opened(attempt=2, names="abcd"), match="quorum of those")
    refused(life, opened(attempt=2, names="abd"), match="quorum of those")
    refused(life, opened(attempt=2, names="ab"), match="quorum of those")
    again = lived(started(**PRIVATE), opened(names="abc"), interrupted(), started(**PRIVATE))
    refused(again, opened(attempt=2, names="abcd"), match="quorum of those")
    done = (*(given_by(name, rho="0.1") for name in "abc"), closed(names="abc"))
    refused(
        lived(started(**PRIVATE), opened(names="abc"), *done), opened(2, names="abcd", state=1), match="quorum of those"
    )


# --- contributions


@pytest.mark.parametrize(
    ("one", "match"),
    [
        (given_by("a", 2), "attempt that is open"),
        (given_by("a", attempt=2), "attempt that is open"),
        (given_by("e"), "takes part"),
        (given_by("b"), "already"),
        (given_by("a", state=1), "on the state"),
        (given_by("a", rho="0.1"), "exact mode"),
    ],
)
def test_a_contribution_is_not(one: Entry, match: str) -> None:
    refused(lived(started(), opened(), given_by("b")), one, match=match)


def test_a_contribution_is_in_time() -> None:
    life = lived(started(), opened(until=10))
    refused(life, given_by("a"), at=11, match="over")
    assert follow(life, *given_by("a"), at=after(10)).open is not None


def test_a_contribution_of_one_who_was_left_out_is_none() -> None:
    life = lived(started(**PRIVATE), opened(names="abc"))
    refused(life, given_by("d", rho="0.1"), match="takes part")
    refused(life, given_by("a"), match="private mode")


def test_nobody_contributes_to_an_attempt_after_the_next_was_opened() -> None:
    life = lived(started(), opened(), given_by("a"), closed(names="a", state=None))
    refused(life, given_by("b"), match="attempt that is open")
    life = follow(life, *opened(attempt=2), at=after(0))
    refused(life, given_by("b"), match="attempt that is open")
    assert life.open is not None
    assert life.open.contributions == {}


def test_nobody_contributes_to_what_an_interruption_gave_up() -> None:
    life = lived(started(), opened(), interrupted())
    refused(life, given_by("a"), match="interrupted")
    refused(follow(life, *started(), at=after(0)), given_by("a"), match="attempt that is open")


# --- the end of a round


@pytest.mark.parametrize(
    ("one", "match"),
    [
        (closed(names="abc"), "everybody"),
        (closed(names="abc", attempt=2), "attempt that is open"),
        (closed(2, names="abc"), "attempt that is open"),
        (closed(names="abcd"), "no others"),
        (closed(names="ab", state=None), "no others"),
        (closed(names="", state=None), "no others"),
        (
            entry(
                "round_completed",
                round=1,
                attempt=1,
                contributions=[{"party": node(name), "digest": digest(5)} for name in "abc"],
                aggregate=None,
                state=None,
            ),
            "no others",
        ),
    ],
)
def test_three_of_four_contributions_do_not_end_a_round_so(one: Entry, match: str) -> None:
    refused(lived(started(), opened(), *ALL[:3]), one, match=match)


def test_a_round_ends_once() -> None:
    refused(lived(started(), *FIRST), closed(), match="attempt that is open")


def test_who_gives_up_says_what_came() -> None:
    life = lived(started(), opened(), *ALL[:3], closed(names="abc", state=None))
    assert (life.open, life.completed, life.attempts) == (None, (), 1)


# --- ends


@pytest.mark.parametrize(
    ("entries", "one", "match"),
    [
        ([], completed(), "expected a completed round"),
        ([*FIRST, opened(2, state=1)], completed(), "no attempt"),
        (FIRST, completed(2), "1 completed rounds"),
        (FIRST, completed(state=0), "last round left"),
        (FIRST, completed(names="abc"), "who took part"),
        (FIRST, completed(rho="0.1"), "exact mode"),
        ([*FIRST, interrupted(1)], completed(), "interrupted"),
        (FIRST, interrupted(0), "1 completed rounds"),
        (FIRST, aborted(2), "1 completed rounds"),
    ],
)
def test_a_federation_does_not_end_so(entries: list[Entry], one: Entry, match: str) -> None:
    refused(lived(started(), *entries), one, match=match)


@pytest.mark.parametrize("end", [completed(), aborted(1)], ids=["completed", "aborted"])
@pytest.mark.parametrize("one", [started(), opened(2, state=1), *FIRST, interrupted(1), aborted(1), completed()])
def test_nothing_comes_after_the_end(end: Entry, one: Entry) -> None:
    refused(lived(started(), *FIRST, end), one, match="cannot take")


# --- any sequence of entries

_names = st.sampled_from(["abcd", "abc", "bcd", "abd"])
_numbers, _states, _rho = st.integers(1, 3), st.integers(0, 2), st.sampled_from([None, "0.1"])
_entries = st.one_of(
    st.just(started()),
    st.just(started(**PRIVATE)),
    st.builds(opened, _numbers, _numbers, _names, state=_states, until=st.integers(1, 30)),
    st.builds(given_by, st.sampled_from("abcde"), _numbers, _numbers, state=_states, rho=_rho),
    st.builds(closed, _numbers, _numbers, st.sampled_from(["", "a", "abc", "abcd"]), state=st.none() | _states),
    st.builds(interrupted, st.integers(0, 2)),
    st.builds(aborted, st.integers(0, 2)),
    st.builds(completed, _numbers, _names, state=_states, rho=_rho),
)


@given(first=st.sampled_from([started(), started(**PRIVATE)]), entries=st.lists(_entries, max_size=40))
def test_whatever_comes_in_whichever_order(first: Entry, entries: list[Entry]) -> None:
    life = lived(first)
    for minutes, (step, body) in enumerate(entries):
        before = life
        try:
            life = follow(before, step, body, at=after(minutes))
        except ConflictError:
            continue
        assert before.state not in ENDED
        assert set(life.present) <= set(before.present)
        assert not life.is_exact or len(life.present) == 4
        assert life.completed[: len(before.completed)] == before.completed
        if life.open is not None and life.open is not before.open and step is EntryType.FEDERATION_ROUND_STARTED:
            assert before.open is None
        if len(life.completed) > len(before.completed):
            assert before.open is not None
            assert set(before.open.contributions) == set(before.open.participants) == set(life.present)
