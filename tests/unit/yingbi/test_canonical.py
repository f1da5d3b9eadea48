"""RFC 8785 in our profile: published examples, one spelling for every value, and three encoders that agree."""

import hashlib
import json
import struct
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from tests.lib.vectors import load_vectors
from yingbi import canonical
from yingbi.canonical import MAX_DEPTH, MAX_INT, canonical_bytes, digest_bytes, digest_json, parse_canonical
from yingbi.errors import ErrorCode, InvalidRequestError

NUMBERS = load_vectors("rfc8785/numbers.json")["numbers"]
EXAMPLE = load_vectors("rfc8785/example.json")
SORTING = load_vectors("rfc8785/sorting.json")

strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "\u2028\u2029",
        "\x00\x1f\x7f\x80",
        '"\\/\b\f\n\r\t',
        "😀\U0010ffff\ufdd0",
        "é e\u0301",
        "影壁",
        "</script>",
        "\ufeff",
    ]
)
member_names = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | strings
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(member_names, inner, max_size=5), max_leaves=25
)
BIG = 1 << 20


def _refuse(data: bytes) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse_canonical(data, max_bytes=BIG)
    assert caught.value.code in {ErrorCode.JSON_MALFORMED, ErrorCode.JSON_NOT_CANONICAL}
    return caught.value


# The examples of RFC 8785


@pytest.mark.parametrize("vector", NUMBERS, ids=lambda vector: vector["ieee754"])
def test_the_library_writes_the_numbers_of_appendix_b_and_we_refuse_them(vector: dict[str, str | None]) -> None:
    assert vector["ieee754"] is not None
    (number,) = struct.unpack(">d", bytes.fromhex(vector["ieee754"]))
    expected = vector["json"]
    if expected is None:
        with pytest.raises(rfc8785.FloatDomainError):
            rfc8785.dumps(number)
    else:
        assert rfc8785.dumps(number) == expected.encode()
    with pytest.raises(InvalidRequestError):
        canonical_bytes(number)
    with pytest.raises(InvalidRequestError):
        canonical_bytes({"nested": [number]})


def test_the_example_of_sections_3_2_2_and_3_2_3() -> None:
    value = json.loads(EXAMPLE["input"])
    assert rfc8785.dumps(value) == EXAMPLE["canonical"].encode()
    _refuse(EXAMPLE["canonical"].encode())  # it has fractional numbers
    del value["numbers"]
    without = b'{"literals":[null,true,false],"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    assert canonical_bytes(value) == without
    assert parse_canonical(without, max_bytes=BIG) == value


def test_the_sorting_example_of_section_3_2_3() -> None:
    canonical_text = rfc8785.dumps(SORTING["input"]).decode()
    assert list(json.loads(canonical_text).values()) == SORTING["values"]
    with pytest.raises(InvalidRequestError):  # names beyond ASCII are outside of our profile
        canonical_bytes(SORTING["input"])


# One spelling for every value


@given(values)
@example({"b": 1, "a": {"d": [], "c": {}}})
@example("\u2028\U0001f600\x00")
def test_three_encoders_agree(value: Any) -> None:
    data = canonical_bytes(value)
    assert data == rfc8785.dumps(value)
    assert data == canonical._encode(value).encode()


@given(values)
@example([True, 1, False, 0, None, "", {}, []])
def test_parsing_what_was_encoded_gives_it_back(value: Any) -> None:
    data = canonical_bytes(value)
    parsed = parse_canonical(data, max_bytes=len(data))
    assert parsed == value
    assert canonical_bytes(parsed) == data
    assert repr(parsed) == repr(json.loads(data))  # types too: True is not 1


@given(values, st.integers(1, 4))
def test_pretty_printed_json_is_refused(value: Any, indent: int) -> None:
    data = json.dumps(value, indent=indent, ensure_ascii=False).encode()
    if data == canonical_bytes(value):
        return  # a scalar, or something empty
    _refuse(data)


@given(values)
def test_escaped_json_is_refused(value: Any) -> None:
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    if data == canonical_bytes(value):
        return  # nothing was escaped that must not be
    _refuse(data)


@given(st.binary(max_size=40))
def test_whatever_parses_encodes_to_itself(data: bytes) -> None:
    try:
        value = parse_canonical(data, max_bytes=BIG)
    except InvalidRequestError:
        return
    assert canonical_bytes(value) == data


@given(
    values,
    st.integers(0, 400),
    st.sampled_from([b" ", b"\n", b"\t", b"\r", b",", b"0", b"+", b".0", b"\\u0041", b"\xef\xbb\xbf"]),
)
def test_inserted_bytes_never_make_a_second_spelling(value: Any, at: int, junk: bytes) -> None:
    data = canonical_bytes(value)
    changed = data[:at] + junk + data[at:]
    try:
        parsed = parse_canonical(changed, max_bytes=BIG)
    except InvalidRequestError:
        return
    assert repr(parsed) != repr(parse_canonical(data, max_bytes=BIG))


