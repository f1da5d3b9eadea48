"""Drafts: nobody takes one away from whoever sent it, and no signature gets lost, however many sign at once."""

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from api.drafts import Draft, DraftKind, Drafts, add_signatures, merge
from api.submissions import Submission
from tests.lib.statements import make_statement
from yingbi.clock import FixedClock
from yingbi.commitment import commit
from yingbi.errors import ConflictError
from yingbi.keys import SigningKey
from yingbi.statement import Statement, add_signature

MINE, OTHERS = "person:a", "person:b"
KEYS = [SigningKey.from_seed(bytes([number]) * 32) for number in (11, 12, 13)]
KNOWN = {key.public.thumbprint: key.public for key in KEYS}


@pytest.fixture
def drafts(engine: Engine, clock: FixedClock) -> Drafts:
    return Drafts(engine, clock, limit=3)


def kept(
    drafts: Drafts,
    statement: Statement | None = None,
    *,
    sender: str = MINE,
    kind: DraftKind = DraftKind.DRAFT,
    missing: tuple[str, ...] = ("root", "unit:a"),
) -> Draft:
    submission = Submission(statements=(statement or make_statement(KEYS[0]),))
    draft = drafts.keep(submission, sender=sender, kind=kind, missing=missing)
    assert draft is not None
    return draft


def signed(draft: Draft, key: SigningKey) -> Submission:
    (statement,) = draft.submission.statements
    found = next(one for one in add_signature(statement, key).signatures if one.keyid == key.public.thumbprint)
    row = {"keyid": found.keyid, "sig": base64.b64encode(found.sig).decode()}
    return add_signatures(draft.submission, [row], KNOWN)


def test_the_second_of_two_who_sign_at_once_begins_again(drafts: Drafts) -> None:
    draft = kept(drafts)
    first = drafts.sign(draft, signed(draft, KEYS[1]), ["root"])
    assert first == drafts.get(draft.digest)
    assert drafts.sign(draft, signed(draft, KEYS[2]), ["unit:a"]) is None, "it would take away the first signature"
    again = drafts.sign(first, signed(first, KEYS[2]), [])
    assert again is not None
    assert {keyid for _, keyid in again.signatures} == set(KNOWN)
    drafts.drop(draft.digest)
    assert drafts.sign(again, again.submission, []) is None


def test_a_draft_stays_its_senders(drafts: Drafts) -> None:
    draft = kept(drafts)
    assert drafts.keep(draft.submission, sender=OTHERS, kind=draft.kind, missing=draft.missing) is None
    again = drafts.keep(draft.submission, sender=OTHERS, kind=draft.kind, missing=draft.missing, before=draft)
    assert again == draft == drafts.get(draft.digest)
    more = drafts.keep(signed(draft, KEYS[1]), sender=OTHERS, kind=draft.kind, missing=["root"], before=draft)
    assert more is not None
    assert (more.sender, more.missing, len(more.signatures)) == (MINE, ("root",), 2)
    with pytest.raises(ConflictError):
        drafts.keep(draft.submission, sender=OTHERS, kind=DraftKind.APPLICATION, missing=[], before=draft)
    assert drafts.get(draft.digest) == more


def test_signatures_are_joined_and_those_of_ended_keys_are_not(drafts: Drafts) -> None:
    draft = kept(drafts, make_statement(KEYS[0]))
    both = signed(draft, KEYS[1])
    note = commit("a note")
    sent = replace(draft.submission, openings=(note,))
    joined = merge(both, sent, KNOWN)
    assert (joined.statements, joined.openings) == (both.statements, (note,))
    without = {keyid: key for keyid, key in KNOWN.items() if keyid != KEYS[1].public.thumbprint}
    assert merge(both, sent, without).statements == sent.statements
    assert merge(sent, both, KNOWN).statements == both.statements
    envelope = json.loads(joined.statements[0].envelope)
    assert [row["keyid"] for row in envelope["signatures"]] == sorted(row["keyid"] for row in envelope["signatures"])


def test_a_key_has_one_application_and_as_many_drafts_as_the_limit_says(drafts: Drafts) -> None:
    first, other = (kept(drafts, sender=sender, kind=DraftKind.APPLICATION) for sender in (MINE, OTHERS))
    last = kept(drafts, sender=MINE, kind=DraftKind.APPLICATION)
    assert drafts.find(first.digest) is None
    assert {one.digest for one in drafts.of_kind(DraftKind.APPLICATION)} == {other.digest, last.digest}
    for _ in range(3):
        kept(drafts, sender="person:c")
    with pytest.raises(ConflictError):
        kept(drafts, sender="person:c")
    kept(drafts, sender=OTHERS)


def test_they_are_counted_until_they_are_too_old(drafts: Drafts, clock: FixedClock) -> None:
    assert drafts.count() == {DraftKind.DRAFT: 0, DraftKind.APPLICATION: 0}
    old = make_statement(KEYS[0])
    kept(drafts, old)
    kept(drafts)
    kept(drafts, kind=DraftKind.APPLICATION)
    assert drafts.count() == {DraftKind.DRAFT: 2, DraftKind.APPLICATION: 1}
    clock.at += timedelta(days=8)
    assert drafts.count() == {DraftKind.DRAFT: 0, DraftKind.APPLICATION: 0}
    assert kept(drafts, old, sender=OTHERS).sender == OTHERS, "what is too old keeps nobody out"
