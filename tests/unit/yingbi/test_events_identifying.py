"""Codes of enterprises and people are found in their usual spellings, and our own random values are left alone."""

import base64
import csv
import re
import time
from datetime import UTC, date, datetime
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.lib.examples import minimal_payload
from tests.lib.shared_data import shared_data
from yingbi.clock import format_time
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events import EntryType, find_identifying
from yingbi.ids import new_id
from yingbi.keys import SigningKey
from yingbi.statement import sign

USCC: Final = "unified social credit code"
RESIDENT: Final = "resident identity number"
PHONE: Final = "mobile phone number"

ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
SEPARATORS: Final = "-_ "
PHONE_NUMBER: Final = "13800138000"


# --- codes made here, with check characters calculated another way than in the product


def uscc(first: str, division: str, organisation: str) -> str:
    """Return the code that begins so: all 18 characters, weighted, add up to a multiple of 31."""
    head = first + division + organisation
    total = sum(ALPHABET.index(character) * 3**index for index, character in enumerate(head))
    return head + next(item for value, item in enumerate(ALPHABET) if (total + value) % 31 == 0)


def resident_number(division: str, birth: date, order: str) -> str:
    """Return the number that begins so (ISO 7064 MOD 11-2, by Horner's rule)."""
    head = division + birth.strftime("%Y%m%d") + order
    remainder = 0
    for digit in head:
        remainder = (remainder + int(digit)) * 2 % 11
    return head + "0123456789X"[(12 - remainder) % 11]


digits = st.text(alphabet="0123456789", min_size=1, max_size=12)
usccs = st.builds(
    uscc,
    st.text(alphabet=ALPHABET, min_size=2, max_size=2),
    st.text(alphabet="0123456789", min_size=6, max_size=6),
    st.text(alphabet=ALPHABET, min_size=9, max_size=9),
)
residents = st.builds(
    resident_number,
    st.from_regex(r"[1-9][0-9]{5}", fullmatch=True).filter(str.isascii),
    st.dates(min_value=date(1800, 1, 1), max_value=date(2099, 12, 31)),
    st.text(alphabet="0123456789", min_size=3, max_size=3),
)
phones = st.builds("1{}{}".format, st.sampled_from("3456789"), st.text(alphabet="0123456789", min_size=9, max_size=9))
places = st.sampled_from(["{}", "job-{}", "{}-7", "partner:{}", "tax.{}.v1", "x_{}_y", "电话{}。", "sha256:{}", "[{}]"])


def group(code: str, cuts: set[int], separator: str) -> str:
    """Write `code` in groups."""
    return "".join(separator * (index in cuts) + character for index, character in enumerate(code))


# --- found


def test_examples_made_here_are_real_codes() -> None:
    assert uscc("91", "110000", "600037341") == "91110000600037341L"
    assert resident_number("110105", date(1949, 12, 31), "002") == "11010519491231002X"


@given(code=usccs, place=places, lower=st.booleans())
def test_uscc_is_found_wherever_it_stands(code: str, place: str, lower: bool) -> None:
    text = place.format(code.lower() if lower else code)
    assert find_identifying(text) in {USCC, RESIDENT}
    assert find_identifying({"a": [1, None, {"b": text}]}) in {USCC, RESIDENT}
    assert find_identifying({text: True}) in {USCC, RESIDENT}


@given(code=usccs, cuts=st.sets(st.integers(1, 17)), separator=st.sampled_from(SEPARATORS))
def test_uscc_is_found_in_groups(code: str, cuts: set[int], separator: str) -> None:
    assert find_identifying(f"job-{group(code, cuts, separator)}") in {USCC, RESIDENT}


@pytest.mark.parametrize("separator", SEPARATORS)
def test_uscc_is_found_with_any_one_or_two_cuts(separator: str) -> None:
    for first in range(1, 18):
        for second in range(first, 18):
            assert find_identifying("x-" + group(uscc("91", "440300", "MA5DA8QK3"), {first, second}, separator)) == USCC


def test_uscc_has_digits_in_places_3_to_8() -> None:
    unlikely = uscc("91", "A10000", "600037341")
    assert find_identifying(unlikely) is None
    assert find_identifying([unlikely, "9144030010001686X1"]) is None


