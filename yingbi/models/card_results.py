"""What a model card says of its results: metrics with intervals, curves, gains, calibration, stability, learning."""

from collections.abc import Iterable, Sequence
from typing import Final

from yingbi.audit.html import Markup, element
from yingbi.models.card_tables import facts, missing, paragraph, plain, shown, table
from yingbi.models.plots import COLOURS, Axis, Point, Series, bars, curves
from yingbi.models.texts import Texts
from yingbi.models.tolerant import Row, find, number, row, rows, text, texts

__all__ = ["render_calibration", "render_discrimination", "render_learning", "render_stability"]

_SAMPLES: Final = ("training", "hold_out")
_DASHES: Final = {"training": "6 4", "hold_out": ""}


def render_discrimination(t: Texts, value: Row) -> Iterable[Markup]:
    """Yield metrics, ROC curve, distance of distributions, gains and lift."""
    yield element("h2", t("discrimination"))
    samples = row(find(value, "evaluation", "samples"))
    if not samples:
        yield missing(t)
        return
    confidence = number(find(value, "evaluation", "confidence"))
    level = f"{100 * confidence:g} %" if confidence is not None else "?"
    yield paragraph(t, "discrimination.text", confidence=level, bins=text(find(value, "evaluation", "bins")) or "?")
    cells = [
        (t(f"metric.{name}"), *(_interval(find(samples, sample, "metrics", name)) for sample in _SAMPLES))
        for name in ("auc", "gini", "ks", "brier", "log_loss")
    ]
    yield table(t, ("metric", *_SAMPLES), cells, numeric=(1, 2))
    yield element("div", _roc(t, samples), _separation(t, samples), class_="plots")
    held = row(samples.get("hold_out"))
    yield element("h3", t("gains"))
    yield paragraph(t, "gains.text")
    names = ("depth", "rate", "lift", "found", "cumulative_lift", "ks")
    headings = ("depth", "rate", "lift", "gain", "cumulative_lift", "ks")
    lines = rows(held.get("gains"))
    yield table(t, headings, [[_shape(name, item.get(name)) for name in names] for item in lines], numeric=range(6))
    if lines:
        yield element("div", _gain_plot(t, lines), _lift_plot(t, lines), class_="plots")


def render_calibration(t: Texts, value: Row) -> Iterable[Markup]:
    """Yield predicted against observed rates, and what is known of their fit."""
    yield element("h2", t("calibration"))
    held = row(find(value, "evaluation", "samples", "hold_out"))
    if not held:
        yield missing(t)
        return
    yield paragraph(t, "calibration.text")
    fit = held.get("hosmer_lemeshow")
    numbers = {name: text(find(fit, name)) or "?" for name in ("statistic", "freedom")}
    chance = number(find(fit, "probability"))
    numbers["probability"] = "?" if chance is None else f"= {chance:.4f}" if chance >= 0.0001 else "< 0.0001"
    named: list[tuple[str, object]] = [
        (t("metric.brier"), shown(t, _interval(find(held, "metrics", "brier")))),
        (t("calibration.gap"), shown(t, held.get("calibration_gap"))),
        (t("calibration.fit"), missing(t) if fit is None else t("calibration.fit.text", **numbers)),
    ]
    yield facts(t, named)
    points = _triples(held.get("calibration"))
    if not points:
        yield missing(t)
        return
    top = _top(max(max(x, y + half) for x, y, half in points))
    x_axis, y_axis = (Axis(label=t(f"axis.{name}"), high=top, write=_percent) for name in ("predicted", "observed"))
    series = [
        Series(name=t("plot.ideal"), points=((0, 0), (top, top)), colour=COLOURS[1], dash="5 4"),
        Series(
            name=t("sample.hold_out"),
            points=[(x, y) for x, y, _ in points],
            halves=[half for _, _, half in points],
            has_marks=True,
        ),
    ]
    yield element(
        "div", _figure(t("plot.calibration"), curves(t("plot.calibration"), x_axis, y_axis, series)), class_="plots"
    )


