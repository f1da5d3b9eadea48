"""A hub that is killed while it answers, in every state of a job: who asks again is answered, nothing happens twice."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, takewhile
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from policies.model import terms_digest
from tests.integration import test_hub_jobs as jobs
from tests.integration.test_hub_process import running
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import NODE, HubWorld, new_hub, open_world
from tests.lib.waiting import wait_until
from yingbi.clock import SystemClock
from yingbi.ids import new_id

SEALED = b"sealed result"
BANK = "partner:bank-a"
DELAYS_S: Final = (0.0, 0.04)


class Network:
    """Asks a hub over HTTP."""

    def __init__(self, address: str) -> None:
        self._client = httpx.Client(base_url=address, trust_env=False, timeout=20)

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def request(self, method: str, path: str, *, content: bytes = b"", headers: Mapping[str, str]) -> httpx.Response:
        return self._client.request(method, path, content=content, headers=headers)


@dataclass
class Story:
    """A job's way through a hub, one request a step; each step may be repeated after it failed."""

    world: HubWorld
    name: str = ""
    made: dict[str, Any] = field(default_factory=dict)

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        """Make what is sent once, so that sending it again is sending the same."""
        if what not in self.made:
            self.made[what] = make()
        return self.made[what]

    def submit(self) -> httpx.Response:
        statement, body = self.once("job", lambda: jobs.job(self.world))
        self.name = statement.payload.id
        headers = {"Idempotency-Key": self.name}
        return self.world.ask("POST", "/v1/jobs", by="person:analyst", body=body, headers=headers)

    def lease(self) -> httpx.Response:
        return jobs.poll(self.world, wait_s=5)

    def start(self) -> httpx.Response:
        return jobs.steps(self.world, *self.once("started", lambda: jobs.started(self.world, self.name)))

    def interrupt(self) -> httpx.Response:
        body = {"attempt": 1, "reason": "node-stopped", "round": None, "sealed_state": None}
        return self._node_says("job.interrupted", body)

    def start_again(self) -> httpx.Response:
        """Start the second attempt; the job was charged at the first."""
        made = self.once("started again", lambda: jobs.started(self.world, self.name, attempt=2)[0])
        return jobs.steps(self.world, made)

    def fail(self) -> httpx.Response:
        return self._node_says("job.failed", {"attempt": 1, "reason": "engine-error", "retryable": False})

    def refuse(self) -> httpx.Response:
        refusals = [{"reason": "frozen", "clause": None}]
        body = {"gate": "start", "refusals": refusals, "terms": terms_digest(jobs.TERMS), "explanation": None}
        return self._node_says("job.refused", body)

    def hold(self) -> httpx.Response:
        return jobs.steps(self.world, self.once("held", lambda: jobs.held(self.world, self.name)))

    def let_pass(self) -> httpx.Response:
        return self._check("pass")

    def reject(self) -> httpx.Response:
        return self._check("fail")

    def destroy(self) -> httpx.Response:
        content = "sha256:" + "6" * 64
        body = {"job": self.name, "thing": "candidate", "content": content, "method": "keys-erased"}
        return self._node_says("output.destroyed", body)

    def cancel(self) -> httpx.Response:
        body = {"reason": "request", "note": None}
        made = self.once("cancelled", lambda: self.world.state("job.cancelled", body, issuer=BANK, name=self.name))
        return self.world.post(f"/v1/jobs/{self.name}/cancellation", made, by=BANK)

    def _node_says(self, kind: str, body: dict[str, Any]) -> httpx.Response:
        name = self.name if kind.startswith("job.") else new_id("out")
        return jobs.steps(self.world, self.once(kind, lambda: self.world.state(kind, body, issuer=NODE, name=name)))

    def _check(self, verdict: str) -> httpx.Response:
        rules = {"candidate": "sha256:" + "6" * 64, "rules": jobs.RULES}
        body = {"job": self.name, **rules, "verdict": verdict, "findings": []}
        who = {"issuer": "person:checker", "name": new_id("out")}
        made = self.once("check", lambda: self.world.state("output.checked", body, **who))
        return self.world.post(f"/v1/jobs/{self.name}/checks", made, by="person:checker")

    def release(self) -> httpx.Response:
        return jobs.steps(self.world, *self.once("released", lambda: jobs.released(self.world, self.name, SEALED)))

    def upload(self) -> httpx.Response:
        return jobs.put(self.world, f"/v1/jobs/{self.name}/result", SEALED)

    def fetch(self) -> httpx.Response:
        return self.world.ask("GET", f"/v1/jobs/{self.name}/result", by="person:analyst")


