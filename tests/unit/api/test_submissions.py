"""Submissions as they come in and go out: nothing lost, nothing that belongs to none of the statements."""

import json
from typing import Any

import pytest

from api.submissions import Submission, keys_offered, opening_json, parse_submission, submission_json
from tests.lib.statements import make_statement, revoked
from yingbi.canonical import canonical_bytes, digest_bytes
from yingbi.commitment import commit
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.events import EntryType
from yingbi.keys import SigningKey
from yingbi.statement import Statement, add_signature, sign

KEY = SigningKey.from_seed(b"\x07" * 32)
DOCUMENT = {"words": ["纳税", "街道"]}
NOTE = commit("a note")


def registering(entry: str, **refs: str) -> Statement:
    body = {"owner": "unit:tax", "catalogue_entry": entry, "privacy_unit": "enterprise", "openness": "conditional"}
    return sign(revoked(type="dataset.registered", id="ds-lab", body=body, refs=refs), [KEY])


def whole() -> Submission:
    content = canonical_bytes(DOCUMENT)
    statement = registering(digest_bytes(content), note=NOTE.commitment)
    return Submission(statements=(statement,), openings=(NOTE,), documents={digest_bytes(content): content})


def test_what_is_written_is_read_back() -> None:
    submission = whole()
    assert parse_submission(json.loads(json.dumps(submission_json(submission)))) == submission


def test_it_has_one_name_whoever_has_signed() -> None:
    statement = make_statement()
    other = add_signature(statement, SigningKey.generate())
    assert Submission(statements=(statement,)).name == Submission(statements=(other,)).name
    assert Submission(statements=(make_statement(),)).name != Submission(statements=(statement,)).name


def test_only_the_types_that_a_route_takes_are_taken() -> None:
    value = submission_json(Submission(statements=(make_statement(),)))
    assert parse_submission(value, types=[EntryType.KEY_REVOKED]).statements
    with pytest.raises(InvalidRequestError):
        parse_submission(value, types=[EntryType.JOB_SUBMITTED])


@pytest.mark.parametrize(
    "changes",
    [
        {"statements": []},
        {"statements": "x"},
        {"statements": ["x"]},
        {"statements": [{}]},
        {"statements": [1.5]},
        {"openings": [{}]},
        {"openings": [{"commitment": NOTE.commitment, "salt": "x", "value": "a note"}]},
        {"openings": [{"commitment": NOTE.commitment, "salt": "A" * 43, "value": 1.5}]},
        {"documents": {}},
        {"documents": [1.5]},
        {"more": []},
        {"statements": [json.loads(make_statement().envelope)] * 17},
    ],
)
def test_another_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_submission(submission_json(whole()) | changes)
    assert caught.value.spec.status in (400, 422)


@pytest.mark.parametrize("stray", [{"openings": [opening_json(commit("another"))]}, {"documents": [{"other": 1}]}])
def test_what_belongs_to_no_statement_is_refused(stray: dict[str, Any]) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_submission(submission_json(whole()) | stray)
    assert caught.value.code is ErrorCode.COMMITMENT_MISMATCH


def test_a_document_is_named_as_the_document_of_its_type_or_refused() -> None:
    content = canonical_bytes(DOCUMENT)
    digest, other = digest_bytes(content), "sha256:" + "0" * 64
    for statement in (registering(other, document=digest), make_statement(refs={"declaration": digest})):
        with pytest.raises(VerificationError):
            Submission(statements=(statement,), documents={digest: content}).check()
    Submission(statements=(make_statement(), registering(digest)), documents={digest: content}).check()


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"statements": null}', b"\xff", b"1", b"[" * 100_000])
def test_a_body_that_cannot_be_read_offers_no_key(body: bytes) -> None:
    assert keys_offered(body) == {}
