"""The model card: one HTML file with everything inside of it, in Chinese or English, for a screen and for paper.

What it says comes from a document of the kind `model_card` (`yingbi.models.card_document` has its form); what the
document does not say, the card says to be missing.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from yingbi.audit.html import Markup, element, join
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.card_results import render_calibration, render_discrimination, render_learning, render_stability
from yingbi.models.card_tables import facts, missing, paragraph, plain, shown, table
from yingbi.models.texts import LANGUAGES, Texts, load_texts
from yingbi.models.tolerant import Row, find, number, row, rows, text, texts

__all__ = ["card_html"]

_STYLE: Final = """
body{font:14px/1.55 system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei","WenQuanYi Micro Hei",sans-serif;
color:#1b1b1b;max-width:64rem;margin:2rem auto;padding:0 1.25rem}
h1{font-size:1.7rem;line-height:1.25;margin:.2rem 0;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.2rem 0 .6rem;padding-bottom:.2rem;border-bottom:2px solid #1f5f8b}
h3{font-size:1rem;margin:1.2rem 0 .4rem}
p{margin:.4rem 0;max-width:52rem}.note{color:#59636b}.missing{color:#8a5a00;font-style:italic}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{border-bottom:1px solid #d5dadd;padding:.3rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{overflow-wrap:normal;word-break:keep-all}thead th{background:#eef2f5;border-bottom:1px solid #9aa5ad}
table.facts th{width:15rem;font-weight:600}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;overflow-wrap:normal}
code{font-family:ui-monospace,monospace;font-size:.85em;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1.2rem 0}
.tile{border:1px solid #d5dadd;border-radius:.4rem;padding:.6rem .8rem;break-inside:avoid}
.tile b{display:block;font-size:1.35rem;line-height:1.3;font-variant-numeric:tabular-nums}
.tile span{color:#59636b;font-size:.85rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:1rem;margin:.8rem 0}
figure{margin:0;break-inside:avoid}figcaption{font-weight:600;margin-bottom:.3rem}svg{max-width:100%;height:auto}
.pass{color:#2d6a30;font-weight:600}.hold,.shifted,.suspicious{color:#9b1c1c;font-weight:600}.watch{color:#8a5a00}
@page{size:A4;margin:16mm}
@media print{body{max-width:none;margin:0;padding:0;font-size:9.5pt}h2,h3,figcaption{break-after:avoid}
tr,figure,.tile{break-inside:avoid}.plots{grid-template-columns:1fr 1fr}.tiles{grid-template-columns:repeat(5,1fr)}
thead{display:table-header-group}}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# SECURITY: a card that came from elsewhere loads nothing and runs nothing, whatever got into it; this one style is let.
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"

Section = Callable[[Texts, Row], Iterable[Markup]]


def card_html(document: JsonValue, language: str) -> str:
    """Return the card of a document as HTML; the same bytes for the same document.

    Raises:
        InvalidRequestError: the document is no model card, or the language is none that there is.
    """
    if language not in LANGUAGES:
        raise InvalidRequestError(ErrorCode.USAGE, f"expected a language of {', '.join(LANGUAGES)}")
    value = row(document)
    if value.get("kind") != "model_card":
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected a document of the kind `model_card`")
    t = load_texts(language)
    title = text(value.get("title")) or t("title")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width,initial-scale=1"),
        element("title", title),
        element("style", Markup(_STYLE)),
    )
    parts = [part for section in _SECTIONS for part in section(t, value)]
    top = (element("p", t("kind"), class_="note"), element("h1", title), _tiles(t, value))
    return (
        "<!doctype html>\n" + element("html", head, element("body", *top, *parts), lang=_LANGUAGE_TAGS[language]) + "\n"
    )


_LANGUAGE_TAGS: Final = {"en": "en", "zh": "zh-CN"}


def _tiles(t: Texts, value: Row) -> Markup:
    metrics = find(value, "evaluation", "samples", "hold_out", "metrics")
    privacy = value.get("privacy", "")
    mode = "exact" if privacy is None else text(find(privacy, "mode"))
    epsilon = text(find(privacy, "epsilon"))
    named = (
        ("tile.auc", find(metrics, "auc", "value")),
        ("tile.ks", find(metrics, "ks", "value")),
        ("tile.psi", find(value, "evaluation", "stability", "value")),
        ("tile.members", len(rows(value.get("members"))) or None),
        (
            "tile.privacy",
            f"ε = {epsilon}" if epsilon else t(f"mode.{mode}.short") if mode in ("exact", "private") else None,
        ),
    )
    tiles = (
        element("div", element("b", shown(t, item)), element("span", t(name)), class_="tile") for name, item in named
    )
    return element("div", *tiles, class_="tiles")


def _purpose(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("purpose"))
    names = ("purpose", "partner", "intermediary", "recipe", "target", "positive", "made_at", "model")
    yield facts(t, [(t(f"field.{name}"), shown(t, value.get(name))) for name in names])
    for name in ("intended_use", "not_for"):
        yield element("h3", t(name))
        yield _list(t, texts(value.get(name)))
    yield element("h3", t("features"))
    cells = [
        (text(item.get("name")), t.code("kind", item["kind"]) if text(item.get("kind")) else None, _domain(item))
        for item in rows(value.get("features"))
    ]
    yield table(t, ("feature", "kind", "domain"), cells)


def _domain(feature: Row) -> str | None:
    if feature.get("kind") == "coded":
        return ", ".join(texts(feature.get("codes"))) or None
    return " – ".join(map(plain, texts(feature.get("bounds")))) or None


def _parties(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("parties"))
    cells = [
        (
            *(_stacked(t, item, *names) for names in (("unit", "node"), ("agreement", "job"), ("dataset", "version"))),
            text(item.get("certificate")),
            _period(item.get("period")),
        )
        for item in rows(value.get("members"))
    ]
    yield table(t, ("unit_node", "agreement_job", "dataset_version", "certificate", "period"), cells)
    period = _period(value.get("period"))
    yield paragraph(t, "period.text", period=period) if period else element("p", t("period"), ": ", missing(t))


def _stacked(t: Texts, item: Row, first: str, second: str) -> Markup:
    """Return two values, one below the other: a table of all would be too wide for paper."""
    return join((shown(t, item.get(first)), element("br"), shown(t, item.get(second))))


def _sample(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("sample"))
    cells = []
    for name in ("training", "hold_out"):
        sample = row(find(value, "evaluation", "samples", name))
        size, events = number(sample.get("rows")), number(sample.get("events"))
        rate = f"{100 * events / size:.1f} %" if size and events is not None else None
        cells.append((t(f"sample.{name}"), text(sample.get("rows")), text(sample.get("events")), rate))
    yield table(t, ("sample", "rows", "events", "rate"), cells, numeric=(1, 2, 3))
    base = text(find(value, "evaluation", "rounding"))
    yield paragraph(t, "sample.rounding", base=base) if base else element("p", t("sample.unrounded"), class_="missing")
    yield from _named_list(t, "exclusions", value)


def _privacy(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("privacy"))
    if "privacy" not in value:
        yield missing(t)
        return
    privacy = value["privacy"]
    if privacy is None or find(privacy, "mode") == "exact":
        yield paragraph(t, "mode.exact")
        return
    yield paragraph(t, "mode.private")
    names = ("epsilon", "delta", "clip", "unit")
    yield facts(t, [(t(f"privacy.{name}"), shown(t, find(privacy, name))) for name in names])
    cells = [
        tuple(text(item.get(name)) for name in ("node", "epsilon", "delta")) for item in rows(find(privacy, "spent"))
    ]
    yield table(t, ("node", "epsilon", "delta"), cells, numeric=(1, 2))


def _checks(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("checks"))
    yield paragraph(t, "checks.text")
    cells = [
        (
            t.code("check", item["check"]) if text(item.get("check")) else None,
            text(item.get("threshold")),
            text(item.get("found")),
            _verdict(t, item.get("verdict")),
        )
        for item in rows(value.get("checks"))
    ]
    yield table(t, ("check", "threshold", "found", "verdict"), cells)
    check = row(find(value, "evaluation", "membership"))
    yield element("h3", t("membership"))
    if not check:
        yield missing(t)
        return
    yield paragraph(t, "membership.text")
    named = (
        (t("membership.advantage"), shown(t, check.get("advantage"))),
        (t("membership.bound"), shown(t, check.get("bound"))),
        (t("membership.most"), shown(t, find(check, "rule", "most"))),
        (t("column.verdict"), _verdict(t, check.get("verdict"))),
        (t("membership.reasons"), ", ".join(t.code("reason", item) for item in texts(check.get("reasons"))) or "–"),
    )
    yield facts(t, named)


def _verdict(t: Texts, value: object) -> Markup | None:
    verdict = text(value)
    if verdict is None:
        return None
    return element("span", t.code("verdict", verdict), class_=verdict if verdict in ("pass", "hold") else "note")


def _reasons(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("scorecard"))
    card = row(value.get("scorecard"))
    if not card:
        yield element("p", t("scorecard.none"), class_="note")
        return
    scaling = card.get("scaling")
    numbers = {name: plain(find(scaling, name)) for name in ("points", "odds", "pdo")}
    yield paragraph(t, "scorecard.text", base=plain(card.get("base")), **numbers)
    cells = []
    for item in rows(card.get("characteristics")):
        for place, one in enumerate(rows(item.get("attributes"))):
            name = text(item.get("feature")) if place == 0 else ""
            woe = number(one.get("woe"))
            cells.append((name, _attribute(t, one), "–" if woe is None else f"{woe:.4f}", _points(one)))
    yield table(t, ("feature", "attribute", "woe", "points"), cells, numeric=(2, 3))
    yield element("h3", t("reasons"))
    yield paragraph(t, "reasons.text")


def _attribute(t: Texts, item: Row) -> str:
    if item.get("is_missing") is True:
        return t("attribute.missing")
    listed = texts(item.get("codes")) or [f"= {plain(value)}" for value in texts(item.get("special"))]
    if listed:
        return ", ".join(listed)
    lower, upper = (None if item.get(end) is None else plain(item[end]) for end in ("lower", "upper"))
    if item.get("slope") is not None:
        return t("attribute.line", lower=lower, upper=upper)
    return f"{'' if lower is None else f'{lower} ≤ '}x{'' if upper is None else f' < {upper}'}"


def _points(item: Row) -> str | None:
    points, last = text(item.get("points")), text(item.get("points_at_upper"))
    return points if last is None else f"{points} … {last}"


def _limits(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("limits"))
    yield _list(t, texts(value.get("limits")))
    absent = texts(find(value, "evaluation", "not_computed"))
    if absent:
        yield element("h3", t("not_computed"))
        yield _list(t, [t.code("absent", item) for item in absent])
    for name in ("monitoring", "retirement"):
        yield from _named_list(t, name, value)


def _evidence(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("approvals"))
    names = ("by", "duty", "decision", "time", "index")
    yield table(t, names, [tuple(text(item.get(name)) for name in names) for item in rows(value.get("approvals"))])
    yield element("h2", t("evidence"))
    yield paragraph(t, "evidence.text")
    evidence = row(value.get("evidence"))
    facts_of = ("federation", "log", "checkpoint", "terms", "app", "final_state")
    yield facts(t, [(t(f"evidence.{name}"), _code(t, evidence.get(name))) for name in facts_of])
    cells = [
        (text(item.get("index")), text(item.get("type")), text(item.get("round")), _code(t, item.get("digest")))
        for item in rows(evidence.get("entries"))
    ]
    yield table(t, ("index", "type", "round", "digest"), cells)


def _code(t: Texts, value: object) -> Markup:
    found = text(value)
    return missing(t) if found is None else element("code", found)


def _period(value: object) -> str | None:
    start, end = text(find(value, "from")), text(find(value, "until"))
    return f"{start or '?'} – {end or '?'}" if start or end else None


def _named_list(t: Texts, name: str, value: Row) -> Iterable[Markup]:
    yield element("h3", t(name))
    yield _list(t, texts(value.get(name)))


def _list(t: Texts, items: Sequence[str]) -> Markup:
    return element("ul", *(element("li", item) for item in items)) if items else element("p", missing(t))


def _training(t: Texts, value: Row) -> Iterable[Markup]:
    yield element("h2", t("training"))
    rounds = value.get("rounds")
    names = ("completed", "most", "attempts", "quorum")
    yield facts(t, [(t(f"rounds.{name}"), shown(t, find(rounds, name))) for name in names])
    parameters = row(value.get("parameters"))
    if parameters:
        yield element("h3", t("parameters"))
        yield facts(t, [(name, shown(t, item)) for name, item in sorted(parameters.items())])
    yield join(render_learning(t, value))


_SECTIONS: Final[tuple[Section, ...]] = (
    _purpose,
    _parties,
    _sample,
    _training,
    _privacy,
    render_discrimination,
    render_calibration,
    render_stability,
    _reasons,
    _checks,
    _limits,
    _evidence,
)
