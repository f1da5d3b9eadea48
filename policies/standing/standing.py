"""The standing of everybody and everything: one pure fold over the log's entries (docs/spec/standing.md).

Hub, node and auditor fold the same entries with the same rules. An entry that does not fit has no effect for any of
them, whatever a hub says: that, and not the hub's word, is what a node relies on. Cost of an entry: its signatures
(about 0.1 ms each) and O(1) look-ups, of a federation one for each member; memory grows with keys, people, agreements,
certificates, jobs and entries of federations, and with the statements of `REPLAY_WINDOW`.
"""

import hashlib
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from policies.standing.agreements import AgreementRegister, FindTerms
from policies.standing.certificates import CertificateRegister, FindScope
from policies.standing.datasets import DatasetRegister
from policies.standing.federations import FederationRegister
from policies.standing.freezes import FreezeRegister
from policies.standing.jobs import JobRegister
from policies.standing.keys import KeyRegister, Signers
from policies.standing.participants import ParticipantRegister
from policies.standing.people import PeopleRegister
from policies.standing.refusals import MissingSignaturesError, Rule, StatementRefusedError
from policies.standing.said import Effect, Judgement, Said
from yingbi.clock import format_time, parse_time
from yingbi.events import BODY_MODELS, EntryType
from yingbi.events.fields import Duty
from yingbi.keys import VerifyKey
from yingbi.statement import Statement

__all__ = ["MAX_AHEAD", "REPLAY_WINDOW", "Standing"]

REPLAY_WINDOW: Final = timedelta(days=7)
"""How old a statement may be when it is recorded: time for several people to sign it."""

MAX_AHEAD: Final = timedelta(minutes=5)
"""How far the clock of a signer may be ahead of the log's."""

_KEY_TYPES: Final = frozenset({EntryType.KEY_REGISTERED, EntryType.KEY_ROTATED, EntryType.KEY_REVOKED})
# What the log says of itself; verifiers of the log judge it (docs/spec/verification.md).
_OF_THE_LOG: Final = frozenset({EntryType.LOG_CHECKPOINT_ANCHORED, EntryType.LOG_KEY_CHANGED, EntryType.LOG_AUDITED})
# Who, beside the registrar's root, gives a key to a party that has lost all of its own.
_GIVING_LOST_KEYS: Final = (Duty.SECURITY_ADMIN, Duty.BUREAU_APPROVER)
# What a party that is stopped may still record: that its work ended.
_ENDINGS: Final = frozenset(
    {
        EntryType.JOB_SUBMITTED,
        EntryType.JOB_REFUSED,
        EntryType.JOB_FAILED,
        EntryType.JOB_INTERRUPTED,
        EntryType.JOB_CANCELLED,
        EntryType.OUTPUT_HELD,
        EntryType.OUTPUT_DESTROYED,
        EntryType.BUDGET_COMMITTED,
        EntryType.BUDGET_REFUNDED,
        EntryType.FEDERATION_INTERRUPTED,
        EntryType.FEDERATION_ABORTED,
        EntryType.PARTICIPANT_OFFBOARDED,
        EntryType.KEY_REVOKED,
    }
)
# What a data subject says of its own certificates: it has a key, and takes part in nothing else.
_OF_SUBJECTS: Final = frozenset(
    {
        EntryType.CERTIFICATE_SUBMITTED,
        EntryType.CERTIFICATE_OBJECTED,
        EntryType.CERTIFICATE_PRESENTED,
        EntryType.CERTIFICATE_CANCELLED,
        EntryType.CERTIFICATE_TRANSFERRED,
        EntryType.CERTIFICATE_CHANGED,
    }
)


