"""The broker against a node that answers what it likes: what is not one message of the task's run is nobody's work."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from federated.content import Content
from federated.flower import compat, executor
from federated.flower.calls import FlowerClient
from federated.flower.executor import Executor
from federated.flower.handler import Task
from federated.flower.messages import Parcel, open_parcel, pack, request
from yingbi.errors import ErrorCode, SandboxError

APP = "a" * 64
RUN = 7
NODE = 11
CONTENT = Content(arrays={"w": np.ones(2)}, values={"step": 1})


def parcel(run: int = RUN) -> Parcel:
    return pack(request(CONTENT, run=run, node=NODE, now_s=time.time(), ttl_s=60))


@dataclass
class Node:
    """Flower's node as an executor sees it, with one task and the messages that a test gives it."""

    parcels: list[Parcel] = field(default_factory=lambda: [parcel()])
    type: str = compat.TaskType.CLIENT_APP
    fab: str = APP
    takes_replies: bool = True
    has_objects: bool = True
    replies: list[Any] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)

    def call(self, path: str, asked: Any, kind: Any, *, headers: Mapping[str, str] = {}) -> Any:
        assert headers
        return getattr(self, path.rpartition("/")[2].replace("-", "_"))(asked, kind)

    def acquire_task(self, _: Any, kind: Any) -> Any:
        answered = kind(token="t")
        answered.task.type, answered.task.run_id, answered.task.fab_hash = self.type, RUN, self.fab
        return answered

    def pull_task_input(self, _: Any, kind: Any) -> Any:
        answered = kind()
        answered.context.node_id = NODE
        answered.run.fab_hash = answered.fab.hash_str = self.fab
        return answered

    def pull_messages(self, _: Any, kind: Any) -> Any:
        heads = [compat.message_pb2.Message.FromString(one.head) for one in self.parcels]
        trees = [compat.message_pb2.ObjectTree.FromString(one.tree) for one in self.parcels]
        return kind(messages_list=heads, message_object_trees=trees)

    def pull_object(self, asked: Any, kind: Any) -> Any:
        objects = {name: data for one in self.parcels for name, data in one.objects.items()}
        return kind(object_found=True, object_available=self.has_objects, object_content=objects[asked.object_id])

    def confirm_message_received(self, _: Any, kind: Any) -> Any:
        return kind()

    def push_messages(self, asked: Any, kind: Any) -> Any:
        self._coming = {"head": asked.messages_list[0], "tree": asked.message_object_trees[0], "objects": {}}
        names = [one.object_id for one in compat.iterate_object_tree(asked.message_object_trees[0])]
        ids = [asked.message_object_trees[0].object_id] if self.takes_replies else []
        return kind(message_ids=ids, objects_to_push=names, session_id="s")

    def push_object(self, asked: Any, kind: Any) -> Any:
        self._coming["objects"][asked.object_id] = asked.object_content
        return kind(stored=True)

    def push_task_output(self, asked: Any, kind: Any) -> Any:
        self.finished.append(asked.sub_status)
        if hasattr(self, "_coming"):
            tree = self._coming["tree"].object_id
            self.replies.append(open_parcel(tree, self._coming["objects"], max_bytes=1 << 20))
        return kind()


@dataclass
class Handler:
    tasks: list[Task] = field(default_factory=list)

    def handle(self, task: Task) -> Content:
        self.tasks.append(task)
        return task.content


@dataclass
class Bench:
    node: Node
    handler: Handler = field(default_factory=Handler)
    broken: list[bool] = field(default_factory=list)

    def step(self) -> bool:
        broker = Executor(
            cast("FlowerClient", self.node),
            secret=bytes(32),
            app=f"sha256:{APP}",
            handler=self.handler,
            on_broken=lambda: self.broken.append(True),
        )
        return broker.step()


def test_a_task_is_answered() -> None:
    bench = Bench(Node())
    assert bench.step()
    (task,), (reply,) = bench.handler.tasks, bench.node.replies
    assert (task.app, task.run) == (f"sha256:{APP}", str(RUN))
    assert reply.content.arrays["w"].tolist() == [1.0, 1.0]
    assert bench.node.finished == [compat.SubStatus.COMPLETED]
    assert bench.broken == []


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (Node(fab="b" * 64), ErrorCode.JOB_REFUSED),
        (Node(type="flwr-serverapp"), ErrorCode.OPERATION_NOT_PERMITTED),
        (Node(parcels=[parcel(run=RUN + 1)]), ErrorCode.ANSWER_MALFORMED),
    ],
    ids=["another app", "another type", "a message of another run"],
)
def test_what_is_not_the_tasks_is_refused_unread(node: Node, code: ErrorCode) -> None:
    bench = Bench(node)
    assert bench.step()
    assert bench.handler.tasks == []
    assert [reply.error_reason for reply in node.replies] == [code.value]
    assert node.finished == [compat.SubStatus.FAILED]


@pytest.mark.parametrize(
    "node",
    [Node(parcels=[]), Node(parcels=[parcel(), parcel()]), Node(takes_replies=False)],
    ids=["no message", "two messages", "a reply that is not taken"],
)
def test_a_task_that_cannot_be_answered_ends_and_the_node_is_started_again(node: Node) -> None:
    bench = Bench(node)
    with pytest.raises(SandboxError):
        bench.step()
    assert node.finished == [compat.SubStatus.FAILED]
    assert bench.broken == [True]


def test_a_message_that_does_not_come_is_waited_for_and_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "_FETCH_S", 0.1)
    bench = Bench(Node(has_objects=False))
    assert bench.step()
    assert bench.handler.tasks == []
    assert [reply.error_reason for reply in bench.node.replies] == [ErrorCode.HUB_UNAVAILABLE.value]
