"""Kill -9 at every system call that writes, and a disk that fails at every sync: no fork, nothing acknowledged is lost.

strace delivers the signal, or the error, at the n-th such call of a real process; the next n is tried until the process survives.
A reader of another process looks at the published heads all the while: none of them may be contradicted later.
"""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
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
from yingbi.clock import SystemClock
from yingbi.errors import SandboxError
from yingbi.receipts import Checkpoint
from yingbi.verify import Verdict, audit_log, load_trust

ROOT = Path(__file__).parents[2]
SHARDS = 6
ENTRIES = 3
WRITES = "pwrite64,fdatasync,fsync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,mkdir"

pytestmark = [
    pytest.mark.strace,
    pytest.mark.skipif(
        shutil.which("strace") is None
        or subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, check=False).returncode != 0,
        reason="strace is missing or may not trace here",
    ),
]


class Scene:
    """A fresh log whose writer process will meet a fault."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.export: Path | None = None
        self.seen: set[Checkpoint] = set()
        store = SqlStore.create(url, ORIGIN)
        mark = HighWaterMark(folder / "mark")
        create_log(store, [SIGNER], mark)
        with Log.open(store, [SIGNER], clock=SystemClock(), high_water=mark) as log:
            log.append_batch([make_statement() for _ in range(254)])  # so that the next entries complete a tile
        store.close()

    def run(self, fault: str) -> tuple[bool, str]:
        """Run the writer under `fault`; return whether it survived, and what it acknowledged."""
        writer = [sys.executable, "-m", "tests.lib.log_writer", str(self.folder), self.url, str(ENTRIES)]
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=none", "-e", f"inject={fault}", *writer]
        command += [str(self.export)] if self.export else []
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done,))
        watcher.start()
        try:
            result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        finally:
            done.set()
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
                report = audit_log(folder, trust, workers=1)
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
def scenes(tmp_path: Path) -> Iterator["SceneMaker"]:
    """A maker of fresh scenes."""
    yield SceneMaker(tmp_path)


class SceneMaker:
    """Makes scenes; the first is kept as a template that the others copy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def sqlite(self) -> Scene:
        """Return a scene on SQLite."""
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        return Scene(folder, f"sqlite:///{folder}/log.sqlite")

    def postgres(self, server: Path) -> Scene:
        """Return a scene on PostgreSQL."""
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        return Scene(folder, new_postgres_url(server))


def _meet_all(make: "SceneMaker", shard: int, fault: str, *, with_export: bool = False, postgres: Path | None = None) -> int:
    met, number = 0, shard + 1
    while True:
        scene = make.sqlite() if postgres is None else make.postgres(postgres)
        scene.export = scene.folder / "export" if with_export else None
        survived, output = scene.run(fault.format(number=number))
        scene.check(output)
        if survived and len(read_acknowledged(output)) == ENTRIES:
            return met
        met += 1
        number += SHARDS


@pytest.mark.parametrize("shard", range(SHARDS))
def test_killed_at_every_write_to_sqlite_and_the_mark(scenes: SceneMaker, shard: int) -> None:
    assert _meet_all(scenes, shard, WRITES + ":signal=KILL:when={number}") >= 5
