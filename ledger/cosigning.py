"""Where a log's cosignatures come from, off the write path: every checkpoint is witnessed, not every entry.

While witnesses answer, entries pile up; the next round takes the newest head, so a slow witness costs latency, not
throughput.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ledger.note import NoteSignature
from ledger.reader import LogReader
from ledger.store import Head
from yingbi.errors import TamperDetectedError
from yingbi.receipts import ConsistencyProof, SignedCheckpoint

__all__ = ["Ask", "CosignatureSource", "CosigningThread", "NoCosignatures", "Publish", "WitnessRound"]

_logger = logging.getLogger(__name__)
_BACKOFF_S: Final = (0.1, 0.5, 2.0, 10.0)

Publish = Callable[[SignedCheckpoint, Sequence[NoteSignature]], None]
Ask = Callable[[int], ConsistencyProof]


class CosignatureSource(Protocol):
    """What a log needs of its witnesses."""

    @property
    def is_required(self) -> bool:
        """Tell whether a checkpoint is published only with a quorum's cosignatures."""
        ...

    def check_head(self, reader: LogReader, head: Head) -> None:
        """Compare the stored head with what witnesses remember, before anything is signed.

        Raises:
            TamperDetectedError: a witness is ahead of the log or remembers another root.
        """
        ...

    def start(self, reader: LogReader, publish: Publish) -> None:
        """Begin; `publish` is to be called with cosignatures that make the quorum."""
        ...

    def notify(self, signed: SignedCheckpoint) -> None:
        """Tell that a newer checkpoint was signed."""
        ...

    def stop(self) -> None:
        """End."""
        ...


class NoCosignatures:
    """Nobody is asked and nobody needed: what is published is log-signed only."""

    is_required = False

    def check_head(self, reader: LogReader, head: Head) -> None:
        """Compare with nobody."""

    def start(self, reader: LogReader, publish: Publish) -> None:
        """Begin nothing."""

    def notify(self, signed: SignedCheckpoint) -> None:
        """Tell nobody."""

    def stop(self) -> None:
        """End nothing."""


class WitnessRound(Protocol):
    """Asks all witnesses for their cosignatures on one checkpoint."""

    @property
    def is_required(self) -> bool:
        """Tell whether the policy asks for a quorum."""
        ...

    def collect(self, signed: SignedCheckpoint, prove: Ask) -> tuple[tuple[NoteSignature, ...], bool]:
        """Return the verified cosignatures, and whether they make the quorum.

        Raises:
            TamperDetectedError: a witness is ahead of the log or remembers another root.
        """
        ...


class CosigningThread:
    """Implements `CosignatureSource` with a thread that asks a `WitnessRound` about the newest head."""

    def __init__(self, witnesses: WitnessRound) -> None:
        self._witnesses = witnesses
        self._reader: LogReader | None = None
        self._publish: Publish | None = None
        self._newest: SignedCheckpoint | None = None
        self._wake = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="yingbi-cosigning", daemon=True)

    @property
    def is_required(self) -> bool:
        """Tell whether the policy asks for a quorum."""
        return self._witnesses.is_required

    def check_head(self, reader: LogReader, head: Head) -> None:
        """Show the stored, already signed head to the witnesses; a witness that knows better says so."""
        signed = reader.signed(head.size)
        self._witnesses.collect(signed, lambda old: reader.consistency(old, head.size))

    def start(self, reader: LogReader, publish: Publish) -> None:
        """Begin asking."""
        self._reader, self._publish = reader, publish
        self._thread.start()

    def notify(self, signed: SignedCheckpoint) -> None:
        """Ask about this checkpoint next."""
        with self._wake:
            self._newest = signed
            self._wake.notify_all()

    def stop(self) -> None:
        """Stop after the round that is under way."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        failures = 0
        while (newest := self._take(failures)) is not None:
            failures = 0 if self._ask(newest) else failures + 1

    def _take(self, failures: int) -> SignedCheckpoint | None:
        with self._wake:
            if failures and not self._is_stopping:
                self._wake.wait(_BACKOFF_S[min(failures, len(_BACKOFF_S)) - 1])
            while self._newest is None and not self._is_stopping:
                self._wake.wait()
            newest, self._newest = self._newest, None
            return None if self._is_stopping else newest

    def _ask(self, signed: SignedCheckpoint) -> bool:
        reader, publish = self._reader, self._publish
        if reader is None or publish is None:
            return False
        size = signed.checkpoint.size
        try:
            cosignatures, is_met = self._witnesses.collect(signed, lambda old: reader.consistency(old, size))
            if is_met:
                publish(signed, cosignatures)
        except TamperDetectedError as error:
            # A witness that contradicts the log stops publication; the operator must see it, callers time out.
            _logger.critical("witnesses refuse the log: %s: %s", error.code, error.message)
            is_met = False
        except Exception as error:
            # Whatever else went wrong may pass; a thread that died of it would stop publication for good.
            _logger.warning("checkpoint is not published yet: %s", getattr(error, "code", type(error).__name__))
            is_met = False
        if not is_met:
            self._retry(signed)
        return is_met

    def _retry(self, signed: SignedCheckpoint) -> None:
        with self._wake:
            if self._newest is None:
                self._newest = signed
