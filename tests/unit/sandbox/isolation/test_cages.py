"""Cages and pools with real workers (the attacks are in tests/attack/test_cage.py)."""

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.isolation import BubblewrapCage, CagePool, CageSpec, Limits, UncagedForDevelopment, require_cage
from sandbox.isolation.bubblewrap import _inner_pid
from sandbox.isolation.cage import CagedWorker
from sandbox.isolation.frames import Frame, FrameKind
from sandbox.isolation.leftovers import _processes_with
from tests.lib.waiting import wait_until
from yingbi.errors import ErrorCode, InvalidRequestError, UnavailableError

ROOT = Path(__file__).resolve().parents[4]
PROBE = CageSpec(entry="sandbox.isolation.probe:attempt")
JOB = Frame(kind=FrameKind.JOB, value=["/nowhere", "/nothing"])


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[CagePool]:
    with CagePool(BubblewrapCage(scratch_root=tmp_path), shelves=2) as made:
        yield made


def scratch_folders(tmp_path: Path) -> int:
    return len(list(tmp_path.glob("yingbi-*")))


def test_a_worker_serves_one_job_and_leaves_nothing(tmp_path: Path) -> None:
    worker = BubblewrapCage(scratch_root=tmp_path).start(PROBE)
    assert [worker.is_alive, scratch_folders(tmp_path)] == [True, 1]
    assert worker.run(JOB).kind is FrameKind.RESULT
    assert [worker.is_alive, scratch_folders(tmp_path)] == [False, 0]
    with pytest.raises(UnavailableError):
        worker.run(JOB)


def test_a_worker_serves_the_jobs_it_was_started_for_and_no_more(tmp_path: Path) -> None:
    worker = BubblewrapCage(scratch_root=tmp_path).start(replace(PROBE, jobs=2))
    for is_left in (True, False):
        assert worker.run(JOB).kind is FrameKind.RESULT
        assert [worker.is_alive, scratch_folders(tmp_path)] == [is_left, int(is_left)]
    with pytest.raises(UnavailableError):
        worker.run(JOB)


def test_a_job_that_fails_ends_its_worker_whatever_was_left(tmp_path: Path) -> None:
    worker = BubblewrapCage(scratch_root=tmp_path).start(replace(PROBE, jobs=9))
    with pytest.raises(UnavailableError):
        worker.run(replace(JOB, value=["of two"]))
    assert [worker.is_alive, scratch_folders(tmp_path)] == [False, 0]


def test_a_pool_puts_back_who_can_go_on_and_replaces_who_cannot(pool: CagePool, tmp_path: Path) -> None:
    spec = replace(PROBE, jobs=2)
    places = []
    for _ in range(4):
        pool.start(spec).run(JOB)
        (place,) = tmp_path.glob("yingbi-*")
        places.append(place)
    # After the second job there is a successor, which serves the third and is put back; after the fourth, another.
    assert [places.index(place) for place in places] == [0, 1, 1, 3]
    held = [pool.start(spec), pool.start(spec)]
    for worker in held:
        worker.run(JOB)
    assert scratch_folders(tmp_path) == 1, "one is kept"


def test_half_a_status_is_no_status_yet() -> None:
    """Bubblewrap writes what it says bit by bit, and a worker may be closed in between."""
    status = os.memfd_create("status")
    with subprocess.Popen(["sleep", "60"]) as process:
        inner = _inner_pid(process, status)
        seen = []
        for part in (b'{ "child-', b'pid": 28', b'473, "cgroup-namespace": 40265'):
            os.write(status, part)
            seen.append(inner())
        seen.append(inner())
        process.kill()
    assert seen == [None, None, 28473, 28473]


def test_what_becomes_bubblewrap_when_its_node_has_died_ends_by_itself(tmp_path: Path) -> None:
    """It bears no scratch folder before, so that nobody would end it."""
    os.mkfifo(tmp_path / "go on")
    code = f"""
import pathlib, time
from sandbox.isolation import bubblewrap
from tests.unit.sandbox.isolation.test_cages import PROBE
launch = bubblewrap.launch
late = ["/bin/sh", "-c", 'read -r _ < "$0"; exec "$@"', {str(tmp_path / "go on")!r}]
bubblewrap.launch = lambda command, **options: launch([*late, *command], **options)
bubblewrap.BubblewrapCage(scratch_root=pathlib.Path({str(tmp_path)!r})).start(PROBE)
print("started", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as node:
        assert node.stdout is not None
        assert node.stdout.readline() == b"started\n"
        node.kill()
    (tmp_path / "go on").write_text("\n")
    wait_until(lambda: list(_processes_with(os.fsencode(tmp_path))) == [])


def test_a_warm_worker_waits_for_each_specification(pool: CagePool, tmp_path: Path) -> None:
    pool.warm(PROBE)
    pool.warm(PROBE)
    assert scratch_folders(tmp_path) == 1
    assert pool.start(PROBE).run(JOB).kind is FrameKind.RESULT
    assert scratch_folders(tmp_path) == 1


def test_the_shelf_used_longest_ago_is_cleared(pool: CagePool, tmp_path: Path) -> None:
    for seconds in (1.0, 2.0, 3.0):
        pool.warm(CageSpec(entry=PROBE.entry, limits=Limits(wall_s=seconds)))
    assert scratch_folders(tmp_path) == 2
    pool.close()
    assert scratch_folders(tmp_path) == 0


def test_a_dead_worker_is_not_handed_out(pool: CagePool) -> None:
    pool.warm(PROBE)
    (waiting,) = pool._ready[PROBE]
    assert isinstance(waiting, CagedWorker)
    waiting._process.kill()
    waiting._process.wait()
    assert pool.start(PROBE).run(JOB).kind is FrameKind.RESULT


def _processes_in(folder: Path) -> list[bytes]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes())
    return [line for line in lines if str(folder).encode() in line]


def test_a_cage_that_is_ended_while_it_is_made_leaves_no_process(tmp_path: Path) -> None:
    for delay in range(10):
        worker = BubblewrapCage(scratch_root=tmp_path).start(PROBE)
        time.sleep(delay / 1000)
        worker.close()
    wait_until(lambda: not _processes_in(tmp_path))


def test_an_uncaged_worker_is_announced_every_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cage = UncagedForDevelopment(scratch_root=tmp_path)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            cage.start(PROBE).close()
    assert caplog.text.count("UNCAGED") == 2


def test_without_a_cage_a_node_does_not_start(tmp_path: Path) -> None:
    false = tmp_path / "bwrap"
    false.write_text("#!/bin/sh\nexit 1\n")
    false.chmod(0o755)
    for cage in (
        BubblewrapCage(program_path=false),
        BubblewrapCage(program_path=tmp_path / "absent"),
        UncagedForDevelopment(),
    ):
        with pytest.raises(UnavailableError) as raised:
            require_cage(cage)
        assert raised.value.code is ErrorCode.CAGE_UNAVAILABLE


def test_an_entry_that_does_not_exist_is_a_failed_engine(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as raised:
        BubblewrapCage(scratch_root=tmp_path).start(CageSpec(entry="sandbox.nothing:serve")).run(JOB)
    assert raised.value.code is ErrorCode.ENGINE_FAILED


@pytest.mark.parametrize("changed", ["memory_bytes", "threads", "wall_s", "result_bytes", "temp_bytes"])
def test_limits_of_nothing_are_refused(changed: str) -> None:
    with pytest.raises(InvalidRequestError):
        Limits(**{changed: 0})
