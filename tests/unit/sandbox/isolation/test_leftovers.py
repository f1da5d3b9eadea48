"""What a killed node leaves running is found by its scratch folder, and nothing else is touched."""

import subprocess
import sys
from pathlib import Path

from sandbox.isolation.leftovers import end_leftovers


def waiting(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *arguments])


def test_processes_of_this_folder_are_ended_and_others_are_not(tmp_path: Path) -> None:
    scratch = tmp_path / "node" / "scratch"
    mine = [waiting("--bind", str(scratch / "yingbi-cage-1"), "/scratch"), waiting(str(scratch / "a" / "b"))]
    others = [waiting(str(tmp_path / "node" / "scratch-of-another" / "x")), waiting(str(scratch)), waiting()]
    try:
        assert end_leftovers(scratch) == 2
        assert [process.wait(20) for process in mine] == [-9, -9]
        assert [process.poll() for process in others] == [None, None, None]
        assert end_leftovers(scratch) == 0
    finally:
        for process in (*mine, *others):
            process.kill()
            process.wait(20)
