"""`hub.toml`: read strictly, written so that it is read back."""

import pytest

from api.rules import find_rule
from api.settings import Settings, parse_settings, render_settings
from tests.lib.hubs import BUREAU, fixed_key
from yingbi.errors import ErrorCode, InvalidRequestError

SETTINGS = Settings(bureau=BUREAU, address="https://hub.example", roots=(fixed_key("root").public,), lease_s=30)
TEXT = render_settings(SETTINGS)


def test_what_is_written_is_read_back() -> None:
    assert parse_settings(TEXT) == SETTINGS
    without = Settings(bureau=BUREAU, address=None, roots=SETTINGS.roots)
    assert parse_settings(render_settings(without)) == without


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bureau:futian", "partner:bank"),
        ("bureau:futian", "nobody"),
        ('bureau = "bureau:futian"\n', ""),
        ("https://hub.example", "http://hub.example"),
        ("https://hub.example", "https://M["),
        ("https://hub.example", "https://hub.example/path"),
        ("https://hub.example", "https://user@hub.example"),
        ("https://hub.example", "ftp://hub.example"),
        ("lease_s = 30", "lease_s = 0"),
        ("lease_s = 30", 'lease_s = "30"'),
        ("lease_s = 30", "lease_s = true"),
        ("lease_s = 30", "leases = 30"),
        ("lease_s = 30", "lease_s = "),
        ("roots = [", 'roots = ["x", '),
        ("roots = [", "roots = [] #"),
    ],
)
def test_what_is_wrong_is_refused(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidRequestError) as caught:
        parse_settings(TEXT.replace(old, new))
    assert caught.value.code is ErrorCode.CONFIG_INVALID


RULES = """
[[rules]]
name = "provisional.credit"
route = "provisional"
purposes = ["credit.sme", "research"]
hours = 24
"""


def test_rules_are_read_and_written_in_their_order() -> None:
    settings = parse_settings(TEXT + RULES + RULES.replace("provisional.credit", "other"))
    assert [rule.name for rule in settings.rules] == ["provisional.credit", "other"]
    assert parse_settings(render_settings(settings)) == settings
    found = {
        purpose: find_rule(settings.rules, purpose).name for purpose in ("credit.sme.loan", "credit.smear", "research")
    }
    assert found == {
        "credit.sme.loan": "provisional.credit",
        "credit.smear": "automatic.by-agreement",
        "research": "provisional.credit",
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('route = "provisional"', 'route = "reviewed"'),
        ('route = "provisional"', ""),
        ("hours = 24", ""),
        ("hours = 24", "hours = 0"),
        ("hours = 24", "minutes = 5"),
        ('"research"', '"Research!"'),
        ('name = "provisional.credit"', 'name = ""'),
        ("[[rules]]", "[rules]"),
        (RULES, RULES + RULES),
    ],
)
def test_what_is_wrong_with_a_rule_is_refused(old: str, new: str) -> None:
    assert old in RULES
    with pytest.raises(InvalidRequestError):
        parse_settings(TEXT + RULES.replace(old, new))


def test_a_plain_address_is_for_this_machine_only() -> None:
    assert parse_settings(TEXT.replace("https://hub.example", "http://127.0.0.1:8441")).address
