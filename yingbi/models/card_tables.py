"""Tables and sentences of a model card; what is missing is said in words."""

from collections.abc import Collection, Iterable, Sequence

from yingbi.audit.html import Markup, element
from yingbi.models.texts import Texts
from yingbi.models.tolerant import number, text

__all__ = ["facts", "missing", "paragraph", "plain", "shown", "table"]


def missing(t: Texts) -> Markup:
    """Return the words for what a document does not say."""
    return element("span", t("missing"), class_="missing")


def shown(t: Texts, value: object) -> Markup | str:
    """Return a value as text, or that it is missing."""
    found = value if isinstance(value, Markup) else text(value)
    return missing(t) if found is None else found


def plain(value: object) -> str:
    """Return a number without the decimals that say nothing."""
    found = number(value)
    return "?" if found is None else f"{found:.10g}"


def paragraph(t: Texts, key: str, **values: object) -> Markup:
    """Return a text as a paragraph."""
    return element("p", t(key, **values))


def facts(t: Texts, named: Iterable[tuple[str, object]]) -> Markup:
    """Return a table of names and values."""
    lines = (element("tr", element("th", name, scope="row"), element("td", value)) for name, value in named)
    return element("table", element("tbody", *lines), class_="facts")


def table(t: Texts, columns: Sequence[str], cells: Iterable[Sequence[object]], numeric: Collection[int] = ()) -> Markup:
    """Return a table with headings from the catalogue, or that there is nothing to show."""
    lines = list(cells)
    if not lines:
        return element("p", missing(t))
    kinds = [{"class_": "n"} if place in numeric else {} for place in range(len(columns))]
    head = (element("th", t(f"column.{name}"), scope="col", **kind) for name, kind in zip(columns, kinds, strict=True))
    body = (
        element(
            "tr",
            *(
                element("td", shown(t, item), **kind) if item != "" else element("td")
                for item, kind in zip(line, kinds, strict=True)
            ),
        )
        for line in lines
    )
    return element("table", element("thead", element("tr", *head)), element("tbody", *body))
