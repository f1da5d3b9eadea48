"""Plots of a model card as SVG that stands inside of a page: curves with axes, and bars with a line to compare with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from yingbi.audit.html import Markup, element

__all__ = ["COLOURS", "Axis", "Series", "bars", "curves"]

COLOURS: Final = ("#1f5f8b", "#c0562f", "#4b7f52", "#7a5195")
"""Of series, in their order; told apart in grey as well, with their dashes."""

_WIDTH, _HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 22, 16, 44
_GRID, _INK, _QUIET = "#e3e7ea", "#1b1b1b", "#59636b"
_LEGEND_ROW, _LEGEND_SIGN = 20, 26
_WIDEST: Final = 34

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis from `low` to `high`, with a label and about `ticks` ticks that `write` writes."""

    label: str
    low: float = 0.0
    high: float = 1.0
    ticks: int = 5
    write: Callable[[float], str] = "{:g}".format


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A named line through points; `dash` as SVG has it, `has_marks` for a dot at each point.

    `halves`: half of the interval at each point, drawn as a whisker.
    """

    name: str
    points: Sequence[Point]
    colour: str = COLOURS[0]
    dash: str = ""
    has_marks: bool = False
    halves: Sequence[float] = ()


def curves(title: str, x: Axis, y: Axis, series: Sequence[Series]) -> Markup:
    """Return lines in one plot, the legend below."""
    rows = [*_frame(x, y)]
    for item in series:
        rows += _line(item, x, y)
    return _svg(title, rows, [(item.name, item.colour, item.dash) for item in series if item.name])


def bars(title: str, x: Axis, y: Axis, values: Sequence[tuple[str, float]], line: tuple[str, float] | None) -> Markup:
    """Return upright bars, each with its name below, and a dashed line at the value to compare them with."""
    rows = [*_frame(x, y, has_ticks=False)]
    room = (_WIDTH - _LEFT - _RIGHT) / max(len(values), 1)
    for place, (name, value) in enumerate(values):
        left, top = _LEFT + place * room, _place(min(max(value, y.low), y.high), y, is_up=True)
        width = min(room * 0.7, _WIDEST)
        bottom = _place(max(y.low, 0.0), y, is_up=True)
        rows.append(
            element(
                "rect",
                x=_short(left + (room - width) / 2),
                y=_short(top),
                width=_short(width),
                height=_short(max(bottom - top, 0.5)),
                fill=COLOURS[0],
            )
        )
        middle = _short(left + room / 2)
        rows.append(_text(f"{value:.2f}", middle, _short(top - 4), anchor="middle", size=10))
        rows.append(_text(name, middle, _HEIGHT - _BOTTOM + 15, anchor="middle", size=11, fill=_QUIET))
    legend = []
    if line is not None:
        at = _short(_place(line[1], y, is_up=True))
        rows.append(_stroke(((_LEFT, at), (_WIDTH - _RIGHT, at)), COLOURS[1], "5 4"))
        legend.append((line[0], COLOURS[1], "5 4"))
    return _svg(title, rows, legend)


def _frame(x: Axis, y: Axis, *, has_ticks: bool = True) -> list[Markup]:
    rows = []
    for value in _ticks(y):
        at = _short(_place(value, y, is_up=True))
        rows.append(_rule(_LEFT, at, _WIDTH - _RIGHT, at, _GRID))
        rows.append(_text(y.write(value), _LEFT - 6, at + 4, anchor="end", size=11, fill=_QUIET))
    for value in _ticks(x) if has_ticks else ():
        at = _short(_place(value, x, is_up=False))
        rows.append(_rule(at, _TOP, at, _HEIGHT - _BOTTOM, _GRID))
        rows.append(_text(x.write(value), at, _HEIGHT - _BOTTOM + 15, anchor="middle", size=11, fill=_QUIET))
    bottom, middle = _HEIGHT - _BOTTOM, (_TOP + _HEIGHT - _BOTTOM) / 2
    rows.append(_rule(_LEFT, bottom, _WIDTH - _RIGHT, bottom, _INK))
    rows.append(_rule(_LEFT, _TOP, _LEFT, bottom, _INK))
    rows.append(_text(x.label, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, anchor="middle", size=12))
    turned = _text(y.label, 13, middle, anchor="middle", size=12, transform=f"rotate(-90 13 {_short(middle)})")
    return [*rows, turned]


def _line(series: Series, x: Axis, y: Axis) -> list[Markup]:
    places = [(_place(across, x, is_up=False), _place(up, y, is_up=True)) for across, up in series.points]
    rows = [_stroke(places, series.colour, series.dash)] if len(places) > 1 else []
    for (_, up), half, (across, _) in zip(series.points, series.halves, places, strict=False):
        top, bottom = (_place(min(max(value, y.low), y.high), y, is_up=True) for value in (up + half, up - half))
        rows.append(_rule(_short(across), _short(top), _short(across), _short(bottom), series.colour))
    if series.has_marks or len(places) == 1:
        rows += [element("circle", cx=_short(across), cy=_short(up), r=3, fill=series.colour) for across, up in places]
    return rows


def _place(value: float, axis: Axis, *, is_up: bool) -> float:
    share = (value - axis.low) / (axis.high - axis.low) if axis.high > axis.low else 0.0
    if is_up:
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _ticks(axis: Axis) -> list[float]:
    step = (axis.high - axis.low) / axis.ticks
    return [axis.low + place * step for place in range(axis.ticks + 1)]


def _stroke(places: Sequence[Point], colour: str, dash: str) -> Markup:
    points = " ".join(f"{_short(across)},{_short(up)}" for across, up in places)
    dashes = {"stroke_dasharray": dash} if dash else {}
    return element("polyline", points=points, fill="none", stroke=colour, stroke_width=2, **dashes)


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour)


def _text(text: str, x: float, y: float, *, anchor: str, size: int, fill: str = _INK, **more: str) -> Markup:
    return element("text", text, x=_short(x), y=_short(y), text_anchor=anchor, font_size=size, fill=fill, **more)


def _short(value: float) -> float:
    """Return a place to a tenth of a pixel: fewer bytes, and the same ones on every machine."""
    return round(value, 1) + 0.0


def _svg(title: str, rows: Sequence[Markup], legend: Sequence[tuple[str, str, str]]) -> Markup:
    height = _HEIGHT + _LEGEND_ROW * len(legend)
    signs = []
    for place, (name, colour, dash) in enumerate(legend):
        at = _HEIGHT + place * _LEGEND_ROW + 8
        signs.append(_stroke(((_LEFT, at), (_LEFT + _LEGEND_SIGN, at)), colour, dash))
        signs.append(_text(name, _LEFT + _LEGEND_SIGN + 8, at + 4, anchor="start", size=12))
    return element(
        "svg",
        element("title", title),
        *rows,
        *signs,
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        viewBox=f"0 0 {_WIDTH} {height}",
        width=_WIDTH,
        height=height,
    )
