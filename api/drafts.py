"""Drafts: submissions that wait for signatures of other people. Applications are drafts of somebody yet unknown."""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Engine, Row, delete, func, select, update

from api.database import insert_new, reading, writing
from api.refusals import malformed, not_found, not_now
from api.submissions import Submission, offered_keys, parse_submission, submission_json
from api.tables import DRAFT
from yingbi.canonical import canonical_bytes
from yingbi.clock import Clock, format_time
from yingbi.errors import ErrorCode, VerificationError
from yingbi.keys import VerifyKey
from yingbi.statement import PAYLOAD_TYPE, Signature, Statement, encode_pae, parse_statement

__all__ = ["KEPT_FOR", "Draft", "DraftKind", "Drafts", "add_signatures", "merge"]

KEPT_FOR: Final = timedelta(days=7)
_SIGNATURE_BYTES: Final = 64
_MAX_APPLICATIONS: Final = 1000
_MAX_OF_NETWORK: Final = 20


class DraftKind(StrEnum):
    """Whose draft it is: of a party that the log knows, or of somebody who applies."""

    DRAFT = "draft"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A submission, who sent it (an application: from where in the network), and whose signatures are missing."""

    digest: str
    kind: DraftKind
    sender: str
    submission: Submission
    missing: tuple[str, ...]
    made_at: str
    expires_at: str
    network: str = ""

    @property
    def parties(self) -> frozenset[str]:
        """Return the parties that the statements are by, for or about."""
        found: set[str] = {self.sender}
        for statement in self.submission.statements:
            payload = statement.payload
            members = (payload.body.get(name) for name in ("party", "holder", "owner", "target"))
            subjects = (subject.id for subject in payload.subject)
            found |= {str(one) for one in (payload.issuer, payload.on_behalf_of, *members, *subjects) if one}
        return frozenset(found)

    @property
    def signatures(self) -> frozenset[tuple[int, str]]:
        """Return who has signed which statement, by number and key."""
        return _signatures(self.submission)


class Drafts:
    """The drafts that wait; each is dropped when it is recorded or too old to be."""

    def __init__(self, engine: Engine, clock: Clock, *, limit: int) -> None:
        self._engine = engine
        self._clock = clock
        self._limit = limit

    def keep(
        self,
        submission: Submission,
        *,
        sender: str,
        kind: DraftKind,
        missing: Iterable[str],
        before: Draft | None = None,
        network: str = "",
    ) -> Draft | None:
        """Keep a submission; nothing where the draft of its statements is not any more as it was `before`.

        A draft stays its sender's, whoever sends the same statements again; a key has one application at a time, its
        last.

        Args:
            submission: with all signatures that there are, those of the draft of the same statements among them.
            sender: who sent it.
            kind: whose draft it is.
            missing: whose signatures are missing.
            before: the draft of the same statements, where there is one.
            network: from where an application came, empty where that says nothing.

        Raises:
            ConflictError: as many are kept already as may be, or the statements wait as another kind.
        """
        if before is not None:
            return self._keep_again(before, submission, kind, tuple(missing))
        now = self._clock.now()
        draft = Draft(
            digest=submission.name,
            kind=kind,
            sender=sender,
            submission=submission,
            missing=tuple(missing),
            made_at=format_time(now),
            expires_at=format_time(now + KEPT_FOR),
            network=network,
        )
        with writing(self._engine) as connection:
            is_over = DRAFT.c.expires_at < draft.made_at
            connection.execute(delete(DRAFT).where(DRAFT.c.digest == draft.digest, is_over))
            if kind is DraftKind.APPLICATION:
                is_earlier = DRAFT.c.digest != draft.digest
                connection.execute(delete(DRAFT).where(DRAFT.c.kind == kind, DRAFT.c.sender == sender, is_earlier))
            for limit, is_counted in self._limits(draft):
                kept = connection.execute(select(func.count()).select_from(DRAFT).where(is_counted)).scalar_one()
                if kept >= limit:
                    raise not_now(
                        "too many drafts wait for signatures", "wait until some of them are signed or have expired"
                    )
            is_new = insert_new(connection, DRAFT, **_row(draft))
        return draft if is_new else None

    def sign(self, draft: Draft, submission: Submission, missing: Iterable[str]) -> Draft | None:
        """Keep a draft with more signatures; nothing where others have signed it, or it was recorded, meanwhile."""
        signed = replace(draft, submission=submission, missing=tuple(missing))
        row = _row(signed)
        with writing(self._engine) as connection:
            is_same = DRAFT.c.content == _row(draft)["content"]
            done = connection.execute(
                update(DRAFT)
                .where(DRAFT.c.digest == draft.digest, is_same)
                .values(content=row["content"], missing=row["missing"])
                .returning(DRAFT.c.digest)
            ).first()
        return None if done is None else signed

    def find(self, digest: str) -> Draft | None:
        """Return a draft, or nothing where there is none (any more)."""
        with reading(self._engine) as connection:
            row = connection.execute(select(DRAFT).where(DRAFT.c.digest == digest)).one_or_none()
        return None if row is None or row.expires_at < format_time(self._clock.now()) else _draft(row)

    def get(self, digest: str) -> Draft:
        """Return a draft.

        Raises:
            NotFoundError: there is none (any more).
        """
        draft = self.find(digest)
        if draft is None:
            raise not_found("draft")
        return draft

    def count(self) -> dict[DraftKind, int]:
        """Return how many wait, by kind."""
        now = format_time(self._clock.now())
        query = select(DRAFT.c.kind, func.count()).where(DRAFT.c.expires_at >= now).group_by(DRAFT.c.kind)
        with reading(self._engine) as connection:
            counted = {DraftKind(kind): int(number) for kind, number in connection.execute(query)}
        return {kind: counted.get(kind, 0) for kind in DraftKind}

    def of_kind(self, kind: DraftKind, *, sender: str | None = None) -> list[Draft]:
        """Return the drafts of a kind, oldest first; of one sender where one is named."""
        now = format_time(self._clock.now())
        query = select(DRAFT).where(DRAFT.c.kind == kind, DRAFT.c.expires_at >= now)
        if sender is not None:
            query = query.where(DRAFT.c.sender == sender)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(DRAFT.c.made_at, DRAFT.c.digest)).all()
        return [_draft(row) for row in rows]

    def drop(self, digest: str) -> None:
        """Drop a draft."""
        with writing(self._engine) as connection:
            connection.execute(delete(DRAFT).where(DRAFT.c.digest == digest))

    def forget_expired(self) -> None:
        """Drop drafts that are too old."""
        with writing(self._engine) as connection:
            connection.execute(delete(DRAFT).where(DRAFT.c.expires_at < format_time(self._clock.now())))

    def keys_offered_by(self, sender: str) -> dict[str, VerifyKey]:
        """Return the keys, by thumbprint, that a sender's pending application would register."""
        found = self.of_kind(DraftKind.APPLICATION, sender=sender)
        return offered_keys(one for draft in found for one in draft.submission.statements)

    def _limits(self, draft: Draft) -> Iterator[tuple[int, ColumnElement[bool]]]:
        """Yield how many drafts there may be before this one, of those that a condition holds for."""
        if draft.kind is not DraftKind.APPLICATION:
            yield self._limit, DRAFT.c.sender == draft.sender
            return
        is_waiting = DRAFT.c.kind == draft.kind
        yield _MAX_APPLICATIONS, is_waiting
        # SECURITY: keys cost nothing, and a stranger who has many could keep everybody else from applying.
        if draft.network:
            yield _MAX_OF_NETWORK, is_waiting & (DRAFT.c.network == draft.network)

    def _keep_again(
        self, before: Draft, submission: Submission, kind: DraftKind, missing: tuple[str, ...]
    ) -> Draft | None:
        if before.kind is not kind:
            raise not_now("the same statements wait for signatures elsewhere", "sign that draft")
        # What adds nothing that is missing is not taken; a signature whose key has ended may be dropped for a new one.
        if before.signatures <= _signatures(submission) and len(missing) >= len(before.missing):
            return before
        return self.sign(before, submission, missing)