@given(code=usccs, position=st.integers(0, 17), step=st.integers(1, 30))
def test_uscc_with_one_wrong_character_is_not_one(code: str, position: int, step: int) -> None:
    wrong = ALPHABET[(ALPHABET.index(code[position]) + step) % 31]
    assert find_identifying(code[:position] + wrong + code[position + 1 :]) != USCC


@given(code=residents, place=places, cuts=st.sets(st.sampled_from([6, 10, 14])))
def test_resident_number_is_found(code: str, place: str, cuts: set[int]) -> None:
    assert find_identifying(place.format(group(code, cuts, "-"))) == RESIDENT
    assert find_identifying(place.format(code.lower())) == RESIDENT


@given(code=residents, position=st.integers(0, 16), step=st.integers(1, 9))
def test_resident_number_with_one_wrong_digit_is_not_one(code: str, position: int, step: int) -> None:
    wrong = str((int(code[position]) + step) % 10)
    assert find_identifying(code[:position] + wrong + code[position + 1 :]) != RESIDENT


@pytest.mark.parametrize("birth", ["19490229", "19491301", "19490431", "17991231", "21000101", "00001231"])
def test_resident_number_with_an_impossible_birthday_is_not_one(birth: str) -> None:
    remainder = 0
    for digit in "110105" + birth + "002":
        remainder = (remainder + int(digit)) * 2 % 11
    number = "110105" + birth + "002" + "0123456789X"[(12 - remainder) % 11]
    assert find_identifying(number) != RESIDENT


@given(number=phones, place=places, prefix=st.sampled_from(["", "+86", "+86 ", "86", "86-", "0086", "(+86)"]))
def test_phone_number_is_found(number: str, place: str, prefix: str) -> None:
    assert find_identifying(place.format(prefix + number)) == PHONE
    assert find_identifying(place.format(f"{prefix}{number[:3]}-{number[3:7]}-{number[7:]}")) == PHONE


@pytest.mark.parametrize(
    "text",
    ["23800138000", "12800138000", "1380013800", "138001380001", "a13800138000", "13800138000a", "8713800138000"],
)
def test_other_digits_are_no_phone_number(text: str) -> None:
    assert find_identifying(text) is None


def test_full_width_digits_read_like_ascii_ones() -> None:
    wide = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")
    assert find_identifying(PHONE_NUMBER.translate(wide)) == PHONE
    assert find_identifying("11010519491231002X".translate(wide)) == RESIDENT


def test_a_false_candidate_hides_no_true_one() -> None:
    assert find_identifying("AB-440304-13800138000-12345") == PHONE
    assert find_identifying(["9144030010001686X1", "91110000600037341L"]) == USCC


def test_pieces_in_different_strings_are_not_put_together() -> None:
    assert find_identifying(["13800", "138000"]) is None
    assert find_identifying({"138": "00138000"}) is None


def test_numbers_are_not_read_as_text() -> None:
    assert find_identifying({"size": 13800138000}) is None


def test_published_vectors() -> None:
    path = shared_data("cn-uscc-vectors") / "uscc_vectors.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        expected = USCC if row["mod31_ok"] == "1" else None
        for text in (row["code"], row["code"].lower(), f"job-{row['code']}", f"partner:{row['code'].lower()}-2"):
            assert find_identifying({"id": text}) == expected, row["entity_or_case"]


# --- left alone


@given(st.integers(0, 2**130 - 1), st.sampled_from(["job", "dac", "out", "a", "agr-tax", "x1"]))
@example(0, "job")
def test_random_ids_are_left_alone(bits: int, kind: str) -> None:
    assert find_identifying(new_id(kind, random_bits=lambda _: bits)) is None


@given(st.text(alphabet="0123456789", min_size=26, max_size=26))
def test_random_ids_of_digits_only_are_left_alone(text: str) -> None:
    assert find_identifying(f"job-{text}") is None


@given(st.text(alphabet="0123456789abcdef", min_size=64, max_size=64))
@example("1" + "3800138000" * 6 + "380")
def test_digests_are_left_alone(text: str) -> None:
    assert find_identifying({"digest": f"sha256:{text}", "transaction": f"0x{text}"}) is None


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), st.binary(min_size=33, max_size=33))
def test_nonces_thumbprints_and_keys_are_left_alone(nonce: bytes, key: bytes, note_key: bytes) -> None:
    nonce_text, key_text = (base64.urlsafe_b64encode(item).rstrip(b"=").decode() for item in (nonce, key))
    vkey = f"log.example/futian-2026+{key[:4].hex()}+{base64.b64encode(note_key).decode()}"
    assert find_identifying([nonce_text, key_text, vkey]) is None


