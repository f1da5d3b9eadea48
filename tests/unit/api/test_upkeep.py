"""What is over is ended on the ledger by the hub itself, once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from policies.approvals import State
from policies.model import Approvals, JobApproval, OutputApproval, Validity
from tests.integration import test_hub_jobs as jobs
from tests.lib.attack_world import firms_dataset
from tests.lib.hubs import HubWorld, new_hub, open_world
from yingbi.clock import FixedClock

REVIEWED = Approvals(agreement=jobs.TERMS.approvals.agreement, job=JobApproval.REVIEWED, output=OutputApproval.CHECKED)
SHORT = replace(
    jobs.TERMS, id="agr-short-1", valid=Validity(first=date(2026, 11, 1), last=date(2026, 11, 25)), approvals=REVIEWED
)


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[HubWorld]:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as opened:
        opened.settle(firms_dataset(), jobs.TERMS)
        opened.agree(SHORT)
        yield opened


def test_what_is_not_over_is_left_alone(world: HubWorld) -> None:
    jobs.submit(world, agreement=SHORT.id)
    size = world.hub.standing.size
    world.hub.upkeep.run_once()
    assert world.hub.standing.size == size


def test_a_job_that_nobody_decided_in_time_is_called_off_once(world: HubWorld, clock: FixedClock) -> None:
    name = jobs.submit(world, agreement=SHORT.id).json()["job"]
    clock.at += timedelta(days=2)
    world.hub.upkeep.run_once()
    size = world.hub.standing.size
    world.hub.upkeep.run_once()
    assert world.hub.standing.size == size
    assert jobs.state(world, name) == "cancelled"


def test_an_agreement_whose_days_are_over_expires(world: HubWorld, clock: FixedClock) -> None:
    clock.at += timedelta(days=6)
    world.hub.upkeep.run_once()
    standing = world.hub.standing
    found, other = standing.agreements.get(SHORT.id), standing.agreements.get(jobs.TERMS.id)
    assert found is not None
    assert other is not None
    assert (found.life.state, other.life.state) == (State.EXPIRED, State.ACTIVE)


def test_old_drafts_are_dropped(world: HubWorld, clock: FixedClock) -> None:
    admission = world.registration("partner:late", signers=["partner:late"])
    where = world.post("/v1/applications", admission, world.application("partner:late", "bank"), by="partner:late")
    assert where.status_code == 202
    clock.at += timedelta(days=8)
    world.hub.upkeep.run_once()
    assert world.ask("GET", where.headers["location"], by="person:registrar").status_code == 404
