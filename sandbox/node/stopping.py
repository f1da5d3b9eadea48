"""Telling the log what the unit stopped: `access.frozen`, signed by its CDO, sent by the agent when it can.

Another process makes the statement and stores it; the agent looks for such from a thread of its own, so that neither a
long poll nor a long computation delays it.

A statement is told when the followed log has it, with effect, and not because the hub says so. Until then it is sent
again, ever less often. It is given up only where the followed log itself rules it out for good: its time has passed the
one until which the statement may be recorded, or the target is not the unit's. A hub that says what is not so is
reported, once a statement.
"""

import logging
import threading
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Final, Self

from policies.standing import REPLAY_WINDOW, Rule, Standing, StatementRefusedError
from sandbox.node.following import Follower
from sandbox.node.home import NodeHome
from sandbox.node.hub_client import HubClient, Recorded
from sandbox.node.journal import Journal
from sandbox.node.reports import Reports
from sandbox.node.statements import frozen_statement
from sandbox.node.veto import EVERYTHING
from yingbi.canonical import digest_bytes
from yingbi.clock import Clock, format_time, parse_time
from yingbi.errors import ErrorCode, SandboxError, TamperDetectedError, UnavailableError
from yingbi.events.people import FreezeReason
from yingbi.ids import dataset_id
from yingbi.keys import SigningKey
from yingbi.statement import Statement

__all__ = ["Outbox", "report_stop"]

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 0.5
_LOOK_AFTER_FAILURE_S: Final = 5.0
_BACKOFF_S: Final = (0.5, 1.0, 5.0, 15.0)


def report_stop(home: NodeHome, target: str, *, person: str, key: SigningKey) -> None:
    """Make the statement and keep it until it is in the log; stopping everything freezes the node itself.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """When a statement that was sent in vain is sent again."""

    failures: int
    again_at: float


class Outbox:
    """Sends what the unit's CDO has said and the followed log does not have yet; as a context, twice a second.

    Thread-safe.

    Args:
        journal: where it is kept.
        hub: has it recorded.
        follower: the log; what it has is told.
        reports: what is to be said against the hub.
        clock: tells at what time a statement would be judged.
    """

    def __init__(self, journal: Journal, hub: HubClient, *, follower: Follower, reports: Reports, clock: Clock) -> None:
        self._journal = journal
        self._hub = hub
        self._follower = follower
        self._reports = reports
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}
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
        """Send what waits and is due; tell whether nothing waits any more.

        Raises:
            TamperDetectedError: the log contradicts itself.
        """
        with self._lock:
            left = [one for one in self._journal.outbox() if not (self._is_told(one) or self._is_past(one))]
            told = [one for one in left if self._is_due(one) and self._send(one)]
        return len(told) == len(left)

    def _send(self, statement: Statement) -> bool:
        try:
            (answer,) = self._hub.report_incident([statement])
            is_told = self._is_recorded(statement, answer)
        except TamperDetectedError:
            raise
        except SandboxError as error:
            # What the unit stopped is stopped here all the same; the log is told when it can be.
            _LOG.warning("a freeze was not recorded: %s", error.code)
            is_late = isinstance(error, UnavailableError) or error.code is ErrorCode.REQUEST_UNDER_WAY
            is_told = not is_late and self._look_up(statement)
        if not is_told:
            self._wait(statement)
        return is_told

    def _is_recorded(self, statement: Statement, answer: Recorded) -> bool:
        """Follow the log to the checkpoint of the hub's receipt, and look for the statement there."""
        signed = answer.receipt.signed
        if signed.checkpoint.size > self._follower.head.size:
            self._follower.advance(signed.note)
        if self._is_told(statement):
            return True
        # SECURITY: a hub that may say so would make the unit's freeze disappear, and nobody would know.
        message = f"the hub says that the freeze `{statement.payload.id}` is recorded, and the log does not have it"
        self._reports.add(ErrorCode.PROOF_UNVERIFIED, message)
        return False

    def _look_up(self, statement: Statement) -> bool:
        """Look in the newest log for what the hub did not say to be recorded; report it where there is no reason."""
        try:
            self._follower.follow()
        except TamperDetectedError:
            raise
        except SandboxError as error:
            _LOG.warning("the log could not be followed: %s", error.code)
            return False
        if self._is_told(statement):
            return True
        with self._follower.lock:
            standing = self._follower.standing
            try:
                standing.judge(statement, at=format_time(self._clock.now()))
            except StatementRefusedError as error:
                # What does not fit now may fit later: a duty that is granted, a data set that is registered.
                _LOG.warning("a freeze has no effect as the log is: %s", error.message)
                if error.rule in (Rule.DUTY, Rule.STATE) and _is_anothers(statement, standing):
                    self._drop(statement, "is of what is not its unit's to stop")
                    return True
                return False
            except SandboxError as error:
                _LOG.warning("a freeze has no effect as the log is: %s", error.message)
                return False
        message = f"the freeze `{statement.payload.id}` fits the log, and the hub does not record it"
        self._reports.add(ErrorCode.STATEMENT_REFUSED, message)
        return False

    def _is_told(self, statement: Statement) -> bool:
        place = self._follower.place_of(statement)
        if place is not None:
            self._journal.posted(statement, place)
            self._waiting.pop(_name(statement), None)
        return place is not None

    def _is_past(self, statement: Statement) -> bool:
        """Give up what the log cannot record any more: its time does not go back."""
        last = self._follower.head.last_time
        if not last or parse_time(statement.payload.issued_at) >= parse_time(last) - REPLAY_WINDOW:
            return False
        self._drop(statement, "was not recorded in time, and cannot be any more")
        return True

    def _drop(self, statement: Statement, why: str) -> None:
        self._reports.add(ErrorCode.STATEMENT_REFUSED, f"the freeze `{statement.payload.id}` {why}")
        self._journal.posted(statement, None)
        self._waiting.pop(_name(statement), None)

    def _is_due(self, statement: Statement) -> bool:
        found = self._waiting.get(_name(statement))
        return found is None or found.again_at <= monotonic()

    def _wait(self, statement: Statement) -> None:
        before = self._waiting.get(_name(statement))
        failures = 0 if before is None else before.failures
        pause_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
        self._waiting[_name(statement)] = _Waiting(failures=failures + 1, again_at=monotonic() + pause_s)

    def _watch(self) -> None:
        pause_s = _LOOK_S
        while not self._is_over.wait(pause_s):
            try:
                self.send()
                pause_s = _LOOK_S
            except Exception as error:
                # The agent's own thread looks too, before every poll.
                _LOG.error("the outbox failed with %s", type(error).__name__)
                pause_s = _LOOK_AFTER_FAILURE_S


def _is_anothers(statement: Statement, standing: Standing) -> bool:
    """Tell whether by the log a freeze is of what is not its unit's: a party, another's node, data or terms."""
    target, unit = str(statement.payload.body["target"]), statement.payload.on_behalf_of
    dataset, agreement = standing.datasets.get(target), standing.agreements.get(target)
    if dataset is not None:
        return dataset.owner != unit
    if agreement is not None:
        return agreement.agreement.assigner != unit
    if target.startswith("node:"):
        return standing.keys.organisation(target) not in (None, unit)
    return ":" in target


def _name(statement: Statement) -> str:
    return digest_bytes(statement.envelope)
