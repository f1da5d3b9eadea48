"""The card: both languages, nothing from outside, nothing invented, and nothing that somebody wrote becomes markup."""

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.unit.yingbi.models.samples import BINS, LOGISTIC, TREES, evaluation
from yingbi.canonical import digest_json
from yingbi.errors import InvalidRequestError
from yingbi.models.card import card_html
from yingbi.models.card_document import FACTS, make_card_document
from yingbi.models.plots import Axis, Series, bars, curves
from yingbi.models.texts import LANGUAGES, load_texts

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"

FACTS_OF_ONE: dict[str, Any] = {
    "title": "中小微企业信用评分",
    "purpose": "credit.sme-scoring",
    "partner": "partner:bank-a",
    "intermediary": "partner:credit-bureau-1",
    "made_at": "2026-11-22T08:00:00Z",
    "intended_use": ["lending to enterprises"],
    "not_for": ["natural persons"],
    "members": [
        {
            "unit": f"unit:{name}",
            "node": f"node:{name}",
            "agreement": f"agr-{name}",
            "job": f"job-{name}",
            "dataset": f"{name}/credit",
            "version": 3,
            "certificate": "dac-7",
            "period": {"from": "2024-01-01", "until": "2025-12-31"},
        }
        for name in ("tax", "market", "water")
    ],
    "period": {"from": "2024-01-01", "until": "2025-12-31"},
    "exclusions": ["younger than a year"],
    "rounds": {
        "completed": 4,
        "most": 30,
        "attempts": 5,
        "quorum": 3,
        "curve": [{"round": n, "loss": f"0.{9 - n}", "gradient_norm": f"{8 / 2**n}"} for n in range(1, 5)],
    },
    "parameters": {"l2": "0.01"},
    "privacy": {
        "mode": "private",
        "epsilon": "2.0",
        "delta": "1e-6",
        "clip": "1",
        "unit": "enterprise",
        "spent": [{"node": "node:tax", "epsilon": "2.0", "delta": "1e-6"}],
    },
    "checks": [{"check": "min_units", "threshold": "3", "found": "3", "verdict": "pass"}],
    "limits": ["one district"],
    "monitoring": ["PSI monthly"],
    "retirement": ["2027-12-31"],
    "approvals": [{"by": "person:li", "duty": "cdo", "decision": "approved", "time": "2026-11-20", "index": 412}],
    "evidence": {"federation": "fed-1", "entries": [{"index": 3, "type": "federation.started", "digest": "sha256:ab"}]},
}


def document() -> dict[str, Any]:
    return dict(make_card_document(LOGISTIC, evaluation(), FACTS_OF_ONE))


