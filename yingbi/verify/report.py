"""What a verification says: checks, their outcomes, and the one verdict that follows from them (verification.md).

The verdict is computed from the checks and from nothing else, so that nothing unchecked can turn into `VERIFIED`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final

__all__ = ["Check", "Finding", "Name", "Outcome", "Report", "Verdict", "failed", "missing", "not_checked", "passed"]


class Verdict(StrEnum):
    """The four answers, best first."""

    VERIFIED = "VERIFIED"
    LOG_SIGNED_ONLY = "LOG-SIGNED ONLY"
    COULD_NOT_CHECK = "COULD NOT CHECK"
    INVALID = "INVALID"


_EXIT_CODES: Final = {
    Verdict.VERIFIED: 0,
    Verdict.INVALID: 1,
    Verdict.LOG_SIGNED_ONLY: 2,
    Verdict.COULD_NOT_CHECK: 3,
}


class Outcome(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"
    NOT_CHECKED = "not checked"


class Name(StrEnum):
    """Names of the checks."""

    NOTE = "note"
    LOG_SIGNATURE = "log signature"
    COSIGNATURES = "cosignatures"
    QUORUM = "quorum"
    AGE = "age"
    ENTRY = "entry"
    INCLUSION = "inclusion"
    STATEMENT = "statement"
    ENTRIES = "entries"
    CHAIN = "hash chain"
    TIMES = "times"
    TILES = "tiles"
    ROOT = "root"
    HISTORY = "history"
    LOG_KEYS = "log keys"
    STATEMENTS = "statements"
    ANCHOR = "anchor"
    ARCHIVE = "archive"
    BAG = "bag"
    DIGESTS = "digests"
    CONTENTS = "contents"
    RECEIPTS = "receipts"
    DOCUMENTS = "documents"
    ANCHORS = "anchors"
    FEDERATIONS = "federations"


class Finding(StrEnum):
    """What a failed check found; stable codes for programs."""

    MALFORMED = "malformed"
    WRONG_ORIGIN = "wrong origin"
    BAD_SIGNATURE = "bad signature"
    NO_TRUSTED_SIGNATURE = "no trusted signature"
    STALE = "stale"
    FUTURE = "future time"
    WRONG_INDEX = "wrong index"
    NOT_INCLUDED = "not included"
    CHAIN_BROKEN = "chain broken"
    TIME_WENT_BACK = "time went back"
    BACKDATED = "backdated"
    POSTDATED = "later than its cosignature"
    HASH_MISMATCH = "hash mismatch"
    ROOT_MISMATCH = "root mismatch"
    ROLLBACK = "rollback"
    SPLIT_VIEW = "split view"
    INCONSISTENT = "inconsistent"
    UNKNOWN_KEY = "unknown key"
    KEY_RULE = "key rule broken"
    WRONG_SIGNER = "wrong signer"
    NOT_ANCHORED = "not anchored"
    UNEXPECTED = "unexpected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its outcome and, where something was found, where and what was expected."""

    name: str
    outcome: Outcome
    message: str
    finding: Finding | None = None
    index: int | None = None
    expected: str | None = None
    actual: str | None = None
    ask_for: tuple[str, ...] = ()


def passed(name: str, message: str) -> Check:
    """Return a check that was made and held."""
    return Check(name=name, outcome=Outcome.PASSED, message=message)


def failed(
    name: str,
    finding: Finding,
    message: str,
    *,
    index: int | None = None,
    expected: str | None = None,
    actual: str | None = None,
) -> Check:
    """Return a check that was made and did not hold."""
    return Check(
        name=name,
        outcome=Outcome.FAILED,
        message=message,
        finding=finding,
        index=index,
        expected=expected,
        actual=actual,
    )


def missing(name: str, message: str, ask_for: Iterable[str]) -> Check:
    """Return a check that was asked for and could not be made; `ask_for` lists what would be needed."""
    return Check(name=name, outcome=Outcome.MISSING, message=message, ask_for=tuple(ask_for))


def not_checked(name: str, message: str) -> Check:
    """Return a check that was not made."""
    return Check(name=name, outcome=Outcome.NOT_CHECKED, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All checks of one verification.

    `good_size` is the number of entries from the first on in which nothing wrong was found (full audits only); `heads`
    are signed notes that contradict each other: evidence of misbehaviour, to be kept as they are.
    """

    checks: tuple[Check, ...]
    about: Mapping[str, str | int] = field(default_factory=dict)
    good_size: int | None = None
    heads: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Return the verdict by the precedence of verification.md: failed, then missing, then the quorum."""
        outcomes = {check.outcome for check in self.checks}
        held = {check.name for check in self.checks if check.outcome is Outcome.PASSED}
        if Outcome.FAILED in outcomes:
            return Verdict.INVALID
        # SECURITY: a report without the log's signature has shown nothing, whatever else it lists.
        if Outcome.MISSING in outcomes or Name.LOG_SIGNATURE not in held:
            return Verdict.COULD_NOT_CHECK
        return Verdict.VERIFIED if Name.QUORUM in held else Verdict.LOG_SIGNED_ONLY

    @property
    def exit_code(self) -> int:
        """Return the exit code of the verdict."""
        return _EXIT_CODES[self.verdict]

    @property
    def first_failure(self) -> Check | None:
        """Return the first failed check, or `None`."""
        return next((check for check in self.checks if check.outcome is Outcome.FAILED), None)

    def to_json(self) -> str:
        """Return the report as ASCII JSON."""
        rows = [asdict(check) for check in self.checks]
        value = {
            "v": 1,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "about": dict(self.about),
            "checks": [{key: value for key, value in row.items() if value not in (None, ())} for row in rows],
            "good_size": self.good_size,
            "heads": self.heads,
        }
        return json.dumps(value, indent=2)

    def to_text(self) -> str:
        """Return the report for people, one check a line; nothing that a terminal would interpret survives."""
        lines = [str(self.verdict), *(f"  {key}: {value}" for key, value in self.about.items())]
        for check in self.checks:
            lines.append(f"  [{check.outcome}] {check.name}: {check.message}")
            where = {"index": check.index, "expected": check.expected, "actual": check.actual}
            lines += [f"      {key}: {value}" for key, value in where.items() if value is not None]
            lines += [f"      needed: {item}" for item in check.ask_for]
        if self.good_size is not None:
            lines.append(f"  nothing wrong found in the first {self.good_size} entries")
        for number, head in enumerate(self.heads, 1):
            lines += [f"  signed head {number}:", *(f"    {line}" for line in head.split("\n"))]
        # SECURITY: heads and origins come from outside; control and direction characters could fake a verdict line.
        return "\n".join("".join(char if char.isprintable() else "?" for char in line) for line in lines) + "\n"
