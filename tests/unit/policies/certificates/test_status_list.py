"""Status lists: the draft's own vectors, and every way in which a list is not the one that is wanted."""

import json
import random
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.certificates.jose import sign_jws
from policies.certificates.status_list import (
    MAX_STATUSES,
    Status,
    StatusList,
    StatusToken,
    parse_status_token,
    sign_status_token,
)
from yingbi.errors import ErrorCode, InvalidRequestError, VerificationError
from yingbi.key_files import encode_base64url
from yingbi.keys import SigningKey

KEY = SigningKey.from_seed(b"s" * 32)
JWK = KEY.public.to_jwk()
URI = "https://hub.example/v1/status/1"
NOW = 1_795_000_000
TOKEN = StatusToken(
    uri=URI,
    issued_at=NOW,
    expires_at=NOW + 3600,
    origin="log.example",
    size=100,
    statuses=StatusList.of(8, {3: Status.INVALID, 7: Status.SUSPENDED}),
)

# draft-ietf-oauth-status-list, appendix C: CBOR maps of `bits` and `lst`, of which the compressed bytes are the end.
ONE_BIT = """
a2646269747301636c737458bd
78daeddc010dc0200c0041a88249400ad2903e0f4b
ba00bd93f002beb7a2a2010000a91e09000000000000000000000000000000807296
04000000000000000000000000000000000000000000000000000000000000000000
000000000000005c6f4800000000000000fc2c240000000000000000000000be1b12
000000000000000000ecaa4b000000000000000000000000000000009b0b09000000
00000000000038de9400000000000000002a30cc010000000080642f0bd8011b
"""
TWO_BITS = """
a2646269747302636c737459013d
78daeddb310d00211000412ea1a04004fe5520ed
357c28c81d3312b6df68bc65480000000000406e2101000000000000000000000000
0000000000000000000000000000000000000040795b020000000000000000000000
00000000000000000000000000000000000000000000000000000000000000000000
00000000000000000000000000000000000000000000000000000000000000000000
0080f4ba0400000000000000000000000000406d764a000000000000000000000000
000000000000000000e0922101000000000000000000000000000000000000fc1312
00000000000000000000000000000000000000000000000000000000000000c0912e
01000000000000000000000000000000000000c07d4b020000000000000000000000
00000000a8614a0000000000000000000000406a1fcd60010c
"""
PLACES = (0, 1993, 25460, 159495, 495669, 554353, 645645, 723232, 854545, 934534, 1000345)
OF_TWO_BITS = dict(zip(PLACES, (1, 2, 1, 3, 1, 1, 2, 1, 1, 2, 3), strict=True))


def from_hex(text: str, bits: int) -> StatusList:
    _, *lines = text.split()
    return StatusList.from_json({"bits": bits, "lst": encode_base64url(bytes.fromhex("".join(lines)))})


