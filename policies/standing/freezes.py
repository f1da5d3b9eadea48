"""What is stopped at once: one person freezes, two let it go on (docs/spec/standing.md, "Freezes")."""

from typing import Final

from policies.standing.agreements import AgreementRegister, check_lifted
from policies.standing.datasets import DatasetRegister
from policies.standing.keys import KeyRegister
from policies.standing.people import PeopleRegister
from policies.standing.refusals import Rule, StatementRefusedError
from policies.standing.said import Effect, Rules, Said
from yingbi.events import EntryType
from yingbi.events.fields import Duty
from yingbi.events.people import AccessFrozen, AccessUnfrozen

__all__ = ["FreezeRegister"]

_STOPPERS: Final = (Duty.SECURITY_ADMIN, Duty.BUREAU_APPROVER)
_WHO: Final = "a security administrator or an approver; a unit's chief data officer for what is the unit's"
_SPELLING: Final = "`partner:bank-a`, `person:…`, `node:…`, the id of an agreement or of a data set (`ds-…`)"


class FreezeRegister:
    """Parties and things that are frozen now. A drill is recorded and stops nothing."""

    def __init__(
        self,
        bureau: str,
        *,
        keys: KeyRegister,
        people: PeopleRegister,
        datasets: DatasetRegister,
        agreements: AgreementRegister,
    ) -> None:
        self._bureau = bureau
        self._keys = keys
        self._people = people
        self._datasets = datasets
        self._agreements = agreements
        self._frozen: dict[str, frozenset[str]] = {}

    def fork(
        self, *, keys: KeyRegister, people: PeopleRegister, datasets: DatasetRegister, agreements: AgreementRegister
    ) -> "FreezeRegister":
        """Return a copy that changes by itself."""
        copy = FreezeRegister(self._bureau, keys=keys, people=people, datasets=datasets, agreements=agreements)
        copy._frozen = dict(self._frozen)
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
        return not self._frozen.keys().isdisjoint(targets)

    def _freeze(self, said: Said) -> Effect:
        body: AccessFrozen = said.body
        if not self._is_known(body.target):
            raise StatementRefusedError(Rule.STATE, "nothing of this name is here to freeze", hint=_SPELLING)
        in_emergency = {
            one for one in said.signers.people if self._people.emergency_duties(one, at=said.at) & set(_STOPPERS)
        }
        able = self._able(body.target, said) | in_emergency
        if not able:
            raise StatementRefusedError(Rule.DUTY, "nobody signed who may freeze this", hint=_WHO)
        sides = {str(self._people.employer(one)) for one in able}
        stopped_by = self._frozen.get(body.target, frozenset()) | sides
        return lambda _: None if body.drill else self._frozen.update({body.target: stopped_by})

    def _unfreeze(self, said: Said) -> Effect:
        body: AccessUnfrozen = said.body
        if not body.drill and body.target not in self._frozen:
            raise StatementRefusedError(Rule.STATE, "this is not frozen", hint="`yingbi incidents` lists what is")
        able = self._able(body.target, said)
        if not able:
            raise StatementRefusedError(Rule.DUTY, "nobody signed who may let this go on", hint=_WHO)
        check_lifted(self._people, able, self._frozen.get(body.target, frozenset()), self._bureau)
        return lambda _: None if body.drill else self._lift(body.target)

    def _lift(self, target: str) -> None:
        self._frozen.pop(target, None)

    def _able(self, target: str, said: Said) -> set[str]:
        """Return the signers who may stop a target: the bureau's anything, a unit's officer what is the unit's."""
        owner = self._owner(target)
        officers = self._people.with_duty(said.signers, Duty.UNIT_CDO, at=said.at)
        own = {one for one in officers if owner is not None and self._people.employer(one) == owner}
        return own | set(self._people.with_duty(said.signers, *_STOPPERS, at=said.at))

    def _is_known(self, target: str) -> bool:
        """Tell whether there is such a party or thing: a slip of the pen must not look like a stop."""
        is_thing = self._datasets.get(target) is not None or self._agreements.is_known(target)
        return is_thing or self._keys.is_known(target)

    def _owner(self, target: str) -> str | None:
        dataset, agreement = self._datasets.get(target), self._agreements.get(target)
        if dataset is not None:
            return dataset.owner
        if agreement is not None:
            return agreement.agreement.assigner
        return self._keys.organisation(target) if target.startswith("node:") else None
