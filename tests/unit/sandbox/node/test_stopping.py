"""What the unit's officer has the log told: told once the log has it, whatever a hub says, and not forgotten before."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from sandbox.node import stopping
from sandbox.node.agent_home import OpenAgent
from sandbox.node.journal import Journal
from sandbox.node.stopping import Outbox, report_stop
from tests.lib.agents import Scene
from tests.lib.fake_hub import NODE, OWNER, Answer
from tests.lib.nodes import PARTNER
from yingbi.canonical import canonical_bytes
from yingbi.clock import FixedClock
from yingbi.errors import SandboxError
from yingbi.ids import new_id
from yingbi.keys import VerifyKey
from yingbi.statement import Statement, parse_statement


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_BACKOFF_S", (0.0,))


def said(scene: Scene, target: str = "*") -> None:
    with scene.home() as home:
        report_stop(home, target, person="person:cdo", key=scene.hub.key("person:cdo"))


def waiting(scene: Scene) -> tuple[Statement, ...]:
    with scene.home() as home:
        return Journal(home.database, home.clock).outbox()


def reported(opened: OpenAgent) -> list[str]:
    return [one.message.split("` ", 1)[1] for one in opened.reports.unresolved()]


def work(opened: OpenAgent, times: int = 1) -> None:
    for _ in range(times):
        with suppress(SandboxError):
            opened.agent.work()


Lie = Callable[[Scene, bytes], Answer]

# What a hub answers that records nothing.
LIES: dict[str, tuple[Lie, str]] = {
    "it is another entry": (lambda scene, _: scene.hub.receipts([0]), "is recorded, and the log does not have it"),
    "it does not fit": (
        lambda scene, _: (409, b'{"code":"statement-refused"}'),
        "fits the log, and the hub does not record it",
    ),
    "it was refused": (lambda scene, _: (403, b""), "fits the log, and the hub does not record it"),
    "it has another form": (lambda scene, _: (422, b""), "fits the log, and the hub does not record it"),
    "nothing": (lambda scene, _: (201, b"{}"), "fits the log, and the hub does not record it"),
}


@contextmanager
def lying(scene: Scene, lie: Lie) -> Iterator[None]:
    """Have incidents answered with a lie."""
    route = scene.hub.route

    def answer(method: str, path: list[str], key: VerifyKey, body: bytes) -> Answer:
        return lie(scene, body) if path == ["incidents"] else route(method, path, key, body)

    scene.hub.route = answer  # type: ignore[method-assign]
    yield
    scene.hub.route = route  # type: ignore[method-assign]


@pytest.mark.parametrize("name", LIES)
def test_a_freeze_is_not_told_because_the_hub_says_so(scene: Scene, name: str) -> None:
    lie, message = LIES[name]
    said(scene)
    with scene.agent() as opened:
        with lying(scene, lie):
            work(opened, 4)
            assert sum("incidents" in one for one in scene.hub.asked) == 4, "it is sent again"
        assert len(waiting(scene)) == 1
        assert reported(opened) == [message], "and reported once"
        work(opened)
    assert waiting(scene) == ()
    assert NODE in scene.hub.standing.frozen


def test_what_the_hub_recorded_without_saying_so_is_found_in_the_log(scene: Scene) -> None:
    said(scene)
    route = scene.hub.route

    def silent(method: str, path: list[str], key: VerifyKey, body: bytes) -> Answer:
        answer = route(method, path, key, body)
        return (409, b"") if path == ["incidents"] else answer

    scene.hub.route = silent  # type: ignore[method-assign]
    with scene.agent() as opened:
        work(opened)
        assert reported(opened) == []
    assert waiting(scene) == ()
    assert [str(one.type) for one in scene.entries()].count("access.frozen") == 1


def test_what_the_log_has_by_now_is_not_sent_again(scene: Scene) -> None:
    """The hub recorded it, and its answer was lost."""
    said(scene)
    route = scene.hub.route

    def losing(method: str, path: list[str], key: VerifyKey, body: bytes) -> Answer:
        answer = route(method, path, key, body)
        return (503, b"") if path == ["incidents"] else answer

    scene.hub.route = losing  # type: ignore[method-assign]
    with scene.agent() as opened:
        work(opened, 4)
    assert sum("incidents" in one for one in scene.hub.asked) == 1
    assert waiting(scene) == ()


def test_what_the_log_has_without_effect_is_not_told(scene: Scene) -> None:
    """The hub records the freeze while who signed it may not say it."""
    said(scene)
    (statement,) = waiting(scene)
    stopped = {"reason": "incident", "drill": False, "note": None}
    scene.hub.say("access.frozen", new_id("freeze"), {**stopped, "target": "person:cdo"}, "person:sec")
    scene.hub.record([statement], is_judged=False)
    scene.work(2)
    assert waiting(scene) == (statement,)
    again = {"target": "person:cdo", "drill": False, "note": None}
    scene.hub.say("access.unfrozen", new_id("freeze"), again, "person:sec", "person:approver")
    scene.hub.places.clear()
    scene.work(2)
    assert waiting(scene) == ()
    assert NODE in scene.hub.standing.frozen


def test_one_that_waits_keeps_no_other_waiting(scene: Scene) -> None:
    said(scene, "lab/firms")
    first = waiting(scene)[0].payload.id
    said(scene)
    route = scene.hub.route

    def choosy(method: str, path: list[str], key: VerifyKey, body: bytes) -> Answer:
        is_first = path == ["incidents"] and first in _ids(body)
        return (409, b"") if is_first else route(method, path, key, body)

    scene.hub.route = choosy  # type: ignore[method-assign]
    scene.work()
    assert [one.payload.id for one in waiting(scene)] == [first]
    assert NODE in scene.hub.standing.frozen


def _ids(body: bytes) -> list[str]:
    return [parse_statement(canonical_bytes(one)).payload.id for one in json.loads(body)["statements"]]


@pytest.mark.parametrize("target", [PARTNER, "unit:elsewhere", "node:elsewhere"])
def test_what_is_not_the_units_to_stop_is_dropped_where_the_log_says_so(scene: Scene, target: str) -> None:
    said(scene, target)
    with scene.agent() as opened:
        work(opened)
        known = target != "node:elsewhere"
        assert reported(opened) == (["is of what is not its unit's to stop"] if known else [])
    assert len(waiting(scene)) == (0 if known else 1), "of a node that the log does not know yet, nobody can tell"
    assert target not in scene.hub.standing.frozen


def test_what_the_log_cannot_record_any_more_is_given_up_and_reported(scene: Scene) -> None:
    assert isinstance(scene.clock, FixedClock)
    said(scene)
    with lying(scene, LIES["it does not fit"][0]), scene.agent() as opened:
        scene.clock.at += timedelta(days=8)
        work(opened)
        assert len(waiting(scene)) == 1, "by the node's clock alone it is not past"
        body = {"target": PARTNER, "reason": "incident", "drill": True, "note": None}
        scene.hub.say("access.frozen", new_id("freeze"), body, "person:sec")
        work(opened)
        assert "was not recorded in time, and cannot be any more" in reported(opened)
    assert waiting(scene) == ()


def test_what_is_sent_in_vain_is_sent_ever_less_often(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_BACKOFF_S", (1.0, 5.0))
    now = [100.0]
    monkeypatch.setattr(stopping, "monotonic", lambda: now[0])
    said(scene)
    sent: list[float] = []

    def note(scene: Scene, body: bytes) -> Answer:
        sent.append(now[0])
        return 409, b""

    with lying(scene, note), scene.agent() as opened:
        outbox: Any = opened.agent.__dict__["_outbox"]
        assert isinstance(outbox, Outbox)
        for _ in range(13):
            outbox.send()
            now[0] += 1.0
    assert sent == [100.0, 101.0, 106.0, 111.0]


def test_a_stop_names_the_node_and_not_its_unit(scene: Scene) -> None:
    said(scene, OWNER)
    assert waiting(scene)[0].payload.body["target"] == NODE
