"""What is stopped at once: one person freezes, two let it go on (docs/spec/standing.md, "Freezes")."""

from typing import Final

from policies.standing.agreements import AgreementRegister
from policies.standing.datasets import DatasetRegister
from policies.standing.keys import KeyRegister
from policies.standing.people import PeopleRegister
from policies.standing.refusals import MissingSignaturesError, Rule, StatementRefusedError
from policies.standing.said import Effect, Rules, Said
from yingbi.events import EntryType
from yingbi.events.fields import Duty
from yingbi.events.people import AccessFrozen, AccessUnfrozen

__all__ = ["FreezeRegister"]

_STOPPERS: Final = (Duty.SECURITY_ADMIN, Duty.BUREAU_APPROVER)
_LETTING_GO: Final = 2


class FreezeRegister:
    """Parties and things that are frozen now. A drill is recorded and stops nothing."""

    def __init__(
        self, keys: KeyRegister, people: PeopleRegister, datasets: DatasetRegister, agreements: AgreementRegister
    ) -> None:
        self._keys = keys
        self._people = people
        self._datasets = datasets
        self._agreements = agreements
        self._frozen: set[str] = set()

    def fork(
        self, keys: KeyRegister, people: PeopleRegister, datasets: DatasetRegister, agreements: AgreementRegister
    ) -> "FreezeRegister":
        """Return a copy that changes by itself."""
        copy = FreezeRegister(keys, people, datasets, agreements)
        copy._frozen = set(self._frozen)
        return copy

    def rules(self) -> Rules:
        """Return what judges freezes and their ends."""
        return {EntryType.ACCESS_FROZEN: self._freeze, EntryType.ACCESS_UNFROZEN: self._unfreeze}

    @property
    def all(self) -> frozenset[str]:
        """Return what is frozen."""
        return frozenset(self._frozen)

    def holds(self, *targets: str | None) -> bool:
        """Tell whether one of these is frozen."""
        return not self._frozen.isdisjoint(targets)

    def _freeze(self, said: Said) -> Effect:
        body: AccessFrozen = said.body
        in_emergency = {
            one for one in said.signers.people if self._people.emergency_duties(one, at=said.at) & set(_STOPPERS)
        }
        if not self._able(body.target, said) | in_emergency:
            raise StatementRefusedError(Rule.DUTY, "nobody signed who may freeze this")
        return lambda _: None if body.drill else self._frozen.add(body.target)

    def _unfreeze(self, said: Said) -> Effect:
        body: AccessUnfrozen = said.body
        if not body.drill and body.target not in self._frozen:
            raise StatementRefusedError(Rule.STATE, "expected what is frozen")
        able = self._able(body.target, said)
        if not able:
            raise StatementRefusedError(Rule.DUTY, "nobody signed who may let this go on")
        if len(able) < _LETTING_GO:
            raise MissingSignaturesError((Duty.BUREAU_APPROVER.value,))
        return lambda _: None if body.drill else self._frozen.discard(body.target)

    def _able(self, target: str, said: Said) -> set[str]:
        """Return the signers who may stop a target: the bureau's anything, a unit's officer what is the unit's."""
        owner = self._owner(target)
        officers = self._people.with_duty(said.signers, Duty.UNIT_CDO, at=said.at)
        own = {one for one in officers if owner is not None and self._people.employer(one) == owner}
        return own | set(self._people.with_duty(said.signers, *_STOPPERS, at=said.at))

    def _owner(self, target: str) -> str | None:
        dataset, agreement = self._datasets.get(target), self._agreements.get(target)
        if dataset is not None:
            return dataset.owner
        if agreement is not None:
            return agreement.agreement.assigner
        return self._keys.organisation(target) if target.startswith("node:") else None