class Standing:
    """What the entries so far add up to. Not thread-safe: its owner locks.

    Args:
        bureau: the party whose key the hub holds.
        roots: the bureau's registration keys, given out of band.
        find_terms: returns the text of an agreement by its digest, or nothing where it is not here.
        find_scope: the same for scopes of certificates.
    """

    def __init__(
        self,
        *,
        bureau: str,
        roots: Iterable[VerifyKey],
        find_terms: FindTerms,
        find_scope: FindScope = lambda _: None,
    ) -> None:
        self.bureau = bureau
        self.size = 0
        self.keys = KeyRegister(roots, bureau)
        self.people = PeopleRegister(self.keys, bureau)
        self.participants = ParticipantRegister(self.people)
        self.datasets = DatasetRegister(self.keys, self.people)
        self.agreements = AgreementRegister(
            bureau=bureau,
            people=self.people,
            participants=self.participants,
            datasets=self.datasets,
            find_terms=find_terms,
        )
        self.certificates = CertificateRegister(
            bureau=bureau, keys=self.keys, people=self.people, datasets=self.datasets, find_scope=find_scope
        )
        self.freezes = FreezeRegister(
            bureau, keys=self.keys, people=self.people, datasets=self.datasets, agreements=self.agreements
        )
        self.jobs = JobRegister(
            bureau=bureau,
            people=self.people,
            participants=self.participants,
            datasets=self.datasets,
            agreements=self.agreements,
            freezes=self.freezes,
        )
        self.federations = FederationRegister(bureau=bureau, agreements=self.agreements, jobs=self.jobs)
        self._recent: deque[tuple[str, bytes]] = deque()
        self._seen: set[bytes] = set()
        self._rules = self._collect_rules()

    def fork(self) -> "Standing":
        """Return a copy that changes by itself, to try entries on before they are recorded.

        Cost: O(parties + things), pointers only; about 10 ms for a million jobs.
        """
        copy = object.__new__(Standing)
        copy.bureau, copy.size = self.bureau, self.size
        copy.keys = self.keys.fork()
        copy.people = self.people.fork(copy.keys)
        copy.participants = self.participants.fork(copy.people)
        copy.datasets = self.datasets.fork(copy.keys, copy.people)
        copy.agreements = self.agreements.fork(copy.people, copy.participants, copy.datasets)
        copy.certificates = self.certificates.fork(keys=copy.keys, people=copy.people, datasets=copy.datasets)
        copy.freezes = self.freezes.fork(
            keys=copy.keys, people=copy.people, datasets=copy.datasets, agreements=copy.agreements
        )
        copy.jobs = self.jobs.fork(
            people=copy.people,
            participants=copy.participants,
            datasets=copy.datasets,
            agreements=copy.agreements,
            freezes=copy.freezes,
        )
        copy.federations = self.federations.fork(agreements=copy.agreements, jobs=copy.jobs)
        copy._recent, copy._seen = deque(self._recent), set(self._seen)
        copy._rules = copy._collect_rules()
        return copy

    @property
    def frozen(self) -> frozenset[str]:
        """Return the parties and things that are frozen."""
        return self.freezes.all

    def judge(self, statement: Statement, *, at: str) -> None:
        """Say whether a statement would have its effect if it were recorded at a time; nothing changes.

        Raises:
            StatementRefusedError: it would not; `rule` says which rule it breaks.
            MissingSignaturesError: more people have to sign it.
            UnknownTermsError: the text of an agreement is needed first.
        """
        self._judge(statement, at=at)

    def take(self, statement: Statement, *, index: int, at: str) -> None:
        """Judge the next entry of the log and let it have its effect.

        Raises:
            StatementRefusedError: it has none; it counts as read (`size`) all the same.
            UnknownTermsError: the text of an agreement is needed first; the entry was not read.
        """
        if index != self.size:
            raise ValueError(f"expected entry {self.size}, got {index}")
        try:
            effect = self._judge(statement, at=at)
        except StatementRefusedError:
            self.size += 1
            raise
        self.size += 1
        self._remember(statement, at)
        effect(index)

    def block(self, statement: Statement, *, index: int) -> None:
        """Count an entry as read whose terms are not here, and let nobody rely on its agreement.

        For a follower from whom a text is withheld: what it cannot read must not leave an older text in force. Once the
        text is there, the log is folded anew.
        """
        self.skip(index)
        self.agreements.block(statement.payload.id)

    def skip(self, index: int) -> None:
        """Count an entry as read that has no effect, such as one that cannot be parsed."""
        if index != self.size:
            raise ValueError(f"expected entry {self.size}, got {index}")
        self.size += 1

    def _judge(self, statement: Statement, *, at: str) -> Effect:
        self._check_fresh(statement, at)
        body = BODY_MODELS[statement.type].model_validate(statement.payload.body)
        if statement.type in _OF_THE_LOG:
            return _no_effect
        if statement.type in _KEY_TYPES:
            return self._judge_key(statement, body, at)
        rule = self._rules.get(statement.type)
        if rule is None:
            raise StatementRefusedError(Rule.TYPE, "no rule says who may record this")
        signers = self.keys.verify(statement)
        self._check_standing(statement, signers, at)
        return rule(Said(statement=statement, body=body, signers=signers, at=at))

    def _check_fresh(self, statement: Statement, at: str) -> None:
        issued, now = parse_time(statement.payload.issued_at), parse_time(at)
        if issued > now + MAX_AHEAD or issued < now - REPLAY_WINDOW:
            raise StatementRefusedError(Rule.TIME, "expected a statement that was issued in the last seven days")
        if _digest(statement) in self._seen:
            raise StatementRefusedError(Rule.REPLAY, "the statement was recorded already")

    def _check_standing(self, statement: Statement, signers: Signers, at: str) -> None:
        """Refuse what somebody says who is stopped, but that his work ended."""
        if statement.type in _ENDINGS:
            return
        self._check_stopped(signers)
        for owner in signers.owners:
            organisation = self.keys.organisation(owner)
            if statement.type in _OF_SUBJECTS and owner.startswith("subject:"):
                continue
            if organisation != self.bureau and not self._is_admitted(statement, organisation, at):
                raise StatementRefusedError(Rule.PARTICIPANT, "a signer's organisation is not admitted")

    def _check_stopped(self, signers: Signers) -> None:
        for owner in signers.owners:
            if self.freezes.holds(owner, self.keys.organisation(owner)):
                raise StatementRefusedError(Rule.FROZEN, "a signer is frozen")

    def _check_second_key(self, owner: str, signers: Signers, at: str) -> None:
        """Refuse another key of a party that has or had one, where a registration key alone would give it.

        SECURITY: whoever holds a root could be anybody otherwise.
        """
        if not self.keys.is_known(owner) or owner in signers.owners:
            return
        if self.keys.of(owner, at=at):
            raise MissingSignaturesError((owner,))
        if not self.people.with_duty(signers, *_GIVING_LOST_KEYS, at=at):
            raise MissingSignaturesError((Duty.SECURITY_ADMIN.value,))

    def _is_admitted(self, statement: Statement, organisation: str | None, at: str) -> bool:
        is_applying = statement.type is EntryType.PARTICIPANT_APPLIED
        return organisation is not None and (is_applying or self.participants.is_admitted(organisation, at=at))

    def _collect_rules(self) -> dict[EntryType, Judgement]:
        registers = (
            *(self.people, self.participants, self.datasets, self.agreements),
            *(self.certificates, self.freezes, self.jobs),
        )
        rules = {kind: rule for register in registers for kind, rule in register.rules().items()}
        # A release is judged as a job's, and then as that of what was trained together: the later rule has both.
        return rules | dict(self.federations.rules())

    def _remember(self, statement: Statement, at: str) -> None:
        digest = _digest(statement)
        self._seen.add(digest)
        self._recent.append((at, digest))
        oldest = format_time(parse_time(at) - REPLAY_WINDOW - MAX_AHEAD)
        while self._recent[0][0] < oldest:
            self._seen.discard(self._recent.popleft()[1])

    def _judge_key(self, statement: Statement, body: Any, at: str) -> Effect:
        match statement.type:
            case EntryType.KEY_REGISTERED:
                signers = self.keys.judge_registered(statement, body)
                self._check_stopped(signers)
                self._check_second_key(body.owner, signers, at)
                return lambda _: self.keys.take_registered(statement, body)
            case EntryType.KEY_ROTATED:
                self._check_stopped(self.keys.judge_rotated(statement, body))
                return lambda _: self.keys.take_rotated(body)
            case _:
                self.keys.judge_revoked(statement, body)
                return lambda _: self.keys.take_revoked(body)


def _no_effect(_: int) -> None:
    return


def _digest(statement: Statement) -> bytes:
    return hashlib.sha256(statement.payload_bytes).digest()
