"""`yingbi node run` as a process of its own over HTTP: killed at chosen places, told to stop, lied to.

What the process computes runs in workers of their own, as at a node; where it dies, and how slow it is, is said by a
line of Python that runs in it first.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from ledger.checkpoint import format_checkpoint
from ledger.note import sign_note
from policies.jobs import JobState
from sandbox.node.agent_home import AgentConfig, load_agent, save_agent
from sandbox.node.journal import JobStep
from tests.lib import command_line
from tests.lib.agents import Scene, prepare_scene
from tests.lib.command_line import Done
from tests.lib.fake_hub import NODE, ORIGIN, FakeHub, serving
from tests.lib.nodes import PARTNER
from tests.lib.realm import BUREAU
from tests.lib.tracing import needs_strace, under_fault
from tests.lib.waiting import wait_until
from yingbi.clock import SystemClock
from yingbi.keys import save_signing_key
from yingbi.receipts import Checkpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_scene(tmp_path_factory.mktemp("scene"), SystemClock())


@pytest.fixture
def scene(published: Path, tmp_path: Path) -> Iterator[Scene]:
    """A hub that serves on a port of this machine, and a node that was told of it by command."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    folder = Path(shutil.copytree(published, tmp_path / "scene"))
    with Scene(folder, clock=SystemClock(), address=address) as scene, serving(scene.hub):
        save_signing_key(scene.hub.key(NODE), folder / "node" / "node-key.pem")
        with scene.home() as home:
            save_agent(home, AgentConfig(hub=address, bureau=BUREAU), scene.hub.trust)
        yield scene


def started(
    scene: Scene, fault: str = "", *, disk: str | None = None, said_by: IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    """Start `yingbi node run`; `fault` runs in the process first, `disk` is what its disk does."""
    code = f"{fault}\nfrom yingbi.cli import main\nmain()\n"
    command = [sys.executable, "-c", code, "node", "run", "--node", str(scene.folder / "node")]
    return subprocess.Popen(
        command if disk is None else under_fault(disk, command),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "YINGBI_LANG": "en", "OPENBLAS_NUM_THREADS": "1"},
        stdout=said_by or subprocess.PIPE,
        stderr=said_by or subprocess.PIPE,
        start_new_session=True,
    )


def said(scene: Scene, *words: str) -> Done:
    """Run another command of the node, in this process."""
    return command_line.run("node", *words, "--node", scene.folder / "node", env={"YINGBI_LANG": "en"})


@contextmanager
def running(scene: Scene, fault: str = "") -> Iterator["subprocess.Popen[bytes]"]:
    """Have an agent at work; it is ended if it still runs."""
    process = started(scene, fault)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def state_of(scene: Scene, job: str) -> JobState:
    found = scene.hub.standing.jobs.get(job)
    assert found is not None
    return found.state


def test_an_agent_works_until_it_is_told_to_stop(scene: Scene) -> None:
    with running(scene) as agent:
        jobs = [scene.ask(), scene.ask("select size, count(*) from lab.firms group by size")]
        wait_until(lambda: scene.hub.uploads == jobs and scene.row(jobs[1]).step is JobStep.DONE, seconds=60)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(30) == 0
    found = said(scene, "status", "--json").ok().json
    assert (found["halted"], [row["step"] for row in found["jobs"]]) == (False, ["done", "done"])
    assert [scene.hub.result(job)["result"]["kind"] for job in jobs] == ["table", "table"]


# Where the process is killed: module, class, method, on which call, and whether before or after it has done its work.
PLACES = {
    "after the start was recorded": ("sandbox.node.hub_client", "HubClient", "record", 1, "after"),
    "after it computed": ("sandbox.engine_duckdb.engine", "DuckdbEngine", "run", 1, "after"),
    "after history remembers": ("sandbox.disclosure.history.history", "History", "record", 1, "after"),
    "after the release was recorded": ("sandbox.node.hub_client", "HubClient", "record", 2, "after"),
    "after the upload": ("sandbox.node.hub_client", "HubClient", "put_result", 1, "after"),
}

FAULT = """
import os, signal
from {module} import {name}
real, calls = {name}.{method}, []
def dying(self, *arguments, **options):
    calls.append(1)
    result = real(self, *arguments, **options) if {is_after} or len(calls) < {number} else None
    if len(calls) >= {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
{name}.{method} = dying
"""


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_agent_goes_on_and_releases_once(scene: Scene, place: str) -> None:
    module, name, method, number, when = PLACES[place]
    fault = FAULT.format(module=module, name=name, method=method, number=number, is_after=when == "after")
    with running(scene, fault) as agent:
        job = scene.ask()
        assert agent.wait(60) == -signal.SIGKILL
    with running(scene):
        wait_until(lambda: scene.hub.uploads and scene.row(job).step is JobStep.DONE, seconds=60)
    expect_once(scene, job)


def expect_once(scene: Scene, job: str) -> None:
    told = scene.hub.told(job)
    once = ("job.started", "budget.reserved", "output.checked", "output.released", "budget.committed")
    assert [told.count(one) for one in once] == [1] * len(once)
    assert scene.charged() == 1
    assert len(set(scene.hub.results.values())) == 1
    assert scene.hub.result(job)["result"]["kind"] == "table"


