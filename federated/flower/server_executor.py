"""The server's side of a run: takes its task at the private listener and gives the coordinator a grid.

The code of the app is never executed here; its digest says which run this is. Everything is done by polling of our own:
Flower's grid polls every three seconds, waits for ever for a node that has gone, and retries on a server that is gone.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from federated.content import Content
from federated.flower import compat
from federated.flower.answering import read_answer
from federated.flower.bundle import Bundle
from federated.flower.calls import Coming, ControlCalls, FlowerClient, TaskCalls, Waiting, acquire_task
from federated.flower.executor import heartbeats
from federated.flower.grid import Arrived, Loss, Lost
from federated.flower.messages import Opened, Parcel, pack, request
from federated.flower.pace import Pace
from yingbi.errors import ErrorCode, NotFoundError, SandboxError, UnavailableError, VerificationError

__all__ = ["FlowerGrid", "open_run"]

_LOG: Final = logging.getLogger(__name__)
_TAKE_S: Final = 30.0
_TAKE_POLL_S: Final = 0.05
_RETRY_S: Final = 0.5
_SOON_S: Final = 0.03
_QUICK_S: Final = 0.1
_SLOW_S: Final = 0.5
_ACTIVE_S: Final = 20.0


class FlowerGrid:
    """Carries requests over Flower's server to nodes.

    Args:
        calls: of the run's task.
        run: the run's id.
        nodes: which node (Flower's id) each party is reached by.
    """

    def __init__(self, calls: TaskCalls, *, run: int, nodes: Mapping[str, int]) -> None:
        self._calls = calls
        self._nodes = dict(nodes)
        self._run = run

    @property
    def run(self) -> str:
        """Return the run's id."""
        return str(self._run)

    def online(self) -> frozenset[str]:
        """Return the parties whose nodes are connected now.

        Raises:
            SandboxError: the server does not answer.
        """
        found = self._calls.nodes()
        return frozenset(party for party, node in self._nodes.items() if found.get(node) == "online")

    def exchange(self, requests: Mapping[str, Content], *, deadline_s: float) -> Iterator[Arrived | Lost]:
        """Yield replies as they come; whoever has not replied after `deadline_s` seconds is lost.

        Raises:
            InvalidRequestError: a content that cannot be sent.
            UnavailableError: nothing could be sent at all.
            AuthenticationError: the run has ended: the server was away for longer than it waits for heartbeats.
        """
        end = time.monotonic() + deadline_s
        known = {party: content for party, content in requests.items() if party in self._nodes}
        yield from (Lost(party=party, reason=Loss.UNREACHABLE) for party in requests if party not in known)
        parcels = {party: self._pack(party, content, deadline_s) for party, content in known.items()}
        taken = self._push(tuple(parcels.values()), end)
        waiting = {parcel.id: party for party, parcel in parcels.items() if parcel.id in taken}
        # A node that was removed: the server takes no message for it.
        yield from (Lost(party=party, reason=Loss.UNREACHABLE) for party in parcels if party not in waiting.values())
        yield from self._collect(waiting, end)
        yield from (Lost(party=party, reason=Loss.DEADLINE) for party in waiting.values())

    def _pack(self, party: str, content: Content, deadline_s: float) -> Parcel:
        return pack(
            request(content, run=self._run, node=self._nodes[party], now_s=time.time(), ttl_s=max(deadline_s, 1.0))
        )

    def _push(self, parcels: tuple[Parcel, ...], end: float) -> frozenset[str]:
        while parcels:
            try:
                return self._calls.push(parcels)
            except UnavailableError:
                # The server may be starting again; a message that it has already is the same message.
                if time.monotonic() + _RETRY_S > end:
                    raise
                time.sleep(_RETRY_S)
        return frozenset()

    def _collect(self, waiting: dict[str, str], end: float) -> Iterator[Arrived | Lost]:
        """Yield what comes until everything has or the time is over; what is left in `waiting` is lost."""
        pace = Pace(quick_s=_QUICK_S, slow_s=_SLOW_S, active_s=_ACTIVE_S)
        pace.after(worked=True)
        coming: dict[str, Coming] = {}
        while waiting and time.monotonic() < end:
            try:
                self._look(waiting, coming)
            except UnavailableError as error:
                _LOG.warning("the server was not reached: %s", error.code.value)
            came = [(name, outcome) for name in coming if (outcome := self._read(waiting[name], coming[name]))]
            for name, outcome in came:
                del waiting[name], coming[name]
                yield outcome
            wait_s = pace.after(worked=bool(came))
            if waiting:
                # Members answer at about the same time: after the first the others are not far.
                time.sleep(min(_SOON_S if came else wait_s, max(0.0, end - time.monotonic())))

    def _look(self, waiting: Mapping[str, str], coming: dict[str, Coming]) -> None:
        """Note which replies have been announced; a reply is announced before all of its objects are there."""
        for head, tree in self._calls.pull(waiting.keys() - coming.keys()):
            # A node that is gone is reported by the server itself (node 1): what counts is what is replied to.
            name = head.metadata.reply_to_message_id
            if name in waiting:
                coming[name] = Coming(self._calls, tree)

    def _read(self, party: str, coming: Coming) -> Arrived | Lost | None:
        """Return what has become of a request; nothing while its reply is still on its way.

        Whoever announces a reply and never sends it holds up nobody else.
        """
        try:
            opened = coming.opened()
        except NotFoundError:
            return Lost(party=party, reason=Loss.UNREACHABLE)
        except UnavailableError:
            return None
        except SandboxError:
            return Lost(party=party, reason=Loss.MALFORMED)
        if opened is None:
            return None
        if not self._is_from(party, opened):
            return Lost(party=party, reason=Loss.MALFORMED)
        return read_answer(party, opened)

    def _is_from(self, party: str, opened: Opened) -> bool:
        sources = {self._nodes[party]} | ({compat.SUPERLINK_NODE_ID} if opened.content is None else set())
        return opened.header.run == self._run and opened.header.source in sources


@contextmanager
def open_run(
    client: FlowerClient, control: ControlCalls, *, secret: bytes, app: Bundle, nodes: Mapping[str, int]
) -> Iterator[FlowerGrid]:
    """Start a run of an app, take its task, and give a grid for as long as the block runs.

    Tasks of runs whose coordinator has died are ended on the way.

    Raises:
        SandboxError: the server does not answer, or does not have this app.
    """
    run = control.start_run(app)
    waiting = _take(client, secret, run)
    calls = TaskCalls(client, waiting.token, run=run, node=compat.SUPERLINK_NODE_ID)
    is_good = False
    with heartbeats(calls.beat):
        try:
            given = calls.start()
            if {given.run.fab_hash, given.fab.hash_str, waiting.app_sha256} != {app.sha256}:
                raise VerificationError(ErrorCode.ANSWER_MALFORMED, "the run is of another app")
            yield FlowerGrid(calls, run=run, nodes=nodes)
            is_good = True
        finally:
            _finish(calls, is_good=is_good)


def _take(client: FlowerClient, secret: bytes, run: int) -> Waiting:
    end = time.monotonic() + _TAKE_S
    while time.monotonic() < end:
        waiting = acquire_task(client, secret, [compat.TaskType.SERVER_APP])
        if waiting is not None and waiting.run == run:
            return waiting
        if waiting is not None:
            _LOG.warning("a run without its coordinator is ended", extra={"run": str(waiting.run)})
            _finish(TaskCalls(client, waiting.token, run=waiting.run, node=compat.SUPERLINK_NODE_ID), is_good=False)
        time.sleep(_TAKE_POLL_S)
    raise UnavailableError(ErrorCode.HUB_UNAVAILABLE, "the run's task did not come")


def _finish(calls: TaskCalls, *, is_good: bool) -> None:
    try:
        calls.finish(is_good=is_good)
    except SandboxError as error:
        # The task ends by itself when its heartbeats stop.
        _LOG.warning("a task could not be ended: %s", error.code.value)
