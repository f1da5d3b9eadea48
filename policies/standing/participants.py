"""Organisations that take part: applied, admitted by two people, suspended by one, gone (docs/spec/standing.md)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from policies.standing.people import PeopleRegister
from policies.standing.refusals import Rule, StatementRefusedError
from policies.standing.said import Effect, Rules, Said
from yingbi.events import EntryType
from yingbi.events.fields import Duty
from yingbi.events.people import (
    ParticipantAdmitted,
    ParticipantApplied,
    ParticipantKind,
    ParticipantOffboarded,
    ParticipantReinstated,
    ParticipantSuspended,
)
from yingbi.ids import parse_party

__all__ = ["Participant", "ParticipantRegister", "ParticipantState"]

_PARTIES: Final = {
    ParticipantKind.SOURCE_UNIT: "unit",
    ParticipantKind.STREET_OFFICE: "unit",
    ParticipantKind.AUDITOR: "auditor",
    ParticipantKind.WITNESS: "witness",
}
_ADMITTING: Final = (Duty.BUREAU_REGISTRAR, Duty.BUREAU_APPROVER)


class ParticipantState(StrEnum):
    """Where an organisation stands."""

    APPLIED = "applied"
    ADMITTED = "admitted"
    SUSPENDED = "suspended"
    OFFBOARDED = "offboarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """An organisation.

    `is_licensed`: it has shown a licence, as a credit bureau must; `changed_at`: when it last changed what it had shown
    before it was admitted, nothing where it has applied once.
    """

    party: str
    kind: ParticipantKind
    state: ParticipantState = ParticipantState.APPLIED
    is_licensed: bool = False
    valid_until: str | None = None
    changed_at: str | None = None

    def is_admitted(self, at: str) -> bool:
        """Tell whether it may act at a time."""
        return self.state is ParticipantState.ADMITTED and (self.valid_until is None or at <= self.valid_until)


class ParticipantRegister:
    """All organisations that ever applied."""

    def __init__(self, people: PeopleRegister) -> None:
        self._people = people
        self._all: dict[str, Participant] = {}

    def fork(self, people: PeopleRegister) -> "ParticipantRegister":
        """Return a copy that changes by itself."""
        copy = ParticipantRegister(people)
        copy._all = dict(self._all)
        return copy

    def rules(self) -> Rules:
        """Return what judges the entries about participants."""
        return {
            EntryType.PARTICIPANT_APPLIED: self._apply,
            EntryType.PARTICIPANT_ADMITTED: self._admit,
            EntryType.PARTICIPANT_SUSPENDED: self._suspend,
            EntryType.PARTICIPANT_REINSTATED: self._reinstate,
            EntryType.PARTICIPANT_OFFBOARDED: self._offboard,
        }

    def get(self, party: str) -> Participant | None:
        """Return an organisation, or nothing."""
        return self._all.get(party)

    def items(self) -> Iterator[Participant]:
        """Yield all organisations, in the order they applied."""
        yield from list(self._all.values())

    def is_admitted(self, party: str, *, at: str) -> bool:
        """Tell whether an organisation may act at a time; the bureau always may."""
        found = self._all.get(party)
        return party.startswith("bureau:") or (found is not None and found.is_admitted(at))

    def licensed(self, *, at: str) -> frozenset[str]:
        """Return the credit bureaus that are admitted and have shown a licence."""
        bureaus = (one for one in self._all.values() if one.kind is ParticipantKind.CREDIT_BUREAU)
        return frozenset(one.party for one in bureaus if one.is_licensed and one.is_admitted(at))

    def _apply(self, said: Said) -> Effect:
        body: ParticipantApplied = said.body
        if body.party not in said.signers.owners:
            raise StatementRefusedError(Rule.SIGNER, "expected the organisation's own key")
        if parse_party(body.party)[0] != _PARTIES.get(body.kind, "partner"):
            raise StatementRefusedError(Rule.PARTICIPANT, "this kind of organisation is another kind of party")
        found = self._all.get(body.party)
        if found is not None and found.state not in (ParticipantState.APPLIED, ParticipantState.OFFBOARDED):
            raise StatementRefusedError(Rule.STATE, "the organisation takes part already")
        return self._put(
            Participant(
                party=body.party,
                kind=body.kind,
                is_licensed=body.licence is not None,
                changed_at=None if found is None else said.at,
            )
        )

    def _admit(self, said: Said) -> Effect:
        body: ParticipantAdmitted = said.body
        found = self._in_state(body.party, ParticipantState.APPLIED)
        if found.kind is not body.kind:
            raise StatementRefusedError(Rule.PARTICIPANT, "it applied as another kind of organisation")
        # SECURITY: an application that came after the admission was signed shows what nobody has looked at. The entry's
        # time counts: the applicant can date its statement back.
        if found.changed_at is not None and said.statement.payload.issued_at <= found.changed_at:
            raise StatementRefusedError(Rule.PARTICIPANT, "it has applied anew since the admission was signed")
        self._people.need_each(said, *_ADMITTING)
        return self._put(replace(found, state=ParticipantState.ADMITTED, valid_until=body.valid_until))

    def _suspend(self, said: Said) -> Effect:
        body: ParticipantSuspended = said.body
        found = self._in_state(body.party, ParticipantState.ADMITTED)
        if not self._people.with_duty(said.signers, Duty.BUREAU_APPROVER, Duty.SECURITY_ADMIN, at=said.at):
            raise StatementRefusedError(Rule.DUTY, "expected an approver or a security administrator")
        return self._put(replace(found, state=ParticipantState.SUSPENDED))

    def _reinstate(self, said: Said) -> Effect:
        body: ParticipantReinstated = said.body
        found = self._in_state(body.party, ParticipantState.SUSPENDED)
        self._people.need_each(said, *_ADMITTING)
        return self._put(replace(found, state=ParticipantState.ADMITTED))

    def _offboard(self, said: Said) -> Effect:
        body: ParticipantOffboarded = said.body
        found = self._in_state(body.party, ParticipantState.ADMITTED, ParticipantState.SUSPENDED)
        if body.party not in said.signers.owners:
            self._people.need_each(said, *_ADMITTING)
        return self._put(replace(found, state=ParticipantState.OFFBOARDED))

    def _put(self, participant: Participant) -> Effect:
        return lambda _: self._all.update({participant.party: participant})

    def _in_state(self, party: str, *wanted: ParticipantState) -> Participant:
        found = self._all.get(party)
        if found is None or found.state not in wanted:
            raise StatementRefusedError(Rule.STATE, f"expected an organisation that is {' or '.join(wanted)}")
        return found
