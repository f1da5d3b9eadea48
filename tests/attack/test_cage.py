"""Attempts to get out of a cage, or to use more than a job may, each real; controls show that it works outside."""

import logging
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from errno import ENOSYS, EPERM
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox.isolation import BubblewrapCage, Cage, CageSpec, Limits, UncagedForDevelopment, check_cage
from sandbox.isolation.frames import Frame, FrameKind
from sandbox.isolation.limits import MEBIBYTE
from tests.lib.waiting import wait_until
from yingbi.errors import ConflictError, ErrorCode, RefusedError, SandboxError, UnavailableError

HERE = Path(__file__).parent
CANARY = "Canary-7f3a-Zhang"
LIMITS = Limits(memory_bytes=512 * MEBIBYTE, threads=1, wall_s=20.0, result_bytes=MEBIBYTE, temp_bytes=32 * MEBIBYTE)


def small(**changes: Any) -> Limits:
    fields = {name: getattr(LIMITS, name) for name in Limits.__slots__}
    return Limits(**{**fields, **changes})


def attempt(cage: Cage, *job: Any, data: tuple[Path, ...] = (), limits: Limits = LIMITS, cancel: Any = None) -> Any:
    spec = CageSpec(entry="caged_attacks:attack", data=data, limits=limits, code=(HERE / "caged",))
    worker = cage.start(spec)
    return worker.run(Frame(kind=FrameKind.JOB, value=list(job)), cancel=cancel).value


@pytest.fixture
def caged(tmp_path: Path) -> Cage:
    return BubblewrapCage(scratch_root=tmp_path)


