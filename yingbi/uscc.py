"""Unified social credit codes: 18 characters with two check characters (GB 32100-2015, GB 11714-1997).

```
9   1   440304   MA5DA8QK3   X
|   |   |        |           check character over the 17 before it, ISO 7064 style, modulo 31 (GB 32100-2015)
|   |   |        organisation code: 8 characters and their check character, modulo 11
|   |   administrative division (GB/T 2260), six digits
|   category within the department
registering department
```

A code is a public identifier, and an identifier all the same: no message here quotes one.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = [
    "ALPHABET",
    "ORGANISATION_WEIGHTS",
    "WEIGHTS",
    "Uscc",
    "UsccFault",
    "check_uscc",
    "is_uscc",
    "organisation_check_character",
    "parse_uscc",
    "uscc_check_character",
]

ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The 31 characters, in the order of their values: no I, O, S, V, Z (GB 32100-2015)."""

WEIGHTS: Final = tuple(pow(3, place, 31) for place in range(17))
"""Weights of the first 17 characters: powers of 3 modulo 31 (GB 32100-2015)."""

ORGANISATION_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)
"""Weights of the 8 characters of an organisation code (GB 11714-1997)."""

_LENGTH: Final = 18
_DIGITS: Final = frozenset("0123456789")
# In an organisation code letters count on from 9 without gaps: A is 10, Z is 35.
_ORGANISATION_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ORGANISATION_CHECKS: Final = "0123456789X"


class UsccFault(StrEnum):
    """What can be wrong with a code."""

    LENGTH = "length"
    ALPHABET = "alphabet"
    DIVISION = "division"
    ORGANISATION_CHECK = "organisation-check"
    CHECK = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Uscc:
    """The parts of a valid code (GB 32100-2015)."""

    department: str
    category: str
    division: str
    organisation: str
    check: str

    def __str__(self) -> str:
        return self.department + self.category + self.division + self.organisation + self.check


def parse_uscc(text: str) -> Uscc:
    """Take a valid code apart (GB 32100-2015); lower case and blanks are not forgiven.

    Raises:
        InvalidRequestError: something is wrong with it.
    """
    faults = check_uscc(text)
    if faults:
        # SECURITY: the code itself stays out of the message.
        raise InvalidRequestError(ErrorCode.ID_MALFORMED, f"expected a USCC, got a wrong {', '.join(faults)}")
    return Uscc(department=text[0], category=text[1], division=text[2:8], organisation=text[8:17], check=text[17])


def is_uscc(text: str) -> bool:
    """Tell whether a text is a valid code: form and both check characters."""
    return not check_uscc(text)


def check_uscc(text: str) -> list[UsccFault]:
    """Return all that is wrong with a code; of one with a wrong length or foreign characters nothing else is said."""
    if len(text) != _LENGTH:
        return [UsccFault.LENGTH]
    if any(character not in ALPHABET for character in text):
        return [UsccFault.ALPHABET]
    is_wrong = {
        UsccFault.DIVISION: not _DIGITS.issuperset(text[2:8]),
        UsccFault.ORGANISATION_CHECK: organisation_check_character(text[8:16]) != text[16],
        UsccFault.CHECK: uscc_check_character(text[:17]) != text[17],
    }
    return [fault for fault, is_found in is_wrong.items() if is_found]


def uscc_check_character(first: str) -> str:
    """Return the 18th character of a code from the 17 before it (GB 32100-2015).

    Raises:
        InvalidRequestError: not 17 characters of the alphabet.
    """
    return ALPHABET[-_weigh(first, ALPHABET, WEIGHTS) % len(ALPHABET)]


def organisation_check_character(body: str) -> str:
    """Return the check character of an organisation code from the 8 before it (GB 11714-1997).

    Raises:
        InvalidRequestError: not 8 digits and upper-case letters.
    """
    return _ORGANISATION_CHECKS[-_weigh(body, _ORGANISATION_ALPHABET, ORGANISATION_WEIGHTS) % 11]


def _weigh(text: str, alphabet: str, weights: tuple[int, ...]) -> int:
    if len(text) != len(weights) or any(character not in alphabet for character in text):
        raise InvalidRequestError(ErrorCode.ID_MALFORMED, f"expected {len(weights)} characters of a code")
    return sum(alphabet.index(character) * weight for character, weight in zip(text, weights, strict=True))