def test_the_drafts_short_examples() -> None:
    one = StatusList.from_json({"bits": 1, "lst": "eNrbuRgAAhcBXQ"})
    assert one.packed == bytes([0xB9, 0xA3])
    assert [one[n] for n in range(16)] == [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    two = StatusList(bytes([0xC9, 0x44, 0xF9]))
    assert two.to_json() == {"bits": 2, "lst": "eNo76fITAAPfAgc"}
    assert [two[n] for n in range(12)] == [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]


def test_the_drafts_vector_of_one_bit() -> None:
    found = from_hex(ONE_BIT, 1)
    assert len(found) == 1 << 20
    assert [n for n in range(len(found)) if found[n]] == list(PLACES)


def test_the_drafts_vector_of_two_bits() -> None:
    found = from_hex(TWO_BITS, 2)
    assert found == StatusList.of(1 << 20, OF_TWO_BITS)
    assert {n: found[n] for n in range(len(found)) if found[n]} == OF_TWO_BITS


@given(st.integers(0, 200), st.data())
def test_a_list_reads_back(size: int, data: st.DataObject) -> None:
    wanted = data.draw(st.dictionaries(st.integers(0, size - 1), st.integers(0, 3))) if size else {}
    found = StatusList.from_json(StatusList.of(size, wanted).to_json())
    assert [found[n] for n in range(size)] == [wanted.get(n, 0) for n in range(size)]
    assert 0 <= len(found) - size < 4


@pytest.mark.parametrize("wanted", [{8: 1}, {-1: 1}, {0: 4}, {0: -1}])
def test_what_is_not_in_a_list_is_refused(wanted: dict[int, int]) -> None:
    with pytest.raises(InvalidRequestError):
        StatusList.of(8, wanted)


def test_a_list_has_a_size() -> None:
    with pytest.raises(InvalidRequestError):
        StatusList.of(MAX_STATUSES + 1, {})
    with pytest.raises(InvalidRequestError):
        StatusList.of(-1, {})


@pytest.mark.parametrize("index", [-1, 8, 1 << 40])
def test_nobody_looks_beside_a_list(index: int) -> None:
    with pytest.raises(VerificationError):
        TOKEN.statuses[index]


def lst(data: bytes) -> str:
    return encode_base64url(data)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"bits": 3, "lst": "eNrbuRgAAhcBXQ"},
        {"bits": "1", "lst": "eNrbuRgAAhcBXQ"},
        {"bits": 1, "lst": "!"},
        {"bits": 1, "lst": lst(b"plain")},
        {"bits": 1, "lst": lst(zlib.compress(b"ab")[:-1])},
        {"bits": 1, "lst": lst(zlib.compress(b"ab") + b"more")},
        {"bits": 1, "lst": lst(zlib.compress(bytes(MAX_STATUSES // 8 + 1)))},
        {"bits": 2, "lst": lst(zlib.compress(bytes(1 << 26)))},
    ],
    ids=["nothing", "empty", "bits", "text", "base64url", "zlib", "cut", "more", "long", "bomb"],
)
def test_what_is_no_list_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        StatusList.from_json(value)
    assert caught.value.code is ErrorCode.STATUS_LIST_MALFORMED


def test_a_signed_list_reads_back() -> None:
    assert parse_status_token(sign_status_token(TOKEN, KEY), JWK, uri=URI, now=NOW, newer_than=100) == TOKEN


@pytest.mark.parametrize(
    ("token", "asked", "message"),
    [
        (TOKEN, {"uri": URI + "2"}, "another one"),
        (TOKEN, {"now": NOW - 1}, "of the future"),
        (TOKEN, {"now": NOW + 3600}, "has expired"),
        (TOKEN, {"newer_than": 101}, "older than one"),
        (replace(TOKEN, size=99), {"newer_than": 100}, "older than one"),
    ],
)
def test_a_list_that_is_not_the_wanted_one_is_refused(token: StatusToken, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(VerificationError, match=message) as caught:
        parse_status_token(sign_status_token(token, KEY), JWK, **{"uri": URI, "now": NOW, **asked})
    assert caught.value.code is ErrorCode.STATUS_LIST_UNVERIFIED


def test_only_the_issuer_says_what_is_valid() -> None:
    other = SigningKey.from_seed(b"o" * 32)
    with pytest.raises(VerificationError):
        parse_status_token(sign_status_token(TOKEN, other), JWK, uri=URI, now=NOW)
    # A certificate of the issuer's is not a list of his, whatever it says.
    body = {"sub": URI, "iat": NOW, "exp": NOW + 1, "log": {"origin": "o", "size": 1}, "status_list": {}}
    with pytest.raises(VerificationError):
        parse_status_token(sign_jws({"typ": "dc+sd-jwt"}, json.dumps(body).encode(), KEY), JWK, uri=URI, now=NOW)


@pytest.mark.parametrize("missing", ["sub", "iat", "exp", "log", "status_list"])
def test_a_list_says_all_that_is_needed(missing: str) -> None:
    body = {
        "sub": URI,
        "iat": NOW,
        "exp": NOW + 1,
        "log": {"origin": "o", "size": 1},
        "status_list": TOKEN.statuses.to_json(),
    }
    del body[missing]
    with pytest.raises(InvalidRequestError):
        parse_status_token(sign_jws({"typ": "statuslist+jwt"}, json.dumps(body).encode(), KEY), JWK, uri=URI, now=NOW)


def test_a_million_certificates_are_small() -> None:
    """Of which one in a hundred was revoked: below 300 kB, with its signature."""
    chosen = random.Random(6).sample(range(10**6), 10**4)
    token = replace(TOKEN, statuses=StatusList.of(10**6, dict.fromkeys(chosen, Status.INVALID)))
    assert len(sign_status_token(token, KEY)) < 300_000