@pytest.mark.parametrize("first", [1, 10, 40])
@needs_strace[0]
@needs_strace[1]
def test_a_disk_that_is_full_for_a_while_costs_nothing(scene: Scene, first: int, tmp_path: Path) -> None:
    """Every thread's writes fail from its n-th on, four times: the agent goes on by itself, or after a restart."""
    with (tmp_path / "said.txt").open("wb") as said_by:
        agent = started(scene, disk=f"pwrite64:error=ENOSPC:when={first}..{first + 3}", said_by=said_by)
        try:
            job = scene.ask()
            wait_until(lambda: agent.poll() is not None or scene.hub.uploads, seconds=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(agent.pid, signal.SIGKILL)
            agent.wait(60)
    assert b"Traceback" not in (tmp_path / "said.txt").read_bytes()
    with running(scene):
        wait_until(lambda: scene.hub.uploads and scene.row(job).step is JobStep.DONE, seconds=60)
    expect_once(scene, job)


def counted(monkeypatch: pytest.MonkeyPatch, hub: FakeHub, name: str) -> list[object]:
    """Return the arguments with which a method of the hub is called from now on."""
    seen: list[object] = []
    answer = getattr(hub, name)

    def noted(asked: object) -> object:
        seen.append(asked)
        return answer(asked)

    monkeypatch.setattr(hub, name, noted)
    return seen


# A computation that ends only when it is cancelled.
SLOW = """
from sandbox.engine_duckdb.engine import DuckdbEngine
from yingbi.errors import ConflictError, ErrorCode
def waiting(self, admitted, *, limits, on_progress=None, cancel=None):
    cancel.wait(60)
    raise ConflictError(ErrorCode.RUN_CANCELLED, "cancelled")
DuckdbEngine.run = waiting
"""


def test_a_hold_by_command_stops_a_running_computation_and_outlives_restarts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(scene, SLOW):
        job = scene.ask()
        wait_until(lambda: state_of(scene, job) is JobState.STARTED, seconds=60)
        assert [row["kind"] for row in said(scene, "hold", "--json").ok().json] == ["hold"]
        wait_until(lambda: state_of(scene, job) is JobState.INTERRUPTED, seconds=60)
    scene.hub.give(job, attempt=2)
    polls, heads = counted(monkeypatch, scene.hub, "poll"), counted(monkeypatch, scene.hub, "read")
    with running(scene):
        wait_until(lambda: heads.count("checkpoint") >= 3, seconds=60)
        assert polls == [], "it follows the log, and asks for no work"
        assert said(scene, "hold", "--lift", "--json").ok().json == []
        wait_until(lambda: scene.hub.uploads == [job] and scene.row(job).step is JobStep.DONE, seconds=60)
    assert polls


def test_a_freeze_in_the_log_stops_a_running_computation(scene: Scene) -> None:
    with running(scene, SLOW):
        job = scene.ask()
        wait_until(lambda: state_of(scene, job) is JobState.STARTED, seconds=60)
        body = {"target": PARTNER, "reason": "incident", "drill": False, "note": None}
        scene.hub.say("access.frozen", "freeze-1", body, "person:sec")
        wait_until(lambda: state_of(scene, job) is JobState.INTERRUPTED, seconds=60)


def test_a_veto_with_an_officers_key_reaches_the_log(scene: Scene) -> None:
    save_signing_key(scene.hub.key("person:cdo"), scene.folder / "cdo.pem")
    officer = ["--person", "person:cdo", "--key", str(scene.folder / "cdo.pem")]
    said(scene, "withdraw", *officer).ok()
    with running(scene):
        wait_until(lambda: NODE in scene.hub.standing.frozen, seconds=60)


def test_a_fork_ends_the_agent_with_an_exit_code_and_evidence(scene: Scene) -> None:
    with running(scene) as agent:
        job = scene.ask()
        wait_until(lambda: scene.hub.uploads == [job], seconds=60)
        head = scene.hub.log.reader.published().checkpoint
        other = format_checkpoint(Checkpoint(origin=ORIGIN, size=head.size, root=bytes(32)))
        forked = sign_note(other, [scene.hub.signer])
        read = scene.hub.read
        scene.hub.read = lambda path: forked if path == "checkpoint" else read(path)  # type: ignore[method-assign]
        second = scene.ask("select size, count(*) from lab.firms group by size")
        assert agent.wait(60) == 1
    halted = said(scene, "status", "--json")
    found = halted.json
    assert (halted.code, found["halted"], found["reports"][0]["code"]) == (1, True, "log-forked")
    assert said(scene, "status").code == 1
    assert (scene.folder / "node" / found["reports"][0]["evidence"]).is_file()
    assert "job.started" not in scene.hub.told(second)
    scene.hub.read = read  # type: ignore[method-assign]
    with running(scene) as agent:
        assert agent.wait(60) == 1, "until a person has resolved it"
    said(scene, "trust", "--resolve").ok()
    said(scene, "status").ok()


def test_a_node_is_told_by_command_whom_to_believe(scene: Scene) -> None:
    file = scene.folder / "trust.json"
    file.write_bytes(scene.hub.trust)
    hub = ("--hub", "https://hub.example", "--bureau", BUREAU)
    assert said(scene, "trust", str(file), *hub, "--json").ok().json["origin"] == ORIGIN
    said(scene, "trust", "--max-age", "60").ok()
    with scene.home() as home:
        assert (load_agent(home).max_age_s, load_agent(home).hub) == (60, "https://hub.example")
    assert said(scene, "trust", str(file)).code == 64
    file.write_text("{}")
    assert said(scene, "trust", str(file), *hub).code == 78
    with scene.home() as home:
        assert load_agent(home).max_age_s == 60, "nothing was changed"


def test_a_veto_by_command_names_its_target(scene: Scene) -> None:
    job = scene.ask()
    said(scene, "veto", job).ok()
    said(scene, "veto", PARTNER).ok()
    said(scene, "veto", PARTNER, "--lift").ok()
    assert said(scene, "veto", PARTNER, "--lift").code == 66
    assert said(scene, "veto", job, "--person", "person:cdo").code == 64
    assert [row["target"] for row in said(scene, "status", "--json").ok().json["stopped"]] == [job]
