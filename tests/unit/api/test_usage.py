"""What agreements have used up is what the log says, however it was counted: as it came, or all at once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from api.usage import Usage, day_of
from api.worklist import Worklist
from tests.integration import test_hub_jobs as jobs
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import HubWorld, new_hub, open_world
from yingbi.clock import FixedClock, format_time

AGREEMENT = jobs.TERMS.id


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[HubWorld]:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as opened:
        opened.settle(firms_dataset(), jobs.TERMS)
        yield opened


def used(world: HubWorld) -> tuple[int, int]:
    """Return what is counted, after checking that counting all at once gives the same."""
    hub, at = world.hub, format_time(world.clock.now())
    anew = Usage()
    for job in hub.standing.jobs.items():
        anew.add(job, hub.recorder.index.time(job.entries[0]))
    found = [usage.consumption(hub.standing, AGREEMENT, at=at, apart_from=None) for usage in (hub.recorder.usage, anew)]
    assert found[0] == found[1]
    return found[0].jobs, found[0].jobs_today


def cancel(world: HubWorld, name: str) -> None:
    body = {"reason": "request", "note": None}
    said = world.state("job.cancelled", body, issuer="partner:bank-a", name=name)
    assert world.post(f"/v1/jobs/{name}/cancellation", said, by="partner:bank-a").status_code == 201


def test_what_counts_and_what_does_not(world: HubWorld, clock: FixedClock) -> None:
    names = [jobs.submit(world).json()["job"] for _ in range(3)]
    assert jobs.submit(world, purpose="other").status_code == 403
    assert used(world) == (3, 3), "what is refused is not counted"
    cancel(world, names[2])
    assert used(world) == (2, 2), "nor what was called off before it began"
    assert jobs.poll(world).json()["job"] == names[0]
    assert jobs.steps(world, *jobs.started(world, names[0])).status_code == 201
    cancel(world, names[0])
    assert used(world) == (2, 2), "but what was charged"
    clock.at += timedelta(days=1)
    assert used(world) == (2, 0)


def test_a_day_is_one_in_china() -> None:
    assert day_of("2026-11-21T15:59:59.999999Z") == "2026-11-21"
    assert day_of("2026-11-21T16:00:00.000000Z") == "2026-11-22"


def test_open_jobs_are_those_that_are_not_over(world: HubWorld) -> None:
    first, second = (jobs.submit(world).json()["job"] for _ in range(2))
    jobs.submit(world, purpose="other")
    standing, worklist = world.hub.standing, world.hub.recorder.worklist
    assert [job.id for job in worklist.open_jobs(standing)] == [first, second]
    cancel(world, first)
    anew = Worklist()
    for job in world.hub.standing.jobs.items():
        anew.add(job)
    for one in (anew, worklist):
        assert [job.id for job in one.open_jobs(world.hub.standing)] == [second]
