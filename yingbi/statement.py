"""Statements: DSSE envelopes over canonical JSON, with one or more Ed25519 signatures (docs/spec/statement.md).

`sign` is the only producer of bytes to sign. A `Statement` keeps the envelope and the payload as they came and is never
re-serialised: what was signed is what is hashed, stored and shown.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from yingbi.canonical import canonical_bytes, parse_canonical
from yingbi.errors import ErrorCode, InvalidRequestError, VerificationError
from yingbi.events import BODY_MODELS, EntryType, find_identifying
from yingbi.events.fields import Time
from yingbi.ids import DIGEST_PATTERN, ID_PATTERN, MAX_ID, PARTY_PATTERN
from yingbi.keys import SigningKey, VerifyKey

__all__ = [
    "MAX_ENVELOPE_BYTES",
    "MAX_SIGNATURES",
    "PAYLOAD_TYPE",
    "Payload",
    "Signature",
    "Statement",
    "Subject",
    "add_signature",
    "encode_pae",
    "parse_statement",
    "sign",
    "verify_signatures",
]

PAYLOAD_TYPE: Final = "application/vnd.yingbi.statement.v1+json"
MAX_SIGNATURES: Final = 16
MAX_ENVELOPE_BYTES: Final = 15_900
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SIGNATURE_BYTES: Final = 64
_PLAIN_NAME: Final = re.compile(r"[a-z][a-z_]{0,39}|[0-9]{1,3}")

Party = Annotated[str, Field(pattern=PARTY_PATTERN)]
Identifier = Annotated[str, Field(pattern=ID_PATTERN, max_length=MAX_ID)]
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
Nonce = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{21}[AQgw]$")]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Reference = Annotated[
    str, Field(pattern=rf"(?:{DIGEST_PATTERN})|(?:{ID_PATTERN})|(?:{PARTY_PATTERN})", max_length=MAX_ID)
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Subject(_Model):
    """One thing that a statement is about."""

    id: Annotated[str, Field(pattern=rf"(?:{ID_PATTERN})|(?:{PARTY_PATTERN})", max_length=MAX_ID)]
    digest: Digest | None


class Payload(_Model):
    """The head that all statements share; `body` is judged by the model of its type."""

    type: EntryType = Field(strict=False)
    id: Identifier
    issuer: Party
    on_behalf_of: Party | None
    issued_at: Time
    nonce: Nonce
    subject: Annotated[list[Subject], Field(max_length=64)]
    refs: Annotated[dict[Slug, Reference], Field(max_length=32)]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of an envelope: the signer's thumbprint and 64 bytes of Ed25519."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A parsed statement. Its signatures are not yet verified: see `verify_signatures`."""

    envelope: bytes
    payload_bytes: bytes
    payload: Payload
    signatures: tuple[Signature, ...]

    @property
    def type(self) -> EntryType:
        """Return the entry type that this statement claims."""
        return self.payload.type


def encode_pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding, the bytes that are signed (DSSE v1, protocol)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: Mapping[str, object], keys: Iterable[SigningKey]) -> Statement:
    """Sign `payload` with every key of `keys`: the one door through which signed statements come into being.

    Raises:
        InvalidRequestError: the payload does not fit its type, carries an identifying value, or the keys are none, too
            many or the same twice.
    """
    data = canonical_bytes(dict(payload))
    message = encode_pae(PAYLOAD_TYPE, data)
    signatures = [Signature(key.public.thumbprint, key.sign(message)) for key in keys]
    return parse_statement(_encode_envelope(data, signatures))


def add_signature(statement: Statement, key: SigningKey) -> Statement:
    """Return `statement` with one more signature over the same bytes: the second pair of eyes.

    Raises:
        InvalidRequestError: this key has signed already.
    """
    message = encode_pae(PAYLOAD_TYPE, statement.payload_bytes)
    more = Signature(key.public.thumbprint, key.sign(message))
    return parse_statement(_encode_envelope(statement.payload_bytes, [*statement.signatures, more]))


