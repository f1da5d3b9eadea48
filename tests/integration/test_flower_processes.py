"""Flower's server and nodes as real processes: what is sent arrives, and every fault ends in a true state.

One set of processes for all tests of this module, in the order in which they stand: the last ones kill parts of it.
"""

import gc
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federated.content import Content
from federated.flower import compat
from federated.flower.calls import TaskCalls, acquire_task
from federated.flower.grid import Arrived, Loss, Lost
from federated.flower.handler import Task
from federated.flower.server_executor import FlowerGrid
from tests.lib.flower_world import ROOT, SMALL_APP, FlowerMember, FlowerWorld, ask
from tests.lib.waiting import wait_until
from yingbi.errors import AuthenticationError, ErrorCode, RefusedError, SandboxError

PARTIES = ("unit:a", "unit:b", "unit:c")
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowerWorld]:
    with FlowerWorld(tmp_path_factory.mktemp("flower"), PARTIES) as opened:
        yield opened


@pytest.fixture
def grid(world: FlowerWorld) -> Iterator[FlowerGrid]:
    for party in PARTIES:
        world.members[party].__init__()  # type: ignore[misc]
    with world.run() as opened:
        yield opened


def outcomes(grid: FlowerGrid, deadline_s: float = DEADLINE_S, requests: Any = None) -> dict[str, Arrived | Lost]:
    found = list(grid.exchange(requests or ask(PARTIES), deadline_s=deadline_s))
    assert sorted(item.party for item in found) == sorted(requests or PARTIES), "one outcome a party"
    return {item.party: item for item in found}


def arrived(found: dict[str, Arrived | Lost]) -> set[str]:
    return {party for party, item in found.items() if isinstance(item, Arrived)}


def test_contents_go_to_every_member_and_replies_come_back(world: FlowerWorld, grid: FlowerGrid) -> None:
    sent = {
        party: Content(
            arrays={
                "w": np.full((2, 3), index / 7),
                "n": np.array([2**63 - 1]),
                "u": np.array([2**64 - 1], dtype="<u8"),
                "big": np.arange(300_000.0),
            },
            values={"step": index, "name": "影壁", "salt": bytes(range(256))},
        )
        for index, party in enumerate(PARTIES)
    }
    for party in PARTIES:
        world.members[party].do = lambda task: task.content
    found = outcomes(grid, requests=sent)
    for party in PARTIES:
        item = found[party]
        assert isinstance(item, Arrived)
        assert dict(item.content.values) == dict(sent[party].values)
        for name, array in sent[party].arrays.items():
            assert item.content.arrays[name].tobytes() == array.tobytes()
            assert item.content.arrays[name].dtype == array.dtype
        (task,) = world.members[party].tasks
        assert (task.app, task.run) == (SMALL_APP.digest, grid.run)
    assert grid.online() == set(PARTIES)


def test_a_second_exchange_of_the_same_run_needs_no_other_task(world: FlowerWorld, grid: FlowerGrid) -> None:
    for step in range(2):
        assert arrived(outcomes(grid)) == set(PARTIES), step
    assert {task.run for member in world.members.values() for task in member.tasks} == {grid.run}


def test_of_a_refusal_the_code_comes_back(world: FlowerWorld, grid: FlowerGrid) -> None:
    def refuse(_: Task) -> Content:
        raise RefusedError(ErrorCode.JOB_REFUSED, "Zhang San has no loan")

    world.members["unit:a"].do = refuse
    found = outcomes(grid)
    assert found["unit:a"] == Lost(party="unit:a", reason=Loss.REFUSED, code=ErrorCode.JOB_REFUSED)
    assert arrived(found) == {"unit:b", "unit:c"}


def test_a_task_of_another_app_than_is_expected_is_refused_unread(world: FlowerWorld, grid: FlowerGrid) -> None:
    world.stop_executor("unit:b")
    world.start_executor("unit:b", app="sha256:" + "0" * 64)
    found = outcomes(grid)
    world.stop_executor("unit:b")
    world.start_executor("unit:b")
    assert found["unit:b"] == Lost(party="unit:b", reason=Loss.REFUSED, code=ErrorCode.JOB_REFUSED)
    assert world.members["unit:b"].tasks == []
    assert arrived(outcomes(grid)) == set(PARTIES)


def test_who_is_late_is_lost_and_its_reply_is_nobodys(world: FlowerWorld, grid: FlowerGrid) -> None:
    go_on = threading.Event()

    def wait(task: Task) -> Content:
        go_on.wait(60)
        return Content(arrays={"late": task.content.arrays["w"]}, values={})

    world.members["unit:c"].do = wait
    try:
        found = outcomes(grid, deadline_s=12)
    finally:
        world.members["unit:c"].__init__()  # type: ignore[misc]
        go_on.set()
    assert found["unit:c"] == Lost(party="unit:c", reason=Loss.DEADLINE)
    assert arrived(found) == {"unit:a", "unit:b"}
    again = outcomes(grid)["unit:c"]
    assert isinstance(again, Arrived)
    assert set(again.content.arrays) == {"w"}


def test_strangers_take_no_task_from_a_node(world: FlowerWorld) -> None:
    with world.supernodes["unit:a"].connect() as client:
        asked = compat.runtime_pb2.AcquireTaskRequest(supported_task_types=["flwr-clientapp"])
        with pytest.raises(AuthenticationError):
            client.call("/v1/runtime/acquire-task", asked, compat.runtime_pb2.AcquireTaskResponse)
        with pytest.raises(AuthenticationError):
            acquire_task(client, world.supernodes["unit:b"].secret, ["flwr-clientapp"])


