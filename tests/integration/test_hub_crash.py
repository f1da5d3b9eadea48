"""A hub that is killed while it answers, in every state of a job: who asks again is answered, nothing happens twice."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration import test_hub_jobs as jobs
from tests.integration.test_hub_process import running
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import HubWorld, new_hub, open_world
from tests.lib.waiting import wait_until
from yingbi.clock import SystemClock

SEALED = b"sealed result"


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

    def release(self) -> httpx.Response:
        return jobs.steps(self.world, *self.once("released", lambda: jobs.released(self.world, self.name, SEALED)))

    def upload(self) -> httpx.Response:
        return jobs.put(self.world, f"/v1/jobs/{self.name}/result", SEALED)

    def fetch(self) -> httpx.Response:
        return self.world.ask("GET", f"/v1/jobs/{self.name}/result", by="person:analyst")

    @property
    def steps(self) -> list[Callable[[], httpx.Response]]:
        return [self.submit, self.lease, self.start, self.release, self.upload, self.fetch]


EVERYTHING = {
    "job.submitted",
    "job.approved",
    "job.leased",
    "job.started",
    "budget.reserved",
    "output.checked",
    "output.released",
    "budget.committed",
    "output.delivered",
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


@pytest.mark.parametrize("delay_s", [0.0, 0.04], ids=["while it is asked", "while it answers"])
def test_killed_in_every_state_a_job_ends_as_it_should(settled: Path, delay_s: float) -> None:
    world = HubWorld(hub=None, clock=SystemClock(), client=None)  # type: ignore[arg-type]
    story = Story(world)
    before: Callable[[], httpx.Response] | None = None
    for step in story.steps:
        with served(settled, world) as process:
            ask_again(before)
            ask_and_kill(step, process, delay_s)
        before = step
    with served(settled, world):
        ask_again(before)
        wait_until(lambda: jobs.state(world, story.name) == "delivered")
        assert story.fetch().content == SEALED
        receipts = world.ask("GET", f"/v1/jobs/{story.name}/receipts", by="person:analyst").json()["entries"]
    counted = Counter(one["type"] for one in receipts)
    assert set(counted.values()) == {1}, counted
    assert set(counted) == EVERYTHING
