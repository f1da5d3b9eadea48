"""Controls about people: duties that never meet, eyes that are four, emergencies that end."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from policies.duties import CONFLICTS
from yingbi.audit.case import Case, later
from yingbi.audit.facts import Fact
from yingbi.audit.findings import Hit
from yingbi.events import EntryType
from yingbi.events.agreements import AgreementCountered, AgreementProposed, AgreementSigned
from yingbi.events.fields import Duty
from yingbi.events.outputs import OutputChecked
from yingbi.events.people import AccessBreakGlassOpened, AccessFrozen, AccessUnfrozen, DutyGranted, DutyRevoked

__all__ = [
    "conflicting_duties",
    "duties_from_oneself",
    "emergency_approvals",
    "emergency_drift",
    "frozen_parties",
    "own_approvals",
    "person_checks",
    "single_eyes",
    "suspended_participants",
    "unclosed_emergencies",
    "unfreezing_alone",
]

_DRIFT: Final = timedelta(days=7)
_TWO_PEOPLE: Final = (
    EntryType.PARTICIPANT_ADMITTED,
    EntryType.PARTICIPANT_REINSTATED,
    EntryType.AGREEMENT_RESUMED,
    EntryType.ACCESS_UNFROZEN,
)
_ADMISSIONS: Final = {
    EntryType.PARTICIPANT_ADMITTED: True,
    EntryType.PARTICIPANT_REINSTATED: True,
    EntryType.PARTICIPANT_SUSPENDED: False,
    EntryType.PARTICIPANT_OFFBOARDED: False,
}
_APPROVALS: Final = (
    EntryType.AGREEMENT_SIGNED,
    EntryType.JOB_APPROVED,
    EntryType.OUTPUT_CHECKED,
    EntryType.PARTICIPANT_ADMITTED,
    EntryType.PARTICIPANT_REINSTATED,
)
# What a frozen party may still record: requests, which are then refused, and that its work ended.
_ALWAYS_ALLOWED: Final = frozenset(
    {
        EntryType.KEY_REVOKED,
        EntryType.PARTICIPANT_OFFBOARDED,
        EntryType.JOB_SUBMITTED,
        EntryType.JOB_FAILED,
        EntryType.JOB_CANCELLED,
        EntryType.JOB_INTERRUPTED,
        EntryType.JOB_REFUSED,
        EntryType.BUDGET_REFUNDED,
        EntryType.BUDGET_COMMITTED,
        EntryType.OUTPUT_HELD,
        EntryType.OUTPUT_DESTROYED,
        EntryType.ACCESS_FROZEN,
        EntryType.ACCESS_UNFROZEN,
        EntryType.DUTY_REVOKED,
    }
)


def conflicting_duties(case: Case) -> Iterator[Hit]:
    """Yield grants that put two duties into one account that never meet there."""
    held: dict[str, dict[Duty, tuple[int, str | None]]] = {}
    for fact in case.reading.facts:
        if isinstance(fact.body, DutyRevoked) and fact.refusal is None:
            held.get(fact.body.holder, {}).pop(fact.body.duty, None)
        elif isinstance(fact.body, DutyGranted | AccessBreakGlassOpened):
            account = held.setdefault(fact.body.holder, {})
            for duty, (index, until) in account.items():
                is_over = until is not None and until < fact.time
                if not is_over and frozenset((duty, fact.body.duty)) in CONFLICTS:
                    message = f"duties {duty} and {fact.body.duty} in one account"
                    yield Hit(subject=fact.body.holder, indexes=(index, fact.index), message=message)
            if fact.refusal is None and isinstance(fact.body, DutyGranted):
                account[fact.body.duty] = (fact.index, fact.body.valid_until)


def duties_from_oneself(case: Case) -> Iterator[Hit]:
    """Yield grants that the holder signed for himself."""
    for fact in case.reading.of(EntryType.DUTY_GRANTED):
        if isinstance(fact.body, DutyGranted) and fact.body.holder in fact.parties:
            message = f"gave the duty {fact.body.duty} to himself"
            yield Hit(subject=fact.body.holder, indexes=(fact.index,), message=message)


def own_approvals(case: Case) -> Iterator[Hit]:
    """Yield approvals of one's own proposal or request, and checks by people of who receives the result."""
    proposers: dict[str, tuple[frozenset[str], int]] = {}
    for fact in case.reading.facts:
        if isinstance(fact.body, AgreementProposed | AgreementCountered):
            proposers[fact.body.terms] = (fact.people | {fact.statement.payload.issuer}, fact.index)
        elif isinstance(fact.body, AgreementSigned):
            people, index = proposers.get(fact.body.terms, (frozenset(), 0))
            for person in sorted(people & fact.people):
                yield Hit(subject=fact.id, indexes=(index, fact.index), message=f"{person} signed the own proposal")
    for story in case.stories.values():
        first = next(story.recorded(EntryType.JOB_SUBMITTED), None)
        if first is None:
            continue
        for fact in story.recorded(EntryType.JOB_APPROVED, EntryType.OUTPUT_CHECKED):
            for person in sorted(fact.people):
                if person in first.parties or case.people.employer(person) in {story.partner, *first.parties}:
                    message = f"{person} of the partner recorded {fact.type} of the partner's own job"
                    yield Hit(subject=story.job, indexes=(first.index, fact.index), message=message)


