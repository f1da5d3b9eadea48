"""A process that appends to a log and says what was acknowledged; tests kill it, or its disk, at chosen system calls.

Usage: `python -m tests.lib.log_writer FOLDER URL COUNT [EXPORT]`. Prints `size root key` for every acknowledged entry.
"""

import base64
import sys
from pathlib import Path

from ledger.high_water import HighWaterMark
from ledger.log import Log
from ledger.note import TextSigner
from ledger.publish import export_log
from ledger.store_sql import SqlStore
from tests.lib.statements import make_statement
from yingbi.clock import SystemClock
from yingbi.errors import UnavailableError
from yingbi.keys import SigningKey

__all__ = ["ORIGIN", "SIGNER", "read_acknowledged"]

ORIGIN = "log.example/crash"
SIGNER = TextSigner(ORIGIN, SigningKey.from_seed(b"\x09" * 32))
_TRIES = 3


def read_acknowledged(output: str) -> list[tuple[int, bytes, str]]:
    """Read the lines of a writer that may have been killed in the middle of one."""
    whole = output[: output.rfind("\n") + 1].splitlines()
    rows = [line.split(" ") for line in whole]
    return [(int(size), base64.b64decode(root), key) for size, root, key in rows]


def main(folder: Path, url: str, count: int, export: Path | None) -> None:
    """Append `count` statements one by one, each with its own key, repeating what failed."""
    store = SqlStore.open(url)
    with Log.open(store, [SIGNER], clock=SystemClock(), high_water=HighWaterMark(folder / "mark")) as log:
        for number in range(count):
            statement = make_statement()
            for last in range(_TRIES):
                try:
                    receipt = log.append(statement, idempotency_key=f"{sys.argv[0]}-{statement.payload.id}")
                except UnavailableError:
                    if last == _TRIES - 1:
                        raise
                    continue
                head = receipt.signed.checkpoint
                sys.stdout.write(f"{head.size} {base64.b64encode(head.root).decode()} {statement.payload.id}\n")
                sys.stdout.flush()
                break
            if export is not None and number % 2:
                export_log(store, (SIGNER.verifier,), export)
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]) if len(sys.argv) > 4 else None)