def test_files_are_their_owners_alone(world: FlowerWorld) -> None:
    kept = [world.link.folder / "state.db"]
    kept += [path for path in world.folder.glob("node-*/flower/*") if path.suffix in (".key", ".secret")]
    kept += [path.parent for path in kept[1:]]
    assert len(kept) == 13
    for path in kept:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_nothing_is_kept_of_a_context(world: FlowerWorld, grid: FlowerGrid) -> None:
    """What an app would leave in Flower's context never reaches the node: the executor sends none."""
    given: list[Any] = []
    start = TaskCalls.start

    def noted(calls: TaskCalls) -> Any:
        given.append(start(calls))
        return given[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaskCalls, "start", noted)
        outcomes(grid)
        outcomes(grid)
    assert len(given) == 6
    assert all(not item.context.state.items for item in given)


# The HTTP library leaves a socket to the garbage collector when a server dies in the middle of a TLS handshake.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_is_killed_and_started_again_delivers_what_it_had(world: FlowerWorld, grid: FlowerGrid) -> None:
    """One member still works when the server dies; what is on its way at that moment would be lost."""
    others_came, go_on = threading.Event(), threading.Event()

    def wait(task: Task) -> Content:
        go_on.wait(60)
        return task.content

    world.members["unit:a"].do = wait

    def interrupt() -> None:
        assert others_came.wait(30)
        world.link.kill()
        world.link.start()
        go_on.set()

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    found: dict[str, Arrived | Lost] = {}
    for outcome in grid.exchange(ask(PARTIES), deadline_s=DEADLINE_S):
        found[outcome.party] = outcome
        if arrived(found) == set(PARTIES) - {"unit:a"}:
            others_came.set()
    thread.join()
    assert arrived(found) == set(PARTIES)
    assert arrived(outcomes(grid)) == set(PARTIES)
    gc.collect()


def test_an_executor_that_dies_with_a_task_is_lost_and_a_new_start_of_its_node_works(world: FlowerWorld) -> None:
    party = "unit:b"
    world.stop_executor(party)
    with world.run() as grid:

        def take_and_die() -> None:
            with world.supernodes[party].connect() as client:
                wait_until(lambda: acquire_task(client, world.supernodes[party].secret, ["flwr-clientapp"]))

        thread = threading.Thread(target=take_and_die, daemon=True)
        thread.start()
        found = outcomes(grid, deadline_s=12)
        thread.join()
        assert found[party] == Lost(party=party, reason=Loss.DEADLINE)
        before = world.supernodes[party].pid
        world.supernodes[party].restart()
        wait_until(lambda: world.supernodes[party].pid not in (None, before))
        world.start_executor(party)
        wait_until(lambda: party in grid.online(), seconds=60)
        assert arrived(outcomes(grid)) == set(PARTIES)


def test_a_node_that_is_killed_is_lost_by_the_deadline_and_comes_back(world: FlowerWorld) -> None:
    party = "unit:c"
    is_working = threading.Event()

    def die(task: Task) -> Content:
        pid = world.supernodes[party].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        is_working.set()
        return task.content

    with world.run() as grid:
        world.members[party].do = die
        found = outcomes(grid, deadline_s=12)
        assert is_working.is_set()
        assert isinstance(found[party], Lost)
        assert arrived(found) == set(PARTIES) - {party}
        world.members[party] = FlowerMember()
        world.stop_executor(party)
        wait_until(lambda: world.supernodes[party].pid, seconds=30)
        world.start_executor(party)
        _wait_until_it_answers(world, party)
        assert arrived(outcomes(grid)) == set(PARTIES)


def _wait_until_it_answers(world: FlowerWorld, party: str) -> None:
    """A killed node counts as connected still: what shows that it is back is that its own interface answers."""

    def answers() -> bool:
        try:
            with world.supernodes[party].connect() as client:
                acquire_task(client, world.supernodes[party].secret, ["flwr-model"])
        except SandboxError:
            return False
        return world.online() == set(PARTIES)

    wait_until(answers, seconds=60)


ORPHAN = """
import signal, sys
from pathlib import Path
from federated.flower.supernode import SuperNode, SuperNodeConfig, make_node_key
from tests.lib.waiting import wait_until
from yingbi.keys import SigningKey
folder = Path(sys.argv[1])
make_node_key(folder / "node.key")
key = SigningKey.from_seed(bytes(32)).public
config = SuperNodeConfig(superlink="127.0.0.1:9", authority=Path(sys.argv[2]), key=folder / "node.key",
                         app_keys=(key,), home=folder / "flower")
node = SuperNode(config)
node.start()
wait_until(lambda: node.pid is not None)
print(node.pid, flush=True)
signal.pause()
"""


def test_a_node_ends_with_the_agent_that_started_it(world: FlowerWorld, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ORPHAN, str(tmp_path), str(world.ca.certificate)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        agent.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), seconds=30)


def _is_zombie(pid: int) -> bool:
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_the_server_ends_when_it_is_let_go(world: FlowerWorld) -> None:
    began = time.monotonic()
    assert world.link.let_go() == 0
    assert time.monotonic() - began < 20
