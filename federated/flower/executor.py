"""The node's broker: takes client tasks from the local SuperNode, has them answered, and carries the answers back.

It keeps the token and fetches the input itself; what computes (the handler, and behind it the cage) sees arrays and
never the network. Whose app it is, is checked before anything else of a task is looked at, and Flower's context, which
lives on between messages, is never written.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, Final

from federated.flower import compat
from federated.flower.answering import answer
from federated.flower.calls import Coming, FlowerClient, TaskCalls, Waiting, acquire_task
from federated.flower.handler import Handler
from federated.flower.messages import Header, Opened, error_reply, pack
from federated.flower.pace import Pace
from yingbi.errors import ErrorCode, SandboxError, UnavailableError, VerificationError

__all__ = ["Executor", "heartbeats"]

_LOG: Final = logging.getLogger(__name__)
_BEAT_S: Final = 10.0
_FETCH_S: Final = 60.0
_FETCH_POLL_S: Final = 0.05


class Executor:
    """Answers the tasks of one SuperNode, one after the other.

    Args:
        client: a connection to the SuperNode.
        secret: what tasks are taken with.
        app: digest of the app bundle (`sha256:...`) that is expected; tasks of any other are refused.
        handler: answers tasks.
        pace: how often tasks are asked for.
        on_broken: called when a task was taken and could not be answered at all. The SuperNode waits for that answer
            for ever, and for nothing else: it has to be started again.
    """

    def __init__(
        self,
        client: FlowerClient,
        *,
        secret: bytes,
        app: str,
        handler: Handler,
        pace: Pace | None = None,
        on_broken: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._secret = secret
        self._app = app
        self._handler = handler
        self._pace = pace or Pace()
        self._on_broken = on_broken

    def run(self, stop: threading.Event) -> None:
        """Answer tasks until `stop` is set; a SuperNode that does not answer is asked again."""
        last: str | None = None
        while not stop.is_set():
            worked, problem = False, None
            try:
                worked = self.step()
            except SandboxError as error:
                problem = error.code.value
            except Exception as error:
                # One message that cannot be dealt with does not end a member.
                problem = type(error).__name__
            if problem is not None and problem != last:
                _LOG.warning("no task could be answered: %s", problem)
            last = problem
            stop.wait(self._pace.after(worked=worked))

    def step(self) -> bool:
        """Answer one task, where one waits; tell whether there was one.

        Raises:
            SandboxError: the SuperNode does not answer, or refuses.
        """
        # SECURITY: no other type is ever asked for: agents, connectors and models run code of whoever asks.
        waiting = acquire_task(self._client, self._secret, [compat.TaskType.CLIENT_APP])
        if waiting is None:
            return False
        calls = TaskCalls(self._client, waiting.token, run=waiting.run, node=0)
        try:
            with heartbeats(calls.beat):
                self._work(waiting, calls)
        except Exception:
            self._on_broken()
            raise
        return True

    def _work(self, waiting: Waiting, calls: TaskCalls) -> None:
        is_good = False
        try:
            given = calls.start()
            calls = TaskCalls(self._client, waiting.token, run=waiting.run, node=given.context.node_id)
            is_good = self._answer(waiting, calls, self._check(waiting, given))
        finally:
            calls.finish(is_good=is_good)

    def _check(self, waiting: Waiting, given: Any) -> ErrorCode | None:
        """Return why a task is refused: another type, another app, or a bundle that is not what its task says."""
        if waiting.type != compat.TaskType.CLIENT_APP:
            return ErrorCode.OPERATION_NOT_PERMITTED
        named = {f"sha256:{name}" for name in (waiting.app_sha256, given.run.fab_hash, given.fab.hash_str)}
        return None if named == {self._app} else ErrorCode.JOB_REFUSED

    def _answer(self, waiting: Waiting, calls: TaskCalls, refusal: ErrorCode | None) -> bool:
        announced = calls.pull()
        if len(announced) != 1:
            raise VerificationError(ErrorCode.ANSWER_MALFORMED, "expected one message a task")
        head, tree = announced[0]
        header = _header(head)
        code = refusal
        if code is None:
            try:
                opened = _fetch(Coming(calls, tree))
                if opened.header.run != waiting.run or opened.header.id != header.id:
                    raise VerificationError(ErrorCode.ANSWER_MALFORMED, "expected a message of the task's run")
                message = answer(self._handler, opened, app=self._app, now_s=time.time())
            except SandboxError as error:
                code = error.code
        if code is not None:
            _LOG.warning("task refused: %s", code.value, extra={"run": str(waiting.run)})
            message = error_reply(code, to=header, now_s=time.time())
        if not calls.push([pack(message)]):
            raise UnavailableError(ErrorCode.HUB_UNAVAILABLE, "the node did not take a reply")
        return code is None


def _fetch(coming: Coming) -> Opened:
    end = time.monotonic() + _FETCH_S
    while (opened := coming.opened()) is None:
        if time.monotonic() > end:
            raise UnavailableError(ErrorCode.HUB_UNAVAILABLE, "a part of a message did not come")
        time.sleep(_FETCH_POLL_S)
    return opened


def _header(head: compat.message_pb2.Message) -> Header:
    return Header(
        id=head.metadata.message_id,
        run=head.metadata.run_id,
        source=head.metadata.src_node_id,
        destination=head.metadata.dst_node_id,
        reply_to=head.metadata.reply_to_message_id,
        created_at_s=head.metadata.created_at,
        ttl_s=head.metadata.ttl,
    )


@contextmanager
def heartbeats(beat: Callable[[], bool]) -> Any:
    """Send a task's heartbeats while the block runs (side effect: a thread)."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(_BEAT_S):
            try:
                if not beat():
                    return
            except SandboxError as error:
                _LOG.warning("a heartbeat was lost: %s", error.code.value)

    thread = threading.Thread(target=run, name="task-heartbeats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
