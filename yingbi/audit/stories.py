"""One job from its request to its end: the entries that had an effect, and what came of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from policies.jobs import TRANSITIONS, JobState
from yingbi.audit.facts import Fact, Reading
from yingbi.events import EntryType
from yingbi.events.jobs import JobApproved, JobSubmitted
from yingbi.events.outputs import OutputReleased

__all__ = ["Story", "tell_stories"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A job: all its entries in order (`facts`), of these the ones with an effect (`steps`), and its state after them.

    A job of which no entry has an effect is in no state.
    """

    job: str
    facts: tuple[Fact, ...]
    steps: tuple[Fact, ...]
    state: JobState | None

    @property
    def request(self) -> JobSubmitted | None:
        """Return what was asked for, if the job was ever submitted."""
        return next((fact.body for fact in self.steps if isinstance(fact.body, JobSubmitted)), None)

    @property
    def outcome(self) -> str:
        """Return its state in a word."""
        return "unknown" if self.state is None else str(self.state)

    @property
    def partner(self) -> str | None:
        """Return the partner that asked: the issuer, or whom the submitting person acted for."""
        first = next(self.of(EntryType.JOB_SUBMITTED), None)
        if first is None:
            return None
        payload = first.statement.payload
        return payload.issuer if payload.issuer.startswith("partner:") else payload.on_behalf_of

    @property
    def route(self) -> str | None:
        """Return how the job was approved, if it was."""
        return next((str(fact.body.route) for fact in self.steps if isinstance(fact.body, JobApproved)), None)

    @property
    def released(self) -> OutputReleased | None:
        """Return the release of its result, if there was one."""
        return next((fact.body for fact in self.steps if isinstance(fact.body, OutputReleased)), None)

    def of(self, *types: EntryType) -> Iterator[Fact]:
        """Yield its effective entries of some types."""
        return (fact for fact in self.steps if fact.type in types)

    def recorded(self, *types: EntryType) -> Iterator[Fact]:
        """Yield its entries of some types, with an effect or without."""
        return (fact for fact in self.facts if fact.type in types)


def tell_stories(reading: Reading) -> Mapping[str, Story]:
    """Return the stories of all jobs, in the order in which the log first speaks of them."""
    return {job: _tell(job, facts) for job, facts in reading.jobs.items()}


def _tell(job: str, facts: tuple[Fact, ...]) -> Story:
    steps = tuple(fact for fact in facts if fact.refusal is None)
    state = JobState.SUBMITTED if steps else None
    for fact in steps:
        state = state and (TRANSITIONS.get((state, fact.type)) or state)
    return Story(job=job, facts=facts, steps=steps, state=state)
