"""The unit's vetoes: set at once, found by target, lifted or not, and still there after a restart."""

import pytest

from sandbox.node.home import NodeHome
from sandbox.node.journal import Journal
from sandbox.node.stopping import report_stop
from sandbox.node.veto import EVERYTHING, Vetoes, VetoKind
from tests.lib.agents import AGREEMENT, Scene
from tests.lib.fake_hub import NODE, OWNER
from tests.lib.nodes import PARTNER
from yingbi.errors import InvalidRequestError, NotFoundError
from yingbi.ids import dataset_id


def vetoes(home: NodeHome) -> Vetoes:
    return Vetoes(home.database, home.clock)


def test_a_veto_stops_its_target_and_nothing_else_until_it_is_lifted(scene: Scene) -> None:
    with scene.home() as home:
        vetoes(home).set(VetoKind.VETO, PARTNER)
        vetoes(home).set(VetoKind.VETO, PARTNER)
    with scene.home() as home:
        assert [one.target for one in vetoes(home).standing()] == [PARTNER]
        assert vetoes(home).find({PARTNER, AGREEMENT}) is not None
        assert vetoes(home).find({AGREEMENT}) is None
        vetoes(home).lift(VetoKind.VETO, PARTNER)
        assert vetoes(home).find({PARTNER}) is None
        with pytest.raises(NotFoundError):
            vetoes(home).lift(VetoKind.VETO, PARTNER)


def test_a_hold_stops_everything(scene: Scene) -> None:
    with scene.home() as home:
        vetoes(home).set(VetoKind.HOLD)
        found = vetoes(home).find(())
        assert found is not None
        assert (found.kind, found.target) == (VetoKind.HOLD, EVERYTHING)
        vetoes(home).lift(VetoKind.HOLD)
        assert vetoes(home).find(()) is None


def test_what_was_withdrawn_stays_so(scene: Scene) -> None:
    with scene.home() as home:
        vetoes(home).set(VetoKind.WITHDRAW, AGREEMENT)
        with pytest.raises(InvalidRequestError):
            vetoes(home).lift(VetoKind.WITHDRAW, AGREEMENT)
        with pytest.raises(InvalidRequestError):
            vetoes(home).set(VetoKind.VETO, EVERYTHING)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        (EVERYTHING, NODE),
        (NODE, NODE),
        (OWNER, NODE),
        *((name, dataset_id("lab/firms")) for name in ("lab/firms", dataset_id("lab/firms"))),
    ],
)
def test_an_officers_freeze_waits_in_the_outbox(scene: Scene, target: str, named: str) -> None:
    with scene.home() as home:
        report_stop(home, target, person="person:cdo", key=scene.hub.key("person:cdo"))
        journal = Journal(home.database, home.clock)
        (statement,) = journal.outbox()
        assert (statement.payload.issuer, statement.payload.on_behalf_of) == ("person:cdo", OWNER)
        assert statement.payload.body["target"] == named
        scene.hub.standing.judge(statement, at=scene.hub.at)
        journal.posted(statement, 7)
        assert journal.outbox() == ()
