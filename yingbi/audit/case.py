"""What control tests look at: a reading of the log with the views on it that they share, each worked out once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

from policies.model import Agreement
from yingbi.audit.facts import Fact, Reading
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
    """A log to be tested."""

    reading: Reading

    @cached_property
    def people(self) -> Tenures:
        """Return who had which duties when."""
        return Tenures(self.reading.facts)

    @cached_property
    def stories(self) -> Mapping[str, Story]:
        """Return the jobs."""
        return tell_stories(self.reading)

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

    `population`: what it looks at, for a test without hits says nothing where there was nothing to hit; `test`: how.
    """

    id: str
    name: str
    severity: Severity
    population: Callable[[Case], Iterable[object]]
    test: Test


def later(at: str, by: timedelta) -> str:
    """Return a time moved by a difference."""
    return format_time(parse_time(at) + by)
