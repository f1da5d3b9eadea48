"""What happens beside a computation: the unit's veto and the log are looked at, and the hub is told how far it is."""

import logging
import threading
import time
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
    """Watches one computation from a thread of its own; sets `cancel` where it must stop, and says why.

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
        self._thread = threading.Thread(target=self._run, name="yingbi-watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def tell(self, percent: int) -> None:
        """Take down how far the computation is; it does not wait for the hub."""
        self._percent = percent

    def _run(self) -> None:
        followed = time.monotonic()
        while not self._is_over.wait(_LOOK_S) and not self.cancel.is_set():
            try:
                if time.monotonic() - followed >= _FOLLOW_S:
                    followed = time.monotonic()
                    self._follow()
                self._look()
            except TamperDetectedError:
                self.cancel.set()
            except SandboxError as error:
                # A hub that cannot be reached stops no computation: nothing leaves without it.
                _LOG.info("while computing: %s", error.code)

    def _follow(self) -> None:
        self._follower.follow()
        if self._percent != self._told:
            self._told = self._percent
            self._hub.put_progress(self._found.job, self._percent or 0)

    def _look(self) -> None:
        self.interruption = self._verifier.find_stop(self._found)
        if self.interruption is not None or self._verifier.state(self._found.job) is not JobState.STARTED:
            self.cancel.set()
