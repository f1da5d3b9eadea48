"""Unified social credit codes against published vectors, and against every small mistake."""

import csv
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.shared_data import shared_data
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.uscc import (
    ALPHABET,
    Uscc,
    UsccFault,
    check_uscc,
    is_uscc,
    organisation_check_character,
    parse_uscc,
    uscc_check_character,
)

EXAMPLE = "91350100M000100Y43"

bodies = st.text(ALPHABET, min_size=8, max_size=8)
heads = st.tuples(st.sampled_from("159"), st.sampled_from("1239"), st.from_regex(r"[0-9]{6}", fullmatch=True))


def complete(head: tuple[str, str, str], body: str) -> str:
    first = "".join(head) + body + organisation_check_character(body)
    return first + uscc_check_character(first)


codes = st.builds(complete, heads, bodies)


def vectors() -> Iterator[dict[str, str]]:
    with (shared_data("cn-uscc-vectors") / "uscc_vectors.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def test_published_vectors_get_all_their_verdicts() -> None:
    seen = 0
    for row in vectors():
        code, found = row["code"], check_uscc(row["code"])
        assert (UsccFault.ALPHABET not in found) == (row["alphabet_ok"] == "1"), code
        assert is_uscc(code) == (row["valid"] == "1"), code
        assert (organisation_check_character(code[8:16]) == code[16]) == (row["gb11714_ok"] == "1"), code
        if row["alphabet_ok"] == "1":
            assert (UsccFault.CHECK not in found) == (row["mod31_ok"] == "1"), code
            assert (UsccFault.ORGANISATION_CHECK not in found) == (row["gb11714_ok"] == "1"), code
        seen += 1
    assert seen == 24


def test_the_parts_of_an_example() -> None:
    assert parse_uscc(EXAMPLE) == Uscc(
        department="9", category="1", division="350100", organisation="M000100Y4", check="3"
    )


@given(codes)
def test_made_codes_are_valid_and_come_apart(code: str) -> None:
    assert is_uscc(code)
    assert str(parse_uscc(code)) == code


@given(codes, st.integers(0, 17), st.sampled_from(ALPHABET))
def test_one_changed_character_is_found(code: str, place: int, character: str) -> None:
    changed = code[:place] + character + code[place + 1 :]
    assert is_uscc(changed) == (changed == code)


@given(codes, st.integers(0, 16))
def test_two_neighbours_exchanged_are_found(code: str, place: int) -> None:
    changed = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert is_uscc(changed) == (changed == code)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", [UsccFault.LENGTH]),
        (EXAMPLE[:-1], [UsccFault.LENGTH]),
        (EXAMPLE + "\n", [UsccFault.LENGTH]),
        (EXAMPLE.lower(), [UsccFault.ALPHABET]),
        ("９" + EXAMPLE[1:], [UsccFault.ALPHABET]),
        ("91350100I000100Y43", [UsccFault.ALPHABET]),
        (EXAMPLE[:-1] + "4", [UsccFault.CHECK]),
        ("91350100M000100Y53", [UsccFault.ORGANISATION_CHECK, UsccFault.CHECK]),
        (complete(("9", "1", "35A100"), "M000100Y"), [UsccFault.DIVISION]),
    ],
    ids=["empty", "short", "newline", "lower case", "full width", "letter I", "check", "both", "division"],
)
def test_what_is_wrong_is_named(text: str, faults: list[UsccFault]) -> None:
    assert check_uscc(text) == faults


def test_a_message_does_not_quote_the_code() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_uscc("91350100M000100Y44")
    assert caught.value.code is ErrorCode.ID_MALFORMED
    assert caught.value.message == "expected a USCC, got a wrong check"


@pytest.mark.parametrize("text", ["", "M000100", "m000100Y", "M000100Y4"])
def test_a_check_character_needs_the_right_characters(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        organisation_check_character(text)
    with pytest.raises(InvalidRequestError):
        uscc_check_character(text)
