"""Who worked for whom and had which duties when, from the entries that have an effect."""

from collections.abc import Iterable
from dataclasses import dataclass

from yingbi.audit.facts import Fact
from yingbi.events.fields import Duty
from yingbi.events.people import AccessBreakGlassClosed, AccessBreakGlassOpened, DutyGranted, DutyRevoked
from yingbi.events.trust import KeyRegistered

__all__ = ["Emergency", "Tenure", "Tenures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """A duty of a person, from an entry up to (not including) another, and until a time where one was set."""

    person: str
    duty: Duty
    first: int
    end: int | None
    valid_until: str | None

    def holds(self, index: int, at: str) -> bool:
        """Tell whether the person had the duty at this place of the log."""
        in_log = self.first <= index and (self.end is None or index < self.end)
        return in_log and (self.valid_until is None or at <= self.valid_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """A duty taken by break-glass: the entry that opened it, the one that closed it, and when it ran out."""

    opened: Fact
    body: AccessBreakGlassOpened
    closed: Fact | None

    def holds(self, index: int, at: str) -> bool:
        """Tell whether it was open at this place of the log."""
        before_end = self.closed is None or index < self.closed.index
        return self.opened.index <= index and before_end and at <= self.body.expires_at


class Tenures:
    """All duties that people had, and whom they worked for."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.tenures: list[Tenure] = []
        self.emergencies: list[Emergency] = []
        self._employers: dict[str, str] = {}
        for fact in facts:
            if fact.refusal is None:
                self._take(fact)

    def employer(self, person: str) -> str | None:
        """Return whom a person works for, as the registration of his key says."""
        return self._employers.get(person)

    def duties(self, person: str, fact: Fact) -> frozenset[Duty]:
        """Return the duties that a person had when an entry was made; those of an emergency are not among them."""
        held = (item for item in self.tenures if item.person == person and item.holds(fact.index, fact.time))
        return frozenset(item.duty for item in held)

    def emergency(self, person: str, fact: Fact) -> Emergency | None:
        """Return the emergency in which a person was when an entry was made."""
        open_then = (
            item for item in self.emergencies if item.body.holder == person and item.holds(fact.index, fact.time)
        )
        return next(open_then, None)

    def _take(self, fact: Fact) -> None:
        match fact.body:
            case KeyRegistered(owner=owner):
                employer = fact.statement.payload.on_behalf_of
                if employer is not None:
                    self._employers.setdefault(owner, employer)
            case DutyGranted(holder=holder, duty=duty, valid_until=valid_until):
                self.tenures.append(
                    Tenure(person=holder, duty=duty, first=fact.index, end=None, valid_until=valid_until)
                )
            case DutyRevoked(holder=holder, duty=duty):
                self._end(holder, duty, fact.index)
            case AccessBreakGlassOpened() as body:
                self.emergencies.append(Emergency(opened=fact, body=body, closed=None))
            case AccessBreakGlassClosed() as body:
                self._close(fact, body)
            case _:
                pass

    def _end(self, person: str, duty: Duty, index: int) -> None:
        self.tenures = [
            Tenure(person=item.person, duty=item.duty, first=item.first, end=index, valid_until=item.valid_until)
            if (item.person, item.duty, item.end) == (person, duty, None)
            else item
            for item in self.tenures
        ]

    def _close(self, fact: Fact, body: AccessBreakGlassClosed) -> None:
        self.emergencies = [
            Emergency(opened=item.opened, body=item.body, closed=fact)
            if item.closed is None and (item.body.holder, item.body.duty) == (body.holder, body.duty)
            else item
            for item in self.emergencies
        ]
