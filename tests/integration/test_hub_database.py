"""A hub whose own database and log are in PostgreSQL, and one in SQLite: the same story, across a restart."""

from pathlib import Path

import pytest

from api.home import DATABASE_VARIABLE, upgrade_hub
from ledger.home import DATABASE_VARIABLE as LOG_DATABASE_VARIABLE
from tests.integration import test_hub_jobs as jobs
from tests.lib.attack_world import firms_dataset
from tests.lib.databases import new_postgres_url
from tests.lib.hubs import new_hub, open_world
from yingbi.clock import FixedClock
from yingbi.errors import ErrorCode, TamperDetectedError


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where databases are: beside the hub, or on a server that two variables of the environment name."""
    kind: str = request.param
    if kind == "postgresql":
        folder: Path = request.getfixturevalue("postgres_folder")
        for name in (DATABASE_VARIABLE, LOG_DATABASE_VARIABLE):
            monkeypatch.setenv(name, new_postgres_url(folder))
    return kind


def test_a_job_goes_all_the_way_on_both_databases(place: str, tmp_path: Path, clock: FixedClock) -> None:
    home = new_hub(tmp_path / "hub", clock)
    assert home.database.startswith(place)
    with open_world(home, clock) as world:
        world.settle(firms_dataset(), jobs.TERMS)
        name = jobs.submit(world).json()["job"]
        assert jobs.poll(world).json()["job"] == name
        assert jobs.steps(world, *jobs.started(world, name)).status_code == 201
    with open_world(home, clock) as world:
        assert jobs.steps(world, *jobs.released(world, name, b"sealed")).status_code == 201
        assert jobs.put(world, f"/v1/jobs/{name}/result", b"sealed").status_code == 204
        _, body = jobs.job(world)
        repeated = [
            world.ask("POST", "/v1/jobs", by="person:analyst", body=body, headers={"Idempotency-Key": "k"})
            for _ in range(2)
        ]
        assert repeated[0].status_code == 202
        assert repeated[0].content == repeated[1].content
    with open_world(home, clock) as world:
        assert world.ask("GET", f"/v1/jobs/{name}/result", by="person:analyst").content == b"sealed"
        assert jobs.state(world, name) == "delivered"


@pytest.mark.postgres
def test_a_log_without_its_hubs_documents_does_not_open(
    tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch, postgres_folder: Path
) -> None:
    home = new_hub(tmp_path / "hub", clock)
    with open_world(home, clock) as world:
        world.settle(firms_dataset(), jobs.TERMS)
    monkeypatch.setenv(DATABASE_VARIABLE, new_postgres_url(postgres_folder))
    upgrade_hub(home.folder)
    with pytest.raises(TamperDetectedError) as caught, open_world(home, clock):
        pass
    assert caught.value.code is ErrorCode.STORE_DAMAGED
