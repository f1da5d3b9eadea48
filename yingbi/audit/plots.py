"""Plots as SVG that stands inside of a page: bars with their numbers beside them, and bars over days."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from yingbi.audit.html import Markup, element

__all__ = ["bar_plot", "timeline"]

_ROW, _LABEL, _BAR, _VALUE = 24, 200, 360, 60
_HEIGHT, _STEP, _WIDEST = 120, 14, 640
_COLOUR: Final = "#33658a"


def bar_plot(title: str, counts: Mapping[str, int]) -> Markup:
    """Return horizontal bars, one a name, in the order given."""
    most = max(counts.values(), default=0) or 1
    rows = []
    for place, (name, count) in enumerate(counts.items()):
        top, width = place * _ROW, _BAR * count // most
        rows.append(element("text", name, x=_LABEL - 8, y=top + 16, text_anchor="end"))
        rows.append(element("rect", x=_LABEL, y=top + 4, width=max(width, 1), height=_ROW - 8, fill=_COLOUR))
        rows.append(element("text", count, x=_LABEL + width + 6, y=top + 16))
    return _svg(title, _LABEL + _BAR + _VALUE, _ROW * max(len(counts), 1), rows)


def timeline(title: str, counts: Mapping[str, int]) -> Markup:
    """Return a bar for every day from the first to the last, whether something happened or not."""
    days = _days(sorted(counts))
    most = max(counts.values(), default=0) or 1
    step = max(1, min(_STEP, _WIDEST // max(len(days), 1)))
    rows = []
    for place, day in enumerate(days):
        count = counts.get(day, 0)
        height = _HEIGHT * count // most
        bar = element("title", f"{day}: {count}")
        rows.append(
            element(
                "g",
                bar,
                element(
                    "rect",
                    x=place * step,
                    y=_HEIGHT - height,
                    width=max(step - 1, 1),
                    height=max(height, 1),
                    fill=_COLOUR,
                ),
            )
        )
    width = max(step * len(days), 200)
    if days:
        rows.append(element("text", days[0], x=0, y=_HEIGHT + 16))
        rows.append(element("text", days[-1], x=width, y=_HEIGHT + 16, text_anchor="end"))
    return _svg(title, width, _HEIGHT + 24, rows)


def _days(known: list[str]) -> list[str]:
    if not known:
        return []
    first, last = date.fromisoformat(known[0]), date.fromisoformat(known[-1])
    if (last - first).days > _WIDEST:
        return known  # years of a quiet log: gaps are left out rather than drawn too thin to see
    return [(first + timedelta(days=place)).isoformat() for place in range((last - first).days + 1)]


def _svg(title: str, width: int, height: int, rows: list[Markup]) -> Markup:
    return element(
        "svg",
        element("title", title),
        *rows,
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        font_size=13,
    )