@pytest.fixture
def uncaged(tmp_path: Path) -> Cage:
    return UncagedForDevelopment(scratch_root=tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "node" / "data" / "tax" / "filings" / "1"
    folder.mkdir(parents=True)
    with duckdb.connect(str(folder / "data.duckdb")) as connection:
        connection.execute("CREATE TABLE rows AS SELECT 1 AS _unit, ? AS name", [CANARY])
    return folder


@pytest.fixture
def listener() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def test_no_network(caged: Cage, uncaged: Cage, listener: tuple[str, int]) -> None:
    assert attempt(caged, "connect", *listener) is True
    assert attempt(uncaged, "connect", *listener) is False


def test_no_other_file_of_the_node(caged: Cage, uncaged: Cage, tmp_path: Path, data: Path) -> None:
    registry = tmp_path / "node" / "registry.db"
    registry.write_text(CANARY)
    for path in (
        registry,
        data.parent / "1" / "data.duckdb",
        Path("/etc/passwd"),
        Path.home(),
        HERE.parent.parent / "pyproject.toml",
    ):
        assert attempt(caged, "read", str(path), data=(data,)) is True
    assert attempt(uncaged, "read", str(registry), data=(data,)) is False
    assert attempt(uncaged, "read", "/etc/passwd") is False


def test_the_root_holds_only_what_a_job_needs(caged: Cage, data: Path) -> None:
    names = set(attempt(caged, "look_around", data=(data,)))
    installed = Path(os.path.realpath(sys.executable)).parts[1]
    assert names <= {"code", "data", "dev", "lib", "lib64", "scratch", "tmp", "usr", installed}


def test_data_can_be_read_and_never_written(caged: Cage, uncaged: Cage, data: Path) -> None:
    assert attempt(caged, "read", "/data/0/data.duckdb", data=(data,)) is False
    before = (data / "data.duckdb").read_bytes()
    for path in ("/data/0/data.duckdb", "/data/0/new"):
        assert attempt(caged, "write", path, data=(data,)) is True
    assert (data / "data.duckdb").read_bytes() == before
    assert attempt(uncaged, "write", str(data / "new"), data=(data,)) is False


@pytest.mark.parametrize("path", ["/new", "/code/own/sandbox/new.py", "/dev/new", "/usr/lib/new"])
def test_nothing_else_is_writable(caged: Cage, path: str) -> None:
    assert attempt(caged, "write", path) is True


def test_no_further_process(caged: Cage, uncaged: Cage) -> None:
    assert attempt(caged, "fork", 1) is True
    assert attempt(uncaged, "fork", 3) is False


def test_threads_are_limited(caged: Cage) -> None:
    assert attempt(caged, "threads", 20) == 20
    with pytest.raises(SandboxError) as raised:
        attempt(caged, "threads", 2000)
    assert raised.value.code in (ErrorCode.RESOURCE_LIMIT, ErrorCode.ENGINE_FAILED)


def test_memory_is_limited(caged: Cage) -> None:
    assert attempt(caged, "memory", 256 * MEBIBYTE) == 8
    with pytest.raises(RefusedError) as raised:
        attempt(caged, "memory", 2048 * MEBIBYTE, limits=small(memory_bytes=64 * MEBIBYTE))
    assert raised.value.code is ErrorCode.RESOURCE_LIMIT


def test_scratch_space_is_limited_in_one_file_and_in_many(caged: Cage, tmp_path: Path) -> None:
    assert attempt(caged, "fill", "/scratch", 3, 8 * MEBIBYTE) == 3
    for files, size in ((1, 40 * MEBIBYTE), (10, 8 * MEBIBYTE)):
        with pytest.raises(SandboxError) as raised:
            attempt(caged, "fill", "/scratch", files, size)
        assert raised.value.code in (ErrorCode.RESOURCE_LIMIT, ErrorCode.ENGINE_FAILED)
    with pytest.raises(UnavailableError):
        attempt(caged, "fill", "/tmp", 4, 8 * MEBIBYTE)
    assert not list(tmp_path.glob("yingbi-cage-*"))


def test_an_endless_loop_ends_at_its_deadline(caged: Cage) -> None:
    started = time.monotonic()
    with pytest.raises(RefusedError) as raised:
        attempt(caged, "loop", limits=small(wall_s=1.0))
    assert raised.value.code is ErrorCode.RESOURCE_LIMIT
    assert time.monotonic() - started < 6


def test_a_job_that_does_not_listen_is_cancelled_within_a_second(caged: Cage, tmp_path: Path) -> None:
    cancel, at = threading.Event(), []

    def later() -> None:
        wait_until(lambda: list(tmp_path.glob("*/looping")))
        at.append(time.monotonic())
        cancel.set()

    threading.Thread(target=later).start()
    with pytest.raises(ConflictError) as raised:
        attempt(caged, "loop", cancel=cancel)
    assert raised.value.code is ErrorCode.RUN_CANCELLED
    assert time.monotonic() - at[0] < 1.0


def test_a_statement_is_cancelled_within_a_second(caged: Cage, data: Path) -> None:
    cancel = threading.Event()
    timer = threading.Timer(2.0, cancel.set)
    timer.start()
    sql = "SELECT sum(hash(range)) FROM range(1000000000000)"
    with pytest.raises(ConflictError):
        attempt(caged, "quote", "/data/0", sql, data=(data,), cancel=cancel)


# number on x86-64, arguments, whether it works outside for everybody
CALLS = {
    "ptrace": (101, (0, 0, 0, 0), True),
    "unshare": (272, (0,), True),
    "memfd_create": (319, ("name", 0), True),
    "keyctl": (250, (0, -4, 0), False),
    "socket": (41, (16, 3, 0), True),
    "socketpair": (53, (1, 1, 0, 0), False),
    "mount": (165, (0, 0, 0, 0, 0), False),
    "bpf": (321, (0, 0, 0), False),
    "perf_event_open": (298, (0, 0, 0, 0, 0), False),
    "process_vm_readv": (310, (1, 0, 0, 0, 0, 0), False),
    "setns": (308, (0, 0), False),
    "userfaultfd": (323, (0,), False),
    "setuid": (105, (0,), False),
    "io_uring_setup": (425, (1, 0), False),
    "open_tree": (428, (0, 0, 0), False),
    "clone3": (435, (0, 0), False),
    "clone without threads": (56, (0x10000000, 0, 0, 0, 0), False),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
@pytest.mark.parametrize("name", CALLS)
def test_system_calls_are_refused(caged: Cage, uncaged: Cage, name: str) -> None:
    number, arguments, works_outside = CALLS[name]
    wanted = [0 if isinstance(part, str) else part for part in arguments]
    assert attempt(caged, "call", number, *wanted) in (EPERM, ENOSYS)
    if works_outside:
        assert attempt(uncaged, "call", number, *wanted) not in (EPERM, ENOSYS)


def test_no_program_can_be_executed(caged: Cage) -> None:
    assert attempt(caged, "call", 59 if os.uname().machine == "x86_64" else 221, 0, 0, 0) == EPERM


def test_no_descriptor_and_no_variable_is_inherited(
    caged: Cage, uncaged: Cage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YINGBI_SECRET", CANARY)
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        for cage in (caged, uncaged):
            assert attempt(cage, "descriptors") == [0, 1, 2, 3, 4]
            assert CANARY not in attempt(cage, "environment").values()


def test_what_a_worker_prints_or_raises_goes_nowhere(
    caged: Cage, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(SandboxError) as raised:
        attempt(caged, "say", CANARY)
    shown = capfd.readouterr()
    assert CANARY not in shown.out + shown.err + caplog.text
    assert CANARY not in chain(raised.value)


def test_errors_of_the_engine_quote_no_data(caged: Cage, data: Path) -> None:
    sql = "SELECT CAST(name AS INTEGER) FROM {}rows"
    connection = duckdb.connect(str(data / "data.duckdb"), read_only=True)
    with connection, pytest.raises(duckdb.ConversionException, match=CANARY):
        connection.execute(sql.format("")).fetchall()
    with pytest.raises(UnavailableError) as raised:
        attempt(caged, "quote", "/data/0", sql.format("d0."), data=(data,))
    assert raised.value.code is ErrorCode.ENGINE_FAILED
    assert CANARY not in chain(raised.value)


def chain(error: BaseException | None) -> str:
    """Everything that an error and those behind it could show."""
    found = ""
    while error is not None:
        found += f"{error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    return found


LOCKED = {
    "read a file": "SELECT * FROM read_text('/code/own/sandbox/py.typed')",
    "list files": "SELECT * FROM glob('/**')",
    "read a table file": "SELECT * FROM read_csv('/code/own/sandbox/py.typed')",
    "write a file": "COPY (SELECT 1) TO '/out.csv'",
    "attach for writing": "ATTACH '/data/0/data.duckdb' AS again",
    "write data": "DELETE FROM d0.rows",
    "load an extension": "INSTALL httpfs",
    "raise a limit": "SET memory_limit = '100GB'",
    "unlock": "SET lock_configuration = false",
    "allow access": "SET enable_external_access = true",
}


@pytest.mark.parametrize("name", LOCKED)
def test_the_engine_is_locked(caged: Cage, data: Path, name: str) -> None:
    with pytest.raises(UnavailableError) as raised:
        attempt(caged, "quote", "/data/0", LOCKED[name], data=(data,))
    assert raised.value.code is ErrorCode.ENGINE_FAILED


def test_a_locked_engine_answers(caged: Cage, data: Path) -> None:
    assert attempt(caged, "quote", "/data/0", "SELECT name FROM d0.rows", data=(data,)) == [CANARY]


@pytest.mark.parametrize(
    "forged",
    {
        "noise": "no frame at all" * 10,
        "a huge length": struct.pack("<4sIQ", b"YBF1", 10, 2**60).decode("latin-1"),
        "a pickle": "YBF1" + "\x05\x00\x00\x00" + "\x00" * 8 + "cos\n.",
        "an array beyond its frame": "",
    }.items(),
    ids=lambda item: item[0],
)
def test_a_hostile_worker_gets_no_answer_through(caged: Cage, forged: tuple[str, str]) -> None:
    text = forged[1]
    if not text:
        header = b'{"arrays":[["a","i8",1000000000]],"kind":"result","value":null}'
        text = (struct.pack("<4sIQ", b"YBF1", len(header), 0) + header).decode("latin-1")
    with pytest.raises(SandboxError) as raised:
        attempt(caged, "forge", text)
    assert raised.value.code in (ErrorCode.ENGINE_FAILED, ErrorCode.RESOURCE_LIMIT)


def test_a_result_beyond_its_limit_is_refused(caged: Cage) -> None:
    assert len(attempt(caged, "flood", MEBIBYTE)) == MEBIBYTE
    with pytest.raises(SandboxError) as raised:
        attempt(caged, "flood", 3 * MEBIBYTE)
    assert raised.value.code is ErrorCode.RESOURCE_LIMIT


def test_a_worker_dies_with_the_thread_that_is_the_node_and_not_with_a_request(caged: Cage) -> None:
    workers: list[Any] = []
    spec = CageSpec(entry="caged_attacks:attack", limits=LIMITS, code=(HERE / "caged",))

    def ask() -> None:
        workers.append(caged.start(spec))
        # Only a process that runs has bound its life to whoever started it.
        workers[0].wait_ready()

    request = threading.Thread(target=ask)
    request.start()
    request.join()
    # The kernel kills what is bound to a thread when that thread is gone, which is a little after it was joined.
    wait_until(lambda: not Path(f"/proc/self/task/{request.native_id}").exists())
    assert workers[0].is_alive
    assert workers[0].run(Frame(kind=FrameKind.JOB, value=["sleep", 0])).value == 0


def test_the_check_at_start_tells_a_cage_from_none(caged: Cage, uncaged: Cage) -> None:
    assert check_cage(caged).holds
    report = check_cage(uncaged)
    assert not report.holds
    assert {"network", "other-file", "write-data", "process"} <= set(report.open)
