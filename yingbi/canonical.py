"""Canonical bytes: RFC 8785 JSON, in the profile of docs/spec/statement.md, and SHA-256 digests of it.

Two directions that must agree: `canonical_bytes` encodes (with the `rfc8785` library), `parse_canonical` reads bytes
and refuses whatever `canonical_bytes` would not have written. No floats: RFC 8785's number format is the part that
implementations disagree about.
"""

import hashlib
import json
from typing import Any, Final, NoReturn, cast

import rfc8785

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["MAX_DEPTH", "MAX_INT", "JsonValue", "canonical_bytes", "digest_bytes", "digest_json", "parse_canonical"]

JsonValue = None | bool | int | str | list["JsonValue"] | dict[str, "JsonValue"]

MAX_INT: Final = 2**53 - 1
MAX_DEPTH: Final = 32

_MAX_INT_DIGITS: Final = 17
# RFC 8785 equals this C encoder for the profile (ASCII names, integers only); a property test holds them together.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical_bytes(value: object) -> bytes:
    """Encode `value` as canonical JSON (RFC 8785, profile of docs/spec/statement.md).

    Raises:
        InvalidRequestError: a float, a huge integer, a name that is not printable ASCII, a lone surrogate, a type that
            JSON does not have, or more than `MAX_DEPTH` levels.
    """
    _check_profile(value, 0)
    try:
        return rfc8785.dumps(cast("Any", value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise _not_canonical("a value that RFC 8785 cannot encode") from error


def parse_canonical(data: bytes, *, max_bytes: int) -> JsonValue:
    """Parse `data`, refusing everything that `canonical_bytes` would not have written byte for byte.

    Raises:
        InvalidRequestError: too long, not UTF-8, not JSON, or not canonical (order, spaces, escapes, duplicate names,
            floats, huge integers, depth).
    """
    if len(data) > max_bytes:
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, f"expected at most {max_bytes} bytes, got {len(data)}")
    try:
        text = data.decode("utf-8")
        value = cast("JsonValue", _decode(text))
        if not _is_plain(text):
            _check_profile(value, 0)
        encoded = _encode(value)
    except InvalidRequestError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(ErrorCode.JSON_MALFORMED, "expected one JSON value in UTF-8") from error
    if encoded != text:
        raise _not_canonical("other bytes than RFC 8785 writes (order, spaces, escapes or duplicate names)")
    return value


def digest_bytes(data: bytes) -> str:
    """Return `sha256:` and the lower-case hexadecimal SHA-256 of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_json(value: object) -> str:
    """Return the digest of the canonical bytes of `value`."""
    return digest_bytes(canonical_bytes(value))


def _not_canonical(what: str) -> InvalidRequestError:
    return InvalidRequestError(
        ErrorCode.JSON_NOT_CANONICAL,
        f"expected canonical JSON, got {what}",
        hint="write RFC 8785 without floats; `yingbi.canonical.canonical_bytes` does",
    )


def _refuse_float(_: str) -> NoReturn:
    raise _not_canonical("a fractional number; send decimals as strings")


def _parse_int(digits: str) -> int:
    # Judged by length first: Python takes quadratic time for huge numbers, and refuses the hugest with another error.
    if len(digits) > _MAX_INT_DIGITS or not -MAX_INT <= (value := int(digits)) <= MAX_INT:
        raise _not_canonical("an integer beyond 2^53 - 1; send it as a string")
    return value


def _is_plain(text: str) -> bool:
    """Tell whether decoding alone has shown all that `_check_profile` would: it spares a walk for every log entry.

    Without escapes and beyond-ASCII characters every name is printable ASCII (JSON has no raw control characters, and
    DEL is looked for); that few brackets cannot nest too deep; integers were judged as they were read.
    """
    if not text.isascii() or "\\" in text or "\x7f" in text:
        return False
    return text.count("{") + text.count("[") <= MAX_DEPTH


def _check_profile(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _not_canonical(f"more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for name, item in value.items():
            if not (isinstance(name, str) and name.isascii() and name.isprintable()):
                raise _not_canonical("a member name that is not printable ASCII")
            if type(item) is not str:  # most members are strings, and this runs for every entry of a log
                _check_profile(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_profile(item, depth + 1)
    elif isinstance(value, int):
        if not -MAX_INT <= value <= MAX_INT:
            raise _not_canonical("an integer beyond 2^53 - 1; send it as a string")
    elif not (value is None or isinstance(value, str)):
        raise _not_canonical(f"a {type(value).__name__}")


_decode = json.JSONDecoder(parse_float=_refuse_float, parse_constant=_refuse_float, parse_int=_parse_int).decode
