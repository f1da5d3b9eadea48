"""The member's view: one task comes in, one content goes out, or an error of which only the code goes out."""

from dataclasses import dataclass
from typing import Protocol

from federated.content import Content

__all__ = ["Handler", "Task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request to a member.

    `app` is the digest (`sha256:...`) of the app bundle which the run is of, checked against the one that is expected
    before a handler is called; `run` and `message` are Flower's ids, as texts.
    """

    app: str
    run: str
    message: str
    content: Content


class Handler(Protocol):
    """What answers tasks."""

    def handle(self, task: Task) -> Content:
        """Answer a task.

        Raises:
            SandboxError: it is refused; the coordinator is told the code, and nothing else.
        """
