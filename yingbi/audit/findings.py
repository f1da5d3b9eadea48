"""What a control test found, as rows for people, for spreadsheets and for programs."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from yingbi.canonical import JsonValue

__all__ = ["FINDING_COLUMNS", "Finding", "Hit", "Severity", "findings_csv", "write_csv"]

FINDING_COLUMNS: Final = ("control", "severity", "subject", "indexes", "had_effect", "message")
# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Severity(StrEnum):
    """How much a finding matters: for the result itself, for the rules around it, or for good order."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What a test hit: the thing, the entries that show it, and in words what is wrong."""

    subject: str
    indexes: tuple[int, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A hit of a control; `had_effect`: its last entry counts for hub and nodes, and is not an attempt only."""

    control: str
    severity: Severity
    subject: str
    indexes: tuple[int, ...]
    message: str
    had_effect: bool

    def row(self) -> dict[str, JsonValue]:
        """Return the finding as JSON."""
        return {
            "control": self.control,
            "severity": str(self.severity),
            "subject": self.subject,
            "indexes": list[JsonValue](self.indexes),
            "had_effect": self.had_effect,
            "message": self.message,
        }


def findings_csv(findings: Iterable[Finding]) -> bytes:
    """Return findings as CSV (RFC 4180), one a line, with a line of names."""
    rows = [
        (
            item.control,
            str(item.severity),
            item.subject,
            " ".join(map(str, item.indexes)),
            "yes" if item.had_effect else "no",
            item.message,
        )
        for item in findings
    ]
    return write_csv(FINDING_COLUMNS, rows)


def write_csv(names: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """Return rows as CSV (RFC 4180) in UTF-8; no cell is taken for a formula by whatever opens it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(list(names))
    for row in rows:
        writer.writerow([_plain(cell) for cell in row])
    return text.getvalue().encode()


def _plain(cell: object) -> str:
    text = "" if cell is None else str(cell)
    # SECURITY: a finding may quote what somebody else chose.
    return f"'{text}" if text.startswith(_FORMULA) else text