@dataclass(frozen=True)
class Way:
    """A way through a job's states: its requests, where it ends, and every entry that there must be, once each."""

    steps: tuple[Callable[[Story], httpx.Response], ...]
    ends: str
    entries: tuple[str, ...]


ASKED: Final = ("job.submitted", "job.approved", "job.leased")
STARTED: Final = (*ASKED, "job.started", "budget.reserved")
OUT: Final = ("output.checked", "output.released", "budget.committed", "output.delivered")
TO_START: Final = (Story.submit, Story.lease, Story.start)
TO_END: Final = (Story.release, Story.upload, Story.fetch)

WAYS: Final = {
    "delivered": Way((*TO_START, *TO_END), "delivered", (*STARTED, *OUT)),
    "interrupted, tried again, held, passed": Way(
        (*TO_START, Story.interrupt, Story.lease, Story.start_again, Story.hold, Story.let_pass, *TO_END),
        "delivered",
        (*STARTED, "job.interrupted", "job.leased", "job.started", "output.held", "output.checked", *OUT),
    ),
    "held and rejected": Way(
        (*TO_START, Story.hold, Story.reject, Story.destroy),
        "rejected",
        (*STARTED, "output.held", "output.checked", "output.destroyed"),
    ),
    "failed": Way((*TO_START, Story.fail), "failed", (*STARTED, "job.failed")),
    "refused by the node": Way((Story.submit, Story.lease, Story.refuse), "refused", (*ASKED, "job.refused")),
    "called off": Way((Story.submit, Story.cancel), "cancelled", ("job.submitted", "job.approved", "job.cancelled")),
}


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub's folder with everybody whom a job needs."""
    folder = tmp_path_factory.mktemp("crash") / "hub"
    home = new_hub(folder, SystemClock(), address=None)
    with open_world(home, SystemClock()) as world:
        world.hub.address.announce(world.address)
        world.settle(firms_dataset(), jobs.TERMS)
    return folder


@contextmanager
def served(folder: Path, world: HubWorld) -> Iterator[Any]:
    """Run the hub, and let everybody ask it."""
    with running(folder) as (process, address), Network(address) as network:
        world.client, world.address = network, address
        yield process


def ask_and_kill(step: Callable[[], httpx.Response], process: Any, delay_s: float) -> None:
    """Send a request, and kill the hub while it is answered or just after."""

    def send() -> None:
        with suppress(httpx.HTTPError):
            step()

    sending = threading.Thread(target=send)
    sending.start()
    sending.join(delay_s)
    process.kill()
    process.wait(30)
    sending.join(30)


def ask_again(step: Callable[[], httpx.Response] | None) -> None:
    """Send what was not answered once more; a lease that a dead hub could not tell is told by the next one."""
    if step is not None:
        answer = step()
        assert answer.is_success, (step, answer.text)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_killed_in_every_state_a_job_ends_as_it_should(settled: Path, way: Way) -> None:
    """Killed at every step that the ordinary way has not, now while it is asked, now while it answers."""
    world = HubWorld(hub=None, clock=SystemClock(), client=None)  # type: ignore[arg-type]
    story = Story(world)
    before: Callable[[], httpx.Response] | None = None
    calm, killed = way.steps[: _shared(way)], way.steps[_shared(way) :]
    with served(settled, world) if calm else nullcontext():
        for step in calm:
            assert step(story).is_success
    for step, delay_s in zip(killed, cycle(DELAYS_S), strict=False):
        with served(settled, world) as process:
            ask_again(before)
            ask_and_kill(partial(step, story), process, delay_s)
        before = partial(step, story)
    with served(settled, world):
        ask_again(before)
        wait_until(lambda: jobs.state(world, story.name) == way.ends)
        if way.ends == "delivered":
            assert story.fetch().content == SEALED
        receipts = world.ask("GET", f"/v1/jobs/{story.name}/receipts", by="person:analyst").json()["entries"]
    assert Counter(one["type"] for one in receipts) == Counter(way.entries)


def _shared(way: Way) -> int:
    """Return how many of the first steps the ordinary way has as well, and is killed at."""
    if way is WAYS["delivered"]:
        return 0
    pairs = zip(way.steps, WAYS["delivered"].steps, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] is pair[1], pairs))
