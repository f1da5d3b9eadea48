"""The command line as a user meets it: `run` in this process (fast), `start` and `spawn` as processes of their own."""

import io
import json
import os
import select
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # this version of typer imports what click is going to remove
    from yingbi.cli import main

__all__ = ["Done", "run", "serving", "spawn"]

_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 60
_OWN = ("YINGBI_LANG", "YINGBI_LOG", "YINGBI_WITNESS", "YINGBI_LOG_DATABASE", "YINGBI_LOG_LEVEL")


@dataclass(frozen=True)
class Done:
    """What a command left behind. No command may ever show a traceback."""

    code: int
    data: bytes
    err: str

    def __post_init__(self) -> None:
        assert "Traceback" not in self.err + self.out, self.err
        assert self.code in (0, 1, 2, 3, 64, 65, 66, 69, 70, 73, 74, 77, 78, 130), self.code

    @property
    def out(self) -> str:
        return self.data.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def error(self) -> dict[str, Any]:
        """The one JSON object on standard error."""
        value = json.loads(self.err)
        assert isinstance(value, dict)
        assert set(value) == {"code", "title", "message", "hint"}
        return value

    def ok(self) -> "Done":
        """Return this, which must be a success."""
        assert self.code == 0, self.err
        assert self.err == "", self.err
        return self


def run(*arguments: object, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Done:
    """Run a command in this process, through the same `main` as a process does."""
    streams = [io.TextIOWrapper(io.BytesIO(data), encoding="utf-8") for data in (stdin, b"", b"")]
    with pytest.MonkeyPatch.context() as patch:
        for name in _OWN:
            patch.delenv(name, raising=False)
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["yingbi", *map(str, arguments)])
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        with pytest.raises(SystemExit) as ended:
            main()
    output = []
    for stream in streams[1:]:
        stream.flush()
        output.append(stream.buffer.getvalue())
    assert isinstance(ended.value.code, int)
    return Done(code=ended.value.code, data=output[0], err=output[1].decode("utf-8", "replace"))


def spawn(
    *arguments: object, stdin: bytes = b"", env: Mapping[str, str] | None = None, cwd: Path = _ROOT, **options: Any
) -> Done:
    """Run `python -m yingbi`."""
    done = subprocess.run(
        [sys.executable, "-m", "yingbi", *map(str, arguments)],
        input=stdin,
        cwd=cwd,
        env=_environment(env),
        timeout=_TIMEOUT_S,
        check=False,
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
    )
    return Done(code=done.returncode, data=done.stdout or b"", err=(done.stderr or b"").decode("utf-8", "replace"))


@contextmanager
def serving(*arguments: object, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a service; yield the first line that it writes. It must end well, and soon, when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-m", "yingbi", *map(str, arguments)],
        cwd=_ROOT,
        env=_environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], _TIMEOUT_S)
        yield process.stdout.readline().strip() if ready else ""
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=8)  # a client's idle connections must not hold it up
        assert (process.returncode, out, err) == (0, "", "")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    # Unbuffered output would fail early, where a user's fails at the end.
    usual = {name: value for name, value in os.environ.items() if name not in (*_OWN, "PYTHONUNBUFFERED")}
    return {**usual, "PYTHONPATH": str(_ROOT), **(env or {})}