def merge(kept: Submission, sent: Submission, keys: Mapping[str, VerifyKey]) -> Submission:
    """Return what was kept with what was sent of the same statements: nothing of either is lost.

    Of what was kept, signatures by keys that are not among `keys` (any more) are left out. What was sent is judged
    where it is recorded.
    """
    statements = []
    for one, other in zip(kept.statements, sent.statements, strict=True):
        envelope = json.loads(one.envelope)
        rows = {row["keyid"]: row for row in json.loads(other.envelope)["signatures"]}
        rows |= {row["keyid"]: row for row in envelope["signatures"] if row["keyid"] in keys}
        envelope["signatures"] = [rows[keyid] for keyid in sorted(rows)]
        statements.append(parse_statement(canonical_bytes(envelope)))
    openings = {one.commitment: one for one in (*kept.openings, *sent.openings)}
    documents = {**kept.documents, **sent.documents}
    return replace(kept, statements=tuple(statements), openings=tuple(openings.values()), documents=documents)


def add_signatures(
    submission: Submission, signatures: Iterable[Mapping[str, str]], keys: Mapping[str, VerifyKey]
) -> Submission:
    """Return a submission with more signatures, each on the statement that it is over.

    Raises:
        InvalidRequestError: a signature has a wrong form, or its key has signed already.
        VerificationError: one is by no key of `keys`, or over none of the statements.
    """
    statements = list(submission.statements)
    for item in signatures:
        signature = _signature(item)
        key = keys.get(signature.keyid)
        at = None if key is None else _find(statements, key, signature)
        if at is None:
            raise VerificationError(
                ErrorCode.STATEMENT_UNVERIFIED, "a signature is over none of the draft's statements"
            )
        statements[at] = _signed(statements[at], signature)
    return replace(submission, statements=tuple(statements))


