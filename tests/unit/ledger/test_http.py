"""The log over HTTP: what is served, how it may be cached, and what nobody gets."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from ledger.http import create_log_app
from ledger.publish import export_log
from ledger.reader import LogReader
from ledger.store import LogReads
from ledger.store_memory import MemoryStore
from ledger.store_sql import SqlStore
from tests.lib.asgi import Answer, ask
from tests.lib.stored_log import StoredLog
from yingbi.errors import ErrorCode, SandboxError, TamperDetectedError, UnavailableError
from yingbi.verify import Verdict, audit_log

ORIGIN = "log.example/http"
SIZE = 600
FOREVER = "public, max-age=31536000, immutable"
CANARY = "canary-4711"
Get = Callable[[str], Answer]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> StoredLog:
    folder = tmp_path_factory.mktemp("log")
    return StoredLog(SqlStore.create(f"sqlite:///{folder}/log.sqlite", ORIGIN), folder).grow(SIZE)


@pytest.fixture(scope="module")
def get(log: StoredLog) -> Get:
    app = create_log_app(log.store, log.verifiers)
    return lambda path: ask(app, path)


def test_everything_an_export_writes_is_served(log: StoredLog, get: Get, tmp_path: Path) -> None:
    export_log(log.store, log.verifiers, tmp_path / "export")
    files = [path for path in (tmp_path / "export").rglob("*") if path.is_file()]
    assert len(files) == 9
    for path in files:
        answer = get(f"/{path.relative_to(tmp_path / 'export')}")
        assert (answer.status, answer.body) == (200, path.read_bytes())


def test_the_verifier_accepts_what_is_served(log: StoredLog, get: Get) -> None:
    def read(path: str) -> bytes:
        answer = get(f"/{path}")
        if answer.status != 200:
            raise LookupError(path)
        return answer.body

    report = audit_log(read, log.trust, now=datetime.now(UTC))
    assert (report.verdict, report.good_size) == (Verdict.LOG_SIGNED_ONLY, SIZE)


@pytest.mark.parametrize("path", ["/checkpoint", "/vkey"])
def test_what_changes_is_text_and_asked_for_anew(get: Get, path: str) -> None:
    answer = get(path)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/tile/0/000", "/tile/0/002.p/88", "/tile/1/000.p/2", "/tile/entries/002.p/1"])
def test_what_never_changes_is_bytes_and_kept_for_good(get: Get, path: str) -> None:
    answer = get(path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == FOREVER


def test_every_width_of_a_partial_tile_is_a_prefix(get: Get) -> None:
    whole = get("/tile/0/002.p/88").body
    assert len(whole) == 88 * 32
    for width in range(1, 89):
        assert get(f"/tile/0/002.p/{width}").body == whole[: 32 * width]
    for width in (1, 100, 255):
        assert get(f"/tile/0/001.p/{width}").body == get("/tile/0/001").body[: 32 * width]
    assert get("/tile/0/002.p/89").status == 404
    assert get("/tile/0/002").status == 404


@pytest.mark.parametrize("path", ["/checkpoint", "/vkey", "/tile/0/000", "/tile/entries/000"])
def test_head_says_the_same_without_the_body(log: StoredLog, get: Get, path: str) -> None:
    head = ask(create_log_app(log.store, log.verifiers), path, "HEAD")
    assert head.status == 200
    assert head.headers == get(path).headers


NOT_THERE = [
    "/",
    "/index.html",
    "/checkpoint/",
    "/checkpoint.p/1",
    "/log.sqlite",
    "/tile",
    "/tile/",
    "/tile/0",
    "/tile/0/",
    "/tile/0/0",
    "/tile/0/00",
    "/tile/0/0000",
    "/tile/0/000/",
    "/tile/0//000",
    "/tile/00/000",
    "/tile/-1/000",
    "/tile/+0/000",
    "/tile/0/-01",
    "/tile/0/x000/000",
    "/tile/0/x999/999",
    "/tile/0/999",
    "/tile/0/000.p/0",
    "/tile/0/000.p/00",
    "/tile/0/000.p/256",
    "/tile/0/000.p/257",
    "/tile/0/000.p/",
    "/tile/0/000.p/-1",
    "/tile/0/000.p/1/",
    "/tile/0/000.p/١",
    "/tile/0/٠٠٠",
    "/tile/0/000\n",
    "/tile/0/000\x00",
    "/tile/64/000",
    "/tile/99/000",
    "/tile/100/000",
    "/tile/3/000",
    "/tile/63/000.p/1",
    "/tile/entries/003",
    "/tile/entries/000.p/0",
    "/tile/Entries/000",
    "/tile/data/000",
    "/tile/0/" + "x999/" * 6 + "999",
    "/tile/0/" + "9" * 4000,
    "/tile/../checkpoint",
    "/tile/../../../../../../etc/passwd",
    "/tile/entries/../0/000",
    "/tile/0/../../log.toml",
    "/tile//etc/passwd",
    "/tile/0/000/../../../vkey",
    "/..",
    "//checkpoint",
    "/tile/0/000%2e%2e",
    "/\udcff",
]


@pytest.mark.parametrize("path", NOT_THERE, ids=ascii)
def test_other_paths_are_not_there_and_nothing_is_said_about_why(log: StoredLog, path: str) -> None:
    answer = ask(create_log_app(log.store, log.verifiers), path)
    assert answer.status == 404
    assert answer.body in (b"", b"Not Found")


def test_a_missing_tile_is_not_kept_by_caches(get: Get) -> None:
    # A tile that is not there yet may be there in a moment; a 404 without this may be cached (RFC 9111 §4.2.2).
    for path in ("/tile/0/002.p/89", "/tile/0/0"):
        assert get(path).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/checkpoint", "/tile/0/000"])
def test_nothing_is_taken(log: StoredLog, method: str, path: str) -> None:
    assert ask(create_log_app(log.store, log.verifiers), path, method).status == 405


def test_the_newest_checkpoint_is_served(tmp_path: Path) -> None:
    log = StoredLog(MemoryStore(ORIGIN), tmp_path)
    app = create_log_app(log.store, log.verifiers)
    for size in (0, 1, 300):
        log.grow(size)
        assert ask(app, "/checkpoint").body == LogReader(log.store).published().note
    root = base64.b64encode(log.store.read_head().root)
    assert ask(app, "/checkpoint").body.splitlines()[1:3] == [b"300", root]


def test_a_log_that_published_nothing_answers_404() -> None:
    for path in ("/checkpoint", "/tile/0/000.p/1"):
        answer = ask(create_log_app(MemoryStore(ORIGIN), ()), path)
        assert (answer.status, answer.body) == (404, b"")


class BrokenStore:
    """A store whose every reading fails, with a text that must not get out."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnavailableError(ErrorCode.LOG_UNAVAILABLE, CANARY, hint=CANARY, detail=CANARY), 503),
        (TamperDetectedError(ErrorCode.LOG_FORKED, CANARY), 503),
        (SandboxError(ErrorCode.INTERNAL, CANARY), 503),
        (RuntimeError(CANARY), 500),
        (OSError(5, CANARY), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
@pytest.mark.parametrize("path", ["/checkpoint", "/tile/0/000", "/tile/entries/000"])
def test_no_text_of_an_error_gets_out(error: Exception, status: int, path: str) -> None:
    answer = ask(create_log_app(cast("LogReads", BrokenStore(error)), ()), path)
    assert answer.status == status
    assert CANARY not in f"{answer}"
