"""A log in a store, grown as far as a test needs, and what its trust file says."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.cosigning import CosignatureSource
from ledger.high_water import HighWaterMark
from ledger.log import MAX_BATCH, Log, create_log
from ledger.note import NoteVerifier, TextSigner
from ledger.store import LogStore
from tests.lib.statements import make_statement
from yingbi.clock import Clock, SystemClock
from yingbi.keys import SigningKey
from yingbi.verify import Trust, load_trust

__all__ = ["StoredLog"]

_STATEMENT = make_statement()


class StoredLog:
    """A new log in `store`, with its mark in `folder`; every entry records the same statement."""

    def __init__(self, store: LogStore, folder: Path, *, seed: int = 1, clock: Clock | None = None) -> None:
        self.store = store
        self.signer = TextSigner(store.origin, SigningKey.from_seed(bytes([seed]) * 32))
        self.mark = HighWaterMark(folder / f"mark-{seed}")
        self.clock = clock or SystemClock()
        create_log(store, [self.signer], self.mark)

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        return (self.signer.verifier,)

    @property
    def trust(self) -> Trust:
        return load_trust(f"log {self.signer.verifier.encode()}\nquorum none\n".encode())

    @contextmanager
    def open(self, cosignatures: CosignatureSource | None = None) -> Iterator[Log]:
        with Log.open(
            self.store, [self.signer], clock=self.clock, high_water=self.mark, cosignatures=cosignatures
        ) as log:
            yield log

    def grow(self, size: int) -> "StoredLog":
        """Append until the log has `size` entries."""
        with self.open() as log:
            while (missing := size - self.store.read_head().size) > 0:
                log.append_batch([_STATEMENT] * min(missing, MAX_BATCH))
        return self
