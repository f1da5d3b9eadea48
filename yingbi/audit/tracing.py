"""The whole story of one result: what it relied on, who decided what when, what ran, what was checked, who has it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from yingbi.audit.case import Case
from yingbi.audit.facts import Fact
from yingbi.audit.federation_report import federation_row
from yingbi.audit.federations import FederationStory
from yingbi.audit.stories import Story
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, NotFoundError
from yingbi.events import EntryType
from yingbi.events.outputs import OutputReleased

__all__ = ["PHASES", "Step", "Trace", "find_job", "trace_job"]

PHASES: Final = (
    "data",
    "agreement",
    "members",
    "request",
    "decision",
    "lease",
    "run",
    "federation",
    "round",
    "check",
    "release",
    "delivery",
    "end",
)
"""What a story is told in. `members`: the other members of the federation that a job is one of, with their grounds."""

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
    EntryType.FEDERATION_JOINED: "federation",
    EntryType.FEDERATION_STARTED: "federation",
    EntryType.FEDERATION_ROUND_STARTED: "round",
    EntryType.FEDERATION_CONTRIBUTED: "round",
    EntryType.FEDERATION_ROUND_COMPLETED: "round",
    EntryType.FEDERATION_INTERRUPTED: "federation",
    EntryType.FEDERATION_ABORTED: "federation",
    EntryType.FEDERATION_COMPLETED: "federation",
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
    """A job with everything that its result rests on. All entries are under one checkpoint of this size.

    `federation`: what there is to say of the federation that the job is a member of.
    """

    job: str
    partner: str | None
    state: str
    result: OutputReleased | None
    size: int
    steps: tuple[Step, ...]
    federation: dict[str, JsonValue] | None = None

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
            "federation": self.federation,
            "steps": [step.row() for step in self.steps],
        }


def find_job(case: Case, result: str) -> str:
    """Return the job of a result: of its content, of its sealed bytes, or of its output's id.

    Of a model also by its federation, or by the state that this ended with, as the model's document names them: the
    job is that of the first member.

    Raises:
        NotFoundError: no entry of the log names it.
    """
    for fact in case.reading.of(EntryType.OUTPUT_RELEASED, EntryType.OUTPUT_CHECKED, EntryType.OUTPUT_HELD):
        names = {fact.id, *(getattr(fact.body, name, None) for name in ("content", "ciphertext", "candidate"))}
        if result in names and fact.job is not None:
            return fact.job
    for story in case.federations.values():
        completed = story.completed
        if story.members and result in (story.id, None if completed is None else completed[1].result):
            return story.members[0].job
    raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "no entry of the log names this result")


def trace_job(case: Case, job: str, *, is_brief: bool = False) -> Trace:
    """Return the story of a job; a brief one without the rounds of its federation and the jobs of the other members.

    Raises:
        NotFoundError: the log does not speak of it.
    """
    story = case.stories.get(job)
    if story is None:
        raise NotFoundError(ErrorCode.OUTPUT_NOT_FOUND, "no entry of the log names this job")
    federation = case.federation_of.get(job)
    others = () if federation is None or is_brief else tuple(_members(case, federation, job))
    facts = {fact.index: fact for fact in (*story.facts, *_of_federation(federation, is_brief=is_brief))}
    own = ((_PHASE_OF[facts[index].type], facts[index]) for index in sorted(facts))
    steps = [*_grounds(case, story), *others, *own]
    return Trace(
        job=job,
        partner=story.partner,
        state=story.outcome,
        result=story.released,
        size=case.reading.size,
        steps=tuple(Step(phase=phase, fact=fact, signers=_signers(case, fact)) for phase, fact in steps),
        federation=None if federation is None or is_brief else federation_row(case, federation),
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


def _of_federation(federation: FederationStory | None, *, is_brief: bool) -> Iterator[Fact]:
    """Yield the entries of a federation; briefly, those that are of no round."""
    for fact in () if federation is None else federation.facts:
        if not is_brief or _PHASE_OF[fact.type] != "round":
            yield fact


def _members(case: Case, federation: FederationStory, job: str) -> Iterator[tuple[str, Fact]]:
    """Yield what the other members' parts rest on: data, agreement with its signatures, request, approval, release."""
    for member in federation.members:
        story = case.stories.get(member.job)
        if story is None or member.job == job:
            continue
        yield from (("members", fact) for _, fact in _grounds(case, story))
        yield from (("members", fact) for fact in story.facts if fact.type.noun != "federation")


def _signers(case: Case, fact: Fact) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rows = []
    for signer in fact.signers:
        name = signer.owner or ("root" if signer.is_root else signer.keyid)
        duties = case.people.duties(name, fact) if name.startswith("person:") else ()
        rows.append((name if signer.fault is None else f"{name} ({signer.fault})", tuple(sorted(map(str, duties)))))
    return tuple(rows)
