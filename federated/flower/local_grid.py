"""A grid in this process: the real encoding, byte for byte, and no network. For tests, the demonstration and laptops.

Every request and reply becomes protobuf bytes and is read back by the same reader as in production.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from queue import Empty, SimpleQueue
from time import monotonic, time
from typing import Final

from federated.content import Content
from federated.flower import compat
from federated.flower.answering import answer, read_answer
from federated.flower.grid import Arrived, Loss, Lost
from federated.flower.handler import Handler
from federated.flower.messages import Opened, Parcel, open_parcel, pack, request, tree_ids
from yingbi.errors import SandboxError

__all__ = ["Fault", "LocalGrid"]

_FIRST_NODE: Final = 1 << 32


class Fault(StrEnum):
    """What happens to one request: it is lost on the way, its reply is, or the member dies while it computes."""

    LOSE_REQUEST = "lose-request"
    LOSE_REPLY = "lose-reply"
    KILL = "kill"


class LocalGrid:
    """Carries requests to handlers in this process.

    Args:
        handlers: who answers, by party.
        app: digest of the app bundle which the run is said to be of.
        run: the run's id, a decimal number.
        is_threaded: all at once, each in a thread; otherwise one after the other, in the order of the requests.
        fault: asked for each request (party, number of the exchange from 0) what happens to it.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        app: str,
        run: str = "1",
        is_threaded: bool = True,
        fault: Callable[[str, int], Fault | None] = lambda _party, _exchange: None,
    ) -> None:
        self._handlers = handlers
        self._app = app
        self._run = int(run)
        self._is_threaded = is_threaded
        self._fault = fault
        self._nodes = {party: _FIRST_NODE + index for index, party in enumerate(handlers)}
        self._dead: set[str] = set()
        self._exchanges = 0

    def revive(self, party: str) -> None:
        """Let a member that died take part again, as a restart does."""
        self._dead.discard(party)

    def online(self) -> frozenset[str]:
        """Return the parties that can be asked now: all whose member lives."""
        return frozenset(self._handlers) - self._dead

    def exchange(self, requests: Mapping[str, Content], *, deadline_s: float) -> Iterator[Arrived | Lost]:
        """Yield replies as they come; whoever has not replied after `deadline_s` seconds is lost.

        Raises:
            InvalidRequestError: a content that cannot be sent.
        """
        number, self._exchanges = self._exchanges, self._exchanges + 1
        parcels = {party: self._outgoing(party, content, deadline_s) for party, content in requests.items()}
        if self._is_threaded:
            yield from self._at_once(parcels, number, monotonic() + deadline_s)
            return
        for party, parcel in parcels.items():
            yield self._one(party, parcel, number) or Lost(party=party, reason=Loss.DEADLINE)

    def _outgoing(self, party: str, content: Content, deadline_s: float) -> Parcel:
        node = self._nodes.get(party, 0)
        return pack(request(content, run=self._run, node=node, now_s=time(), ttl_s=max(deadline_s, 1.0)))

    def _at_once(self, parcels: Mapping[str, Parcel], number: int, end: float) -> Iterator[Arrived | Lost]:
        done: SimpleQueue[tuple[str, Arrived | Lost | None]] = SimpleQueue()

        def run(party: str, parcel: Parcel) -> None:
            done.put((party, self._one(party, parcel, number)))

        waiting = dict.fromkeys(parcels)
        for party, parcel in parcels.items():
            # A handler that never ends must not keep the process alive.
            threading.Thread(target=run, args=(party, parcel), name=f"member-{party}", daemon=True).start()
        while waiting:
            try:
                party, outcome = done.get(timeout=max(0.0, end - monotonic()))
            except Empty:
                break
            if outcome is not None:
                del waiting[party]
                yield outcome
        yield from (Lost(party=party, reason=Loss.DEADLINE) for party in waiting)

    def _one(self, party: str, parcel: Parcel, number: int) -> Arrived | Lost | None:
        """Return what becomes of one request; nothing when it is as if nothing ever came back."""
        fault = self._fault(party, number)
        if fault is Fault.KILL:
            self._dead.add(party)
        if party in self._dead or party not in self._handlers:
            return Lost(party=party, reason=Loss.UNREACHABLE)
        if fault is Fault.LOSE_REQUEST:
            return None
        try:
            arrived = _across(parcel)
            answered = answer(self._handlers[party], arrived, app=self._app, now_s=time())
            outcome = read_answer(party, _across(pack(answered)))
        except SandboxError:
            return Lost(party=party, reason=Loss.MALFORMED)
        return None if fault is Fault.LOSE_REPLY else outcome


def _across(parcel: Parcel) -> Opened:
    """Send a message through the bytes that the network would carry."""
    sent = compat.runtime_pb2.PushAppMessagesRequest(
        messages_list=[compat.message_pb2.Message.FromString(parcel.head)],
        message_object_trees=[compat.message_pb2.ObjectTree.FromString(parcel.tree)],
    ).SerializeToString()
    pushed = [
        compat.message_pb2.PushObjectRequest(object_id=name, object_content=data).SerializeToString()
        for name, data in parcel.objects.items()
    ]
    got = [compat.message_pb2.PushObjectRequest.FromString(data) for data in pushed]
    objects = {item.object_id: item.object_content for item in got}
    tree = compat.runtime_pb2.PushAppMessagesRequest.FromString(sent).message_object_trees[0]
    return open_parcel(tree.object_id, {name: objects[name] for name in tree_ids(tree)})
