"""An agent that dies at every step of every story, or is cut off from its hub: it goes on, and everything is true,
charged once and released once.

Each story is told once without a death, to count its steps; then once for each step, with a death there and a new agent
afterwards. What must hold then is the same, wherever it died.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from policies.jobs import JobState
from policies.model import Approvals, JobApproval, OutputApproval
from sandbox.disclosure.held import HeldQueue
from sandbox.engine_duckdb.engine import DuckdbEngine
from sandbox.node.journal import JobStep
from sandbox.node.questions import QuestionBook, QuestionState
from tests.lib.agents import BY_STREET, LONELY, FailingCage, Scene, prepare_scene
from tests.lib.in_process import InProcessCage
from tests.lib.killing import Killed, killing
from yingbi.errors import ErrorCode, RefusedError, SandboxError
from yingbi.events.fields import Duty
from yingbi.ids import new_id

SHARDS = 2


@dataclass(frozen=True, kw_only=True)
class Story:
    """What is asked and done, and how it must end: the job's state in the log, its step here, and what was charged."""

    ask: Callable[[Scene], str]
    ends: tuple[JobState, JobStep]
    question: QuestionState | None
    told: tuple[str, ...]
    charged: int = 1
    uploads: int = 0
    meanwhile: Callable[[Scene, str], None] = lambda scene, job: None
    cage: Callable[[], object] = InProcessCage


def ask_checked(scene: Scene) -> str:
    """Ask under an agreement that has people look at every result; it takes the usual one's place."""
    approvals = Approvals(
        agreement=(Duty.UNIT_CDO, Duty.BUREAU_APPROVER), job=JobApproval.AUTOMATIC, output=OutputApproval.CHECKED
    )
    return scene.hub.ask(BY_STREET, scene.hub.agree_on(replace(scene.terms, id="agr-lab-2026-02", approvals=approvals)))


def check(scene: Scene, job: str, *people: str, verdict: str = "pass") -> None:
    """Have people say what they think of a held candidate, as soon as it is in the log."""
    found = scene.hub.standing.jobs.get(job)
    if found is None or found.state is not JobState.HELD or len(found.checks) >= len(people):
        return
    with scene.home() as home:
        (held,) = HeldQueue(home.database, home.folder / "held", home.clock).waiting()
    for person in people:
        body = {"job": job, "candidate": held.commitment, "rules": held.rules, "verdict": verdict, "findings": []}
        scene.hub.say("output.checked", new_id("check"), body, person)


STARTED = ("job.started", "budget.reserved")
OUT = ("output.released", "budget.committed")

