"""Killing an agent at every step that it takes: before and after each call that anybody else could notice.

After the kill nothing that the process would still do (a `finally`, an `except`) reaches anything: as with `kill -9`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

from sandbox.disclosure.held import HeldQueue
from sandbox.disclosure.history.history import History
from sandbox.node.follower_store import FollowerStore
from sandbox.node.hub_client import HubClient
from sandbox.node.journal import Journal
from sandbox.node.questions import QuestionBook

__all__ = ["CALLS", "Killed", "killing"]

CALLS: Final = (
    (FollowerStore, ("extend",)),
    (HeldQueue, ("hold", "approve", "reject", "released")),
    (History, ("record",)),
    (HubClient, ("poll", "record", "put_result", "put_notice")),
    (Journal, ("take", "prepare", "recorded", "move", "count_run")),
    (QuestionBook, ("charge", "begin", "release", "end")),
)
"""Everything that writes, at the node or at the hub."""


class Killed(BaseException):
    """The process is gone."""


class _Killer:
    def __init__(self, at: int | None) -> None:
        self.at = at
        self.reached: list[str] = []
        self.is_dead = False

    def reach(self, name: str) -> None:
        """Take note of a step, and die there if it is the one."""
        if self.is_dead:
            raise Killed(name)
        self.reached.append(name)
        if self.at == len(self.reached) - 1:
            self.is_dead = True
            raise Killed(name)

    def wrap(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method that may die before it does anything, and after it has done it."""

        def call(*arguments: Any, **options: Any) -> Any:
            self.reach(f"before {name}")
            result = method(*arguments, **options)
            self.reach(f"after {name}")
            return result

        return call


@contextmanager
def killing(at: int | None) -> Iterator[list[str]]:
    """Let the process die at the step of this number (or not at all); yield the names of the steps that it took."""
    killer = _Killer(at)
    patches = [
        patch.object(owner, name, killer.wrap(f"{owner.__name__}.{name}", getattr(owner, name)))
        for owner, names in CALLS
        for name in names
    ]
    for one in patches:
        one.start()
    try:
        yield killer.reached
    except Killed:
        pass
    finally:
        for one in patches:
            one.stop()
