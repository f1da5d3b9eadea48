"""Identifiers that are valid in form and can be nobody's, made many at a time.

No administrative division begins with 99 (GB/T 2260), so that no real enterprise or person has such a code; check
characters are right all the same, so that every detector sees them for what they look like.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sandbox.synth.columns import texts
from yingbi.uscc import ALPHABET, ORGANISATION_WEIGHTS, WEIGHTS

__all__ = [
    "MAX_CHUNKS",
    "MAX_ENTERPRISES",
    "digits",
    "make_addresses",
    "make_names",
    "make_person_ids",
    "make_phones",
    "make_usccs",
]

Bytes = NDArray[np.uint8]
Integers = NDArray[Any]

MAX_ENTERPRISES: Final = 31**6
MAX_CHUNKS: Final = 100

_HEAD: Final = b"91990304YB"  # department, category, a division that does not exist, and a visible mark
_STEP: Final = 387_420_489  # 3**18: prime to 31, so that multiplying by it exchanges all codes
_SYMBOLS: Final = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)
_VALUES: Final = np.zeros(256, dtype=np.int64)
_VALUES[_SYMBOLS] = np.arange(len(_SYMBOLS))
_ORGANISATION_VALUES: Final = np.zeros(256, dtype=np.int64)
_ORGANISATION_VALUES[np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", dtype=np.uint8)] = np.arange(36)
_ORGANISATION_CHECKS: Final = np.frombuffer(b"0123456789X", dtype=np.uint8)

# GB 11643-1999: weights of the first 17 digits, and check characters by their weighted sum modulo 11.
_PERSON_WEIGHTS: Final = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
_PERSON_CHECKS: Final = np.frombuffer(b"10X98765432", dtype=np.uint8)
_ZERO: Final = ord("0")


def make_usccs(count: int, offset: int) -> Bytes:
    """Return different codes (GB 32100-2015), uint8 of shape (count, 18); `offset` shifts which ones."""
    numbers = ((np.arange(count, dtype=np.int64) + 1) * _STEP + offset) % MAX_ENTERPRISES
    body = _SYMBOLS[numbers[:, None] // 31 ** np.arange(5, -1, -1) % 31]
    first = texts([_HEAD, body])
    sums = _ORGANISATION_VALUES[first[:, 8:16]] @ np.array(ORGANISATION_WEIGHTS)
    first = texts([first, _ORGANISATION_CHECKS[-sums % 11][:, None]])
    check = _SYMBOLS[-(_VALUES[first] @ np.array(WEIGHTS)) % 31]
    return texts([first, check[:, None]])


def make_person_ids(born_on: NDArray[np.datetime64], is_male: NDArray[np.bool_], chunk: int) -> Bytes:
    """Return different numbers in the form of GB 11643, uint8 of shape (count, 18).

    As in real ones the sequence number is odd for men. Different within a chunk and between chunks, as long as no more
    than 500 people of one sex in a chunk were born on one day.
    """
    born_day = born_on.astype("datetime64[D]")
    ranks = _ranks(born_day.astype(np.int64) * 2 + is_male)
    month = born_day.astype("datetime64[M]")
    year = month.astype("datetime64[Y]")
    day_of_month = (born_day - month.astype("datetime64[D]")).astype(np.int64) + 1
    first = texts(
        [
            b"9903",
            digits(np.full(len(ranks), chunk), 2),
            digits(year.astype(np.int64) + 1970, 4),
            digits((month - year.astype("datetime64[M]")).astype(np.int64) + 1, 2),
            digits(day_of_month, 2),
            digits(ranks * 2 + is_male, 3),
        ]
    )
    checks = _PERSON_CHECKS[(first.astype(np.int64) - _ZERO) @ _PERSON_WEIGHTS % 11]
    return texts([first, checks[:, None]])


def make_addresses(street_codes: Bytes, building: Integers, room: Integers) -> Bytes:
    """Return standard address codes of 19 digits: street office 9, building 6, room 4."""
    return texts([street_codes, digits(building + 1, 6), digits(room, 4)])


def make_names(number: Integers) -> Bytes:
    """Return enterprise names that say that they are made up."""
    return texts(["虚构企业".encode(), digits(number + 1, 8), "号".encode()])


def make_phones(number: Integers) -> Bytes:
    """Return telephone numbers that no line can have: a local number never begins with 0."""
    return texts([b"0755-0", digits(number, 7)])


def digits(numbers: Integers, width: int) -> Bytes:
    """Return decimal digits, uint8 of shape (count, width); what does not fit is cut off on the left."""
    places = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (numbers.astype(np.int64)[:, None] // places % 10 + _ZERO).astype(np.uint8)


def _ranks(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each key how many equal keys come before it."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.append(starts, len(keys)))
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[order] = np.arange(len(keys)) - np.repeat(starts, sizes)
    return ranks
