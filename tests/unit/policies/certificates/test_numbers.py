"""Numbers of certificates: the standard's own examples, and that a slip of the pen is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.certificates.numbers import MAX_SERIAL, CertificateNumber, check_digit, parse_number
from yingbi.errors import ErrorCode, InvalidRequestError

NUMBERS = st.builds(
    CertificateNumber,
    st.integers(100_000, 999_999).map(str),
    st.integers(2000, 9999),
    st.integers(1, MAX_SERIAL),
)


# ISO/IEC 7064 has 0794 with 5 as its example; 69435151530 is that of the Croatian OIB, which uses the same system.
@pytest.mark.parametrize(("digits", "digit"), [("0794", "5"), ("6943515153", "0"), ("4403042026000123", "4")])
def test_check_digits_are_the_standards(digits: str, digit: str) -> None:
    assert check_digit(digits) == digit


@given(NUMBERS)
def test_a_number_reads_back(number: CertificateNumber) -> None:
    assert parse_number(str(number)) == number


@given(NUMBERS, st.data())
def test_a_wrong_digit_is_found(number: CertificateNumber, data: st.DataObject) -> None:
    text = str(number)
    place = data.draw(st.sampled_from([n for n, letter in enumerate(text) if letter.isdigit()]))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != text[place]]))
    with pytest.raises(InvalidRequestError):
        parse_number(text[:place] + other + text[place + 1 :])


def test_most_neighbours_that_changed_places_are_found() -> None:
    """All but one in ninety pairs of different digits, as a hybrid system of modulus 10 does."""
    texts = [str(CertificateNumber("440304", 2026, serial)) for serial in range(1, 2000, 7)]
    swapped, missed = 0, 0
    for text in texts:
        for place in range(16, 21):
            one, other = text[place], text[place + 1]
            if one == other:
                continue
            swapped += 1
            try:
                parse_number(text[:place] + other + one + text[place + 2 :])
            except InvalidRequestError:
                continue
            missed += 1
    assert swapped > 500
    assert missed / swapped < 0.03


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DAC-440304-2026-000123",
        "DAC-440304-2026-000123-5",
        "dac-440304-2026-000123-4",
        "DAC-440304-2026-123-4",
        "DAC-040304-2026-000123-4",
        "DAC-440304-1999-000123-4",
        "DAC-440304-2026-000000-5",
        "DAC-440304-2026-000123-4\n",
        "DAC-440304-2026-000123-٤",
        " DAC-440304-2026-000123-4",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_number(text)
    assert caught.value.code is ErrorCode.CERTIFICATE_MALFORMED


def test_numbers_follow_each_other_to_the_last() -> None:
    assert str(CertificateNumber("440304", 2026, 122).following()) == "DAC-440304-2026-000123-4"
    with pytest.raises(InvalidRequestError):
        CertificateNumber("440304", 2026, MAX_SERIAL).following()