def single_eyes(case: Case) -> Iterator[Hit]:
    """Yield steps that need two people and bear the signature of fewer, and people who sign in two duties."""
    for fact in case.reading.of(*_TWO_PEOPLE):
        if len(fact.people) < 2:
            message = f"{fact.type} with {len(fact.people)} of two people"
            yield Hit(subject=fact.id, indexes=(fact.index,), message=message)
    signed: dict[tuple[str, str], tuple[Duty, int]] = {}
    for fact in case.reading.of(EntryType.AGREEMENT_SIGNED):
        if not isinstance(fact.body, AgreementSigned):
            continue
        for person in sorted(fact.people):
            duty, index = signed.setdefault((fact.body.terms, person), (fact.body.duty, fact.index))
            if duty is not fact.body.duty:
                message = f"{person} signed one text in two duties"
                yield Hit(subject=fact.id, indexes=(index, fact.index), message=message)


def emergency_approvals(case: Case) -> Iterator[Hit]:
    """Yield approvals by people who were in an emergency duty and did not have the duty itself."""
    for fact in case.reading.of(*_APPROVALS):
        for person in sorted(fact.people):
            emergency = case.people.emergency(person, fact)
            if emergency is not None and emergency.body.duty not in case.people.duties(person, fact):
                indexes = (emergency.opened.index, fact.index)
                yield Hit(subject=person, indexes=indexes, message=f"{fact.type} while in an emergency duty")


def unclosed_emergencies(case: Case) -> Iterator[Hit]:
    """Yield emergencies that ran out without a record of what was done under them."""
    for emergency in case.people.emergencies:
        if emergency.closed is None and emergency.body.expires_at < case.reading.until:
            message = f"the emergency duty {emergency.body.duty} ran out and was never closed"
            yield Hit(subject=emergency.body.holder, indexes=(emergency.opened.index,), message=message)


def emergency_drift(case: Case) -> Iterator[Hit]:
    """Yield emergencies that turn into a habit: the same duty taken again, or given for good, within a week."""
    opened: dict[tuple[str, Duty], Fact] = {}
    for fact in case.reading.facts:
        if not isinstance(fact.body, AccessBreakGlassOpened | DutyGranted):
            continue
        is_emergency = isinstance(fact.body, AccessBreakGlassOpened)
        if isinstance(fact.body, AccessBreakGlassOpened) and fact.body.drill:
            continue
        key = (fact.body.holder, fact.body.duty)
        before = opened.get(key)
        if before is not None and fact.time <= later(before.time, _DRIFT):
            how = "taken again" if is_emergency else "given for good"
            message = f"the emergency duty {fact.body.duty} was {how} within a week"
            yield Hit(subject=fact.body.holder, indexes=(before.index, fact.index), message=message)
        if is_emergency:
            opened[key] = fact


def unfreezing_alone(case: Case) -> Iterator[Hit]:
    """Yield ends of a freeze by nobody but who froze."""
    frozen: dict[str, Fact] = {}
    for fact in case.reading.of(EntryType.ACCESS_FROZEN, EntryType.ACCESS_UNFROZEN):
        if isinstance(fact.body, AccessFrozen):
            frozen.setdefault(fact.body.target, fact)
        elif isinstance(fact.body, AccessUnfrozen):
            start = frozen.pop(fact.body.target, None)
            if start is not None and fact.people <= start.people:
                message = "unfrozen by nobody but who froze"
                yield Hit(subject=fact.body.target, indexes=(start.index, fact.index), message=message)


def frozen_parties(case: Case) -> Iterator[Hit]:
    """Yield what parties recorded, and what became of things, while they were frozen."""
    frozen: dict[str, int] = {}
    for fact in case.reading.facts:
        if isinstance(fact.body, AccessFrozen):
            if not fact.body.drill and fact.refusal is None:
                frozen[fact.body.target] = fact.index
        elif isinstance(fact.body, AccessUnfrozen):
            if fact.refusal is None:
                frozen.pop(fact.body.target, None)
        elif fact.type not in _ALWAYS_ALLOWED:
            employers = {case.people.employer(party) for party in fact.parties}
            touched = fact.parties | _things(case, fact) | {party for party in employers if party is not None}
            for target in sorted(touched & frozen.keys()):
                message = f"{fact.type} while {target} was frozen"
                yield Hit(subject=target, indexes=(frozen[target], fact.index), message=message)


def suspended_participants(case: Case) -> Iterator[Hit]:
    """Yield approvals, leases and starts for partners that were not admitted, or were suspended, at that time.

    A request of theirs is nothing bad by itself: it is recorded, and refused.
    """
    admitted: dict[str, bool] = {}
    last: dict[str, int] = {}
    for fact in case.reading.facts:
        party = getattr(fact.body, "party", None)
        if fact.type in _ADMISSIONS and isinstance(party, str) and fact.refusal is None:
            admitted[party], last[party] = _ADMISSIONS[fact.type], fact.index
        elif fact.type in (EntryType.JOB_APPROVED, EntryType.JOB_LEASED, EntryType.JOB_STARTED):
            partner = case.stories[fact.id].partner
            if partner is not None and not admitted.get(partner, False):
                indexes = (*((last[partner],) if partner in last else ()), fact.index)
                yield Hit(subject=partner, indexes=indexes, message=f"{fact.type} for who was not admitted then")


def _things(case: Case, fact: Fact) -> frozenset[str]:
    """Return the things that an entry uses: only those that a start or a release would touch."""
    if fact.type not in (EntryType.JOB_STARTED, EntryType.OUTPUT_RELEASED, EntryType.JOB_LEASED):
        return frozenset()
    story = case.stories.get(fact.job or "")
    if story is None or story.request is None:
        return frozenset()
    datasets = {row.dataset for row in story.request.datasets}
    return frozenset({story.request.agreement, *datasets, *((story.partner,) if story.partner else ())})


def person_checks(fact: Fact) -> bool:
    """Tell whether a person, and not only the gate, checked an output."""
    return isinstance(fact.body, OutputChecked) and bool(fact.people)
