"""Reports against the hub: written once, with their evidence, until a person resolves them."""

from sandbox.node.home import NodeHome
from sandbox.node.reports import Reports
from tests.lib.agents import Scene
from yingbi.errors import ErrorCode


def reports(home: NodeHome) -> Reports:
    return Reports(home.database, home.folder, home.clock)


def test_the_same_report_is_written_once(scene: Scene) -> None:
    with scene.home() as home:
        for _ in range(2):
            reports(home).add(ErrorCode.PROOF_UNVERIFIED, "a lie", job="job-1")
            reports(home).add(ErrorCode.PROOF_UNVERIFIED, "a lie")
        assert [one.job for one in reports(home).unresolved()] == ["job-1", None]
        assert reports(home).halting() is None


def test_evidence_is_a_file_of_its_own_and_stays(scene: Scene) -> None:
    with scene.home() as home:
        for _ in range(2):
            reports(home).add(ErrorCode.LOG_FORKED, "two heads", evidence=b'{"v":1}', is_halting=True)
        (report,) = reports(home).unresolved()
        assert report.evidence is not None
        path = home.folder / report.evidence
        assert path.read_bytes() == b'{"v":1}'
        assert (home.folder / "evidence").stat().st_mode & 0o077 == 0
        assert reports(home).halting() == report
        assert reports(home).resolve() == 1
        assert reports(home).halting() is None
        assert reports(home).unresolved() == ()
        assert path.exists()
        reports(home).add(ErrorCode.LOG_FORKED, "two heads", evidence=b'{"v":1}', is_halting=True)
        assert len(reports(home).unresolved()) == 1, "what comes again is reported again"
