"""Suggested grades, from what items are called and from the shares of values that match a pattern (docs/catalogue.md).

Values are looked at where they are, by `count_matches`, and only shares of matches leave: `suggest` never sees a value.
A suggestion is one; a person confirms (`sandbox.catalog.store`).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from fractions import Fraction
from typing import Final

from sandbox.catalog.grades import strictest_grade
from sandbox.catalog.model import Dataset
from yingbi.events.fields import Grade
from yingbi.uscc import is_uscc

__all__ = [
    "MIN_VALUES",
    "PATTERNS",
    "SUGGESTED_GRADES",
    "Basis",
    "Detector",
    "ItemEvidence",
    "Matches",
    "Suggestion",
    "count_matches",
    "evidence_of",
    "is_address",
    "is_bank_card",
    "is_email",
    "is_id_card",
    "is_mobile_phone",
    "is_person_name",
    "suggest",
    "suggested_grade",
]

MIN_VALUES: Final = 20
"""Of fewer values no share is told: it would be a finding about somebody."""

_MAX_VALUE: Final = 200


class Detector(StrEnum):
    """What a column may hold that somebody can be recognised by."""

    USCC = "uscc"
    ID_CARD = "id-card"
    MOBILE_PHONE = "mobile-phone"
    ADDRESS = "address"
    BANK_CARD = "bank-card"
    PERSON_NAME = "person-name"
    EMAIL = "email"


class Basis(StrEnum):
    """What a suggestion rests on."""

    NAME = "name"
    VALUES = "values"
    BOTH = "both"


# GB/T 43697-2024, personal information: sensitive not under level 4, other not under level 2. What singles a person
# out by itself is put at 3; a USCC is public, and links everything about a firm.
SUGGESTED_GRADES: Final[Mapping[Detector, Grade]] = {
    Detector.USCC: Grade.GENERAL_2,
    Detector.ID_CARD: Grade.GENERAL_4,
    Detector.MOBILE_PHONE: Grade.GENERAL_3,
    Detector.ADDRESS: Grade.GENERAL_3,
    Detector.BANK_CARD: Grade.GENERAL_4,
    Detector.PERSON_NAME: Grade.GENERAL_3,
    Detector.EMAIL: Grade.GENERAL_3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """How many of `total` values match each pattern."""

    total: int
    counts: Mapping[Detector, int]

    def shares(self) -> dict[Detector, Fraction]:
        """Return the share of matches of each pattern; nothing where the values are too few to tell."""
        if self.total < MIN_VALUES:
            return {}
        return {detector: Fraction(count, self.total) for detector, count in self.counts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemEvidence:
    """What is known of a column: what it is called, and the shares of its values that match."""

    name: str
    title: str
    shares: Mapping[Detector, Fraction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A grade that a person should look at; `tenths` is the share of matching values, rounded down to tenths."""

    item: str
    detector: Detector
    grade: Grade
    basis: Basis
    tenths: int | None = None


def count_matches(values: Iterable[str | None]) -> Matches:
    """Count the values that match each pattern; empty ones are left out."""
    counts = dict.fromkeys(PATTERNS, 0)
    total = 0
    for value in values:
        if value is None or not (text := _normal(value)):
            continue
        total += 1
        for detector, matches in PATTERNS.items():
            counts[detector] += matches(text)
    return Matches(total=total, counts=counts)


def evidence_of(
    dataset: Dataset, shares: Mapping[str, Mapping[Detector, Fraction]] | None = None
) -> tuple[ItemEvidence, ...]:
    """Return what is known of a data set's items: their names, and shares of matches by name where it was profiled."""
    found = shares or {}
    return tuple(
        ItemEvidence(name=item.name, title=item.title, shares=found.get(item.name, {})) for item in dataset.items
    )


def suggest(profile: Iterable[ItemEvidence]) -> list[Suggestion]:
    """Suggest grades; an item may get several suggestions, of which the strictest counts."""
    return [
        suggestion
        for item in profile
        for detector in Detector
        if (suggestion := _suggestion(item, detector)) is not None
    ]


def suggested_grade(suggestions: Iterable[Suggestion], item: str) -> Grade | None:
    """Return the strictest grade suggested for an item, or nothing."""
    grades = [suggestion.grade for suggestion in suggestions if suggestion.item == item]
    return strictest_grade(*grades) if grades else None


def is_id_card(text: str) -> bool:
    """Return whether `text` is a citizen's identity number: a date that exists, the check digit of GB 11643-1999 §4."""
    if not _ID_CARD.fullmatch(text):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], _ID_WEIGHTS, strict=True))
    return _ID_CHECKS[total % 11] == text[17].upper() and _is_birthday(text[6:14])


def is_mobile_phone(text: str) -> bool:
    """Return whether `text` is a mobile number of mainland China, with or without country code and separators."""
    return _MOBILE.fullmatch(text.replace("-", "").replace(" ", "")) is not None


def is_bank_card(text: str) -> bool:
    """Return whether `text` is a card number: 16 to 19 digits of a card scheme that pass Luhn (ISO/IEC 7812-1)."""
    digits = text.replace("-", "").replace(" ", "")
    if not _CARD.fullmatch(digits):
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(value - 9 if value > 9 else value for value in doubled)) % 10 == 0


def is_address(text: str) -> bool:
    """Return whether `text` reads like a postal address: an area, and a street, building or number in it."""
    return 6 <= len(text) <= _MAX_VALUE and _AREA.search(text) is not None and _PLACE.search(text) is not None