STORIES = {
    "released": Story(
        ask=lambda scene: scene.ask(),
        ends=(JobState.RELEASED, JobStep.DONE),
        question=QuestionState.RELEASED,
        told=(*STARTED, "output.checked", *OUT),
        uploads=1,
    ),
    "refused": Story(
        ask=lambda scene: scene.ask("select uscc, count(*) from lab.firms group by uscc"),
        ends=(JobState.REFUSED, JobStep.REFUSED),
        question=None,
        told=("job.refused",),
        charged=0,
    ),
    "held and rejected": Story(
        ask=lambda scene: scene.ask(LONELY),
        meanwhile=lambda scene, job: check(scene, job, "person:checker", verdict="fail"),
        ends=(JobState.REJECTED, JobStep.REJECTED),
        question=QuestionState.REJECTED,
        told=(*STARTED, "output.held", "output.checked", "output.destroyed", "budget.committed"),
    ),
    "held and released": Story(
        ask=ask_checked,
        meanwhile=lambda scene, job: check(scene, job, "person:checker", "person:cdo"),
        ends=(JobState.RELEASED, JobStep.DONE),
        question=QuestionState.RELEASED,
        told=(*STARTED, "output.held", "output.checked", "output.checked", *OUT),
        uploads=1,
    ),
    "failed": Story(
        ask=lambda scene: scene.ask(),
        cage=lambda: FailingCage(RefusedError(ErrorCode.RESOURCE_LIMIT, "x"), times=9),
        ends=(JobState.FAILED, JobStep.FAILED),
        question=QuestionState.FAILED,
        told=(*STARTED, "job.failed", "budget.committed"),
    ),
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(autouse=True)
def no_run_without_receipt(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Whenever anything is computed, its start and its reservation are in the log that everybody sees."""
    broken: list[str] = []
    run = DuckdbEngine.run
    scenes: list[Scene] = []
    real = Scene.__init__

    def opened(self: Scene, *arguments: object, **options: object) -> None:
        real(self, *arguments, **options)  # type: ignore[arg-type]
        scenes.append(self)

    def watched(self: DuckdbEngine, *arguments: object, **options: object) -> object:
        told = [str(one.type) for one in scenes[-1].entries()]
        if "job.started" not in told or "budget.reserved" not in told:
            broken.append("it ran without a receipt")
        return run(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Scene, "__init__", opened)
    monkeypatch.setattr(DuckdbEngine, "run", watched)
    yield broken
    assert broken == []


def tell(story: Story, folder: Path, at: int | None) -> list[str]:
    """Tell a story with a death at a step; return the steps that were taken before it."""
    with Scene(folder) as scene:
        job = story.ask(scene)
        with killing(at) as reached:
            go_on(story, scene, job)
        if at is not None:
            go_on(story, scene, job)
        expect(story, scene, job)
    return reached


def go_on(story: Story, scene: Scene, job: str) -> None:
    """Let an agent work, as a new process would, until there is nothing to do."""
    with scene.agent(cage=story.cage()) as opened:
        for _ in range(4):
            opened.agent.work()
            story.meanwhile(scene, job)
        # A lease that was handed out and lost with the process is handed out again.
        found = scene.hub.standing.jobs.get(job)
        assert found is not None
        if found.state is JobState.LEASED:
            scene.hub.leases.append(scene.hub.lease_of(job, found.life.attempt))
            opened.agent.work()
            for _ in range(3):
                story.meanwhile(scene, job)
                opened.agent.work()


def expect(story: Story, scene: Scene, job: str) -> None:
    """Check that log, journal and book agree, and that everything was said, charged and released once."""
    found = scene.hub.standing.jobs.get(job)
    assert found is not None
    row = scene.row(job)
    assert (found.state, row.step) == story.ends
    told = [one for one in scene.hub.told(job) if one not in ("job.submitted", "job.approved", "job.leased")]
    assert tuple(told) == story.told
    assert len(found.entries) == len(scene.hub.told(job)), "nothing was said that has no effect"
    assert scene.charged(found.submitted.agreement) == scene.hub.standing.jobs.charged(found.submitted.agreement)
    assert scene.charged(found.submitted.agreement) == story.charged
    with scene.home() as home:
        question = QuestionBook(home.database, home.clock).find(job)
        held = HeldQueue(home.database, home.folder / "held", home.clock).waiting()
    assert (None if question is None else question.state) == story.question
    assert held == ()
    assert len(set(scene.hub.results.values())) == story.uploads
    if story.uploads:
        assert scene.hub.result(job)["result"]["kind"] == "table"
    with scene.agent(cage=story.cage()) as opened:
        opened.agent.work()
    assert scene.row(job) == row, "nothing is left to do"


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("name", STORIES)
def test_killed_at_every_step(published: Path, tmp_path: Path, name: str, shard: int) -> None:
    story = STORIES[name]
    steps = tell(story, Path(shutil.copytree(published, tmp_path / "whole")), None)
    # Before a step is as after the one before it: between them nothing is written.
    ends = [at for at, step in enumerate(steps) if at == 0 or step.startswith("after")]
    assert len(ends) > 10
    for at in ends[shard::SHARDS]:
        folder = Path(shutil.copytree(published, tmp_path / str(at)))
        try:
            tell(story, folder, at)
        except (AssertionError, SandboxError) as error:
            raise AssertionError(f"killed {steps[at]} (step {at})") from error
        shutil.rmtree(folder)


def cut_off(scene: Scene, at: int | None, *, arrives: bool) -> tuple[httpx.Client, list[str]]:
    """Return a client whose network is gone for the request of this number, or for its answer; and what is asked."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        number, target = len(asked), request.url.raw_path.decode()
        asked.append(f"{request.method} {target}")
        if number == at and not arrives:
            raise httpx.ConnectError("cut")
        status, body = scene.hub.handle(request.method, target, list(request.headers.multi_items()), request.content)
        if number == at:
            raise httpx.ReadError("cut")
        return httpx.Response(status, content=iter([body]))

    return httpx.Client(transport=httpx.MockTransport(answer)), asked


def tell_cut_off(story: Story, folder: Path, at: int | None, *, arrives: bool) -> list[str]:
    """Tell a story in which one request or answer is lost, and the agent lives on; return what was asked."""
    with Scene(folder) as scene:
        job = story.ask(scene)
        http, asked = cut_off(scene, at, arrives=arrives)
        with scene.agent(cage=story.cage(), http=http) as opened:
            for _ in range(8):
                with suppress(SandboxError):  # as `Agent.run` does, and waits a moment
                    opened.agent.work()
                story.meanwhile(scene, job)
                found = scene.hub.standing.jobs.get(job)
                if found is not None and found.state is JobState.LEASED:
                    scene.hub.leases.append(scene.hub.lease_of(job, found.life.attempt))
        expect(story, scene, job)
    return asked


@pytest.mark.parametrize("arrives", [False, True], ids=["request", "answer"])
@pytest.mark.parametrize("name", ["released", "held and rejected"])
def test_cut_off_at_every_request(published: Path, tmp_path: Path, name: str, arrives: bool) -> None:
    story = STORIES[name]
    asked = tell_cut_off(story, Path(shutil.copytree(published, tmp_path / "whole")), None, arrives=arrives)
    # What is read of the log is read again, and after the last step the agent only asks for work.
    last = max(at for at, one in enumerate(asked) if not one.startswith("GET") and not one.endswith("/poll"))
    ends = [at for at, one in enumerate(asked[: last + 1]) if "/tile/" not in one]
    assert len(ends) > 5
    for at in ends:
        folder = Path(shutil.copytree(published, tmp_path / str(at)))
        try:
            tell_cut_off(story, folder, at, arrives=arrives)
        except (AssertionError, SandboxError) as error:
            raise AssertionError(f"cut off at {asked[at]} ({at})") from error
        shutil.rmtree(folder)


class _Dying:
    """A cage in which every computation takes the node with it."""

    def start(self, spec: object) -> "_Dying":
        del spec
        return self

    data: tuple[str, ...] = ()
    is_alive = True

    def run(self, *_: object, **__: object) -> object:
        raise Killed("in the middle")

    def close(self) -> None:
        """End nothing."""


def test_a_computation_that_kills_its_node_is_given_up(published: Path, tmp_path: Path) -> None:
    """After three runs that died in the middle the job has failed, and is not tried again."""
    with Scene(Path(shutil.copytree(published, tmp_path / "scene"))) as scene:
        job = scene.ask()
        for _ in range(3):
            with pytest.raises(Killed), scene.agent(cage=_Dying()) as opened:
                opened.agent.work()
        with scene.agent() as opened:
            opened.agent.work()
        failed = next(one for one in scene.entries(job) if one.type == "job.failed").payload.body
        assert (failed["reason"], failed["retryable"]) == ("out-of-resources", False)
        assert (scene.row(job).step, scene.charged()) == (JobStep.FAILED, 1)
