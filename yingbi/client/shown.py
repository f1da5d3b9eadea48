"""How things look in a terminal and in a notebook. Everything that is not ours is escaped, or made printable."""

import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from yingbi.client.problems import plain

__all__ = ["fields_html", "fields_text", "list_html", "table_html", "table_text"]


def table_text(headings: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> str:
    """Return a table for a terminal; wide characters take two places."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(plain(title)) if title else None, title_justify="left")
    for heading in headings:
        table.add_column(Text(plain(heading)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))
    console = Console(file=io.StringIO(), width=120, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def table_html(headings: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> str:
    """Return a table for a notebook."""
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(_text(value))}</td>" for value in row) + "</tr>" for row in rows)
    return f'<table class="yingbi">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def fields_text(title: str, fields: Mapping[str, object]) -> str:
    """Return what one thing says of itself, for a terminal."""
    width = max((len(name) for name in fields), default=0)
    return "\n".join([plain(title), *(f"  {name:<{width}}  {_text(value)}" for name, value in fields.items())])


def fields_html(title: str, fields: Mapping[str, object]) -> str:
    """Return what one thing says of itself, for a notebook."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(_text(value))}</td></tr>" for name, value in fields.items())
    return f'<table class="yingbi"><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>'


def list_html(lines: Iterable[str]) -> str:
    """Return lines as a list for a notebook."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _text(value: object) -> str:
    return "—" if value is None or value == "" else plain(str(value))
