"""Logs to measure on: real SQLite stores with real statements."""

import sqlite3
import threading
from collections.abc import Mapping
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

__all__ = ["ORIGIN", "ROOT", "SIGNER", "PlainSqlite", "fill_log", "make_statements", "new_log", "register_bank"]

ORIGIN = "yingbi.futian/log"
SIGNER = TextSigner(ORIGIN, SigningKey.from_seed(b"\x01" * 32))
ROOT = SigningKey.from_seed(b"\x04" * 32)
_BANK = SigningKey.from_seed(b"\x02" * 32)
_LONG_AGO = "2026-01-01T00:00:00.000000Z"
_BATCH = 1000


def make_statements(count: int) -> list[Statement]:
    """Return signed statements of the common kind: a job is submitted."""
    return [sign(_payload("job.submitted", new_id("job"), _submission()), [_BANK]) for _ in range(count)]


def register_bank() -> Statement:
    """Return the statement that registers the key of `make_statements` under `ROOT`."""
    body = {"jwk": _BANK.public.to_jwk(), "owner": "partner:bank-a", "not_before": _LONG_AGO, "not_after": None}
    return sign(_payload("key.registered", new_id("key"), body), [ROOT, _BANK])


def new_log(folder: Path) -> tuple[Log, SqlStore]:
    """Open a new log in `folder`."""
    store = SqlStore.create(f"sqlite:///{folder}/log.sqlite", ORIGIN)
    mark = HighWaterMark(folder / "high-water")
    create_log(store, [SIGNER], mark)
    return Log.open(store, [SIGNER], clock=SystemClock(), high_water=mark), store


def fill_log(log: Log, statements: list[Statement], size: int) -> None:
    """Append until the log has `size` entries: the bank's key, then the same statements again and again."""
    log.append(register_bank())
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


def _submission() -> dict[str, object]:
    return {
        "agreement": "agr-tax-credit-2026-01",
        "certificate": None,
        "purpose": "credit_sme_pre_loan",
        "operation": "aggregate",
        "datasets": [{"dataset": "tax-filings", "version": 3}],
        "plan": commit({"select": "count"}).commitment,
        "code": None,
        "epsilon": None,
        "result_key": SigningKey.generate().public.to_jwk()["x"],
        "expires_at": format_time(SystemClock().now()),
    }


def _payload(kind: str, about: str, body: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": kind,
        "id": about,
        "issuer": "partner:bank-a",
        "on_behalf_of": None,
        "issued_at": format_time(SystemClock().now()),
        "nonce": new_nonce(),
        "subject": [],
        "refs": {},
        "body": body,
    }
