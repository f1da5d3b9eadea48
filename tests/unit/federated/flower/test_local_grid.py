"""The local grid: exactly one outcome a party, whatever happens."""

import threading
import time
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from federated.content import Content
from federated.flower.grid import Arrived, Grid, Loss, Lost
from federated.flower.handler import Task
from federated.flower.local_grid import Fault, LocalGrid
from yingbi.errors import ConflictError, ErrorCode, RefusedError, SandboxError

APP = "sha256:" + "ab" * 32


class Member:
    """A handler that does what it is given, and remembers its tasks."""

    def __init__(self, do: Callable[[Task], Content] | None = None) -> None:
        self._do = do
        self.tasks: list[Task] = []

    def handle(self, task: Task) -> Content:
        self.tasks.append(task)
        if self._do is not None:
            return self._do(task)
        return Content(arrays={"sum": task.content.arrays["w"] * 2}, values={"step": task.content.values["step"]})


def ask(value: float = 1.0) -> Content:
    return Content(arrays={"w": np.full(3, value)}, values={"step": 1})


def refuse(_: Task) -> Content:
    raise RefusedError(ErrorCode.JOB_REFUSED, "the name of this person is Zhang San")


def fail(_: Task) -> Content:
    raise ValueError("the name of this person is Zhang San")


def outcomes(grid: Grid, requests: Mapping[str, Content], deadline_s: float = 10.0) -> dict[str, Arrived | Lost]:
    found = list(grid.exchange(requests, deadline_s=deadline_s))
    assert sorted(item.party for item in found) == sorted(requests), "one outcome a party"
    return {item.party: item for item in found}


@pytest.fixture(params=[True, False], ids=["threads", "in order"])
def is_threaded(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_every_member_is_asked_and_its_reply_comes_back(is_threaded: bool) -> None:
    members = {f"unit:{name}": Member() for name in "abc"}
    grid = LocalGrid(members, app=APP, run=str(2**64 - 1), is_threaded=is_threaded)
    found = outcomes(grid, {party: ask(index) for index, party in enumerate(members)})
    for index, party in enumerate(members):
        arrived = found[party]
        assert isinstance(arrived, Arrived)
        assert arrived.content.arrays["sum"].tolist() == [2.0 * index] * 3
        assert dict(arrived.content.values) == {"step": 1}
        (task,) = members[party].tasks
        assert (task.app, task.run) == (APP, str(2**64 - 1))
    assert len({member.tasks[0].message for member in members.values()}) == 3


def test_only_who_is_asked_takes_part() -> None:
    members = {"a": Member(), "b": Member()}
    outcomes(LocalGrid(members, app=APP), {"a": ask()})
    assert members["b"].tasks == []


@pytest.mark.parametrize(
    ("do", "code"), [(refuse, ErrorCode.JOB_REFUSED), (fail, ErrorCode.INTERNAL)], ids=["refuses", "fails"]
)
def test_of_an_error_the_code_comes_back_and_no_word(
    do: Callable[[Task], Content], code: ErrorCode, is_threaded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    grid = LocalGrid({"a": Member(do), "b": Member()}, app=APP, is_threaded=is_threaded)
    found = outcomes(grid, {"a": ask(), "b": ask()})
    assert found["a"] == Lost(party="a", reason=Loss.REFUSED, code=code)
    assert isinstance(found["b"], Arrived)
    assert "Zhang" not in caplog.text


def test_a_reply_that_cannot_be_sent_is_an_error(is_threaded: bool) -> None:
    member = Member(lambda _: Content(arrays={"scalar": np.array(1.0)}, values={}))
    found = outcomes(LocalGrid({"a": member}, app=APP, is_threaded=is_threaded), {"a": ask()})
    assert found["a"] == Lost(party="a", reason=Loss.REFUSED, code=ErrorCode.MESSAGE_MALFORMED)


def test_a_request_that_cannot_be_sent_is_nobodys_loss() -> None:
    with pytest.raises(SandboxError):
        list(
            LocalGrid({"a": Member()}, app=APP).exchange(
                {"a": Content(arrays={"w": np.array(1.0)}, values={})}, deadline_s=1
            )
        )


def test_a_party_that_nobody_knows_is_lost(is_threaded: bool) -> None:
    found = outcomes(LocalGrid({}, app=APP, is_threaded=is_threaded), {"x": ask()})
    assert found["x"] == Lost(party="x", reason=Loss.UNREACHABLE)


def test_who_is_slow_is_lost_at_the_deadline_and_the_others_are_not_held_up() -> None:
    stop = threading.Event()

    def wait(task: Task) -> Content:
        stop.wait(20)
        return task.content

    grid = LocalGrid({"slow": Member(wait), "quick": Member()}, app=APP)
    began = time.monotonic()
    found = outcomes(grid, {"slow": ask(), "quick": ask()}, deadline_s=0.3)
    assert time.monotonic() - began < 5
    stop.set()
    assert isinstance(found["quick"], Arrived)
    assert found["slow"] == Lost(party="slow", reason=Loss.DEADLINE)


def test_replies_are_yielded_as_they_come() -> None:
    first_was_seen = threading.Event()

    def wait(task: Task) -> Content:
        assert first_was_seen.wait(20)
        return task.content

    grid = LocalGrid({"late": Member(wait), "early": Member()}, app=APP)
    stream = grid.exchange({"late": ask(), "early": ask()}, deadline_s=30)
    assert next(stream).party == "early"
    first_was_seen.set()
    assert isinstance(next(stream), Arrived)


@pytest.mark.parametrize(("fault", "was_handled"), [(Fault.LOSE_REQUEST, False), (Fault.LOSE_REPLY, True)])
def test_what_is_lost_on_the_way_is_lost(fault: Fault, was_handled: bool, is_threaded: bool) -> None:
    member = Member()
    grid = LocalGrid(
        {"a": member}, app=APP, is_threaded=is_threaded, fault=lambda _, exchange: fault if exchange == 0 else None
    )
    assert outcomes(grid, {"a": ask()}, 0.2)["a"] == Lost(party="a", reason=Loss.DEADLINE)
    assert bool(member.tasks) is was_handled
    assert isinstance(outcomes(grid, {"a": ask()})["a"], Arrived)


def test_who_dies_stays_dead_until_it_is_started_again(is_threaded: bool) -> None:
    grid = LocalGrid(
        {"a": Member()}, app=APP, is_threaded=is_threaded, fault=lambda _, number: Fault.KILL if number == 0 else None
    )
    gone = Lost(party="a", reason=Loss.UNREACHABLE)
    assert [outcomes(grid, {"a": ask()})["a"] for _ in range(2)] == [gone, gone]
    grid.revive("a")
    assert isinstance(outcomes(grid, {"a": ask()})["a"], Arrived)


def test_an_exchange_costs_milliseconds() -> None:
    members = {name: Member() for name in "abc"}
    grid = LocalGrid(members, app=APP)
    outcomes(grid, {name: ask() for name in members})
    began = time.monotonic()
    for _ in range(20):
        outcomes(grid, {name: ask() for name in members})
    assert (time.monotonic() - began) / 20 < 0.25


def test_a_conflict_is_a_refusal_like_any_other() -> None:
    def conflict(_: Task) -> Content:
        raise ConflictError(ErrorCode.RUN_CANCELLED, "stopped")

    found = outcomes(LocalGrid({"a": Member(conflict)}, app=APP), {"a": ask()})
    assert found["a"] == Lost(party="a", reason=Loss.REFUSED, code=ErrorCode.RUN_CANCELLED)
