"""The ceremony: complete, vouched for, once; what does not fit leaves nothing behind."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from api.ceremony import ADMINISTRATORS_IN_ORDER, hold_ceremony, sign_ceremony
from api.database import open_database, writing
from api.home import load_hub, upgrade_hub
from api.settings import Settings
from tests.lib.hubs import BUREAU, fixed_key
from yingbi.clock import FixedClock, format_time
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, SandboxError
from yingbi.events.fields import Duty
from yingbi.statement import Statement

ROOT, SERVICE = fixed_key("root"), fixed_key("service")
SETTINGS = Settings(bureau=BUREAU, address=None, roots=(ROOT.public,))
PEOPLE = {duty: (f"person:{duty.value}", fixed_key(duty.value)) for duty in ADMINISTRATORS_IN_ORDER}


def spoken(clock: FixedClock, **changes: object) -> tuple[Statement, ...]:
    options: dict[str, object] = {"root": ROOT, "service_key": SERVICE, "people": PEOPLE}
    return sign_ceremony(BUREAU, at=format_time(clock.now()), **(options | changes))  # type: ignore[arg-type]


def hold(folder: Path, clock: FixedClock, statements: tuple[Statement, ...], settings: Settings = SETTINGS) -> None:
    hold_ceremony(folder, settings, "log.example/hub", service_key=SERVICE, statements=statements, clock=clock)


def test_a_hub_is_made_once(tmp_path: Path, clock: FixedClock) -> None:
    hold(tmp_path / "hub", clock, spoken(clock))
    home = load_hub(tmp_path / "hub")
    assert home.settings == SETTINGS
    assert home.load_service_key().public == SERVICE.public
    assert (tmp_path / "hub" / "service-key.pem").stat().st_mode & 0o077 == 0
    with pytest.raises(ConflictError):
        hold(tmp_path / "hub", clock, spoken(clock))


def test_what_does_not_fit_leaves_nothing_behind(tmp_path: Path, clock: FixedClock) -> None:
    everybody = spoken(clock)
    double = {duty: ("person:one", fixed_key("one")) for duty in ADMINISTRATORS_IN_ORDER}
    cases: dict[str, tuple[Statement, ...]] = {
        "another root": spoken(clock, root=fixed_key("stranger")),
        "one person with all duties": spoken(clock, people=double),
        "an administrator missing": everybody[:-1],
        "the bureau's key missing": everybody[1:],
        "another service key": spoken(clock, service_key=fixed_key("stranger")),
        "two administrators": spoken(clock, people={Duty.AUDIT_ADMIN: PEOPLE[Duty.AUDIT_ADMIN]}),
        "nothing": (),
    }
    for name, statements in cases.items():
        with pytest.raises(SandboxError):
            hold(tmp_path / "hub", clock, statements)
        assert not (tmp_path / "hub").exists(), name


def test_a_password_is_not_written_down(tmp_path: Path, clock: FixedClock) -> None:
    settings = replace(SETTINGS, database="postgresql://hub:secret@db/hub")
    with pytest.raises(InvalidRequestError) as caught:
        hold(tmp_path / "hub", clock, spoken(clock), settings)
    assert caught.value.code is ErrorCode.CONFIG_INVALID
    assert "secret" not in caught.value.message


def test_where_no_hub_is_none_is_found(tmp_path: Path) -> None:
    for look in (load_hub, upgrade_hub):
        with pytest.raises(NotFoundError):
            look(tmp_path)


def test_upgrading_a_hub_that_is_current_changes_nothing(tmp_path: Path, clock: FixedClock) -> None:
    hold(tmp_path / "hub", clock, spoken(clock))
    upgrade_hub(tmp_path / "hub")
    load_hub(tmp_path / "hub").open_database().dispose()


def test_a_hub_of_another_version_is_told_to_upgrade(tmp_path: Path, clock: FixedClock) -> None:
    hold(tmp_path / "hub", clock, spoken(clock))
    home = load_hub(tmp_path / "hub")
    engine = open_database(home.database)
    with writing(engine) as connection:
        connection.execute(text("update hub_alembic_version set version_num = '0000'"))
    engine.dispose()
    with pytest.raises(InvalidRequestError) as caught:
        home.open_database()
    assert caught.value.hint == "run `yingbi hub upgrade`"
