"""One accepted spelling a value; the canonical parser agrees with the kernel's, which was written separately."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.mini_log import canonical
from yingbi.canonical import parse_canonical as kernel_parse
from yingbi.errors import InvalidRequestError
from yingbi.verify.strict import (
    MAX_INT,
    Malformed,
    check_time,
    decode_base64,
    decode_base64url,
    format_time,
    parse_canonical,
    parse_decimal,
    parse_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(min_codepoint=32, max_codepoint=126)), inner)
    ),
    max_leaves=20,
)


@given(st.integers(0, MAX_INT))
def test_decimals_round_trip(value: int) -> None:
    assert parse_decimal(str(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "00", "01", "+1", "-1", "-0", " 1", "1 ", "1\n", "1_0", "1.0", "1e3", "0x1", "٣", "１", str(2**53), "9" * 17],
)
def test_other_spellings_of_numbers_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_decimal(text)


@given(st.binary(max_size=70))
def test_base64_round_trips(data: bytes) -> None:
    assert decode_base64(base64.b64encode(data).decode()) == data
    assert decode_base64url(base64.urlsafe_b64encode(data).decode().rstrip("=")) == data


@pytest.mark.parametrize(
    "text", ["AB==", "AAB=", "AA", "AAA", "A", "=", "AA=A", "AAAA=", "AA==\n", " AA==", "A A=", "-_8=", "é", "AA==AA=="]
)
def test_other_spellings_of_base64_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        decode_base64(text)


@pytest.mark.parametrize("text", ["AB", "AA==", "+/8", "A", "AA\n", "é"])
def test_other_spellings_of_base64url_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        decode_base64url(text)


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59)))  # noqa: DTZ001
def test_times_read_and_compare_as_times_do(at: datetime) -> None:
    text = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    assert check_time(text) == text
    seconds = int(at.replace(tzinfo=UTC, microsecond=0).timestamp())
    assert format_time(seconds) <= text < format_time(seconds + 1) or seconds >= 253402300799


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T08:00:00Z",
        "2026-11-21T08:00:00.000000+00:00",
        "2026-11-21 08:00:00.000000Z",
        "2026-02-30T08:00:00.000000Z",
        "2026-11-21T24:00:00.000000Z",
        "2026-11-21T08:00:60.000000Z",
        "2026-11-21T08:00:00.000000Z\n",
        "٢٠٢٦-11-21T08:00:00.000000Z",
        "0000-01-01T00:00:00.000000Z",
    ],
)
def test_other_spellings_of_times_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        check_time(text)


def test_times_out_of_range_move_to_the_edge() -> None:
    assert format_time(-1) == "1970-01-01T00:00:00.000000Z"
    assert format_time(2**63 - 1) == "9999-12-31T23:59:59.000000Z"


@given(JSON)
def test_canonical_json_is_read(value: object) -> None:
    assert parse_canonical(canonical(value)) == value


@given(JSON.map(canonical), st.data())
def test_the_kernel_agrees_on_changed_bytes(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    changed = data[:at] + draw.draw(st.binary(max_size=2)) + data[at + 1 :]
    assert _outcome(changed) == _kernel_outcome(changed)


CASES = {
    "deep enough": b"[" * 32 + b"1" + b"]" * 32,
    "too deep": b"[" * 33 + b"1" + b"]" * 33,
    "far too deep": b"[" * 5000 + b"]" * 5000,
    "brackets in strings are not depth": b'["' + b"[{" * 40 + b'"]',
    "doubled names": b'{"a":1,"a":1}',
    "names out of order": b'{"b":1,"a":1}',
    "spaces": b'{"a": 1}',
    "newline at the end": b"{}\n",
    "float": b"1.0",
    "exponent": b"1e3",
    "minus zero": b"-0",
    "not a number": b"NaN",
    "infinity": b"-Infinity",
    "largest integer": b"9007199254740991",
    "smallest integer": b"-9007199254740991",
    "too large an integer": b"9007199254740992",
    "too small an integer": b"-9007199254740992",
    "endless integer": b"9" * 5000,
    "lone surrogate": b'"\\ud800"',
    "lone surrogate as bytes": b'"\xed\xa0\x80"',
    "escaped letter": b'"\\u0061"',
    "upper-case escape": b'"\\u001F"',
    "lower-case escape": b'"\\u001f"',
    "short escape": b'"\\n\\t\\b\\f\\r\\"\\\\"',
    "escaped slash": b'"\\/"',
    "name that is not ASCII": '{"é":1}'.encode(),
    "name with a control character": b'{"\\n":1}',
    "name with delete": b'{"\x7f":1}',
    "value with delete": b'"\x7f"',
    "text that is not ASCII": '"影壁"'.encode(),
    "byte order mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b'"\xff"',
    "nothing": b"",
    "two values": b"{}{}",
}


@pytest.mark.parametrize("data", CASES.values(), ids=CASES.keys())
def test_the_kernel_agrees_on_hard_cases(data: bytes) -> None:
    assert _outcome(data) == _kernel_outcome(data)


def test_hard_cases_are_judged_both_ways() -> None:
    accepted = {name for name, data in CASES.items() if _outcome(data)}
    assert accepted == {
        "deep enough",
        "brackets in strings are not depth",
        "largest integer",
        "smallest integer",
        "lower-case escape",
        "short escape",
        "value with delete",
        "text that is not ASCII",
    }


@pytest.mark.parametrize("data", [b'{"a":1,"a":2}', b"1.5", b"NaN", b"9007199254740992", b"[", b"\xff", b"[" * 100_000])
def test_json_for_people_is_still_strict(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_json(data)


def test_json_for_people_may_be_laid_out() -> None:
    assert parse_json(json.dumps({"b": [1, None], "a": "x"}, indent=4).encode()) == {"b": [1, None], "a": "x"}


def _outcome(data: bytes) -> bool:
    try:
        parse_canonical(data)
    except Malformed:
        return False
    return True


def _kernel_outcome(data: bytes) -> bool:
    try:
        kernel_parse(data, max_bytes=100_000)
    except InvalidRequestError:
        return False
    return True
