"""Identifiers: valid in form, different from each other, and nobody's."""

from datetime import date

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.synth.identifiers import (
    MAX_ENTERPRISES,
    digits,
    make_addresses,
    make_names,
    make_person_ids,
    make_phones,
    make_usccs,
)
from yingbi.uscc import parse_uscc


def strings(matrix: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> list[str]:
    return [bytes(row).decode() for row in matrix]


def person_check(first: str) -> str:
    """The check character of GB 11643, from ISO 7064 MOD 11-2, digit by digit."""
    value = 0
    for digit in first:
        value = (value + int(digit)) * 2 % 11
    return "0123456789X"[(12 - value) % 11]


@settings(max_examples=20)
@given(st.integers(1, 300), st.integers(0, MAX_ENTERPRISES - 1))
def test_all_usccs_are_valid_and_different(count: int, offset: int) -> None:
    codes = strings(make_usccs(count, offset))
    assert len(set(codes)) == count
    for code in codes:
        parsed = parse_uscc(code)
        assert parsed.division == "990304", "no such division exists"
        assert parsed.organisation.startswith("YB")


def test_as_many_usccs_as_at_scale_1_are_different() -> None:
    codes = make_usccs(121_000, 5)
    assert len(np.unique(codes.view("S18"))) == 121_000


@given(st.lists(st.tuples(st.dates(date(1900, 1, 1), date(2025, 12, 31)), st.booleans()), min_size=1, max_size=40))
def test_person_ids_have_the_form_and_cannot_be_real(people: list[tuple[date, bool]]) -> None:
    born = np.array([day for day, _ in people], dtype="datetime64[D]")
    male = np.array([is_male for _, is_male in people])
    numbers = strings(make_person_ids(born, male, 7))
    assert len(set(numbers)) == len(people)
    for number, (day, is_male) in zip(numbers, people, strict=True):
        assert number[:6] == "990307"
        assert number[6:14] == day.strftime("%Y%m%d").zfill(8)
        assert int(number[16]) % 2 == is_male
        assert number[17] == person_check(number[:17])


def test_the_check_character_is_that_of_a_published_example() -> None:
    assert person_check("11010519491231002") == "X"  # the example of GB 11643-1999


def test_chunks_do_not_share_person_ids() -> None:
    born = np.full(500, np.datetime64("1990-06-01"))
    male = np.zeros(500, dtype=bool)
    numbers = [number for chunk in range(3) for number in strings(make_person_ids(born, male, chunk))]
    assert len(set(numbers)) == 1_500


def test_addresses_names_and_phones_are_made_up_visibly() -> None:
    street = np.frombuffer(b"440304004", dtype=np.uint8)[None, :]
    assert strings(make_addresses(street, np.array([41]), np.array([1203]))) == ["4403040040000421203"]
    assert strings(make_names(np.array([0, 120_999]))) == ["虚构企业00000001号", "虚构企业00121000号"]
    assert strings(make_phones(np.array([42]))) == ["0755-00000042"]


@given(st.lists(st.integers(0, 10**9 - 1), min_size=1))
def test_digits(numbers: list[int]) -> None:
    assert strings(digits(np.array(numbers), 9)) == [f"{number:09}" for number in numbers]
