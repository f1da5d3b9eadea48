"""Released tables as frames and as HTML: the same values, nothing suppressed, everything escaped."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from policies.disclosure import DisclosureRules
from sandbox.disclosure.frame import TOTAL, to_dataframe
from sandbox.disclosure.html_form import MAX_BARS, held_html, plot_svg, table_html
from sandbox.disclosure.json_form import held_json, model_json, table_json
from sandbox.disclosure.release import ReleaseContext, release
from sandbox.disclosure.released import Held, ReleasedModel, ReleasedTable
from sandbox.disclosure.verdict import RISKS_OF_VALUES, Finding, RuleId
from tests.unit.sandbox.disclosure.tables import (
    RecordingHistory,
    Rows,
    aggregate,
    candidate_of,
    catalogue,
    firms,
    question,
)
from tests.unit.sandbox.disclosure.test_regression import model
from yingbi.canonical import canonical_bytes, parse_canonical
from yingbi.events.outputs import CheckVerdict
from yingbi.plan.model import Function, Presentation, TableQuestion

EVIL = "<script>alert('&\"')</script>"
ROWS = [
    *firms("a", range(100, 130)),
    *firms("b", [987654321, 5, 5], start=100),
    *firms("c", [50] * 25 + [777777777], start=200),
]
ASKED = question(aggregate(Function.COUNT), aggregate(Function.MEAN, "tax"), by=["street"], margins=True)
SHOWN = Presentation(names=("street", "firms", "tax"), columns=("tax", "street", "firms"))


def _table(rows: Rows = ROWS, asked: TableQuestion = ASKED, presentation: Presentation | None = SHOWN) -> ReleasedTable:
    context = ReleaseContext(catalogue=catalogue(), presentation=presentation)
    table = release(candidate_of(asked, rows), DisclosureRules(), RecordingHistory(), context=context)
    assert isinstance(table, ReleasedTable)
    return table


def _held() -> Held:
    context = ReleaseContext(catalogue=catalogue())
    held = release(candidate_of(ASKED, firms("a", [987654])), DisclosureRules(), RecordingHistory(), context=context)
    assert isinstance(held, Held)
    return held


def test_every_form_is_canonical_json() -> None:
    released = release(model(), DisclosureRules(), RecordingHistory(), context=ReleaseContext(catalogue=catalogue()))
    assert isinstance(released, ReleasedModel)
    for value in (table_json(_table()), held_json(_held()), model_json(released)):
        assert parse_canonical(canonical_bytes(value), max_bytes=100_000) == value


def test_a_notice_names_rules_and_remedies_and_no_number() -> None:
    text = json.dumps(held_json(_held()))
    assert "table.empty" in text
    assert "cells" not in json.loads(text)["findings"][0]
    assert "987654" not in text


def test_a_notice_does_not_tell_which_rule_on_values_holds() -> None:
    """SECURITY: of one cell, `zeros` says that nobody paid, and `dominance.top-n` that one firm paid nearly all."""
    rules = [rule for rule in RuleId if rule.value.split(".")[0] in ("threshold", "dominance", "zeros", "class")]
    told = set()
    for rule in rules:
        risk = next(risk for risk in RISKS_OF_VALUES if rule.value.startswith(risk.value.split("-")[0]))
        finding = Finding(risk=risk, rule=rule.value, verdict=CheckVerdict.FAIL, dimension="street", cells=3)
        told.add(json.dumps(held_json(replace(_held(), findings=(finding,)))))
    assert len(rules) == 10
    assert len(told) == 1


def test_a_frame_has_the_columns_as_they_are_shown() -> None:
    frame = to_dataframe(_table())
    assert list(frame.columns) == ["tax", "street", "firms"]
    assert frame["firms"].dtype == "Int64"
    assert frame["firms"].tolist() == [30, pd.NA, 26, 59]
    assert frame["street"].tolist() == ["a", "b", "c", TOTAL]
    assert frame["tax"][0] == 114.5
    assert frame["tax"].isna().tolist() == [False, True, True, True]


def test_a_frame_says_what_is_suppressed_and_why() -> None:
    frame = to_dataframe(_table())
    assert frame.attrs["suppressed"] == [(1, "firms"), (1, "tax"), (2, "tax"), (3, "tax")]
    assert frame.attrs["totals"] == [(3, "street")]
    assert frame.attrs["rules"]["suppressed_for"] == ["class-disclosure", "dominance", "threshold", "zeros"]


def test_an_empty_table_is_a_frame_too() -> None:
    empty = _table(presentation=Presentation(names=("street", "firms", "tax"), limit=0))
    frame = to_dataframe(empty)
    assert list(frame.columns) == ["street", "firms", "tax"]
    assert len(frame) == 0
    assert "<svg" not in table_html(empty)


def test_html_is_well_formed_and_escaped() -> None:
    rows = [dict(row, size=EVIL) for row in firms("a", [5] * 30)] + [
        dict(row, size="m") for row in firms("a", [5] * 30, start=100)
    ]
    asked = question(aggregate(Function.COUNT), by=["size"])
    text = table_html(_table(rows, asked, Presentation(names=(EVIL, "n"))))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 3  # head, cell, plot
    ET.fromstring(text)
    ET.fromstring(held_html(_held()))


def test_html_has_no_suppressed_value() -> None:
    text = table_html(_table())
    assert "9876" not in text
    assert "7777" not in text
    assert len(re.findall('class="suppressed"', text)) == 4


def test_a_plot_has_a_bar_for_each_released_value_and_none_for_totals() -> None:
    root = ET.fromstring(plot_svg(_table(presentation=None)))
    bars = [element for element in root.iter() if element.tag.endswith("rect")]
    assert [bar.get("width") for bar in bars] == ["440", "381"]  # 30 and 26 firms


def test_a_plot_has_few_bars_and_no_negative_ones() -> None:
    rows = [dict(row, grid=grid) for grid in range(MAX_BARS + 5) for row in firms("a", [5] * 10, start=100 * grid)]
    many = _table(rows, question(aggregate(Function.COUNT), by=["grid"]), None)
    assert plot_svg(many).count("<rect") == MAX_BARS


def test_held_html_names_rules() -> None:
    assert "table.empty" in held_html(_held())
    assert "private-mode" in held_html(_held())


@pytest.mark.parametrize("form", [table_html, plot_svg])
def test_a_form_never_changes_the_table(form: Callable[[ReleasedTable], str]) -> None:
    table = _table()
    before = table_json(table)
    form(table)
    to_dataframe(table)
    assert table_json(table) == before