def _find(statements: list[Statement], key: VerifyKey, signature: Signature) -> int | None:
    return next(
        (
            at
            for at, one in enumerate(statements)
            if key.is_valid(signature.sig, encode_pae(PAYLOAD_TYPE, one.payload_bytes))
        ),
        None,
    )


def _signatures(submission: Submission) -> frozenset[tuple[int, str]]:
    return frozenset((at, found.keyid) for at, one in enumerate(submission.statements) for found in one.signatures)


def _signed(statement: Statement, signature: Signature) -> Statement:
    envelope = json.loads(statement.envelope)
    row = {"keyid": signature.keyid, "sig": base64.b64encode(signature.sig).decode()}
    envelope["signatures"] = sorted([*envelope["signatures"], row], key=lambda one: str(one["keyid"]))
    return parse_statement(canonical_bytes(envelope))


def _signature(item: Mapping[str, str]) -> Signature:
    try:
        sig = base64.b64decode(item["sig"], validate=True)
    except (binascii.Error, ValueError, KeyError):
        raise malformed("expected each signature with `keyid` and `sig` in base64") from None
    if len(sig) != _SIGNATURE_BYTES:
        raise malformed(f"expected a signature of {_SIGNATURE_BYTES} bytes")
    return Signature(keyid=item["keyid"], sig=sig)


def _row(draft: Draft) -> dict[str, object]:
    return {
        "digest": draft.digest,
        "kind": draft.kind.value,
        "sender": draft.sender,
        "content": canonical_bytes(submission_json(draft.submission)),
        "missing": json.dumps(draft.missing),
        "made_at": draft.made_at,
        "expires_at": draft.expires_at,
        "network": draft.network,
    }


def _draft(row: Row[tuple[object, ...]]) -> Draft:
    return Draft(
        digest=row.digest,
        kind=DraftKind(row.kind),
        sender=row.sender,
        submission=parse_submission(json.loads(row.content)),
        missing=tuple(json.loads(row.missing)),
        made_at=row.made_at,
        expires_at=row.expires_at,
        network=row.network,
    )