class Reader(HTMLParser):
    """Reads a page as a browser does: elements, attributes, text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


KNOWN = {
    *(
        "br",
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "p",
        "h1",
        "h2",
        "h3",
        "div",
        "span",
        "b",
        "ul",
        "li",
        "code",
    ),
    *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption"),
    *("svg", "text", "line", "polyline", "rect", "circle"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_has_everything_inside_and_runs_nothing(language: str) -> None:
    page = Reader(card_html(document(), language))
    assert {name for name, _ in page.elements} <= KNOWN
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "href", "style")}


def test_its_policy_lets_its_own_style_and_nothing_else() -> None:
    page = card_html(document(), "en")
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src &#x27;none&#x27;; style-src &#x27;sha256-{digest}&#x27;" in page
    assert "@import" not in style[1]
    assert "url(" not in style[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_the_same_each_time(language: str) -> None:
    assert card_html(document(), language) == card_html(document(), language)
    assert card_html(json.loads(json.dumps(document())), language) == card_html(document(), language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_that_is_known_is_told(language: str) -> None:
    card = document()
    t, page = load_texts(language), Reader(card_html(card, language))
    for said in (
        *("中小微企业信用评分", "credit.sme-scoring", "partner:bank-a", "partner:credit-bureau-1", "unit:water"),
        *("agr-market", "2024-01-01 – 2025-12-31", "ε = 2.0", "federation.started", "person:li", digest_json(LOGISTIC)),
        *("one district", "younger than a year", "PSI monthly", "2027-12-31", "natural persons"),
        card["evaluation"]["samples"]["hold_out"]["metrics"]["ks"]["value"],
        card["evaluation"]["membership"]["advantage"],
        t("metric.auc"),
        t("held_back"),
    ):
        assert said in page.text, said
    for name in ("roc", "ks", "gain", "lift", "calibration", "loss", "gradient_norm"):
        assert t(f"plot.{name}") in page.text, name
    assert len([name for name, _ in page.elements if name == "svg"]) == 7
    assert "{" not in re.sub("<style>.*?</style>", "", card_html(card, language), flags=re.DOTALL)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_missing_is_said_and_nothing_is_invented(language: str) -> None:
    t = load_texts(language)
    full, page = card_html(document(), language), card_html({"kind": "model_card"}, language)
    assert page.count(t("missing")) > 40
    assert "<svg" not in page
    assert t("mode.exact") not in page, "an unknown mode is not an exact one"
    for name in ("limits", "approvals", "evidence", "checks"):
        without = {key: value for key, value in document().items() if key != name}
        assert card_html(without, language).count(t("missing")) > full.count(t("missing")), name


def test_exact_mode_is_said() -> None:
    modes: tuple[Any, ...] = (None, {"mode": "exact"})
    for privacy in modes:
        page = card_html({**document(), "privacy": privacy}, "en")
        assert "no guarantee of differential privacy" in page
        assert "differentially private with" not in page


def poisoned(value: Any) -> Any:
    """Return a document in which every text is an attack; keys, and words that choose a kind, stay."""
    if isinstance(value, dict):
        return {key: item if key == "kind" else poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return EVIL if isinstance(value, str) else value


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_somebody_wrote_becomes_markup(language: str) -> None:
    evil = poisoned(document())
    evil["parameters"] = {EVIL: EVIL}
    page = card_html(evil, language)
    assert EVIL not in page
    assert "<script" not in page
    assert "<img" not in page
    assert {name for name, _ in Reader(page).elements} <= KNOWN
    assert EVIL in Reader(page).text, "it is there as what it is: text"


@pytest.mark.parametrize("part", sorted(FACTS | {"evaluation", "scorecard", "features", "recipe", "model"}))
@pytest.mark.parametrize("value", [None, 3, "x", [], [[]], ["x"], [{}], {}, {"curve": [{}]}, True], ids=repr)
def test_a_document_of_any_shape_makes_a_card(part: str, value: Any) -> None:
    assert card_html({**document(), part: value}, "zh").endswith("</html>\n")


@pytest.mark.parametrize(("card", "language"), [({}, "en"), ([], "en"), (None, "zh"), ({"kind": "model_card"}, "fr")])
def test_what_is_no_card(card: Any, language: str) -> None:
    with pytest.raises(InvalidRequestError):
        card_html(card, language)


def test_a_document_takes_facts_of_cards_only() -> None:
    with pytest.raises(InvalidRequestError, match="facts of a card"):
        make_card_document(LOGISTIC, evaluation(), {"evaluation": {}})
    assert make_card_document(TREES, evaluation(), {})["scorecard"] is None
    assert set(FACTS_OF_ONE) == set(FACTS)


def test_a_document_of_bins_shows_them() -> None:
    bins: Any = copy.deepcopy(BINS)
    for variable in bins["variables"]:
        for item in variable["bins"]:
            item.update({"rows": 200, "events": 30, "iv": "0.05"})
    page = Reader(card_html(make_card_document(bins, {}, {}), "zh")).text
    for said in ("x < 10", "10 ≤ x, 缺失", "= -1", "A, 缺失", "B, 餐饮", "33.3 %", "15.0 %", "-0.7000", "中 (medium)"):
        assert said in page, said


def test_both_languages_say_the_same_things() -> None:
    assert load_texts("en").keys == load_texts("zh").keys
    for key in load_texts("en").keys:
        fields = [sorted(re.findall(r"\{(\w+)\}", load_texts(name)._texts[key])) for name in LANGUAGES]
        assert fields[0] == fields[1], key
        if load_texts("en")._texts[key].endswith("."):
            assert load_texts("zh")._texts[key].endswith("。"), key


def test_every_text_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    said: set[str] = set()
    texts = load_texts("en")
    call, code = type(texts).__call__, type(texts).code

    def counted(self: Any, key: str, **values: object) -> str:
        said.add(key)
        return call(self, key, **values)

    def counted_code(self: Any, kind: str, word: object) -> str:
        said.add(f"{kind}.{word}")
        return code(self, kind, word)

    monkeypatch.setattr(type(texts), "__call__", counted)
    monkeypatch.setattr(type(texts), "code", counted_code)
    card_html(document(), "en")
    card_html({"kind": "model_card"}, "en")
    card_html({"kind": "model_card", "privacy": None}, "en")
    words = re.compile(r"(check|reason|verdict|stability|strength|kind|absent)\.\w+|mode\.\w+\.short")
    assert {key for key in texts.keys - said if not words.fullmatch(key)} == set()


def test_a_plot_has_its_points_where_they_belong() -> None:
    axis = Axis(label="x")
    plot = curves("T", axis, axis, [Series(name="s", points=((0, 0), (0.5, 1), (1, 0.25)), halves=(0.1, 0.1, 0.1))])
    assert 'points="64.0,256.0 231.0,16.0 398.0,196.0"' in plot
    assert plot.count("<line") == 12 + 2 + 3, "grid, axes, whiskers"


def test_bars_are_as_high_as_their_values() -> None:
    plot = bars("T", Axis(label="g"), Axis(label="l", high=4), [("1", 4), ("2", 1), ("3", 0)], ("mean", 1))
    heights = [float(value) for value in re.findall(r'<rect[^>]* height="([\d.]+)"', plot)]
    assert heights == [240.0, 60.0, 0.5]
    assert EVIL not in bars(EVIL, Axis(label=EVIL), Axis(label=EVIL), [(EVIL, 1)], (EVIL, 1))
