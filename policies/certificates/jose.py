"""Compact JWS (RFC 7515) and the JSON inside, strictly.

Issued is with `Ed25519` alone (RFC 9864); verified are also the older name `EdDSA` (RFC 8037) for Ed25519 keys and
`ES256` (RFC 7518) of other issuers. There is no `none`, and no algorithm that a verifier did not expect of a key.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.key_files import decode_base64url, encode_base64url
from yingbi.keys import SigningKey, VerifyKey

__all__ = ["MAX_DEPTH", "Algorithm", "Jws", "parse_json", "parse_jws", "sign_jws", "verify_jws"]

MAX_DEPTH: Final = 32
_COORDINATE: Final = 32
_PARTS: Final = 3


class Algorithm(StrEnum):
    """Signature algorithms by their JOSE names."""

    ED25519 = "Ed25519"
    EDDSA = "EdDSA"
    ES256 = "ES256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jws:
    """A compact JWS, taken apart and not verified: `text` is all of it, `signed` what the signature is over."""

    text: str
    header: Mapping[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes


def sign_jws(header: Mapping[str, JsonValue], payload: bytes, key: SigningKey) -> str:
    """Return a compact JWS, signed with `Ed25519`; `header` has all other members."""
    told = {"alg": Algorithm.ED25519.value, **header}
    head = encode_base64url(json.dumps(told, separators=(",", ":"), sort_keys=True).encode())
    signed = f"{head}.{encode_base64url(payload)}"
    return f"{signed}.{encode_base64url(key.sign(signed.encode()))}"


def parse_jws(text: str, *, max_bytes: int) -> Jws:
    """Take a compact JWS apart.

    Raises:
        InvalidRequestError: it is none, or longer than `max_bytes`.
    """
    parts = text.split(".")
    if len(text) > max_bytes or len(parts) != _PARTS or not text.isascii():
        raise _malformed("expected three parts of base64url with points between them")
    try:
        head, payload, signature = (decode_base64url(part) for part in parts)
    except SandboxError:
        raise _malformed("expected three parts of base64url with points between them") from None
    header = parse_json(head)
    if not isinstance(header, dict):
        raise _malformed("expected an object as the header")
    signed = text.rpartition(".")[0].encode()
    return Jws(text=text, header=header, payload=payload, signed=signed, signature=signature)


def verify_jws(jws: Jws, jwk: Mapping[str, Any], *, type_: str | None) -> None:
    """Verify the signature by a public key (JWK), and that the header is of a type (`typ`; none is not looked at).

    Raises:
        VerificationError: another type, an algorithm that is not known or not that of the key, a critical extension, or
            a signature that is not the key's.
        InvalidRequestError: the key is not one.
    """
    if type_ is not None and jws.header.get("typ") != type_:
        raise _unverified(f"expected the type `{type_}`")
    # SECURITY: what must be understood and is not, is not passed over (RFC 7515 section 4.1.11).
    if "crit" in jws.header:
        raise _unverified("a critical extension is not known")
    algorithm = jws.header.get("alg")
    if jwk.get("kty") == "OKP" and algorithm in (Algorithm.ED25519, Algorithm.EDDSA):
        key = VerifyKey.from_jwk({name: jwk.get(name) for name in ("kty", "crv", "x")})
        is_good = key.is_valid(jws.signature, jws.signed)
    elif jwk.get("kty") == "EC" and algorithm == Algorithm.ES256:
        is_good = _is_es256(jwk, jws)
    else:
        raise _unverified("the algorithm is not that of the key, or not known")
    if not is_good:
        raise _unverified("the signature is not the key's")


def parse_json(data: bytes) -> JsonValue:
    """Read JSON in UTF-8: no double names, no fractions, no more than `MAX_DEPTH` levels.

    Raises:
        InvalidRequestError: anything else.
    """
    try:
        value: JsonValue = _decode(data.decode())
        if b"\\ud" in data or b"\\uD" in data:
            # Half of a surrogate pair is no text, and would be an error of another kind wherever it is written.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise _malformed("expected one JSON value in UTF-8, without double names and fractions") from None
    _check_depth(value, 0)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a double name")
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError("a number that is no integer")


def _check_depth(value: JsonValue, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _malformed(f"expected at most {MAX_DEPTH} levels")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _check_depth(item, depth + 1)


def _is_es256(jwk: Mapping[str, Any], jws: Jws) -> bool:
    try:
        x, y = (decode_base64url(str(jwk.get(name))) for name in ("x", "y"))
        if jwk.get("crv") != "P-256" or {len(x), len(y)} != {_COORDINATE} or "d" in jwk:
            raise ValueError("not a public key")
        numbers = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), SECP256R1())
        key = numbers.public_key()
    except (ValueError, SandboxError):
        raise InvalidRequestError(ErrorCode.KEY_MALFORMED, "expected a public JWK of crv `P-256`") from None
    if len(jws.signature) != 2 * _COORDINATE:
        return False
    r, s = (int.from_bytes(part) for part in (jws.signature[:_COORDINATE], jws.signature[_COORDINATE:]))
    try:
        key.verify(encode_dss_signature(r, s), jws.signed, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CERTIFICATE_MALFORMED, message)


def _unverified(message: str) -> VerificationError:
    return VerificationError(ErrorCode.CERTIFICATE_UNVERIFIED, message)


_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse).decode
