"""The negative list always wins, and reports what it hit."""

import timeit
from time import thread_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.catalog.model import Dataset
from sandbox.catalog.negative_list import (
    NegativeList,
    NegativeRule,
    RuleKind,
    mark,
    negative_list_to_json,
    parse_negative_list,
)
from sandbox.catalog.problem import CatalogueInvalidError
from tests.unit.sandbox.catalog.declarations import FILINGS, datasets, with_item


def rule(kind: RuleKind, pattern: str) -> NegativeRule:
    return NegativeRule(kind=kind, pattern=pattern, reason="statute")


def marked(dataset: Dataset, *rules: NegativeRule) -> list[str]:
    return [item.name for item in mark(dataset, NegativeList(rules=rules))[0].items if item.on_negative_list]


@pytest.mark.parametrize(
    ("kind", "pattern", "expected"),
    [
        (RuleKind.NAME, "tax_paid", ["tax_paid"]),
        (RuleKind.NAME, "*_paid", ["tax_paid"]),
        (RuleKind.NAME, "t*x*d", ["tax_paid"]),
        (RuleKind.NAME, "tax", []),
        (RuleKind.NAME, "TAX_Paid", ["tax_paid"]),
        (RuleKind.NAME, "*s*", ["uscc", "street"]),
        (RuleKind.NAME, "uscc*uscc", []),
        (RuleKind.TITLE, "*税额", ["tax_paid"]),
        (RuleKind.TITLE, "实 缴 税 额", ["tax_paid"]),
        (RuleKind.CLASSIFICATION, "secret*", []),
        (RuleKind.ITEM, "tax/filings#street", ["street"]),
        (RuleKind.ITEM, "tax/other#street", []),
    ],
)
def test_patterns(kind: RuleKind, pattern: str, expected: list[str]) -> None:
    assert marked(FILINGS, rule(kind, pattern)) == expected


def test_full_width_and_case_do_not_hide_an_item() -> None:
    disguised = with_item(FILINGS, "street", title="ＩＤ Card", classification="Ｓecret/1")
    assert marked(disguised, rule(RuleKind.TITLE, "*idcard*")) == ["street"]
    assert marked(disguised, rule(RuleKind.CLASSIFICATION, "secret*")) == ["street"]


def test_hits_are_reported_with_their_rules_and_the_owners_own_without() -> None:
    dataset = with_item(FILINGS, "filed_on", on_negative_list=True)
    rules = (rule(RuleKind.NAME, "street"), rule(RuleKind.TITLE, "街道"))
    result, hits = mark(dataset, NegativeList(rules=rules))
    assert [(hit.item, hit.rule) for hit in hits] == [("street", rules[0]), ("street", rules[1]), ("filed_on", None)]
    assert {item.name for item in result.items if item.on_negative_list} == {"street", "filed_on"}


@settings(deadline=None)
@given(
    datasets(), st.lists(st.sampled_from(["a*", "*", "unit_id", "*b*"]).filter(lambda text: text != "*"), max_size=3)
)
def test_one_more_rule_never_takes_a_mark_away(dataset: Dataset, patterns: list[str]) -> None:
    rules = tuple(rule(RuleKind.NAME, pattern) for pattern in patterns)
    fewer = set(marked(dataset, *rules[:-1]))
    more = set(marked(dataset, *rules))
    declared = {item.name for item in dataset.items if item.on_negative_list}
    assert declared <= fewer <= more
    assert (
        mark(mark(dataset, NegativeList(rules=rules))[0], NegativeList(rules=rules))[0]
        == mark(dataset, NegativeList(rules=rules))[0]
    )


def test_a_pattern_of_stars_takes_no_time() -> None:
    dataset = with_item(FILINGS, "street", title="a" * 200)
    found = []

    def look() -> None:
        found.append(marked(dataset, rule(RuleKind.TITLE, "*a" * 99 + "*b")))

    # Once, and the first time: folded texts are kept.
    assert timeit.timeit(look, timer=thread_time, number=1) < 0.1
    assert found == [[]]


def test_reading_gives_what_was_written() -> None:
    found = NegativeList(rules=(rule(RuleKind.NAME, "*id*"), rule(RuleKind.ITEM, "tax/filings#street")))
    assert parse_negative_list(negative_list_to_json(found)) == found


@pytest.mark.parametrize(
    "value",
    [
        {},
        None,
        [{}],
        [{"kind": "name", "pattern": "*", "reason": "r"}],
        [{"kind": "name", "pattern": "**", "reason": "r"}],
        [{"kind": "name", "pattern": "", "reason": "r"}],
        [{"kind": "name", "pattern": "a\0", "reason": "r"}],
        [{"kind": "name", "pattern": "a", "reason": ""}],
        [{"kind": "regex", "pattern": "a", "reason": "r"}],
        [{"kind": "name", "pattern": "a", "reason": "r", "more": 1}],
        [{"kind": "item", "pattern": "street", "reason": "r"}],
        [{"kind": "item", "pattern": "tax/filings#*", "reason": "r"}],
        [{"kind": "name", "pattern": "a", "reason": "r"}] * 1001,
    ],
)
def test_a_list_of_another_form_is_refused(value: Any) -> None:
    with pytest.raises(CatalogueInvalidError):
        parse_negative_list(value)
