"""What control tests look at: a reading of the log with the views on it that they share, each worked out once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Final

from policies.model import Agreement
from yingbi.audit.contributions import Evidence
from yingbi.audit.facts import Fact, Reading
from yingbi.audit.federation_checks import FederationCheck, MakeReplay, check_federation
from yingbi.audit.federations import FederationStory, tell_federations
from yingbi.audit.findings import Hit, Severity
from yingbi.audit.people import Tenures
from yingbi.audit.stories import Story, tell_stories
from yingbi.clock import format_time, parse_time
from yingbi.events import EntryType
from yingbi.events.agreements import AgreementActivated
from yingbi.events.datasets import DatasetRegistered
from yingbi.events.fields import PrivacyUnit

__all__ = ["Case", "Control", "Test", "later"]

_STOPS: Final = (
    EntryType.AGREEMENT_SUSPENDED,
    EntryType.AGREEMENT_REVOKED,
    EntryType.AGREEMENT_SUPERSEDED,
    EntryType.AGREEMENT_EXPIRED,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A log to be tested.

    `evidence`: what is here of federations besides the log; `make_replay`: computes them again, where that can be done.
    """

    reading: Reading
    evidence: Evidence = field(default_factory=Evidence)
    make_replay: MakeReplay | None = None

    @cached_property
    def people(self) -> Tenures:
        """Return who had which duties when."""
        return Tenures(self.reading.facts)

    @cached_property
    def stories(self) -> Mapping[str, Story]:
        """Return the jobs."""
        return tell_stories(self.reading)

    @cached_property
    def federations(self) -> Mapping[str, FederationStory]:
        """Return the federations."""
        return tell_federations(self.reading)

    @cached_property
    def federation_of(self) -> Mapping[str, FederationStory]:
        """Return the federation of each job: which it was started in, or else has joined."""
        told = self.federations.values()
        joined = {body.job: story for story in told for _, body in story.joins}
        return joined | {item.job: story for story in told for item in story.members}

    @cached_property
    def federation_checks(self) -> Mapping[str, FederationCheck]:
        """Return what came of holding each federation against its evidence."""
        return {
            name: check_federation(story, self.evidence, self.make_replay) for name, story in self.federations.items()
        }

    @cached_property
    def _terms(self) -> Mapping[str, tuple[Fact, ...]]:
        found: dict[str, list[Fact]] = {}
        for fact in self.reading.facts:
            if fact.type.noun == "agreement" and fact.refusal is None:
                found.setdefault(fact.id, []).append(fact)
        return {name: tuple(facts) for name, facts in found.items()}

    @property
    def agreement_names(self) -> tuple[str, ...]:
        """Return the ids of all agreements of the log."""
        return tuple(self._terms)

    @cached_property
    def privacy_units(self) -> Mapping[str, PrivacyUnit]:
        """Return whose contributions count in each data set."""
        facts = self.reading.of(EntryType.DATASET_REGISTERED)
        return {fact.id: fact.body.privacy_unit for fact in facts if isinstance(fact.body, DatasetRegistered)}

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """Return whose each data set is."""
        facts = self.reading.of(EntryType.DATASET_REGISTERED)
        return {fact.id: fact.body.owner for fact in facts if isinstance(fact.body, DatasetRegistered)}

    def active_terms(self, agreement: str, index: int) -> str | None:
        """Return the digest of the terms that an agreement had in force before an entry, if it was active then."""
        active: AgreementActivated | None = None
        is_stopped = False
        for fact in self._terms.get(agreement, ()):
            if fact.index >= index:
                break
            if isinstance(fact.body, AgreementActivated):
                active, is_stopped = fact.body, False
            elif fact.type in _STOPS:
                is_stopped = True
            elif fact.type is EntryType.AGREEMENT_RESUMED:
                is_stopped = False
        if active is None or is_stopped:
            return None
        at = self.reading.facts[index].time
        return active.terms if active.valid_from <= at <= active.valid_until else None

    def agreement(self, name: str, index: int) -> Agreement | None:
        """Return the text of an agreement as it was in force before an entry, where it is known."""
        digest = self.active_terms(name, index)
        return None if digest is None else self.reading.find_terms(digest)

    def is_old(self, fact: Fact, age: timedelta) -> bool:
        """Tell whether so much time has passed since an entry, up to the last one of the log."""
        return later(fact.time, age) < self.reading.until


Test = Callable[[Case], Iterator[Hit]]
"""Looks at a whole case and yields what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One control: its number, its name (under which texts tell what it tests and supports), how bad a hit is.

    `population`: what it looks at, for a test without hits says nothing where there was nothing to hit; `test`: how;
    `unchecked`: what it should have looked at and could not, in words.
    """

    id: str
    name: str
    severity: Severity
    population: Callable[[Case], Iterable[object]]
    test: Test
    unchecked: Callable[[Case], Iterable[str]] = lambda _: ()


def later(at: str, by: timedelta) -> str:
    """Return a time moved by a difference."""
    return format_time(parse_time(at) + by)
