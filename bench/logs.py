"""Logs to measure on: real SQLite stores with real statements."""

import sqlite3
import threading
from pathlib import Path

from ledger.high_water import HighWaterMark
from ledger.log import Log, create_log
from ledger.note import TextSigner
from ledger.store_sql import SqlStore
from yingbi.clock import SystemClock, format_time
from yingbi.commitment import commit
from yingbi.ids import new_id, new_nonce
from yingbi.keys import SigningKey
from yingbi.statement import Statement, sign

__all__ = ["ORIGIN", "SIGNER", "PlainSqlite", "fill_log", "make_statements", "new_log"]

ORIGIN = "yingbi.futian/log"
SIGNER = TextSigner(ORIGIN, SigningKey.from_seed(b"\x01" * 32))
_BATCH = 1000


def make_statements(count: int) -> list[Statement]:
    """Return signed statements of the common kind: a job is submitted."""
    key = SigningKey.from_seed(b"\x02" * 32)
    return [sign(_payload(), [key]) for _ in range(count)]


def new_log(folder: Path) -> tuple[Log, SqlStore]:
    """Open a new log in `folder`."""
    store = SqlStore.create(f"sqlite:///{folder}/log.sqlite", ORIGIN)
    mark = HighWaterMark(folder / "high-water")
    create_log(store, [SIGNER], mark)
    return Log.open(store, [SIGNER], clock=SystemClock(), high_water=mark), store


def fill_log(log: Log, statements: list[Statement], size: int) -> None:
    """Append until the log has `size` entries; the same statements come again and again."""
    done = log.reader.published().checkpoint.size
    while done < size:
        count = min(_BATCH, size - done)
        log.append_batch(statements[:count])
        done += count


class PlainSqlite:
    """What a user would do instead: a table of entries in SQLite, as durable (`synchronous=FULL`), without proofs."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "plain.sqlite", isolation_level=None, check_same_thread=False)
        self._connection.executescript("pragma journal_mode=wal; pragma synchronous=full")
        self._connection.execute("create table if not exists entry (seq integer primary key, data blob not null)")
        self._lock = threading.Lock()

    def insert(self, rows: list[bytes]) -> None:
        """Insert rows in one durable transaction."""
        with self._lock:
            self._connection.execute("begin immediate")
            self._connection.executemany("insert into entry (data) values (?)", [(row,) for row in rows])
            self._connection.execute("commit")

    def close(self) -> None:
        """Close the table."""
        self._connection.close()


def _payload() -> dict[str, object]:
    now = format_time(SystemClock().now())
    plan = commit({"select": "count"}).commitment
    body = {
        "agreement": "agr-tax-credit-2026-01",
        "certificate": None,
        "purpose": "credit_sme_pre_loan",
        "operation": "aggregate",
        "datasets": [{"dataset": "tax-filings", "version": 3}],
        "plan": plan,
        "code": None,
        "epsilon": None,
        "result_key": SigningKey.generate().public.to_jwk()["x"],
        "expires_at": now,
    }
    return {
        "type": "job.submitted",
        "id": new_id("job"),
        "issuer": "partner:bank-a",
        "on_behalf_of": None,
        "issued_at": now,
        "nonce": new_nonce(),
        "subject": [],
        "refs": {},
        "body": body,
    }