@given(st.from_regex(r"\A(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,10})?\Z").filter(str.isascii))
def test_decimals_are_left_alone(text: str) -> None:
    assert find_identifying(text) is None


@given(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - Hypothesis wants it naive
def test_times_are_left_alone(at: datetime) -> None:
    assert find_identifying(format_time(at)) is None


@pytest.mark.parametrize(
    "text",
    ["DAC-440304-2026-000123", "DAC-440304-2026-000123-7", "agr-tax-credit-2026-01", "credit.sme.pre-loan", "440304"],
)
def test_names_of_ours_are_left_alone(text: str) -> None:
    assert find_identifying(text) is None


@pytest.mark.parametrize("entry_type", EntryType, ids=str)
def test_example_statements_are_left_alone(entry_type: EntryType) -> None:
    assert find_identifying(minimal_payload(entry_type)) is None


# --- against an oracle


def slow_find(text: str) -> set[str]:
    """Find all kinds by trying every piece of `text`: slow, plain, and without the product's expressions."""
    found = set()
    for start in range(len(text)):
        for end in range(start + 11, min(len(text), start + 40) + 1):
            before, after = text[start - 1 : start] if start else "", text[end : end + 1]
            if not (before.isascii() and before.isalnum()) and not (after.isascii() and after.isalnum()):
                found |= kinds_of(text[start:end])
    return found


def kinds_of(piece: str) -> set[str]:
    """Tell what a whole piece is."""
    kinds = set()
    if re.fullmatch(r"(?:(?:00)?86[-_ ]?)?1[3-9]\d[-_ ]?\d{4}[-_ ]?\d{4}", piece, re.ASCII):
        kinds.add(PHONE)
    plain = re.sub(r"(?<=[^\W_])[-_ ](?=[^\W_])", "", piece).upper()
    if len(plain) != 18 or not plain.isascii():
        return kinds
    if (
        all(item in ALPHABET for item in plain)
        and plain[2:8].isdigit()
        and uscc(plain[:2], plain[2:8], plain[8:17]) == plain
    ):
        kinds.add(USCC)
    if plain[:17].isdigit() and re.match(r"18|19|20", plain[6:]):
        try:
            birth = date(int(plain[6:10]), int(plain[10:12]), int(plain[12:14]))
        except ValueError:
            return kinds
        if resident_number(plain[:6], birth, plain[14:17]) == plain:
            kinds.add(RESIDENT)
    return kinds


pieces = st.one_of(usccs, residents, phones, digits, st.sampled_from(["86", "0086", "job", "O", "Z", "号", ".", "+"]))


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(st.tuples(pieces, st.sampled_from(["", "-", "_", " ", "--", ".", "\n"])), max_size=4), data=st.data()
)
def test_finds_what_the_oracle_finds(parts: list[tuple[str, str]], data: st.DataObject) -> None:
    text = "".join(piece + separator for piece, separator in parts)
    cuts = data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=4))
    text = group(text, cuts, data.draw(st.sampled_from(SEPARATORS)))
    expected, found = slow_find(text), find_identifying(text)
    assert (found in expected) if expected else found is None


# --- hostile input


def test_depth_does_not_matter() -> None:
    value: object = PHONE_NUMBER
    for _ in range(50_000):
        value = [value]
    assert find_identifying(value) == PHONE


@pytest.mark.parametrize("unit", ["0-", "00000000-", "A0-", "138-", "1380013800", "AB000000"])
def test_time_is_linear_in_the_length(unit: str) -> None:
    started = time.perf_counter()
    find_identifying(unit * (16_000 // len(unit)))
    assert time.perf_counter() - started < 1  # some 20 ms; a pattern that backtracks would take minutes


def test_statement_with_a_code_in_clear_is_refused() -> None:
    payload = minimal_payload(EntryType.JOB_CANCELLED, id="job-91110000600037341L")
    with pytest.raises(InvalidRequestError) as caught:
        sign(payload, [SigningKey.from_seed(bytes(32))])
    assert caught.value.code is ErrorCode.STATEMENT_IDENTIFYING
    assert USCC in caught.value.message
    assert "91110000600037341L" not in f"{caught.value.message}{caught.value.hint}{caught.value.detail}"
