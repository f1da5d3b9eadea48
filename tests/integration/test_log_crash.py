"""Kill -9 at every system call that writes, and a disk that fails at every sync: no fork, nothing acknowledged is lost.

strace delivers the signal, or the error, at the n-th such call of a real process; the next n is tried until the process
survives. A reader of another process looks at the published heads all the while: none may be contradicted later.
"""

import itertools
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.entry import parse_entry
from ledger.high_water import HighWaterMark
from ledger.log import Log, create_log
from ledger.publish import export_log
from ledger.reader import LogReader
from ledger.store_sql import SqlStore
from tests.lib.databases import new_postgres_url
from tests.lib.log_checks import check_log
from tests.lib.log_writer import ORIGIN, SIGNER, read_acknowledged
from tests.lib.statements import make_statement
from tests.lib.tracing import needs_strace, under_fault
from yingbi.clock import SystemClock
from yingbi.errors import SandboxError
from yingbi.receipts import Checkpoint
from yingbi.verify import Verdict, audit_log, load_trust

ROOT = Path(__file__).parents[2]
ENTRIES = 3
WRITER_CALLS = 60  # more than any thread of the writer makes of any one call


pytestmark = needs_strace


class Scene:
    """A fresh log whose writer process will meet a fault."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.export: Path | None = None
        self.seen: set[Checkpoint] = set()
        self.is_watched = True

    def prepare(self) -> None:
        """Make the log; the entries that the writer will add complete a tile."""
        store = SqlStore.create(self.url, ORIGIN)
        mark = HighWaterMark(self.folder / "mark")
        create_log(store, [SIGNER], mark)
        with Log.open(store, [SIGNER], clock=SystemClock(), high_water=mark) as log:
            log.append_batch([make_statement() for _ in range(254)])
        store.close()

    def run(self, fault: str) -> tuple[bool, str]:
        """Run the writer under `fault`; return whether it survived, and what it acknowledged."""
        writer = [sys.executable, "-m", "tests.lib.log_writer", str(self.folder), self.url, str(ENTRIES)]
        command = under_fault(fault, [*writer, *([str(self.export)] if self.export else [])])
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done,))
        if self.is_watched:
            watcher.start()
        try:
            result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        finally:
            done.set()
            if self.is_watched:
                watcher.join()
        return result.returncode == 0, result.stdout

    def check(self, output: str) -> None:
        """Check that the log opens, kept what was acknowledged, and contradicts no head that anybody saw."""
        acknowledged = read_acknowledged(output)
        store = SqlStore.open(self.url)
        mark = HighWaterMark(self.folder / "mark")
        with Log.open(store, [SIGNER], clock=SystemClock(), high_water=mark) as log:
            receipt = log.append(make_statement())
            assert receipt.signed.checkpoint.size > max([254, *(size for size, _, _ in acknowledged)])
            for size, root, _ in acknowledged:
                assert log.reader.root_at(size) == root
            for head in self.seen:
                assert log.reader.root_at(head.size) == head.root
            if self.export is not None:
                self._check_export(store)
        ids = [parse_entry(entry).statement.payload.id for entry in check_log(store, [SIGNER.verifier])]
        assert len(set(ids)) == len(ids), "nothing is recorded twice, however often it was asked for"
        assert {key for _, _, key in acknowledged} <= set(ids)
        store.close()

    def _check_export(self, store: SqlStore) -> None:
        folder = self.export
        assert folder is not None
        trust = load_trust(f"log {SIGNER.verifier.encode()}\nquorum none\n".encode())
        for is_again in (False, True):
            if is_again:
                export_log(store, (SIGNER.verifier,), folder)
            if (folder / "checkpoint").exists():
                report = audit_log(folder, trust, now=datetime.now(UTC))
                assert report.verdict is Verdict.LOG_SIGNED_ONLY, report

    def _watch(self, done: threading.Event) -> None:
        store = SqlStore.open(self.url)
        reader = LogReader(store)
        while not done.wait(0.005):
            try:
                self.seen.add(reader.published().checkpoint)
            except SandboxError:
                continue  # the database may be locked for a moment
        store.close()


@pytest.fixture
def new_scene(tmp_path: Path) -> Callable[[], Scene]:
    """A maker of scenes on SQLite: copies of one that is made once."""
    template = tmp_path / "template"
    template.mkdir()
    Scene(template, f"sqlite:///{template}/log.sqlite").prepare()
    count = itertools.count()

    def make() -> Scene:
        folder = tmp_path / str(next(count))
        shutil.copytree(template, folder)
        return Scene(folder, f"sqlite:///{folder}/log.sqlite")

    return make


def kill_at_every(
    new_scene: Callable[[], Scene], call: str, numbers: range, *, with_export: bool = False, is_watched: bool = True
) -> int:
    """Kill a writer at each of the n-th `call`s, until one survives; return how many were killed."""
    killed = 0
    for number in numbers:
        scene = new_scene()
        scene.export = scene.folder / "export" if with_export else None
        scene.is_watched = is_watched
        survived, output = scene.run(f"{call}:signal=KILL:when={number}")
        scene.check(output)
        if survived:
            assert len(read_acknowledged(output)) == ENTRIES
            break
        killed += 1
    return killed


@pytest.mark.parametrize("shard", range(4))
def test_killed_at_every_write(new_scene: Callable[[], Scene], shard: int) -> None:
    assert kill_at_every(new_scene, "pwrite64", range(1 + shard, WRITER_CALLS, 4)) > 8


def test_killed_at_every_sync(new_scene: Callable[[], Scene]) -> None:
    assert kill_at_every(new_scene, "fdatasync", range(1, WRITER_CALLS)) >= 5


@pytest.mark.parametrize("call", ["ftruncate", "unlink"])
def test_killed_while_the_last_user_closes_the_database(new_scene: Callable[[], Scene], call: str) -> None:
    assert kill_at_every(new_scene, call, range(1, WRITER_CALLS), is_watched=False) >= 1


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_killed_at_every_step_of_publishing_a_folder(new_scene: Callable[[], Scene], call: str) -> None:
    assert kill_at_every(new_scene, call, range(1, WRITER_CALLS), with_export=True) >= 5


@pytest.mark.parametrize(("call", "error"), [("fdatasync", "EIO"), ("pwrite64", "EIO"), ("pwrite64", "ENOSPC")])
def test_a_disk_that_fails_once(new_scene: Callable[[], Scene], call: str, error: str) -> None:
    answered = 0
    for number in range(1, 11) if call == "fdatasync" else range(1, WRITER_CALLS, 7):
        scene = new_scene()
        _, output = scene.run(f"{call}:error={error}:when={number}")
        scene.check(output)
        answered += len(read_acknowledged(output))
    assert answered, "a disk that fails once does not stop the log for good"


def test_a_disk_that_never_syncs_acknowledges_nothing(new_scene: Callable[[], Scene]) -> None:
    scene = new_scene()
    survived, output = scene.run("fdatasync:error=EIO")
    assert not survived
    assert read_acknowledged(output) == []
    scene.check(output)


@pytest.mark.postgres
def test_killed_at_every_word_to_postgresql(tmp_path: Path, postgres_folder: Path) -> None:
    count = itertools.count()

    def new_scene() -> Scene:
        folder = tmp_path / str(next(count))
        folder.mkdir()
        scene = Scene(folder, new_postgres_url(postgres_folder))
        scene.prepare()
        return scene

    assert kill_at_every(new_scene, "sendto", range(30, WRITER_CALLS, 2)) > 5
