"""Submissions: statements that are recorded together or not at all, with openings and documents that belong to them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from api.refusals import malformed
from api.rules import DECLARATION
from policies.standing import Standing
from yingbi.canonical import JsonValue, canonical_bytes, digest_bytes, digest_json
from yingbi.commitment import Opening
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.events import EntryType
from yingbi.key_files import decode_base64url, encode_base64url
from yingbi.keys import VerifyKey
from yingbi.statement import Statement, parse_statement

__all__ = [
    "MAX_STATEMENTS",
    "Follow",
    "Submission",
    "envelope_json",
    "keys_offered",
    "offered_keys",
    "opening_json",
    "parse_submission",
    "submission_json",
]

MAX_STATEMENTS: Final = 16
_MEMBERS: Final = {"statements", "openings", "documents"}
_MAX_OPENINGS: Final = 64
_MAX_DOCUMENTS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is to be recorded. `documents` are canonical JSON by digest.

    `then`: called with the standing after these statements and the time of their entries; what it returns is recorded
    with them, or nothing is.
    """

    statements: tuple[Statement, ...] = ()
    openings: tuple[Opening, ...] = ()
    documents: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    then: "Follow | None" = None

    @property
    def name(self) -> str:
        """Return the digest that names these statements, whoever has signed them."""
        return digest_json([digest_bytes(statement.payload_bytes) for statement in self.statements])

    def check(self) -> None:
        """Refuse openings that no statement names, and documents that none names as the document of its type.

        Raises:
            VerificationError: there is one.
        """
        payloads = [statement.payload_bytes for statement in self.statements]
        named = {_document_of(statement) for statement in self.statements}
        if not named.issuperset(self.documents) or not all(
            any(opening.commitment.encode() in payload for payload in payloads) for opening in self.openings
        ):
            raise VerificationError(
                ErrorCode.COMMITMENT_MISMATCH, "an opening or document is named by none of the statements"
            )


def _document_of(statement: Statement) -> object:
    """Return the digest of the one document that a statement of its type brings with it, or nothing."""
    payload = statement.payload
    match statement.type:
        case EntryType.AGREEMENT_PROPOSED | EntryType.AGREEMENT_COUNTERED:
            return payload.body["terms"]
        case EntryType.DATASET_REGISTERED:
            return payload.body["catalogue_entry"]
        case EntryType.JOB_SUBMITTED:
            return payload.refs.get(DECLARATION)
        case _:
            return None


Follow = Callable[[Standing, str], Submission]


def parse_submission(value: object, *, types: Sequence[EntryType] | None = None) -> Submission:
    """Read the JSON form of a submission.

    Args:
        value: its members; `openings` and `documents` may be absent.
        types: entry types that are taken here.

    Raises:
        InvalidRequestError: another form, or statements of other types.
        VerificationError: an opening or document that belongs to none of the statements.
    """
    if not isinstance(value, dict) or not set(value) <= _MEMBERS:
        raise malformed("expected an object with `statements`, `openings` and `documents`")
    submission = Submission(
        statements=tuple(_statement(item) for item in _list(value, "statements", MAX_STATEMENTS)),
        openings=tuple(_opening(item) for item in _list(value, "openings", _MAX_OPENINGS)),
        documents=dict(_document(item) for item in _list(value, "documents", _MAX_DOCUMENTS)),
    )
    if not submission.statements:
        raise malformed("expected a statement")
    wrong = {statement.type for statement in submission.statements} - set(types or EntryType)
    if wrong:
        raise malformed(f"a statement of type `{min(wrong)}` is not taken here")
    submission.check()
    return submission


def submission_json(submission: Submission) -> dict[str, JsonValue]:
    """Return the JSON form of a submission."""
    return {
        "statements": [envelope_json(statement) for statement in submission.statements],
        "openings": [opening_json(opening) for opening in submission.openings],
        "documents": [json.loads(content) for content in submission.documents.values()],
    }


def envelope_json(statement: Statement) -> JsonValue:
    """Return a statement's envelope as the JSON object whose canonical bytes it is."""
    envelope: JsonValue = json.loads(statement.envelope)
    return envelope


def opening_json(opening: Opening) -> dict[str, JsonValue]:
    """Return the JSON form of an opening."""
    return {
        "commitment": opening.commitment,
        "salt": encode_base64url(opening.salt),
        "value": json.loads(opening.value),
    }


def keys_offered(body: bytes) -> dict[str, VerifyKey]:
    """Return the keys that the statements of a submission's body would register, by thumbprint.

    What cannot be read offers no key; its reader says what is wrong with it.
    """
    try:
        return offered_keys(parse_submission(json.loads(body)).statements)
    except (ValueError, RecursionError, SandboxError):
        return {}


def offered_keys(statements: Iterable[Statement]) -> dict[str, VerifyKey]:
    """Return the keys that statements would register, by thumbprint.

    Raises:
        InvalidRequestError: one of them is no key that may be registered.
    """
    keys = [VerifyKey.from_jwk(one.payload.body["jwk"]) for one in statements if one.type is EntryType.KEY_REGISTERED]
    return {key.thumbprint: key for key in keys}


def _list(value: Mapping[str, Any], name: str, most: int) -> list[Any]:
    items = value.get(name, [])
    if not isinstance(items, list) or len(items) > most:
        raise malformed(f"expected `{name}` as a list of at most {most}")
    return items


def _statement(value: object) -> Statement:
    if not isinstance(value, dict):
        raise malformed("expected each statement as its envelope, a JSON object")
    return parse_statement(canonical_bytes(value))


def _opening(value: object) -> Opening:
    if not isinstance(value, dict) or set(value) != {"commitment", "salt", "value"}:
        raise malformed("expected each opening with exactly `commitment`, `salt` and `value`")
    try:
        opening = Opening(salt=decode_base64url(str(value["salt"])), value=canonical_bytes(value["value"]))
    except InvalidRequestError as error:
        raise malformed("expected an opening with a salt of 43 characters of base64url and a JSON value") from error
    if opening.commitment != value["commitment"]:
        raise VerificationError(ErrorCode.COMMITMENT_MISMATCH, "opening does not match its commitment")
    return opening


def _document(value: object) -> tuple[str, bytes]:
    content = canonical_bytes(value)
    return digest_bytes(content), content
