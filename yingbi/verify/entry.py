"""Entries of the log: form, head of the statement's payload, genesis value, bundles (log.md, statement.md)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final

from yingbi.verify.entry_types import ENTRY_TYPES
from yingbi.verify.strict import Malformed, check_time, decode_base64, parse_canonical, parse_decimal

__all__ = ["MAX_ENTRY_BYTES", "PARTY", "PAYLOAD_TYPE", "Entry", "genesis", "parse_entry", "split_bundle"]

MAX_ENTRY_BYTES: Final = 16_384
PAYLOAD_TYPE: Final = b"application/vnd.yingbi.statement.v1+json"
_MAX_SIGNATURES: Final = 16
_MAX_SUBJECTS: Final = 64
_MAX_REFS: Final = 32

# An entry has one spelling: its canonical JSON, written out as a pattern.
_SIGNATURE: Final = rb'\{"keyid":"([A-Za-z0-9_-]{43})","sig":"([A-Za-z0-9+/]{85}[AQgw]==)"\}'
_SIGNATURES: Final = re.compile(_SIGNATURE)
_ENTRY: Final = re.compile(
    rb'\{"prev":"sha256:([0-9a-f]{64})","seq":(0|[1-9][0-9]{0,15}),'
    rb'"statement":\{"payload":"([A-Za-z0-9+/]+={0,2})","payloadType":"' + re.escape(PAYLOAD_TYPE) + b'",'
    rb'"signatures":\[(' + _SIGNATURE + rb"(?:," + _SIGNATURE + rb')*)\]\},"time":"([0-9TZ:.-]{27})",'
    rb'"type":"([a-z]+\.[a-z_]+)","v":1\}'
)
_MEMBERS: Final = {"type", "id", "issuer", "on_behalf_of", "issued_at", "nonce", "subject", "refs", "body"}
_KINDS: Final = "bureau|unit|partner|node|log|witness|auditor|subject|person"
_PARTY: Final = rf"(?:{_KINDS}):[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?"
_ID: Final = r"(?=.{3,80}\Z)[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+"
PARTY: Final = re.compile(_PARTY)
_IDENTIFIER: Final = re.compile(_ID)
_NAMED: Final = re.compile(rf"{_ID}|{_PARTY}")
_REFERENCE: Final = re.compile(rf"sha256:[0-9a-f]{{64}}|{_ID}|{_PARTY}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_SLUG: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A well-formed entry. Nothing in it is verified: neither signatures nor its place in the log."""

    seq: int
    prev: bytes
    time: str
    type: str
    payload: Mapping[str, object]
    payload_bytes: bytes
    signature_rows: bytes

    @property
    def signatures(self) -> list[tuple[str, bytes]]:
        """Return key IDs and signatures, in the order of the envelope."""
        rows = _SIGNATURES.findall(self.signature_rows)
        return [(keyid.decode(), decode_base64(signature)) for keyid, signature in rows]

    @property
    def body(self) -> Mapping[str, object]:
        """Return the particulars of the statement."""
        body = self.payload["body"]
        return body if isinstance(body, dict) else {}


def genesis(origin: str) -> bytes:
    """Return what entry 0 names as the hash before it: the log's own origin, hashed (log.md, Entry)."""
    return sha256(b"yingbi.log.genesis.v1\n" + origin.encode() + b"\n").digest()


def parse_entry(data: bytes) -> Entry:
    """Parse an entry: size, canonical form, exact members, known type, head of the payload (verification.md, step 5).

    Raises:
        Malformed: it breaks one of these.
    """
    if len(data) > MAX_ENTRY_BYTES:
        raise Malformed(f"expected an entry of at most {MAX_ENTRY_BYTES} bytes, got {len(data)}")
    match = _ENTRY.fullmatch(data)
    if match is None:
        parse_canonical(data)  # says so if not even that
        raise Malformed("expected exactly the members of an entry, version 1, each in its form")
    prev, seq, payload, rows, *_, time, kind = match.groups()
    _check_signers(rows)
    payload_bytes = decode_base64(payload)
    entry_type = kind.decode()
    if entry_type not in ENTRY_TYPES:
        raise Malformed("expected an entry type of the closed list")
    return Entry(
        seq=parse_decimal(seq.decode()),
        prev=bytes.fromhex(prev.decode()),
        time=check_time(time.decode()),
        type=entry_type,
        payload=_parse_payload(payload_bytes, entry_type),
        payload_bytes=payload_bytes,
        signature_rows=rows,
    )


def split_bundle(data: bytes, count: int, *, exact: bool) -> Iterator[bytes]:
    """Yield the first `count` entries of a bundle (C2SP tlog-tiles, Log entries).

    Raises:
        Malformed: the bundle ends before, or, where `exact`, goes on after.
    """
    at = 0
    for _ in range(count):
        start = at + 2
        at = start + int.from_bytes(data[at:start])
        if start > len(data) or at > len(data):
            raise Malformed(f"expected {count} whole entries in the bundle")
        yield data[start:at]
    if exact and at != len(data):
        raise Malformed(f"expected nothing after entry {count} of the bundle")


def _check_signers(rows: bytes) -> None:
    if rows.count(b'"keyid"') == 1:  # the usual case, made fast
        return
    keyids = [keyid for keyid, _ in _SIGNATURES.findall(rows)]
    if len(keyids) > _MAX_SIGNATURES or any(a >= b for a, b in pairwise(keyids)):
        raise Malformed(f"expected 1 to {_MAX_SIGNATURES} signatures in ascending order of keyid")


def _parse_payload(data: bytes, entry_type: str) -> dict[str, object]:
    payload = parse_canonical(data)
    if not isinstance(payload, dict) or payload.keys() != _MEMBERS:
        raise Malformed("expected exactly the members of a payload")
    if payload["type"] != entry_type:
        raise Malformed("expected the type of the payload as type of the entry")
    acts_for = payload["on_behalf_of"]
    if not (
        _matches(_IDENTIFIER, payload["id"])
        and _matches(PARTY, payload["issuer"])
        and (acts_for is None or _matches(PARTY, acts_for))
        and _matches(_NONCE, payload["nonce"])
        and isinstance(payload["issued_at"], str)
        and isinstance(payload["body"], dict)
    ):
        raise Malformed("expected each member of the payload in its form")
    check_time(payload["issued_at"])
    _check_subject(payload["subject"])
    _check_refs(payload["refs"])
    return payload


def _check_subject(subject: object) -> None:
    if not isinstance(subject, list) or len(subject) > _MAX_SUBJECTS:
        raise Malformed(f"expected `subject` as a list of at most {_MAX_SUBJECTS}")
    for item in subject:
        if not isinstance(item, dict) or item.keys() != {"id", "digest"} or not _matches(_NAMED, item["id"]):
            raise Malformed("expected subjects with an id and a digest")
        if item["digest"] is not None and not _matches(_DIGEST, item["digest"]):
            raise Malformed("expected digests of subjects as sha256: and 64 digits")


def _check_refs(refs: object) -> None:
    if not isinstance(refs, dict) or len(refs) > _MAX_REFS:
        raise Malformed(f"expected `refs` as an object of at most {_MAX_REFS} members")
    for name, value in refs.items():
        if not _SLUG.fullmatch(name) or not _matches(_REFERENCE, value):
            raise Malformed("expected `refs` from slugs to digests or ids")


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
