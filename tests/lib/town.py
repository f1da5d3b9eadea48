"""The demonstration, left running as a process, and the profiles with which its people go on by hand."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lib.command_line import Done, run
from tests.lib.waiting import wait_until

__all__ = ["BY_STREET", "Town", "processes_of", "running_town"]

ROOT = Path(__file__).resolve().parents[2]
BY_STREET = "select street, count(*) from tax.annual_filings where year = '2025' group by street"


class Town:
    """The running demonstration, and the profiles with which its people go on by hand."""

    def __init__(self, folder: Path, told: list[str]) -> None:
        self.folder = folder
        self.told = told
        """The lines that the demonstration has printed."""

    def run(self, who: str, *words: object) -> Done:
        profile = self.folder / "profiles" / f"{who}.toml"
        return run(*words, env={"YINGBI_LANG": "en", "YINGBI_PROFILE": str(profile)})

    def recorded(self, who: str, *words: object) -> list[str]:
        """Have statements recorded; return their entries' types."""
        filed = self.run(who, *words, "--json").ok().json
        assert filed["draft"] is None, filed
        return [entry["type"] for entry in filed["entries"]]

    def cosigned(self, who: str, by: str, *words: object) -> list[str]:
        """Have somebody begin what a second person has to sign, and the second person sign it."""
        filed = self.run(who, *words, "--json").ok().json
        assert filed["draft"] is not None
        assert filed["missing"]
        return self.recorded(by, "request", "cosign", filed["draft"])

    def asked(self) -> dict[str, object]:
        """Have the bank ask; return where its job ends for now."""
        done = self.run("partner-bank-a", "job", "submit", "--sql", BY_STREET, "--json")
        if done.code:
            return {"state": "refused", "why": done.err}
        state: dict[str, object] = self.run(
            "partner-bank-a", "job", "wait", done.json["job"], "--timeout", "50", "--json"
        ).json
        return state


@contextmanager
def running_town(folder: Path) -> Iterator[Town]:
    """Start the demonstration without its federations in `folder`, wait for its end, and leave with an interrupt."""
    process = subprocess.Popen(
        [sys.executable, "-m", "yingbi", "demo", "--folder", str(folder), "--keep-running", "--no-federations"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300", "YINGBI_LANG": "en"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.decode())
            if line.startswith(b"The hub is at https://127.0.0.1:"):
                break
        else:
            raise AssertionError(lines[-10:])
        yield Town(folder, lines)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            # What does not end would be in the way of all tests that follow.
            process.kill()
    assert (process.returncode, err) == (0, b"")
    wait_until(lambda: not processes_of(folder))


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes that name a folder."""
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in running.splitlines() if str(folder) in line]
