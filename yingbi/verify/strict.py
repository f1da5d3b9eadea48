"""Strict readers: each value has one accepted spelling (C2SP signed-note and tlog-checkpoint, RFC 4648 §3.5, RFC 8785).

Python's own parsers are lenient (`int(" +1_0")`, base64 with stray bits, JSON with doubled names), so nothing else in
this package converts text to values.
"""

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import Final, NoReturn

__all__ = [
    "MAX_INT",
    "Malformed",
    "check_time",
    "decode_base64",
    "decode_base64url",
    "format_time",
    "parse_canonical",
    "parse_decimal",
    "parse_json",
]

MAX_INT: Final = 2**53 - 1
_MAX_DEPTH: Final = 32
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}\.[0-9]{6}Z")
_LAST_SECOND: Final = 253402300799  # 9999-12-31T23:59:59Z


class Malformed(ValueError):  # noqa: N818 - the field's word for it
    """Bytes that are not of the one accepted form. The message names the form, never the data."""


def parse_decimal(text: str) -> int:
    """Read an ASCII decimal from 0 to 2^53 - 1 without sign, spaces or leading zeros (C2SP tlog-checkpoint)."""
    if not _DECIMAL.fullmatch(text) or (value := int(text)) > MAX_INT:
        raise Malformed("expected a decimal number from 0 to 2^53 - 1 without leading zeros")
    return value


def decode_base64(text: str | bytes) -> bytes:
    """Decode RFC 4648 §4 base64 with padding; any spelling that an encoder would not write is refused (§3.5)."""
    try:
        spelling = text.encode("ascii") if isinstance(text, str) else text
        data = binascii.a2b_base64(spelling)
    except ValueError:
        raise Malformed("expected base64 with padding") from None
    # The decoder skips foreign characters and stray bits: encoding again shows them all.
    if binascii.b2a_base64(data, newline=False) != spelling:
        raise Malformed("expected canonical base64 with padding")
    return data


def decode_base64url(text: str) -> bytes:
    """Decode RFC 4648 §5 base64url without padding, canonical only (RFC 7515 §2)."""
    data = decode_base64(text.translate({ord("-"): "+", ord("_"): "/"}) + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise Malformed("expected base64url without padding")
    return data


def check_time(text: str) -> str:
    """Return `text` if it is an existing time `YYYY-MM-DDTHH:MM:SS.ffffffZ`; such texts compare as times do."""
    if not _TIME.fullmatch(text):
        raise Malformed("expected a time such as 2026-11-21T08:00:00.000000Z")
    try:
        datetime.fromisoformat(text[:-1])
    except ValueError:
        raise Malformed("expected a day that exists") from None
    return text


def format_time(seconds: int) -> str:
    """Write a POSIX time as `check_time` reads it; what lies outside the years 1970 to 9999 is moved to their edge."""
    moment = datetime.fromtimestamp(min(max(seconds, 0), _LAST_SECOND), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000000Z"


def parse_json(data: bytes) -> object:
    """Read one JSON value of a file that people write: any layout, but no doubled names, floats or huge numbers."""
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_int=_parse_int,
            parse_float=_refuse_float,
            parse_constant=_refuse_float,
        )
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("expected one JSON value in UTF-8") from None


def parse_canonical(data: bytes) -> object:
    """Read canonical JSON: RFC 8785 in the profile of statement.md, judged by encoding again and comparing."""
    try:
        text = data.decode()
        value = _DECODER.decode(text)
        encoded = _ENCODE(value)
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("expected one JSON value in UTF-8") from None
    # Equal bytes also mean: no doubled names, no spaces, no other escapes, no lone surrogates.
    if encoded != text:
        raise Malformed("expected canonical JSON (RFC 8785)")
    # Few brackets cannot nest deeply and plain ASCII has only printable names: the walk is for the rare rest.
    if text.count("{") + text.count("[") > _MAX_DEPTH or "\\" in text or "\x7f" in text or not text.isascii():
        _check_profile(value, 0)
    return value


def _check_profile(value: object, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise Malformed(f"expected at most {_MAX_DEPTH} levels of JSON")
    if isinstance(value, dict):
        for name, item in value.items():
            if not (name.isascii() and name.isprintable()):
                raise Malformed("expected member names of printable ASCII")
            _check_profile(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_profile(item, depth + 1)


def _parse_int(text: str) -> int:
    if len(text) > len(str(-MAX_INT)) or abs(value := int(text)) > MAX_INT:
        raise Malformed("expected integers within 2^53 - 1")
    return value


def _refuse_float(_: str) -> NoReturn:
    raise Malformed("expected no fractional numbers")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed("expected each member name once")
    return value


_DECODER: Final = json.JSONDecoder(parse_int=_parse_int, parse_float=_refuse_float, parse_constant=_refuse_float)
_ENCODE: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
