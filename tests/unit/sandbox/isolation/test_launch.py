"""Starting processes: nobody's process is left behind."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sandbox.isolation import launch as launching
from tests.lib.waiting import wait_until

ROOT = Path(__file__).resolve().parents[4]


def test_an_interrupt_while_a_process_is_being_started_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    is_interrupted = threading.Event()
    really = launching._popen

    def interrupt(*_: object) -> None:
        if not is_interrupted.is_set():
            is_interrupted.set()
            raise KeyboardInterrupt

    def slowly(*arguments: object) -> subprocess.Popen[bytes]:
        # One signal can come just before the wait begins, and is then seen only when the wait ends.
        while not is_interrupted.wait(0.01):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        started.append(really(*arguments))  # type: ignore[arg-type]
        return started[0]

    before = signal.signal(signal.SIGINT, interrupt)
    monkeypatch.setattr(launching, "_popen", slowly)
    with pytest.raises(KeyboardInterrupt):
        launching.launch([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=(), environment={})
    monkeypatch.undo()
    signal.signal(signal.SIGINT, before)
    # The launcher serves one after the other: when this has started, the first has.
    with launching.launch([sys.executable, "-c", ""], pass_fds=(), environment={}) as second:
        assert second.wait(20) == 0
    assert started[0].wait(20) == -signal.SIGKILL


def test_what_still_runs_when_the_process_ends_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """Also a child that nothing binds to anybody: what bubblewrap's is for an instant."""
    child = tmp_path / "child"
    code = f"""
import pathlib, time
from sandbox.isolation.launch import launch
launch(["/bin/sh", "-c", "sleep 600 & echo $! > {child}; wait"], pass_fds=(), environment={{"PATH": "/usr/bin:/bin"}})
while not (pathlib.Path({str(child)!r}).exists() and pathlib.Path({str(child)!r}).read_text()):
    time.sleep(0.01)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    wait_until(lambda: not Path(f"/proc/{child.read_text().strip()}/cmdline").exists())


def test_a_start_that_fails_in_any_way_is_told_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> subprocess.Popen[bytes]:
        raise AssertionError("something unforeseen")

    monkeypatch.setattr(launching, "_popen", failing)
    with pytest.raises(AssertionError, match="unforeseen"):
        launching.launch([sys.executable], pass_fds=(), environment={})
    monkeypatch.undo()
    with launching.launch([sys.executable, "-c", ""], pass_fds=(), environment={}) as process:
        assert process.wait(20) == 0
