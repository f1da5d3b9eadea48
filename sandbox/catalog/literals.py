"""Canonical text of a value, by the type of its item: one value has one spelling.

Bounds, edges, domains and the literals of a question are compared as text; that is sound only because of this.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Final

from sandbox.catalog.model import DataItem, ItemType

__all__ = ["MAX_DIGITS", "canonical_literal", "decimal_text", "order_key"]

MAX_DIGITS: Final = 40

# `[0-9]`, not a class for digits: that one also takes the digits of other scripts.
_NUMBER: Final = re.compile(r"(?P<sign>-?)0*(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]+))?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def canonical_literal(item: DataItem, text: str) -> str | None:
    """Return the one spelling of `text` as a value of `item`, or nothing where it is not such a value.

    Numbers have no exponent, plus sign, leading or trailing zeros; dates are `YYYY-MM-DD`; booleans `true` or `false`;
    codes are values of the declared domain. Free text has no literals.
    """
    match item.type:
        case ItemType.INTEGER:
            return _canonical_number(text, 0)
        case ItemType.DECIMAL:
            return _canonical_number(text, item.decimals)
        case ItemType.DATE:
            return text if _is_date(text) else None
        case ItemType.BOOLEAN:
            return text if text in ("true", "false") else None
        case ItemType.CODE:
            return text if item.domain is not None and text in item.domain else None
        case ItemType.TEXT:
            return None


def decimal_text(value: Decimal) -> str:
    """Return the canonical text of a finite decimal: `12.5` for `12.50`, `0` for `-0`, never an exponent."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def order_key(item: DataItem, literal: str) -> Decimal:
    """Return what canonical literals of a number or date sort by; a date's is its day."""
    return Decimal(date.fromisoformat(literal).toordinal()) if item.type is ItemType.DATE else Decimal(literal)


def _canonical_number(text: str, decimals: int) -> str | None:
    # SECURITY: length first; Python takes quadratic time for huge numbers.
    if len(text) > MAX_DIGITS or (match := _NUMBER.fullmatch(text)) is None:
        return None
    part = (match["part"] or "").rstrip("0")
    if len(part) > decimals:
        return None
    number = match["whole"] + (f".{part}" if part else "")
    return number if number == "0" else match["sign"] + number


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
