"""Token Status List (draft-ietf-oauth-status-list): the states of many certificates in a few bits each.

Two bits a certificate: 0 valid, 1 invalid (for good), 2 suspended. Packed from the least significant bit of each byte,
compressed with zlib, signed as a JWT. What is a list's own here: `log` says up to which size of which log its states
are read, so that an older list is not taken for a newer one.

Cost: O(certificates); memory 250 kB a million, compressed about as much as its entropy.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Self

import numpy as np

from policies.certificates.jose import Jws, parse_json, parse_jws, sign_jws, verify_jws
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.key_files import decode_base64url, encode_base64url
from yingbi.keys import SigningKey

__all__ = ["MAX_STATUSES", "Status", "StatusList", "StatusToken", "parse_status_token", "sign_status_token"]

MAX_STATUSES: Final = 1 << 24
_BITS: Final = 2
_LEGAL_BITS: Final = (1, 2, 4, 8)
_BYTE: Final = 8
_TYPE: Final = "statuslist+jwt"
_MAX_TOKEN: Final = 16 << 20
_LEVEL: Final = 9


class Status(IntEnum):
    """What a list says of one certificate."""

    VALID = 0
    INVALID = 1
    SUSPENDED = 2


@dataclass(frozen=True, slots=True)
class StatusList:
    """Statuses by index, packed: `bits` each, the first in the least significant bits of the first byte."""

    packed: bytes
    bits: int = _BITS

    @classmethod
    def of(cls, size: int, statuses: Mapping[int, int] | Iterable[tuple[int, int]]) -> Self:
        """Return a list of `size` statuses, valid but for those that are told otherwise.

        Raises:
            InvalidRequestError: an index beyond the list, a status beyond its bits, or too large a list.
        """
        pairs = np.array(list(statuses.items() if isinstance(statuses, Mapping) else statuses), dtype=np.int64)
        places, values = pairs.reshape(-1, 2).T
        if not 0 <= size <= MAX_STATUSES or ((places < 0) | (places >= size)).any():
            raise _malformed(f"expected indexes within a list of at most {MAX_STATUSES} statuses")
        if ((values < 0) | (values >= 1 << _BITS)).any():
            raise _malformed(f"expected statuses of {_BITS} bits")
        slots = np.zeros(-(-size * _BITS // _BYTE) * _BYTE // _BITS, dtype=np.uint8)
        slots[places] = values
        shifts = np.arange(0, _BYTE, _BITS, dtype=np.uint8)
        return cls(np.bitwise_or.reduce(slots.reshape(-1, len(shifts)) << shifts, axis=1).astype(np.uint8).tobytes())

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read the claim `status_list`.

        Raises:
            InvalidRequestError: it has another form, or is larger than `MAX_STATUSES`.
        """
        match value:
            case {"bits": int(bits), "lst": str(text)} if bits in _LEGAL_BITS:
                return cls(_decompress(text, MAX_STATUSES * bits // _BYTE), bits)
            case _:
                raise _malformed("expected `bits` (1, 2, 4 or 8) and `lst`")

    def to_json(self) -> dict[str, int | str]:
        """Return the claim `status_list`."""
        return {"bits": self.bits, "lst": encode_base64url(zlib.compress(self.packed, _LEVEL))}

    def __len__(self) -> int:
        return len(self.packed) * _BYTE // self.bits

    def __getitem__(self, index: int) -> int:
        """Return the status at an index.

        Raises:
            VerificationError: the list does not reach that far.
        """
        if not 0 <= index < len(self):
            raise VerificationError(ErrorCode.STATUS_LIST_UNVERIFIED, "the status list does not reach this certificate")
        place, shift = divmod(index * self.bits, _BYTE)
        return self.packed[place] >> shift & (1 << self.bits) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusToken:
    """A status list as it is published.

    `uri`: what certificates call it by. `issued_at`, `expires_at`: seconds. `origin`, `size`: of the log that it was
    read from, and how many of its entries were read.
    """

    uri: str
    issued_at: int
    expires_at: int
    origin: str
    size: int
    statuses: StatusList


def sign_status_token(token: StatusToken, key: SigningKey) -> str:
    """Return the signed list (5.1 of the draft)."""
    body: dict[str, Any] = {
        "sub": token.uri,
        "iat": token.issued_at,
        "exp": token.expires_at,
        "log": {"origin": token.origin, "size": token.size},
        "status_list": token.statuses.to_json(),
    }
    payload = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    return sign_jws({"typ": _TYPE}, payload, key)


def parse_status_token(text: str, jwk: Mapping[str, Any], *, uri: str, now: int, newer_than: int = 0) -> StatusToken:
    """Verify a signed list and return it.

    Args:
        text: the list.
        jwk: the issuer's public key.
        uri: what the certificate calls it by.
        now: seconds; it must have been issued and not have expired then.
        newer_than: the size of the log that a list is known to have been read at, or the certificate's own entry.

    Raises:
        InvalidRequestError: it has another form.
        VerificationError: another's signature, another list, of the future, expired, or older than one that was there.
    """
    jws = parse_jws(text, max_bytes=_MAX_TOKEN)
    verify_jws(jws, jwk, type_=_TYPE)
    found = _read(jws)
    if found.uri != uri:
        raise _unverified("the status list is another one than the certificate names")
    if found.issued_at > now:
        raise _unverified("the status list is of the future")
    if found.expires_at <= now:
        raise _unverified("the status list has expired", "fetch a new one")
    if found.size < newer_than:
        raise _unverified("the status list is older than one that was there", "fetch a new one")
    return found


def _read(jws: Jws) -> StatusToken:
    match parse_json(jws.payload):
        case {
            "sub": str(uri),
            "iat": int(issued_at),
            "exp": int(expires_at),
            "log": {"origin": str(origin), "size": int(size)},
            "status_list": statuses,
        }:
            return StatusToken(
                uri=uri,
                issued_at=issued_at,
                expires_at=expires_at,
                origin=origin,
                size=size,
                statuses=StatusList.from_json(statuses),
            )
        case _:
            raise _malformed("expected `sub`, `iat`, `exp`, `log` and `status_list`")


def _decompress(text: str, most: int) -> bytes:
    try:
        # SECURITY: a list of a few bytes could fill all memory.
        work = zlib.decompressobj()
        data = work.decompress(decode_base64url(text), most + 1)
        is_whole = work.eof and not work.unused_data
    except (SandboxError, zlib.error):
        raise _malformed("expected a list compressed with zlib, in base64url") from None
    if len(data) > most or not is_whole:
        raise _malformed(f"expected one list of at most {MAX_STATUSES} statuses")
    return data


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.STATUS_LIST_MALFORMED, message)


def _unverified(message: str, hint: str | None = None) -> VerificationError:
    return VerificationError(ErrorCode.STATUS_LIST_UNVERIFIED, message, hint=hint)
