"""The report as a page: one HTML file a language, with everything inside of it, fit for a screen and for paper."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from policies.model import CALENDAR
from yingbi.audit.html import Markup, element, join
from yingbi.audit.plots import bar_plot, timeline
from yingbi.audit.report import Report
from yingbi.audit.texts import LANGUAGES, Texts, load_texts
from yingbi.clock import parse_time

__all__ = ["render_page", "render_story"]

_STYLE: Final = """
body{font:14px/1.5 system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;color:#1b1b1b;
max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem;border-bottom:1px solid #bbb}
table{border-collapse:collapse;width:100%;margin:.5rem 0}th,td{border:1px solid #ccc;padding:.25rem .5rem;
text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:#eef2f5}
code,pre{font-family:ui-monospace,monospace;font-size:.85em}pre{white-space:pre-wrap;overflow-wrap:anywhere;
background:#f6f6f6;padding:.5rem}
.high{color:#9b1c1c;font-weight:600}.medium{color:#8a5a00}.low{color:#444}
.line{margin-top:3rem;border-top:1px solid #333;width:20rem}
@page{size:A4;margin:18mm}
@media print{body{max-width:none;margin:0;padding:0;font-size:10pt}a{color:inherit;text-decoration:none}
tr,svg{break-inside:avoid}h2{break-after:avoid}.screen{display:none}details>*{display:block}}
"""
_SHORT: Final = 20
_MAX_LISTED: Final = 100

_CLASSES: Final = {"differs": "high", "not-checked": "medium", "summed": "medium"}

Row = Mapping[str, Any]


def render_page(report: Report, language: str) -> bytes:
    """Return the report as HTML in UTF-8."""
    t, value = load_texts(language), report.value
    other = next(code for code in LANGUAGES if code != language)
    log: Row = _row(value["log"])
    title = t("title", origin=log["origin"])
    head = element(
        "head",
        element("meta", charset="utf-8"),
        # SECURITY: a report that came from elsewhere loads nothing and runs nothing, whatever got into it.
        element("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        element("meta", name="viewport", content="width=device-width,initial-scale=1"),
        element("title", title),
        element("style", Markup(_STYLE)),
    )
    link = element("a", t("other_language"), href=f"report.{other}.html", lang=other)
    body = element(
        "body",
        element("p", link, class_="screen"),
        element("h1", title),
        *_overview(t, value, log),
        *_controls(t, value),
        *_agreements(t, value),
        *_jobs(t, value),
        *_federations(t, value),
        *_keys(t, value),
        element("h2", t("signatures")),
        element("p", t("signature.line"), class_="line"),
    )
    return ("<!doctype html>\n" + element("html", head, body, lang=language) + "\n").encode()


def render_story(trace: Row, language: str) -> Markup:
    """Return the story of one job as a part of a page."""
    t = load_texts(language)
    rows = []
    for step in trace["steps"]:
        signers = [f"{item['party']} ({', '.join(item['duties'])})".replace(" ()", "") for item in step["signers"]]
        details = [f"{name}: {_short(item)}" for name, item in step["body"].items() if item not in (None, [], {})]
        if step["without_effect"] is not None:
            details.insert(0, t("without_effect", why=step["without_effect"]))
        rows.append(
            (
                t.code("phase", step["phase"]),
                step["index"],
                step["time"],
                step["type"],
                _lines(signers),
                _lines(details),
            )
        )
    names = ("phase", "index", "time", "type", "signers", "details")
    receipt = element("p", t("story.receipt", size=trace["checkpoint_size"]))
    return join((receipt, _table(t, names, rows)))


def _overview(t: Texts, value: Row, log: Row) -> Iterable[Markup]:
    scope, jobs = value["scope"], value["jobs"]
    text = t("scope.all" if scope is None else "scope.jobs", size=log["size"], jobs=len(jobs))
    yield element("h2", t("scope"))
    yield element("p", text)
    yield element("h2", t("method"))
    yield element("p", t("method.text"))
    yield element("h2", t("log"))
    facts = {**{name: log[name] for name in ("origin", "size", "root", "first", "last")}}
    facts["without_effect"] = value["without_effect"]
    rows = [element("tr", element("th", t(f"field.{name}")), element("td", item)) for name, item in facts.items()]
    yield element("table", *rows)
    yield element("h3", t("checkpoint"))
    yield element("pre", log["checkpoint"])
    outcomes = {t.code("state", name): count for name, count in value["outcomes"].items()}
    for name, plot in (
        ("outcomes", bar_plot(t("outcomes"), outcomes)),
        ("refusals", bar_plot(t("refusals"), value["refusals"])),
        ("activity", timeline(t("activity"), value["activity"])),
    ):
        yield element("h2", t(name))
        yield plot


def _controls(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("controls"))
    yield element("p", t("controls.text"))
    rows = [
        (
            f"{row['id']} {t('control.' + row['name'])}",
            t("supports." + row["name"]),
            row["population"],
            len(row["findings"]),
            len(row["unchecked"]),
        )
        for row in value["controls"]
    ]
    yield _table(t, ("control", "supports", "population", "findings", "unchecked"), rows)
    yield element("h2", t("findings"))
    findings = [(row["name"], finding) for row in value["controls"] for finding in row["findings"]]
    unchecked = [(f"{row['id']}", text) for row in value["controls"] for text in row["unchecked"]]
    if unchecked:
        yield element("p", t("unchecked.text"), class_="medium")
        yield _lines(f"{name}: {text}" for name, text in unchecked[:_MAX_LISTED])
    if not findings:
        yield element("p", t("findings.none"))
        return
    names = ("control", "severity", "subject", "indexes", "had_effect", "message")
    cells = [
        (
            f"{item['control']} {t('control.' + name)}",
            element("span", t.code("severity", item["severity"]), class_=item["severity"]),
            item["subject"],
            ", ".join(map(str, item["indexes"])),
            t("word.yes") if item["had_effect"] else t("word.no"),
            item["message"],
        )
        for name, item in findings
    ]
    yield _table(t, names, cells)


def _agreements(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("agreements"))
    rows = [
        (
            row["id"],
            _lines(party for party in (row["assigner"], row["assignee"], row["intermediary"]) if party),
            row["purpose"],
            f"{_day(row['valid_from'])} – {_day(row['valid_until'])}",
            _lines(f"{item['person']} ({item['duty']}), {item['index']}" for item in row["signatures"]),
            element("code", row["terms"]),
        )
        for row in value["agreements"]
    ]
    yield _table(t, ("agreement", "parties", "purpose", "valid", "signatures", "terms"), rows)


def _jobs(t: Texts, value: Row) -> Iterable[Markup]:
    told = {trace["job"] for trace in value["traces"]}
    yield element("h2", t("jobs"))
    rows = [
        (
            element("a", row["job"], href=f"#{row['job']}") if row["job"] in told else row["job"],
            row["partner"],
            row["operation"],
            row["submitted_at"],
            row["route"],
            _lines([t.code("state", row["state"]), *row["refusals"]]),
            element("code", row["content"] or ""),
        )
        for row in value["jobs"]
    ]
    yield _table(t, ("job", "partner", "operation", "submitted_at", "route", "state", "content"), rows)
    yield element("h2", t("stories"))
    for trace in value["traces"]:
        yield element(
            "details",
            element("summary", f"{trace['job']} – {t.code('state', trace['state'])}"),
            render_story(trace, t.language),
            id=trace["job"],
        )


def _federations(t: Texts, value: Row) -> Iterable[Markup]:
    federations = value["federations"]
    if not federations:
        return
    yield element("h2", t("federations"))
    yield element("p", t("federations.text"))
    rows = [
        (
            row["federation"],
            row["partner"],
            _lines(f"{item['unit']} ({item['node']}): {item['agreement']}, {item['job']}" for item in row["members"]),
            row["recipe"],
            t("federations.rounds", rounds=row["rounds"], most=row["most_rounds"], again=row["recomputed"]),
            row["contributors"],
            _spent(t, row),
            t.code("federation", row["state"]),
            element("code", row["result"] or ""),
        )
        for row in federations
    ]
    names = ("federation", "partner", "members", "recipe", "rounds", "contributors", "spent", "state", "model")
    yield _table(t, names, rows)
    yield element("h3", t("rounds"))
    for row in federations:
        yield element(
            "details",
            element("summary", t("rounds.of", federation=row["federation"])),
            _rounds(t, row),
            id=row["federation"],
        )


def _rounds(t: Texts, row: Row) -> Markup:
    names = ("round", "attempt", "indexes", "contributors", "aggregate", "left", "outcome")
    cells = [
        (
            item["round"],
            item["attempt"],
            f"{item['opened']} – {'' if item['closed'] is None else item['closed']}",
            f"{item['given']} / {item['participants']}",
            element("code", item["aggregate"] or ""),
            element("code", item["state"] or ""),
            element("span", t.code("outcome", item["outcome"]), class_=_CLASSES.get(item["outcome"], "low")),
        )
        for item in row["attempts"]
    ]
    return _table(t, names, cells)


def _spent(t: Texts, row: Row) -> str:
    if row["epsilon"] is None:
        return str(t("federations.exact"))
    return str(t("federations.private", epsilon=row["epsilon"], rho="–" if row["rho"] is None else row["rho"]))


def _keys(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("keys"))
    names = ("keyid", "owner", "registered", "not_after", "ended", "reason")
    yield _table(t, names, [[row[name] for name in names] for row in value["keys"]])


def _table(t: Texts, names: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    head = element("tr", *(element("th", t(f"column.{name}")) for name in names))
    cells = (element("tr", *(element("td", "" if item is None else item) for item in row)) for row in rows)
    return element("table", element("thead", head), element("tbody", *cells))


def _lines(items: Iterable[str]) -> Markup:
    rows = list(items)
    parts: list[object] = []
    for row in rows:
        parts += [row, element("br")]
    return join(parts[:-1])


def _short(item: object) -> str:
    """Return a value in few characters: a digest by its beginning, which is enough to find it again."""
    if isinstance(item, str) and item.startswith("sha256:"):
        return item[:_SHORT] + "…"
    if isinstance(item, list):
        return ", ".join(_short(one) for one in item)
    if isinstance(item, dict):
        return " ".join(f"{name}={_short(one)}" for name, one in item.items() if one is not None)
    return str(item)


def _day(at: str) -> str:
    """Return the day of a time in the calendar of agreements."""
    return parse_time(at).astimezone(CALENDAR).date().isoformat()


def _row(value: object) -> Row:
    return value if isinstance(value, dict) else {}
