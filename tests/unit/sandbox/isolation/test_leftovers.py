"""What a killed node leaves running is found by its scratch folder, and nothing else is touched."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.isolation import leftovers
from sandbox.isolation.leftovers import end_leftovers
from tests.lib.waiting import wait_until

# Waits for a line, starts a process that bears the same argument and waits, and says its number.
BEGETS = """
import pathlib, subprocess, sys, time
stays, argument = sys.argv[1:]
sys.stdin.readline()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", argument], stdout=subprocess.DEVNULL)
while not pathlib.Path(f"/proc/{child.pid}/cmdline").read_bytes():
    pass
print(child.pid, flush=True)
if stays == "stays":
    time.sleep(600)
"""


def waiting(*arguments: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *arguments])
    # For an instant after its start it has no arguments.
    wait_until(lambda: arguments_of(process.pid))
    return process


@contextmanager
def ended_at_last(*processes: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=20)


def arguments_of(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


def test_processes_of_this_folder_have_ended_and_others_have_not(tmp_path: Path) -> None:
    scratch = tmp_path / "node" / "scratch"
    mine = [waiting("--bind", str(scratch / "yingbi-cage-1"), "/scratch"), waiting(str(scratch / "a" / "b"))]
    others = [waiting(str(tmp_path / "node" / "scratch-of-another" / "x")), waiting(str(scratch)), waiting()]
    with ended_at_last(*mine, *others):
        assert end_leftovers(scratch) == 2
        assert [process.poll() for process in mine] == [-9, -9], "they have ended when it returns"
        assert [process.poll() for process in others] == [None, None, None]
        assert end_leftovers(scratch) == 0


@pytest.mark.parametrize("then", ["stays", "ends"])
def test_a_process_that_is_born_after_the_list_was_made_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """Also where its parent has ended before it could be killed."""
    scratch, children = tmp_path / "scratch", list[int]()
    command = [sys.executable, "-c", BEGETS, then, str(scratch / "yingbi-cage-1")]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: arguments_of(parent.pid))
    really = leftovers._processes_with

    def listed_too_early(mark: bytes) -> list[int]:
        found = list(really(mark))
        if not children:
            assert found == [parent.pid]
            assert parent.stdin is not None
            assert parent.stdout is not None
            parent.stdin.write("go on\n")
            parent.stdin.flush()
            children.append(int(parent.stdout.readline()))
            if then == "ends":
                os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
        return found

    monkeypatch.setattr(leftovers, "_processes_with", listed_too_early)
    with ended_at_last(parent):
        ended = end_leftovers(scratch)
        left = arguments_of(children[0])
        if left:
            os.kill(children[0], signal.SIGKILL)
        assert (ended, left) == (2 if then == "stays" else 1, b"")


def test_a_number_that_has_become_anothers_is_not_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, other = waiting(), waiting()
    gone.kill()
    gone.wait(20)
    monkeypatch.setattr(leftovers, "_processes_with", lambda mark: [gone.pid, other.pid])
    with ended_at_last(other):
        assert end_leftovers(tmp_path) == 0
        assert other.poll() is None


def test_what_cannot_be_ended_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = waiting(str(tmp_path / "x"))
    monkeypatch.setattr("sandbox.isolation.leftovers.signal.pidfd_send_signal", lambda *_: None)
    monkeypatch.setattr(leftovers, "_END_MS", 1)
    with ended_at_last(process):
        assert end_leftovers(tmp_path) == 0
        assert process.poll() is None