REFUSED = {
    "nothing": b"",
    "white space": b" ",
    "a space before": b" {}",
    "a newline after": b"{}\n",
    "a space inside": b'{"a": 1}',
    "a space in an empty list": b"[ ]",
    "a second value": b"{}{}",
    "trailing data": b"1 1",
    "a comment": b"{}//",
    "a trailing comma": b"[1,]",
    "members out of order": b'{"b":1,"a":2}',
    "upper case after lower case": b'{"a":1,"B":2}',
    "a longer name before a shorter": b'{"aa":1,"a":2}',
    "a name twice": b'{"a":1,"a":1}',
    "a name twice with another value": b'{"a":1,"a":2}',
    "a name twice, once escaped": b'{"a":1,"\\u0061":1}',
    "an escaped letter": b'"\\u0041"',
    "an escaped name": b'{"\\u0061":1}',
    "an escaped slash": b'"\\/"',
    "an escaped newline in long form": b'"\\u000a"',
    "a control escape in upper case": b'"\\u001F"',
    "an escaped DEL": b'"\\u007f"',
    "an escaped letter beyond ASCII": b'"\\u20ac"',
    "an escaped line separator": b'"\\u2028"',
    "an escaped pair": b'"\\ud83d\\ude00"',
    "an unescaped newline": b'"\n"',
    "an unescaped NUL": b'"\x00"',
    "a lone high surrogate": b'"\\ud800"',
    "a lone low surrogate": b'"\\udc00"',
    "a pair the wrong way round": b'"\\udc00\\ud800"',
    "a surrogate as UTF-8": b'"\xed\xa0\x80"',
    "no UTF-8": b'"\xff"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "UTF-16": '"a"'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a fraction": b"1.5",
    "a fraction of zero": b"1.0",
    "an exponent": b"1e3",
    "an exponent in upper case": b"1E3",
    "a negative exponent": b"10e-1",
    "minus zero": b"-0",
    "minus zero with a fraction": b"-0.0",
    "a leading zero": b"01",
    "a plus sign": b"+1",
    "hexadecimal": b"0x1",
    "not a number": b"NaN",
    "infinity": b"Infinity",
    "minus infinity": b"-Infinity",
    "a number beyond all": b"1e999",
    "2^53": b"9007199254740992",
    "-2^53": b"-9007199254740992",
    "5,000 digits": b"1" * 5000,
    "single quotes": b"'a'",
    "a name without quotes": b"{a:1}",
    "a number as name": b"{1:1}",
    "a name beyond ASCII": '{"é":1}'.encode(),
    "a control character in a name": b'{"\\u0001":1}',
    "a DEL in a name": b'{"\x7f":1}',
    "True": b"True",
    "undefined": b"undefined",
    "5,000 lists": b"[" * 5000 + b"]" * 5000,
    "5,000 objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "5,000 lists that never end": b"[" * 5000,
    "a list in 33 lists": b"[" * 34 + b"]" * 34,
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_spellings_are_refused(name: str) -> None:
    error = _refuse(REFUSED[name])
    assert "\n" not in error.message
    assert len(error.message) < 200


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"null", None),
        (b"true", True),
        (b"0", 0),
        (b"-1", -1),
        (b"9007199254740991", MAX_INT),
        (b"-9007199254740991", -MAX_INT),
        (b'""', ""),
        (b"[]", []),
        (b"{}", {}),
        (b'{"":1}', {"": 1}),
        (b'{"A":1,"a":2}', {"A": 1, "a": 2}),
        (b'{"a":1,"aa":2,"b":3}', {"a": 1, "aa": 2, "b": 3}),
        (b'{"\\"":1,"\\\\":2}', {'"': 1, "\\": 2}),
        (b'"\\b\\t\\n\\f\\r\\"\\\\/\\u0000\\u001f\x7f"', '\b\t\n\f\r"\\/\x00\x1f\x7f'),
        ('"é\u2028\u2029\ufeff😀"'.encode(), "é\u2028\u2029\ufeff😀"),
        (b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH, None),
    ],
)
def test_the_one_spelling(data: bytes, value: object) -> None:
    parsed = parse_canonical(data, max_bytes=len(data))
    assert canonical_bytes(parsed) == data
    if data[:3] != b"[[[":
        assert parsed == value


def test_at_most_so_many_bytes() -> None:
    assert parse_canonical(b"[1]", max_bytes=3) == [1]
    with pytest.raises(InvalidRequestError) as caught:
        parse_canonical(b"[1]", max_bytes=2)
    assert caught.value.code is ErrorCode.JSON_MALFORMED


def _itself() -> list[Any]:
    loop: list[Any] = []
    loop += [loop, loop]
    return loop


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        2**53,
        -(2**53),
        b"bytes",
        {1: "a"},
        {None: 1},
        {("a",): 1},
        {"é": 1},
        {"a\n": 1},
        {"\ud800": 1},
        "\ud800",
        ["\udfff"],
        {"a": object()},
        {"a": {1, 2}},
        iter([1]),
        1j,
        _itself(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_or_the_profile_does_not_have_is_not_encoded(value: object) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        canonical_bytes(value)
    assert caught.value.code is ErrorCode.JSON_NOT_CANONICAL


def test_32_levels_are_encoded_and_33_are_not() -> None:
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert canonical_bytes(value) == b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH
    with pytest.raises(InvalidRequestError):
        canonical_bytes({"a": value})


@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("inside", [b"1", '"é"'.encode(), b'"\\n"', b"true"])
def test_levels_are_counted_alike_when_parsing(start: bytes, end: bytes, inside: bytes) -> None:
    deepest = start * MAX_DEPTH + inside + end * MAX_DEPTH
    assert canonical_bytes(parse_canonical(deepest, max_bytes=BIG)) == deepest
    _refuse(start * 2 + deepest + end * 2)


def test_errors_show_no_value() -> None:
    for value in ({"a": 3.14159}, {"Alice": {"é": "Alice"}}, [10**30, "Alice"]):
        with pytest.raises(InvalidRequestError) as caught:
            canonical_bytes(value)
        for secret in ("3.14", "Alice", "1000000"):
            assert secret not in f"{caught.value.message} {caught.value.hint}"


def test_digests() -> None:
    assert digest_bytes(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_json({"b": 1, "a": [None]}) == "sha256:" + hashlib.sha256(b'{"a":[null],"b":1}').hexdigest()
