"""Numbers of certificates: `DAC-440304-2026-000123-4`, with the region, the year, a serial and a check digit.

The check digit is that of ISO/IEC 7064, MOD 11,10, over the sixteen digits before it: it finds every single wrong digit
and nearly all transpositions of neighbours.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["MAX_SERIAL", "CertificateNumber", "check_digit", "parse_number"]

MAX_SERIAL: Final = 999_999
_FORM: Final = re.compile(r"DAC-([0-9]{6})-([0-9]{4})-([0-9]{6})-([0-9])", re.ASCII)
_REGION: Final = re.compile(r"[1-9][0-9]{5}", re.ASCII)
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 9999


@dataclass(frozen=True, slots=True, order=True)
class CertificateNumber:
    """A number: region (the six digits of GB/T 2260), year, serial from 1."""

    region: str
    year: int
    serial: int

    def __post_init__(self) -> None:
        if _REGION.fullmatch(self.region) is None:
            raise _malformed("expected a region of six digits")
        if not _FIRST_YEAR <= self.year <= _LAST_YEAR or not 1 <= self.serial <= MAX_SERIAL:
            raise _malformed(f"expected a year of four digits and a serial from 1 to {MAX_SERIAL}")

    def __str__(self) -> str:
        return f"DAC-{self.region}-{self.year:04}-{self.serial:06}-{check_digit(self._digits)}"

    @property
    def _digits(self) -> str:
        return f"{self.region}{self.year:04}{self.serial:06}"

    def following(self) -> Self:
        """Return the next number of the same region and year.

        Raises:
            InvalidRequestError: there is none.
        """
        return type(self)(self.region, self.year, self.serial + 1)


def parse_number(text: str) -> CertificateNumber:
    """Read a number.

    Raises:
        InvalidRequestError: it has another form, or a digit is wrong.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise _malformed("expected a number such as `DAC-440304-2026-000123-4`")
    region, year, serial, digit = match.groups()
    number = CertificateNumber(region, int(year), int(serial))
    if check_digit(region + year + serial) != digit:
        raise InvalidRequestError(
            ErrorCode.CERTIFICATE_MALFORMED,
            "the check digit does not fit the number",
            hint="compare the digits with the certificate: one is wrong, or two are in the wrong order",
        )
    return number


def check_digit(digits: str) -> str:
    """Return the check digit of ISO/IEC 7064, MOD 11,10."""
    product = 10
    for digit in digits:
        total = (product + int(digit)) % 10 or 10
        product = total * 2 % 11
    return str((11 - product) % 10)


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CERTIFICATE_MALFORMED, message)