def is_person_name(text: str) -> bool:
    """Return whether `text` reads like a Chinese name: a frequent surname and one or two characters."""
    if not 2 <= len(text) <= 4 or not all("\u4e00" <= char <= "\u9fff" for char in text):
        return False
    return text[:2] in _LONG_SURNAMES if len(text) == 4 else text[0] in _SURNAMES or text[:2] in _LONG_SURNAMES


def is_email(text: str) -> bool:
    """Return whether `text` is an email address in its usual form."""
    local, _, domain = text.partition("@")
    return _LOCAL.fullmatch(local) is not None and _DOMAIN.fullmatch(domain) is not None


def _suggestion(item: ItemEvidence, detector: Detector) -> Suggestion | None:
    share = item.shares.get(detector, Fraction(0))
    by_values, by_name = share >= _LEAST_SHARES[detector], _is_named(item, detector)
    if not by_values and not by_name:
        return None
    return Suggestion(
        item=item.name,
        detector=detector,
        grade=SUGGESTED_GRADES[detector],
        basis=Basis.BOTH if by_values and by_name else Basis.VALUES if by_values else Basis.NAME,
        tenths=int(share * 10) if by_values else None,
    )


def _is_named(item: ItemEvidence, detector: Detector) -> bool:
    names, titles = _NAMES[detector]
    return any(f"_{name}_" in f"_{item.name}_" for name in names) or any(title in item.title for title in titles)


def _normal(value: str) -> str:
    # SECURITY: a longer value is no identifier, and would cost time; its beginning is as good.
    value = value[:_MAX_VALUE].strip()
    return value if value.isascii() else unicodedata.normalize("NFKC", value)


def _is_birthday(digits: str) -> bool:
    try:
        born = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return 1870 <= born.year < 2100


PATTERNS: Final[Mapping[Detector, Callable[[str], bool]]] = {
    Detector.USCC: is_uscc,
    Detector.ID_CARD: is_id_card,
    Detector.MOBILE_PHONE: is_mobile_phone,
    Detector.ADDRESS: is_address,
    Detector.BANK_CARD: is_bank_card,
    Detector.PERSON_NAME: is_person_name,
    Detector.EMAIL: is_email,
}
"""What tells whether one (normalised) value matches."""

# How many of a column's values must match. Patterns with a strong check need few: a column of remarks in which one in
# twenty is an identity number is no less sensitive for the other nineteen. Luhn alone lets one number in ten pass.
_LEAST_SHARES: Final[Mapping[Detector, Fraction]] = {
    Detector.USCC: Fraction(1, 20),
    Detector.ID_CARD: Fraction(1, 20),
    Detector.MOBILE_PHONE: Fraction(1, 5),
    Detector.ADDRESS: Fraction(1, 5),
    Detector.BANK_CARD: Fraction(1, 2),
    Detector.PERSON_NAME: Fraction(1, 2),
    Detector.EMAIL: Fraction(1, 20),
}

# English words and the customary initials of Pinyin; words of Chinese titles.
_NAMES: Final[Mapping[Detector, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    Detector.USCC: (
        ("uscc", "unified_social_credit_code", "social_credit_code", "tyshxydm", "shxydm"),
        ("统一社会信用代码", "社会信用代码"),
    ),
    Detector.ID_CARD: (
        ("id_card", "idcard", "id_no", "id_number", "identity_number", "person_id", "sfzh", "sfzhm", "gmsfhm", "zjhm"),
        ("身份证", "公民身份号码", "身份号码", "证件号码"),
    ),
    Detector.MOBILE_PHONE: (
        ("phone", "mobile", "telephone", "tel", "cellphone", "sjh", "sjhm", "lxdh"),
        ("手机", "电话", "联系方式"),
    ),
    Detector.ADDRESS: (
        ("address", "addr", "dz", "zz", "jycs", "txdz"),
        ("地址", "住址", "住所", "经营场所"),
    ),
    Detector.BANK_CARD: (
        ("bank_card", "card_no", "card_number", "account_no", "bank_account", "yhkh", "yhzh"),
        ("银行卡", "银行账号", "银行账户", "卡号"),
    ),
    Detector.PERSON_NAME: (
        ("person_name", "full_name", "contact_name", "legal_representative", "xm", "fddbr", "lxr"),
        ("姓名", "法定代表人", "法人代表", "联系人", "负责人"),
    ),
    Detector.EMAIL: (("email", "e_mail", "mail", "dzyx"), ("邮箱", "电子邮件")),
}

# `[0-9]`, not a class for digits: that one also takes the digits of other scripts.
_ID_CARD: Final = re.compile(r"[1-9][0-9]{16}[0-9Xx]")
_ID_WEIGHTS: Final = tuple(pow(2, 17 - place, 11) for place in range(17))
_ID_CHECKS: Final = "10X98765432"
_MOBILE: Final = re.compile(r"(?:\+?86)?1[3-9][0-9]{9}")
_CARD: Final = re.compile(r"[3-6][0-9]{15,18}")
_AREA: Final = re.compile(r"[省市区县镇乡村]|街道|社区")
_PLACE: Final = re.compile(r"[路街巷弄][^道]|大道|[0-9一二三四五六七八九十]+[号栋座幢楼室层]|大厦|花园|小区")
_LOCAL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_SURNAMES: Final = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜"
    "崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严欧莫孔向常温康施牛樊葛邢"
)
_LONG_SURNAMES: Final = frozenset(
    {"欧阳", "司徒", "上官", "诸葛", "司马", "皇甫", "慕容", "令狐", "夏侯", "东方", "尉迟"}
)
