"""Released tables and held notices as HTML, for notebooks and reviewers; everything that is not ours is escaped."""

from collections.abc import Iterable
from decimal import Decimal
from html import escape
from typing import Final

from sandbox.disclosure.json_form import held_json
from sandbox.disclosure.released import Held, ReleasedRow, ReleasedTable

__all__ = ["MAX_BARS", "held_html", "plot_svg", "table_html"]

MAX_BARS: Final = 40
_BAR: Final = 18
_LABEL: Final = 200
_WIDTH: Final = 640
_SUPPRESSED: Final = '<td class="suppressed" title="suppressed">·</td>'


def table_html(table: ReleasedTable) -> str:
    """Return a fragment with the table, what was suppressed for, and a plot of its first value column."""
    places = {column.name: place for place, column in enumerate(table.columns)}
    head = "".join(f"<th>{escape(name)}</th>" for name in table.order)
    body = "".join(_row_html(row, [places[name] for name in table.order]) for row in table.rows)
    risks = ", ".join(risk.value for risk in table.risks) or "nothing"
    note = f"suppressed for: {escape(risks)}; rounded to {table.rounding}; rules {escape(table.rules)}"
    return (
        f'<div class="yingbi-table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"<p>{note}</p>{plot_svg(table)}</div>"
    )


def plot_svg(table: ReleasedTable) -> str:
    """Return a bar chart of the released, non-negative values of the first value column; margins are left out."""
    bars = [
        (" / ".join("" if key is None else key for key in row.keys), Decimal(row.values[0]))
        for row in table.rows
        if row.values and row.values[0] is not None and not row.suppressed[0] and not any(row.totals)
    ][:MAX_BARS]
    top = max((value for _, value in bars), default=Decimal(0))
    if top <= 0 or min(value for _, value in bars) < 0:
        return ""
    parts = "".join(_bar_svg(place, label, value, top) for place, (label, value) in enumerate(bars))
    height = _BAR * len(bars)
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" role="img">{parts}</svg>'


def held_html(held: Held) -> str:
    """Return a fragment with the notice of a held candidate: no value, no cell."""
    notice = held_json(held)
    findings, remedies = notice["findings"], notice["remedies"]
    lines = [
        " ".join(str(part) for part in finding.values() if part is not None)
        for finding in (findings if isinstance(findings, list) else [])
        if isinstance(finding, dict)
    ]
    wishes = [str(remedy) for remedy in (remedies if isinstance(remedies, list) else [])]
    word = "held for good" if held.is_final else "held"
    return f'<div class="yingbi-held"><p>{word}</p>{_list_html(lines)}<p>instead</p>{_list_html(wishes)}</div>'


def _list_html(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _row_html(row: ReleasedRow, places: list[int]) -> str:
    return "<tr>" + "".join(_cell_html(row, place) for place in places) + "</tr>"


def _cell_html(row: ReleasedRow, place: int) -> str:
    if place < len(row.keys):
        text = "total" if row.totals[place] else row.keys[place]
        return f"<th>{escape(text or '')}</th>"
    value = place - len(row.keys)
    if row.suppressed[value]:
        return _SUPPRESSED
    return f"<td>{escape(row.values[value] or '')}</td>"


def _bar_svg(place: int, label: str, value: Decimal, top: Decimal) -> str:
    width = int((_WIDTH - _LABEL) * value / top)
    y = place * _BAR
    return (
        f'<text x="0" y="{y + _BAR - 5}" font-size="12">{escape(label[:30])}</text>'
        f'<rect x="{_LABEL}" y="{y + 2}" width="{width}" height="{_BAR - 4}" fill="#4a6fa5">'
        f"<title>{escape(label)}: {escape(f'{value:f}')}</title></rect>"
    )
