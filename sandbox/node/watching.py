"""What happens beside a computation: the unit's veto and the log are looked at, and the hub is told how far it is."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from policies.jobs import JobState
from sandbox.node.following import Follower
from sandbox.node.hub_client import HubClient
from sandbox.node.verifying import JobVerifier, VerifiedJob
from yingbi.errors import SandboxError, TamperDetectedError
from yingbi.events.jobs import Interruption

__all__ = ["Watcher"]

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 0.1
_FOLLOW_S: Final = 1.0


class Watcher:
    """Watches one computation from two threads of its own; sets `cancel` where it must stop, and says why.

    One looks for the unit's veto, and waits for nobody: a hub that hangs does not delay it. The other follows the log.
    `interruption` stays empty where the log itself has moved the job on, or contradicts itself.
    """

    def __init__(self, found: VerifiedJob, verifier: JobVerifier, follower: Follower, hub: HubClient) -> None:
        self.cancel = threading.Event()
        self.interruption: Interruption | None = None
        self._found = found
        self._verifier = verifier
        self._follower = follower
        self._hub = hub
        self._percent: int | None = None
        self._told: int | None = None
        self._is_over = threading.Event()
        looks = ((self._look_for_veto, _LOOK_S), (self._follow, _FOLLOW_S))
        self._threads = [
            threading.Thread(target=self._watch, args=look, name="yingbi-watcher", daemon=True) for look in looks
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(_FOLLOW_S)  # one that waits for a hub that hangs ends with its request

    def tell(self, percent: int) -> None:
        """Take down how far the computation is; it does not wait for the hub."""
        self._percent = percent

    def _watch(self, look: Callable[[], None], every_s: float) -> None:
        while not self._is_over.wait(every_s) and not self.cancel.is_set():
            try:
                look()
            except TamperDetectedError:
                self.cancel.set()
            except SandboxError as error:
                # A hub that cannot be reached stops no computation: nothing leaves without it.
                _LOG.info("while computing: %s", error.code)
            except Exception as error:
                # SECURITY: nobody computes unwatched.
                _LOG.error("the watch failed with %s", type(error).__name__)
                self.cancel.set()

    def _look_for_veto(self) -> None:
        if self._verifier.is_vetoed(self._found):
            self._stop(Interruption.FROZEN)

    def _follow(self) -> None:
        self._follower.follow()
        self._stop(self._verifier.find_stop(self._found))
        if self._verifier.state(self._found.job) is not JobState.STARTED:
            self.cancel.set()
        if self._percent != self._told:
            self._told = self._percent
            self._hub.put_progress(self._found.job, self._percent or 0)

    def _stop(self, reason: Interruption | None) -> None:
        if reason is not None:
            self.interruption = reason
            self.cancel.set()
