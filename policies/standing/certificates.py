"""Certificates and their applications, as the entries of the log leave them (docs/spec/standing.md, "Certificates").

INVARIANT: whatever was issued was approved, in the same words, by somebody else than who accepted and reviewed it; of a
certificate that passed on, one holder is active; what is derived is never wider than what it comes from.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from policies.certificates.life import ENDED, OPEN, CertificateState, Step, needs_notice, transition
from policies.certificates.numbers import parse_number
from policies.certificates.scope import Scope, scope_digest, widenings
from policies.certificates.status_list import Status
from policies.standing.agreements import check_lifted
from policies.standing.datasets import DatasetRegister
from policies.standing.keys import KeyRegister
from policies.standing.people import PeopleRegister
from policies.standing.refusals import (
    MissingSignaturesError,
    Rule,
    StatementRefusedError,
    UnknownTermsError,
    conflict,
)
from policies.standing.said import Effect, Rules, Said
from yingbi.errors import ConflictError, InvalidRequestError
from yingbi.events import EntryType
from yingbi.events.certificates import (
    AssetClass,
    CertificateAccepted,
    CertificateApproved,
    CertificateChange,
    CertificateChanged,
    CertificateExpired,
    CertificateIssued,
    CertificateLicensed,
    CertificateNoticed,
    CertificateObjected,
    CertificateReturned,
    CertificateReviewed,
    CertificateRevoked,
    CertificateSubmitted,
    CertificateSuspended,
    CertificateTransferred,
    Channel,
    Registration,
    ReviewKind,
)
from yingbi.events.fields import Duty, ReviewOutcome
from yingbi.ids import dataset_id, parse_party

__all__ = ["ApplicationStanding", "CertificateRegister", "CertificateStanding", "FindScope"]

FindScope = Callable[[str], Scope | None]
"""Returns the text of a scope by its digest, or nothing where it is not here."""

_Issuance = CertificateIssued | CertificateLicensed | CertificateTransferred | CertificateChanged

_STOPPERS: Final = (Duty.BUREAU_APPROVER, Duty.SECURITY_ADMIN)
_DECIDERS: Final = (Duty.BUREAU_REVIEWER, Duty.BUREAU_APPROVER)
_REVIEWERS: Final = {
    ReviewKind.FORM: Duty.BUREAU_REVIEWER,
    ReviewKind.SUBSTANCE: Duty.BUREAU_REVIEWER,
    ReviewKind.THIRD_PARTY: Duty.EXPERT,
    ReviewKind.OBJECTION: Duty.BUREAU_REVIEWER,
}
_NEEDED: Final = frozenset({ReviewKind.FORM, ReviewKind.SUBSTANCE})
_REGISTRATIONS: Final[Mapping[EntryType, tuple[Registration, ...]]] = {
    EntryType.CERTIFICATE_ISSUED: (Registration.FIRST,),
    EntryType.CERTIFICATE_LICENSED: (Registration.LICENCE,),
    EntryType.CERTIFICATE_TRANSFERRED: (Registration.TRANSFER,),
    EntryType.CERTIFICATE_CHANGED: (Registration.CHANGE,),
}
# SECURITY: a licence has a parent, which it is not wider than; and a subject's values are nobody else's.
# Cancelling and objecting are entries of their own: nothing is applied for.
_CLASSES: Final[Mapping[Registration, frozenset[AssetClass]]] = {
    Registration.FIRST: frozenset({AssetClass.REGISTRATION, AssetClass.SUBJECT_VALUE}),
    Registration.LICENCE: frozenset({AssetClass.LICENCE}),
    Registration.TRANSFER: frozenset({AssetClass.REGISTRATION, AssetClass.LICENCE}),
    Registration.CHANGE: frozenset(AssetClass),
    Registration.CANCEL: frozenset(),
    Registration.OBJECTION: frozenset(),
}
_ID: Final = "app-"
_HOLDERS: Final = ("unit", "partner", "subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationStanding:
    """An application, where it is, and what was said of it since it was last submitted.

    `passed`: the reviews that it has. `hands`: who ever accepted or reviewed it, and may not approve it. `objections`:
    how many are open. `provisional_until`: where papers are still to come. `notice_until`: when the public notice ends.
    `deadline`: when it may be given up.
    """

    id: str
    state: CertificateState
    applicant: str
    submitted: CertificateSubmitted
    passed: frozenset[ReviewKind] = frozenset()
    hands: frozenset[str] = frozenset()
    objections: int = 0
    provisional_until: str | None = None
    notice_until: str | None = None
    deadline: str | None = None
    approved: CertificateApproved | None = None
    number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateStanding:
    """A certificate, where it is in its life, and what it comes from.

    `holder`: whose key it is bound to. `parent`: what it is derived from. `predecessor`: whose place it took;
    `successor`: what took its place. `stopped_by`: whose people have suspended it. `objections`: how many are open.
    """

    number: str
    state: CertificateState
    holder: str
    issued: _Issuance
    entry: int
    parent: str | None = None
    predecessor: str | None = None
    successor: str | None = None
    stopped_by: frozenset[str] = frozenset()
    objections: int = 0


class CertificateRegister:
    """All applications and certificates that ever were."""

    def __init__(
        self,
        *,
        bureau: str,
        keys: KeyRegister,
        people: PeopleRegister,
        datasets: DatasetRegister,
        find_scope: FindScope,
    ) -> None:
        self._bureau = bureau
        self._datasets = datasets
        self._keys = keys
        self._people = people
        self._find_scope = find_scope
        self._applications: dict[str, ApplicationStanding] = {}
        self._all: dict[str, CertificateStanding] = {}
        self._places: set[tuple[str, int]] = set()
        self._derived: dict[str, tuple[str, ...]] = {}

    def fork(self, *, keys: KeyRegister, people: PeopleRegister, datasets: DatasetRegister) -> "CertificateRegister":
        """Return a copy that changes by itself."""
        copy = CertificateRegister(
            bureau=self._bureau, keys=keys, people=people, datasets=datasets, find_scope=self._find_scope
        )
        copy._applications, copy._all, copy._places = dict(self._applications), dict(self._all), set(self._places)
        copy._derived = dict(self._derived)
        return copy

    def rules(self) -> Rules:
        """Return what judges the entries about certificates."""
        return {
            EntryType.CERTIFICATE_SUBMITTED: self._submit,
            EntryType.CERTIFICATE_ACCEPTED: self._accept,
            EntryType.CERTIFICATE_RETURNED: self._return,
            EntryType.CERTIFICATE_REVIEWED: self._review,
            EntryType.CERTIFICATE_REJECTED: self._reject,
            EntryType.CERTIFICATE_NOTICED: self._notice,
            EntryType.CERTIFICATE_OBJECTED: self._object,
            EntryType.CERTIFICATE_APPROVED: self._approve,
            **dict.fromkeys(_REGISTRATIONS, self._issue),
            EntryType.CERTIFICATE_PRESENTED: self._present,
            EntryType.CERTIFICATE_SUSPENDED: self._suspend,
            EntryType.CERTIFICATE_RESUMED: self._resume,
            EntryType.CERTIFICATE_REVOKED: self._revoke,
            EntryType.CERTIFICATE_CANCELLED: self._cancel,
            EntryType.CERTIFICATE_EXPIRED: self._expire,
        }

    def application(self, application: str) -> ApplicationStanding | None:
        """Return an application, or nothing."""
        return self._applications.get(application)

    def applications(self) -> Iterator[ApplicationStanding]:
        """Yield all applications, in the order in which they were first submitted."""
        yield from list(self._applications.values())

    def get(self, number: str) -> CertificateStanding | None:
        """Return a certificate, or nothing."""
        return self._all.get(number)

    def items(self) -> Iterator[CertificateStanding]:
        """Yield all certificates, in the order in which they were issued."""
        yield from list(self._all.values())

    def is_active(self, number: str, at: str) -> bool:
        """Tell whether a certificate may be relied on at a time: it, and all that it comes from.

        A parent that another certificate has taken the place of stands for as long as that one does.
        """
        line = list(self._line(number))
        return bool(line) and all(one.state is CertificateState.ACTIVE and _is_in_time(one, at) for one in line)

    def status(self, number: str, at: str) -> Status:
        """Return what a status list says of a certificate at a time: the worst of it and of all that it comes from.

        A list does not tell of periods that have not begun.
        """
        line = list(self._line(number))
        if not line or any(one.state in ENDED or at > one.issued.valid_until for one in line):
            return Status.INVALID
        is_stopped = any(one.state is CertificateState.SUSPENDED for one in line)
        return Status.SUSPENDED if is_stopped else Status.VALID

    def statuses(self, status_list: str, at: str) -> Iterator[tuple[int, Status]]:
        """Yield the places of a status list with what it says of each: O(certificates x depth)."""
        for one in self._all.values():
            if one.issued.status.status_list == status_list:
                yield one.issued.status.index, self.status(one.number, at)

    def _line(self, number: str) -> Iterator[CertificateStanding]:
        """Yield a certificate and all that it comes from now: of each parent what stands in its place."""
        found = self._all.get(number)
        while found is not None:
            yield found
            found = None if found.parent is None else self._newest(found.parent)

    def _newest(self, number: str) -> CertificateStanding:
        """Return what stands in the place of a certificate now."""
        found = self._certificate(number)
        while found.successor is not None:
            found = self._certificate(found.successor)
        return found

    # --- applications ------------------------------------------------------------------------------------------------

    def _submit(self, said: Said) -> Effect:
        body: CertificateSubmitted = said.body
        applicant = said.statement.payload.on_behalf_of or said.issuer
        if not said.about.startswith(_ID):
            raise StatementRefusedError(Rule.TERMS, "expected an application under an id `app-…`")
        if body.asset_class not in _CLASSES[body.registration]:
            raise StatementRefusedError(Rule.TERMS, "certificates of this class do not come about in this way")
        if parse_party(applicant)[0] not in _HOLDERS:
            raise StatementRefusedError(Rule.SIGNER, "expected a unit, a partner or a data subject as the applicant")
        self._check_applicant(said, applicant, body.channel)
        before = self._applications.get(said.about)
        if before is not None and before.applicant != applicant:
            raise StatementRefusedError(Rule.SIGNER, "expected the applicant of this application")
        state = _step(CertificateState.DRAFT if before is None else before.state, Step.SUBMIT)
        hands = frozenset[str]() if before is None else before.hands
        # What was found of the papers before says nothing of these; who has looked at them has.
        made = ApplicationStanding(id=said.about, state=state, applicant=applicant, submitted=body, hands=hands)
        return self._put(made)

    def _check_applicant(self, said: Said, applicant: str, channel: Channel) -> None:
        """Require the applicant's word: its key's, or that of a person who works for it; at the counter its key's."""
        clerks = self._people.with_duty(said.signers, Duty.COUNTER_CLERK, at=said.at)
        if channel is Channel.COUNTER:
            if not clerks or applicant not in said.signers.owners:
                raise MissingSignaturesError((Duty.COUNTER_CLERK.value,) if not clerks else (applicant,))
            return
        if clerks:
            raise StatementRefusedError(Rule.SIGNER, "a clerk applies for others at the counter only")
        self._check_word(said, applicant)

    def _check_word(self, said: Said, party: str) -> None:
        """Require a party's own word: its key's, or that of a person who works for it; a node is no person."""
        people = {self._people.employer(person) for person in said.signers.people}
        if party not in said.signers.owners | people:
            raise StatementRefusedError(Rule.SIGNER, "expected the party itself to sign, or somebody who works for it")

    def _accept(self, said: Said) -> Effect:
        body: CertificateAccepted = said.body
        found = self._open(said)
        registrar = self._by(said, Duty.BUREAU_REGISTRAR)
        if body.review_due <= said.at or (body.provisional_until is not None and body.provisional_until <= said.at):
            raise StatementRefusedError(Rule.TIME, "expected deadlines that are not over")
        self._check_not_late(found, said.at)
        if found.state is not CertificateState.SUBMITTED and body.provisional_until is not None:
            raise StatementRefusedError(Rule.STATE, "an application is accepted for the time being once")
        until = body.provisional_until
        after = _moved(found, Step.ACCEPT)
        return self._put(replace(after, hands=found.hands | {registrar}, provisional_until=until, deadline=until))

    def _return(self, said: Said) -> Effect:
        body: CertificateReturned = said.body
        found = self._open(said)
        self._by(said, Duty.BUREAU_REGISTRAR, Duty.BUREAU_REVIEWER)
        return self._put(replace(_moved(found, Step.RETURN), deadline=body.deadline))

    def _review(self, said: Said) -> Effect:
        body: CertificateReviewed = said.body
        if body.kind is ReviewKind.OBJECTION:
            return self._settle(said)
        found = self._open(said)
        reviewer = self._by(said, _REVIEWERS[body.kind])
        if reviewer == found.applicant or self._keys.organisation(reviewer) == found.applicant:
            raise StatementRefusedError(Rule.SEPARATION, "nobody reviews what he applies for")
        self._check_not_late(found, said.at)
        is_passed = body.outcome is ReviewOutcome.PASSED
        passed = found.passed | {body.kind} if is_passed else found.passed - {body.kind}
        after = _moved(found, Step.REVIEW)
        return self._put(replace(after, passed=passed, hands=found.hands | {reviewer}))

    def _settle(self, said: Said) -> Effect:
        """Settle an objection: to an application, which goes back to review after the last one, or to a certificate."""
        body: CertificateReviewed = said.body
        reviewer = self._by(said, Duty.BUREAU_REVIEWER)
        application = self._applications.get(said.about)
        if application is not None and application.state in OPEN:
            step = Step.SETTLE_LAST if application.objections == 1 else Step.SETTLE
            after = _moved(application, step)
            after = replace(after, hands=application.hands | {reviewer}, objections=application.objections - 1)
            if body.outcome is not ReviewOutcome.PASSED:
                # An objection that is right leaves nothing of what was found before, and the public is asked again.
                after = replace(after, passed=frozenset(), notice_until=None)
            return self._put(after)
        found = self._certificate(said.about)
        if not found.objections:
            raise StatementRefusedError(Rule.STATE, "expected an objection that is open")
        step = Step.SETTLE_LAST if found.objections == 1 else Step.SETTLE
        return self._keep(replace(found, state=_step(found.state, step), objections=found.objections - 1))

    def _reject(self, said: Said) -> Effect:
        found = self._open(said)
        self._by(said, *_DECIDERS)
        return self._put(_moved(found, Step.REJECT))

    def _notice(self, said: Said) -> Effect:
        body: CertificateNoticed = said.body
        found = self._open(said)
        self._check_bureau(said)
        self._check_reviewed(found, said.at)
        if not needs_notice(found.submitted.asset_class, found.submitted.registration):
            raise StatementRefusedError(Rule.STATE, "the public is not asked about this")
        if body.valid_until <= said.at:
            raise StatementRefusedError(Rule.TIME, "the notice is over before it begins")
        return self._put(replace(_moved(found, Step.NOTICE), notice_until=body.valid_until))

    def _object(self, said: Said) -> Effect:
        body: CertificateObjected = said.body
        application = self._applications.get(said.about)
        if application is not None and application.state in OPEN:
            if application.notice_until is None or said.at > application.notice_until:
                raise StatementRefusedError(Rule.TIME, "expected an application whose public notice is not over")
            moved = _moved(application, Step.OBJECT)
            return self._put(replace(moved, objections=application.objections + 1))
        found = self._certificate(said.about)
        if not body.suspends:
            return self._keep(replace(found, state=_step(found.state, Step.OBJECT), objections=found.objections + 1))
        # SECURITY: an objection stops nobody by itself: whoever may stop certificates says that it does.
        sides = self._stoppers(said)
        after = replace(found, objections=found.objections + 1, stopped_by=found.stopped_by | sides)
        return self._keep(replace(after, state=_step(found.state, Step.SUSPEND)))

    def _approve(self, said: Said) -> Effect:
        body: CertificateApproved = said.body
        found = self._open(said)
        approver = self._by(said, Duty.BUREAU_APPROVER)
        if approver in found.hands:
            raise StatementRefusedError(Rule.SEPARATION, "nobody approves what he has accepted or reviewed")
        self._check_reviewed(found, said.at)
        has_notice = needs_notice(found.submitted.asset_class, found.submitted.registration)
        if has_notice and (found.notice_until is None or said.at <= found.notice_until):
            raise StatementRefusedError(Rule.TIME, "expected a public notice that is over, without an open objection")
        if body.asset_class is not found.submitted.asset_class:
            raise StatementRefusedError(Rule.TERMS, "expected the class that was applied for")
        if body.valid_until <= said.at:
            raise StatementRefusedError(Rule.TIME, "the certificate is over before it begins")
        return self._put(replace(_moved(found, Step.APPROVE), approved=body))

    def _check_reviewed(self, found: ApplicationStanding, at: str) -> None:
        if not found.passed >= _NEEDED:
            raise StatementRefusedError(Rule.APPROVAL, "expected reviews of form and substance that were passed")
        if found.provisional_until is not None:
            raise StatementRefusedError(Rule.STATE, "papers are still missing: it was accepted for the time being")
        self._check_not_late(found, at)

    def _check_not_late(self, found: ApplicationStanding, at: str) -> None:
        if found.provisional_until is not None and at > found.provisional_until:
            raise StatementRefusedError(Rule.TIME, "the papers did not come in time")

    # --- certificates ------------------------------------------------------------------------------------------------

    def _issue(self, said: Said) -> Effect:
        body: _Issuance = said.body
        self._check_bureau(said)
        found = self._applications.get(body.application)
        if found is None or found.approved is None or found.submitted.registration not in _REGISTRATIONS[said.type]:
            raise StatementRefusedError(Rule.APPROVAL, "expected an application for this that was approved")
        if _granted(body) != _granted(found.approved):
            raise StatementRefusedError(Rule.APPROVAL, "expected what was approved, and nothing else")
        after = replace(_moved(found, Step.ISSUE), number=said.about)
        self._check_number(said.about, body)
        key = self._keys.find(body.holder_keyid, at=said.at)
        if key is None or key.owner != found.applicant:
            raise StatementRefusedError(Rule.KEY, "expected a good key of the applicant")
        made = CertificateStanding(
            number=said.about, state=CertificateState.ACTIVE, holder=found.applicant, issued=body, entry=-1
        )
        self._check_owned(body, made.holder)
        made, replaced = self._origin(said, body, made)
        place = (body.status.status_list, body.status.index)

        def take(index: int) -> None:
            self._applications[after.id] = after
            self._all[made.number] = replace(made, entry=index)
            self._places.add(place)
            if replaced is not None:
                self._all[replaced.number] = replaced
            if isinstance(body, CertificateLicensed):
                self._derived[body.parent] = (*self._derived.get(body.parent, ()), made.number)

        return take

    def _check_owned(self, body: _Issuance, holder: str) -> None:
        """Refuse a registration of data sets that are somebody else's; one that passes on was registered before."""
        if body.asset_class is not AssetClass.REGISTRATION or isinstance(body, CertificateTransferred):
            return
        listed = (self._datasets.get(dataset_id(name)) for name in self._scope(body.scope).datasets)
        if any(one is None or one.owner != holder for one in listed):
            raise StatementRefusedError(Rule.TERMS, "expected data sets that are registered as the holder's own")

    def _check_number(self, number: str, body: _Issuance) -> None:
        try:
            parse_number(number)
        except InvalidRequestError as error:
            raise StatementRefusedError(Rule.TERMS, error.message) from None
        if number in self._all or (body.status.status_list, body.status.index) in self._places:
            raise StatementRefusedError(Rule.STATE, "a number and a place in a status list are given once")

    def _origin(
        self, said: Said, body: _Issuance, made: CertificateStanding
    ) -> tuple[CertificateStanding, CertificateStanding | None]:
        """Judge what a certificate comes from; return it with its parent, and what it takes the place of."""
        match body:
            case CertificateLicensed():
                parent = self._relied_on(body.parent, said.at)
                self._check_derived(said, body, made, parent)
                return replace(made, parent=parent.number), None
            case CertificateTransferred():
                old = self._relied_on(body.predecessor, said.at)
                self._need(said, old.holder, made.holder)
                if old.holder == made.holder or _asset(old.issued) != _asset(body):
                    raise StatementRefusedError(Rule.TERMS, "expected another holder of the same rights, and no more")
            case CertificateChanged():
                old = self._relied_on(body.predecessor, said.at)
                self._need(said, old.holder)
                is_same = (old.holder, old.issued.asset_class) == (made.holder, body.asset_class)
                if not is_same or (body.change is not CertificateChange.CONTENT and _asset(old.issued) != _asset(body)):
                    raise StatementRefusedError(Rule.TERMS, "expected the same holder, and what is said to change only")
                if old.parent is not None:
                    self._check_within(body, self._newest(old.parent).issued)
            case _:
                return made, None
        for child in self._children(old):
            self._check_within(child.issued, body)
        ended = replace(old, state=_step(old.state, Step.SUPERSEDE), successor=made.number)
        return replace(made, parent=old.parent, predecessor=old.number), ended

    def _children(self, found: CertificateStanding) -> Iterator[CertificateStanding]:
        """Yield what was derived from a certificate, or from those whose place it took, and has not ended."""
        place: CertificateStanding | None = found
        while place is not None:
            children = (self._all[number] for number in self._derived.get(place.number, ()))
            yield from (child for child in children if child.state not in ENDED)
            place = None if place.predecessor is None else self._all.get(place.predecessor)

    def _relied_on(self, number: str, at: str) -> CertificateStanding:
        if not self.is_active(number, at):
            raise StatementRefusedError(Rule.STATE, "expected a certificate that is active, and what it comes from")
        return self._certificate(number)

    def _check_derived(
        self, said: Said, body: _Issuance, made: CertificateStanding, parent: CertificateStanding
    ) -> None:
        if body.asset_class is not AssetClass.LICENCE or parent.issued.asset_class is AssetClass.SUBJECT_VALUE:
            raise StatementRefusedError(Rule.TERMS, "expected a licence, derived from a registration or a licence")
        if made.holder == parent.holder:
            raise StatementRefusedError(Rule.TERMS, "nobody licenses himself")
        self._need(said, parent.holder)
        self._check_within(body, parent.issued)

    def _check_within(self, derived: _Issuance, parent: _Issuance) -> None:
        """Refuse what is, or would be, wider than its parent in any dimension, its period included."""
        if derived.valid_until > parent.valid_until:
            raise StatementRefusedError(Rule.TERMS, "a derived certificate ends no later than its parent")
        wider = widenings(self._scope(derived.scope), self._scope(parent.scope))
        if wider:
            told = ", ".join(one.dimension for one in wider)
            raise StatementRefusedError(Rule.TERMS, f"a derived certificate is wider than its parent: {told}")

    def _scope(self, digest: str) -> Scope:
        found = self._find_scope(digest)
        if found is None:
            raise UnknownTermsError(digest)
        if scope_digest(found) != digest:
            raise StatementRefusedError(Rule.TERMS, "the text is not that of the digest")
        return found

    def _present(self, said: Said) -> Effect:
        found = self._relied_on(said.about, said.at)
        self._need(said, found.holder)
        return self._keep(replace(found, state=_step(found.state, Step.PRESENT)))

    def _suspend(self, said: Said) -> Effect:
        body: CertificateSuspended = said.body
        found = self._certificate(said.about)
        if body.cause is None:
            sides = self._stoppers(said)
        else:
            self._check_cause(said, found, body.cause, CertificateState.SUSPENDED)
            sides = {self._bureau}
        after = replace(found, stopped_by=found.stopped_by | sides)
        return self._keep(replace(after, state=_step(found.state, Step.SUSPEND)))

    def _resume(self, said: Said) -> Effect:
        found = self._certificate(said.about)
        able = set(self._people.with_duty(said.signers, *_STOPPERS, at=said.at))
        if not able:
            raise StatementRefusedError(Rule.DUTY, "nobody signed who may let the certificate be used again")
        check_lifted(self._people, able, found.stopped_by, self._bureau)
        return self._keep(replace(found, state=_step(found.state, Step.RESUME), stopped_by=frozenset()))

    def _revoke(self, said: Said) -> Effect:
        body: CertificateRevoked = said.body
        found = self._certificate(said.about)
        if body.cause is None:
            # SECURITY: it cannot be undone, so that it takes two people, one of them an approver.
            self._people.need_each(said, Duty.BUREAU_APPROVER, Duty.SECURITY_ADMIN)
        else:
            self._check_cause(said, found, body.cause, CertificateState.REVOKED)
        return self._keep(replace(found, state=_step(found.state, Step.REVOKE)))

    def _check_cause(self, said: Said, found: CertificateStanding, cause: str, state: CertificateState) -> None:
        """Require that what a certificate comes from is stopped, where that is said to be the reason."""
        self._check_bureau(said)
        parent = self._all.get(cause)
        if found.parent != cause or parent is None or parent.state is not state:
            raise StatementRefusedError(Rule.STATE, f"expected a parent that is {state}")

    def _cancel(self, said: Said) -> Effect:
        application = self._applications.get(said.about)
        if application is not None and application.state in OPEN:
            self._check_applicant(said, application.applicant, Channel.ONLINE)
            return self._put(_moved(application, Step.CANCEL))
        found = self._certificate(said.about)
        self._check_word(said, found.holder)
        return self._keep(replace(found, state=_step(found.state, Step.CANCEL)))

    def _expire(self, said: Said) -> Effect:
        body: CertificateExpired = said.body
        self._check_bureau(said)
        application = self._applications.get(said.about)
        if application is not None and application.state in OPEN:
            if application.deadline is None or application.deadline != body.valid_until or said.at <= body.valid_until:
                raise StatementRefusedError(Rule.TIME, "expected an application whose deadline is over")
            return self._put(_moved(application, Step.EXPIRE))
        found = self._certificate(said.about)
        if found.issued.valid_until != body.valid_until or said.at <= body.valid_until:
            raise StatementRefusedError(Rule.TIME, "the certificate's time is not over")
        return self._keep(replace(found, state=_step(found.state, Step.EXPIRE)))

    # --- common ------------------------------------------------------------------------------------------------------

    def _open(self, said: Said) -> ApplicationStanding:
        found = self._applications.get(said.about)
        if found is None or found.state in ENDED or found.number is not None:
            raise StatementRefusedError(Rule.STATE, "expected an application that is being dealt with")
        return found

    def _certificate(self, number: str) -> CertificateStanding:
        found = self._all.get(number)
        if found is None:
            raise StatementRefusedError(Rule.STATE, "expected a certificate that was issued")
        return found

    def _by(self, said: Said, *duties: Duty) -> str:
        """Return who signed with one of some duties."""
        able = self._people.with_duty(said.signers, *duties, at=said.at)
        if not able:
            raise StatementRefusedError(Rule.DUTY, f"nobody signed who has the duty `{duties[0]}`")
        return able[0]

    def _stoppers(self, said: Said) -> set[str]:
        able = self._people.with_duty(said.signers, *_STOPPERS, at=said.at)
        if not able:
            raise StatementRefusedError(Rule.DUTY, "nobody signed who may stop a certificate")
        return {str(self._people.employer(one)) for one in able}

    def _need(self, said: Said, *parties: str) -> None:
        missing = tuple(party for party in parties if party not in said.signers.owners)
        if missing:
            raise MissingSignaturesError(missing)

    def _check_bureau(self, said: Said) -> None:
        if self._bureau not in said.signers.owners:
            raise StatementRefusedError(Rule.SIGNER, "expected the bureau")

    def _put(self, application: ApplicationStanding) -> Effect:
        return lambda _: self._applications.update({application.id: application})

    def _keep(self, certificate: CertificateStanding) -> Effect:
        return lambda _: self._all.update({certificate.number: certificate})


def _step(state: CertificateState, step: Step) -> CertificateState:
    try:
        return transition(state, step)
    except ConflictError as error:
        raise conflict(error) from None


def _moved(found: ApplicationStanding, step: Step) -> ApplicationStanding:
    return replace(found, state=_step(found.state, step))


def _is_in_time(found: CertificateStanding, at: str) -> bool:
    return found.issued.valid_from <= at <= found.issued.valid_until


def _granted(body: CertificateApproved | _Issuance) -> tuple[object, ...]:
    """Return what an approval and an issue must say alike."""
    return (*_asset(body), body.holder_keyid, body.valid_from, body.valid_until)


def _asset(body: CertificateApproved | _Issuance) -> tuple[object, ...]:
    return (body.asset_class, sorted(body.rights), body.scope)
