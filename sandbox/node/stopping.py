"""Telling the log what the unit stopped: `access.frozen`, signed by its CDO, sent by the agent when it can.

Another process makes the statement and stores it; the agent looks for such from a thread of its own, so that neither a
long poll nor a long computation delays it.
"""

import logging
import threading
from types import TracebackType
from typing import Final, Self

from sandbox.node.home import NodeHome
from sandbox.node.hub_client import HubClient
from sandbox.node.journal import Journal
from sandbox.node.statements import frozen_statement
from sandbox.node.veto import EVERYTHING
from yingbi.errors import ErrorCode, SandboxError
from yingbi.events.people import FreezeReason
from yingbi.ids import dataset_id
from yingbi.keys import SigningKey

__all__ = ["Outbox", "report_stop"]

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 0.5
_LOOK_AFTER_FAILURE_S: Final = 5.0
_UNFITTING: Final = frozenset({ErrorCode.STATEMENT_REFUSED, ErrorCode.TRANSITION_REFUSED})


def report_stop(home: NodeHome, target: str, *, person: str, key: SigningKey) -> None:
    """Make the statement and keep it until the hub has recorded it; stopping everything freezes the node itself.

    Raises:
        InvalidRequestError: the target is nothing that the log knows by name.
    """
    # What stops the unit here stops what it does at this node; its other nodes are not this one's to stop.
    is_all = target in (EVERYTHING, home.config.owner)
    named = dataset_id(target) if "/" in target else target
    statement = frozen_statement(
        home.config.name if is_all else named,
        person=person,
        unit=home.config.owner,
        key=key,
        clock=home.clock,
        reason=FreezeReason.WITHDRAWAL,
    )
    Journal(home.database, home.clock).post(statement)


class Outbox:
    """Sends what the unit's CDO has said and the hub has not recorded yet; as a context, twice a second.

    Thread-safe.
    """

    def __init__(self, journal: Journal, hub: HubClient) -> None:
        self._journal = journal
        self._hub = hub
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._is_over.clear()
        self._thread = threading.Thread(target=self._watch, name="yingbi-outbox", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(_LOOK_S)  # one that waits for a hub that hangs ends with its request

    def send(self) -> bool:
        """Send what waits; tell whether all of it is recorded, or dropped because the hub says that it does not fit."""
        is_done = True
        with self._lock:
            for statement in self._journal.outbox():
                try:
                    (answer,) = self._hub.report_incident([statement])
                except SandboxError as error:
                    # What the unit stopped is stopped here all the same; the log is told when it can be.
                    _LOG.warning("a freeze was not recorded: %s", error.code)
                    if error.code in _UNFITTING:
                        self._journal.posted(statement, None)
                    else:
                        is_done = False
                else:
                    self._journal.posted(statement, answer.index)
        return is_done

    def _watch(self) -> None:
        pause_s = _LOOK_S
        while not self._is_over.wait(pause_s):
            try:
                pause_s = _LOOK_S if self.send() else _LOOK_AFTER_FAILURE_S
            except Exception as error:
                # The agent's own thread looks too, before every poll.
                _LOG.error("the outbox failed with %s", type(error).__name__)
                pause_s = _LOOK_AFTER_FAILURE_S
