"""The whole story of one result: what it relied on, who decided what when, what ran, what was checked, who has it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from yingbi.audit.case import Case
from yingbi.audit.facts import Fact
from yingbi.audit.stories import Story
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.events import EntryType
from yingbi.events.outputs import OutputReleased

__all__ = ["PHASES", "Step", "Trace", "find_job", "trace_job"]

PHASES: Final = ("data", "agreement", "request", "decision", "lease", "run", "check", "release", "delivery", "end")

_PHASE_OF: Final[Mapping[EntryType, str]] = {
    EntryType.JOB_SUBMITTED: "request",
    EntryType.JOB_APPROVED: "decision",
    EntryType.JOB_REFUSED: "decision",
    EntryType.JOB_LEASED: "lease",
    EntryType.JOB_STARTED: "run",
    EntryType.JOB_INTERRUPTED: "run",
    EntryType.BUDGET_RESERVED: "run",
    EntryType.BUDGET_COMMITTED: "release",
    EntryType.BUDGET_REFUNDED: "end",
    EntryType.JOB_FAILED: "end",
    EntryType.JOB_CANCELLED: "end",
    EntryType.OUTPUT_CHECKED: "check",
    EntryType.OUTPUT_HELD: "check",
    EntryType.OUTPUT_RELEASED: "release",
    EntryType.OUTPUT_DELIVERED: "delivery",
    EntryType.OUTPUT_DESTROYED: "end",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One entry of a story; `signers` are owners of the keys, with the duties that people had then."""

    phase: str
    fact: Fact
    signers: tuple[tuple[str, tuple[str, ...]], ...]

    def row(self) -> dict[str, JsonValue]:
        """Return the step as JSON."""
        fact, payload = self.fact, self.fact.statement.payload
        signers: list[JsonValue] = [{"party": party, "duties": list(duties)} for party, duties in self.signers]
        return {
            "phase": self.phase,
            "index": fact.index,
            "time": fact.time,
            "type": str(fact.type),
            "id": fact.id,
            "issuer": payload.issuer,
            "on_behalf_of": payload.on_behalf_of,
            "signers": signers,
            "body": fact.body.model_dump(mode="json"),
            "without_effect": None if fact.refusal is None else fact.refusal.message,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A job with everything that its result rests on. All entries are under one checkpoint of this size."""

    job: str
    partner: str | None
    state: str
    result: OutputReleased | None
    size: int
    steps: tuple[Step, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the story as JSON."""
        result: JsonValue = None
        if self.result is not None:
            result = {"content": self.result.content, "ciphertext": self.result.ciphertext}
        return {
            "job": self.job,
            "partner": self.partner,
            "state": self.state,
            "result": result,
            "checkpoint_size": self.size,
            "steps": [step.row() for step in self.steps],
        }


def find_job(case: Case, result: str) -> str:
    """Return the job of a result: of its content, of its sealed bytes, or of its output's id.

    Raises:
        NotFoundError: no entry of the log names it.
    """
    for fact in case.reading.of(EntryType.OUTPUT_RELEASED, EntryType.OUTPUT_CHECKED, EntryType.OUTPUT_HELD):
        names = {fact.id, *(getattr(fact.body, name, None) for name in ("content", "ciphertext", "candidate"))}
        if result in names and fact.job is not None:
            return fact.job
    raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "no entry of the log names this result")


def trace_job(case: Case, job: str) -> Trace:
    """Return the story of a job.

    Raises:
        NotFoundError: the log does not speak of it.
    """
    story = case.stories.get(job)
    if story is None:
        raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "no entry of the log names this job")
    steps = [*_grounds(case, story), *((_PHASE_OF[fact.type], fact) for fact in story.facts)]
    return Trace(
        job=job,
        partner=story.partner,
        state=story.outcome,
        result=story.released,
        size=case.reading.size,
        steps=tuple(Step(phase=phase, fact=fact, signers=_signers(case, fact)) for phase, fact in steps),
    )


def _grounds(case: Case, story: Story) -> Iterator[tuple[str, Fact]]:
    """Yield what a job relied on, up to its own last entry: its data, and its agreement."""
    request, last = story.request, story.facts[-1].index
    if request is None:
        return
    versions = {(row.dataset, row.version) for row in request.datasets}
    datasets = {dataset for dataset, _ in versions}
    for fact in case.reading.facts[:last]:
        version = getattr(fact.body, "version", None)
        is_used = fact.type.noun == "dataset" and fact.id in datasets
        if is_used and (version is None or (fact.id, version) in versions):
            yield "data", fact
    for fact in case.reading.facts[:last]:
        if fact.type.noun == "agreement" and fact.id == request.agreement:
            yield "agreement", fact


def _signers(case: Case, fact: Fact) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rows = []
    for signer in fact.signers:
        name = signer.owner or ("root" if signer.is_root else signer.keyid)
        duties = case.people.duties(name, fact) if name.startswith("person:") else ()
        rows.append((name if signer.fault is None else f"{name} ({signer.fault})", tuple(sorted(map(str, duties)))))
    return tuple(rows)
