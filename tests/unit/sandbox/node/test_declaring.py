"""Versions that were published at a node are told to the log: in order, once, of what the unit has registered."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.node.declaring import Declarer
from sandbox.node.home import NodeHome
from sandbox.node.statements import StatementMaker
from sandbox.node.versions import Versions
from tests.lib.attack_world import new_world
from tests.lib.realm import Realm
from yingbi.clock import FixedClock, parse_time
from yingbi.errors import ConflictError, ErrorCode, UnavailableError
from yingbi.ids import dataset_id
from yingbi.statement import Statement

NODE, UNIT = "node:futian-lab", "unit:futian-bureau"
FIRMS = dataset_id("lab/firms")


class Log:
    """A log that judges what it is told, and is followed by asking."""

    def __init__(self, realm: Realm) -> None:
        self.realm = realm
        self.is_away = False
        self.follows = 0

    @property
    def standing(self) -> Any:
        return self.realm.standing

    def follow(self) -> None:
        self.follows += 1

    def declare_versions(self, statements: Sequence[Statement]) -> None:
        if self.is_away:
            raise UnavailableError(ErrorCode.NODE_UNAVAILABLE, "away")
        for statement in statements:
            try:
                self.standing.judge(statement, at=self.realm.at)
            except Exception as error:
                raise ConflictError(ErrorCode.TRANSITION_REFUSED, str(error)) from error
            self.realm.take(statement)


@pytest.fixture
def log() -> Log:
    realm = Realm()
    realm.populate()
    realm.admit(UNIT, "source-unit")
    realm.register(NODE, UNIT)
    return Log(realm)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[NodeHome]:
    opened = NodeHome.open(new_world(tmp_path))
    yield opened
    opened.close()


def declarer(home: NodeHome, log: Log, unit: str = UNIT) -> Declarer:
    maker = StatementMaker(NODE, log.realm.key(NODE), FixedClock(parse_time(log.realm.at)))
    versions = Versions(home.database)
    return Declarer(
        unit=unit,
        catalogue=home.catalogue,
        versions=versions,
        follower=log,  # type: ignore[arg-type]
        hub=log,
        maker=maker,
    )


def register(log: Log, *, owner: str = UNIT, dataset: str = FIRMS) -> None:
    entry = {"owner": owner, "catalogue_entry": "sha256:" + "1" * 64, "privacy_unit": "enterprise"}
    log.realm.say("dataset.registered", dataset, {**entry, "openness": "conditional"}, owner)


def known(log: Log) -> list[int]:
    found = log.standing.datasets.get(FIRMS)
    return [] if found is None else sorted(found.versions)


def test_nothing_is_told_of_what_nobody_registered(home: NodeHome, log: Log) -> None:
    assert declarer(home, log).declare() == 0
    assert (known(log), log.follows) == ([], 0)


def test_versions_of_a_registered_data_set_are_told_in_order_and_once(home: NodeHome, log: Log) -> None:
    assert [version.version for version in home.catalogue.versions("lab/firms")] == [1, 2]
    register(log)
    telling = declarer(home, log)
    assert [telling.declare(), telling.declare(), telling.declare()] == [1, 1, 0]
    assert (known(log), log.follows) == ([1, 2], 2)


def test_what_is_told_commits_to_the_content_and_only_this_node_can_tell(home: NodeHome, log: Log) -> None:
    register(log)
    declarer(home, log).declare()
    told = log.standing.datasets.get(FIRMS)
    first, second = home.catalogue.versions("lab/firms")
    versions = Versions(home.database)
    assert told.node == NODE
    assert versions.is_content(told.versions[1].content, first)
    assert not versions.is_content(told.versions[1].content, second)
    assert not versions.is_content("sha256:" + "1" * 64, first)


def test_another_units_data_set_of_the_same_name_is_left_alone(home: NodeHome, log: Log) -> None:
    register(log, owner="unit:tax")
    assert declarer(home, log).declare() == 0


def test_what_was_withdrawn_is_not_told_of(home: NodeHome, log: Log) -> None:
    register(log)
    body = {"reason": "incident", "running_jobs": "stop", "note": None}
    log.realm.say("dataset.withdrawn", FIRMS, body, UNIT)
    assert declarer(home, log).declare() == 0


def test_a_hub_that_records_no_version_gathers_no_openings(home: NodeHome, log: Log) -> None:
    register(log)
    telling = declarer(home, log)
    sent: list[Statement] = []
    log.declare_versions = sent.extend  # type: ignore[method-assign,assignment]
    for _ in range(5):
        telling.declare()
    assert [one.envelope for one in sent] == [sent[0].envelope] * 5, "the same again, which is recorded once"
    with home.database.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from node_opening").scalar_one() == 1


def test_a_refusal_does_not_end_the_agent_and_an_absent_hub_is_asked_again(home: NodeHome, log: Log) -> None:
    register(log)
    freeze = {"target": NODE, "reason": "incident", "drill": False, "note": None}
    log.realm.say("access.frozen", "inc-1", freeze, "person:sec")
    assert declarer(home, log).declare() == 0
    log.realm.say(
        "access.unfrozen", "inc-2", {"target": NODE, "drill": False, "note": None}, "person:sec", "person:approver"
    )
    log.is_away = True
    with pytest.raises(UnavailableError):
        declarer(home, log).declare()
    log.is_away = False
    assert declarer(home, log).declare() == 1
