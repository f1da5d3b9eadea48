"""Agreements in their lives, with the text that their digests name (`policies.approvals` holds the table)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from policies import approvals
from policies.approvals import Approval, Life, State, Step
from policies.model import Agreement, terms_digest
from policies.standing.datasets import DatasetRegister
from policies.standing.participants import ParticipantRegister
from policies.standing.people import PeopleRegister
from policies.standing.refusals import (
    MissingSignaturesError,
    Rule,
    StatementRefusedError,
    UnknownTermsError,
    conflict,
)
from policies.standing.said import Effect, Rules, Said
from yingbi.clock import format_time
from yingbi.errors import ConflictError, RefusedError
from yingbi.events import EntryType
from yingbi.events.agreements import (
    AgreementActivated,
    AgreementCountered,
    AgreementExpired,
    AgreementProposed,
    AgreementResumed,
    AgreementRevoked,
    AgreementSigned,
    AgreementSuperseded,
    AgreementSuspended,
)
from yingbi.events.fields import Duty, RunningJobs
from yingbi.ids import dataset_id

__all__ = ["AgreementRegister", "AgreementStanding", "FindTerms", "check_lifted"]

FindTerms = Callable[[str], Agreement | None]

_SIGNING: Final = frozenset({Duty.UNIT_CDO, Duty.BUREAU_APPROVER})
_STOPPERS: Final = (Duty.BUREAU_APPROVER, Duty.SECURITY_ADMIN)
_RESUMERS: Final = 2
_OF_DATASETS: Final = "ds-"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementStanding:
    """An agreement: where it is in its life.

    `running_jobs`: what becomes of these where it has been stopped; `stopped_by`: whose people have suspended it.
    """

    id: str
    life: Life
    running_jobs: RunningJobs | None = None
    stopped_by: frozenset[str] = frozenset()

    @property
    def terms(self) -> str:
        """Return the digest of its present terms."""
        return self.life.terms

    @property
    def agreement(self) -> Agreement:
        """Return its present terms."""
        return self.life.agreement

    def is_active(self, at: str) -> bool:
        """Tell whether jobs may rely on it at a time."""
        period = self.agreement.valid
        return self.life.state is State.ACTIVE and format_time(period.starts_at) <= at <= format_time(period.ends_at)


class AgreementRegister:
    """All agreements that were ever proposed."""

    def __init__(
        self,
        *,
        bureau: str,
        people: PeopleRegister,
        participants: ParticipantRegister,
        datasets: DatasetRegister,
        find_terms: FindTerms,
    ) -> None:
        self._bureau = bureau
        self._datasets = datasets
        self._people = people
        self._participants = participants
        self._find_terms = find_terms
        self._all: dict[str, AgreementStanding] = {}
        self._blocked: set[str] = set()

    def fork(
        self, people: PeopleRegister, participants: ParticipantRegister, datasets: DatasetRegister
    ) -> "AgreementRegister":
        """Return a copy that changes by itself."""
        copy = AgreementRegister(
            bureau=self._bureau,
            people=people,
            participants=participants,
            datasets=datasets,
            find_terms=self._find_terms,
        )
        copy._all, copy._blocked = dict(self._all), set(self._blocked)
        return copy

    def block(self, agreement: str) -> None:
        """Let nobody rely on an agreement, nor sign it: a text of it is not here."""
        self._blocked.add(agreement)
        self._all.pop(agreement, None)

    def rules(self) -> Rules:
        """Return what judges the entries about agreements."""
        return {
            EntryType.AGREEMENT_PROPOSED: self._propose,
            EntryType.AGREEMENT_COUNTERED: self._counter,
            EntryType.AGREEMENT_SIGNED: self._sign,
            EntryType.AGREEMENT_ACTIVATED: self._activate,
            EntryType.AGREEMENT_SUSPENDED: self._suspend,
            EntryType.AGREEMENT_RESUMED: self._resume,
            EntryType.AGREEMENT_REVOKED: self._revoke,
            EntryType.AGREEMENT_SUPERSEDED: self._supersede,
            EntryType.AGREEMENT_EXPIRED: self._expire,
        }

    def is_known(self, agreement: str) -> bool:
        """Tell whether an agreement was proposed, also where a text of it is not here."""
        return agreement in self._all or agreement in self._blocked

    def get(self, agreement: str) -> AgreementStanding | None:
        """Return an agreement, or nothing."""
        return self._all.get(agreement)

    def items(self) -> Iterator[AgreementStanding]:
        """Yield all agreements, in the order they were proposed."""
        yield from list(self._all.values())

    def active(self, *, at: str) -> tuple[AgreementStanding, ...]:
        """Return those that jobs may rely on at a time."""
        return tuple(one for one in self._all.values() if one.is_active(at))

    def _propose(self, said: Said) -> Effect:
        body: AgreementProposed = said.body
        terms = self._terms(body.terms)
        told = (body.version, body.assigner, body.assignee, body.intermediary, body.purpose, body.legal_basis)
        meant = (terms.version, terms.assigner, terms.assignee, terms.intermediary, terms.purpose)
        if told != (*meant, terms.legal_basis.kind) or terms.id != said.about:
            raise StatementRefusedError(Rule.TERMS, "the proposal says something else than its terms")
        _check_period(terms, body.valid_from, body.valid_until)
        if said.about.startswith(_OF_DATASETS):
            raise StatementRefusedError(Rule.TERMS, "expected the id of an agreement, which is none of a data set")
        if said.about in self._all or said.about in self._blocked:
            raise StatementRefusedError(Rule.STATE, "an agreement of this id was proposed already")
        self._check_terms(terms)
        self._check_proposer(terms, said.issuer)
        life = _try(approvals.propose, approvals.begin(terms), said.issuer)
        return self._put(AgreementStanding(id=said.about, life=life))

    def _counter(self, said: Said) -> Effect:
        body: AgreementCountered = said.body
        found = self._there(said.about, body.previous_terms)
        terms = self._terms(body.terms)
        if (terms.id, terms.version) != (said.about, body.version):
            raise StatementRefusedError(Rule.TERMS, "the statement says something else than its terms")
        # SECURITY: who answers is of a side of what was proposed, and the sides stay: nobody takes another's place.
        self._check_proposer(found.agreement, said.issuer)
        if (terms.assigner, terms.assignee) != (found.agreement.assigner, found.agreement.assignee):
            raise StatementRefusedError(Rule.TERMS, "changed terms are between the same sides")
        self._check_terms(terms)
        return self._put(replace(found, life=_try(approvals.counter, found.life, terms, said.issuer)))

    def _sign(self, said: Said) -> Effect:
        body: AgreementSigned = said.body
        found = self._there(said.about, body.terms)
        employer = self._people.employer(said.issuer)
        if not said.issuer.startswith("person:") or employer is None:
            raise StatementRefusedError(Rule.SIGNER, "agreements are signed by people")
        if body.duty is Duty.UNIT_CDO and employer != self._owner(found.agreement):
            raise StatementRefusedError(Rule.SIGNER, "expected the chief data officer of the unit whose data it is")
        held = self._people.duties(said.issuer, at=said.at)
        approval = Approval(terms=body.terms, person=said.issuer, employer=employer, duty=body.duty, held=held)
        return self._put(replace(found, life=_try(approvals.approve, found.life, approval)))

    def _activate(self, said: Said) -> Effect:
        body: AgreementActivated = said.body
        self._check_bureau(said)
        found = self._there(said.about, body.terms)
        _check_period(found.agreement, body.valid_from, body.valid_until)
        parties = (found.agreement.assigner, found.agreement.assignee, found.agreement.intermediary)
        self._check_terms(found.agreement)
        if not all(party is None or self._participants.is_admitted(party, at=said.at) for party in parties):
            raise StatementRefusedError(Rule.PARTICIPANT, "expected parties that are admitted")
        return self._step(found, Step.ACTIVATE)

    def _suspend(self, said: Said) -> Effect:
        body: AgreementSuspended = said.body
        found = self._there(said.about, body.terms)
        able = self._check_stopper(found, said)
        sides = {str(self._people.employer(one)) for one in able}
        after = replace(found, stopped_by=found.stopped_by | sides)
        return self._step(after, Step.SUSPEND, body.running_jobs)

    def _resume(self, said: Said) -> Effect:
        body: AgreementResumed = said.body
        found = self._there(said.about, body.terms)
        able = self._check_stopper(found, said)
        check_lifted(self._people, able, found.stopped_by, self._bureau)
        return self._step(replace(found, stopped_by=frozenset()), Step.RESUME)

    def _revoke(self, said: Said) -> Effect:
        body: AgreementRevoked = said.body
        found = self._there(said.about, body.terms)
        if found.agreement.assignee not in said.signers.owners:
            self._check_stopper(found, said)
        return self._step(found, Step.REVOKE, body.running_jobs)

    def _supersede(self, said: Said) -> Effect:
        body: AgreementSuperseded = said.body
        self._check_bureau(said)
        found = self._there(said.about, body.terms)
        successor = self._all.get(body.successor)
        if successor is None or successor.terms != body.successor_terms or not successor.is_active(said.at):
            raise StatementRefusedError(Rule.STATE, "expected a successor that is active on these terms")
        return self._step(found, Step.SUPERSEDE, body.running_jobs)

    def _expire(self, said: Said) -> Effect:
        body: AgreementExpired = said.body
        self._check_bureau(said)
        found = self._there(said.about, body.terms)
        if said.at <= format_time(found.agreement.valid.ends_at):
            raise StatementRefusedError(Rule.TIME, "the agreement's time is not over")
        return self._step(found, Step.EXPIRE, found.agreement.on_revocation)

    def _step(self, found: AgreementStanding, step: Step, running_jobs: RunningJobs | None = None) -> Effect:
        life = _try(approvals.take, found.life, step)
        return self._put(replace(found, life=life, running_jobs=running_jobs))

    def _put(self, standing: AgreementStanding) -> Effect:
        return lambda _: self._all.update({standing.id: standing})

    def _terms(self, digest: str) -> Agreement:
        found = self._find_terms(digest)
        if found is None:
            raise UnknownTermsError(digest)
        if terms_digest(found) != digest:
            raise StatementRefusedError(Rule.TERMS, "the text is not that of the digest")
        return found

    def _there(self, agreement: str, terms: str) -> AgreementStanding:
        found = self._all.get(agreement)
        if found is None or found.terms != terms:
            raise StatementRefusedError(Rule.TERMS, "expected an agreement that was proposed, in its present terms")
        return found

    def _check_proposer(self, terms: Agreement, issuer: str) -> None:
        employer = self._people.employer(issuer) if issuer.startswith("person:") else None
        if employer is None:
            raise StatementRefusedError(Rule.SIGNER, "agreements are proposed and changed by people")
        if employer not in (terms.assigner, terms.assignee) and not employer.startswith("bureau:"):
            raise StatementRefusedError(Rule.SIGNER, "expected somebody of the bureau or of one of both sides")

    def _check_bureau(self, said: Said) -> None:
        if self._bureau not in said.signers.owners:
            raise StatementRefusedError(Rule.SIGNER, "expected the bureau")

    def _check_terms(self, terms: Agreement) -> None:
        """Refuse terms that the owner of the data would not have to sign: nobody else's validation is relied on."""
        if self._owner(terms) is None or terms.assigner not in (self._owner(terms), self._bureau):
            raise StatementRefusedError(Rule.TERMS, "expected data sets of one unit, granted by it or by the bureau")
        if not set(terms.approvals.agreement) >= _SIGNING:
            raise StatementRefusedError(Rule.TERMS, "expected the unit's officer and an approver among those who sign")

    def _owner(self, terms: Agreement) -> str | None:
        """Return the one unit that owns all granted data sets, or nothing."""
        found = (self._datasets.get(dataset_id(grant.name)) for grant in terms.datasets)
        owners = {None if dataset is None else dataset.owner for dataset in found}
        return owners.pop() if len(owners) == 1 else None

    def _check_stopper(self, found: AgreementStanding, said: Said) -> set[str]:
        able = set(self._people.with_duty(said.signers, *_STOPPERS, at=said.at))
        sides = {found.agreement.assigner, self._owner(found.agreement)}
        officers = self._people.with_duty(said.signers, Duty.UNIT_CDO, at=said.at)
        able |= {one for one in officers if self._people.employer(one) in sides}
        if not able:
            raise StatementRefusedError(Rule.DUTY, "nobody signed who may stop the agreement or let it go on")
        return able


def check_lifted(people: PeopleRegister, able: set[str], stopped_by: frozenset[str], bureau: str) -> None:
    """Require two people to let something go on that was stopped, one of each side that has stopped it.

    Raises:
        MissingSignaturesError: more have to sign.
    """
    sides = {people.employer(one) for one in able}
    missing = sorted(side for side in stopped_by if side not in sides)
    if missing:
        raise MissingSignaturesError(
            tuple(Duty.BUREAU_APPROVER.value if side == bureau else f"{Duty.UNIT_CDO} of {side}" for side in missing)
        )
    if len(able) < _RESUMERS:
        raise MissingSignaturesError((Duty.BUREAU_APPROVER.value,))


def _check_period(terms: Agreement, valid_from: str, valid_until: str) -> None:
    if (valid_from, valid_until) != (format_time(terms.valid.starts_at), format_time(terms.valid.ends_at)):
        raise StatementRefusedError(Rule.TERMS, "the statement names another period than its terms")


def _try(step: Callable[..., Life], *arguments: object) -> Life:
    try:
        return step(*arguments)
    except ConflictError as error:
        raise conflict(error) from None
    except RefusedError as error:
        raise StatementRefusedError(Rule.SEPARATION, error.message, hint=error.hint) from None
