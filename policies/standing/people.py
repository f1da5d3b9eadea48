"""People and their duties: who was given what, by whom, until when (docs/spec/standing.md, "Duties")."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from policies.duties import ADMINISTRATORS, check_grant
from policies.standing.keys import KeyRegister, Signers
from policies.standing.refusals import MissingSignaturesError, Rule, StatementRefusedError
from policies.standing.said import Effect, Rules, Said
from yingbi.clock import format_time, parse_time
from yingbi.errors import RefusedError
from yingbi.events import EntryType
from yingbi.events.fields import Duty
from yingbi.events.people import AccessBreakGlassClosed, AccessBreakGlassOpened, DutyGranted, DutyRevoked

__all__ = ["BETWEEN_EMERGENCIES", "MAX_EMERGENCY", "PeopleRegister"]

MAX_EMERGENCY: Final = timedelta(minutes=30)
BETWEEN_EMERGENCIES: Final = timedelta(days=1)

# Duties that an organisation gives to its own people; all others are the bureau's to give.
_OF_ORGANISATIONS: Final = frozenset(
    {Duty.UNIT_CDO, Duty.OUTPUT_CHECKER, Duty.PARTNER_ANALYST, Duty.PARTNER_KEY_OFFICER}
)


class PeopleRegister:
    """Whom people work for, and the duties in their accounts."""

    def __init__(self, keys: KeyRegister, bureau: str) -> None:
        self._keys = keys
        self._bureau = bureau
        self._duties: dict[str, Mapping[Duty, str | None]] = {}
        self._emergencies: dict[tuple[str, Duty], str] = {}
        self._ceremony: frozenset[Duty] = frozenset()

    def fork(self, keys: KeyRegister) -> "PeopleRegister":
        """Return a copy that changes by itself."""
        copy = PeopleRegister(keys, self._bureau)
        copy._duties, copy._emergencies, copy._ceremony = dict(self._duties), dict(self._emergencies), self._ceremony
        return copy

    def rules(self) -> Rules:
        """Return what judges the entries about people."""
        return {
            EntryType.DUTY_GRANTED: self._grant,
            EntryType.DUTY_REVOKED: self._revoke,
            EntryType.ACCESS_BREAK_GLASS_OPENED: self._open,
            EntryType.ACCESS_BREAK_GLASS_CLOSED: self._close,
        }

    def employer(self, person: str) -> str | None:
        """Return whom a person works for, or nothing where no key of that person was registered."""
        return self._keys.organisation(person)

    def duties(self, person: str, *, at: str) -> frozenset[Duty]:
        """Return the duties that a person has at a time; those taken in an emergency are not among them."""
        held = self._duties.get(person, {})
        return frozenset(duty for duty, until in held.items() if until is None or at <= until)

    def emergency_duties(self, person: str, *, at: str) -> frozenset[Duty]:
        """Return the duties that a person has taken by break-glass and still has."""
        return frozenset(duty for (who, duty), until in self._emergencies.items() if who == person and at <= until)

    def holders(self, *, at: str) -> dict[str, frozenset[Duty]]:
        """Return everybody who has duties, with them."""
        return {person: duties for person in sorted(self._duties) if (duties := self.duties(person, at=at))}

    def with_duty(self, signers: Signers, *wanted: Duty, at: str) -> tuple[str, ...]:
        """Return the people among the signers who have one of some duties."""
        return tuple(person for person in signers.people if not self.duties(person, at=at).isdisjoint(wanted))

    def need_each(self, said: Said, *wanted: Duty) -> None:
        """Require a different person for each of some duties.

        Raises:
            MissingSignaturesError: duties in which nobody has signed yet.
        """
        missing = []
        free = set(said.signers.people)
        for duty in wanted:
            found = next((one for one in sorted(free) if duty in self.duties(one, at=said.at)), None)
            if found is None:
                missing.append(duty.value)
            else:
                free.discard(found)
        if missing:
            raise MissingSignaturesError(tuple(missing))

    def _grant(self, said: Said) -> Effect:
        body: DutyGranted = said.body
        employer = self.employer(body.holder)
        if not body.holder.startswith("person:") or employer is None:
            raise StatementRefusedError(Rule.DUTY, "expected a person whose key is registered")
        if body.scope is not None:
            raise StatementRefusedError(Rule.DUTY, "a duty is given whole: none is within a scope yet")
        held = self.duties(body.holder, at=said.at) | self.emergency_duties(body.holder, at=said.at)
        self._check_account(self._grantor(body.duty, employer, said), body.holder, employer, body.duty, held)
        return lambda _: self._granted(body, by_root=said.signers.has_root)

    def _granted(self, body: DutyGranted, *, by_root: bool) -> None:
        self._duties[body.holder] = {**self._duties.get(body.holder, {}), body.duty: body.valid_until}
        # INVARIANT: the ceremony makes each administrator once; afterwards a root gives no duty.
        self._ceremony |= {body.duty} if by_root else ADMINISTRATORS

    def _revoke(self, said: Said) -> Effect:
        body: DutyRevoked = said.body
        if body.duty not in self._duties.get(body.holder, {}):
            raise StatementRefusedError(Rule.STATE, "expected a duty that this person has")
        if body.holder not in said.signers.owners:
            self._grantor(body.duty, self.employer(body.holder) or self._bureau, said)
        left = {duty: until for duty, until in self._duties[body.holder].items() if duty is not body.duty}
        return lambda _: self._duties.update({body.holder: left})

    def _open(self, said: Said) -> Effect:
        body: AccessBreakGlassOpened = said.body
        if body.holder not in said.signers.owners or self.employer(body.holder) != self._bureau:
            raise StatementRefusedError(Rule.SIGNER, "expected the person of the bureau who takes the duty to sign")
        if body.expires_at > format_time(parse_time(said.at) + MAX_EMERGENCY):
            raise StatementRefusedError(Rule.TIME, "an emergency lasts thirty minutes at most")
        held = self.duties(body.holder, at=said.at) | self.emergency_duties(body.holder, at=said.at)
        self._check_account("the rule", body.holder, self._bureau, body.duty, held)
        before = self._emergencies.get((body.holder, body.duty), "")
        if before > format_time(parse_time(said.at) - BETWEEN_EMERGENCIES):
            raise StatementRefusedError(Rule.TIME, "the same emergency duty is not taken again within a day")
        return lambda _: None if body.drill else self._emergencies.update({(body.holder, body.duty): body.expires_at})

    def _close(self, said: Said) -> Effect:
        body: AccessBreakGlassClosed = said.body
        by_administrator = self.with_duty(said.signers, Duty.SECURITY_ADMIN, at=said.at)
        if body.holder not in said.signers.owners and not by_administrator:
            raise StatementRefusedError(Rule.SIGNER, "expected who took the duty, or a security administrator")
        if not body.drill and (body.holder, body.duty) not in self._emergencies:
            raise StatementRefusedError(Rule.STATE, "expected a duty that was taken in an emergency")
        # It has ended now, and is remembered: it is not taken again at once.
        return lambda _: None if body.drill else self._emergencies.update({(body.holder, body.duty): _ended(said.at)})

    def _grantor(self, duty: Duty, employer: str, said: Said) -> str:
        """Return who gives or takes a duty, if one of the signers may."""
        is_own = duty in _OF_ORGANISATIONS and employer != self._bureau
        if is_own and employer in said.signers.owners:
            return employer
        administrators = self.with_duty(said.signers, Duty.SECURITY_ADMIN, at=said.at)
        # What a unit's or a partner's people may do there is for their organisation to say.
        if administrators and not is_own:
            return administrators[0]
        if said.signers.has_root and duty in ADMINISTRATORS - self._ceremony:
            return self._bureau
        raise StatementRefusedError(Rule.SIGNER, "nobody signed who may give or take this duty")

    def _check_account(self, grantor: str, holder: str, employer: str, duty: Duty, held: frozenset[Duty]) -> None:
        try:
            check_grant(grantor=grantor, holder=holder, employer=employer, duty=duty, held=held)
        except RefusedError as error:
            raise StatementRefusedError(Rule.SEPARATION, error.message, hint=error.hint) from None


def _ended(at: str) -> str:
    """Return the last instant before a time."""
    return format_time(parse_time(at) - timedelta(microseconds=1))
