"""Pages, plots, working papers and tables: in both languages, and nothing that somebody else wrote becomes markup."""

import csv
import io
import re
from dataclasses import replace

import pytest

from tests.lib.audited_log import AuditedLog
from yingbi.audit import pages
from yingbi.audit.controls import run_controls
from yingbi.audit.findings import Finding, Severity, findings_csv
from yingbi.audit.html import Markup, element, join
from yingbi.audit.pages import render_page, render_story
from yingbi.audit.papers import working_paper
from yingbi.audit.plots import bar_plot, timeline
from yingbi.audit.report import make_report
from yingbi.audit.texts import LANGUAGES, load_texts
from yingbi.audit.tracing import trace_job

EVIL = "<script>alert('x')</script>"


def test_children_are_escaped_and_markup_is_not() -> None:
    assert element("p", EVIL) == "<p>&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;</p>"
    assert element("a", "x", href='"><b>') == '<a href="&quot;&gt;&lt;b&gt;">x</a>'
    assert element("td", element("b", 1), class_="c") == '<td class="c"><b>1</b></td>'
    assert join(("<", Markup("<"))) == "&lt;<"
    assert element("br") == "<br>"


def test_bars_are_as_long_as_their_counts() -> None:
    plot = bar_plot("Jobs", {"delivered": 4, EVIL: 2, "none": 0})
    widths = [int(width) for width in re.findall(r'<rect x="200" y="\d+" width="(\d+)"', plot)]
    assert widths == [360, 180, 1]
    assert EVIL not in plot
    assert bar_plot("Nothing", {}).startswith("<svg")


def test_a_timeline_has_a_bar_for_every_day_between() -> None:
    plot = timeline("Days", {"2026-11-16": 3, "2026-11-20": 6})
    heights = [int(height) for height in re.findall(r'height="(\d+)" fill', plot)]
    assert heights == [60, 1, 1, 1, 120]
    assert timeline("Years", {"2020-01-01": 1, "2026-01-01": 1}).count("<rect") == 2
    assert timeline("Nothing", {}).count("<rect") == 0


def texts_of(language: str) -> frozenset[str]:
    return load_texts(language).keys


def test_both_languages_say_the_same_things() -> None:
    assert texts_of("en") == texts_of("zh")
    for key in texts_of("en"):
        fields = [sorted(re.findall(r"\{(\w+)\}", load_texts(language)._texts[key])) for language in LANGUAGES]
        assert fields[0] == fields[1], key


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_tells_findings_and_stories(language: str) -> None:
    log = AuditedLog().found().run_day()
    log.release("job-0001")
    case = log.case()
    page = render_page(make_report(case, run_controls(case)), language).decode()
    assert 'class="high"' in page
    assert 'id="job-0003"' in page
    assert "2026-11-01 – 2027-01-31" in page, "days of China Standard Time, as the agreement has them"
    assert "C21 " + load_texts(language)("control.double-release") in page
    assert "{" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


def test_what_others_wrote_becomes_no_markup() -> None:
    case = AuditedLog().found().run_job("job-0001").case()
    results = run_controls(case)
    found = Finding(control="C01", severity=Severity.HIGH, subject=EVIL, indexes=(1,), message=EVIL, had_effect=True)
    bent = (replace(results[0], findings=(found,)), *results[1:])
    page = render_page(make_report(case, bent), "en").decode()
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    paper = working_paper(case, bent, "en").decode()
    assert "<script>" not in paper
    assert "\\<script\\>" in paper


def test_no_cell_is_taken_for_a_formula() -> None:
    found = Finding(
        control="C01", severity=Severity.LOW, subject="=cmd()", indexes=(1, 2), message='say "hi"\n', had_effect=False
    )
    header, row = csv.reader(io.StringIO(findings_csv([found]).decode(), newline=""))
    assert header == ["control", "severity", "subject", "indexes", "had_effect", "message"]
    assert row == ["C01", "low", "'=cmd()", "1 2", "no", 'say "hi"\n']


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_story_is_a_part_of_a_page(language: str) -> None:
    story = render_story(trace_job(AuditedLog().found().run_day().case(), "job-0003").to_json(), language)
    assert story.startswith("<p>")
    assert story.count("<tr>") == 18
    assert "person:chk (output-checker)" in story


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_working_paper_has_a_section_a_control_with_room_to_write(language: str) -> None:
    case = AuditedLog().found().case()
    results = run_controls(case)
    paper = working_paper(case, results, language).decode()
    assert paper.count("\n## C") == len(results)
    assert paper.count("________________") == 3 + 3 * len(results)


def test_a_report_of_very_many_jobs_tells_the_stories_of_those_with_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yingbi.audit.report._MAX_TRACES", 2)
    log = AuditedLog().found().run_day()
    log.release("job-0004")
    case = log.case()
    value = make_report(case, run_controls(case)).value
    assert isinstance(value["traces"], list)
    assert [trace["job"] for trace in value["traces"] if isinstance(trace, dict)] == ["job-0004"]
    assert pages.render_page(make_report(case, run_controls(case)), "en")


def test_a_report_of_an_empty_log() -> None:
    case = AuditedLog().case_of_nothing()
    page = render_page(make_report(case, run_controls(case)), "en").decode()
    assert "The whole log: 0 entries" in page
