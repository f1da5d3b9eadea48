"""The verdict follows from the checks alone, by the precedence of verification.md."""

import itertools
import json

import pytest

from yingbi.verify import Check, Finding, Name, Outcome, Report, Verdict
from yingbi.verify.report import failed, missing, not_checked, passed

SIGNED = passed(Name.LOG_SIGNATURE, "")
QUORUM = passed(Name.QUORUM, "")
NO_QUORUM = not_checked(Name.QUORUM, "")
WRONG = failed(Name.ENTRY, Finding.MALFORMED, "")
ABSENT = missing(Name.ENTRY, "", ["entry 3"])
UNASKED = not_checked(Name.STATEMENT, "")


@pytest.mark.parametrize(
    ("checks", "verdict", "exit_code"),
    [
        ((SIGNED, QUORUM), Verdict.VERIFIED, 0),
        ((SIGNED, QUORUM, UNASKED), Verdict.VERIFIED, 0),
        ((SIGNED, NO_QUORUM), Verdict.LOG_SIGNED_ONLY, 2),
        ((SIGNED,), Verdict.LOG_SIGNED_ONLY, 2),
        ((SIGNED, QUORUM, ABSENT), Verdict.COULD_NOT_CHECK, 3),
        ((SIGNED, NO_QUORUM, ABSENT), Verdict.COULD_NOT_CHECK, 3),
        ((SIGNED, QUORUM, WRONG), Verdict.INVALID, 1),
        ((SIGNED, QUORUM, ABSENT, WRONG), Verdict.INVALID, 1),
        ((), Verdict.COULD_NOT_CHECK, 3),
        ((QUORUM,), Verdict.COULD_NOT_CHECK, 3),
        ((not_checked(Name.LOG_SIGNATURE, ""), QUORUM), Verdict.COULD_NOT_CHECK, 3),
    ],
)
def test_precedence(checks: tuple[Check, ...], verdict: Verdict, exit_code: int) -> None:
    for order in itertools.permutations(checks):
        report = Report(checks=order)
        assert (report.verdict, report.exit_code) == (verdict, exit_code)


def test_nothing_but_passed_checks_makes_verified() -> None:
    for outcomes in itertools.product(Outcome, repeat=2):
        checks = tuple(
            Check(name=name, outcome=outcome, message="")
            for name, outcome in zip((Name.LOG_SIGNATURE, Name.QUORUM), outcomes, strict=True)
        )
        verified = Report(checks=checks).verdict is Verdict.VERIFIED
        assert verified is (outcomes == (Outcome.PASSED, Outcome.PASSED))


REPORT = Report(
    checks=(
        SIGNED,
        failed(Name.TILES, Finding.HASH_MISMATCH, "other", index=3, expected="aa", actual="bb"),
        missing(Name.ENTRIES, "gone", ["tile/entries/000", "tile/entries/001"]),
    ),
    about={"origin": "log.example", "size": 5},
    good_size=3,
    heads=("one\n\n\u2014 a b\n", "two\x1b[2J\u202e\n"),
)


def test_json_says_everything() -> None:
    text = REPORT.to_json()
    assert text.isascii()
    value = json.loads(text)
    assert (value["v"], value["verdict"], value["exit_code"], value["good_size"]) == (1, "INVALID", 1, 3)
    assert value["about"] == {"origin": "log.example", "size": 5}
    assert value["checks"][1] == {
        "name": "tiles",
        "outcome": "failed",
        "message": "other",
        "finding": "hash mismatch",
        "index": 3,
        "expected": "aa",
        "actual": "bb",
    }
    assert value["checks"][2]["ask_for"] == ["tile/entries/000", "tile/entries/001"]
    assert value["heads"] == list(REPORT.heads)


def test_index_zero_is_not_left_out() -> None:
    report = Report(checks=(failed(Name.ENTRY, Finding.MALFORMED, "x", index=0),), good_size=0)
    assert json.loads(report.to_json())["checks"][0]["index"] == 0
    assert "index: 0" in report.to_text()
    assert "first 0 entries" in report.to_text()


def test_text_says_everything_and_nothing_to_the_terminal() -> None:
    text = REPORT.to_text()
    assert text.startswith("INVALID\n")
    for part in ("[failed] tiles: other", "index: 3", "expected: aa", "actual: bb", "needed: tile/entries/001"):
        assert part in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\u2014 a b" in text


def test_a_hostile_origin_cannot_add_lines() -> None:
    report = Report(checks=(), about={"origin": "x\nVERIFIED"})
    assert "\nVERIFIED" not in report.to_text()