def parse_statement(envelope: bytes) -> Statement:
    """Parse an envelope strictly; signatures are read, not verified.

    Raises:
        InvalidRequestError: not canonical, unknown type, a body that does not fit its model, an identifying value, or
            signatures that are none, too many, doubled or out of order.
    """
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise InvalidRequestError(
            ErrorCode.ENTRY_TOO_LARGE,
            f"expected a statement of at most {MAX_ENVELOPE_BYTES} bytes, got {len(envelope)}",
            hint="put the data elsewhere and its digest or commitment here",
        )
    value = parse_canonical(envelope, max_bytes=MAX_ENVELOPE_BYTES)
    if not isinstance(value, dict) or set(value) != {"payload", "payloadType", "signatures"}:
        raise _malformed("expected an envelope with exactly `payload`, `payloadType` and `signatures`")
    if value["payloadType"] != PAYLOAD_TYPE:
        raise _malformed(f"expected payloadType `{PAYLOAD_TYPE}`")
    payload_bytes = _decode_base64(value["payload"], "payload")
    return Statement(
        envelope=envelope,
        payload_bytes=payload_bytes,
        payload=_parse_payload(payload_bytes),
        signatures=_parse_signatures(value["signatures"]),
    )


def verify_signatures(statement: Statement, keys: Iterable[VerifyKey]) -> tuple[str, ...]:
    """Verify every signature of `statement` with `keys`; return the thumbprints of the signers.

    Raises:
        VerificationError: a signature is by a key that is not among `keys`, or does not verify.
    """
    known = {key.thumbprint: key for key in keys}
    message = encode_pae(PAYLOAD_TYPE, statement.payload_bytes)
    for signature in statement.signatures:
        key = known.get(signature.keyid)
        if key is None:
            raise VerificationError(ErrorCode.STATEMENT_UNVERIFIED, f"signature by unknown key `{signature.keyid}`")
        if not key.is_valid(signature.sig, message):
            raise VerificationError(
                ErrorCode.STATEMENT_UNVERIFIED, f"signature of key `{signature.keyid}` does not verify"
            )
    return tuple(signature.keyid for signature in statement.signatures)


def _encode_envelope(payload: bytes, signatures: Iterable[Signature]) -> bytes:
    rows = [
        {"keyid": item.keyid, "sig": base64.b64encode(item.sig).decode()}
        for item in sorted(signatures, key=lambda item: item.keyid)
    ]
    return canonical_bytes(
        {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": rows}
    )


def _parse_payload(data: bytes) -> Payload:
    value = parse_canonical(data, max_bytes=MAX_ENVELOPE_BYTES)
    try:
        payload = Payload.model_validate(value)
        BODY_MODELS[payload.type].model_validate(payload.body)
    except ValidationError as error:
        raise _malformed(_describe(error)) from None
    _refuse_identifying(value)
    return payload


def _refuse_identifying(value: object) -> None:
    # SECURITY: a leaf is public for decades; a commitment is what belongs here.
    kind = find_identifying(value)
    if kind is not None:
        raise InvalidRequestError(
            ErrorCode.STATEMENT_IDENTIFYING,
            f"statement carries what looks like a {kind} in clear",
            hint="put a salted commitment there and keep its opening",
        )


def _describe(error: ValidationError) -> str:
    problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
    # SECURITY: a name that no model has may be a data value; only names of the usual form are shown.
    parts = [str(part) if _PLAIN_NAME.fullmatch(str(part)) else "?" for part in problem["loc"]]
    where = ".".join(parts) or "payload"
    return f"payload member `{where[:120]}`: {problem['type'].replace('_', ' ')}"


def _parse_signatures(value: object) -> tuple[Signature, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_SIGNATURES:
        raise _malformed(f"expected 1 to {MAX_SIGNATURES} signatures")
    signatures = []
    for item in value:
        if not isinstance(item, dict) or set(item) != {"keyid", "sig"}:
            raise _malformed("expected signatures with exactly `keyid` and `sig`")
        keyid, sig = item["keyid"], _decode_base64(item["sig"], "sig")
        if not isinstance(keyid, str) or not _THUMBPRINT.fullmatch(keyid) or len(sig) != _SIGNATURE_BYTES:
            raise _malformed("expected a thumbprint of 43 characters and a signature of 64 bytes")
        signatures.append(Signature(keyid, sig))
    names = [item.keyid for item in signatures]
    if names != sorted(set(names)):
        raise _malformed("expected signatures by different keys, in ascending order of `keyid`")
    return tuple(signatures)


def _decode_base64(value: object, name: str) -> bytes:
    if not isinstance(value, str):
        raise _malformed(f"expected `{name}` as base64")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed(f"expected `{name}` as base64 with padding") from None
    if base64.b64encode(data).decode() != value:
        raise _malformed(f"expected `{name}` as canonical base64")
    return data


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.STATEMENT_MALFORMED, message)
