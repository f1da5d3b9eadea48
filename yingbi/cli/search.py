"""`yingbi catalog search`: what data there is to ask about, as the hub lists it."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from yingbi.cli.job import ProfileOption, echo_json, opened_client
from yingbi.cli.output import JsonFlag, printable, show_rows
from yingbi.cli.text import t

if TYPE_CHECKING:
    from sandbox.catalog.model import DataItem
    from yingbi.client.catalogue import DatasetRecord

__all__ = ["add_search", "search"]

_SHOWN_WHOLE: Final = 3


def add_search(app: typer.Typer) -> None:
    """Add `search` to the commands about catalogues."""
    app.command("search", help=t("catalog.search.help"))(search)


def search(
    words: Annotated[list[str] | None, typer.Argument(help=t("catalog.argument.words"))] = None,
    is_whole: Annotated[bool, typer.Option("--columns", help=t("catalog.option.columns"))] = False,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List data sets of the hub by words of their names, titles and items; few of them with their columns."""
    with opened_client(profile) as client:
        found = list(client.catalog.search(" ".join(words or ())))
    if as_json:
        echo_json([_record_json(one) for one in found])
        return
    rows = [
        (one.name, one.dataset.title, one.dataset.owner, one.dataset.openness, ", ".join(map(str, one.versions)))
        for one in found
    ]
    show_rows(
        t("catalog.search.title"),
        ("dataset", "title", "owner", "openness", "versions"),
        rows,
        as_json=False,
        whole=(0,),
    )
    if not is_whole and len(found) > _SHOWN_WHOLE:
        typer.echo(t("catalog.search.more"))
        return
    for one in found:
        columns = [(item.name, item.title, item.type, _values(item)) for item in one.dataset.items]
        show_rows(printable(one.name), ("item", "title", "type", "values"), columns, as_json=False)


def _record_json(record: "DatasetRecord") -> dict[str, object]:
    from sandbox.catalog.codec import dataset_to_json

    return {
        "id": record.id,
        "dataset": record.name,
        "title": record.dataset.title,
        "owner": record.dataset.owner,
        "openness": record.dataset.openness.value,
        "grade": record.grade,
        "node": record.node,
        "versions": list(record.versions),
        "document": dataset_to_json(record.dataset),
    }


def _values(item: "DataItem") -> str | None:
    """Return which values a column may have: its codes, or the edges and bounds that are declared."""
    if item.on_negative_list:
        return t("catalog.word.never")
    if item.domain is not None:
        return ", ".join(item.domain)
    if item.edges is not None:
        return t("catalog.word.edges", edges=", ".join(item.edges))
    return None if item.bounds is None else " - ".join(map(str, item.bounds))