def render_stability(t: Texts, value: Row) -> Iterable[Markup]:
    """Yield how alike both samples are, by score and by characteristic, and what the characteristics are worth."""
    yield element("h2", t("stability"))
    yield paragraph(t, "stability.text")
    yield facts(t, [(t("stability.psi"), _reading(t, find(value, "evaluation", "stability")))])
    found = rows(find(value, "evaluation", "characteristics")) or rows(value.get("characteristics"))
    if not found:
        return
    cells = [
        (
            text(item.get("feature")),
            text(item.get("iv")),
            _word(t, "strength", item.get("strength")),
            _reading(t, item.get("csi")),
        )
        for item in found
    ]
    yield table(t, ("feature", "iv", "strength", "csi"), cells, numeric=(1,))
    yield element("h3", t("bins"))
    yield paragraph(t, "bins.text")
    lines = [
        (text(item.get("feature")) if place == 0 else "", _label(t, one), *_bin(t, one))
        for item in found
        for place, one in enumerate(rows(item.get("bins")))
    ]
    yield table(t, ("feature", "attribute", "share", "rate", "woe", "iv"), lines, numeric=(2, 3, 4, 5))


def render_learning(t: Texts, value: Row) -> Iterable[Markup]:
    """Yield loss and gradient by round."""
    found = rows(find(value, "rounds", "curve"))
    figures = []
    for name in ("loss", "gradient_norm"):
        pairs = [(number(item.get("round")), number(item.get(name))) for item in found]
        points = [(x, y) for x, y in pairs if x is not None and y is not None]
        if not points:
            continue
        last, top = max(x for x, _ in points), _top(max(y for _, y in points))
        ticks = int(min(max(last - 1, 1), 5))
        x = Axis(label=t("axis.round"), low=1.0, high=max(last, 2.0), ticks=ticks, write=lambda at: f"{at:.3g}")
        y = Axis(label=t(f"axis.{name}"), high=top)
        line = Series(name="", points=points, has_marks=len(points) < 40)
        figures.append(_figure(t(f"plot.{name}"), curves(t(f"plot.{name}"), x, y, [line])))
    if figures:
        yield element("div", *figures, class_="plots")
    else:
        yield element("p", t("plot.loss"), ": ", missing(t))


def _roc(t: Texts, samples: Row) -> Markup:
    series = [Series(name=t("plot.chance"), points=((0, 0), (1, 1)), colour="#8b949b", dash="2 3")]
    for place, name in enumerate(_SAMPLES):
        points = _pairs(find(samples, name, "roc"))
        line = Series(name=t(f"sample.{name}"), points=points, colour=COLOURS[1 - place], dash=_DASHES[name])
        series += [line] if points else []
    axes = (Axis(label=t("axis.false_alarms"), write=_percent), Axis(label=t("axis.hits"), write=_percent))
    return _figure(t("plot.roc"), curves(t("plot.roc"), *axes, series))


def _separation(t: Texts, samples: Row) -> Markup:
    points = _triples(find(samples, "hold_out", "separation"))
    if not points:
        return _figure(t("plot.ks"), missing(t))
    series = [
        Series(name=t("plot.goods"), points=[(x, good) for x, good, _ in points]),
        Series(name=t("plot.bads"), points=[(x, bad) for x, _, bad in points], colour=COLOURS[1], dash="6 4"),
    ]
    at = number(find(samples, "hold_out", "ks_score"))
    if at is not None:
        x, good, bad = min(points, key=lambda point: abs(point[0] - at))
        series.append(Series(name=t("plot.distance"), points=((x, good), (x, bad)), colour=COLOURS[2]))
    x_axis = Axis(label=t("axis.score"), low=points[0][0], high=points[-1][0], write="{:.2g}".format)
    return _figure(t("plot.ks"), curves(t("plot.ks"), x_axis, Axis(label=t("axis.below"), write=_percent), series))


