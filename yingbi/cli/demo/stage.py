"""Where the demonstration plays: a folder, certificates for loopback, and processes of their own for every party."""

import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Self

from yingbi.cli.local_ca import LocalCa
from yingbi.errors import ErrorCode, SandboxError, UnavailableError

__all__ = ["Stage"]

_LANGUAGE: Final = "YINGBI_LANG"
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 20.0
_COMMAND_TIMEOUT_S: Final = 120.0


class Stage:
    """The folder and everything that runs for it; all processes end with the `with` block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tls = folder / "tls"
        self.keys = folder / "keys"
        for made in (self.tls, self.keys, folder / "processes"):
            made.mkdir(mode=0o700, parents=True)
        self._authority = LocalCa(self.tls)
        self._processes: dict[str, subprocess.Popen[str]] = {}

    @property
    def ca(self) -> Path:
        """Return the certificate that all parties trust for TLS."""
        return self._authority.certificate

    def certificate(self, name: str) -> list[str]:
        """Return the options with which a server called `name` speaks TLS."""
        certificate, key = self._authority.issue(name)
        return ["--tls-cert", str(certificate), "--tls-key", str(key)]

    def command(self, *arguments: object) -> str:
        """Run one `yingbi` command to its end; return what it printed.

        Raises:
            SandboxError: it failed; its words are in the message.
        """
        done = subprocess.run(  # noqa: S603 - our own interpreter and arguments
            _yingbi(*arguments),
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            env=_environment(),
            cwd=self.folder,
            check=False,
        )
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
            message = f"`yingbi {arguments[0]} {arguments[1]}` failed: {words[0][:300]}"
            raise SandboxError(ErrorCode.INTERNAL, message)
        return done.stdout

    def start(self, name: str, *arguments: object) -> str:
        """Start a `yingbi` service; return the first line that it prints, when it does.

        Raises:
            UnavailableError: it printed nothing in time, or ended.
        """
        with self._errors(name) as errors:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                _yingbi(*arguments),
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(),
                text=True,
                cwd=self.folder,
            )
        self._processes[name] = process
        is_ready = process.stdout is not None and select.select([process.stdout], [], [], _START_TIMEOUT_S)[0]
        line = process.stdout.readline().strip() if process.stdout is not None and is_ready else ""
        if not line:
            raise UnavailableError(
                ErrorCode.NODE_UNAVAILABLE, f"process `{name}` did not start", hint=f"see processes/{name}.log"
            )
        return line

    def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(_STOP_TIMEOUT_S)

    def stop(self) -> None:
        """End all processes, the last one that was started first."""
        for process in reversed(self._processes.values()):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_TIMEOUT_S)
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._processes.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _errors(self, name: str) -> IO[str]:
        return (self.folder / "processes" / f"{name}.log").open("a", encoding="utf-8")


def _yingbi(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "yingbi", *map(str, arguments)]


def _environment() -> dict[str, str]:
    # A log, a node or a database that the user works with must not become the demonstration's.
    return {name: value for name, value in os.environ.items() if not name.startswith("YINGBI_") or name == _LANGUAGE}
