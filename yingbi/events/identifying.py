"""Find what identifies an enterprise or a person in clear (docs/spec/statement.md, "Nothing identifying in clear").

A net against accidents: it finds codes in their usual spellings, not codes that somebody hides on purpose.
"""

import re
import unicodedata
from datetime import date
from typing import Final

__all__ = ["find_identifying"]

_USCC: Final = "unified social credit code"
_RESIDENT: Final = "resident identity number"
_PHONE: Final = "mobile phone number"

# GB 32100-2015: 31 characters (no I, O, S, V, Z), weights 3^i mod 31.
_USCC_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUES: Final = {character: value for value, character in enumerate(_USCC_ALPHABET)}
_USCC_WEIGHTS: Final = tuple(pow(3, index, 31) for index in range(17))
# GB 11643-1999: weights 2^(17 - i) mod 11, check characters of ISO 7064 MOD 11-2.
_RESIDENT_WEIGHTS: Final = tuple(pow(2, 17 - index, 11) for index in range(17))
_RESIDENT_CHECKS: Final = "10X98765432"
_CENTURIES: Final = ("18", "19", "20")

# People write codes in groups (`138-0013-8000`). A full stop is no separator, or decimals would be suspect.
_SEPARATORS: Final = "-_ "
_GAP: Final = f"[{_SEPARATORS}]?+"
_CHARACTER: Final = "[0-9A-HJ-NP-RTUWXYa-hj-np-rtuwxy]"
_START: Final = "(?<![0-9A-Za-z])"
_END: Final = "(?![0-9A-Za-z])"
# Both codes of 18 characters have digits in places 3 to 8. The code is looked at, not consumed, so that no false
# candidate hides a true one that begins inside it.
_CANDIDATE: Final = re.compile(
    f"{_START}(?:"
    f"(?P<phone>(?:(?:00)?86{_GAP})?1[3-9][0-9](?:{_GAP}[0-9]{{4}}){{2}}){_END}"
    f"|(?=(?P<code>{_CHARACTER}{_GAP}{_CHARACTER}(?:{_GAP}[0-9]){{6}}(?:{_GAP}{_CHARACTER}){{10}}){_END}))"
)
_WITHOUT_SEPARATORS: Final = str.maketrans("", "", _SEPARATORS)


def _shape_of(character: str) -> str:
    if not character.isascii() or not character.isalnum():
        return "-" if character in _SEPARATORS else " "
    return "0" if character.isdigit() else "A" if character.upper() in _USCC_VALUES else "B"


# Whatever `_CANDIDATE` matches has one of these shapes; each begins with a literal, which the engine finds fast.
_TO_SHAPE: Final = "".join(_shape_of(chr(code)) for code in range(256)).encode()
_SHAPES: Final = (
    # A code with places 3 to 8 in one group, then with these in several groups; a phone number.
    re.compile(rb"000000(?<![0AB]{3}000000)(?<![0AB]{3}-000000)(?:-?+[0A]){10}(?![0AB])"),
    re.compile(rb"0-0(?:-?+[0A]){10}"),
    re.compile(rb"000-?0000-?0000(?![0AB])"),
)


def find_identifying(value: object) -> str | None:
    """Return the kind of the first identifying thing in the names and strings of a JSON value, or `None`.

    Kinds: `unified social credit code` (GB 32100-2015, with its check character), `resident identity number`
    (GB 11643-1999, with its date and check character), `mobile phone number` (11 digits `1[3-9]…`, also after 86, +86
    or 0086). Each must be a whole run of letters and digits, in either case; single hyphens, underscores and spaces may
    group it.

    False alarms: none (rate 0) for digests and for ids of `new_id`, where a run of 64 or 26 is longer than any of the
    three; below 1 in 10^8 for 22 or 43 random characters of base64url (nonce, thumbprint, key); none for decimals with
    at most ten digits on each side of the point; 1 in 31 for other runs of 18 with digits in places 3 to 8.
    """
    text = "\n".join(_strings(value))
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)  # SECURITY: full-width digits read like ASCII ones.
    shape = text.encode("ascii", "replace").translate(_TO_SHAPE)
    if not any(pattern.search(shape) for pattern in _SHAPES):
        return None
    kinds = (_judge(match) for match in _CANDIDATE.finditer(text))
    return next((kind for kind in kinds if kind is not None), None)


def _strings(value: object) -> list[str]:
    found: list[str] = []
    queue = [value]
    for item in queue:  # grows while it is walked: no recursion, whatever the depth
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            found += [name for name in item if isinstance(name, str)]
            queue += item.values()
        elif isinstance(item, list | tuple):
            queue += item
    return found


def _judge(match: re.Match[str]) -> str | None:
    if match["phone"] is not None:
        return _PHONE
    code = match["code"].translate(_WITHOUT_SEPARATORS).upper()
    if _is_resident_number(code):
        return _RESIDENT
    return _USCC if _is_uscc(code) else None


def _is_uscc(code: str) -> bool:
    total = sum(_USCC_VALUES[character] * weight for character, weight in zip(code, _USCC_WEIGHTS, strict=False))
    return _USCC_ALPHABET[-total % 31] == code[17]


def _is_resident_number(code: str) -> bool:
    if not code[:17].isdigit() or code[6:8] not in _CENTURIES:
        return False
    try:
        date(int(code[6:10]), int(code[10:12]), int(code[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(code, _RESIDENT_WEIGHTS, strict=False))
    return _RESIDENT_CHECKS[total % 11] == code[17]