def _gain_plot(t: Texts, lines: Sequence[Row]) -> Markup:
    pairs = [(number(item.get("depth")), number(item.get("found"))) for item in lines]
    points: list[Point] = [(0.0, 0.0), *((x, y) for x, y in pairs if x is not None and y is not None)]
    series = [
        Series(name=t("plot.chance"), points=((0, 0), (1, 1)), colour="#8b949b", dash="2 3"),
        Series(name=t("sample.hold_out"), points=points, has_marks=True),
    ]
    axes = (Axis(label=t("axis.depth"), write=_percent), Axis(label=t("axis.found"), write=_percent))
    return _figure(t("plot.gain"), curves(t("plot.gain"), *axes, series))


def _lift_plot(t: Texts, lines: Sequence[Row]) -> Markup:
    values = [(str(place + 1), number(item.get("lift")) or 0.0) for place, item in enumerate(lines)]
    y = Axis(label=t("axis.lift"), high=_top(max(value for _, value in values) * 1.05))
    plot = bars(t("plot.lift"), Axis(label=t("axis.group")), y, values, (t("plot.average"), 1.0))
    return _figure(t("plot.lift"), plot)


def _figure(caption: str, plot: Markup) -> Markup:
    return element("figure", element("figcaption", caption), plot)


def _interval(value: object) -> str | None:
    at, low, high = (text(find(value, name)) for name in ("value", "low", "high"))
    return None if at is None else f"{at} ({low or '?'} – {high or '?'})"


def _reading(t: Texts, value: object) -> Markup:
    index = text(find(value, "value"))
    return missing(t) if index is None else element("span", index, " ", _word(t, "stability", find(value, "reading")))


def _word(t: Texts, kind: str, value: object) -> Markup:
    code = text(value)
    known = ("stable", "watch", "shifted", "suspicious")
    return missing(t) if code is None else element("span", t.code(kind, code), class_=code if code in known else "note")


def _label(t: Texts, item: Row) -> str | None:
    """Return what is in a bin: its label, or its codes, range, special and missing values."""
    if text(item.get("label")) is not None:
        return text(item["label"])
    parts = [*texts(item.get("codes"))]
    if item.get("is_range") is True:
        start, end = (None if item.get(name) is None else plain(item[name]) for name in ("from", "to"))
        parts.append(f"{'' if start is None else f'{start} ≤ '}x{'' if end is None else f' < {end}'}")
    parts += [f"= {plain(value)}" for value in texts(item.get("special"))]
    parts += [t("attribute.missing")] if item.get("missing") is True else []
    return ", ".join(parts) or None


def _bin(t: Texts, item: Row) -> list[object]:
    shares = [_percent_text(item.get(name)) for name in ("share", "rate")]
    cells = [*shares, text(item.get("woe")), text(item.get("iv"))]
    held_back = element("span", t("held_back"), class_="note")
    return [held_back if cell is None else cell for cell in cells]


def _shape(name: str, value: object) -> str | None:
    if name in ("depth", "rate", "found"):
        return _percent_text(value)
    found = number(value)
    return None if found is None else f"{found:.2f}"


def _percent_text(value: object) -> str | None:
    found = number(value)
    return None if found is None else f"{100 * found:.1f} %"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _pairs(value: object) -> list[Point]:
    return [(x, y) for x, y, *_ in _numbers(value, 2)]


def _triples(value: object) -> list[tuple[float, float, float]]:
    return [(x, y, z) for x, y, z, *_ in _numbers(value, 3)]


def _numbers(value: object, length: int) -> Iterable[list[float]]:
    for item in value if isinstance(value, list) else ():
        found = [number(one) for one in item] if isinstance(item, list) and len(item) == length else [None]
        known = [one for one in found if one is not None]
        if len(known) == length:
            yield known


def _top(value: float) -> float:
    """Return a round number at or above a value, for the end of an axis."""
    for power in range(-9, 12):
        for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8):
            top = step * 10.0**power
            if top >= value:
                return top
    return value
